//! The keys of a session's ephemeral messages, one for each direction, which never change.

use std::fmt;

use rand::CryptoRng;

use super::{Direction, Role, Session};
use crate::{
    ephemeral::{Ephemeral, OpenError, PLAINTEXT_BYTES, SALT_BYTES, SEALED_BYTES, VERSION},
    labels,
    primitives::{HASH_BYTES, NONCE_BYTES, Prk, Secret, TAG_BYTES, open, seal},
};

/// A key seals one message alone, so its nonce needs no other value.
const NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// Both keys. Zeroized when dropped.
#[derive(Clone)]
pub(crate) struct EphemeralKeys {
    initiator: Secret,
    responder: Secret,
}

impl EphemeralKeys {
    /// From what a handshake extracted.
    pub(crate) fn derive(prk: &Prk, transcript: &[u8; HASH_BYTES]) -> Self {
        let key = |direction: Direction| prk.expand(&[labels::EPHEMERAL_KEY, transcript, &[direction as u8]]);
        Self {
            initiator: key(Direction::FromInitiator),
            responder: key(Direction::FromResponder),
        }
    }

    pub(super) fn restore(initiator: Secret, responder: Secret) -> Self {
        Self { initiator, responder }
    }

    pub(super) fn secrets(&self) -> [&Secret; 2] {
        [&self.initiator, &self.responder]
    }

    /// The key of the message with this salt.
    fn message_key(&self, direction: Direction, salt: &[u8; SALT_BYTES]) -> Secret {
        let key = match direction {
            Direction::FromInitiator => &self.initiator,
            Direction::FromResponder => &self.responder,
        };
        Prk::from_key(key).expand(&[labels::EPHEMERAL_MESSAGE_KEY, salt])
    }
}

impl fmt::Debug for EphemeralKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKeys(..)")
    }
}

impl Session {
    /// Seals an ephemeral message. The session does not change, so there is nothing to store. `None` in a session of
    /// before there were ephemeral messages: its successor has keys for them.
    ///
    /// Draws from `rng` a salt of 32 bytes.
    pub fn seal_ephemeral(
        &self,
        rng: &mut impl CryptoRng,
        message: &Ephemeral,
    ) -> Option<[u8; SEALED_BYTES]> {
        let keys = self.ephemeral.as_ref()?;
        let direction = match self.role {
            Role::Opening(_) | Role::Initiator => Direction::FromInitiator,
            Role::Responder => Direction::FromResponder,
        };
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let mut plaintext = message.to_bytes();
        let key = keys.message_key(direction, &salt);
        let tag = seal(
            &key,
            &NONCE,
            &associated_data(&self.id, direction, &salt),
            &mut plaintext,
        );
        let mut sealed = [VERSION; SEALED_BYTES];
        let parts = salt.iter().chain(&plaintext).chain(&tag);
        sealed
            .iter_mut()
            .skip(1)
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        Some(sealed)
    }

    /// Opens an ephemeral message that the other side sealed. It may be one that was opened before: that is for who
    /// remembers the last one's time to say.
    ///
    /// # Errors
    /// [`OpenError`], by what is wrong.
    pub fn open_ephemeral(&self, sealed: &[u8; SEALED_BYTES]) -> Result<Ephemeral, OpenError> {
        let keys = self.ephemeral.as_ref().ok_or(OpenError::NoKeys)?;
        let direction = match self.role {
            Role::Opening(_) | Role::Initiator => Direction::FromResponder,
            Role::Responder => Direction::FromInitiator,
        };
        let ([VERSION], rest) = split::<1>(sealed)? else {
            return Err(OpenError::Version);
        };
        let (salt, rest) = split::<SALT_BYTES>(rest)?;
        let (ciphertext, tag) = split::<PLAINTEXT_BYTES>(rest)?;
        let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| OpenError::Authentication)?;
        let mut plaintext = *ciphertext;
        let key = keys.message_key(direction, salt);
        open(
            &key,
            &NONCE,
            &associated_data(&self.id, direction, salt),
            &mut plaintext,
            tag,
        )
        .map_err(|_| OpenError::Authentication)?;
        Ephemeral::from_bytes(&plaintext).ok_or(OpenError::Content)
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), OpenError> {
    bytes.split_first_chunk().ok_or(OpenError::Version)
}

