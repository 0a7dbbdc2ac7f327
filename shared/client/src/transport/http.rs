//! Requests to the HTTP API. Each may be repeated, so what may pass is tried again.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use waxwing_wire::{ErrorCode, Problem};

use super::{
    backoff::Backoff,
    service_time::ServiceTime,
    tls,
    token::{Credentials, is_in_time},
};
use crate::{clock, config::Timings};

/// Tries of one request. With the default backoff the last comes within seconds: whoever asked is waiting.
const ATTEMPTS: u32 = 4;

/// The longest `Retry-After` that is waited for here; what asks for more is the caller's to do later.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Bytes of a reply at most. The largest is a full account's list of devices, some 4 KB.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// Why a request had no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection, or it broke.
    #[error("the service could not be reached; check the network and try again")]
    Unreachable(#[source] reqwest::Error),
    /// No reply in time.
    #[error("the service did not answer in time; try again")]
    TimedOut,
    /// The service refused; its own words say why.
    #[error("{0}")]
    Refused(Problem),
    /// Something other than the service answered, or a version of it this client does not speak.
    #[error("the answer (status {0}) is not one of this service; check the address, update the app")]
    Unexpected(u16),
}

impl HttpError {
    /// The token was refused.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.is(ErrorCode::Unauthorized)
    }

    /// The service refused for this reason.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(problem) if problem.code == code)
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Refused(problem) => problem.retryable,
            // API Gateway's own words: throttled (429), no function to be had (5xx).
            Self::Unexpected(status) => *status == 429 || *status >= 500,
        }
    }
}

/// The HTTP API of one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    base: String,
    timings: Timings,
    time: ServiceTime,
}

impl Http {
    pub(crate) fn new(base: String, timings: Timings, time: ServiceTime) -> Result<Self, HttpError> {
        let tls = tls::config().map_err(|_| HttpError::Unexpected(0))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .connect_timeout(timings.connect_timeout)
            .timeout(timings.http_timeout)
            // No answer of the service is a redirect, and a token goes to nobody else.
            .redirect(reqwest::redirect::Policy::none())
            // The WebSocket uses none either: both ways or none.
            .no_proxy()
            .build()
            .map_err(HttpError::Unreachable)?;
        Ok(Self {
            client,
            base,
            timings,
            time,
        })
    }

    /// `GET`, with a token.
    pub(crate) async fn get<R: DeserializeOwned>(
        &self,
        path: &str,
        credentials: &Credentials,
    ) -> Result<R, HttpError> {
        self.call::<(), R>(Method::GET, path, Some(credentials), None)
            .await
    }

    /// `POST`, with a token if there are credentials.
    pub(crate) async fn post<Q: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        credentials: Option<&Credentials>,
        body: &Q,
    ) -> Result<R, HttpError> {
        self.call(Method::POST, path, credentials, Some(body)).await
    }

    async fn call<Q: Serialize, R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        credentials: Option<&Credentials>,
        body: Option<&Q>,
    ) -> Result<R, HttpError> {
        let mut backoff = Backoff::new(self.timings.backoff_first, self.timings.backoff_longest);
        let mut corrected = false;
        loop {
            let made_at = self.time.now_millis();
            let mut request = self
                .client
                .request(method.clone(), format!("{}{path}", self.base));
            if let Some(credentials) = credentials {
                request = request.header(header::AUTHORIZATION, credentials.bearer(made_at));
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let failed = match self.attempt(request).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let in_time = is_in_time(made_at / 1000, self.time.now_millis() / 1000);
            if failed.error.is_unauthorized() && !in_time && !corrected {
                // The clock was wrong, and the answer has set it right.
                corrected = true;
                continue;
            }
            let wait = backoff.next(&mut clock::rng()).max(failed.retry_after);
            let give_up = backoff.attempts() >= ATTEMPTS || failed.retry_after > LONGEST_RETRY_AFTER;
            if give_up || !failed.error.is_retryable() {
                return Err(failed.error);
            }
            tracing::debug!(route = route(path), error = %failed.error, ?wait, "HTTP request is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt<R: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<R, Failed> {
        let mut response = request.send().await.map_err(failed)?;
        self.time.learn(response.headers(), clock::now_millis());
        let status = response.status();
        let retry_after = retry_after(&response);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(Failed::now(HttpError::Unexpected(status.as_u16())));
            }
            body.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK || status == StatusCode::CREATED {
            return serde_json::from_slice(&body)
                .map_err(|_| Failed::now(HttpError::Unexpected(status.as_u16())));
        }
        Err(refusal(status, retry_after, &body))
    }
}

/// The part of a path that names nobody: version and resource.
fn route(path: &str) -> &str {
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(end, _)| end);
    path.get(..end).unwrap_or_default()
}

/// A try that failed, and how long the service asked to wait.
struct Failed {
    error: HttpError,
    retry_after: Duration,
}

impl Failed {
    fn now(error: HttpError) -> Self {
        Self {
            error,
            retry_after: Duration::ZERO,
        }
    }
}

fn failed(error: reqwest::Error) -> Failed {
    // The address in it may name an account.
    let error = error.without_url();
    Failed::now(if error.is_timeout() {
        HttpError::TimedOut
    } else {
        HttpError::Unreachable(error)
    })
}

