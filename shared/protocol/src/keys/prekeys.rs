//! The keys a device leaves at the service so that others can open sessions while it is away.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    KEM_KEY_BYTES, KeyError, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKeyPair, check_id,
    private_key,
};
use crate::{
    labels,
    primitives::{KEM_SEED_BYTES, KemPublicKey, KemSecret, Point, Scalar},
};

/// Our medium-term keys, replaced from time to time: one for key agreement on P-256, one for ML-KEM-768, under
/// one id and one signature, so that nobody can put another beside either.
#[derive(Clone)]
pub struct SignedPrekeyPair {
    scalar: Scalar,
    kem: KemSecret,
    public: SignedPrekey,
}

/// Someone's medium-term keys. Only [`PrekeyBundle`](crate::handshake::PrekeyBundle) says whose.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPrekey {
    id: u32,
    point: Point,
    kem: KemPublicKey,
}

/// Our key for one session only. Its private half is deleted as soon as that session's first message was
/// decrypted and stored.
#[derive(Clone)]
pub struct OneTimePrekeyPair {
    scalar: Scalar,
    public: OneTimePrekey,
}

/// Someone's key for one session only.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimePrekey {
    id: u32,
    point: Point,
}

impl SignedPrekeyPair {
    /// Bytes of [`to_bytes`](Self::to_bytes).
    pub const BYTES: usize = PRIVATE_KEY_BYTES + KEM_SEED_BYTES;

    /// Fresh keys under an id that was never used before. Draws 32 bytes from `rng`, more only if they are no
    /// valid key, then 64.
    ///
    /// # Errors
    /// [`KeyError::Id`].
    pub fn generate(id: u32, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        let id = check_id(id)?;
        Ok(Self::new(id, Scalar::generate(rng), KemSecret::generate(rng)))
    }

    /// Reads both private keys.
    ///
    /// # Errors
    /// [`KeyError::Id`] or [`KeyError::Private`].
    pub fn from_bytes(id: u32, bytes: &[u8]) -> Result<Self, KeyError> {
        let id = check_id(id)?;
        let (scalar, seed) = bytes.split_first_chunk().ok_or(KeyError::Private)?;
        let seed = seed.try_into().map_err(|_| KeyError::Private)?;
        Ok(Self::new(
            id,
            Scalar::from_bytes(scalar)?,
            KemSecret::from_seed(seed),
        ))
    }

    /// Both private keys, for our own store only: scalar (32 bytes), ML-KEM seed `d || z` (64 bytes).
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        if let Some(scalar) = bytes.first_chunk_mut() {
            *scalar = *self.scalar.to_bytes();
        }
        if let Some(seed) = bytes.last_chunk_mut() {
            *seed = *self.kem.seed();
        }
        bytes
    }

    /// The public halves.
    pub fn public(&self) -> &SignedPrekey {
        &self.public
    }

    /// Their id.
    pub fn id(&self) -> u32 {
        self.public.id
    }

    /// The signature under which these keys are published.
    pub fn sign(&self, signing: &SigningKeyPair) -> [u8; SIGNATURE_BYTES] {
        signing.sign(&self.public.signed_bytes())
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    pub(crate) fn kem(&self) -> &KemSecret {
        &self.kem
    }

    fn new(id: u32, scalar: Scalar, (kem, kem_public): (KemSecret, KemPublicKey)) -> Self {
        let point = scalar.point();
        let public = SignedPrekey {
            id,
            point,
            kem: kem_public,
        };
        Self { scalar, kem, public }
    }
}

impl fmt::Debug for SignedPrekeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPrekeyPair")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl SignedPrekey {
    /// Reads a compressed point and checks that it lies on the curve, and an ML-KEM-768 encapsulation key and
    /// checks that its coefficients are reduced (FIPS 203, section 7.2).
    ///
    /// # Errors
    /// [`KeyError::Id`], [`KeyError::Encoding`], [`KeyError::Curve`] or [`KeyError::Kem`].
    pub fn from_bytes(id: u32, key: &[u8], kem_key: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            id: check_id(id)?,
            point: Point::from_bytes(key)?,
            kem: KemPublicKey::from_bytes(kem_key)?,
        })
    }

    /// Their id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The P-256 key: a compressed point.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        *self.point.as_bytes()
    }

    /// The ML-KEM-768 encapsulation key.
    pub fn kem_key(&self) -> &[u8; KEM_KEY_BYTES] {
        self.kem.as_bytes()
    }

    pub(crate) fn point(&self) -> &Point {
        &self.point
    }

    pub(crate) fn kem(&self) -> &KemPublicKey {
        &self.kem
    }

    /// What their signature covers: label, id, P-256 key, ML-KEM key. Every part has a fixed length.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        [
            labels::SIGNED_PREKEY_SIGNATURE,
            &self.id.to_be_bytes(),
            self.point.as_bytes(),
            self.kem.as_bytes(),
        ]
        .concat()
    }
}

impl fmt::Debug for SignedPrekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedPrekey({}, {})", self.id, self.point)
    }
}

impl OneTimePrekeyPair {
    /// A fresh key under an id that was never used before.
    ///
    /// # Errors
    /// [`KeyError::Id`].
    pub fn generate(id: u32, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        Ok(Self::new(check_id(id)?, Scalar::generate(rng)))
    }

    /// Reads the private key.
    ///
    /// # Errors
    /// [`KeyError::Id`] or [`KeyError::Private`].
    pub fn from_bytes(id: u32, bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(check_id(id)?, Scalar::from_bytes(private_key(bytes)?)?))
    }

    /// The private key, for our own store only.
    pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_BYTES]> {
        self.scalar.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &OneTimePrekey {
        &self.public
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.public.id
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    fn new(id: u32, scalar: Scalar) -> Self {
        let point = scalar.point();
        Self {
            scalar,
            public: OneTimePrekey { id, point },
        }
    }
}

impl fmt::Debug for OneTimePrekeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimePrekeyPair")
            .field("id", &self.public.id)
            .finish_non_exhaustive()
    }
}

impl OneTimePrekey {
    /// Reads a compressed point and checks that it lies on the curve.
    ///
    /// # Errors
    /// [`KeyError::Id`], [`KeyError::Encoding`] or [`KeyError::Curve`].
    pub fn from_bytes(id: u32, bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            id: check_id(id)?,
            point: Point::from_bytes(bytes)?,
        })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The compressed point.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        *self.point.as_bytes()
    }

    pub(crate) fn point(&self) -> &Point {
        &self.point
    }
}

impl fmt::Debug for OneTimePrekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTimePrekey({}, {})", self.id, self.point)
    }
}
