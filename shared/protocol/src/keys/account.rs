//! The key that stands for an account: it vouches for the account's devices.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    KeyError, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SignatureError, SigningKeyPair,
    VerifyingKey,
};

/// Our account key: ECDSA on P-256 with SHA-256.
///
/// It signs what the protocol defines, such as a [device list](crate::device_list), and nothing an app could hand it.
#[derive(Clone)]
pub struct AccountKeyPair {
    pair: SigningKeyPair,
    public: AccountKey,
}

impl AccountKeyPair {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(SigningKeyPair::generate(rng))
    }

    /// Reads the private key.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(SigningKeyPair::from_bytes(bytes)?))
    }

    /// The private key, for our own store only.
    pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_BYTES]> {
        self.pair.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &AccountKey {
        &self.public
    }

    /// Signs bytes that begin with a label of the protocol.
    pub(crate) fn sign(&self, labelled: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.pair.sign(labelled)
    }

    fn new(pair: SigningKeyPair) -> Self {
        let public = AccountKey(pair.public().clone());
        Self { pair, public }
    }
}

impl fmt::Debug for AccountKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKeyPair").finish_non_exhaustive()
    }
}

/// Someone's public account key. A type of its own: no device key stands in for it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountKey(VerifyingKey);

impl AccountKey {
    /// Reads a compressed point and checks that it lies on the curve.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] or [`KeyError::Curve`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(VerifyingKey::from_bytes(bytes)?))
    }

    /// The compressed point.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Verifies a signature over bytes that begin with a label of the protocol.
    pub(crate) fn verify(
        &self,
        labelled: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), SignatureError> {
        self.0.verify(labelled, signature)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey(")?;
        self.to_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ONE, rng};

    #[test]
    fn a_pair_survives_its_stored_form_and_nothing_else_is_read() {
        let pair = AccountKeyPair::generate(&mut rng(1));
        let stored = AccountKeyPair::from_bytes(pair.to_bytes().as_ref()).unwrap();
        assert_eq!(stored.public(), pair.public());
        assert_eq!(
            AccountKey::from_bytes(&pair.public().to_bytes()),
            Ok(pair.public().clone())
        );
        for bytes in [[0; 32].as_slice(), &[0xff; 32], &[1; 31], &[1; 33], &[]] {
            assert_eq!(AccountKeyPair::from_bytes(bytes).err(), Some(KeyError::Private));
        }
    }

    #[test]
    fn x01_x04_only_a_compressed_point_of_the_curve_is_an_account_key() {
        let off_curve = [[2].as_slice(), &[0; 31], &[1]].concat();
        assert_eq!(AccountKey::from_bytes(&off_curve), Err(KeyError::Curve));
        let uncompressed = [[4].as_slice(), &[1; 64]].concat();
        assert_eq!(AccountKey::from_bytes(&uncompressed), Err(KeyError::Encoding));
        assert_eq!(AccountKey::from_bytes(&[]), Err(KeyError::Encoding));
    }

    #[test]
    fn x86_the_private_half_does_not_print() {
        let pair = AccountKeyPair::from_bytes(&ONE).unwrap();
        assert_eq!(format!("{pair:?}"), "AccountKeyPair { .. }");
        let generator = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
        assert_eq!(format!("{:?}", pair.public()), format!("AccountKey({generator})"));
    }
}
