//! Vectors of NIST's Cryptographic Algorithm Validation Program, under both back ends. The files are in
//! `vectors/nist`, each with its source; those of Wycheproof and of the RFCs are tried beside what they test.

use std::collections::HashMap;

use super::{
    aead::{NONCE_BYTES, TAG_BYTES},
    agreement::{Point, PointError, STORED_POINT_BYTES, ScalarOf, agree},
    backend::{Backend, under_both_backends},
    secret::Secret,
    signature::{SIGNATURE_BYTES, VerifierOf},
};
use crate::testing::{negated_private, unhex};

under_both_backends!(
    x01_nist_public_keys,
    nist_key_pairs,
    x01_nist_key_agreement,
    x05_nist_signatures,
    x05_nist_signatures_of_others,
    nist_gcm,
);

/// One test of a response file: its values by their names.
struct Row(HashMap<&'static str, &'static str>);

/// The tests of a response file: lines `name = value`, with an empty line between tests.
fn rows(file: &'static str) -> Vec<Row> {
    let row = |text: &'static str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Row(lines
            .map(|line| line.split_once('=').unwrap_or((line, "")))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect())
    };
    let rows = file.split("\n\n").map(row).filter(|row| !row.0.is_empty());
    rows.collect()
}

impl Row {
    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.0[name])
    }

    /// A number, with leading zeros to 32 bytes. `None` if it is longer.
    fn number(&self, name: &str) -> Option<[u8; 32]> {
        let text = self.0[name].trim_start_matches('0');
        (text.len() <= 64).then(|| unhex(&format!("{text:0>64}")).try_into().unwrap())
    }

    /// The point of two coordinates.
    fn point(&self, x: &str, y: &str) -> Option<Point> {
        let encoded = [[4].as_slice(), &self.number(x)?, &self.number(y)?].concat();
        let point = Point::from_stored_bytes(<&[u8; STORED_POINT_BYTES]>::try_from(&encoded[..]).unwrap());
        // What crosses the network has no y-coordinate: it must give the same point, and no other.
        let tag = 2 | (encoded[64] & 1);
        let compressed = Point::from_bytes(&[&[tag], &encoded[1..33]].concat());
        match point {
            Ok(point) => assert!(compressed == Ok(point)),
            Err(error) => {
                assert_eq!(error, PointError::Curve);
                assert!(compressed.is_err() || compressed.unwrap().to_stored_bytes() != encoded[..]);
            }
        }
        point.ok()
    }

    fn signature(&self) -> Option<[u8; SIGNATURE_BYTES]> {
        let both = [self.number("R")?, self.number("S")?].concat();
        Some(both.try_into().unwrap())
    }

    fn passes(&self) -> bool {
        self.0["Result"].starts_with('P')
    }
}

/// The signature with the smaller of s and n − s.
fn low(signature: &[u8; SIGNATURE_BYTES]) -> [u8; SIGNATURE_BYTES] {
    let (r, s) = signature.split_at(32);
    let s: [u8; 32] = s.try_into().unwrap();
    [r, &s.min(negated_private(&s))].concat().try_into().unwrap()
}

fn x01_nist_public_keys<B: Backend>() {
    let rows = rows(include_str!("../../vectors/nist/ecdsa_pkv_p256.rsp"));
    assert_eq!(rows.len(), 12);
    for row in rows {
        assert_eq!(row.point("Qx", "Qy").is_some(), row.passes(), "{:?}", row.0);
    }
}

fn nist_key_pairs<B: Backend>() {
    let rows = rows(include_str!("../../vectors/nist/ecdsa_keypair_p256.rsp"));
    assert_eq!(rows.len(), 10);
    for row in rows {
        let key = ScalarOf::<B>::from_bytes(&row.number("d").unwrap()).unwrap();
        assert!(row.point("Qx", "Qy") == Some(key.point()), "{:?}", row.0);
    }
}

fn x01_nist_key_agreement<B: Backend>() {
    let rows = rows(include_str!(
        "../../vectors/nist/kas_ecc_static_unified_zz_p256.fax"
    ));
    assert_eq!(rows.len(), 30);
    for row in rows {
        let ours = ScalarOf::<B>::from_bytes(&row.number("dsIUT").unwrap()).unwrap();
        let (theirs, our_point) = (row.point("QsCAVSx", "QsCAVSy"), row.point("QsIUTx", "QsIUTy"));
        let agreed = theirs.is_some_and(|theirs| {
            our_point == Some(ours.point())
                && agree(&ours, &theirs).unwrap().as_bytes() == &row.number("Z").unwrap()
        });
        assert_eq!(agreed, row.passes(), "{:?}", row.0);
    }
}

fn x05_nist_signatures<B: Backend>() {
    let rows = rows(include_str!("../../vectors/nist/ecdsa_sigver_p256_sha256.rsp"));
    assert_eq!(rows.len(), 15);
    for row in rows {
        let verifier = VerifierOf::<B>::new(&row.point("Qx", "Qy").unwrap());
        let signature = low(&row.signature().unwrap());
        let verified = verifier.verify(&row.bytes("Msg"), &signature).is_ok();
        assert_eq!(verified, row.passes(), "{:?}", row.0);
    }
}

fn x05_nist_signatures_of_others<B: Backend>() {
    let rows = rows(include_str!("../../vectors/nist/ecdsa_siggen_p256_sha256.rsp"));
    assert_eq!(rows.len(), 15);
    for row in rows {
        let key = ScalarOf::<B>::from_bytes(&row.number("d").unwrap()).unwrap();
        assert!(row.point("Qx", "Qy") == Some(key.point()));
        let (verifier, message) = (VerifierOf::<B>::new(&key.point()), row.bytes("Msg"));
        let published = row.signature().unwrap();
        let low = low(&published);
        assert!(verifier.verify(&message, &low).is_ok(), "{:?}", row.0);
        assert_eq!(verifier.verify(&message, &published).is_ok(), published == low);
    }
}

fn nist_gcm<B: Backend>() {
    let rows = rows(include_str!("../../vectors/nist/gcm_decrypt_256.rsp"));
    assert_eq!(rows.len(), 30);
    for row in rows {
        let key = Secret::copy_of(&row.bytes("Key").try_into().unwrap());
        let nonce: [u8; NONCE_BYTES] = row.bytes("IV").try_into().unwrap();
        let tag: [u8; TAG_BYTES] = row.bytes("Tag").try_into().unwrap();
        let (ciphertext, associated_data) = (row.bytes("CT"), row.bytes("AAD"));
        let mut buffer = ciphertext.clone();
        let opened = B::open(&key, &nonce, &associated_data, &mut buffer, &tag);
        assert_eq!(opened, !row.0.contains_key("FAIL"), "{:?}", row.0);
        if opened {
            assert_eq!(buffer, row.bytes("PT"));
            assert_eq!(B::seal(&key, &nonce, &associated_data, &mut buffer), tag);
            assert_eq!(buffer, ciphertext);
        }
    }
}
