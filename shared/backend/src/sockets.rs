//! Connections of devices: `@connections` of the WebSocket API.

use aws_sdk_apigatewaymanagement::{Client, error::SdkError, primitives::Blob};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use waxwing_wire::ServiceFrame;

use crate::fault::Fault;

/// The status for a connection that is not open (RFC 9110, section 15.5.11).
const GONE: u16 = 410;

/// API Gateway's name of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Characters of the longest id accepted. API Gateway's have 16.
    const MAX_CHARS: usize = 128;

    /// Checks the length. `None` if it is empty or too long.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (1..=Self::MAX_CHARS).contains(&text.len()).then_some(Self(text))
    }

    /// The id as API Gateway has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// API Gateway took it for an open connection. Whether it arrived, only an `ack` tells.
    Sent,
    /// The connection is gone (410).
    Gone,
}

/// All connections.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    client: Client,
}

impl Sockets {
    /// The connections behind `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Posts one frame of news.
    pub(crate) async fn post(
        &self,
        connection: &ConnectionId,
        frame: &ServiceFrame,
    ) -> Result<Posted, Fault> {
        let data = serde_json::to_vec(frame).map_err(|_| Fault::Internal)?;
        let request = self
            .client
            .post_to_connection()
            .connection_id(connection.as_str());
        match request.data(Blob::new(data)).send().await {
            Ok(_) => Ok(Posted::Sent),
            Err(error) if is_gone(&error) => Ok(Posted::Gone),
            Err(error) => Err(Fault::of("PostToConnection", &error)),
        }
    }

    /// Closes a connection. One that is gone already is no error.
    pub(crate) async fn close(&self, connection: &ConnectionId) -> Result<(), Fault> {
        let request = self.client.delete_connection().connection_id(connection.as_str());
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(Fault::of("DeleteConnection", &error)),
        }
    }
}

/// Whether the connection is gone. By the status, which API Gateway documents, whatever the body says.
fn is_gone<E>(error: &SdkError<E, HttpResponse>) -> bool {
    error
        .raw_response()
        .is_some_and(|response| response.status().as_u16() == GONE)
}
