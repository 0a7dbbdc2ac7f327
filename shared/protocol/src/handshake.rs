//! X3DH with ML-KEM-768: how two devices agree on a session while one of them is away.
//!
//! The initiator A takes B's published [`PrekeyBundle`], makes a base key, and computes
//!
//! ```text
//! DH1 = ECDH(identity A, signed prekey B)      DH2 = ECDH(base A, identity B)
//! DH3 = ECDH(base A, signed prekey B)          DH4 = ECDH(base A, one-time prekey B)
//! KEM secret, ciphertext = Encaps(KEM key of the signed prekey B)
//! root = HKDF(salt: label, secret: DH1 || DH2 || DH3 [|| DH4] || KEM secret, info: label || transcript)
//! ```
//!
//! B computes the same from its private halves and what A's first messages carry. DH1 and DH2 authenticate
//! both devices, DH3 and DH4 make the secret fresh, the KEM secret keeps it from whoever breaks all of them
//! with a quantum computer later. There is no handshake without one. DH4 falls away when B's one-time prekeys
//! are used up; the transcript says so, hence both sides know and nobody between them can take it away.
//!
//! The *transcript* is a hash over all both sides must agree on: version and suite, both addresses, both
//! signing keys and identity keys, the base key, every prekey with its id, the KEM ciphertext. It
//! goes into the key derivation and into the associated data of every message. See the Signal specifications
//! "The X3DH Key Agreement Protocol" (2016) and "The PQXDH Key Agreement Protocol" (2023) for the rest; what
//! differs is written in `docs/protocol.md`.

mod answered;
mod bundle;
mod initiate;
mod respond;
mod secret;
mod transcript;

pub use answered::{AnsweredOpenings, OPENING_DIGEST_BYTES};
pub use bundle::{BundleError, PrekeyBundle, PublishedSignedPrekey};
pub use initiate::{InitiateError, initiate};
pub use respond::{OneTime, RespondError, respond};

