//! A device's long-term keys, ours and theirs.

use std::fmt;

use rand::CryptoRng;

use super::{
    DeviceError, IdentityKey, IdentityKeyPair, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKeyPair,
    VerifyingKey,
};
use crate::labels;

/// Our long-term keys.
#[derive(Clone)]
pub struct DeviceKeys {
    signing: SigningKeyPair,
    identity: IdentityKeyPair,
    identity_signature: [u8; SIGNATURE_BYTES],
}

impl DeviceKeys {
    /// Joins both keys and signs the identity key, once for all sessions.
    pub fn new(signing: SigningKeyPair, identity: IdentityKeyPair) -> Self {
        let identity_signature = signing.sign(&signed_bytes(identity.public()));
        Self {
            signing,
            identity,
            identity_signature,
        }
    }

    /// Fresh keys.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(SigningKeyPair::generate(rng), IdentityKeyPair::generate(rng))
    }

    /// The signing key.
    pub fn signing(&self) -> &SigningKeyPair {
        &self.signing
    }

    /// The identity key.
    pub fn identity(&self) -> &IdentityKeyPair {
        &self.identity
    }

    /// The signing key's signature over the identity key.
    pub fn identity_signature(&self) -> [u8; SIGNATURE_BYTES] {
        self.identity_signature
    }

    /// The public halves: this device as others see it.
    pub fn public(&self) -> TheirDevice {
        TheirDevice {
            signing: self.signing.public().clone(),
            identity: self.identity.public().clone(),
        }
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKeys").finish_non_exhaustive()
    }
}

/// The long-term keys of someone's device, of which the signing key vouches for the identity key.
///
/// That both belong to a certain person is for the caller to know: compare with what was seen before, and
/// tell the user when it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TheirDevice {
    signing: VerifyingKey,
    identity: IdentityKey,
}

impl TheirDevice {
    /// Bytes of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = 2 * PUBLIC_KEY_BYTES;

    /// Reads both keys and verifies the signature that joins them.
    ///
    /// # Errors
    /// [`DeviceError`], by what is wrong.
    pub fn verify(
        signing_key: &[u8],
        identity_key: &[u8],
        identity_signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<Self, DeviceError> {
        let device = Self::new(signing_key, identity_key)?;
        device
            .signing
            .verify(&signed_bytes(&device.identity), identity_signature)
            .map_err(|_| DeviceError::Signature)?;
        Ok(device)
    }

    /// Reads the keys of a device verified before, from our own store, without verifying again.
    ///
    /// # Errors
    /// [`DeviceError::SigningKey`] or [`DeviceError::IdentityKey`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, DeviceError> {
        let (signing_key, identity_key) = bytes.split_at(PUBLIC_KEY_BYTES);
        Self::new(signing_key, identity_key)
    }

    /// Signing key (33 bytes), identity key (33 bytes).
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some(signing_key) = bytes.first_chunk_mut() {
            *signing_key = self.signing.to_bytes();
        }
        if let Some(identity_key) = bytes.last_chunk_mut() {
            *identity_key = self.identity.to_bytes();
        }
        bytes
    }

    /// Verifies the device's signatures.
    pub fn signing_key(&self) -> &VerifyingKey {
        &self.signing
    }

    /// Takes part in key agreements.
    pub fn identity_key(&self) -> &IdentityKey {
        &self.identity
    }

    /// Whether any key of one device is a key of the other.
    pub(crate) fn shares_a_key_with(&self, other: &Self) -> bool {
        let theirs = [other.signing.point(), other.identity.point()];
        theirs.contains(&self.signing.point()) || theirs.contains(&self.identity.point())
    }

    fn new(signing_key: &[u8], identity_key: &[u8]) -> Result<Self, DeviceError> {
        let signing = VerifyingKey::from_bytes(signing_key).map_err(DeviceError::SigningKey)?;
        let identity = IdentityKey::from_bytes(identity_key).map_err(DeviceError::IdentityKey)?;
        if signing.point() == identity.point() {
            return Err(DeviceError::SameKey);
        }
        Ok(Self { signing, identity })
    }
}

/// What an identity signature covers: label, key.
fn signed_bytes(identity: &IdentityKey) -> Vec<u8> {
    [labels::IDENTITY_SIGNATURE, &identity.to_bytes()].concat()
}
