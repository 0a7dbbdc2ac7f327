//! `disconnect`: a WebSocket closed. Best effort: API Gateway may never say so, and `send` finds out by 410.
//!
//! The record forgets the connection only if it is still this one. What was posted to a socket that was dying
//! may not have arrived; if anything waits in the mailbox, the device is marked for push. A `send` at the same
//! moment either is seen in the mailbox here, or sees the device away and marks it itself.
//!
//! Twice: the second run finds nothing to forget and still marks what waits, so a run that broke off in the
//! middle is completed by another.

use waxwing_wire::{Problem, RegisteredDevice};

use crate::{Backend, fault::Fault, sockets::ConnectionId};

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

/// Forgets `connection` if it is still the device's, and marks the device for push if anything waits for it.
///
/// # Errors
/// [`DisconnectError`].
pub async fn disconnect(
    backend: &Backend,
    device: RegisteredDevice,
    connection: &ConnectionId,
) -> Result<(), DisconnectError> {
    backend
        .devices
        .delete_connection_if(device.address, connection)
        .await?;
    let now = backend.clock.now();
    if backend.mailbox.has_alive(device, now).await? {
        // Does nothing if the device has another connection.
        backend.devices.mark_waiting_if_away(device, now).await?;
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
    use crate::testing::{backend, device, done, operations};

    /// I10: what was posted to a dying socket still leads to a push.
    #[tokio::test]
    async fn a_device_that_leaves_with_something_waiting_is_marked() {
        for (waiting, expected) in [(1, 3), (0, 2)] {
            let (backend, calls) = backend(move |call| match call.operation.as_str() {
                "Query" => (200, json!({ "Count": waiting })),
                _ => done(),
            });
            let own = ConnectionId::new("own").unwrap();
            assert_eq!(disconnect(&backend, device(1, 1, 7), &own).await, Ok(()));
            let expected = &["UpdateItem devices", "Query mailbox", "UpdateItem devices"][..expected];
            assert_eq!(operations(&calls), expected);
        }
    }
}