/// Bytes of a device's address at most, so that its length fits one byte of the transcript.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// Whether two addresses can have a session: neither is empty or too long, and they differ.
fn are_addresses(ours: &[u8], theirs: &[u8]) -> bool {
    let fits = |address: &[u8]| (1..=MAX_ADDRESS_BYTES).contains(&address.len());
    fits(ours) && fits(theirs) && ours != theirs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{
            DeviceKeys, IdentityKeyPair, KeyError, OneTimePrekeyPair, PUBLIC_KEY_BYTES, SignedPrekeyPair,
            SigningKeyPair, TheirDevice,
        },
        message::{MAX_MESSAGE_BYTES, PrekeyMessage},
        session::DecryptError,
        testing::{
            Device, NOW, ONE, Refused, Scripted, ZERO_POINT, fresh, negated, negated_private, prekey,
            receive, rng,
        },
    };

    const FORGED: RespondError = RespondError::Decrypt(DecryptError::Authentication);

    /// Where a prekey message has its fields.
    const SIGNED_PREKEY_ID: usize = 2;
    const ONE_TIME_PREKEY_ID: usize = 6;
    const SIGNING_KEY: usize = 10;
    const IDENTITY_KEY: usize = 43;
    const IDENTITY_SIGNATURE: usize = 76;
    const BASE_KEY: usize = 140;
    const KEM_CIPHERTEXT: usize = 173;
    const RATCHET_KEY: usize = 1261;
    const COUNTER: usize = 1302;

    fn put<const N: usize>(message: &[u8], at: usize, bytes: [u8; N]) -> Vec<u8> {
        let mut message = message.to_vec();
        message[at..at + N].copy_from_slice(&bytes);
        message
    }

    /// What a device publishes of a signed prekey.
    fn published<'a>(
        id: u32,
        key: &'a [u8],
        of: &'a SignedPrekeyPair,
        signature: &'a [u8; 64],
    ) -> PublishedSignedPrekey<'a> {
        PublishedSignedPrekey {
            id,
            key,
            kem_key: of.public().kem_key(),
            signature,
        }
    }

    /// The private keys of a signed prekey with another scalar.
    fn with_scalar(scalar: &[u8; 32], of: &SignedPrekeyPair) -> Vec<u8> {
        [scalar.as_slice(), &of.to_bytes()[32..]].concat()
    }

    /// Alice's first message to Bob.
    fn first_message(alice: &Device, bob: &Device) -> Vec<u8> {
        alice.initiate(bob).encrypt(&mut fresh(), b"hello", NOW).unwrap()
    }

    #[test]
    fn both_sides_agree_with_a_one_time_prekey_and_without() {
        let (alice, bob) = Device::alice_and_bob();
        for one_time in [Some(&bob.one_time), None] {
            let bundle = bob.bundle_with(one_time);
            assert_eq!(bundle.has_one_time_prekey(), one_time.is_some());
            let rng = &mut fresh();
            let mut ours = initiate(rng, &alice.keys, &alice.address, &bundle, &bob.address).unwrap();
            let message = ours.encrypt(rng, b"hello", NOW).unwrap();
            let (mut theirs, plaintext) = bob.respond(&alice, &message).unwrap();
            assert_eq!(plaintext, b"hello");
            assert_eq!((ours.id(), ours.base_key()), (theirs.id(), theirs.base_key()));
            assert_eq!(ours.used_one_time_prekey(), one_time.is_some());
            assert_eq!(theirs.used_one_time_prekey(), one_time.is_some());
            let answer = theirs.encrypt(rng, b"answer", NOW).unwrap();
            assert_eq!(receive(&mut ours, &answer).unwrap(), b"answer");
        }
    }

    #[test]
    fn the_first_message_may_be_lost_or_late() {
        let (alice, bob) = Device::alice_and_bob();
        let mut ours = alice.initiate(&bob);
        let messages: Vec<_> = (0..3_u8)
            .map(|i| ours.encrypt(&mut fresh(), &[i], NOW).unwrap())
            .collect();
        let (mut theirs, plaintext) = bob.respond(&alice, &messages[2]).unwrap();
        assert_eq!(plaintext, [2]);
        assert_eq!(receive(&mut theirs, &messages[0]).unwrap(), [0]);
        assert_eq!(receive(&mut theirs, &messages[1]).unwrap(), [1]);
    }

    #[test]
    fn x02_a_shared_secret_of_zero_is_refused_by_the_initiator() {
        let (alice, bob) = Device::alice_and_bob();
        let zero_identity = TheirDevice::from_bytes(
            &[bob.keys.signing().public().to_bytes(), ZERO_POINT]
                .concat()
                .try_into()
                .unwrap(),
        )
        .unwrap();
        let one = IdentityKeyPair::from_bytes(&ONE).unwrap();
        let alice_of_one = DeviceKeys::new(alice.keys.signing().clone(), one);
        let bundle =
            |device: TheirDevice, signed: [u8; PUBLIC_KEY_BYTES], one_time: [u8; PUBLIC_KEY_BYTES]| {
                let kem_key = bob.signed.public().kem_key();
                let signature = bob.keys.signing().sign(
                    &crate::keys::SignedPrekey::from_bytes(7, &signed, kem_key)
                        .unwrap()
                        .signed_bytes(),
                );
                let signed = published(7, &signed, &bob.signed, &signature);
                PrekeyBundle::verify(device, signed, Some((9, &one_time))).unwrap()
            };
        let (signed, one_time) = (bob.signed.public().to_bytes(), bob.one_time.public().to_bytes());
        let bob_device = bob.keys.public();
        let rows = [
            (
                "DH1",
                &alice_of_one,
                [2; 32],
                bundle(bob_device.clone(), ZERO_POINT, one_time),
            ),
            ("DH2", &alice.keys, ONE, bundle(zero_identity, signed, one_time)),
            (
                "DH3",
                &alice.keys,
                ONE,
                bundle(bob_device.clone(), ZERO_POINT, one_time),
            ),
            ("DH4", &alice.keys, ONE, bundle(bob_device, signed, ZERO_POINT)),
        ];
        for (which, ours, base, bundle) in rows {
            let rng = &mut Scripted::new(&[&base, &[5; 32]]);
            let result = initiate(rng, ours, &alice.address, &bundle, &bob.address);
            assert_eq!(result.err(), Some(InitiateError::ZeroSecret), "{which}");
        }
    }

    #[test]
    fn x02_a_shared_secret_of_zero_is_refused_by_the_responder() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        let zero_base = put(&message, BASE_KEY, ZERO_POINT);
        let zero_identity = put(&message, IDENTITY_KEY, ZERO_POINT);
        let zero_alice = [alice.keys.signing().public().to_bytes(), ZERO_POINT].concat();
        let zero_alice = TheirDevice::from_bytes(&zero_alice.try_into().unwrap()).unwrap();
        let alice_device = alice.keys.public();

        let one = DeviceKeys::new(
            bob.keys.signing().clone(),
            IdentityKeyPair::from_bytes(&ONE).unwrap(),
        );
        let signed_one = SignedPrekeyPair::from_bytes(7, &with_scalar(&ONE, &bob.signed)).unwrap();
        let one_time_one = OneTimePrekeyPair::from_bytes(9, &ONE).unwrap();
        let rows = [
            (
                "DH1",
                &bob.keys,
                &signed_one,
                &bob.one_time,
                &zero_alice,
                &zero_identity,
            ),
            ("DH2", &one, &bob.signed, &bob.one_time, &alice_device, &zero_base),
            (
                "DH3",
                &bob.keys,
                &signed_one,
                &bob.one_time,
                &alice_device,
                &zero_base,
            ),
            (
                "DH4",
                &bob.keys,
                &bob.signed,
                &one_time_one,
                &alice_device,
                &zero_base,
            ),
        ];
        for (which, ours, signed, one_time, theirs, message) in rows {
            let message = prekey(message);
            let result = respond(
                ours,
                &bob.address,
                signed,
                OneTime::Prekey(one_time),
                theirs,
                &alice.address,
                &message,
            );
            assert_eq!(result.err(), Some(RespondError::ZeroSecret), "{which}");
        }
    }

    #[test]
    fn x01_a_base_key_or_ratchet_key_off_the_curve_is_refused() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        let mut off_curve = ZERO_POINT;
        off_curve[32] = 1;
        let refused = bob.respond(&alice, &put(&message, BASE_KEY, off_curve)).err();
        assert_eq!(refused, Some(RespondError::BaseKey(KeyError::Curve)));
        let refused = bob.respond(&alice, &put(&message, RATCHET_KEY, off_curve)).err();
        let expected = RespondError::Decrypt(DecryptError::RatchetKey(KeyError::Curve));
        assert_eq!(refused, Some(expected));
    }

    /// Every row gives both sides the same shared secrets, for P and −P share their x-coordinate, or the same
    /// key has two names. Only what the transcript binds tells the sides apart.
    #[test]
    fn x03_a_handshake_works_only_between_those_who_mean_each_other() {
        let (alice, bob, mallory) = (Device::new(1), Device::new(2), Device::new(3));
        let message = first_message(&alice, &bob);
        let respond_with = |keys: &DeviceKeys,
                            address: &[u8],
                            signed: &SignedPrekeyPair,
                            one_time: Option<&OneTimePrekeyPair>,
                            from: &[u8],
                            message: &[u8]| {
            let message = prekey(message);
            let answered = AnsweredOpenings::new(message.signed_prekey_id());
            respond(
                keys,
                address,
                signed,
                one_time.map_or(OneTime::Answered(&answered), OneTime::Prekey),
                &message.sender().unwrap(),
                from,
                &message,
            )
            .map(|(_, plaintext)| plaintext)
        };
        let signed_as = |id, private: &[u8]| SignedPrekeyPair::from_bytes(id, private).unwrap();
        let one_time_as = |id, private: &[u8]| OneTimePrekeyPair::from_bytes(id, private).unwrap();
        let bob_one_time = Some(&bob.one_time);
        let as_bob = |from: &[u8], message: &[u8]| {
            respond_with(&bob.keys, &bob.address, &bob.signed, bob_one_time, from, message)
        };
        assert_eq!(as_bob(&alice.address, &message).unwrap(), b"hello");

        // Addresses.
        assert_eq!(as_bob(&mallory.address, &message), Err(FORGED));
        let elsewhere = b"elsewhere".as_slice();
        let result = respond_with(
            &bob.keys,
            elsewhere,
            &bob.signed,
            bob_one_time,
            &alice.address,
            &message,
        );
        assert_eq!(result, Err(FORGED));

        // Bob's identity key negated; his signing key another.
        let negative =
            IdentityKeyPair::from_bytes(&negated_private(&bob.keys.identity().to_bytes())).unwrap();
        let others = [
            DeviceKeys::new(bob.keys.signing().clone(), negative.clone()),
            DeviceKeys::new(mallory.keys.signing().clone(), negative),
            DeviceKeys::new(mallory.keys.signing().clone(), bob.keys.identity().clone()),
        ];
        for keys in &others {
            let result = respond_with(
                keys,
                &bob.address,
                &bob.signed,
                bob_one_time,
                &alice.address,
                &message,
            );
            assert_eq!(result, Err(FORGED));
        }

        // Alice's identity key negated or not, under Mallory's signing key, who vouches for it.
        let identity = alice.keys.identity().public().to_bytes();
        for identity in [identity, negated(identity)] {
            let vouched = [b"Waxwing v1 identity key".as_slice(), &identity].concat();
            let claimed = put(&message, SIGNING_KEY, mallory.keys.signing().public().to_bytes());
            let claimed = put(&claimed, IDENTITY_KEY, identity);
            let claimed = put(
                &claimed,
                IDENTITY_SIGNATURE,
                mallory.keys.signing().sign(&vouched),
            );
            for from in [&alice.address, &mallory.address] {
                assert_eq!(as_bob(from, &claimed), Err(FORGED));
            }
        }

        // The base key and the ratchet key negated.
        for at in [BASE_KEY, RATCHET_KEY] {
            let mut twin = message.clone();
            twin[at] ^= 1;
            assert_eq!(as_bob(&alice.address, &twin), Err(FORGED));
        }

        // Prekeys negated, or under another id.
        let signed = bob.signed.to_bytes();
        let scalar = *signed.first_chunk::<32>().unwrap();
        let one_time = bob.one_time.to_bytes();
        let rows = [
            (
                signed_as(7, &with_scalar(&negated_private(&scalar), &bob.signed)),
                one_time_as(9, one_time.as_ref()),
                message.clone(),
            ),
            (
                signed_as(7, signed.as_ref()),
                one_time_as(9, &negated_private(&one_time)),
                message.clone(),
            ),
            (
                signed_as(8, signed.as_ref()),
                one_time_as(9, one_time.as_ref()),
                put(&message, SIGNED_PREKEY_ID, [0, 0, 0, 8]),
            ),
            (
                signed_as(7, signed.as_ref()),
                one_time_as(10, one_time.as_ref()),
                put(&message, ONE_TIME_PREKEY_ID, [0, 0, 0, 10]),
            ),
        ];
        for (signed, one_time, message) in rows {
            let from = &alice.address;
            let result = respond_with(&bob.keys, &bob.address, &signed, Some(&one_time), from, &message);
            assert_eq!(result, Err(FORGED));
        }

        // The one-time prekey taken away.
        let without = put(&message, ONE_TIME_PREKEY_ID, [0; 4]);
        let result = respond_with(
            &bob.keys,
            &bob.address,
            &bob.signed,
            None,
            &alice.address,
            &without,
        );
        assert_eq!(result, Err(FORGED));
    }

    #[test]
    fn x03_mallory_cannot_pass_on_as_hers_what_was_meant_for_bob() {
        let (alice, bob, mallory) = (Device::new(1), Device::new(2), Device::new(3));
        // Mallory publishes the negative of Bob's identity key and his prekeys as her own.
        let identity = negated(bob.keys.identity().public().to_bytes());
        let vouched = [b"Waxwing v1 identity key".as_slice(), &identity].concat();
        let signing = mallory.keys.signing();
        let device =
            TheirDevice::verify(&signing.public().to_bytes(), &identity, &signing.sign(&vouched)).unwrap();
        let bundle = PrekeyBundle::verify(
            device,
            published(
                7,
                &bob.signed.public().to_bytes(),
                &bob.signed,
                &bob.signed.sign(signing),
            ),
            Some((9, &bob.one_time.public().to_bytes())),
        )
        .unwrap();
        let rng = &mut fresh();
        let mut session = initiate(rng, &alice.keys, &alice.address, &bundle, &mallory.address).unwrap();
        let message = session.encrypt(rng, b"for Mallory", NOW).unwrap();
        assert_eq!(bob.respond(&alice, &message).err(), Some(FORGED));
    }

    #[test]
    fn x07_a_sender_with_another_key_than_known_is_refused() {
        let (alice, bob) = Device::alice_and_bob();
        let message = prekey(&first_message(&alice, &bob));
        let other_identity = DeviceKeys::new(
            alice.keys.signing().clone(),
            IdentityKeyPair::generate(&mut rng(9)),
        );
        let other_signing = DeviceKeys::new(
            SigningKeyPair::generate(&mut rng(9)),
            alice.keys.identity().clone(),
        );
        for known in [
            other_identity.public(),
            other_signing.public(),
            Device::new(9).keys.public(),
        ] {
            let one_time = OneTime::Prekey(&bob.one_time);
            let result = respond(
                &bob.keys,
                &bob.address,
                &bob.signed,
                one_time,
                &known,
                &alice.address,
                &message,
            );
            assert_eq!(result.err(), Some(RespondError::Sender));
        }
    }

    #[test]
    fn x08_a_signed_prekey_needs_its_own_signature_of_its_own_device() {
        let (bob, mallory) = (Device::new(2), Device::new(3));
        let (key, signature) = (
            bob.signed.public().to_bytes(),
            bob.signed.sign(bob.keys.signing()),
        );
        let verify = |device: &Device, id, key: &[u8], signature: &[u8; 64]| {
            PrekeyBundle::verify(
                device.keys.public(),
                published(id, key, &bob.signed, signature),
                None,
            )
            .map(|_| ())
        };
        assert_eq!(verify(&bob, 7, &key, &signature), Ok(()));

        let bad = Err(BundleError::Signature);
        for id in [6, 8, 1, 7 + (1 << 30)] {
            assert_eq!(verify(&bob, id, &key, &signature), bad, "{id}");
        }
        let others = [
            negated(key),
            mallory.signed.public().to_bytes(),
            bob.one_time.public().to_bytes(),
            ZERO_POINT,
        ];
        for other in others {
            assert_eq!(verify(&bob, 7, &other, &signature), bad);
        }
        for at in [0, 31, 32, 63] {
            let mut flipped = signature;
            flipped[at] ^= 1;
            assert_eq!(verify(&bob, 7, &key, &flipped), bad, "{at}");
        }
        assert_eq!(verify(&mallory, 7, &key, &signature), bad);
        assert_eq!(
            verify(&bob, 7, &key, &bob.signed.sign(mallory.keys.signing())),
            bad
        );
        assert_eq!(verify(&bob, 7, &key, &bob.keys.identity_signature()), bad);
        assert_eq!(verify(&bob, 7, &key, &[0; 64]), bad);
    }

    #[test]
    fn x01_x14_a_bundle_with_a_bad_key_or_id_is_refused() {
        let bob = Device::new(2);
        let (key, signature) = (
            bob.signed.public().to_bytes(),
            bob.signed.sign(bob.keys.signing()),
        );
        let one_time = bob.one_time.public().to_bytes();
        let mut off_curve = ZERO_POINT;
        off_curve[32] = 1;
        let verify = |signed: (u32, &[u8]), one_time: (u32, &[u8])| {
            let (id, key) = signed;
            let signed = published(id, key, &bob.signed, &signature);
            PrekeyBundle::verify(bob.keys.public(), signed, Some(one_time)).map(|_| ())
        };
        assert_eq!(verify((7, &key), (9, &one_time)), Ok(()));
        let signed = |error| Err(BundleError::SignedPrekey(error));
        assert_eq!(verify((0, &key), (9, &one_time)), signed(KeyError::Id));
        assert_eq!(verify((7, &off_curve), (9, &one_time)), signed(KeyError::Curve));
        assert_eq!(verify((7, &[4; 65]), (9, &one_time)), signed(KeyError::Encoding));
        let one_time_error = |error| Err(BundleError::OneTimePrekey(error));
        assert_eq!(
            verify((7, &key), (1 << 31, &one_time)),
            one_time_error(KeyError::Id)
        );
        assert_eq!(
            verify((7, &key), (9, &off_curve)),
            one_time_error(KeyError::Curve)
        );
        assert_eq!(
            verify((7, &key), (9, &one_time[..32])),
            one_time_error(KeyError::Encoding)
        );
    }

    #[test]
    fn x07_a_bundle_with_one_key_for_two_purposes_is_refused() {
        let bob = Device::new(2);
        let (key, signature) = (
            bob.signed.public().to_bytes(),
            bob.signed.sign(bob.keys.signing()),
        );
        let device = bob.keys.public();
        let long_term = [device.signing_key().to_bytes(), device.identity_key().to_bytes()];
        for twice in [key, long_term[0], long_term[1]] {
            let result = PrekeyBundle::verify(
                device.clone(),
                published(7, &key, &bob.signed, &signature),
                Some((9, &twice)),
            );
            assert_eq!(result, Err(BundleError::SameKey));
        }
        for twice in long_term {
            let kem_key = bob.signed.public().kem_key();
            let prekey = crate::keys::SignedPrekey::from_bytes(7, &twice, kem_key).unwrap();
            let signature = bob.keys.signing().sign(&prekey.signed_bytes());
            let result = PrekeyBundle::verify(
                device.clone(),
                published(7, &twice, &bob.signed, &signature),
                None,
            );
            assert_eq!(result, Err(BundleError::SameKey));
        }
    }

    #[test]
    fn x10_the_replay_of_a_prekey_message_gives_no_second_plaintext() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        let (mut session, _) = bob.respond(&alice, &message).unwrap();
        // The client finds the session by its base key …
        assert_eq!(prekey(&message).base_key(), session.base_key());
        assert_eq!(
            receive(&mut session, &message),
            Err(Refused::Decrypt(DecryptError::Duplicate))
        );
        // … and once the session is gone, the one-time prekey is, too.
        let parsed = prekey(&message);
        let sender = alice.keys.public();
        let result = respond(
            &bob.keys,
            &bob.address,
            &bob.signed,
            OneTime::Answered(&AnsweredOpenings::new(7)),
            &sender,
            &alice.address,
            &parsed,
        );
        assert_eq!(result.err(), Some(RespondError::OneTimePrekey));
    }

    #[test]
    fn x11_all_prekey_messages_of_a_session_have_one_base_key_and_no_two_sessions_do() {
        let (alice, bob) = Device::alice_and_bob();
        let mut session = alice.initiate(&bob);
        let mut base_key = || *prekey(&session.encrypt(&mut fresh(), b"hello", NOW).unwrap()).base_key();
        assert_eq!(base_key(), base_key());
        assert_ne!(base_key(), *alice.initiate(&bob).base_key());
    }

    /// Alice's first message to Bob, who has no one-time prekey left.
    fn first_message_without(alice: &Device, bob: &Device) -> PrekeyMessage {
        let bundle = bob.bundle_with(None);
        let rng = &mut fresh();
        let mut session = initiate(rng, &alice.keys, &alice.address, &bundle, &bob.address).unwrap();
        prekey(&session.encrypt(rng, b"hello", NOW).unwrap())
    }

    fn answer(
        bob: &Device,
        from: &Device,
        message: &PrekeyMessage,
        answered: &AnsweredOpenings,
    ) -> Result<Vec<u8>, RespondError> {
        let sender = from.keys.public();
        let one_time = bob.one_time(message, answered);
        let (keys, address) = (&bob.keys, &bob.address);
        respond(
            keys,
            address,
            &bob.signed,
            one_time,
            &sender,
            &from.address,
            message,
        )
        .map(|(_, content)| content)
    }

    #[test]
    fn x11_an_opening_without_a_one_time_prekey_is_answered_once_also_after_a_restart() {
        let (alice, bob) = Device::alice_and_bob();
        let (message, other) = (
            first_message_without(&alice, &bob),
            first_message_without(&alice, &bob),
        );
        let mut answered = AnsweredOpenings::new(7);
        assert_eq!(answer(&bob, &alice, &message, &answered).unwrap(), b"hello");
        let stored = answered.remember(&message);
        assert_eq!(
            answer(&bob, &alice, &message, &answered),
            Err(RespondError::Replayed)
        );
        let restarted = AnsweredOpenings::from_digests(7, [stored]);
        assert_eq!(restarted, answered);
        assert_eq!(
            answer(&bob, &alice, &message, &restarted),
            Err(RespondError::Replayed)
        );
        assert!(answer(&bob, &alice, &other, &restarted).is_ok());
        // What was answered under another signed prekey says nothing about this one.
        let elsewhere = AnsweredOpenings::new(8);
        assert_eq!(
            answer(&bob, &alice, &message, &elsewhere),
            Err(RespondError::SignedPrekey)
        );
    }

    #[test]
    fn x11_openings_that_cannot_be_remembered_are_refused() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message_without(&alice, &bob);
        let digest = |number: usize| {
            let mut digest = [0; OPENING_DIGEST_BYTES];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        let up_to = |count| AnsweredOpenings::from_digests(7, (0..count).map(digest));
        assert_eq!(up_to(AnsweredOpenings::MAX).len(), 4_096);
        assert!(answer(&bob, &alice, &message, &up_to(AnsweredOpenings::MAX - 1)).is_ok());
        assert_eq!(
            answer(&bob, &alice, &message, &up_to(AnsweredOpenings::MAX)),
            Err(RespondError::TooManyOpenings)
        );
        // Those with a one-time prekey need no memory.
        let with = prekey(&first_message(&alice, &bob));
        assert!(answer(&bob, &alice, &with, &up_to(AnsweredOpenings::MAX)).is_ok());
        assert!(AnsweredOpenings::new(7).is_empty());
    }

    #[test]
    fn x15_x16_a_signed_prekey_without_its_own_encapsulation_key_is_refused() {
        let (bob, mallory) = (Device::new(2), Device::new(3));
        let key = bob.signed.public().to_bytes();
        let signature = bob.signed.sign(bob.keys.signing());
        let verify = |kem_key: &[u8]| {
            let signed = PublishedSignedPrekey {
                id: 7,
                key: &key,
                kem_key,
                signature: &signature,
            };
            PrekeyBundle::verify(bob.keys.public(), signed, None).map(|_| ())
        };
        let own = *bob.signed.public().kem_key();
        assert_eq!(verify(&own), Ok(()));
        let no_key = Err(BundleError::SignedPrekey(KeyError::Kem));
        assert_eq!(verify(&[]), no_key, "stripped");
        assert_eq!(verify(&key), no_key, "an EC key in its place");
        assert_eq!(verify(&own[..1183]), no_key);
        assert_eq!(
            verify(mallory.signed.public().kem_key()),
            Err(BundleError::Signature)
        );
        // Its last 32 bytes are a seed of any value, so only the signature guards them.
        let mut flipped = own;
        flipped[1183] ^= 1;
        assert_eq!(verify(&flipped), Err(BundleError::Signature));
    }

    #[test]
    fn x16_a_ciphertext_for_another_encapsulation_key_gives_no_session() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        for at in [0, 1087] {
            let mut changed = message.clone();
            changed[KEM_CIPHERTEXT + at] ^= 1;
            assert_eq!(bob.respond(&alice, &changed).err(), Some(FORGED));
        }
        // Bob with the same P-256 key and another ML-KEM key.
        let stored = bob.signed.to_bytes();
        let other = [&stored[..32], &[9; 64]].concat();
        let other = SignedPrekeyPair::from_bytes(7, &other).unwrap();
        assert_eq!(other.public().to_bytes(), bob.signed.public().to_bytes());
        let message = prekey(&message);
        let (sender, one_time) = (alice.keys.public(), OneTime::Prekey(&bob.one_time));
        let result = respond(
            &bob.keys,
            &bob.address,
            &other,
            one_time,
            &sender,
            &alice.address,
            &message,
        );
        assert_eq!(result.err(), Some(FORGED));
    }

    /// What is left, and documented: whoever has Bob's *signed prekey* can pose as anyone towards him.
    #[test]
    fn x17_whoever_lacks_bobs_signed_prekey_cannot_pose_as_alice_to_him() {
        let (alice, bob) = Device::alice_and_bob();
        // The thief knows Alice's public keys and can compute DH2 to DH4 and the KEM secret, for it makes the base
        // key itself; DH1 needs Alice's identity key or Bob's signed prekey.
        let rng = &mut fresh();
        let mut session = initiate(
            rng,
            &DeviceKeys::new(
                SigningKeyPair::generate(&mut fresh()),
                IdentityKeyPair::generate(&mut fresh()),
            ),
            &alice.address,
            &bob.bundle(),
            &bob.address,
        )
        .unwrap();
        let forged = session.encrypt(rng, b"I am Alice", NOW).unwrap();
        let forged = put(&forged, SIGNING_KEY, alice.keys.signing().public().to_bytes());
        let forged = put(&forged, IDENTITY_KEY, alice.keys.identity().public().to_bytes());
        let forged = put(&forged, IDENTITY_SIGNATURE, alice.keys.identity_signature());
        assert_eq!(bob.respond(&alice, &forged).err(), Some(FORGED));
    }

    #[test]
    fn x13_a_damaged_prekey_message_uses_nothing_up() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        let mut damaged = message.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(bob.respond(&alice, &damaged).err(), Some(FORGED));
        assert_eq!(bob.respond(&alice, &message).unwrap().1, b"hello");
    }

    #[test]
    fn the_private_halves_must_be_those_the_message_names() {
        let (alice, bob) = Device::alice_and_bob();
        let with = prekey(&first_message(&alice, &bob));
        let without = initiate(
            &mut fresh(),
            &alice.keys,
            &alice.address,
            &bob.bundle_with(None),
            &bob.address,
        );
        let without = prekey(&without.unwrap().encrypt(&mut fresh(), b"hello", NOW).unwrap());
        let other_signed = SignedPrekeyPair::generate(8, &mut rng(9)).unwrap();
        let other_one_time = OneTimePrekeyPair::generate(10, &mut rng(9)).unwrap();
        let rows = [
            (
                &other_signed,
                Some(&bob.one_time),
                &with,
                RespondError::SignedPrekey,
            ),
            (&bob.signed, None, &with, RespondError::OneTimePrekey),
            (
                &bob.signed,
                Some(&other_one_time),
                &with,
                RespondError::OneTimePrekey,
            ),
            (
                &bob.signed,
                Some(&bob.one_time),
                &without,
                RespondError::OneTimePrekey,
            ),
        ];
        for (signed, one_time, message, expected) in rows {
            let sender = alice.keys.public();
            let answered = AnsweredOpenings::new(signed.id());
            let one_time = one_time.map_or(OneTime::Answered(&answered), OneTime::Prekey);
            let result = respond(
                &bob.keys,
                &bob.address,
                signed,
                one_time,
                &sender,
                &alice.address,
                message,
            );
            assert_eq!(result.err(), Some(expected));
        }
    }

    #[test]
    fn x18_a_prekey_message_too_far_ahead_is_refused() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        let too_far = Some(RespondError::Decrypt(DecryptError::TooFarAhead));
        for (counter, expected) in [
            (1, Some(FORGED)),
            (crate::session::MAX_JUMP, Some(FORGED)),
            (crate::session::MAX_JUMP + 1, too_far),
            (u32::MAX, too_far),
        ] {
            let forged = put(&message, COUNTER, counter.to_be_bytes());
            assert_eq!(bob.respond(&alice, &forged).err(), expected, "{counter}");
        }
    }

    #[test]
    fn x22_nobody_has_a_session_with_oneself() {
        let (alice, bob) = Device::alice_and_bob();
        // Alice's message to Bob comes back to her, as from Bob and as from herself.
        let message = first_message(&alice, &bob);
        let own = prekey(&message);
        for (theirs, expected) in [
            (alice.keys.public(), RespondError::OwnKey),
            (bob.keys.public(), RespondError::Sender),
        ] {
            let one_time = OneTime::Prekey(&alice.one_time);
            let result = respond(
                &alice.keys,
                &alice.address,
                &alice.signed,
                one_time,
                &theirs,
                &bob.address,
                &own,
            );
            assert_eq!(result.err(), Some(expected));
        }
        // The service hands out her own keys as Bob's.
        let result = initiate(
            &mut fresh(),
            &alice.keys,
            &alice.address,
            &alice.bundle(),
            &bob.address,
        );
        assert_eq!(result.err(), Some(InitiateError::OwnKey));
    }

    #[test]
    fn an_address_has_1_to_255_bytes_and_is_not_ones_own() {
        let (alice, bob) = Device::alice_and_bob();
        let message = prekey(&first_message(&alice, &bob));
        let (longest, too_long) = ([7; MAX_ADDRESS_BYTES], [7; MAX_ADDRESS_BYTES + 1]);
        for (theirs, valid) in [
            (longest.as_slice(), true),
            (&too_long, false),
            (&[], false),
            (&alice.address, false),
        ] {
            let result = initiate(&mut fresh(), &alice.keys, &alice.address, &bob.bundle(), theirs);
            assert_eq!(result.err(), (!valid).then_some(InitiateError::Address));
        }
        for ours in [too_long.as_slice(), &[], &alice.address] {
            let (one_time, sender) = (OneTime::Prekey(&bob.one_time), alice.keys.public());
            let result = respond(
                &bob.keys,
                ours,
                &bob.signed,
                one_time,
                &sender,
                &alice.address,
                &message,
            );
            assert_eq!(result.err(), Some(RespondError::Address));
        }
    }

    #[test]
    fn x23_every_byte_of_a_prekey_message_is_bound() {
        let (alice, bob) = Device::alice_and_bob();
        let message = first_message(&alice, &bob);
        assert!(message.len() < MAX_MESSAGE_BYTES);
        for at in 0..message.len() {
            let mut flipped = message.clone();
            flipped[at] ^= 0x10 >> (at % 5);
            let Ok(crate::Message::Prekey(flipped)) = crate::Message::parse(&flipped) else {
                continue;
            };
            let answered = AnsweredOpenings::new(flipped.signed_prekey_id());
            let one_time = bob.one_time(&flipped, &answered);
            // The sender is known, so nothing but the message's own authentication guards its signature.
            let sender = alice.keys.public();
            let result = respond(
                &bob.keys,
                &bob.address,
                &bob.signed,
                one_time,
                &sender,
                &alice.address,
                &flipped,
            );
            assert!(result.is_err(), "byte {at}");
        }
    }
}
