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
