//! `link`: a new device takes up an offer and asks until it is answered.
//!
//! The first request for an offer gets it, by a conditional write that keeps the request's hash; any other request
//! for the same offer is refused, the token notwithstanding. The device that made the offer is told of the request
//! each time it is repeated, so that news lost on the way does not matter.
//!
//! `answer` adds the device to the account. Its one-time prekeys are not kept meanwhile: the device brings them with
//! each repetition, and the one that finds it linked publishes them. So an accepted device is in its account at once,
//! and for the moment until it asks again sessions with it open without a one-time prekey.
//!
//! Twice, or after a run that broke off: the same request finds itself, tells again or publishes what is not in yet,
//! and gives the same answer.

use sha2::{Digest, Sha256};
use waxwing_wire::{
    DeviceId, ErrorCode, Problem, RegisteredDevice, ServiceFrame,
    limits::{LINK_POLL_SECONDS, MAX_DEVICES_PER_ACCOUNT},
    link::{LinkKeys, LinkRequest, LinkRequested, LinkStatus},
    register::Registered,
};

use crate::{
    Backend,
    fault::Fault,
    news::tell,
    publish::{PublishError, publish_one_time_prekeys},
    tables::{
        devices::DeviceRecord,
        links::{RequestDigest, Stage},
    },
    verify::{self, KeyError},
};

/// Why a link was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The offer is unknown, expired, declined, taken up by another request, or its maker is gone.
    #[error("This offer has ended or was used. Ask the other device for a new one.")]
    Ended,
    /// The account has as many devices as it may.
    #[error("The account has {MAX_DEVICES_PER_ACCOUNT} devices. Remove one first.")]
    TooMany,
    /// One-time prekeys are published with other bytes.
    #[error(transparent)]
    Publish(PublishError),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let code = match error {
            LinkError::Request(problem) => return problem,
            LinkError::Key(error) => return error.into(),
            LinkError::Publish(error) => return error.into(),
            LinkError::Fault(fault) => return fault.into(),
            LinkError::Ended => ErrorCode::InvalidLink,
            LinkError::TooMany => ErrorCode::TooManyDevices,
        };
        Self::new(code, error.to_string())
    }
}

/// Takes up an offer, or says what became of that.
///
/// # Errors
/// [`LinkError`].
pub async fn link(backend: &Backend, request: LinkRequest) -> Result<LinkStatus, LinkError> {
    request.check()?;
    let digest = digest(&request)?;
    let now = backend.clock.now();
    let mut link = backend.links.find_alive(&request.token, now).await?;
    if link.as_ref().is_some_and(|link| link.stage == Stage::Offered) {
        verify::new_device(&request.device)?;
        let links = &backend.links;
        link = links
            .take_up_if_open(&request.token, digest, &request.device, now)
            .await?;
    }
    let link = link.ok_or(LinkError::Ended)?;
    match link.stage {
        Stage::TakenUp { request: by, .. } if by == digest => {
            ask(backend, link.offerer, request).await?;
            Ok(LinkStatus::Waiting {
                next_in_seconds: LINK_POLL_SECONDS,
            })
        }
        Stage::Linked { request: by, device } if by == digest => {
            settle_in(backend, device, &request).await.map(LinkStatus::Linked)
        }
        _ => Err(LinkError::Ended),
    }
}

/// Tells the device that made the offer.
async fn ask(backend: &Backend, offerer: RegisteredDevice, request: LinkRequest) -> Result<(), LinkError> {
    let devices = backend.devices.find_all(offerer.address.account).await?;
    let offerer = devices.iter().find(|record| record.device == offerer);
    let offerer = offerer.ok_or(LinkError::Ended)?;
    let LinkRequest {
        token,
        device: new,
        sealed,
    } = request;
    let news = ServiceFrame::LinkRequested(LinkRequested {
        token,
        device: lowest_free(&devices).ok_or(LinkError::TooMany)?,
        keys: LinkKeys {
            registration: new.registration,
            signing_key: new.identity.signing_key,
            identity_key: new.identity.identity_key,
        },
        sealed,
    });
    tell(backend, [offerer], &news).await;
    Ok(())
}

/// Fills the pool of a device that was accepted.
async fn settle_in(
    backend: &Backend,
    device: RegisteredDevice,
    request: &LinkRequest,
) -> Result<Registered, LinkError> {
    let published = publish_one_time_prekeys(backend, device, &request.device.one_time_prekeys).await;
    published.map_err(|error| match error {
        // Revoked since.
        PublishError::Unknown => LinkError::Ended,
        PublishError::Conflict => LinkError::Publish(error),
        PublishError::Fault(fault) => LinkError::Fault(fault),
    })?;
    Ok(Registered {
        account: device.address.account,
        device: device.address.device,
    })
}

