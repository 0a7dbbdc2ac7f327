//! Key encapsulation: ML-KEM-768 (FIPS 203).
//!
//! One side sends the ciphertext of a random secret that only the holder of the other's private key learns.
//! Decapsulation never fails: of a ciphertext made for another key, or changed on its way, it gives a secret
//! nobody else knows (implicit rejection, FIPS 203, section 6.3), so that what is encrypted with it does not
//! open.

use std::fmt;

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::secret::{SECRET_BYTES, Secret};

/// Bytes of an encapsulation key.
pub(crate) const KEM_KEY_BYTES: usize = 1184;

/// Bytes of a ciphertext.
pub(crate) const KEM_CIPHERTEXT_BYTES: usize = 1088;

/// Bytes of a private key as our own store keeps it: the seed `d || z` (FIPS 203, section 7.1).
pub(crate) const KEM_SEED_BYTES: usize = 64;

/// The ciphertext of an encapsulated secret. Every string of this length is one.
pub(crate) type KemCiphertext = [u8; KEM_CIPHERTEXT_BYTES];

/// The bytes are no encapsulation key: of another length, or with a coefficient that is not reduced (the
/// modulus check of FIPS 203, section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KemKeyError;

/// An encapsulation key that passed the checks of FIPS 203, section 7.2.
#[derive(Clone)]
pub(crate) struct KemPublicKey(Box<MlKem768PublicKey>);

impl KemPublicKey {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, KemKeyError> {
        let key = Self::from_stored_bytes(bytes.try_into().map_err(|_| KemKeyError)?);
        if mlkem768::validate_public_key(&key.0) {
            Ok(key)
        } else {
            Err(KemKeyError)
        }
    }

    /// Reads a key that was checked before, from our own store.
    pub(crate) fn from_stored_bytes(bytes: &[u8; KEM_KEY_BYTES]) -> Self {
        Self(Box::new(MlKem768PublicKey::from(bytes)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; KEM_KEY_BYTES] {
        self.0.as_slice()
    }

    /// A fresh secret, and the ciphertext that tells it to the holder of the private key. Draws 32 bytes.
    pub(crate) fn encapsulate(&self, rng: &mut impl CryptoRng) -> (Box<KemCiphertext>, Secret) {
        let mut randomness = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(randomness.as_mut());
        let (ciphertext, mut shared) = mlkem768::encapsulate(&self.0, *randomness);
        let secret = Secret::copy_of(&shared);
        shared.zeroize();
        (Box::new(ciphertext.into()), secret)
    }
}

impl PartialEq for KemPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for KemPublicKey {}

/// A private key, kept as its seed and ready for use. Zeroized when dropped, and on the heap, so that moving
/// what holds it leaves no copy behind.
#[derive(Clone)]
pub(crate) struct KemSecret {
    seed: Box<Zeroizing<[u8; KEM_SEED_BYTES]>>,
    expanded: Box<MlKem768PrivateKey>,
}

impl KemSecret {
    /// A fresh key. Draws 64 bytes.
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> (Self, KemPublicKey) {
        let mut seed = Zeroizing::new([0; KEM_SEED_BYTES]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of a seed; every seed has one (ML-KEM.KeyGen_internal, FIPS 203, section 6.1).
    pub(crate) fn from_seed(seed: &[u8; KEM_SEED_BYTES]) -> (Self, KemPublicKey) {
        let (private, public) = mlkem768::generate_key_pair(*seed).into_parts();
        let secret = Self {
            seed: Box::new(Zeroizing::new(*seed)),
            expanded: Box::new(private),
        };
        (secret, KemPublicKey(Box::new(public)))
    }

    pub(crate) fn seed(&self) -> &[u8; KEM_SEED_BYTES] {
        &self.seed
    }

    /// The secret a ciphertext tells, or one nobody knows if it was not made for this key.
    pub(crate) fn decapsulate(&self, ciphertext: &KemCiphertext) -> Secret {
        let mut shared = mlkem768::decapsulate(&self.expanded, &MlKem768Ciphertext::from(ciphertext));
        let secret = Secret::copy_of(&shared);
        shared.zeroize();
        secret
    }
}

impl Drop for KemSecret {
    #[allow(clippy::indexing_slicing, reason = "the full range of a fixed length")]
    fn drop(&mut self) {
        self.expanded[0..].zeroize();
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scripted, rng};

    #[test]
    fn both_sides_get_the_same_secret_and_a_seed_gives_its_key_again() {
        let (secret, public) = KemSecret::generate(&mut rng(1));
        let (ciphertext, ours) = public.encapsulate(&mut rng(2));
        assert_eq!(secret.decapsulate(&ciphertext).as_bytes(), ours.as_bytes());
        let (again, same) = KemSecret::from_seed(secret.seed());
        assert!(same == public);
        assert_eq!(again.decapsulate(&ciphertext).as_bytes(), ours.as_bytes());
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret_and_no_error() {
        let (secret, public) = KemSecret::generate(&mut rng(1));
        let (mut ciphertext, ours) = public.encapsulate(&mut rng(2));
        for at in [0, 543, KEM_CIPHERTEXT_BYTES - 1] {
            ciphertext[at] ^= 1;
            let other = secret.decapsulate(&ciphertext);
            assert_ne!(other.as_bytes(), ours.as_bytes());
            assert_eq!(other.as_bytes(), secret.decapsulate(&ciphertext).as_bytes());
            ciphertext[at] ^= 1;
        }
    }

    #[test]
    fn x01_a_key_with_a_coefficient_that_is_not_reduced_is_refused() {
        let (_, public) = KemSecret::generate(&mut rng(1));
        let good = *public.as_bytes();
        assert!(KemPublicKey::from_bytes(&good).is_ok());
        // Twelve bits to a coefficient, 768 of them, each below 3,329; then 32 bytes of any value.
        for (at, refused) in [(0, true), (384, true), (1149, true), (1152, false), (1181, false)] {
            let mut bytes = good;
            bytes[at..at + 3].copy_from_slice(&[0xff; 3]);
            assert_eq!(KemPublicKey::from_bytes(&bytes).is_err(), refused, "{at}");
        }
        let mut least = good;
        (least[0], least[1]) = (0x01, (least[1] & 0xf0) | 0x0d);
        assert!(KemPublicKey::from_bytes(&least).is_err(), "3,329 itself");
        least[0] = 0;
        assert!(KemPublicKey::from_bytes(&least).is_ok(), "3,328");
        for length in [0, 1, KEM_KEY_BYTES - 1, KEM_KEY_BYTES + 1] {
            assert!(KemPublicKey::from_bytes(&vec![0; length]).is_err(), "{length}");
        }
    }

    #[test]
    fn randomness_comes_from_the_source_and_nowhere_else() {
        let source = &mut Scripted::new(&[&[1; KEM_SEED_BYTES], &[2; SECRET_BYTES]]);
        let (_, public) = KemSecret::generate(source);
        let (ciphertext, secret) = public.encapsulate(source);
        assert!(source.is_used_up());
        let (again, same) = KemSecret::from_seed(&[1; KEM_SEED_BYTES]);
        assert!(same == public);
        assert_eq!(again.decapsulate(&ciphertext).as_bytes(), secret.as_bytes());
    }

    #[test]
    fn x86_a_private_key_does_not_print() {
        let (secret, _) = KemSecret::generate(&mut rng(1));
        assert_eq!(format!("{secret:?}"), "KemSecret(..)");
    }
}
