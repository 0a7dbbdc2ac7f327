//! What this device publishes so that others can open sessions with it, and when more is published.
//!
//! - One-time prekeys are filled up when few are left.
//! - The signed prekey (with its post-quantum half) is replaced every week; the private halves of the old one stay for as
//!   long as something made for it may arrive.
//! - Once a day device and service compare what is published. Where they differ, the device publishes anew.
//!
//! A store that is an older copy of itself would publish other keys under ids that were used. The service says so, and
//! this device moves its marks beyond them (attack X12).

mod answers;

use std::sync::Arc;

use rand::CryptoRng;
use rusqlite::Transaction;
use sha2::{Digest, Sha256};
use waxwing_protocol::keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair};
use waxwing_wire::{
    ErrorCode, KemKey, KeyId, PublicKey, RegistrationId, Signature,
    bytes::KeyDigest,
    check::{CheckRequest, Checked, published_bytes},
    fetch::Fetched,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
    limits::{MAX_ONE_TIME_PREKEYS_PER_UPLOAD, PREKEYS_LOW},
    upload::{UploadRequest, Uploaded},
};

use crate::{
    clock,
    events::Event,
    sessions::Me,
    shared::Shared,
    store::{StoreError, identity, prekeys},
    transport::http::HttpError,
};
pub(crate) use answers::take_answer;

/// One-time prekeys a full pool has.
const POOL: u32 = MAX_ONE_TIME_PREKEYS_PER_UPLOAD as u32;

/// The pool is filled up when it is seen with fewer: half, well above the mark at which the service speaks up.
const REFILL_BELOW: u32 = POOL / 2;
const _: () = assert!(REFILL_BELOW as usize > PREKEYS_LOW);

/// Uploads made for one refill. A store that is a restored copy learns in the first ones where to begin.
const UPLOADS: usize = 3;

/// How long a signed prekey is published: what is written while this device sleeps is as safe as this key, and a week
/// bounds how much of it one stolen key opens.
const ROTATE_AFTER_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;

/// How often device and service compare what is published.
const CHECK_EVERY_MILLIS: u64 = 24 * 60 * 60 * 1000;

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
        identity: published_identity(keys)?,
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
        let uploaded = match upload(shared, me, &request).await {
            Err(error) if error.is(ErrorCode::PrekeyConflict) => {
                skip_used(shared, me).await?;
                continue;
            }
            uploaded => uploaded?,
        };
        let last = request.one_time_prekeys.last().map(|last| last.id);
        let (stored, taken) = (uploaded.stored, uploaded);
        if shared
            .store
            .write(move |tx| take_answer(tx, last, &taken))
            .await?
        {
            shared.events.tell(Event::PrekeysUploaded { count: stored });
            return Ok(());
        }
    }
    tracing::warn!("the service knows prekeys of this device beyond its own");
    Ok(())
}

/// Asks which ids of one-time prekeys are used, and begins beyond them.
async fn skip_used(shared: &Shared, me: &Me) -> Result<(), UploadError> {
    let nothing = UploadRequest {
        signed_prekey: None,
        one_time_prekeys: Vec::new(),
    };
    let uploaded = upload(shared, me, &nothing).await?;
    if let Some(highest) = uploaded.highest {
        shared
            .store
            .write::<_, StoreError>(move |tx| prekeys::skip_to(tx, highest))
            .await?;
    }
    Ok(())
}

/// Replaces the signed prekey if it is due, forgets those replaced long ago, and compares once a day what is published.
pub(crate) async fn keep_up(shared: &Shared, me: &Arc<Me>) -> Result<(), UploadError> {
    let now = clock::now_millis();
    let (due, check) = shared
        .store
        .write::<_, StoreError>(move |tx| {
            prekeys::forget_replaced(tx, now)?;
            let due = prekeys::is_worn(tx, now.saturating_sub(ROTATE_AFTER_MILLIS))?
                || prekeys::unpublished_signed(tx)?.is_some();
            let check = identity::keys_checked_at(tx)?.abs_diff(now) >= CHECK_EVERY_MILLIS;
            Ok((due, check))
        })
        .await?;
    if due {
        rotate_signed(shared).await?;
    }
    if check {
        compare(shared, me).await?;
        shared
            .store
            .write::<_, StoreError>(move |tx| identity::set_keys_checked(tx, now))
            .await?;
    }
    Ok(())
}

/// Replaces the signed prekey: makes a new one and publishes it. The old one is kept for what is under way.
/// One that could not be published last time is published instead of a second.
pub(crate) async fn rotate_signed(shared: &Shared) -> Result<(), UploadError> {
    let _one_at_a_time = shared.joining.lock().await;
    let me = shared.me().ok_or(UploadError::NotRegistered)?;
    match publish_signed(shared, &me).await {
        Err(UploadError::Http(error)) if error.is(ErrorCode::StalePrekey) => {
            skip_signed(shared, &me).await?;
            publish_signed(shared, &me).await
        }
        published => published,
    }
}

async fn publish_signed(shared: &Shared, me: &Me) -> Result<(), UploadError> {
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
    upload(shared, me, &request).await?;
    Ok(shared
        .store
        .write(move |tx| prekeys::confirm_signed(tx, signed.id()))
        .await?)
}