fn refusal(status: StatusCode, retry_after: Duration, body: &[u8]) -> Failed {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => {
            let said = problem.retry_after_seconds.unwrap_or(0);
            Failed {
                error: HttpError::Refused(problem),
                retry_after: retry_after.max(Duration::from_secs(said.into())),
            }
        }
        Err(_) => Failed {
            error: HttpError::Unexpected(status.as_u16()),
            retry_after,
        },
    }
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3). Its other form, a date, nobody here sends.
fn retry_after(response: &Response) -> Duration {
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinHandle,
    };
    use waxwing_wire::ErrorCode;

    use super::*;

    /// A service that gives these answers, one a connection. Ends with the requests it got.
    async fn service(answers: Vec<String>) -> (Http, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/prod", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = socket.read(&mut request).await.unwrap();
                requests.push(String::from_utf8(request[..length].to_vec()).unwrap());
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        let timings = Timings {
            backoff_first: Duration::from_millis(1),
            ..Timings::default()
        };
        (Http::new(base, timings, ServiceTime::default()).unwrap(), serving)
    }

    fn answer(status: u16, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
    }

    fn problem(code: ErrorCode) -> String {
        answer(
            code.http_status(),
            "",
            &serde_json::to_string(&Problem::new(code, "Why.")).unwrap(),
        )
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_with_the_same_request() {
        let broken = String::new();
        let throttled = answer(429, "", r#"{"message":"Too Many Requests"}"#);
        let answers = vec![
            broken,
            throttled,
            problem(ErrorCode::Unavailable),
            answer(200, "", r#"{"ok":true}"#),
        ];
        let (http, serving) = service(answers).await;
        let reply: Value = http.post("/v1/keys", None, &json!({"a": 1})).await.unwrap();
        assert_eq!(reply, json!({"ok": true}));
        let requests = serving.await.unwrap();
        assert_eq!(requests.len(), 4);
        assert!(
            requests
                .iter()
                .all(|request| request.starts_with("POST /prod/v1/keys HTTP/1.1"))
        );
        assert!(requests.iter().all(|request| request.ends_with(r#"{"a":1}"#)));
    }

    #[tokio::test]
    async fn it_gives_up_after_a_few_tries() {
        let answers = (0..ATTEMPTS).map(|_| problem(ErrorCode::Internal)).collect();
        let (http, serving) = service(answers).await;
        let error = http.post::<_, Value>("/v1/keys", None, &()).await.unwrap_err();
        assert!(matches!(error, HttpError::Refused(problem) if problem.code == ErrorCode::Internal));
        assert_eq!(serving.await.unwrap().len(), ATTEMPTS as usize);
    }

    #[tokio::test]
    async fn a_refusal_for_good_is_not_tried_again() {
        let (http, serving) = service(vec![problem(ErrorCode::AccountTaken)]).await;
        let error = http
            .post::<_, Value>("/v1/accounts", None, &())
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Refused(problem) if problem.code == ErrorCode::AccountTaken));
        assert_eq!(serving.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_wait_longer_than_one_cares_to_wait_is_the_caller_s() {
        let answers = vec![answer(429, "retry-after: 3600\r\n", "{}")];
        let (http, serving) = service(answers).await;
        let error = http.post::<_, Value>("/v1/keys", None, &()).await.unwrap_err();
        assert!(matches!(error, HttpError::Unexpected(429)));
        assert_eq!(serving.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_endless_or_foreign_answer_is_refused() {
        let long = answer(200, "", &"x".repeat(MAX_REPLY_BYTES + 1));
        let (http, _serving) = service(vec![long, answer(200, "", "<html>")]).await;
        for _ in 0..2 {
            let error = http.post::<_, Value>("/v1/keys", None, &()).await.unwrap_err();
            assert!(matches!(error, HttpError::Unexpected(200)));
        }
    }

    #[test]
    fn x86_what_is_logged_of_a_path_names_no_account() {
        for (path, logged) in [
            ("/v1/keys/AAAAAAAAAAAAAAAAAAAAAA", "/v1/keys"),
            ("/v1/links/answer", "/v1/links"),
            ("/v1/accounts", "/v1/accounts"),
        ] {
            assert_eq!(route(path), logged);
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (error, again) in [
            (HttpError::TimedOut, true),
            (HttpError::Unexpected(429), true),
            (HttpError::Unexpected(502), true),
            (HttpError::Unexpected(404), false),
            (HttpError::Unexpected(200), false),
            (HttpError::Refused(Problem::new(ErrorCode::Unavailable, "")), true),
            (HttpError::Refused(Problem::new(ErrorCode::RateLimited, "")), true),
            (
                HttpError::Refused(Problem::new(ErrorCode::AccountTaken, "")),
                false,
            ),
        ] {
            assert_eq!(error.is_retryable(), again, "{error:?}");
        }
    }

    #[test]
    fn the_longer_of_header_and_body_is_waited_for() {
        let mut problem = Problem::new(ErrorCode::RateLimited, "Wait.");
        problem.retry_after_seconds = Some(7);
        let body = serde_json::to_vec(&problem).unwrap();
        for (header, wait) in [(3, 7), (9, 9)] {
            let failed = refusal(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(header), &body);
            assert_eq!(failed.retry_after, Duration::from_secs(wait));
        }
    }
}
