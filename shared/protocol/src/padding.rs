//! Padding: a ciphertext shows only which of a few sizes its content has.
//!
//! Content is padded to the next *bucket* with one byte 80 and zeros (ISO/IEC 7816-4). The buckets follow
//! what the content costs: the first is the largest for which the mailbox item of a prekey message, with
//! about 76 bytes of attribute names, keys and expiry, fits one write unit of 1,024 bytes; each next one
//! takes one unit more.

use crate::message::{MAX_MESSAGE_BYTES, PREKEY_OVERHEAD_BYTES};

/// Bytes of the smallest bucket.
pub const FIRST_BUCKET_BYTES: usize = 704;

/// Bytes from one bucket to the next: one write unit.
pub const BUCKET_STEP_BYTES: usize = 1024;

/// Bytes of the largest bucket: the largest for which a prekey message fits [`MAX_MESSAGE_BYTES`].
pub const LAST_BUCKET_BYTES: usize = FIRST_BUCKET_BYTES
    + (MAX_MESSAGE_BYTES - PREKEY_OVERHEAD_BYTES - FIRST_BUCKET_BYTES) / BUCKET_STEP_BYTES
        * BUCKET_STEP_BYTES;

/// Ends the content.
const MARK: u8 = 0x80;

/// The content does not fit the largest bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The bytes are not content padded to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPadding;

/// Pads content to its bucket.
pub(crate) fn pad(mut content: Vec<u8>) -> Result<Vec<u8>, TooLong> {
    content.push(MARK);
    let steps = content
        .len()
        .saturating_sub(FIRST_BUCKET_BYTES)
        .div_ceil(BUCKET_STEP_BYTES);
    let bucket = FIRST_BUCKET_BYTES + steps * BUCKET_STEP_BYTES;
    if bucket > LAST_BUCKET_BYTES {
        return Err(TooLong);
    }
    content.resize(bucket, 0);
    Ok(content)
}

/// Takes the padding off. Only what [`pad`] gives is accepted.
pub(crate) fn unpad(padded: &[u8]) -> Result<&[u8], BadPadding> {
    let end = padded.iter().rposition(|&byte| byte != 0).ok_or(BadPadding)?;
    let (content, padding) = padded.split_at(end);
    let least = padded.len().saturating_sub(BUCKET_STEP_BYTES);
    let is_bucket = padded.len() == FIRST_BUCKET_BYTES
        || (padded.len() <= LAST_BUCKET_BYTES
            && padded.len() % BUCKET_STEP_BYTES == FIRST_BUCKET_BYTES % BUCKET_STEP_BYTES
            && content.len() >= least);
    if is_bucket && padding.first() == Some(&MARK) {
        Ok(content)
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

    fn buckets() -> impl Iterator<Item = usize> {
        (FIRST_BUCKET_BYTES..=LAST_BUCKET_BYTES).step_by(BUCKET_STEP_BYTES)
    }

    #[test]
    fn x51_a_message_has_one_of_twelve_sizes_and_each_costs_one_write_unit_more() {
        let expected: Vec<_> = (0..12).map(|step| 704 + 1024 * step).collect();
        assert_eq!(buckets().collect::<Vec<_>>(), expected);
        for (units, bucket) in (1..).zip(buckets()) {
            for overhead in [RATCHET_OVERHEAD_BYTES, PREKEY_OVERHEAD_BYTES] {
                let item = ITEM_BYTES + overhead + bucket;
                assert_eq!(item.div_ceil(WRITE_UNIT_BYTES), units, "{bucket} + {overhead}");
            }
        }
        const { assert!(LAST_BUCKET_BYTES + PREKEY_OVERHEAD_BYTES <= MAX_MESSAGE_BYTES) };
    }

    #[test]
    fn content_is_padded_to_the_next_bucket_and_comes_back() {
        for (length, bucket) in [
            (0, 704),
            (703, 704),
            (704, 1728),
            (1727, 1728),
            (1728, 2752),
            (11967, 11968),
        ] {
            for byte in [0, 1, MARK] {
                let content = vec![byte; length];
                let padded = pad(content.clone()).unwrap();
                assert_eq!(padded.len(), bucket);
                assert_eq!(unpad(&padded), Ok(content.as_slice()));
            }
        }
        assert_eq!(pad(vec![1; 11968]), Err(TooLong));
    }

    #[test]
    fn only_what_padding_gives_is_taken_off() {
        let bucket = |length: usize, content: usize| {
            let mut bytes = vec![1; content];
            bytes.push(MARK);
            bytes.resize(length, 0);
            bytes
        };
        assert!(unpad(&bucket(704, 10)).is_ok());
        for length in [0, 1, 703, 705, 1024, 1727, 12992] {
            let bytes = vec![MARK; length];
            assert_eq!(unpad(&bytes), Err(BadPadding), "{length}");
        }
        // A larger bucket than the content needs, no mark, another mark, something after the mark.
        assert_eq!(unpad(&bucket(1728, 703)), Err(BadPadding));
        assert!(unpad(&bucket(1728, 704)).is_ok());
        assert_eq!(unpad(&[0; 704]), Err(BadPadding));
        assert_eq!(unpad(&[1; 704]), Err(BadPadding));
        let mut after = bucket(704, 10);
        after[703] = 1;
        assert_eq!(unpad(&after), Err(BadPadding));
    }
}
