//! What a device publishes so that others can open sessions with it.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::{KemKey, PublicKey, Signature},
    error::{ErrorCode, Problem},
    ids::{DeviceId, KeyId, RegistrationId},
    limits::MAX_ONE_TIME_PREKEYS_PER_UPLOAD,
};

/// The long-term keys of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceIdentity {
    /// Verifies the device's signatures (ECDSA over P-256 with SHA-256).
    pub signing_key: PublicKey,
    /// Takes part in key agreements (ECDH over P-256). Never the signing key.
    pub identity_key: PublicKey,
    /// By the signing key, over the identity key.
    pub identity_signature: Signature,
}

/// A pair of medium-term keys, replaced together from time to time: one id, one signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedPrekey {
    /// Rises with every replacement.
    pub id: KeyId,
    /// Takes part in key agreements (ECDH over P-256).
    pub key: PublicKey,
    /// Takes secrets encapsulated to it (ML-KEM-768).
    pub kem_key: KemKey,
    /// By the signing key, over id and both keys.
    pub signature: Signature,
}

/// A key for one session only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneTimePrekey {
    /// Rises with every key the device makes.
    pub id: KeyId,
    /// The key.
    pub key: PublicKey,
}

/// A device as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedDevice {
    /// Which device of the account.
    pub device: DeviceId,
    /// Its present registration.
    pub registration: RegistrationId,
    /// Its long-term keys.
    pub identity: DeviceIdentity,
    /// Its medium-term key.
    pub signed_prekey: SignedPrekey,
}

/// All a device publishes when it joins an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// The registration it chose.
    pub registration: RegistrationId,
    /// Its long-term keys.
    pub identity: DeviceIdentity,
    /// Its first medium-term key.
    pub signed_prekey: SignedPrekey,
    /// Its first one-time keys.
    pub one_time_prekeys: Vec<OneTimePrekey>,
}

impl NewDevice {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`check_one_time_prekeys`].
    pub fn check(&self) -> Result<(), Problem> {
        check_one_time_prekeys(&self.one_time_prekeys)
    }
}

/// Checks a list of one-time prekeys: at most [`MAX_ONE_TIME_PREKEYS_PER_UPLOAD`], ids strictly rising.
///
/// # Errors
/// [`ErrorCode::TooLarge`] or [`ErrorCode::Malformed`].
pub fn check_one_time_prekeys(prekeys: &[OneTimePrekey]) -> Result<(), Problem> {
    if prekeys.len() > MAX_ONE_TIME_PREKEYS_PER_UPLOAD {
        let message = format!(
            "At most {MAX_ONE_TIME_PREKEYS_PER_UPLOAD} one-time prekeys at a time; upload several times."
        );
        return Err(Problem::new(ErrorCode::TooLarge, message));
    }
    if !prekeys.is_sorted_by(|a, b| a.id < b.id) {
        return Err(Problem::new(
            ErrorCode::Malformed,
            "The ids of one-time prekeys must rise from one to the next.",
        ));
    }
    Ok(())
}
