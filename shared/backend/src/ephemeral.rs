//! `ephemeral`: something for now alone, posted to those of the devices listed that are connected.
//!
//! It writes nothing. A dead connection is left for `send` to find, whose business the mark for push is: what is said
//! here is in no mailbox. Nothing is answered, so nobody learns who is connected (M22), not by the time an answer takes
//! either. Twice: the recipient drops what it has seen. Partial: some devices have it, and nobody misses it.

use std::collections::BTreeMap;

use futures_util::future;
use waxwing_wire::{
    DeviceAddress, Problem, RegisteredDevice, ServiceFrame,
    ephemeral::{Ephemeral, EphemeralRequest},
};

use crate::{Backend, fault::Fault};

/// Why nothing was posted. The sender is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EphemeralError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<EphemeralError> for Problem {
    fn from(error: EphemeralError) -> Self {
        match error {
            EphemeralError::Request(problem) => problem,
            EphemeralError::Fault(fault) => fault.into(),
        }
    }
}

/// Posts to the devices listed that are connected.
///
/// # Errors
/// [`EphemeralError`].
pub async fn ephemeral(
    backend: &Backend,
    sender: RegisteredDevice,
    request: EphemeralRequest,
) -> Result<(), EphemeralError> {
    request.check()?;
    let account = request.account;
    let connections: BTreeMap<_, _> = backend
        .devices
        .find_all_lately(account)
        .await?
        .into_iter()
        .filter_map(|record| Some((record.device, record.connection?)))
        .collect();
    let posts = request.devices.into_iter().filter_map(|device| {
        let to = RegisteredDevice {
            address: DeviceAddress {
                account,
                device: device.device,
            },
            registration: device.registration,
        };
        let connection = connections.get(&to)?;
        let news = ServiceFrame::Ephemeral(Ephemeral {
            from: sender.address,
            sealed: device.sealed,
        });
        Some(async move { backend.sockets.post(connection, &news).await })
    });
    // A failure is logged where it happens, and a connection that is gone is no matter here.
    let _posted = future::join_all(posts).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_wire::{SealedEphemeral, ephemeral::EphemeralDevice};

    use super::*;
    use crate::testing::{Answer, backend, device, device_item, operations};

    fn to(devices: &[RegisteredDevice]) -> EphemeralRequest {
        let devices = devices.iter().map(|device| EphemeralDevice {
            device: device.address.device,
            registration: device.registration,
            sealed: SealedEphemeral::new([7; SealedEphemeral::BYTES]),
        });
        EphemeralRequest {
            account: device(2, 1, 7).address.account,
            devices: devices.collect(),
        }
    }

    async fn calls_for(request: EphemeralRequest, post: Answer) -> Vec<String> {
        let (backend, calls) = backend(move |call| match call.operation.as_str() {
            "Query" => {
                let items = [
                    device_item(device(2, 1, 7), Some("first")),
                    device_item(device(2, 2, 8), None),
                    device_item(device(2, 3, 9), Some("third")),
                ];
                (200, json!({ "Items": items }))
            }
            _ => post.clone(),
        });
        assert_eq!(ephemeral(&backend, device(1, 1, 7), request).await, Ok(()));
        let mut calls = operations(&calls);
        calls.sort();
        calls
    }

    #[tokio::test]
    async fn only_connected_devices_of_the_list_are_posted_to_and_nothing_is_written() {
        let all = [device(2, 1, 7), device(2, 2, 8), device(2, 3, 9)];
        let expected = ["POST first", "POST third", "Query devices"];
        assert_eq!(calls_for(to(&all), (200, json!({}))).await, expected);
        let calls = calls_for(to(&all[..2]), (200, json!({}))).await;
        assert_eq!(calls, ["POST first", "Query devices"]);
    }

    #[tokio::test]
    async fn a_device_that_registered_anew_gets_nothing() {
        let calls = calls_for(to(&[device(2, 1, 6)]), (200, json!({}))).await;
        assert_eq!(calls, ["Query devices"]);
    }

    /// I10, I11: a dead connection is for `send` to find, with the mark for push.
    #[tokio::test]
    async fn a_dead_connection_is_left_alone() {
        let calls = calls_for(to(&[device(2, 1, 7)]), (410, json!({}))).await;
        assert_eq!(calls, ["POST first", "Query devices"]);
    }
}
