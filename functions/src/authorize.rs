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
