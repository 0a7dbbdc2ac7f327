//! A Lambda `REQUEST` authorizer: asked once, before a connection exists.
//!
//! API Gateway developer guide, "Use API Gateway Lambda authorizers", "Output from an API Gateway Lambda
//! authorizer".

use std::{collections::HashMap, time::Instant};

use aws_lambda_events::apigw::ApiGatewayCustomAuthorizerResponse;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    limits::{AUTHORIZER_TIMEOUT, MAX_AUTHORIZER_RESULT_BYTES},
    policy,
};
use crate::{
    lambda::{InvokeError, Lambda},
    template::{AuthorizerSpec, IdentitySource},
};

/// What an authorizer returns. Its context may be `null` as well as absent.
type Answer = ApiGatewayCustomAuthorizerResponse<Option<HashMap<String, Value>>>;

/// Why a client may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// A part that the authorizer depends on is missing, or the authorizer said `Unauthorized`.
    #[error("Unauthorized")]
    Unauthorized,
    /// The policy does not allow it.
    #[error("Forbidden")]
    Forbidden,
    /// The authorizer failed, or what it returned is no answer.
    #[error("Internal server error")]
    Failed,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Whether a handshake carries all that the authorizer depends on. If not, it is not even asked.
pub(super) fn has_identity(spec: &AuthorizerSpec, headers: &HeaderMap, uri: &Uri) -> bool {
    spec.identity_sources.iter().all(|source| match source {
        IdentitySource::Header(name) => headers.get(name).is_some_and(|value| !value.is_empty()),
        IdentitySource::Query(name) => form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .any(|(key, value)| key == name.as_str() && !value.is_empty()),
    })
}

/// Asks the authorizer. Gives what later events have under `requestContext.authorizer`.
pub(super) async fn authorize(
    lambda: &Lambda,
    spec: &AuthorizerSpec,
    event: Value,
    method_arn: &str,
) -> Result<Map<String, Value>, Refusal> {
    let asked = Instant::now();
    let invocation = lambda.invoke(&spec.function, event);
    let answer = match tokio::time::timeout(AUTHORIZER_TIMEOUT, invocation).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(InvokeError::Failed { message, .. })) if message == "Unauthorized" => {
            return Err(Refusal::Unauthorized);
        }
        Ok(Err(_)) | Err(_) => return Err(Refusal::Failed),
    };
    let latency = asked.elapsed().as_millis();
    let mut context = read(answer, method_arn).inspect_err(|refusal| {
        if *refusal == Refusal::Failed {
            tracing::warn!(
                function = spec.function,
                "what the authorizer returned is not a policy the gateway takes"
            );
        }
    })?;
    context.insert(
        "integrationLatency".to_owned(),
        u64::try_from(latency).unwrap_or(u64::MAX).into(),
    );
    Ok(context)
}

/// What later events have of an authorizer's answer, if it allows the connection.
pub(super) fn read(answer: Value, method_arn: &str) -> Result<Map<String, Value>, Refusal> {
    if answer.to_string().len() > MAX_AUTHORIZER_RESULT_BYTES {
        return Err(Refusal::Failed);
    }
    let answer: Answer = serde_json::from_value(answer).map_err(|_| Refusal::Failed)?;
    let principal = answer.principal_id.ok_or(Refusal::Failed)?;
    if !policy::allows(&answer.policy_document, "execute-api:Invoke", method_arn)
        .map_err(|_| Refusal::Failed)?
    {
        return Err(Refusal::Forbidden);
    }
    let mut context = Map::new();
    for (key, value) in answer.context.unwrap_or_default() {
        // Functions see every value as a text; lists and mappings are not allowed.
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return Err(Refusal::Failed),
        };
        context.insert(key, text.into());
    }
    context.insert("principalId".to_owned(), principal.into());
    Ok(context)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:chat/prod/$connect";

    fn answer(effect: &str, context: Value) -> Value {
        json!({
            "principalId": "alice",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": effect, "Action": "execute-api:Invoke", "Resource": ARN}],
            },
            "context": context,
        })
    }

    #[test]
    fn the_context_becomes_texts_beside_the_principal() {
        let context = read(
            answer("Allow", json!({"a": "x", "n": 3, "b": true, "z": null})),
            ARN,
        )
        .unwrap();
        let expected = json!({"a": "x", "n": "3", "b": "true", "principalId": "alice"});
        assert_eq!(Value::Object(context), expected);
    }

    #[test]
    fn a_context_is_optional() {
        let mut without = answer("Allow", Value::Null);
        assert!(read(without.clone(), ARN).is_ok());
        without.as_object_mut().unwrap().remove("context");
        assert!(read(without, ARN).is_ok());
    }

    #[test]
    fn a_denied_client_is_forbidden() {
        assert_eq!(read(answer("Deny", json!({})), ARN), Err(Refusal::Forbidden));
        let other = answer("Allow", json!({}));
        assert_eq!(
            read(
                other,
                "arn:aws:execute-api:us-east-1:000000000000:other/prod/$connect"
            ),
            Err(Refusal::Forbidden)
        );
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        let mut nobody = answer("Allow", json!({}));
        nobody.as_object_mut().unwrap().remove("principalId");
        for wrong in [
            nobody,
            json!({"principalId": "alice"}),
            json!("Allow"),
            answer("Allow", json!({"list": [1]})),
            answer("Allow", json!({"big": "x".repeat(MAX_AUTHORIZER_RESULT_BYTES)})),
        ] {
            assert_eq!(read(wrong.clone(), ARN), Err(Refusal::Failed), "{wrong}");
        }
    }

    #[test]
    fn every_identity_source_has_to_be_there() {
        let sources = vec![
            IdentitySource::Header("authorization".to_owned()),
            IdentitySource::Query("k".to_owned()),
        ];
        let spec = AuthorizerSpec {
            function: "guard".to_owned(),
            identity_sources: sources,
        };
        let mut headers = HeaderMap::new();
        assert!(!has_identity(&spec, &headers, &"/prod?k=1".parse().unwrap()));
        headers.insert("Authorization", "Bearer x".parse().unwrap());
        assert!(has_identity(&spec, &headers, &"/prod?k=1".parse().unwrap()));
        assert!(!has_identity(&spec, &headers, &"/prod?k=".parse().unwrap()));
        assert!(!has_identity(&spec, &headers, &"/prod".parse().unwrap()));
        headers.insert("Authorization", "".parse().unwrap());
        assert!(!has_identity(&spec, &headers, &"/prod?k=1".parse().unwrap()));
    }
}
