//! What this device publishes so that others can open sessions with it, and when more is published.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair};
use waxwing_wire::{
    KeyId, PublicKey, RegistrationId, Signature,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
    limits::{MAX_ONE_TIME_PREKEYS_PER_UPLOAD, PREKEYS_LOW},
    upload::{UploadRequest, Uploaded},
};

use crate::{
    clock,
    events::Event,
    sessions::Me,
    shared::Shared,
    store::{StoreError, prekeys},
    transport::http::HttpError,
};

/// One-time prekeys a full pool has.
const POOL: u32 = MAX_ONE_TIME_PREKEYS_PER_UPLOAD as u32;

/// The pool is filled up when it is seen with fewer: half, well above the mark at which the service speaks up.
const REFILL_BELOW: u32 = POOL / 2;
const _: () = assert!(REFILL_BELOW as usize > PREKEYS_LOW);

/// Uploads made for one refill. A store that is a restored copy learns in the first where to begin.
const UPLOADS: usize = 2;

/// Why keys were not published. They stay in the store, and the same ones are published next time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The device has no account.
    #[error("the device has no account yet; register or link it first")]
    NotRegistered,
    /// The service did not take them.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the first keys of a device.
pub(crate) fn make_first(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    prekeys::make_signed(tx, rng, now_millis)?;
    prekeys::make_one_time(tx, rng, POOL)
}

/// All a device publishes when it joins an account.
pub(crate) fn first_published(
    tx: &Transaction<'_>,
    keys: &DeviceKeys,
    registration: RegistrationId,
) -> Result<NewDevice, StoreError> {
    let signed = prekeys::newest_signed(tx)?.ok_or(StoreError::Damaged("signed prekey"))?;
    let one_time = prekeys::unpublished_one_time(tx, MAX_ONE_TIME_PREKEYS_PER_UPLOAD)?;
    Ok(NewDevice {
        registration,
        identity: DeviceIdentity {
            signing_key: public_key(keys.signing().public().to_bytes())?,
            identity_key: public_key(keys.identity().public().to_bytes())?,
            identity_signature: Signature::new(keys.identity_signature()),
        },
        signed_prekey: published_signed(&signed, keys)?,
        one_time_prekeys: published_one_time(&one_time)?,
    })
}

/// The service has what [`first_published`] gave.
pub(crate) fn confirm_first(tx: &Transaction<'_>, published: &NewDevice) -> Result<(), StoreError> {
    prekeys::confirm_signed(tx, published.signed_prekey.id.get())?;
    match published.one_time_prekeys.last() {
        Some(last) => prekeys::confirm_one_time(tx, last.id.get()),
        None => Ok(()),
    }
}

/// Fills the pool up if it has few left.
pub(crate) async fn refill(shared: &Shared, me: &Me, remaining: u32) -> Result<(), UploadError> {
    if remaining >= REFILL_BELOW {
        return Ok(());
    }
    let missing = POOL - remaining;
    let batch = move |tx: &Transaction<'_>, rng: &mut _| next_batch(tx, rng, missing);
    for _ in 0..UPLOADS {
        let one_time = shared.store.write(move |tx| batch(tx, &mut clock::rng())).await?;
        let request = UploadRequest {
            signed_prekey: None,
            one_time_prekeys: published_one_time(&one_time)?,
        };
        let uploaded = upload(shared, me, &request).await?;
        let last = request.one_time_prekeys.last().map(|last| last.id);
        if shared
            .store
            .write(move |tx| take_answer(tx, last, uploaded))
            .await?
        {
            shared.events.tell(Event::PrekeysUploaded {
                count: uploaded.stored,
            });
            return Ok(());
        }
    }
    tracing::warn!("the service knows prekeys of this device beyond its own");
    Ok(())
}

/// Replaces the signed prekey: makes a new one and publishes it. The old one is kept for what is under way.
/// One that could not be published last time is published instead of a second.
pub(crate) async fn rotate_signed(shared: &Shared) -> Result<(), UploadError> {
    let _one_at_a_time = shared.joining.lock().await;
    let me = shared.me().ok_or(UploadError::NotRegistered)?;
    let signed = shared
        .store
        .write::<_, StoreError>(|tx| match prekeys::unpublished_signed(tx)? {
            Some(signed) => Ok(signed),
            None => prekeys::make_signed(tx, &mut clock::rng(), clock::now_millis()),
        })
        .await?;
    let request = UploadRequest {
        signed_prekey: Some(published_signed(&signed, &me.keys)?),
        one_time_prekeys: Vec::new(),
    };
    upload(shared, &me, &request).await?;
    Ok(shared
        .store
        .write(move |tx| prekeys::confirm_signed(tx, signed.id()))
        .await?)
}

async fn upload(shared: &Shared, me: &Me, request: &UploadRequest) -> Result<Uploaded, HttpError> {
    shared.http.post("/v1/keys", Some(&me.credentials), request).await
}

/// What to publish next: what was not confirmed last time, so that a repetition is the same, or new keys.
pub(crate) fn next_batch(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    missing: u32,
) -> Result<Vec<OneTimePrekeyPair>, StoreError> {
    let unconfirmed = prekeys::unpublished_one_time(tx, MAX_ONE_TIME_PREKEYS_PER_UPLOAD)?;
    if !unconfirmed.is_empty() {
        return Ok(unconfirmed);
    }
    prekeys::make_one_time(tx, rng, missing)?;
    prekeys::unpublished_one_time(tx, MAX_ONE_TIME_PREKEYS_PER_UPLOAD)
}

