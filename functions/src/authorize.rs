//! `authorize`: may this WebSocket open, and whose is it?
//!
//! The answer allows the connection and names the device, which API Gateway then hands to every frame of it. A
//! refused token is answered with the error `Unauthorized`, which API Gateway turns into 401; it has no other
//! way to tell 401 from 403.

use aws_lambda_events::{
    apigw::{ApiGatewayCustomAuthorizerRequestTypeRequest, ApiGatewayCustomAuthorizerResponse},
    http::header::AUTHORIZATION,
    iam::{IamPolicyEffect, IamPolicyStatement},
};
use serde_json::{Value, json};
use waxwing_backend::{
    Backend,
    authorize::{AuthorizeError, authorize},
};
use waxwing_wire::RegisteredDevice;

use crate::{FunctionError, websocket::context};

/// Version of the policy language.
const POLICY_VERSION: &str = "2012-10-17";

/// The one action that is allowed: opening the connection.
const INVOKE: &str = "execute-api:Invoke";

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    let attempt = Attempt::read(event)?;
    let authorized = authorize(backend, attempt.header.as_deref()).await;
    match authorized {
        Ok(authorized) => allow(authorized.device, attempt.method_arn),
        Err(AuthorizeError::Refused) => Err(FunctionError::Unauthorized),
        Err(AuthorizeError::Fault(_)) => Err(FunctionError::Unavailable),
    }
}

/// Someone who wants to connect.
struct Attempt {
    /// The value of `Authorization`.
    header: Option<String>,
    /// What is to be allowed.
    method_arn: String,
}

impl Attempt {
    fn read(event: Value) -> Result<Self, FunctionError> {
        let event: ApiGatewayCustomAuthorizerRequestTypeRequest =
            serde_json::from_value(event).map_err(|_| FunctionError::Event)?;
        let header = event.headers.get(AUTHORIZATION);
        Ok(Self {
            header: header.and_then(|value| value.to_str().ok()).map(str::to_owned),
            method_arn: event.method_arn.ok_or(FunctionError::Event)?,
        })
    }
}

fn allow(device: RegisteredDevice, method_arn: String) -> Result<Value, FunctionError> {
    let mut statement = IamPolicyStatement::default();
    statement.effect = IamPolicyEffect::Allow;
    statement.action = vec![INVOKE.to_owned()];
    statement.resource = vec![method_arn];
    let mut response = ApiGatewayCustomAuthorizerResponse::<Value>::default();
    response.principal_id = Some(device.address.to_string());
    response.policy_document.version = Some(POLICY_VERSION.to_owned());
    response.policy_document.statement = vec![statement];
    response.context = json!({
        context::ACCOUNT: device.address.account.to_string(),
        context::DEVICE: device.address.device.to_string(),
        context::REGISTRATION: device.registration.to_string(),
    });
    serde_json::to_value(response).map_err(|_| FunctionError::Event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        invoke,
        samples::{sample, unreachable_backend},
    };

    #[test]
    fn the_sample_attempt_is_read() {
        let attempt = Attempt::read(sample("authorize")).unwrap();
        let arn = "arn:aws:execute-api:eu-west-1:123456789012:k3v9m7r1zb/prod/$connect";
        assert_eq!(attempt.method_arn, arn);
        assert!(attempt.header.unwrap().starts_with("Bearer ey"));
    }

    #[test]
    fn the_header_is_found_in_any_case() {
        let mut event = sample("authorize");
        let headers = event["headers"].as_object_mut().unwrap();
        let token = headers.remove("Authorization").unwrap();
        headers.insert("authorization".into(), token);
        assert!(Attempt::read(event).unwrap().header.is_some());
    }

    #[test]
    fn an_allowed_device_is_named_in_strings_that_its_frames_are_read_by() {
        let incoming: RegisteredDevice = RegisteredDevice {
            address: waxwing_wire::DeviceAddress {
                account: "3b9f2c64-7d1e-4a58-9c0b-5e8d4f6a1b20".parse().unwrap(),
                device: waxwing_wire::DeviceId::MAX,
            },
            registration: waxwing_wire::RegistrationId::MAX,
        };
        let reply = allow(incoming, "arn:aws:execute-api:…".into()).unwrap();
        let statement = &reply["policyDocument"]["Statement"][0];
        assert_eq!(statement["Effect"], "Allow");
        assert_eq!(statement["Action"], json!(["execute-api:Invoke"]));
        assert_eq!(statement["Resource"], json!(["arn:aws:execute-api:…"]));
        assert_eq!(reply["policyDocument"]["Version"], POLICY_VERSION);
        assert_eq!(
            reply["context"],
            json!({
                "account": "3b9f2c64-7d1e-4a58-9c0b-5e8d4f6a1b20",
                "device": "127",
                "registration": "2147483647",
            })
        );
    }

    /// API Gateway turns this error, word for word, into 401.
    #[tokio::test]
    async fn a_missing_or_bad_token_is_the_error_unauthorized() {
        for header in [None, Some("Bearer x"), Some("Basic x"), Some("")] {
            let mut event = sample("authorize");
            let headers = event["headers"].as_object_mut().unwrap();
            headers.remove("Authorization");
            if let Some(header) = header {
                headers.insert("Authorization".into(), header.into());
            }
            let error = invoke("authorize", &unreachable_backend(), event)
                .await
                .unwrap_err();
            let diagnostic = lambda_runtime::Diagnostic::from(error);
            assert_eq!(diagnostic.error_message, "Unauthorized", "{header:?}");
        }
    }
}