/// Asks which signed prekey is published, and begins beyond it.
async fn skip_signed(shared: &Shared, me: &Me) -> Result<(), UploadError> {
    let address = me.address();
    let path = format!("/v1/keys/{}", address.account);
    let fetched: Fetched = shared.http.get(&path, &me.credentials).await?;
    let published = fetched
        .devices
        .into_iter()
        .find(|device| device.device == address.device);
    if let Some(published) = published {
        let highest = published.signed_prekey.id;
        shared
            .store
            .write::<_, StoreError>(move |tx| prekeys::skip_signed_to(tx, highest))
            .await?;
    }
    Ok(())
}

/// Compares what is published with what is believed to be. Where it differs, a new signed prekey replaces whatever is
/// there: long-term keys cannot differ, since tokens and the signed list of devices depend on them.
async fn compare(shared: &Shared, me: &Arc<Me>) -> Result<(), UploadError> {
    let asker = me.clone();
    let digest = shared.store.read(move |tx| digest(tx, &asker)).await?;
    let compared: Result<Checked, _> = shared
        .http
        .post("/v1/keys/check", Some(&me.credentials), &CheckRequest { digest })
        .await;
    match compared {
        Ok(checked) => refill(shared, me, checked.one_time_prekeys).await,
        Err(error) if error.is(ErrorCode::KeysDiffer) => {
            tracing::warn!("the service publishes other keys of this device than it has; publishing anew");
            skip_signed(shared, me).await?;
            rotate_signed(shared).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The digest of what this device believes is published.
fn digest(tx: &Transaction<'_>, me: &Me) -> Result<KeyDigest, StoreError> {
    let signed = prekeys::published_signed(tx)?.ok_or(StoreError::Damaged("signed prekey"))?;
    let bytes = published_bytes(
        me.device.registration,
        &published_identity(&me.keys)?,
        &published_signed(&signed, &me.keys)?,
    );
    Ok(KeyDigest::new(Sha256::digest(bytes).into()))
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

fn published_identity(keys: &DeviceKeys) -> Result<DeviceIdentity, StoreError> {
    Ok(DeviceIdentity {
        signing_key: public_key(keys.signing().public().to_bytes())?,
        identity_key: public_key(keys.identity().public().to_bytes())?,
        identity_signature: Signature::new(keys.identity_signature()),
    })
}

fn published_signed(pair: &SignedPrekeyPair, keys: &DeviceKeys) -> Result<SignedPrekey, StoreError> {
    Ok(SignedPrekey {
        id: key_id(pair.id())?,
        key: public_key(pair.public().to_bytes())?,
        kem_key: KemKey::new(*pair.public().kem_key()),
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
            gone: Vec::new(),
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
        assert!(party.write(|tx, _| take_answer(tx, last, &uploaded(0, 180))));
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
        assert!(!party.write(|tx, _| take_answer(tx, last, &uploaded(0, 400))));
        let next = party.write(|tx, rng| next_batch(tx, rng, 50));
        assert_eq!(ids(&next), (401..=450).collect::<Vec<_>>());
    }

    #[test]
    fn a_replaced_signed_prekey_is_kept_for_as_long_as_a_message_for_it_may_be_under_way() {
        let mut party = Party::new(account(1), 1, 11);
        let mut rotate = |now| {
            party.write(|tx, rng| {
                let made = prekeys::make_signed(tx, rng, now)?;
                prekeys::forget_replaced(tx, now)?;
                Ok(made.id())
            })
        };
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
    fn a_signed_prekey_is_replaced_after_a_week_and_not_before() {
        let mut party = Party::new(account(1), 1, 11);
        let due = |party: &mut Party, now: u64| {
            party.write(|tx, _| prekeys::is_worn(tx, now - ROTATE_AFTER_MILLIS))
        };
        assert!(!due(&mut party, NOW + ROTATE_AFTER_MILLIS));
        assert!(due(&mut party, NOW + ROTATE_AFTER_MILLIS + 1));
        party.write(|tx, rng| prekeys::make_signed(tx, rng, NOW + 8 * DAY));
        assert!(!due(&mut party, NOW + 9 * DAY));
    }

    #[test]
    fn x12_a_restored_copy_makes_its_next_signed_prekey_beyond_the_published_one() {
        let mut party = Party::new(account(1), 1, 11);
        party.write(|tx, rng| prekeys::make_signed(tx, rng, NOW));
        party.write(|tx, _| prekeys::skip_signed_to(tx, KeyId::new(7).unwrap()));
        let unpublished = party.write(|tx, _| Ok(prekeys::unpublished_signed(tx)?.is_some()));
        assert!(!unpublished, "one that is too old to be published was kept");
        assert_eq!(party.write(|tx, rng| prekeys::make_signed(tx, rng, NOW)).id(), 8);
    }

    #[test]
    fn the_digest_is_of_what_was_confirmed_and_not_of_what_was_made_since() {
        let mut party = Party::new(account(1), 1, 11);
        let me = party.me.clone();
        let before = party.write(|tx, _| digest(tx, &me));
        let newer = party.write(|tx, rng| prekeys::make_signed(tx, rng, NOW + DAY));
        assert_eq!(party.write(|tx, _| digest(tx, &me)), before);
        party.write(|tx, _| prekeys::confirm_signed(tx, newer.id()));
        assert_ne!(party.write(|tx, _| digest(tx, &me)), before);
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
