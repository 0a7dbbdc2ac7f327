//! AWS-LC, by the crate `aws-lc-rs`: assembly for the curve and for AES-GCM.
//!
//! Keys come in as values the pure crates have checked. Should AWS-LC refuse one of them, or fail for want of
//! memory, the pure crates do the work; for a verifying key it means that nothing verifies.
//!
//! AWS-LC overwrites its copies of secrets when it frees them, and `aws-lc-rs` the shared secret it hands out.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey},
};
use p256::{PublicKey, SecretKey, elliptic_curve::sec1::ToSec1Point};
use zeroize::Zeroizing;

use super::{
    aead::{NONCE_BYTES, TAG_BYTES},
    backend::Backend,
    pure::Pure,
    secret::{SECRET_BYTES, Secret},
    signature::SIGNATURE_BYTES,
};

/// AWS-LC.
pub(crate) struct Accelerated;

impl Backend for Accelerated {
    /// Making it costs the public key, which is computed and checked: about half an agreement.
    type Private = Option<PrivateKey>;
    type Verifier = Option<ParsedPublicKey>;

    fn prepare(key: &SecretKey) -> Self::Private {
        let bytes: Zeroizing<[u8; SECRET_BYTES]> = Zeroizing::new(key.to_bytes().into());
        PrivateKey::from_private_key(&ECDH_P256, bytes.as_ref()).ok()
    }

    fn public(key: &SecretKey, private: &Self::Private) -> PublicKey {
        private
            .as_ref()
            .and_then(|private| private.compute_public_key().ok())
            .and_then(|public| PublicKey::from_sec1_bytes(public.as_ref()).ok())
            .unwrap_or_else(|| Pure::public(key, &()))
    }

    fn agree(key: &SecretKey, private: &Self::Private, theirs: &PublicKey) -> Secret {
        // Uncompressed, so that AWS-LC has no square root to compute: reading it costs a curve check.
        let point = theirs.to_sec1_point(false);
        let copy = |shared: &[u8]| shared.try_into().map(Secret::copy_of).map_err(|_| ());
        private
            .as_ref()
            .and_then(|ours| agree(ours, UnparsedPublicKey::new(&ECDH_P256, point), (), copy).ok())
            .unwrap_or_else(|| Pure::agree(key, &(), theirs))
    }

    fn verifier(key: &PublicKey) -> Self::Verifier {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1_point(false)).ok()
    }

    fn verify(verifier: &Self::Verifier, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        verifier
            .as_ref()
            .is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    #[allow(
        clippy::expect_used,
        reason = "GCM takes up to 64 GiB; a Waxwing message has some KB"
    )]
    fn seal(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        aead(key)
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                key.seal_in_place_separate_tag(nonce, Aad::from(associated_data), buffer)
                    .ok()
            })
            .and_then(|tag| tag.as_ref().try_into().ok())
            .expect("the message is short")
    }

    fn open(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        aead(key).is_some_and(|key| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            key.open_in_place_separate_tag(nonce, Aad::from(associated_data), tag, buffer)
                .is_ok()
        })
    }
}

/// A key for AES-GCM under nonces of our own choice: each of our keys encrypts one message.
fn aead(key: &Secret) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key.as_bytes())
        .ok()
        .map(LessSafeKey::new)
}
