//! What a person calls a device.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes of a name in UTF-8.
pub const MAX_NAME_BYTES: usize = 64;

/// Bytes of a name as it is sealed: length, name, zeros. The same for every name.
pub(super) const ENCODED_BYTES: usize = 1 + MAX_NAME_BYTES;

/// A device's name: 1 to [`MAX_NAME_BYTES`] bytes of UTF-8, without characters that a screen would not show as they
/// are. Who reads a name before saying yes must see all of it, in its order.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceName(String);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or nothing but white space.
    #[error("a device needs a name")]
    Empty,
    /// More than [`MAX_NAME_BYTES`] bytes.
    #[error("a name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A control character, a line break, or one that turns the direction of writing.
    #[error("a name has no invisible characters")]
    Character,
    /// What was sealed is not the encoding of a name.
    #[error("not the encoding of a name")]
    Encoding,
}

impl DeviceName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`], but for [`NameError::Encoding`].
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.trim().is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        if text.chars().any(is_unshown) {
            return Err(NameError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn encode(&self) -> Zeroizing<[u8; ENCODED_BYTES]> {
        let mut bytes = Zeroizing::new([0; ENCODED_BYTES]);
        // A name has at most 64 bytes.
        let length = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        for (to, from) in bytes.iter_mut().zip([length].iter().chain(self.0.as_bytes())) {
            *to = *from;
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ENCODED_BYTES]) -> Result<Self, NameError> {
        let [length, rest @ ..] = bytes;
        let (name, zeros) = rest
            .split_at_checked((*length).into())
            .ok_or(NameError::Encoding)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(NameError::Encoding);
        }
        Self::new(str::from_utf8(name).map_err(|_| NameError::Encoding)?)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceName(..)")
    }
}

/// Control characters, line and paragraph separators, and what changes how the characters around it are shown:
/// directional marks, embeddings, overrides and isolates (Unicode Standard Annex 9), and spaces of no width.
fn is_unshown(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_person_can_read_in_full() {
        for name in [
            "a",
            "Anna's laptop",
            "Ünïcødé 🐦",
            "טלפון",
            &"x".repeat(64),
            &"🐦".repeat(16),
        ] {
            assert_eq!(DeviceName::new(name).unwrap().as_str(), name);
        }
        for (name, error) in [
            ("", NameError::Empty),
            (" \t\u{a0}", NameError::Empty),
            (&"x".repeat(65), NameError::TooLong),
            (&"🐦".repeat(17), NameError::TooLong),
            ("two\nlines", NameError::Character),
            ("nul\0", NameError::Character),
            ("\u{202e}enohp s'annA", NameError::Character),
            ("zero\u{200b}width", NameError::Character),
            ("tag\u{e0041}", NameError::Character),
        ] {
            assert_eq!(DeviceName::new(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn a_name_has_one_encoding_of_one_length() {
        for name in ["a", &"x".repeat(64), "Ünïcødé 🐦"] {
            let name = DeviceName::new(name).unwrap();
            assert_eq!(DeviceName::decode(&name.encode()), Ok(name));
        }
        let encoded = |change: &dyn Fn(&mut [u8; ENCODED_BYTES])| {
            let mut bytes = *DeviceName::new("phone").unwrap().encode();
            change(&mut bytes);
            DeviceName::decode(&bytes)
        };
        assert!(encoded(&|_| ()).is_ok());
        assert_eq!(encoded(&|b| b[64] = 1), Err(NameError::Encoding));
        assert_eq!(encoded(&|b| b[0] = 4), Err(NameError::Encoding));
        assert_eq!(encoded(&|b| b[0] = 65), Err(NameError::Encoding));
        assert_eq!(encoded(&|b| b[0] = 255), Err(NameError::Encoding));
        assert_eq!(encoded(&|b| b[1] = 0xff), Err(NameError::Encoding));
        assert_eq!(encoded(&|b| b[0] = 6), Err(NameError::Character));
        assert_eq!(encoded(&|b| b.fill(0)), Err(NameError::Empty));
    }

    #[test]
    fn x86_a_name_does_not_print_in_logs() {
        assert_eq!(
            format!("{:?}", DeviceName::new("Anna's").unwrap()),
            "DeviceName(..)"
        );
    }
}
