//! What QR codes say: a scheme that tells apps what it is, then base64url without padding (RFC 4648, section 5).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// The text is not of this scheme, or what follows is not base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotACode;

/// The text of a code.
pub(crate) fn encode(scheme: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(scheme.len() + bytes.len().div_ceil(3) * 4);
    text.push_str(scheme);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

/// The bytes of a code of this scheme. Each has one text.
pub(crate) fn decode(scheme: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, NotACode> {
    let encoded = text.strip_prefix(scheme).ok_or(NotACode)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotACode)?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_one_text() {
        for (bytes, text) in [
            ([].as_slice(), "s?"),
            (&[0xfb], "s?-w"),
            (&[0xfb, 0xff, 0xbf], "s?-_-_"),
        ] {
            assert_eq!(encode("s?", bytes), text);
            assert_eq!(decode("s?", text).as_deref().map(Vec::as_slice), Ok(bytes));
        }
    }

    #[test]
    fn another_scheme_padding_another_alphabet_and_stray_bits_are_refused() {
        for text in [
            "", "s", "t?-w", "S?-w", " s?-w", "s?-w==", "s?+w", "s?-x", "s?-w\n", "s?a", "s?ä",
        ] {
            assert_eq!(decode("s?", text), Err(NotACode), "{text:?}");
        }
    }
}
