//! Long conversations over a network that loses, reorders, repeats and damages, and between sides that store
//! and load their sessions: what arrives is what was sent, once.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::handshake::AnsweredOpenings;
use crate::testing::{Device, NOW, Refused, fresh, prekey, receive};

/// What happens next. An index picks one of the messages that are under way, or were delivered.
#[derive(Clone, Debug)]
enum Event {
    Send,
    Deliver(Index),
    Lose(Index),
    Repeat(Index),
    Damage(Index, Index, u8),
    Store,
}

fn events() -> impl Strategy<Value = Vec<(bool, Event)>> {
    let event = prop_oneof![
        5 => Just(Event::Send),
        5 => any::<Index>().prop_map(Event::Deliver),
        1 => any::<Index>().prop_map(Event::Lose),
        1 => any::<Index>().prop_map(Event::Repeat),
        1 => (any::<Index>(), any::<Index>(), 1..=u8::MAX).prop_map(|(which, at, xor)| Event::Damage(which, at, xor)),
        1 => Just(Event::Store),
    ];
    proptest::collection::vec((any::<bool>(), event), 1..300)
}

/// One side, with the messages under way to it.
struct Side {
    device: Device,
    session: Option<Session>,
    under_way: Vec<(Vec<u8>, u32)>,
    delivered: Vec<Vec<u8>>,
    /// The ratchet keys of the chains it has seen, in the order of their appearance.
    chains: Vec<Vec<u8>>,
}

impl Side {
    fn new(device: Device) -> Self {
        Self {
            device,
            session: None,
            under_way: Vec::new(),
            delivered: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// As a client does it: an opening makes a session if there is none yet.
    fn receive(&mut self, from: &Device, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        if let Some(session) = &mut self.session {
            return receive(session, bytes);
        }
        let Message::Prekey(message) = Message::parse(bytes).map_err(Refused::Parse)? else {
            return Err(Refused::Decrypt(DecryptError::WrongSession));
        };
        let (keys, signed) = (&self.device.keys, &self.device.signed);
        let answered = AnsweredOpenings::new(signed.id());
        let one_time = self.device.one_time(&message, &answered);
        let sender = from.keys.public();
        let address = &self.device.address;
        match crate::handshake::respond(keys, address, signed, one_time, &sender, &from.address, &message) {
            Ok((session, plaintext)) => {
                self.session = Some(session);
                Ok(plaintext)
            }
            Err(_) => Err(Refused::Decrypt(DecryptError::Authentication)),
        }
    }

    fn deliver(&mut self, from: &Device, which: usize) {
        let (bytes, number) = self.under_way.swap_remove(which);
        let key = ratchet_key(&bytes);
        if !self.chains.contains(&key) {
            self.chains.push(key.clone());
        }
        let newer = self.chains.iter().rev().position(|chain| *chain == key).unwrap();
        let result = self.receive(from, &bytes);
        if newer < MAX_CHAINS {
            assert_eq!(result, Ok(number.to_be_bytes().to_vec()), "message {number}");
        } else {
            assert!(result.is_err(), "message {number} of a forgotten chain");
        }
        self.delivered.push(bytes);
    }

    fn send(&mut self, number: u32) -> Option<Vec<u8>> {
        let session = self.session.as_mut()?;
        Some(session.encrypt(&mut fresh(), &number.to_be_bytes(), NOW).unwrap())
    }
}

fn ratchet_key(bytes: &[u8]) -> Vec<u8> {
    match Message::parse(bytes).unwrap() {
        Message::Prekey(message) => message.message.header.ratchet_key.to_vec(),
        Message::Ratchet(message) => message.header.ratchet_key.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// X19, X20, X21, X23, X25: see the module's documentation. `receive` compares the stored bytes of the
    /// session before and after every refusal, the recorder in `primitives` every (key, nonce) pair.
    #[test]
    fn x21_what_arrives_is_what_was_sent_once_whatever_the_network_does(events in events()) {
        let (alice, bob) = Device::alice_and_bob();
        let mut sides = [Side::new(alice), Side::new(bob)];
        sides[0].session = Some(sides[0].device.initiate(&sides[1].device));
        for (number, (second, event)) in (0..).zip(events) {
            let [one, other] = &mut sides;
            let (one, other) = if second { (other, one) } else { (one, other) };
            match event {
                Event::Send => other.under_way.extend(one.send(number).map(|bytes| (bytes, number))),
                Event::Deliver(which) if !one.under_way.is_empty() => {
                    one.deliver(&other.device, which.index(one.under_way.len()));
                }
                Event::Lose(which) if !one.under_way.is_empty() => {
                    one.under_way.swap_remove(which.index(one.under_way.len()));
                }
                Event::Repeat(which) if !one.delivered.is_empty() => {
                    let bytes = which.get(&one.delivered).clone();
                    prop_assert!(one.receive(&other.device, &bytes).is_err());
                }
                Event::Damage(which, at, xor) if !one.under_way.is_empty() => {
                    let mut bytes = which.get(&one.under_way).0.clone();
                    *at.get_mut(&mut bytes) ^= xor;
                    prop_assert!(one.receive(&other.device, &bytes).is_err());
                }
                Event::Store => {
                    if let Some(session) = &one.session {
                        one.session = Some(Session::from_bytes(&session.to_bytes()).unwrap());
                    }
                }
                _ => {}
            }
        }
        // What is still under way arrives in the end; the conversation goes on.
        for (to, from) in [(1, 0), (0, 1)] {
            let bytes = sides[from].send(u32::MAX);
            sides[to].under_way.extend(bytes.map(|bytes| (bytes, u32::MAX)));
            while !sides[to].under_way.is_empty() {
                let [one, other] = &mut sides;
                let (to, from) = if to == 0 { (one, other) } else { (other, one) };
                to.deliver(&from.device, 0);
            }
        }
        prop_assert_eq!(sides[0].session.as_ref().unwrap().id(), sides[1].session.as_ref().unwrap().id());
    }

    /// X20, X21: messages of one chain in any order, some of them lost.
    #[test]
    fn x21_any_order_of_a_chain_decrypts_and_the_numbers_inside_show_what_is_missing(
        order in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(), lost in 0..40_usize
    ) {
        let (alice, bob) = Device::alice_and_bob();
        let (mut ours, mut theirs) = alice.sessions(&bob);
        let messages: Vec<_> =
            (0..40_u32).map(|number| ours.encrypt(&mut fresh(), &number.to_be_bytes(), NOW).unwrap()).collect();
        prop_assert!(prekey(&messages[0]).one_time_prekey_id().is_some());
        let mut seen: Vec<_> = order[..lost]
            .iter()
            .map(|&number| receive(&mut theirs, &messages[number as usize]).unwrap())
            .collect();
        seen.sort_unstable();
        let mut expected = order[..lost].to_vec();
        expected.sort_unstable();
        prop_assert_eq!(seen, expected.iter().map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }
}
