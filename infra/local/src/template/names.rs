//! What things are called: names, ids and ARNs, made the same way every time.
//!
//! AWS adds random parts to names; here the same template has the same names in every run, so that data kept
//! on disk is found again.

use std::{cmp::Reverse, collections::BTreeMap, fmt, net::SocketAddr};

use serde_json::{Map, Value};

use super::error::TemplateError;
use crate::aws::Sns;
use crate::place::{ACCOUNT_ID, REGION};

/// The HTTP API that SAM adds by itself when an event names none (SAM, "Generated resources").
pub(super) const IMPLICIT_HTTP_API: &str = "ServerlessHttpApi";

/// The AWS account, region and stack that a template is read for.
#[derive(Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`, 12 digits.
    pub account_id: String,
    /// `AWS::StackName`; the first part of the names that the template leaves to AWS.
    pub stack_name: String,
    /// Where the APIs answer on this machine. It stands in environments and outputs in place of
    /// `https://ID.execute-api.REGION.amazonaws.com`. Without it those stay.
    pub front: Option<SocketAddr>,
    /// What stands in for parameters that are secret (`NoEcho`) and have no default.
    pub secret: String,
    /// Values of parameters that name what this machine has, unless others are given: its platform applications.
    pub stand_ins: BTreeMap<String, String>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            region: REGION.to_owned(),
            account_id: ACCOUNT_ID.to_owned(),
            stack_name: "local".to_owned(),
            front: None,
            secret: "a value of nobody's, for reading a template".to_owned(),
            stand_ins: Sns::stand_ins(),
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("region", &self.region)
            .field("account_id", &self.account_id)
            .field("stack_name", &self.stack_name)
            .field("front", &self.front)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// The host name of an API on AWS.
    pub(crate) fn api_host(&self, api_id: &str) -> String {
        format!("{api_id}.execute-api.{}.amazonaws.com", self.region)
    }

    /// Puts local addresses in place of those that these APIs would have on AWS.
    pub(super) fn localized(&self, text: &str, api_ids: &[&str]) -> String {
        let Some(front) = self.front else {
            return text.to_owned();
        };
        // The longest first: one id may be the end of another.
        let mut api_ids = api_ids.to_vec();
        api_ids.sort_by_key(|id| Reverse(id.len()));
        api_ids.into_iter().fold(text.to_owned(), |text, id| {
            let host = self.api_host(id);
            text.replace(&format!("https://{host}"), &format!("http://{front}"))
                .replace(&format!("wss://{host}"), &format!("ws://{front}"))
                .replace(&host, &front.to_string())
        })
    }
}

/// The resources of a template and what `Ref` and `Fn::GetAtt` give for each.
pub(super) struct Names<'a> {
    surroundings: &'a Surroundings,
    resources: &'a Map<String, Value>,
}

impl<'a> Names<'a> {
    pub(super) fn new(surroundings: &'a Surroundings, resources: &'a Map<String, Value>) -> Self {
        Self {
            surroundings,
            resources,
        }
    }

    /// A pseudo parameter (CloudFormation user guide, "Pseudo parameters reference").
    pub(super) fn pseudo_parameter(&self, name: &str) -> Option<String> {
        let Surroundings {
            region,
            account_id,
            stack_name,
            ..
        } = self.surroundings;
        Some(match name {
            "AWS::Region" => region.clone(),
            "AWS::AccountId" => account_id.clone(),
            "AWS::StackName" => stack_name.clone(),
            "AWS::StackId" => format!("arn:aws:cloudformation:{region}:{account_id}:stack/{stack_name}/0"),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            _ => return None,
        })
    }

    /// What `Ref` gives for a resource, `None` if there is no such resource. `given` finds the name that a
    /// property of the resource gives it.
    pub(super) fn of(
        &self,
        logical_id: &str,
        given: impl Fn(&str, &str) -> Result<Option<String>, TemplateError>,
    ) -> Result<Option<String>, TemplateError> {
        let Some(kind) = self.kind(logical_id) else {
            return match logical_id.split_once('.') {
                Some((resource, part)) => self.part_of(resource, part, given),
                None => Ok(self.generated(logical_id)),
            };
        };
        let chosen = || format!("{}-{logical_id}", self.surroundings.stack_name);
        let name = match kind {
            "AWS::Serverless::Function" => given(logical_id, "FunctionName")?.unwrap_or_else(chosen),
            "AWS::DynamoDB::Table" => given(logical_id, "TableName")?.unwrap_or_else(chosen),
            // Bucket names are lower case (Amazon S3 user guide, "Bucket naming rules").
            "AWS::S3::Bucket" => given(logical_id, "BucketName")?.unwrap_or_else(|| chosen().to_lowercase()),
            "AWS::Serverless::WebSocketApi" | "AWS::Serverless::HttpApi" => api_id(logical_id),
            _ => logical_id.to_owned(),
        };
        Ok(Some(name))
    }

    /// What `Ref` gives for a resource that SAM makes of a part of another one: `Function.Alias`, `Api.Stage`
    /// (SAM, "Referencing generated resources"). A function has one version here, so its alias is the function.
    fn part_of(
        &self,
        resource: &str,
        part: &str,
        given: impl Fn(&str, &str) -> Result<Option<String>, TemplateError>,
    ) -> Result<Option<String>, TemplateError> {
        match (self.kind(resource), part) {
            (Some("AWS::Serverless::Function"), "Alias") => {
                let name = self.of(resource, given)?.unwrap_or_default();
                Ok(self.attribute(resource, &name, "Arn"))
            }
            (Some("AWS::Serverless::WebSocketApi" | "AWS::Serverless::HttpApi"), "Stage") => {
                given(resource, "StageName")
            }
            _ => Ok(None),
        }
    }

