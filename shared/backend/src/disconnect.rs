//! `disconnect`: a WebSocket closed. Best effort: API Gateway may never say so, and `send` finds out by 410.
//!
//! The record forgets the connection only if it is still this one. What was posted to a socket that was dying may not
//! have arrived: if anything waits in the mailbox that is worth waking the device for, the same write owes it an alert, which
//! is published then. The mailbox is looked at first. That is soon enough: whoever posts from now on meets 410 and sets the mark itself, and whoever posted before
//! had put before. If it cannot be looked at, something is taken to wait: a push for nothing is better than none.
//!
//! Twice: the second run finds nothing to forget and still marks what waits. A run that broke off has changed nothing:
//! the next `send` meets 410, and if none comes, `wake` buries the connection when it is older than any lives. One that
//! broke off after its write has left the alert to `wake`.

use waxwing_wire::{Problem, RegisteredDevice};

use crate::{Backend, alert, fault::Fault, sockets::ConnectionId};

/// Why a closed connection could not be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectError {
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<DisconnectError> for Problem {
    fn from(DisconnectError::Fault(fault): DisconnectError) -> Self {
        fault.into()
    }
}

/// Forgets `connection` if it is still the device's, and alerts the device if anything urgent waits for it.
///
/// # Errors
/// [`DisconnectError`].
pub async fn disconnect(
    backend: &Backend,
    device: RegisteredDevice,
    connection: &ConnectionId,
) -> Result<(), DisconnectError> {
    let now = backend.clock.now();
    let devices = &backend.devices;
    if backend.mailbox.has_urgent(device, now).await.unwrap_or(true) {
        // Owes nothing if the device has another connection.
        let owed = devices
            .replace_connection_with_mark(device, connection, now)
            .await?;
        alert::give(backend, owed, now).await;
    } else {
        devices.delete_connection_if(device.address, connection).await?;
    }
    Ok(())
}

/// Closes a connection over which a device spoke that is not in its account any more. A failure is logged where it
/// happens; the next frame leads here again.
pub async fn hang_up(backend: &Backend, connection: &ConnectionId) {
    let _ = backend.sockets.close(connection).await;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, Call, backend, device, done, refused};

    async fn leaving(waiting: u32) -> Vec<(String, String)> {
        leaving_when(move || (200, json!({ "Count": waiting }))).await
    }

    /// When the query for what waits is answered so.
    async fn leaving_when(query: impl Fn() -> Answer + Send + Sync + 'static) -> Vec<(String, String)> {
        let (backend, calls) = backend(move |call| match call.operation.as_str() {
            "Query" => query(),
            _ => done(),
        });
        let own = ConnectionId::new("own").unwrap();
        assert_eq!(disconnect(&backend, device(1, 1, 7), &own).await, Ok(()));
        let calls = calls.lock().unwrap();
        let update = |call: &Call| {
            call.body["UpdateExpression"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        calls
            .iter()
            .map(|call| (call.operation.clone(), update(call)))
            .collect()
    }

    /// I10: what was posted to a dying socket leads to a push. Forgotten and marked is one write: a run that breaks off
    /// between the two would leave a device away with nobody to wake it.
    #[tokio::test]
    async fn a_device_that_leaves_with_something_waiting_is_forgotten_and_marked_at_once() {
        let calls = leaving(1).await;
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].0, "Query");
        assert_eq!(calls[1].1, "SET p = :now REMOVE c, t");
    }

    /// I10: API Gateway does not ask again.
    #[tokio::test]
    async fn a_device_whose_mailbox_cannot_be_looked_at_is_taken_to_have_something_waiting() {
        let calls = leaving_when(|| refused("ValidationException")).await;
        assert_eq!(calls[1].1, "SET p = :now REMOVE c, t");
    }

    #[tokio::test]
    async fn a_device_that_leaves_with_nothing_waiting_is_forgotten() {
        let calls = leaving(0).await;
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].1, "REMOVE c, t");
    }
}
