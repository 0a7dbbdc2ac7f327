//! Key agreement: ECDH on P-256 (SP 800-56A, section 5.7.1.2; SEC 1, section 3.3.1).

use std::fmt;

use p256::elliptic_curve::sec1::ToSec1Point;
use rand::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::secret::{SECRET_BYTES, Secret};

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

    /// Prints a public key under the name of its type.
    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}(")?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
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

/// Whether a point is encoded the one way Waxwing accepts. Says nothing about the curve.
pub(crate) fn is_compressed(bytes: &[u8; POINT_BYTES]) -> bool {
    matches!(bytes, [2 | 3, ..])
}

/// A private key. Zeroized when dropped, and on the heap, so that moving what holds it leaves no copy behind.
#[derive(Clone)]
pub(crate) struct Scalar(Box<p256::SecretKey>);

impl Scalar {
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
        p256::SecretKey::from_bytes(bytes.into())
            .map(|key| Self(Box::new(key)))
            .map_err(|_| ScalarError)
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    pub(super) fn secret_key(&self) -> &p256::SecretKey {
        &self.0
    }

    /// The public point that belongs to this key.
    pub(crate) fn point(&self) -> Point {
        Point::from_decoded(self.0.public_key())
    }
}

/// The shared secret of a private key and a public point: the x-coordinate of their product.
pub(crate) fn agree(ours: &Scalar, theirs: &Point) -> Result<Secret, ZeroSecret> {
    let shared = p256::ecdh::diffie_hellman(ours.0.to_nonzero_scalar(), theirs.decoded.as_affine());
    let mut secret = Secret::zero();
    secret.as_mut().copy_from_slice(shared.raw_secret_bytes());
    let zero: Choice = secret.as_bytes().ct_eq(&[0; SECRET_BYTES]);
    if zero.into() { Err(ZeroSecret) } else { Ok(secret) }
}
