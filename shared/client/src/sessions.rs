//! Which session encrypts, which decrypts.
//!
//! # One session to send with
//! Two devices may open sessions with each other at the same moment; then there are two, and messages under
//! way in both. Every session stays able to decrypt (up to
//! [`MAX_SESSIONS_PER_DEVICE`](crate::store::sessions::MAX_SESSIONS_PER_DEVICE)), and the one to send with is
//! chosen by what both sides can see:
//! 1. A session on which a message was received is known to work in both directions: it comes before one
//!    that was opened here and not answered yet.
//! 2. Of several of those, the one with the lowest id, which is the same number on both sides.
//!
//! The set of rule 1 only grows, so both sides end at the same session after each has heard the other once
//! in both, and no message is ever sent on a session the other side may lack if there is a better one.
//!
//! A device may also open a new session *on purpose*, because it cannot use the old one any more. Its opening
//! message then has a higher sequence number than anything heard before, whereas a device that opens one
//! unknowingly stops sending on it as soon as it hears of ours, so that what it sends there is older than
//! what it sends on ours. On a higher number all older sessions are retired: they decrypt, nothing more.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Message, PrekeyMessage, Session,
    handshake::{self, PrekeyBundle, RespondError},
    keys::{DeviceKeys, TheirDevice},
    session::DecryptError,
};
use waxwing_wire::{DeviceAddress, RegisteredDevice, keys::DeviceIdentity};

use crate::{
    events::UndecryptableReason,
    store::{
        StoreError,
        peers::{self, Acquaintance, PeerId, PeerKeys},
        prekeys, sessions,
    },
    transport::token::Credentials,
};

/// This device, once it is in an account.
#[derive(Debug)]
pub(crate) struct Me {
    pub(crate) keys: DeviceKeys,
    pub(crate) device: RegisteredDevice,
    pub(crate) credentials: Credentials,
}

impl Me {
    pub(crate) fn address(&self) -> DeviceAddress {
        self.device.address
    }
}

/// What the service says are somebody's keys does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("published keys do not verify")]
pub(crate) struct InvalidKeys;

/// Verifies the long-term keys of a published device.
pub(crate) fn verify_identity(identity: &DeviceIdentity) -> Result<TheirDevice, InvalidKeys> {
    TheirDevice::verify(
        identity.signing_key.as_bytes(),
        identity.identity_key.as_bytes(),
        identity.identity_signature.as_bytes(),
    )
    .map_err(|_| InvalidKeys)
}

/// Verifies all keys of a bundle.
pub(crate) fn verify_bundle(bundle: &waxwing_wire::claim::PrekeyBundle) -> Result<PrekeyBundle, InvalidKeys> {
    let signed = &bundle.published.signed_prekey;
    PrekeyBundle::verify(
        verify_identity(&bundle.published.identity)?,
        (
            signed.id.get(),
            signed.key.as_bytes(),
            signed.signature.as_bytes(),
        ),
        bundle
            .one_time_prekey
            .as_ref()
            .map(|prekey| (prekey.id.get(), prekey.key.as_bytes().as_slice())),
    )
    .map_err(|_| InvalidKeys)
}

/// Opens a session with a peer and stores it.
pub(crate) fn open(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (address, peer): (DeviceAddress, PeerId),
    bundle: &PrekeyBundle,
    now_millis: u64,
) -> Result<(), OpenError> {
    let session = handshake::initiate(
        rng,
        &me.keys,
        &me.address().to_bytes(),
        bundle,
        &address.to_bytes(),
    )
    .map_err(|_| InvalidKeys)?;
    sessions::insert(tx, peer, session, now_millis)?;
    sessions::choose(tx, peer)?;
    sessions::prune(tx, address)?;
    Ok(())
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    InvalidKeys(#[from] InvalidKeys),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Encrypts for a peer and stores the state the session has after it. `None`: there is no session, or it is
/// at its end. The ciphertext belongs into the same transaction (I17).
pub(crate) fn encrypt(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    peer: PeerId,
    plaintext: &[u8],
    now_millis: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(mut stored) = sessions::current(tx, peer)? else {
        return Ok(None);
    };
    match stored.session.encrypt(rng, plaintext) {
        Ok(ciphertext) => {
            sessions::update(tx, &stored, now_millis)?;
            Ok(Some(ciphertext))
        }
        Err(error) => {
            tracing::warn!(%error, "a session cannot encrypt");
            Ok(None)
        }
    }
}

/// What a ciphertext turned out to be. Nothing of it is stored yet: see [`settle`].
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plaintext: zeroize::Zeroizing<Vec<u8>>,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    /// On a session of the store.
    Known(sessions::StoredSession),
    /// It opened a session.
    New {
        keys: PeerKeys,
        session: Session,
        signed_prekey: u32,
        one_time_prekey: Option<u32>,
    },
}

/// Who sent an envelope, after everything was stored that decrypting it changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) peer: PeerId,
    pub(crate) acquaintance: Acquaintance,
    /// The envelope opened a session; and whether a one-time prekey took part.
    pub(crate) handshake: Option<bool>,
}

