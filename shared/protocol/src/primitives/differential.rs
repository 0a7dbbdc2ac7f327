//! Both back ends give the same bytes and the same refusals, for whatever they are given.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    accelerated::Accelerated,
    aead::{NONCE_BYTES, TAG_BYTES},
    agreement::{Point, SCALAR_BYTES, ScalarOf, agree},
    backend::Backend,
    pure::Pure,
    secret::Secret,
    signature::{SIGNATURE_BYTES, Signer, VerifierOf},
};
use crate::testing::{negated_private, unhex};

/// Numbers as they come, and the places where carries and masks go wrong: few bits set, few bits clear, near 0,
/// near n.
fn number() -> impl Strategy<Value = [u8; SCALAR_BYTES]> {
    let n: [u8; 32] = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        .try_into()
        .unwrap();
    let one_bit = |at: u8| {
        let mut bytes = [0; 32];
        bytes[usize::from(at) / 8] = 1 << (at % 8);
        bytes
    };
    let near = |end: u8| {
        let mut bytes = [0; 32];
        bytes[31] = end;
        bytes
    };
    prop_oneof![
        4 => any::<[u8; 32]>(),
        1 => any::<u8>().prop_map(one_bit),
        1 => any::<u8>().prop_map(move |at| one_bit(at).map(|byte| !byte)),
        1 => any::<u8>().prop_map(near),
        1 => any::<u8>().prop_map(move |end| negated_private(&near(end))),
        1 => Just(n),
    ]
}

fn scalars(bytes: &[u8; SCALAR_BYTES]) -> Option<(ScalarOf<Pure>, ScalarOf<Accelerated>)> {
    let pure = ScalarOf::from_bytes(bytes).ok()?;
    Some((pure, ScalarOf::from_bytes(bytes).unwrap()))
}

proptest! {
    #[test]
    fn public_keys_and_shared_secrets_are_the_same(ours in number(), theirs in number()) {
        if let (Some(ours), Some(theirs)) = (scalars(&ours), scalars(&theirs)) {
            let point = theirs.0.point();
            prop_assert!(point == theirs.1.point());
            prop_assert!(ours.0.point() == ours.1.point());
            let shared = agree(&ours.0, &point).map(|secret| *secret.as_bytes());
            prop_assert_eq!(shared, agree(&ours.1, &point).map(|secret| *secret.as_bytes()));
        }
    }

    #[test]
    fn secrets_with_points_nobody_has_the_key_of_are_the_same(ours in number(), x in number(), odd: bool) {
        let encoded = [&[2 | u8::from(odd)], x.as_slice()].concat();
        if let (Some(ours), Ok(point)) = (scalars(&ours), Point::from_bytes(&encoded)) {
            let shared = agree(&ours.0, &point).map(|secret| *secret.as_bytes());
            prop_assert_eq!(shared, agree(&ours.1, &point).map(|secret| *secret.as_bytes()));
        }
    }

    #[test]
    fn the_same_signatures_verify(
        key: [u8; 32],
        message in vec(any::<u8>(), 0..200),
        r in number(),
        s in number(),
        flip in proptest::option::of((any::<Index>(), 0..8)),
        kind in 0..3,
    ) {
        let Some((scalar, _)) = scalars(&key) else { return Ok(()) };
        let signer = Signer::new(&ScalarOf::from_bytes(&key).unwrap());
        let mut signature: [u8; SIGNATURE_BYTES] = match kind {
            0 => [r, s].concat().try_into().unwrap(),
            _ => signer.sign(&message),
        };
        if kind == 1 && let Some((at, bit)) = flip {
            signature[at.index(SIGNATURE_BYTES)] ^= 1_u8 << bit;
        }
        let pure = VerifierOf::<Pure>::new(&scalar.point()).verify(&message, &signature);
        prop_assert_eq!(pure, VerifierOf::<Accelerated>::new(&scalar.point()).verify(&message, &signature));
        prop_assert!(kind != 2 || pure.is_ok());
    }

    #[test]
    fn ciphertexts_tags_and_refusals_are_the_same(
        key: [u8; 32],
        nonce: [u8; NONCE_BYTES],
        associated_data in vec(any::<u8>(), 0..300),
        plaintext in vec(any::<u8>(), 0..3_000),
        flip in proptest::option::of((any::<Index>(), 0..8)),
    ) {
        let key = Secret::copy_of(&key);
        let (mut pure, mut accelerated) = (plaintext.clone(), plaintext.clone());
        let tag = Pure::seal(&key, &nonce, &associated_data, &mut pure);
        prop_assert_eq!(tag, Accelerated::seal(&key, &nonce, &associated_data, &mut accelerated));
        prop_assert_eq!(&pure, &accelerated);

        let mut sealed = [&pure, tag.as_slice()].concat();
        if let Some((at, bit)) = flip {
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
        }
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().unwrap();
        let (mut pure, mut accelerated) = (ciphertext.to_vec(), ciphertext.to_vec());
        let opened = Pure::open(&key, &nonce, &associated_data, &mut pure, tag);
        prop_assert_eq!(opened, flip.is_none());
        prop_assert_eq!(opened, Accelerated::open(&key, &nonce, &associated_data, &mut accelerated, tag));
        if opened {
            prop_assert_eq!(&pure, &plaintext);
            prop_assert_eq!(&accelerated, &plaintext);
        }
    }
}