/// What is authenticated beside the content. The transcript names suite, both devices' addresses and keys.
fn associated_data(id: &[u8; HASH_BYTES], direction: Direction, salt: &[u8; SALT_BYTES]) -> Vec<u8> {
    [labels::EPHEMERAL, id, &[direction as u8], &[VERSION], salt].concat()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;
    use crate::{
        ephemeral::EphemeralBody,
        testing::{Device, NOW, fresh, receive, rng, sessions},
    };

    fn typing(at: u64) -> Ephemeral {
        Ephemeral {
            conversation: [7; 16],
            sent_at_millis: at,
            body: EphemeralBody::Typing,
        }
    }

    #[test]
    fn each_side_opens_what_the_other_sealed_and_nobody_what_it_sealed_itself() {
        let (alice, bob) = sessions();
        for (from, to) in [(&alice, &bob), (&bob, &alice)] {
            let sealed = from.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
            assert_eq!(to.open_ephemeral(&sealed), Ok(typing(NOW)));
            assert_eq!(from.open_ephemeral(&sealed), Err(OpenError::Authentication));
        }
    }

    /// M23: however many are lost, the ratchet knows nothing of it.
    #[test]
    fn a_thousand_lost_ephemeral_messages_change_no_session() {
        let (mut alice, mut bob) = sessions();
        let before = (alice.to_bytes(), bob.to_bytes());
        for at in 0..1_000 {
            alice.seal_ephemeral(&mut rng(at), &typing(NOW + at)).unwrap();
        }
        let sealed = alice.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
        bob.open_ephemeral(&sealed).unwrap();
        assert_eq!((alice.to_bytes(), bob.to_bytes()), before);
        let message = alice.encrypt(&mut fresh(), b"a message", NOW).unwrap();
        assert_eq!(receive(&mut bob, &message).unwrap(), b"a message");
    }

    #[test]
    fn an_opening_session_seals_and_its_answer_opens_it() {
        let (alice, bob) = Device::alice_and_bob();
        let (mut opening, _) = alice.sessions(&bob);
        let first = opening.encrypt(&mut fresh(), b"hello", NOW).unwrap();
        let (answering, _) = bob.respond(&alice, &first).unwrap();
        let sealed = opening.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
        assert_eq!(answering.open_ephemeral(&sealed), Ok(typing(NOW)));
    }

    #[test]
    fn another_session_opens_nothing() {
        let (alice, bob) = Device::alice_and_bob();
        let (ours, _) = alice.sessions(&bob);
        let sealed = ours.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
        let (_, other) = Device::new(3).sessions(&bob);
        assert_eq!(other.open_ephemeral(&sealed), Err(OpenError::Authentication));
    }

    #[test]
    fn a_session_of_before_has_no_keys_and_says_so_until_it_is_replaced() {
        let (mut alice, mut bob) = sessions();
        let sealed = alice.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
        alice.ephemeral = None;
        bob.ephemeral = None;
        let stored = alice.to_bytes();
        assert_eq!(stored.first(), Some(&1));
        let loaded = Session::from_bytes(&stored).unwrap();
        assert_eq!(loaded.seal_ephemeral(&mut fresh(), &typing(NOW)), None);
        assert_eq!(bob.open_ephemeral(&sealed), Err(OpenError::NoKeys));
    }

    #[test]
    fn x51_every_ephemeral_message_is_as_long_as_every_other() {
        let (alice, _) = sessions();
        let lengths = EphemeralBody::ALL.map(|body| {
            let message = Ephemeral { body, ..typing(NOW) };
            alice.seal_ephemeral(&mut fresh(), &message).unwrap().len()
        });
        assert_eq!(lengths, [SEALED_BYTES; 4]);
    }

    /// X25, I17: the recorder of the primitives fails this if a pair of key and nonce comes twice.
    #[test]
    fn x25_the_same_message_sealed_again_has_another_key() {
        let (alice, bob) = sessions();
        let mut random = rng(5);
        let sealed = [(); 100].map(|()| alice.seal_ephemeral(&mut random, &typing(NOW)).unwrap());
        let distinct: std::collections::HashSet<_> = sealed.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert!(sealed.iter().all(|sealed| bob.open_ephemeral(sealed).is_ok()));
    }

    #[test]
    fn x86_the_keys_do_not_print() {
        let (alice, _) = sessions();
        assert_eq!(format!("{:?}", alice.ephemeral.unwrap()), "EphemeralKeys(..)");
    }

    proptest! {
        #[test]
        fn x49_a_changed_byte_anywhere_opens_nothing(at in any::<Index>(), flip in 1..=255_u8) {
            let (alice, bob) = sessions();
            let mut sealed = alice.seal_ephemeral(&mut fresh(), &typing(NOW)).unwrap();
            *at.get_mut(&mut sealed) ^= flip;
            prop_assert!(bob.open_ephemeral(&sealed).is_err());
        }
    }
}
