//! What the service keeps of things it must recognise and must not know: hashes under the deployment's secret.
//!
//! There are few phone numbers, fewer network addresses, and a million codes: whoever has a plain hash of one
//! tries them all. So each is kept as HMAC-SHA-256 (RFC 2104) under a key that is in no table. Every use has a
//! label of its own, and every part its length before it, so that no two inputs give the same bytes.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use waxwing_wire::{
    AccountId,
    phone::Code,
    secret::{LockProof, Ticket},
};

use crate::phone::Number;

/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;

/// Bytes of the key as HMAC takes it: one block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// A keyed hash. Compared in constant time; prints nothing of itself.
#[derive(Clone, Copy)]
pub(crate) struct Hash([u8; HASH_BYTES]);

impl Hash {
    pub(crate) fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Reads a hash from a table. `None` if the length is another.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Hash {}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

/// The deployment's secret, ready to hash with.
#[derive(Clone)]
pub(crate) struct KeyedHash(Hmac<Sha256>);

impl KeyedHash {
    /// The secret is text of any length: its SHA-256 is the key.
    pub(crate) fn new(secret: &str) -> Self {
        let mut key = [0; BLOCK_BYTES];
        for (byte, hashed) in key.iter_mut().zip(Sha256::digest(secret)) {
            *byte = hashed;
        }
        Self(Hmac::new(&key.into()))
    }

    /// The name of a phone number in the tables.
    pub(crate) fn phone(&self, number: &Number) -> Hash {
        self.of("phone", &[number.as_str().as_bytes()])
    }

    /// The name of a block of phone numbers.
    pub(crate) fn prefix(&self, number: &Number) -> Hash {
        self.of("prefix", &[number.prefix().as_bytes()])
    }

    /// The name of a network.
    pub(crate) fn network(&self, network: &[u8]) -> Hash {
        self.of("network", &[network])
    }

    /// A code, bound to the number it went to.
    pub(crate) fn code(&self, number: &Number, code: &Code) -> Hash {
        self.of("code", &[number.as_str().as_bytes(), code.as_str().as_bytes()])
    }

    /// The name of a ticket.
    pub(crate) fn ticket(&self, ticket: &Ticket) -> Hash {
        self.of("ticket", &[ticket.as_bytes()])
    }

    /// A proof of a PIN, bound to its account.
    pub(crate) fn lock_proof(&self, account: AccountId, proof: &LockProof) -> Hash {
        self.of("lock proof", &[&account.to_bytes(), proof.as_bytes()])
    }

    fn of(&self, label: &str, parts: &[&[u8]]) -> Hash {
        let mut mac = self.0.clone();
        for part in [&[label.as_bytes()], parts].concat() {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Hash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> KeyedHash {
        KeyedHash::new("a secret that only the tests know")
    }

    #[test]
    fn x81_every_use_of_the_secret_gives_other_hashes() {
        let hash = hash();
        let labels = ["phone", "prefix", "network", "code", "ticket", "lock proof"];
        for (place, label) in labels.iter().enumerate() {
            for other in &labels[place + 1..] {
                assert_ne!(
                    hash.of(label, &[b"x"]),
                    hash.of(other, &[b"x"]),
                    "{label}, {other}"
                );
            }
        }
    }

    #[test]
    fn x72_no_two_lists_of_parts_give_the_same_bytes() {
        let hash = hash();
        let inputs: [&[&[u8]]; 6] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"abc", b""],
            &[b"", b"abc"],
            &[],
        ];
        for (place, input) in inputs.iter().enumerate() {
            for other in &inputs[place + 1..] {
                assert_ne!(
                    hash.of("phone", input),
                    hash.of("phone", other),
                    "{input:?}, {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_hash_follows_from_secret_and_input_and_survives_the_table() {
        let number = Number::parse(&"+491713920001".parse().unwrap()).unwrap();
        let named = hash().phone(&number);
        assert_eq!(named, hash().phone(&number));
        assert_ne!(named, KeyedHash::new("another secret").phone(&number));
        assert_eq!(Hash::from_slice(named.as_bytes()), Some(named));
        assert_eq!(Hash::from_slice(&[0; 31]), None);
    }

    #[test]
    fn x62_a_code_is_bound_to_its_number() {
        let code: Code = "123456".parse().unwrap();
        let numbers = ["+491713920001", "+491713920002"];
        let [one, other] = numbers.map(|text| Number::parse(&text.parse().unwrap()).unwrap());
        assert_ne!(hash().code(&one, &code), hash().code(&other, &code));
    }

    #[test]
    fn x86_neither_secret_nor_hash_prints() {
        let number = Number::parse(&"+491713920001".parse().unwrap()).unwrap();
        assert_eq!(
            format!("{:?} {:?}", hash(), hash().phone(&number)),
            "KeyedHash(..) Hash(..)"
        );
    }
}
