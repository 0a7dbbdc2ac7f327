//! `template.yaml`, parsed and resolved: what to run, under which names, with which settings.
//!
//! Nothing in here knows Waxwing. A template of the same kinds of resources runs the same way; what a
//! template asks for and the runner does not do is listed in [`Template::warnings`], never passed over.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

mod apis;
mod error;
mod functions;
mod load;
mod names;
mod parameters;
mod resolve;
mod section;
mod storage;
mod yaml;

pub use error::{Problem, TemplateError};
pub use names::Surroundings;

/// A template with every parameter, reference and substitution put in.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Every parameter with its value: the given one, or its default.
    pub parameters: BTreeMap<String, String>,
    /// The functions, by `Handler`: one binary holds them all and picks by that name.
    pub functions: BTreeMap<String, FunctionSpec>,
    /// The WebSocket API, if there is one.
    pub websocket: Option<WebSocketSpec>,
    /// The HTTP API, if a function has an `HttpApi` event.
    pub http: Option<HttpSpec>,
    /// The tables, by logical id.
    pub tables: BTreeMap<String, TableSpec>,
    /// The buckets, by logical id.
    pub buckets: BTreeMap<String, BucketSpec>,
    /// The outputs, by name, with local addresses in place of AWS's.
    pub outputs: BTreeMap<String, String>,
    /// What the template asks for and the runner leaves out.
    pub warnings: Vec<Warning>,
}

/// A function (`AWS::Serverless::Function`), with `Globals` merged in.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionSpec {
    /// Its name in the template.
    pub logical_id: String,
    /// What the binary knows it by (`_HANDLER`).
    pub handler: String,
    /// The function name in ARNs and logs (`AWS_LAMBDA_FUNCTION_NAME`).
    pub name: String,
    /// Seconds after which it is stopped.
    pub timeout_seconds: u32,
    /// MB of memory; what its duration is billed by.
    pub memory_mb: u32,
    /// Its variables, with local addresses in place of those of the template's own APIs.
    pub environment: BTreeMap<String, String>,
    /// How often the clock invokes it: one for each `Schedule` event.
    pub schedules: Vec<Duration>,
    /// Its policies, resolved. Kept as they are: who checks them reads them.
    pub policies: Vec<Value>,
}

/// A WebSocket API (`AWS::Serverless::WebSocketApi`).
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocketSpec {
    /// Its name in the template.
    pub logical_id: String,
    /// The id in ARNs and events.
    pub api_id: String,
    /// The stage: the one path of the API.
    pub stage: String,
    /// Path into a message's JSON that names its route, from `$request.body.a.b`.
    pub route_selection: Vec<String>,
    /// Routes by key, `$connect`, `$disconnect` and `$default` among them.
    pub routes: BTreeMap<String, RouteSpec>,
    /// Who decides on `$connect`.
    pub authorizer: Option<AuthorizerSpec>,
    /// How many requests it lets in; as many as the account has if there is none.
    pub throttle: Option<Throttle>,
}

/// How many requests are let in (`DefaultRouteSettings`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// A second, on and on.
    pub per_second: u32,
    /// At the same moment.
    pub burst: u32,
}

/// A route of a WebSocket API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Handler of the function.
    pub function: String,
    /// Whether what the function returns is sent back to the client.
    pub has_response: bool,
    /// How long the gateway waits for the function.
    pub timeout: Duration,
}

/// A Lambda `REQUEST` authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizerSpec {
    /// Handler of the function.
    pub function: String,
    /// What a request must carry for the function to be asked at all.
    pub identity_sources: Vec<IdentitySource>,
}

/// A part of a handshake request that an authorizer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// `route.request.header.NAME`, in lower case.
    Header(String),
    /// `route.request.querystring.NAME`.
    Query(String),
}

/// An HTTP API (`AWS::Serverless::HttpApi`, or the implicit one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSpec {
    /// Its name in the template.
    pub logical_id: String,
    /// The id in events.
    pub api_id: String,
    /// The stage; `$default` has no part in the path.
    pub stage: String,
    /// The routes, in no particular order.
    pub routes: Vec<HttpRoute>,
    /// How many requests it lets in; as many as the account has if there is none.
    pub throttle: Option<Throttle>,
}

/// A route of an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// `GET`, `POST` …, or `ANY`. With the path `$default` it is `ANY`.
    pub method: String,
    /// `/v1/keys/{userId}`, `/files/{proxy+}`, or `$default`.
    pub path: String,
    /// Handler of the function.
    pub function: String,
}

/// A table (`AWS::DynamoDB::Table`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// The table's name for the AWS API.
    pub name: String,
    /// The partition key.
    pub partition_key: KeySpec,
    /// The sort key, if there is one.
    pub sort_key: Option<KeySpec>,
    /// The attribute with the second at which an item expires.
    pub ttl_attribute: Option<String>,
}

/// A key attribute of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// The attribute's name.
    pub name: String,
    /// Its type.
    pub kind: KeyType,
}

/// The types a key attribute may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// `S`.
    String,
    /// `N`.
    Number,
    /// `B`.
    Binary,
}

impl KeyType {
    /// As the AWS API writes it: `S`, `N` or `B`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
        }
    }
}

/// A bucket (`AWS::S3::Bucket`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// The bucket's name for the AWS API.
    pub name: String,
}

/// Something in the template that the runner leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where: `Resources.SendFunction.Properties.VpcConfig`.
    pub path: String,
    /// What that means for a run, as the rest of a sentence about it: `has no effect here`.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.message)
    }
}
