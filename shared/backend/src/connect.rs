//! `connect`: a device opened a WebSocket.
//!
//! The record is written before the socket opens, and the client asks for its mailbox after. `send` puts into
//! the mailbox before it reads the record. So whatever the order, a message is either posted here or found
//! there.
//!
//! Twice: the second run writes the same and closes nothing, because a connection never displaces itself. A
//! late one does not displace a connection that was opened after it. Partial: if the older connection could not
//! be closed, it gets no more news, still reaches only its own mailbox, and ends by API Gateway's limits.

use std::time::Duration;

use waxwing_wire::{ErrorCode, Problem, RegisteredDevice};

use crate::{Backend, fault::Fault, sockets::ConnectionId, tables::devices::Connected};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The device opened another connection after this one.
    #[error("This device has a newer connection.")]
    Superseded,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let code = match error {
            ConnectError::Unknown => ErrorCode::Unauthorized,
            ConnectError::Superseded => ErrorCode::Unavailable,
            ConnectError::Fault(fault) => return fault.into(),
        };
        Self::new(code, error.to_string())
    }
}

/// Records the device's connection, takes its push mark away and closes the connection before this one.
/// `opened` says when this connection was opened, since 1970, by API Gateway's clock.
///
/// # Errors
/// [`ConnectError`]: the connection must not open.
pub async fn connect(
    backend: &Backend,
    device: RegisteredDevice,
    connection: &ConnectionId,
    opened: Duration,
) -> Result<(), ConnectError> {
    let connected =
        backend
            .devices
            .connect_unless_superseded(device, connection, opened, backend.clock.now());
    match connected.await? {
        Connected::Now { displaced: None } => Ok(()),
        Connected::Now {
            displaced: Some(older),
        } => {
            // A failure is logged where it happens. It is no reason to refuse the newer connection.
            let _ = backend.sockets.close(&older).await;
            Ok(())
        }
        Connected::Superseded => Err(ConnectError::Superseded),
        Connected::Unknown => Err(ConnectError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{backend, device, operations};

    async fn displacing(close: u16) -> (Result<(), ConnectError>, Vec<String>) {
        let (backend, calls) = backend(move |call| match call.operation.as_str() {
            "UpdateItem" => (200, json!({ "Attributes": { "c": { "S": "older" } } })),
            _ => (close, json!({})),
        });
        let own = ConnectionId::new("own").unwrap();
        let result = connect(&backend, device(1, 1, 7), &own, Duration::from_secs(1)).await;
        (result, operations(&calls))
    }

    #[tokio::test]
    async fn x70_the_older_connection_is_closed_after_the_newer_is_recorded() {
        let (result, calls) = displacing(204).await;
        assert_eq!(result, Ok(()));
        assert_eq!(calls, ["UpdateItem devices", "DELETE older"]);
    }

    #[tokio::test]
    async fn x70_an_older_connection_that_is_gone_is_no_obstacle() {
        assert_eq!(displacing(410).await.0, Ok(()));
        assert_eq!(displacing(403).await.0, Ok(()));
    }
}