/// Why a ciphertext could not be decrypted, or the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecryptFailure {
    #[error(transparent)]
    Unreadable(#[from] UndecryptableReason),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decrypts what a device sent. Changes nothing in the store.
pub(crate) fn decrypt(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    ciphertext: &[u8],
) -> Result<Opened, DecryptFailure> {
    let message = Message::parse(ciphertext).map_err(|_| UndecryptableReason::Malformed)?;
    let (plaintext, sender) = match &message {
        Message::Prekey(prekey) => decrypt_prekey(tx, me, from, &message, prekey)?,
        Message::Ratchet(_) => decrypt_ratchet(tx, from, &message)?,
    };
    Ok(Opened {
        plaintext: plaintext.into(),
        sender,
    })
}

/// Stores what decrypting changed: the session's state, the one-time prekey that is used up, which session to
/// send with from now on. `sequence` is the message's, if its content has one.
pub(crate) fn settle(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    opened: Opened,
    sequence: Option<u64>,
    now_millis: u64,
) -> Result<Settled, StoreError> {
    let sequence = sequence.unwrap_or(0);
    let (mut stored, settled) = match opened.sender {
        Sender::Known(stored) => {
            let settled = Settled {
                peer: stored.peer,
                acquaintance: Acquaintance::Known,
                handshake: None,
            };
            (stored, settled)
        }
        Sender::New {
            keys,
            session,
            signed_prekey,
            one_time_prekey,
        } => {
            let (peer, acquaintance) = peers::meet(tx, from, &keys)?;
            match one_time_prekey {
                Some(id) => prekeys::delete_one_time(tx, id)?,
                None => prekeys::note_answered(tx, session.base_key(), signed_prekey)?,
            }
            let heard = sessions::highest(tx, peer)?;
            if heard > 0 && sequence > heard {
                sessions::retire_all(tx, peer)?;
            }
            let settled = Settled {
                peer,
                acquaintance,
                handshake: Some(one_time_prekey.is_some()),
            };
            (sessions::insert(tx, peer, session, now_millis)?, settled)
        }
    };
    stored.highest = stored.highest.max(sequence);
    sessions::update(tx, &stored, now_millis)?;
    sessions::choose(tx, settled.peer)?;
    if settled.handshake.is_some() {
        sessions::prune(tx, from)?;
    }
    Ok(settled)
}

fn decrypt_prekey(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    message: &Message,
    prekey: &PrekeyMessage,
) -> Result<(Vec<u8>, Sender), DecryptFailure> {
    let mut keys: PeerKeys = [0; TheirDevice::BYTES];
    let (signing_key, identity_key) = keys.split_at_mut(prekey.signing_key().len());
    signing_key.copy_from_slice(prekey.signing_key());
    identity_key.copy_from_slice(prekey.identity_key());

    let known = peers::find(tx, from, &keys)?;
    if let Some(peer) = known
        && let Some(mut stored) = sessions::by_base_key(tx, peer, prekey.base_key())?
    {
        let plaintext = stored.session.decrypt(message).map_err(reason)?;
        return Ok((plaintext, Sender::Known(stored)));
    }
    // Keys of a peer were verified when it was met.
    let theirs = match known {
        Some(_) => TheirDevice::from_bytes(&keys),
        None => prekey.sender(),
    }
    .map_err(|_| UndecryptableReason::NotAuthentic)?;
    let (session, plaintext) = answer(tx, me, from, &theirs, prekey)?;
    let sender = Sender::New {
        keys,
        session,
        signed_prekey: prekey.signed_prekey_id(),
        one_time_prekey: prekey.one_time_prekey_id(),
    };
    Ok((plaintext, sender))
}

/// Makes the session that a prekey message opens.
fn answer(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    theirs: &TheirDevice,
    prekey: &PrekeyMessage,
) -> Result<(Session, Vec<u8>), DecryptFailure> {
    let signed = prekeys::signed(tx, prekey.signed_prekey_id())?.ok_or(UndecryptableReason::PrekeyGone)?;
    let one_time = match prekey.one_time_prekey_id() {
        Some(id) => Some(prekeys::one_time(tx, id)?.ok_or(UndecryptableReason::PrekeyGone)?),
        None if prekeys::was_answered(tx, prekey.base_key())? => {
            return Err(UndecryptableReason::Replayed.into());
        }
        None => None,
    };
    handshake::respond(
        &me.keys,
        &me.address().to_bytes(),
        &signed,
        one_time.as_ref(),
        theirs,
        &from.to_bytes(),
        prekey,
    )
    .map_err(|error| match error {
        RespondError::Decrypt(error) => reason(error).into(),
        _ => UndecryptableReason::NotAuthentic.into(),
    })
}

/// A ratchet message does not name its session: they are tried, the likeliest first.
fn decrypt_ratchet(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    message: &Message,
) -> Result<(Vec<u8>, Sender), DecryptFailure> {
    let mut likeliest = UndecryptableReason::NoSession;
    for mut stored in sessions::of_device(tx, from)? {
        match stored.session.decrypt(message) {
            Ok(plaintext) => return Ok((plaintext, Sender::Known(stored))),
            Err(DecryptError::Authentication | DecryptError::UnknownChain) => {
                if likeliest == UndecryptableReason::NoSession {
                    likeliest = UndecryptableReason::NotAuthentic;
                }
            }
            Err(error) => likeliest = reason(error),
        }
    }
    Err(likeliest.into())
}

fn reason(error: DecryptError) -> UndecryptableReason {
    match error {
        DecryptError::WrongSession => UndecryptableReason::NoSession,
        DecryptError::Duplicate => UndecryptableReason::Replayed,
        DecryptError::TooOld => UndecryptableReason::TooOld,
        DecryptError::TooFarAhead | DecryptError::BeyondEnd => UndecryptableReason::TooFarAhead,
        DecryptError::Reflected
        | DecryptError::UnknownChain
        | DecryptError::RatchetKey(_)
        | DecryptError::ZeroSecret
        | DecryptError::Authentication => UndecryptableReason::NotAuthentic,
    }
}
