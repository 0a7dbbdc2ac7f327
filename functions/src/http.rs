//! What the functions behind HTTP routes share.

use std::{borrow::Cow, net::IpAddr};

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{
        HeaderValue,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use waxwing_backend::{
    Backend,
    authorize::{Authorized, authorize},
    requests::admit,
};
use waxwing_wire::{ErrorCode, Problem};

use crate::FunctionError;

/// Bytes of a request's body. The largest valid one, a device with a hundred one-time prekeys, has about ten
/// thousand.
pub(crate) const MAX_BODY_BYTES: usize = 32 * 1024;

/// A request.
pub(crate) struct Request(ApiGatewayV2httpRequest);

impl Request {
    fn read(event: Value) -> Result<Self, FunctionError> {
        serde_json::from_value(event)
            .map(Self)
            .map_err(|_| FunctionError::Event)
    }

    /// The device whose token the request carries, if its account may make another request.
    pub(crate) async fn authorized(&self, backend: &Backend) -> Result<Authorized, Problem> {
        let header = self.0.headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let authorized = authorize(backend, header).await?;
        admit(backend, authorized.device.address.account, None).await?;
        Ok(authorized)
    }

    /// The address the request came from, as API Gateway saw it: no header can say another.
    pub(crate) fn source(&self) -> Result<IpAddr, Problem> {
        let text = self.0.request_context.http.source_ip.as_deref();
        let address = text.and_then(|text| text.parse().ok());
        address.ok_or_else(|| malformed("The request comes from nowhere."))
    }

    /// The body, from JSON.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self.0.body.as_deref().unwrap_or_default();
        // Base64 writes three bytes, or what is left of them, as four characters.
        if text.len() > MAX_BODY_BYTES.div_ceil(3).saturating_mul(4) {
            return Err(too_large());
        }
        let bytes = if self.0.is_base64_encoded {
            let decoded = STANDARD.decode(text);
            Cow::Owned(decoded.map_err(|_| malformed("The body is not what its encoding says."))?)
        } else {
            Cow::Borrowed(text.as_bytes())
        };
        if bytes.len() > MAX_BODY_BYTES {
            return Err(too_large());
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            malformed(format!(
                "The body goes wrong near {place}; see docs/api.md for its shape."
            ))
        })
    }

    /// The path parameter `name`.
    pub(crate) fn parameter<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.0.path_parameters.get(name);
        let value = text.and_then(|text| text.parse().ok());
        value.ok_or_else(|| malformed(format!("The path has no valid {name}.")))
    }
}

/// Reads the event, lets `handle` answer its request, and replies with the answer or the refusal.
pub(crate) async fn on_request<F, T>(
    event: Value,
    handle: impl FnOnce(Request) -> F,
) -> Result<Value, FunctionError>
where
    F: Future<Output = Result<T, Problem>>,
    T: Serialize,
{
    match handle(Request::read(event)?).await {
        Ok(answer) => response(200, &answer, None),
        Err(problem) => {
            tracing::debug!(code = ?problem.code, "a request was refused");
            response(problem.code.http_status(), &problem, problem.retry_after_seconds)
        }
    }
}

fn malformed(message: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::Malformed, message)
}

fn too_large() -> Problem {
    Problem::new(
        ErrorCode::TooLarge,
        format!("A body has at most {MAX_BODY_BYTES} bytes."),
    )
}

