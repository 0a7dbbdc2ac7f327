//! Padding: a ciphertext shows only which of a few sizes its content has.
//!
//! Content is padded to the next *bucket* with one byte 80 and zeros (ISO/IEC 7816-4). The buckets follow
//! what a message costs in the mailbox, where an item has about 76 bytes of attribute names, keys and expiry
//! beside it and every 1,024 bytes begun take one write unit: a bucket is the largest with which a prekey
//! message, 1,263 bytes longer than a ratchet message, takes one unit more than a ratchet message does. One
//! bucket lies between, for 1 KB of content, which would grow by 60 % otherwise.
//!
//! The room that padding leaves may carry a chunk of a post-quantum step, see `session/kem`. A
//! chunk ends with a byte that is neither 00 nor 80, so that the last byte tells whether there is one.

use crate::message::{MAX_MESSAGE_BYTES, PREKEY_OVERHEAD_BYTES};

/// Bytes of the smallest bucket.
pub const FIRST_BUCKET_BYTES: usize = 638;

/// Bytes from one bucket to the next: one write unit.
pub const BUCKET_STEP_BYTES: usize = 1024;

/// Bytes of the bucket in between: for content of up to 1,024 bytes. A ratchet message has 1,100 then.
pub const KILOBYTE_BUCKET_BYTES: usize = 1025;

/// Bytes of the largest bucket: the largest for which a prekey message fits [`MAX_MESSAGE_BYTES`].
pub const LAST_BUCKET_BYTES: usize = FIRST_BUCKET_BYTES
    + (MAX_MESSAGE_BYTES - PREKEY_OVERHEAD_BYTES - FIRST_BUCKET_BYTES) / BUCKET_STEP_BYTES
        * BUCKET_STEP_BYTES;

/// Bytes of content at most.
pub const MAX_CONTENT_BYTES: usize = LAST_BUCKET_BYTES - 1;

/// Ends the content.
const MARK: u8 = 0x80;

/// The bytes are not content padded to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPadding;

/// The bucket of so many bytes, mark included. `None`: more than the largest holds.
pub(crate) fn bucket(bytes: usize) -> Option<usize> {
    if (FIRST_BUCKET_BYTES + 1..=KILOBYTE_BUCKET_BYTES).contains(&bytes) {
        return Some(KILOBYTE_BUCKET_BYTES);
    }
    if bytes > LAST_BUCKET_BYTES {
        return None;
    }
    let steps = bytes
        .saturating_sub(FIRST_BUCKET_BYTES)
        .div_ceil(BUCKET_STEP_BYTES);
    Some(FIRST_BUCKET_BYTES + steps * BUCKET_STEP_BYTES)
}

/// Whether padded content can have this length.
pub(crate) fn is_bucket(bytes: usize) -> bool {
    bucket(bytes) == Some(bytes)
}

/// Ends the content that begins at `start`, and fills it up with zeros to `bucket` bytes.
pub(crate) fn pad(buffer: &mut Vec<u8>, start: usize, bucket: usize) {
    buffer.push(MARK);
    buffer.resize(start + bucket, 0);
}

/// How many of these bytes are content: all before the last that is not zero, which is the mark.
pub(crate) fn unpad(padded: &[u8]) -> Result<usize, BadPadding> {
    let end = padded.iter().rposition(|&byte| byte != 0).ok_or(BadPadding)?;
    if padded.get(end) == Some(&MARK) {
        Ok(end)
    } else {
        Err(BadPadding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RATCHET_OVERHEAD_BYTES;

    /// Attribute names, keys and expiry of a mailbox item.
    const ITEM_BYTES: usize = 76;
    const WRITE_UNIT_BYTES: usize = 1024;

    fn buckets() -> Vec<usize> {
        (0..=MAX_MESSAGE_BYTES)
            .filter(|bytes| is_bucket(*bytes))
            .collect()
    }

    fn padded(content: &[u8]) -> Vec<u8> {
        let mut buffer = content.to_vec();
        let bucket = bucket(buffer.len() + 1).unwrap();
        pad(&mut buffer, 0, bucket);
        buffer
    }

    #[test]
    fn x51_a_message_has_one_of_twelve_sizes_and_each_costs_one_write_unit_more() {
        let mut expected: Vec<_> = (0..11).map(|step| 638 + 1024 * step).collect();
        expected.insert(1, 1025);
        assert_eq!(buckets(), expected);
        expected.remove(1);
        for (units, bucket) in (1..).zip(expected) {
            let item = |overhead: usize| ITEM_BYTES + overhead + bucket;
            assert_eq!(item(RATCHET_OVERHEAD_BYTES).div_ceil(WRITE_UNIT_BYTES), units);
            assert_eq!(item(PREKEY_OVERHEAD_BYTES).div_ceil(WRITE_UNIT_BYTES), units + 1);
            assert_eq!(
                item(PREKEY_OVERHEAD_BYTES) % WRITE_UNIT_BYTES,
                0,
                "no byte more fits"
            );
        }
        const { assert!(LAST_BUCKET_BYTES + PREKEY_OVERHEAD_BYTES <= MAX_MESSAGE_BYTES) };
    }

    #[test]
    fn content_is_padded_to_the_next_bucket_and_comes_back() {
        for (length, bucket) in [
            (0, 638),
            (637, 638),
            (638, 1025),
            (1024, 1025),
            (1025, 1662),
            (1661, 1662),
            (1662, 2686),
            (MAX_CONTENT_BYTES, 10_878),
        ] {
            for byte in [0, 1, MARK] {
                let content = vec![byte; length];
                let padded = padded(&content);
                assert_eq!((padded.len(), unpad(&padded)), (bucket, Ok(length)));
            }
        }
        assert_eq!(bucket(MAX_CONTENT_BYTES + 2), None);
        assert_eq!(bucket(usize::MAX), None);
    }

    #[test]
    fn bytes_without_a_mark_are_not_padded() {
        for bytes in [[].as_slice(), &[0], &[0; 638], &[1; 638], &[MARK, 1], &[0x81, 0]] {
            assert_eq!(unpad(bytes), Err(BadPadding));
        }
    }
}