/// The hash of all that the request says: the token alone, once photographed, repeats nothing.
fn digest(request: &LinkRequest) -> Result<RequestDigest, Fault> {
    let bytes = serde_json::to_vec(request).map_err(|_| Fault::Internal)?;
    Ok(Sha256::digest(bytes).into())
}

/// The lowest id of 1 to [`MAX_DEVICES_PER_ACCOUNT`] that no device has.
fn lowest_free(records: &[DeviceRecord]) -> Option<DeviceId> {
    (1..=MAX_DEVICES_PER_ACCOUNT)
        .filter_map(|id| DeviceId::new(u64::try_from(id).ok()?).ok())
        .find(|id| records.iter().all(|record| record.device.address.device != *id))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::{bytes::SealedLink, limits::OFFER_LIFE_SECONDS, secret::LinkToken};

    use super::*;
    use crate::{
        clock::UnixSeconds,
        testing::{
            Answer, Call, backend, condition_failed, device, device_item, done, keys_item, operations,
            standard_base64,
        },
        verify::tests::TestDevice,
    };

    fn offerer() -> RegisteredDevice {
        device(1, 1, 7)
    }

    fn request(seed: u8) -> LinkRequest {
        LinkRequest {
            token: LinkToken::new([9; 16]),
            device: TestDevice::new(seed).published,
            sealed: SealedLink::from_vec(vec![5; 125]).unwrap(),
        }
    }

    fn now(backend: &Backend) -> UnixSeconds {
        backend.clock.now()
    }

    /// The offer as the table has it.
    fn offered(expires_at: UnixSeconds) -> Value {
        json!({
            "t": { "B": "" },
            "o": { "B": standard_base64(&offerer().to_bytes()) },
            "z": { "N": "1" },
            "expires_at": { "N": expires_at.0.to_string() },
        })
    }

    /// The offer after this request took it up.
    fn taken_up(by: &LinkRequest, expires_at: UnixSeconds) -> Value {
        let mut item = keys_item(offerer(), &by.device);
        for (name, value) in offered(expires_at).as_object().unwrap() {
            item[name] = value.clone();
        }
        item["z"] = json!({ "N": "2" });
        item["q"] = json!({ "B": standard_base64(&digest(by).unwrap()) });
        item
    }

    /// The offer after this request was accepted, as device 2.
    fn linked(by: &LinkRequest, expires_at: UnixSeconds) -> Value {
        let mut item = taken_up(by, expires_at);
        item["z"] = json!({ "N": "3" });
        item["d"] = json!({ "N": "2" });
        item
    }

    fn in_a_while() -> UnixSeconds {
        let clock = crate::Clock::system();
        clock.now().plus(OFFER_LIFE_SECONDS)
    }

    /// AWS with this link, the offerer connected, everything else as wished.
    fn with_link(
        link: Value,
        otherwise: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
        move |call| match (call.operation.as_str(), call.table.as_str()) {
            ("GetItem", "links") => (200, json!({ "Item": link })),
            ("Query", "devices") => (200, json!({ "Items": [device_item(offerer(), Some("open"))] })),
            _ => otherwise(call),
        }
    }

    #[tokio::test]
    async fn the_first_request_gets_the_offer_and_its_maker_is_told() {
        let after = taken_up(&request(3), in_a_while());
        let script = with_link(offered(in_a_while()), move |call| match call.operation.as_str() {
            "UpdateItem" => (200, json!({ "Attributes": after })),
            _ => done(),
        });
        let (backend, calls) = backend(script);
        let status = link(&backend, request(3)).await;
        assert_eq!(
            status,
            Ok(LinkStatus::Waiting {
                next_in_seconds: LINK_POLL_SECONDS
            })
        );
        let calls = calls.lock().unwrap();
        let news = &calls.last().unwrap().body;
        assert_eq!(news["type"], "link_requested");
        assert_eq!(news["device"], 2);
        assert_eq!(news["registration"], json!(request(3).device.registration));
        assert_eq!(news["sealed"], json!(request(3).sealed));
    }

    /// X41: the token is good for one device, however two of them race for it.
    #[tokio::test]
    async fn x41_whoever_comes_second_is_refused() {
        let (seen, raced) = (offered(in_a_while()), taken_up(&request(3), in_a_while()));
        let script = with_link(seen, move |call| match call.operation.as_str() {
            "UpdateItem" => condition_failed(&raced),
            _ => done(),
        });
        let (backend, _) = backend(script);
        assert_eq!(link(&backend, request(4)).await, Err(LinkError::Ended));
    }

    /// X41: whoever photographed the QR code after the new device used it, and knows the device's public keys,
    /// can repeat nothing of its request.
    #[tokio::test]
    async fn x41_the_token_with_anything_else_changed_is_refused() {
        let changes: [fn(&mut LinkRequest); 3] = [
            |request| request.device.one_time_prekeys.clear(),
            |request| request.sealed = SealedLink::from_vec(vec![6; 125]).unwrap(),
            |request| request.device.signed_prekey = TestDevice::new(4).published.signed_prekey,
        ];
        for state in [taken_up, linked] {
            for change in changes {
                let (backend, calls) = backend(with_link(state(&request(3), in_a_while()), |_| done()));
                let mut changed = request(3);
                change(&mut changed);
                assert_eq!(link(&backend, changed).await, Err(LinkError::Ended));
                assert_eq!(operations(&calls), ["GetItem links"]);
            }
        }
    }

    #[tokio::test]
    async fn x41_x73_an_expired_offer_that_is_still_in_the_table_is_none() {
        for state in [taken_up, linked] {
            let (backend, calls) = backend(with_link(Value::Null, |_| done()));
            let expired = state(&request(3), now(&backend));
            drop((backend, calls));
            let (backend, calls) = crate::testing::backend(with_link(expired, |_| done()));
            assert_eq!(link(&backend, request(3)).await, Err(LinkError::Ended));
            assert_eq!(operations(&calls), ["GetItem links"]);
        }
    }

    /// I14: the request again tells again, and changes nothing.
    #[tokio::test]
    async fn a_repeated_request_tells_again_and_writes_nothing() {
        let (backend, calls) = backend(with_link(taken_up(&request(3), in_a_while()), |_| done()));
        assert!(matches!(
            link(&backend, request(3)).await,
            Ok(LinkStatus::Waiting { .. })
        ));
        assert_eq!(
            operations(&calls),
            ["GetItem links", "Query devices", "POST open"]
        );
    }

    #[tokio::test]
    async fn an_offer_ends_with_the_device_that_made_it() {
        let link_item = taken_up(&request(3), in_a_while());
        let (backend, _) = backend(move |call| match call.table.as_str() {
            "links" => (200, json!({ "Item": link_item })),
            "devices" => (
                200,
                json!({ "Items": [device_item(device(1, 1, 8), Some("open"))] }),
            ),
            _ => done(),
        });
        assert_eq!(link(&backend, request(3)).await, Err(LinkError::Ended));
    }

    /// I14: the pool is filled by the repetition that finds the device accepted, and once.
    #[tokio::test]
    async fn an_accepted_device_brings_its_one_time_prekeys() {
        let new = request(3).device;
        let own = RegisteredDevice {
            address: device(1, 2, 7).address,
            registration: new.registration,
        };
        let published = keys_item(own, &new);
        let script = with_link(linked(&request(3), in_a_while()), move |call| {
            match call.table.as_str() {
                "keys" => (200, json!({ "Item": published })),
                _ => done(),
            }
        });
        let (backend, calls) = backend(script);
        let expected = LinkStatus::Linked(Registered {
            account: own.address.account,
            device: own.address.device,
        });
        assert_eq!(link(&backend, request(3)).await, Ok(expected));
        assert_eq!(
            operations(&calls),
            ["GetItem links", "GetItem keys", "TransactWriteItems"]
        );
    }

    #[tokio::test]
    async fn x08_nothing_is_written_for_keys_that_do_not_verify() {
        let (backend, calls) = backend(with_link(offered(in_a_while()), |_| done()));
        let mut bad = request(3);
        bad.device.signed_prekey.id = waxwing_wire::KeyId::MAX;
        let result = link(&backend, bad).await;
        assert_eq!(result, Err(LinkError::Key(KeyError::Signature)));
        assert_eq!(operations(&calls), ["GetItem links"]);
    }

    #[test]
    fn a_device_gets_the_lowest_free_id_and_a_full_account_has_none() {
        let record = |id: &u64| DeviceRecord {
            device: device(1, *id, 7),
            signing_key: waxwing_wire::PublicKey::new([2; 33]).unwrap(),
            connection: None,
            owed_since: None,
            alerted_at: None,
            endpoint: None,
            seen_at: UnixSeconds(0),
        };
        let free = |ids: &[u64]| lowest_free(&ids.iter().map(record).collect::<Vec<_>>());
        assert_eq!(free(&[1]), DeviceId::new(2).ok());
        assert_eq!(free(&[1, 2, 4]), DeviceId::new(3).ok());
        assert_eq!(free(&[1, 2, 3, 4, 5]), DeviceId::new(6).ok());
        assert_eq!(free(&[1, 2, 3, 4, 5, 6]), None);
    }
}
