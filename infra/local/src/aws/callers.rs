//! Who calls: read from the credential of a request's signature (AWS Signature Version 4).
//!
//! Every function has an access key of its own, so a call says which function made it. It is what the meter
//! counts by and what policies are asked for, and it is how a function that got the wrong environment shows.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, header};

use crate::aws::answer::AwsError;

/// The access key id of tools and tests: calls with it may do everything.
pub const TOOLS_ACCESS_KEY: &str = "waxwing-tools";

/// The secret of every access key here. Signatures are not verified, so there is nothing to keep.
pub const SECRET_KEY: &str = "local";

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A function, by its handler.
    Function(String),
    /// A person's tool or a test ([`TOOLS_ACCESS_KEY`]).
    Tools,
}

impl Caller {
    /// What the meter counts its calls under.
    pub fn name(&self) -> &str {
        match self {
            Self::Function(handler) => handler,
            Self::Tools => TOOLS_ACCESS_KEY,
        }
    }
}

/// The access key id of a function.
pub fn access_key(handler: &str) -> String {
    format!("waxwing-function-{handler}")
}

/// Everyone who may call at all.
#[derive(Debug)]
pub struct Callers {
    by_access_key: BTreeMap<String, Caller>,
}

impl Callers {
    /// The functions of these handlers, and the tools.
    pub fn new<'a>(handlers: impl IntoIterator<Item = &'a str>) -> Self {
        let functions = handlers
            .into_iter()
            .map(|handler| (access_key(handler), Caller::Function(handler.to_owned())));
        let tools = (TOOLS_ACCESS_KEY.to_owned(), Caller::Tools);
        Self {
            by_access_key: functions.chain([tools]).collect(),
        }
    }

    /// Who signed the request that has these headers.
    ///
    /// # Errors
    /// What AWS answers when the signature is missing or of an unknown access key.
    pub fn find(&self, credential: &Credential<'_>) -> Result<&Caller, AwsError> {
        self.by_access_key.get(credential.access_key).ok_or_else(|| {
            AwsError::new(
                StatusCode::BAD_REQUEST,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        })
    }
}

/// The credential of a signature: `ACCESSKEY/20261120/us-east-1/dynamodb/aws4_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// Who signed.
    pub access_key: &'a str,
    /// The service the request is for, by its signing name.
    pub service: &'a str,
}

impl<'a> Credential<'a> {
    /// The credential in the `Authorization` header.
    ///
    /// # Errors
    /// What AWS answers to a request without one.
    pub fn read(headers: &'a HeaderMap) -> Result<Self, AwsError> {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(Self::parse)
            .ok_or_else(|| {
                AwsError::new(
                    StatusCode::BAD_REQUEST,
                    "MissingAuthenticationTokenException",
                    "Request is missing Authentication Token",
                )
            })
    }

    fn parse(authorization: &'a str) -> Option<Self> {
        let parts = authorization.strip_prefix("AWS4-")?;
        let credential = parts
            .split([' ', ','])
            .find_map(|part| part.strip_prefix("Credential="))?;
        let mut scope = credential.rsplit('/');
        (scope.next()? == "aws4_request").then_some(())?;
        let service = scope.next()?;
        let access_key = credential.split('/').next()?;
        Some(Self { access_key, service })
    }
}

/// Whether a request is for AWS at all, judged by its headers alone.
pub fn is_for_aws(headers: &HeaderMap) -> bool {
    let signed = |value: &header::HeaderValue| value.as_bytes().starts_with(b"AWS4-");
    headers.contains_key("x-amz-target") || headers.get(header::AUTHORIZATION).is_some_and(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_by(access_key: &str) -> HeaderMap {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/20261120/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=00"
        );
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn the_access_key_tells_the_caller() {
        let callers = Callers::new(["send", "ack"]);
        let caller = |key: &str| {
            let headers = signed_by(key);
            callers.find(&Credential::read(&headers).unwrap()).cloned()
        };
        assert_eq!(
            caller(&access_key("send")),
            Ok(Caller::Function("send".to_owned()))
        );
        assert_eq!(caller(TOOLS_ACCESS_KEY), Ok(Caller::Tools));
        assert_eq!(
            caller(&access_key("claim")).unwrap_err().kind,
            "UnrecognizedClientException"
        );
    }

    #[test]
    fn a_request_without_a_signature_is_told_so() {
        for value in [
            "",
            "Bearer AWS4-",
            "AWS4-HMAC-SHA256 Signature=00",
            "AWS4-HMAC-SHA256 Credential=a/b",
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            let error = Credential::read(&headers).unwrap_err();
            assert_eq!(error.kind, "MissingAuthenticationTokenException", "{value}");
        }
        assert!(Credential::read(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_devices_token_is_not_taken_for_a_signature() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer ey".parse().unwrap())]);
        assert!(!is_for_aws(&headers));
        assert!(is_for_aws(&signed_by("anyone")));
    }
}
