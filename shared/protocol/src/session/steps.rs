//! Post-quantum steps over whole conversations.

use proptest::{prelude::*, sample::Index};

use super::{
    kem::{Blocks, Kind, Phase},
    *,
};
use crate::testing::{NOW, Refused, fresh, receive, sessions};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A conversation in turns of `burst` messages of `length` bytes. Returns how many messages each step took.
fn steps_of(burst: u32, length: usize, messages: u32) -> Vec<u32> {
    let (mut alice, mut bob) = sessions();
    let (mut steps, mut since) = (Vec::new(), 0);
    let content = vec![7; length];
    for number in 0..messages {
        let (from, to) = if (number / burst).is_multiple_of(2) {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let before = from.post_quantum_steps();
        let message = from.encrypt(&mut fresh(), &content, NOW).unwrap();
        assert_eq!(receive(to, &message).unwrap(), content);
        since += 1;
        if from.post_quantum_steps() != before {
            assert_eq!(from.post_quantum_steps(), before + 1);
            assert_eq!(from.post_quantum_steps(), to.post_quantum_steps());
            steps.push(std::mem::take(&mut since));
        }
    }
    steps
}

#[test]
fn a_step_is_made_within_fifty_messages_also_when_messages_leave_no_room() {
    for length in [0, 100, 637, 1024, 1661] {
        for burst in 1..=6 {
            let steps = steps_of(burst, length, 400);
            assert!(steps.len() >= 7, "{burst} × {length}: {steps:?}");
            assert!(
                steps.iter().all(|step| *step <= KEM_STEP_DUE_AFTER_MESSAGES),
                "{burst} × {length}: {steps:?}"
            );
        }
    }
}

#[test]
fn x51_a_message_with_room_does_not_grow_for_a_step() {
    let (mut alice, mut bob) = sessions();
    for number in 0..200 {
        let (from, to) = if number % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let message = from.encrypt(&mut fresh(), b"a short text", NOW).unwrap();
        assert_eq!(
            message.len(),
            RATCHET_OVERHEAD_BYTES + padding::FIRST_BUCKET_BYTES
        );
        receive(to, &message).unwrap();
    }
    assert!(alice.post_quantum_steps() >= 5, "{}", alice.post_quantum_steps());
}

#[test]
fn a_step_is_made_within_seven_days_however_few_messages_there_are() {
    let (mut alice, mut bob) = sessions();
    let mut now = NOW;
    // One message each way every twelve hours.
    let mut last = now;
    for _ in 0..60 {
        for from_alice in [true, false] {
            let (from, to) = if from_alice {
                (&mut alice, &mut bob)
            } else {
                (&mut bob, &mut alice)
            };
            let before = from.post_quantum_steps();
            let message = from.encrypt(&mut fresh(), &[7; 637], now).unwrap();
            receive(to, &message).unwrap();
            if from.post_quantum_steps() != before {
                assert!(now - last <= KEM_STEP_DUE_AFTER_MILLIS);
                last = now;
            }
        }
        now += DAY_MILLIS / 2;
    }
    assert!(now - last <= KEM_STEP_DUE_AFTER_MILLIS);
    assert!(alice.post_quantum_steps() >= 4);
}

#[test]
fn a_clock_that_is_set_back_begins_the_time_anew() {
    let (mut alice, mut bob) = sessions();
    let mut say = |now| {
        for from_alice in [true, false] {
            let (from, to) = if from_alice {
                (&mut alice, &mut bob)
            } else {
                (&mut bob, &mut alice)
            };
            let message = from.encrypt(&mut fresh(), b"", now).unwrap();
            receive(to, &message).unwrap();
        }
        alice.post_quantum_steps()
    };
    // Far in the future by mistake, which makes one step, then right again: the days after that count.
    say(NOW + 10_000 * DAY_MILLIS);
    let steps = (0..6).map(|_| say(NOW)).max();
    assert_eq!(steps, Some(1));
    let steps = (0..6).map(|_| say(NOW + 4 * DAY_MILLIS)).max();
    assert_eq!(steps, Some(2));
}

#[test]
fn one_side_alone_makes_no_step_and_is_told() {
    let (mut alice, mut bob) = sessions();
    for number in 0..2 * KEM_STEP_DUE_AFTER_MESSAGES {
        // Three were exchanged to get here.
        assert_eq!(alice.post_quantum_step_is_overdue(NOW), number + 2 >= 100);
        let message = alice.encrypt(&mut fresh(), b"", NOW).unwrap();
        receive(&mut bob, &message).unwrap();
    }
    assert_eq!((alice.post_quantum_steps(), bob.post_quantum_steps()), (0, 0));
    // An answer is all it takes.
    for from_alice in [false, true, false, true, false, true] {
        let (from, to) = if from_alice {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let message = from.encrypt(&mut fresh(), b"", NOW).unwrap();
        receive(to, &message).unwrap();
    }
    assert_eq!((alice.post_quantum_steps(), bob.post_quantum_steps()), (1, 1));
    assert!(!alice.post_quantum_step_is_overdue(NOW));
}

#[test]
fn an_unanswered_opening_carries_no_step() {
    let (alice, bob) = crate::testing::Device::alice_and_bob();
    let mut session = alice.initiate(&bob);
    for _ in 0..60 {
        let message = session.encrypt(&mut fresh(), b"", NOW).unwrap();
        assert_eq!(message.len(), PREKEY_OVERHEAD_BYTES + padding::FIRST_BUCKET_BYTES);
    }
    assert!(matches!(session.kem.phase, Phase::Idle));
}

/// Talks in turns until `until` holds.
fn talk(alice: &mut Session, bob: &mut Session, until: impl Fn(&Session, &Session) -> bool) {
    for number in 0..200 {
        let (from, to) = if number % 2 == 0 {
            (&mut *alice, &mut *bob)
        } else {
            (&mut *bob, &mut *alice)
        };
        let message = from.encrypt(&mut fresh(), b"talk", NOW).unwrap();
        receive(to, &message).unwrap();
        if until(alice, bob) {
            return;
        }
    }
    panic!("it never came to that");
}

fn is_asking(alice: &Session) -> bool {
    matches!(&alice.kem.phase, Phase::Asking(asking) if asking.answer.present != 0)
}

#[test]
fn an_answer_to_another_key_is_noticed_before_anything_depends_on_it() {
    let (mut alice, mut bob) = sessions();
    talk(&mut alice, &mut bob, |alice, _| is_asking(alice));
    let Phase::Asking(asking) = &mut alice.kem.phase else {
        panic!("not asking")
    };
    // What bob answers is for this key no more.
    asking.seed[0] ^= 1;
    talk(&mut alice, &mut bob, |alice, _| alice.kem.attempt == 1);
    assert!(alice.kem.to_begin_with().is_none());
    assert_eq!(alice.post_quantum_steps(), 0);
    // The next attempt succeeds.
    talk(&mut alice, &mut bob, |alice, bob| {
        alice.post_quantum_steps() == 1 && bob.post_quantum_steps() == 1
    });
    assert_eq!((alice.kem.attempt, bob.kem.attempt), (0, 0));
}

#[test]
fn a_chunk_that_comes_after_its_step_was_made_is_not_taken_into_a_later_one() {
    let (mut alice, mut bob) = sessions();
    talk(&mut alice, &mut bob, |alice, _| {
        matches!(alice.kem.phase, Phase::Asking(_))
    });
    let late = alice.encrypt(&mut fresh(), b"late", NOW).unwrap();
    let next = alice.encrypt(&mut fresh(), b"next", NOW).unwrap();
    receive(&mut bob, &next).unwrap();
    assert!(!matches!(bob.kem.phase, Phase::Idle));
    // As after two steps, when it is for alice to ask again.
    bob.ratchet.epoch += 2;
    bob.kem.done();
    assert_eq!(receive(&mut bob, &late).unwrap(), b"late");
    assert!(matches!(bob.kem.phase, Phase::Idle));
}

#[test]
fn a_key_that_is_none_makes_no_step_and_no_harm() {
    let (mut alice, mut bob) = sessions();
    talk(&mut alice, &mut bob, |alice, _| {
        matches!(alice.kem.phase, Phase::Asking(_))
    });
    let Phase::Asking(asking) = &mut alice.kem.phase else {
        panic!("not asking")
    };
    asking.key = crate::primitives::KemPublicKey::from_stored_bytes(&[0xff; 1184]);
    for number in 0..120 {
        let (from, to) = if number % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let message = from.encrypt(&mut fresh(), b"goes on", NOW).unwrap();
        assert_eq!(receive(to, &message).unwrap(), b"goes on");
    }
    assert_eq!((alice.post_quantum_steps(), bob.post_quantum_steps()), (0, 0));
    assert!(alice.post_quantum_step_is_overdue(NOW));
}

#[test]
fn x19_a_header_that_names_another_number_of_steps_changes_nothing() {
    const EPOCH: usize = 35;
    let (mut alice, mut bob) = sessions();
    let with = |message: &[u8], epoch: u32| {
        let mut message = message.to_vec();
        message[EPOCH..EPOCH + 4].copy_from_slice(&epoch.to_be_bytes());
        message
    };
    let epoch = Err(Refused::Decrypt(DecryptError::Epoch));
    let forged = Err(Refused::Decrypt(DecryptError::Authentication));
    // A new chain, while no step is under way.
    let message = alice.encrypt(&mut fresh(), b"", NOW).unwrap();
    let mut waiting = bob.clone();
    waiting.encrypt(&mut fresh(), b"", NOW).unwrap();
    for other in [1, 2, u32::MAX] {
        assert_eq!(receive(&mut waiting, &with(&message, other)), epoch);
    }
    receive(&mut bob, &message).unwrap();
    // On a chain that is known, the number is authenticated like everything else.
    let message = alice.encrypt(&mut fresh(), b"", NOW).unwrap();
    assert_eq!(receive(&mut bob, &with(&message, 1)), forged);
    receive(&mut bob, &message).unwrap();
    // And while the step is expected.
    talk(&mut bob, &mut alice, |alice, bob| {
        let _ = alice;
        bob.kem.to_begin_with().is_some()
    });
    let message = alice.encrypt(&mut fresh(), b"with the secret", NOW).unwrap();
    assert_eq!(alice.post_quantum_steps(), 1);
    for (other, expected) in [(0, &forged), (2, &epoch), (u32::MAX, &epoch)] {
        assert_eq!(receive(&mut bob, &with(&message, other)), *expected);
    }
    assert_eq!(receive(&mut bob, &message).unwrap(), b"with the secret");
}

#[test]
fn whoever_knows_all_but_the_kem_secret_does_not_follow() {
    let (mut alice, mut bob) = sessions();
    talk(&mut bob, &mut alice, |_, alice| {
        alice.kem.to_begin_with().is_some()
    });
    // A thief with bob's whole state but for the secret, as one who broke ECDH and saw no plaintext.
    let mut thief = bob.clone();
    let Phase::Answering(answering) = &mut thief.kem.phase else {
        panic!("not answering")
    };
    answering.secret = crate::primitives::Secret::zero();
    let message = alice.encrypt(&mut fresh(), b"out of reach", NOW).unwrap();
    assert_eq!(
        receive(&mut thief, &message),
        Err(Refused::Decrypt(DecryptError::Authentication))
    );
    assert!(receive(&mut bob, &message).is_ok());
}

#[test]
fn every_phase_of_a_step_survives_its_stored_form_and_no_other_is_read() {
    let (mut alice, mut bob) = sessions();
    let mut seen = [false; 6];
    for number in 0..120 {
        let (from, to) = if number % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let message = from.encrypt(&mut fresh(), &[7; 100], NOW).unwrap();
        receive(to, &message).unwrap();
        for session in [&mut alice, &mut bob] {
            let stored = session.to_bytes();
            *session = Session::from_bytes(&stored).unwrap();
            assert_eq!(session.to_bytes(), stored);
            for length in [
                stored.len() - 1,
                stored.len() - 33,
                stored.len() - 1000.min(stored.len()),
            ] {
                assert!(Session::from_bytes(&stored[..length]).is_err());
            }
            let phase = match session.kem.phase {
                Phase::Idle => 0,
                Phase::Asking(_) => 1,
                Phase::Decided(_) => 2,
                Phase::Hearing(_) => 3,
                Phase::Heard(_) => 4,
                Phase::Answering(_) => 5,
            };
            seen[phase] = true;
            // The other side cannot be in it.
            let mut other = session.clone();
            other.role = match other.role {
                Role::Responder => Role::Initiator,
                _ => Role::Responder,
            };
            assert_eq!(
                Session::from_bytes(&other.to_bytes()).is_ok(),
                phase == 0,
                "{phase}"
            );
        }
    }
    assert_eq!(seen, [true; 6]);
    // Blocks that are all there, or more than all, are no longer blocks.
    for (kind, present) in [(Kind::Key, 0), (Kind::Key, (1 << 37) - 1), (Kind::Key, 1 << 37)] {
        let mut blocks = Blocks::none(kind);
        blocks.present = present;
        bob.kem.phase = Phase::Hearing(blocks);
        bob.role = Role::Responder;
        bob.ratchet.epoch = 0;
        assert_eq!(
            Session::from_bytes(&bob.to_bytes()).err(),
            Some(StateError::Value)
        );
    }
}

#[test]
fn padding_no_implementation_writes_is_refused_and_changes_nothing() {
    let (mut alice, mut bob) = sessions();
    // What the plaintext ends with: nothing, no mark, a larger bucket than needed, chunks that cannot be.
    let bucket = |length: usize, end: &[u8]| {
        let mut plaintext = vec![0; length];
        plaintext[0] = 0x80;
        plaintext[length - end.len()..].copy_from_slice(end);
        plaintext
    };
    let rows = [
        vec![],
        vec![0; 638],
        vec![7; 638],
        bucket(637, &[]),
        bucket(1025, &[]),
        bucket(639, &[0, 1, 0, 1]),
        bucket(638, &[0, 0, 0, 1]),
        bucket(638, &[37, 1, 0, 1]),
        bucket(638, &[36, 2, 0, 1]),
        bucket(638, &[35, 1, 0, 2]),
        bucket(638, &[0, 20, 0, 1]),
        bucket(638, &[255, 255, 255, 1]),
        bucket(638, &[3]),
        vec![1],
        vec![2; 4],
    ];
    for plaintext in rows {
        let mut forger = alice.clone();
        let (mut header, key) = forger.ratchet.next_message(&mut fresh(), None).unwrap();
        fresh_nonce(&mut header.nonce);
        let mut message = Vec::new();
        write_head(None, &header, &mut message);
        let associated_data = associated_data(&alice.id, Direction::FromInitiator, &message);
        let start = message.len();
        message.extend_from_slice(&plaintext);
        key.seal(&header.nonce, &associated_data, &mut message, start);
        assert_eq!(
            receive(&mut bob, &message),
            Err(Refused::Decrypt(DecryptError::Padding))
        );
    }
    let message = alice.encrypt(&mut fresh(), b"as it should be", NOW).unwrap();
    assert!(receive(&mut bob, &message).is_ok());
}

fn fresh_nonce(nonce: &mut [u8; 12]) {
    use rand::Rng;
    fresh().fill_bytes(nonce);
}

/// What happens to the oldest, or some, message under way.
#[derive(Clone, Debug)]
enum Fate {
    Arrives,
    Overtakes(Index),
    ArrivesTwice,
    IsLost,
    IsDamaged(Index),
}

fn fates() -> impl Strategy<Value = Vec<(bool, usize, Fate)>> {
    let fate = prop_oneof![
        12 => Just(Fate::Arrives),
        3 => any::<Index>().prop_map(Fate::Overtakes),
        2 => Just(Fate::ArrivesTwice),
        2 => Just(Fate::IsLost),
        1 => any::<Index>().prop_map(Fate::IsDamaged),
    ];
    let length = prop_oneof![3 => 0..400_usize, 1 => 600..1_100_usize];
    proptest::collection::vec((any::<bool>(), length, fate), 400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// X19 to X21, X23, X25 with post-quantum steps: `receive` compares the stored bytes before and after every
    /// refusal, the recorder in `primitives` every (key, nonce) pair.
    #[test]
    fn x21_steps_are_made_whatever_the_network_does_and_no_message_that_arrives_is_lost_to_them(
        fates in fates()
    ) {
        let (alice, bob) = sessions();
        let mut sides = [alice, bob];
        let mut under_way: [Vec<(Vec<u8>, Vec<u8>)>; 2] = Default::default();
        let mut now = NOW;
        for (number, (second, length, fate)) in (0_u32..).zip(fates) {
            now += DAY_MILLIS / 24;
            let (from, to) = (usize::from(second), usize::from(!second));
            let content = [number.to_be_bytes().as_slice(), &vec![7; length]].concat();
            let message = sides[from].encrypt(&mut fresh(), &content, now).unwrap();
            under_way[to].push((message, content));
            let to = if number % 3 == 0 { from } else { to };
            if under_way[to].is_empty() {
                continue;
            }
            let which = match &fate {
                Fate::Overtakes(which) => which.index(under_way[to].len().min(6)),
                _ => 0,
            };
            let (mut message, content) = under_way[to].remove(which);
            match fate {
                Fate::IsLost => continue,
                Fate::IsDamaged(at) => {
                    *at.get_mut(&mut message) ^= 1;
                    prop_assert!(receive(&mut sides[to], &message).is_err());
                }
                Fate::Arrives | Fate::Overtakes(_) => {
                    prop_assert_eq!(receive(&mut sides[to], &message), Ok(content));
                }
                Fate::ArrivesTwice => {
                    prop_assert_eq!(receive(&mut sides[to], &message), Ok(content));
                    prop_assert!(receive(&mut sides[to], &message).is_err());
                }
            }
            sides[to] = Session::from_bytes(&sides[to].to_bytes()).unwrap();
        }
        for to in [0, 1] {
            for (message, content) in std::mem::take(&mut under_way[to]) {
                prop_assert_eq!(receive(&mut sides[to], &message), Ok(content));
            }
        }
        let [alice, bob] = &mut sides;
        let steps = alice.post_quantum_steps();
        prop_assert!(steps >= 1, "no step");
        prop_assert!(steps.abs_diff(bob.post_quantum_steps()) <= 1);
        // Whatever was under way, the conversation goes on, and so do the steps.
        talk(alice, bob, |alice, bob| {
            alice.post_quantum_steps() == steps + 2 && bob.post_quantum_steps() == steps + 2
        });
    }
}
