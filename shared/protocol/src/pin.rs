//! The PIN of a registration lock.
//!
//! A stolen phone number alone must not be enough to take over an account. The owner may set a PIN; whoever registers
//! the number again has to prove it. The device makes the proof from PIN, salt and account with a slow function; the
//! service keeps only a hash of the proof and counts the guesses.
//!
//! The lock protects against whoever took the number, not against the service: that could try all short PINs on what
//! it keeps, each at the cost of one run of the slow function. `docs/accounts.md`, "Registration lock", has the bytes.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    device_list::ACCOUNT_BYTES,
    labels,
    primitives::{Prk, SECRET_BYTES, Secret, stretch},
};

/// Characters of the shortest PIN. The service allows few guesses, so 10,000 possibilities hold.
pub const MIN_PIN_LENGTH: usize = 4;

/// Characters of the longest PIN: a passphrase.
pub const MAX_PIN_LENGTH: usize = 64;

/// Bytes of the random salt that the service keeps with a lock.
pub const PIN_SALT_BYTES: usize = 16;

/// A PIN: [`MIN_PIN_LENGTH`] to [`MAX_PIN_LENGTH`] printable ASCII characters, which every keyboard and every
/// platform encode in the same bytes. Neither one character repeated nor a run such as 1234. Zeroized when dropped.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

/// What proves a PIN to the service. Zeroized when dropped.
#[derive(Clone)]
pub struct PinProof(Secret);

/// Why a text is no PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Shorter than [`MIN_PIN_LENGTH`] or longer than [`MAX_PIN_LENGTH`].
    #[error("a PIN has {MIN_PIN_LENGTH} to {MAX_PIN_LENGTH} characters")]
    Length,
    /// A character that is not printable ASCII.
    #[error("a PIN has digits, Latin letters and punctuation only")]
    Character,
    /// One character repeated, or each next to the one before it. Those are guessed first.
    #[error("a PIN is neither one character repeated nor a run")]
    Easy,
}

/// The device has not the memory that the slow function needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory to prove a PIN")]
pub struct OutOfMemory;

impl Pin {
    /// Checks what a person typed.
    ///
    /// # Errors
    /// [`PinError`].
    pub fn new(text: &str) -> Result<Self, PinError> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(PinError::Character);
        }
        if !(MIN_PIN_LENGTH..=MAX_PIN_LENGTH).contains(&text.len()) {
            return Err(PinError::Length);
        }
        let run_of = |step: i16| {
            text.as_bytes()
                .is_sorted_by(|a, b| i16::from(*b) - i16::from(*a) == step)
        };
        if [-1, 0, 1].into_iter().any(run_of) {
            return Err(PinError::Easy);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The proof for an account's lock. Takes 64 MiB and, on a phone, some tenths of a second: not for a thread that
    /// draws or waits on the network.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn proof(
        &self,
        salt: &[u8; PIN_SALT_BYTES],
        account: &[u8; ACCOUNT_BYTES],
    ) -> Result<PinProof, OutOfMemory> {
        let salt = [salt.as_slice(), account].concat();
        let stretched = stretch(self.0.as_bytes(), &salt).map_err(|_| OutOfMemory)?;
        let proof = Prk::from_key(&stretched).expand(&[labels::REGISTRATION_LOCK]);
        Ok(PinProof(proof))
    }
}

impl PinProof {
    /// The proof, for the service only.
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl fmt::Debug for PinProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinProof(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_few_digits_or_a_passphrase_but_nothing_everybody_tries() {
        for pin in [
            "1235",
            "0852",
            "2580",
            "correct horse battery staple",
            "a b~",
            &"xy".repeat(32),
        ] {
            assert!(Pin::new(pin).is_ok(), "{pin}");
        }
        for (pin, error) in [
            ("", PinError::Length),
            ("135", PinError::Length),
            (&"xy".repeat(33)[..65], PinError::Length),
            ("1234", PinError::Easy),
            ("9876543210", PinError::Easy),
            ("0000", PinError::Easy),
            ("abcdef", PinError::Easy),
            ("12\n45", PinError::Character),
            ("1235\0", PinError::Character),
            ("１２３５", PinError::Character),
            ("pässwort", PinError::Character),
        ] {
            assert_eq!(Pin::new(pin).err(), Some(error), "{pin:?}");
        }
    }

    #[test]
    fn x65_a_proof_is_of_one_pin_one_salt_and_one_account() {
        let proof = |pin: &str, salt, account| {
            let proof = Pin::new(pin).unwrap().proof(&[salt; 16], &[account; 16]).unwrap();
            *proof.as_bytes()
        };
        let one = proof("2580", 1, 2);
        assert_eq!(one, proof("2580", 1, 2));
        for other in [
            proof("2581", 1, 2),
            proof("2580", 2, 2),
            proof("2580", 1, 1),
            proof("2580", 2, 1),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn x86_neither_pin_nor_proof_prints() {
        let pin = Pin::new("2580").unwrap();
        assert_eq!(format!("{pin:?}"), "Pin(..)");
        assert_eq!(format!("{:?}", PinProof(Secret::zero())), "PinProof(..)");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_pin_panic(text in ".*") {
            let _ = Pin::new(&text);
        }
    }
}