/// Takes the answer to an upload whose last key was `last`. Returns `false` if the service has had ids beyond
/// it: then this store is an older copy of itself, none of these keys was published, and the next batch
/// begins beyond (attack X12).
pub(crate) fn take_answer(
    tx: &Transaction<'_>,
    last: Option<KeyId>,
    uploaded: Uploaded,
) -> Result<bool, StoreError> {
    match (uploaded.highest, last) {
        (Some(highest), Some(last)) if highest > last => {
            prekeys::skip_to(tx, highest)?;
            Ok(false)
        }
        (_, Some(last)) => {
            prekeys::confirm_one_time(tx, last.get())?;
            Ok(true)
        }
        (_, None) => Ok(true),
    }
}

fn published_signed(pair: &SignedPrekeyPair, keys: &DeviceKeys) -> Result<SignedPrekey, StoreError> {
    Ok(SignedPrekey {
        id: key_id(pair.id())?,
        key: public_key(pair.public().to_bytes())?,
        signature: Signature::new(pair.sign(keys.signing())),
    })
}

fn published_one_time(pairs: &[OneTimePrekeyPair]) -> Result<Vec<OneTimePrekey>, StoreError> {
    pairs
        .iter()
        .map(|pair| {
            Ok(OneTimePrekey {
                id: key_id(pair.id())?,
                key: public_key(pair.public().to_bytes())?,
            })
        })
        .collect()
}

fn key_id(id: u32) -> Result<KeyId, StoreError> {
    KeyId::new(id.into()).map_err(|_| StoreError::Damaged("prekey ids"))
}

fn public_key(bytes: [u8; PublicKey::BYTES]) -> Result<PublicKey, StoreError> {
    PublicKey::new(bytes).map_err(|_| StoreError::Damaged("public key"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, Party, account};

    const DAY: u64 = 24 * 60 * 60 * 1000;

    fn ids(pairs: &[OneTimePrekeyPair]) -> Vec<u32> {
        pairs.iter().map(OneTimePrekeyPair::id).collect()
    }

    fn uploaded(stored: u32, highest: u32) -> Uploaded {
        Uploaded {
            stored,
            highest: Some(KeyId::new(highest.into()).unwrap()),
        }
    }

    #[test]
    fn a_repeated_upload_has_the_same_keys_under_the_same_ids() {
        let mut party = Party::on_disk(account(1), 1, 11);
        let first = party.write(|tx, rng| next_batch(tx, rng, 80));
        assert_eq!(ids(&first), (101..=180).collect::<Vec<_>>());
        party.reopen();
        let again = party.write(|tx, rng| next_batch(tx, rng, 95));
        assert_eq!(
            published_one_time(&again).unwrap(),
            published_one_time(&first).unwrap()
        );
        let last = Some(KeyId::new(180).unwrap());
        // The service had stored them already: nothing was added, and that is fine.
        assert!(party.write(|tx, _| take_answer(tx, last, uploaded(0, 180))));
        let next = party.write(|tx, rng| next_batch(tx, rng, 5));
        assert_eq!(ids(&next), (181..=185).collect::<Vec<_>>());
    }

    #[test]
    fn x12_an_id_is_never_given_to_a_second_key() {
        let mut party = Party::new(account(1), 1, 11);
        party.write(|tx, _| Ok(tx.execute("DELETE FROM one_time_prekeys", [])?));
        let batch = party.write(|tx, rng| next_batch(tx, rng, 1));
        assert_eq!(ids(&batch), [101]);
    }

    #[test]
    fn x12_a_restored_copy_goes_on_above_what_the_service_has_seen() {
        let mut party = Party::new(account(1), 1, 11);
        let batch = party.write(|tx, rng| next_batch(tx, rng, 50));
        let last = batch.last().map(|pair| KeyId::new(pair.id().into()).unwrap());
        assert!(!party.write(|tx, _| take_answer(tx, last, uploaded(0, 400))));
        let next = party.write(|tx, rng| next_batch(tx, rng, 50));
        assert_eq!(ids(&next), (401..=450).collect::<Vec<_>>());
    }

    #[test]
    fn a_replaced_signed_prekey_is_kept_for_as_long_as_a_message_for_it_may_be_under_way() {
        let mut party = Party::new(account(1), 1, 11);
        let mut rotate = |now| party.write(|tx, rng| prekeys::make_signed(tx, rng, now)).id();
        assert_eq!(rotate(NOW + DAY), 2);
        assert_eq!(rotate(NOW + 30 * DAY), 3);
        assert_eq!(rotate(NOW + 40 * DAY), 4);
        let kept = |id| {
            party
                .store
                .read_now(|tx| Ok(prekeys::signed(tx, id)?.is_some()))
                .unwrap()
        };
        // The first was replaced 39 days before, the second 10.
        assert_eq!((1..=4).map(kept).collect::<Vec<_>>(), [false, true, true, true]);
    }

    #[test]
    fn prekeys_that_were_handed_out_and_never_used_do_not_pile_up() {
        let mut party = Party::new(account(1), 1, 11);
        for _ in 0..12 {
            party.write(|tx, rng| prekeys::make_one_time(tx, rng, POOL));
        }
        let count = "SELECT count(*), max(id) FROM one_time_prekeys";
        let (count, max): (u32, u32) =
            party.write(|tx, _| Ok(tx.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?));
        assert_eq!((count, max), (1_000, 1_300));
    }
}
