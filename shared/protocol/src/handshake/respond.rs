//! The side that was written to.

use super::{
    AnsweredOpenings,
    answered::Admission,
    are_addresses,
    secret::SharedSecrets,
    transcript::{Party, Transcript},
};
use crate::{
    keys::{DeviceKeys, KeyError, OneTimePrekeyPair, SignedPrekeyPair, TheirDevice},
    message::PrekeyMessage,
    primitives::{Point, ZeroSecret},
    session::{DecryptError, Session},
};

/// Why a prekey message made no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// An address is empty, longer than [`MAX_ADDRESS_BYTES`](super::MAX_ADDRESS_BYTES), or both are the same.
    #[error("bad address")]
    Address,
    /// The sender has a long-term key of our own.
    #[error("the sender has one of our own keys")]
    OwnKey,
    /// The message names other long-term keys than the sender has.
    #[error("the message is from another device")]
    Sender,
    /// The message was made for another signed prekey than the one given.
    #[error("the message is for another signed prekey")]
    SignedPrekey,
    /// The message was made for another one-time prekey than the one given, or one is missing: it was used
    /// before.
    #[error("the message is for another one-time prekey")]
    OneTimePrekey,
    /// The message names no one-time prekey, and was answered before.
    #[error("the message was answered before")]
    Replayed,
    /// The message names no one-time prekey, and [`AnsweredOpenings::MAX`] such messages were answered under
    /// its signed prekey: publish a new one.
    #[error("too many openings without a one-time prekey")]
    TooManyOpenings,
    /// The base key is no key.
    #[error("base key: {0}")]
    BaseKey(#[source] KeyError),
    /// A shared secret is zero.
    #[error("a shared secret is zero")]
    ZeroSecret,
    /// The session was made, but the message does not open in it.
    #[error(transparent)]
    Decrypt(DecryptError),
}

impl From<ZeroSecret> for RespondError {
    fn from(_: ZeroSecret) -> Self {
        Self::ZeroSecret
    }
}

/// What stands against a prekey message being answered twice.
#[derive(Clone, Copy, Debug)]
pub enum OneTime<'a> {
    /// The private half the message names; deleted once it was answered.
    Prekey(&'a OneTimePrekeyPair),
    /// The message names none: what was answered under its signed prekey. It is to be remembered there, in the
    /// transaction that stores the session.
    Answered(&'a AnsweredOpenings),
}

/// Makes the session a prekey message belongs to, and decrypts the message. Nothing is used up on an error:
/// the one-time prekey is to be deleted together with storing the session that is returned.
///
/// `theirs` is the sender as known from before, or else [`PrekeyMessage::sender`].
///
/// # Errors
/// [`RespondError`], by what is wrong.
pub fn respond(
    ours: &DeviceKeys,
    our_address: &[u8],
    signed_prekey: &SignedPrekeyPair,
    one_time: OneTime<'_>,
    theirs: &TheirDevice,
    their_address: &[u8],
    message: &PrekeyMessage,
) -> Result<(Session, Vec<u8>), RespondError> {
    let opening = &message.opening;
    let our_device = ours.public();
    if !are_addresses(our_address, their_address) {
        return Err(RespondError::Address);
    }
    if our_device.shares_a_key_with(theirs) {
        return Err(RespondError::OwnKey);
    }
    if theirs.signing_key().to_bytes() != opening.signing_key
        || theirs.identity_key().to_bytes() != opening.identity_key
    {
        return Err(RespondError::Sender);
    }
    if signed_prekey.id() != opening.signed_prekey_id {
        return Err(RespondError::SignedPrekey);
    }
    let one_time_prekey = check_one_time(one_time, message)?;
    let base_key = Point::from_bytes(&opening.base_key).map_err(|e| RespondError::BaseKey(e.into()))?;
    let transcript = Transcript {
        initiator: Party {
            address: their_address,
            device: theirs,
        },
        responder: Party {
            address: our_address,
            device: &our_device,
        },
        base_key: &opening.base_key,
        signed_prekey: signed_prekey.public(),
        one_time_prekey: one_time_prekey.map(OneTimePrekeyPair::public),
        kem_ciphertext: &opening.kem_ciphertext,
    }
    .hash();

    let mut secrets = SharedSecrets::new();
    secrets.add(signed_prekey.scalar(), theirs.identity_key().point())?;
    secrets.add(ours.identity().scalar(), &base_key)?;
    secrets.add(signed_prekey.scalar(), &base_key)?;
    if let Some(prekey) = one_time_prekey {
        secrets.add(prekey.scalar(), &base_key)?;
    }
    let kem_secret = signed_prekey.kem().decapsulate(&opening.kem_ciphertext);
    let keys = secrets.into_keys(&kem_secret, &transcript);
    Session::responded(transcript, keys, signed_prekey, message).map_err(RespondError::Decrypt)
}

/// Checks that the message is for the one-time prekey given, or for none and not answered yet.
fn check_one_time<'a>(
    one_time: OneTime<'a>,
    message: &PrekeyMessage,
) -> Result<Option<&'a OneTimePrekeyPair>, RespondError> {
    match (one_time, message.one_time_prekey_id()) {
        (OneTime::Prekey(prekey), Some(id)) if prekey.id() == id => Ok(Some(prekey)),
        (OneTime::Answered(answered), None) => match answered.admit(message) {
            Admission::Admitted => Ok(None),
            Admission::OtherSignedPrekey => Err(RespondError::SignedPrekey),
            Admission::Replayed => Err(RespondError::Replayed),
            Admission::Full => Err(RespondError::TooManyOpenings),
        },
        (OneTime::Prekey(_) | OneTime::Answered(_), _) => Err(RespondError::OneTimePrekey),
    }
}