fn response(status: u16, body: &impl Serialize, retry_after: Option<u32>) -> Result<Value, FunctionError> {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    let headers = &mut response.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let body = serde_json::to_string(body).map_err(|_| FunctionError::Event)?;
    response.body = Some(Body::Text(body));
    serde_json::to_value(response).map_err(|_| FunctionError::Event)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_wire::{
        AccountId, answer::AnswerRequest, challenge::ChallengeRequest, check::CheckRequest,
        confirm::ConfirmRequest, link::LinkRequest, lock::LockRequest, offer::OfferRequest,
        register::RegisterRequest, revoke::RevokeRequest, subscribe::SubscribeRequest, upload::UploadRequest,
    };

    use super::*;
    use crate::{
        invoke,
        samples::{body, sample, unreachable_backend},
    };

    fn request(name: &str) -> Request {
        Request::read(sample(name)).unwrap()
    }

    fn expected<T: DeserializeOwned>(name: &str) -> T {
        serde_json::from_value(body(name)).unwrap()
    }

    #[test]
    fn the_sample_requests_are_read_as_what_they_say() {
        let challenge: ChallengeRequest = request("challenge").body().unwrap();
        assert_eq!(challenge, expected("challenge"));
        let confirm: ConfirmRequest = request("confirm").body().unwrap();
        assert_eq!(confirm, expected("confirm"));
        let register: RegisterRequest = request("register").body().unwrap();
        assert_eq!(register, expected("register"));
        let lock: LockRequest = request("lock").body().unwrap();
        assert_eq!(lock, expected("lock"));
        let offer: OfferRequest = request("offer").body().unwrap();
        assert_eq!(offer, expected("offer"));
        let answer: AnswerRequest = request("answer").body().unwrap();
        assert_eq!(answer, expected("answer"));
        let revoke: RevokeRequest = request("revoke").body().unwrap();
        assert_eq!(revoke, expected("revoke"));
        let check: CheckRequest = request("check").body().unwrap();
        assert_eq!(check, expected("check"));
        let link: LinkRequest = request("link").body().unwrap();
        assert_eq!(link, expected("link"));
        let upload: UploadRequest = request("upload").body().unwrap();
        assert_eq!(upload, expected("upload"));
        let subscribe: SubscribeRequest = request("subscribe").body().unwrap();
        assert_eq!(subscribe, expected("subscribe"));
        let account: AccountId = request("fetch").parameter("userId").unwrap();
        assert_eq!(account, register.account);
    }

    /// X61: who asks for a code is who API Gateway saw, whatever the headers say.
    #[test]
    fn x61_the_source_of_a_request_is_not_what_a_header_says() {
        let mut event = sample("challenge");
        event["headers"]["x-forwarded-for"] = "203.0.113.9".into();
        let source = Request::read(event.clone()).unwrap().source();
        assert_eq!(source, Ok("198.51.100.23".parse().unwrap()));
        event["requestContext"]["http"]["sourceIp"] = "".into();
        assert!(Request::read(event).unwrap().source().is_err());
    }

    #[test]
    fn a_body_that_api_gateway_encoded_is_decoded() {
        let mut event = sample("register");
        let encoded = STANDARD.encode(event["body"].as_str().unwrap());
        event["body"] = encoded.into();
        event["isBase64Encoded"] = true.into();
        let register: RegisterRequest = Request::read(event).unwrap().body().unwrap();
        assert_eq!(register, expected("register"));
    }

    async fn refused(function: &str, event: Value) -> (Value, Value) {
        let reply = invoke(function, &unreachable_backend(), event).await.unwrap();
        let body: Value = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
        assert_eq!(reply["headers"]["content-type"], "application/json");
        (reply["statusCode"].clone(), body["code"].clone())
    }

    #[tokio::test]
    async fn a_refusal_has_the_status_of_its_code() {
        let with_body = |body: &str| {
            let mut event = sample("register");
            event["body"] = body.into();
            event
        };
        assert_eq!(
            refused("register", with_body("{")).await,
            (json!(400), json!("malformed"))
        );
        let long = " ".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(
            refused("register", with_body(&long)).await,
            (json!(413), json!("too_large"))
        );
        let mut twice = with_body(&STANDARD.encode("{}"));
        twice["isBase64Encoded"] = true.into();
        assert_eq!(refused("register", twice).await, (json!(400), json!("malformed")));
        let mut nonsense = with_body("%");
        nonsense["isBase64Encoded"] = true.into();
        assert_eq!(
            refused("register", nonsense).await,
            (json!(400), json!("malformed"))
        );
    }

    #[tokio::test]
    async fn x82_a_body_at_its_bound_is_read_and_one_above_it_is_not() {
        for (bytes, expected) in [
            (MAX_BODY_BYTES - 1, (json!(400), json!("malformed"))),
            (MAX_BODY_BYTES, (json!(400), json!("malformed"))),
            (MAX_BODY_BYTES + 1, (json!(413), json!("too_large"))),
        ] {
            let text = " ".repeat(bytes);
            let mut plain = sample("challenge");
            plain["body"] = text.clone().into();
            let mut encoded = sample("challenge");
            encoded["body"] = STANDARD.encode(text).into();
            encoded["isBase64Encoded"] = true.into();
            for event in [plain, encoded] {
                assert_eq!(refused("challenge", event).await, expected, "{bytes}");
            }
        }
    }

    #[tokio::test]
    async fn a_request_without_a_token_is_refused_whatever_its_body() {
        for function in ["offer", "answer", "revoke", "upload", "check", "fetch"] {
            let mut event = sample(function);
            event["headers"].as_object_mut().unwrap().remove("authorization");
            event["body"] = "{".into();
            assert_eq!(
                refused(function, event).await,
                (json!(401), json!("unauthorized")),
                "{function}"
            );
        }
    }

    #[test]
    fn a_known_waiting_time_is_in_the_header_that_http_has_for_it() {
        let mut problem = Problem::new(ErrorCode::RateLimited, "Slower.");
        problem.retry_after_seconds = Some(7);
        let reply = response(429, &problem, problem.retry_after_seconds).unwrap();
        assert_eq!(reply["headers"]["retry-after"], "7");
        let reply = response(429, &problem, None).unwrap();
        assert!(reply["headers"].get("retry-after").is_none());
    }

    #[test]
    fn x82_the_largest_valid_body_is_within_the_bound() {
        let mut body = body("register");
        let prekey = json!({ "id": i32::MAX, "key": body["device"]["identity"]["signing_key"] });
        body["device"]["one_time_prekeys"] = vec![prekey; 100].into();
        assert!(body.to_string().len() <= MAX_BODY_BYTES);
    }
}