    /// What `Fn::GetAtt` gives. A resource that does not run here has made-up attributes: it is reported by
    /// itself, and the rest of the template is none the worse for it.
    pub(super) fn attribute(&self, logical_id: &str, name: &str, attribute: &str) -> Option<String> {
        let surroundings = self.surroundings;
        let here = format!("{}:{}", surroundings.region, surroundings.account_id);
        Some(match (self.kind(logical_id), attribute) {
            (Some("AWS::Serverless::Function"), "Arn") => format!("arn:aws:lambda:{here}:function:{name}"),
            (Some("AWS::DynamoDB::Table"), "Arn") => format!("arn:aws:dynamodb:{here}:table/{name}"),
            (Some("AWS::S3::Bucket"), "Arn") => format!("arn:aws:s3:::{name}"),
            (Some("AWS::Serverless::WebSocketApi" | "AWS::Serverless::HttpApi"), "ApiId") => name.to_owned(),
            (Some("AWS::Serverless::WebSocketApi"), "ApiEndpoint") => {
                format!("wss://{}", surroundings.api_host(name))
            }
            (Some("AWS::Serverless::HttpApi"), "ApiEndpoint") => {
                format!("https://{}", surroundings.api_host(name))
            }
            (
                Some(
                    "AWS::Serverless::Function"
                    | "AWS::DynamoDB::Table"
                    | "AWS::S3::Bucket"
                    | "AWS::Serverless::WebSocketApi"
                    | "AWS::Serverless::HttpApi",
                ),
                _,
            ) => return None,
            _ => format!("{logical_id}.{attribute}"),
        })
    }

    /// A property of a resource as it stands in the template.
    pub(super) fn property(&self, logical_id: &str, property: &str) -> Option<&'a Value> {
        self.resources.get(logical_id)?.get("Properties")?.get(property)
    }

    fn kind(&self, logical_id: &str) -> Option<&'a str> {
        self.resources.get(logical_id)?.get("Type")?.as_str()
    }

    /// The name of a resource that SAM adds when it expands the template.
    fn generated(&self, logical_id: &str) -> Option<String> {
        if logical_id == IMPLICIT_HTTP_API {
            return Some(api_id(logical_id));
        }
        let role_of = logical_id.strip_suffix("Role").and_then(|id| self.kind(id));
        let is_role = role_of == Some("AWS::Serverless::Function");
        let is_route = self.resources.keys().any(|api| {
            let routes = self.property(api, "Routes").and_then(Value::as_object);
            routes.is_some_and(|routes| routes.keys().any(|key| route_resource_id(api, key) == logical_id))
        });
        (is_role || is_route).then(|| logical_id.to_owned())
    }
}

/// The id of an API: part of a host name, so in lower case.
pub(super) fn api_id(logical_id: &str) -> String {
    logical_id.to_lowercase()
}

/// The logical id that SAM gives the route resource of a WebSocket API: the API's, the key with only its
/// first letter large and without `$`, and `Route` (SAM, "Generated resources for `WebSocketApi`").
pub(super) fn route_resource_id(api: &str, route_key: &str) -> String {
    let key = route_key.trim_start_matches('$').to_lowercase();
    let mut letters = key.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{api}{first}{}Route", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_resources_are_named_as_sam_names_them() {
        assert_eq!(route_resource_id("Api", "$default"), "ApiDefaultRoute");
        assert_eq!(route_resource_id("Api", "sendMessage"), "ApiSendmessageRoute");
    }

    #[test]
    fn parts_that_sam_makes_of_a_resource_have_names() {
        let resources = serde_json::json!({
            "Talk": {"Type": "AWS::Serverless::Function", "Properties": {"AutoPublishAlias": "live"}},
            "Chat": {"Type": "AWS::Serverless::WebSocketApi", "Properties": {"StageName": "dev"}},
        });
        let surroundings = Surroundings::default();
        let resources = resources.as_object().unwrap();
        let names = Names::new(&surroundings, resources);
        let given = |resource: &str, property: &str| {
            Ok(names
                .property(resource, property)
                .and_then(Value::as_str)
                .map(str::to_owned))
        };
        let alias = names.of("Talk.Alias", given).unwrap().unwrap();
        assert_eq!(alias, "arn:aws:lambda:us-east-1:000000000000:function:local-Talk");
        assert_eq!(names.of("Chat.Stage", given).unwrap().unwrap(), "dev");
        for unknown in ["Talk.Stage", "Chat.Alias", "Nobody.Alias", "Talk."] {
            assert_eq!(names.of(unknown, given).unwrap(), None, "{unknown}");
        }
    }

    #[test]
    fn addresses_of_the_templates_own_apis_become_local() {
        let surroundings = Surroundings {
            front: Some("127.0.0.1:4000".parse().unwrap()),
            ..Surroundings::default()
        };
        for (text, expected) in [
            (
                "https://ws.execute-api.us-east-1.amazonaws.com/prod",
                "http://127.0.0.1:4000/prod",
            ),
            (
                "wss://ws.execute-api.us-east-1.amazonaws.com/prod",
                "ws://127.0.0.1:4000/prod",
            ),
            ("ws.execute-api.us-east-1.amazonaws.com", "127.0.0.1:4000"),
            (
                "https://my-ws.execute-api.us-east-1.amazonaws.com",
                "http://127.0.0.1:4000",
            ),
            ("https://other.example/prod", "https://other.example/prod"),
        ] {
            assert_eq!(surroundings.localized(text, &["ws", "my-ws"]), expected);
        }
    }
}
