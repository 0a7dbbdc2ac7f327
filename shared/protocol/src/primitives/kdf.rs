//! Key derivation: HKDF with SHA-256 (RFC 5869), and the hash itself.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::secret::Secret;

/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;

/// A pseudorandom key, ready to be expanded. Zeroized when dropped.
pub(crate) struct Prk(Hkdf<Sha256>);

impl Prk {
    /// HKDF-Extract (RFC 5869, section 2.2).
    pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Self {
        let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt), secret);
        prk.zeroize();
        Self(hkdf)
    }

    /// A key that already is uniformly random.
    #[allow(clippy::expect_used, reason = "HKDF takes any key of at least 32 bytes")]
    pub(crate) fn from_key(key: &Secret) -> Self {
        Self(Hkdf::from_prk(key.as_bytes()).expect("the key has 32 bytes"))
    }

    /// HKDF-Expand (RFC 5869, section 2.3) to 32 bytes. `info` is the concatenation of its parts.
    pub(crate) fn expand(&self, info: &[&[u8]]) -> Secret {
        let mut output = Secret::zero();
        self.expand_into(info, output.as_mut());
        output
    }

    #[allow(clippy::expect_used, reason = "HKDF gives up to 255 * 32 bytes")]
    fn expand_into(&self, info: &[&[u8]], output: &mut [u8]) {
        self.0
            .expand_multi_info(info, output)
            .expect("the output is short");
    }
}

/// SHA-256 of the concatenation of the parts.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
