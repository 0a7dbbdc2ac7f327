//! Key material and ciphertext. In JSON each is base64url without padding (RFC 4648, section 5).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::{MAX_CIPHERTEXT_BYTES, MAX_SEALED_LINK_BYTES, MIN_CIPHERTEXT_BYTES};

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// The text is not base64url without padding.
    #[error("not base64url without padding")]
    Base64,
    /// The length is not the one this value has.
    #[error("wrong length")]
    Length,
    /// A public key does not begin with 02 or 03.
    #[error("not a compressed point")]
    Encoding,
}

/// Encodes bytes as base64url without padding.
pub fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding.
///
/// # Errors
/// [`BytesError::Base64`].
pub fn from_base64(text: &str) -> Result<Vec<u8>, BytesError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| BytesError::Base64)
}

macro_rules! base64_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&to_base64(self.as_bytes()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                from_base64(&text)
                    .and_then(Self::from_vec)
                    .map_err(de::Error::custom)
            }
        }
    };
}

/// A P-256 public key: a compressed SEC1 point of 33 bytes (SEC 1, section 2.3.3), the only encoding
/// Waxwing accepts. Whether the point lies on the curve is for those to check who compute with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; Self::BYTES]);

impl PublicKey {
    /// Bytes of a compressed point.
    pub const BYTES: usize = 33;

    /// Checks the encoding's first byte.
    ///
    /// # Errors
    /// [`BytesError::Encoding`].
    pub fn new(bytes: [u8; Self::BYTES]) -> Result<Self, BytesError> {
        matches!(bytes, [2 | 3, ..])
            .then_some(Self(bytes))
            .ok_or(BytesError::Encoding)
    }

    /// The compressed point.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads a compressed point from a slice.
    ///
    /// # Errors
    /// [`BytesError::Length`] or [`BytesError::Encoding`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BytesError> {
        Self::new(bytes.try_into().map_err(|_| BytesError::Length)?)
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        Self::from_slice(&bytes)
    }
}

base64_serde!(PublicKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", to_base64(&self.0))
    }
}

/// An ECDSA signature over P-256 with SHA-256: r and s, 32 bytes each, big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; Self::BYTES]);

impl Signature {
    /// Bytes of r and s.
    pub const BYTES: usize = 64;

    /// Wraps r and s. Whether they verify is for the verifier.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// r and s.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads r and s from a slice.
    ///
    /// # Errors
    /// [`BytesError::Length`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BytesError> {
        Ok(Self(bytes.try_into().map_err(|_| BytesError::Length)?))
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        Self::from_slice(&bytes)
    }
}

base64_serde!(Signature);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// A key that secrets are encapsulated to: ML-KEM-768 (FIPS 203), 1,184 bytes. Whether it is well formed is for those
/// to check who compute with it.
#[derive(Clone, PartialEq, Eq)]
pub struct KemKey(Box<[u8; Self::BYTES]>);

impl KemKey {
    /// Bytes of an encapsulation key (FIPS 203, table 3).
    pub const BYTES: usize = 1184;

    /// Wraps the bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(Box::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads a key from a slice.
    ///
    /// # Errors
    /// [`BytesError::Length`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BytesError> {
        Ok(Self::new(bytes.try_into().map_err(|_| BytesError::Length)?))
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        Self::from_slice(&bytes)
    }
}

base64_serde!(KemKey);

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemKey(..)")
    }
}

/// SHA-256 over what a device publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyDigest([u8; Self::BYTES]);

impl KeyDigest {
    /// Bytes of a digest.
    pub const BYTES: usize = 32;

    /// Wraps the bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        Ok(Self(bytes.try_into().map_err(|_| BytesError::Length)?))
    }
}

base64_serde!(KeyDigest);

/// What a new device tells the device that links it, sealed with what only the QR code says: 1 to
/// [`MAX_SEALED_LINK_BYTES`] bytes that the service cannot read.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedLink(Vec<u8>);

impl SealedLink {
    /// Checks the length.
    ///
    /// # Errors
    /// [`BytesError::Length`].
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        let valid = (1..=MAX_SEALED_LINK_BYTES).contains(&bytes.len());
        valid.then_some(Self(bytes)).ok_or(BytesError::Length)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

base64_serde!(SealedLink);

impl fmt::Debug for SealedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedLink({} bytes)", self.0.len())
    }
}

/// What one device sealed for one other, for now alone: [`SealedEphemeral::BYTES`] bytes that the service cannot read,
/// whatever they say.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEphemeral(Box<[u8; Self::BYTES]>);

impl SealedEphemeral {
    /// Bytes of every sealed ephemeral message: what the protocol makes, and no more, so that this is no way to send
    /// anything else.
    pub const BYTES: usize = 97;

    /// Wraps the bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(Box::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        Ok(Self::new(bytes.try_into().map_err(|_| BytesError::Length)?))
    }
}

base64_serde!(SealedEphemeral);

impl fmt::Debug for SealedEphemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedEphemeral(..)")
    }
}

/// What one device encrypted for one other: [`MIN_CIPHERTEXT_BYTES`] to [`MAX_CIPHERTEXT_BYTES`] bytes that
/// the service cannot read. Its length is all that `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext(Vec<u8>);

impl Ciphertext {
    /// Checks the length.
    ///
    /// # Errors
    /// [`BytesError::Length`].
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, BytesError> {
        let valid = (MIN_CIPHERTEXT_BYTES..=MAX_CIPHERTEXT_BYTES).contains(&bytes.len());
        valid.then_some(Self(bytes)).ok_or(BytesError::Length)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

base64_serde!(Ciphertext);

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ciphertext({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x04_only_the_compressed_encoding_of_a_point_is_accepted() {
        for (first, length) in [(4, 65), (6, 65), (7, 65), (0, 1), (5, 33), (2, 32), (3, 34)] {
            let mut bytes = vec![1; length];
            bytes[0] = first;
            assert!(
                PublicKey::from_slice(&bytes).is_err(),
                "{first:02x}, {length} bytes"
            );
        }
        assert!(PublicKey::from_slice(&[[2].as_slice(), &[1; 32]].concat()).is_ok());
    }

    #[test]
    fn x82_a_ciphertext_is_accepted_up_to_its_bound_and_not_beyond() {
        for (length, accepted) in [
            (15, false),
            (16, true),
            (MAX_CIPHERTEXT_BYTES, true),
            (MAX_CIPHERTEXT_BYTES + 1, false),
        ] {
            let json = serde_json::to_string(&to_base64(&vec![7; length])).unwrap();
            assert_eq!(
                serde_json::from_str::<Ciphertext>(&json).is_ok(),
                accepted,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn padded_or_standard_base64_is_refused() {
        for text in ["AAAAAAAAAAAAAAAAAAAAAA==", "++++++++++++++++++++++", "AAA AAA"] {
            assert!(
                serde_json::from_value::<Ciphertext>(text.into()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn x86_a_ciphertext_does_not_print() {
        assert_eq!(
            format!("{:?}", Ciphertext::from_vec(vec![7; 16]).unwrap()),
            "Ciphertext(16 bytes)"
        );
    }
}
