//! The endpoint for SDK clients in this process: requests are handed over, no socket in between.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;

use crate::aws::front::AwsFront;

/// The endpoint as an HTTP client of the SDK. Its timeouts are the caller's: dropping the call ends the wait.
#[derive(Debug, Clone)]
pub struct Connector {
    front: AwsFront,
}

impl Connector {
    /// A client of this endpoint, whatever address its requests name.
    pub fn new(front: AwsFront) -> Self {
        Self { front }
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let front = self.front.clone();
        HttpConnectorFuture::new(async move {
            let response = front.exchange(received(request).await?).await;
            let broken =
                || ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
            returned(response.ok_or_else(broken)?)
        })
    }
}

/// The SDK's request as a server gets it.
pub(super) async fn received(request: HttpRequest) -> Result<http::Request<Bytes>, ConnectorError> {
    let (parts, body) = as_user_error(request.try_into_http1x())?.into_parts();
    let body = match body.bytes() {
        Some(bytes) => Bytes::copy_from_slice(bytes),
        None => as_user_error(body.collect().await)?.to_bytes(),
    };
    Ok(http::Request::from_parts(parts, body))
}

/// A server's answer as the SDK gets it.
pub(super) fn returned(response: http::Response<Bytes>) -> Result<HttpResponse, ConnectorError> {
    as_user_error(HttpResponse::try_from(response.map(SdkBody::from)))
}

fn as_user_error<T, E>(result: Result<T, E>) -> Result<T, ConnectorError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    result.map_err(|error| ConnectorError::user(error.into()))
}
