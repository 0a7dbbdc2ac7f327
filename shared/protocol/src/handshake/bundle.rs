//! What a device publishes for those who want to write to it.

use crate::keys::{KeyError, OneTimePrekey, SIGNATURE_BYTES, SignedPrekey, TheirDevice};

/// Why a bundle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The signed prekey is no key.
    #[error("signed prekey: {0}")]
    SignedPrekey(#[source] KeyError),
    /// The one-time prekey is no key.
    #[error("one-time prekey: {0}")]
    OneTimePrekey(#[source] KeyError),
    /// The device did not sign the signed prekey.
    #[error("the signed prekey is not signed by the device")]
    Signature,
    /// A prekey is the same key as another one of the bundle.
    #[error("one key for two purposes")]
    SameKey,
}

/// A signed prekey as the service hands it out. Nothing of it is checked yet.
#[derive(Clone, Copy, Debug)]
pub struct PublishedSignedPrekey<'a> {
    /// Its id.
    pub id: u32,
    /// The P-256 key: a compressed point.
    pub key: &'a [u8],
    /// The ML-KEM-768 encapsulation key. There is no handshake without one.
    pub kem_key: &'a [u8],
    /// The device's signature over id and both keys.
    pub signature: &'a [u8; SIGNATURE_BYTES],
}

/// The verified keys of one device, enough to open a session with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeyBundle {
    pub(super) device: TheirDevice,
    pub(super) signed_prekey: SignedPrekey,
    pub(super) one_time_prekey: Option<OneTimePrekey>,
}

impl PrekeyBundle {
    /// Joins a device with its prekeys. The signed prekey's signature is verified by that device's key, so a
    /// bundle never mixes devices. `one_time_prekey` is id, key.
    ///
    /// This verifies one signature; keep `device` (see [`TheirDevice::to_bytes`]) and a handshake costs no other.
    ///
    /// # Errors
    /// [`BundleError`], by what is wrong.
    pub fn verify(
        device: TheirDevice,
        signed_prekey: PublishedSignedPrekey<'_>,
        one_time_prekey: Option<(u32, &[u8])>,
    ) -> Result<Self, BundleError> {
        let PublishedSignedPrekey {
            id,
            key,
            kem_key,
            signature,
        } = signed_prekey;
        let signed_prekey = SignedPrekey::from_bytes(id, key, kem_key).map_err(BundleError::SignedPrekey)?;
        let one_time_prekey = one_time_prekey
            .map(|(id, key)| OneTimePrekey::from_bytes(id, key))
            .transpose()
            .map_err(BundleError::OneTimePrekey)?;
        device
            .signing_key()
            .verify(&signed_prekey.signed_bytes(), signature)
            .map_err(|_| BundleError::Signature)?;
        let bundle = Self {
            device,
            signed_prekey,
            one_time_prekey,
        };
        if bundle.has_a_key_twice() {
            return Err(BundleError::SameKey);
        }
        Ok(bundle)
    }

    /// Whose keys these are.
    pub fn device(&self) -> &TheirDevice {
        &self.device
    }

    /// Whether the service still had a one-time prekey of the device.
    pub fn has_one_time_prekey(&self) -> bool {
        self.one_time_prekey.is_some()
    }

    fn has_a_key_twice(&self) -> bool {
        let signed = self.signed_prekey.to_bytes();
        let one_time = self.one_time_prekey.as_ref().map(OneTimePrekey::to_bytes);
        let long_term = [
            self.device.signing_key().to_bytes(),
            self.device.identity_key().to_bytes(),
        ];
        long_term.contains(&signed)
            || one_time.is_some_and(|one_time| one_time == signed || long_term.contains(&one_time))
    }
}
