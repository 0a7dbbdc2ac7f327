//! The side that writes first.

use rand::CryptoRng;

use super::{
    PrekeyBundle, are_addresses,
    secret::SharedSecrets,
    transcript::{Party, Transcript},
};
use crate::{
    keys::{DeviceKeys, OneTimePrekey},
    message::Opening,
    primitives::{Scalar, ZeroSecret},
    session::Session,
};

/// Why no session could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitiateError {
    /// An address is empty, longer than [`MAX_ADDRESS_BYTES`](super::MAX_ADDRESS_BYTES), or both are the same.
    #[error("bad address")]
    Address,
    /// The bundle has a long-term key of our own.
    #[error("the bundle has one of our own keys")]
    OwnKey,
    /// A shared secret is zero.
    #[error("a shared secret is zero")]
    ZeroSecret,
}

impl From<ZeroSecret> for InitiateError {
    fn from(_: ZeroSecret) -> Self {
        Self::ZeroSecret
    }
}

/// Opens a session with the device whose bundle this is. Its messages carry the opening until the first
/// answer was decrypted.
///
/// Draws 32 bytes from `rng`, the private base key, more only if they are no valid key; then 32 for the key
/// encapsulation.
///
/// # Errors
/// [`InitiateError`], by what is wrong.
pub fn initiate(
    rng: &mut impl CryptoRng,
    ours: &DeviceKeys,
    our_address: &[u8],
    bundle: &PrekeyBundle,
    their_address: &[u8],
) -> Result<Session, InitiateError> {
    if !are_addresses(our_address, their_address) {
        return Err(InitiateError::Address);
    }
    let our_device = ours.public();
    if our_device.shares_a_key_with(&bundle.device) {
        return Err(InitiateError::OwnKey);
    }
    let base = Scalar::generate(rng);
    let base_key = *base.point().as_bytes();
    let (kem_ciphertext, kem_secret) = bundle.signed_prekey.kem().encapsulate(rng);
    let transcript = Transcript {
        initiator: Party {
            address: our_address,
            device: &our_device,
        },
        responder: Party {
            address: their_address,
            device: &bundle.device,
        },
        base_key: &base_key,
        signed_prekey: &bundle.signed_prekey,
        one_time_prekey: bundle.one_time_prekey.as_ref(),
        kem_ciphertext: &kem_ciphertext,
    }
    .hash();

    let mut secrets = SharedSecrets::new();
    secrets.add(ours.identity().scalar(), bundle.signed_prekey.point())?;
    secrets.add(&base, bundle.device.identity_key().point())?;
    secrets.add(&base, bundle.signed_prekey.point())?;
    if let Some(prekey) = &bundle.one_time_prekey {
        secrets.add(&base, prekey.point())?;
    }
    let opening = Opening {
        signed_prekey_id: bundle.signed_prekey.id(),
        one_time_prekey_id: bundle.one_time_prekey.as_ref().map(OneTimePrekey::id),
        signing_key: our_device.signing_key().to_bytes(),
        identity_key: our_device.identity_key().to_bytes(),
        identity_signature: ours.identity_signature(),
        base_key,
        kem_ciphertext,
    };
    let keys = secrets.into_keys(&kem_secret, &transcript);
    Ok(Session::initiated(
        transcript,
        opening,
        keys,
        *bundle.signed_prekey.point(),
    ))
}
