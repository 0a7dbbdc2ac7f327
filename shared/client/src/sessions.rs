//! Which session encrypts, which decrypts.
//!
//! The rules are the protocol's, in [`waxwing_protocol::management`]: which session to send with, also when both
//! devices opened one at once, which are replaced by another, and which to forget. Every session of the store
//! decrypts. Here they meet the store.

use std::time::Duration;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Message, PrekeyMessage, Session,
    handshake::{self, OneTime, PrekeyBundle, PublishedSignedPrekey, RespondError},
    keys::{DeviceKeys, TheirDevice},
    session::DecryptError,
};
use waxwing_wire::{DeviceAddress, RegisteredDevice, keys::DeviceIdentity};

use crate::{
    events::UndecryptableReason,
    store::{
        StoreError,
        peers::{self, PeerId, PeerKeys},
        prekeys, sessions,
    },
    transport::token::Credentials,
};

/// This device, once it is in an account.
#[derive(Debug)]
pub(crate) struct Me {
    pub(crate) keys: DeviceKeys,
    pub(crate) device: RegisteredDevice,
    pub(crate) credentials: Credentials,
    /// How long a receipt waits for company.
    pub(crate) receipt_linger: Duration,
}

impl Me {
    pub(crate) fn address(&self) -> DeviceAddress {
        self.device.address
    }
}

/// What the service says are somebody's keys does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("published keys do not verify")]
pub(crate) struct InvalidKeys;

/// Verifies the long-term keys of a published device.
pub(crate) fn verify_identity(identity: &DeviceIdentity) -> Result<TheirDevice, InvalidKeys> {
    TheirDevice::verify(
        identity.signing_key.as_bytes(),
        identity.identity_key.as_bytes(),
        identity.identity_signature.as_bytes(),
    )
    .map_err(|_| InvalidKeys)
}

/// Verifies all keys of a bundle.
pub(crate) fn verify_bundle(bundle: &waxwing_wire::claim::PrekeyBundle) -> Result<PrekeyBundle, InvalidKeys> {
    let signed = &bundle.published.signed_prekey;
    PrekeyBundle::verify(
        verify_identity(&bundle.published.identity)?,
        PublishedSignedPrekey {
            id: signed.id.get(),
            key: signed.key.as_bytes(),
            kem_key: signed.kem_key.as_bytes(),
            signature: signed.signature.as_bytes(),
        },
        bundle
            .one_time_prekey
            .as_ref()
            .map(|prekey| (prekey.id.get(), prekey.key.as_bytes().as_slice())),
    )
    .map_err(|_| InvalidKeys)
}

/// Opens a session with a peer and stores it.
pub(crate) fn open(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (address, peer): (DeviceAddress, PeerId),
    bundle: &PrekeyBundle,
    now_millis: u64,
) -> Result<(), OpenError> {
    let session = handshake::initiate(
        rng,
        &me.keys,
        &me.address().to_bytes(),
        bundle,
        &address.to_bytes(),
    )
    .map_err(|_| InvalidKeys)?;
    sessions::insert(tx, peer, session, now_millis)?;
    Ok(sessions::forget(tx, address, now_millis)?)
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    InvalidKeys(#[from] InvalidKeys),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Encrypts in a session and stores the state it has after it. `None`: the session is at its end. The ciphertext
/// belongs into the same transaction (I17).
pub(crate) fn encrypt(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    mut stored: sessions::StoredSession,
    plaintext: &[u8],
    now_millis: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    match stored.session.encrypt(rng, plaintext, now_millis) {
        Ok(ciphertext) => {
            sessions::update(tx, &stored, now_millis)?;
            Ok(Some(ciphertext))
        }
        Err(error) => {
            tracing::warn!(%error, "a session cannot encrypt");
            Ok(None)
        }
    }
}

/// What a ciphertext turned out to be. Nothing of it is stored yet: see [`settle`].
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plaintext: zeroize::Zeroizing<Vec<u8>>,
    pub(crate) sender: Sender,
}

/// The session it came in.
#[derive(Debug)]
pub(crate) enum Sender {
    /// On a session of the store.
    Known(sessions::StoredSession),
    /// It opened a session.
    New {
        keys: PeerKeys,
        session: Session,
        prekey: UsedPrekey,
    },
}

/// What stands against an opening being answered twice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsedPrekey {
    /// The one-time prekey of this id is deleted.
    OneTime(u32),
    /// The opening is remembered under its signed prekey.
    Signed { id: u32, digest: [u8; 16] },
}

/// Who sent an envelope, after everything was stored that decrypting it changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) peer: PeerId,
    /// The session it came in.
    pub(crate) session: [u8; 32],
    /// The envelope opened a session; and whether a one-time prekey took part.
    pub(crate) handshake: Option<bool>,
}

/// Why a ciphertext could not be decrypted, or the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecryptFailure {
    #[error(transparent)]
    Unreadable(#[from] UndecryptableReason),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decrypts what a device sent. Changes nothing in the store.
pub(crate) fn decrypt(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    ciphertext: &[u8],
) -> Result<Opened, DecryptFailure> {
    let message = Message::parse(ciphertext).map_err(|_| UndecryptableReason::Malformed)?;
    let (plaintext, sender) = match &message {
        Message::Prekey(prekey) => decrypt_prekey(tx, me, from, &message, prekey)?,
        Message::Ratchet(_) => decrypt_ratchet(tx, from, &message)?,
    };
    Ok(Opened {
        plaintext: plaintext.into(),
        sender,
    })
}

/// Stores what decrypting changed: the session's state, and the one-time prekey that is used up.
pub(crate) fn settle(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    sender: Sender,
    now_millis: u64,
) -> Result<Settled, StoreError> {
    let (stored, settled) = match sender {
        Sender::Known(stored) => {
            let settled = Settled {
                peer: stored.peer,
                session: stored.session.id(),
                handshake: None,
            };
            (stored, settled)
        }
        Sender::New {
            keys,
            session,
            prekey,
        } => {
            let peer = peers::meet(tx, from, &keys)?;
            match prekey {
                UsedPrekey::OneTime(id) => prekeys::delete_one_time(tx, id)?,
                UsedPrekey::Signed { id, digest } => prekeys::note_answered(tx, id, digest)?,
            }
            let settled = Settled {
                peer,
                session: session.id(),
                handshake: Some(matches!(prekey, UsedPrekey::OneTime(_))),
            };
            (sessions::insert(tx, peer, session, now_millis)?, settled)
        }
    };
    sessions::update(tx, &stored, now_millis)?;
    sessions::forget(tx, from, now_millis)?;
    Ok(settled)
}

fn decrypt_prekey(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    message: &Message,
    prekey: &PrekeyMessage,
) -> Result<(Vec<u8>, Sender), DecryptFailure> {
    let mut keys: PeerKeys = [0; TheirDevice::BYTES];
    let (signing_key, identity_key) = keys.split_at_mut(prekey.signing_key().len());
    signing_key.copy_from_slice(prekey.signing_key());
    identity_key.copy_from_slice(prekey.identity_key());

    let known = peers::find(tx, from, &keys)?;
    if let Some(peer) = known
        && let Some(mut stored) = sessions::by_base_key(tx, peer, prekey.base_key())?
    {
        let plaintext = stored.session.decrypt(message).map_err(reason)?;
        return Ok((plaintext, Sender::Known(stored)));
    }
    // Keys of a peer were verified when it was met.
    let theirs = match known {
        Some(_) => TheirDevice::from_bytes(&keys),
        None => prekey.sender(),
    }
    .map_err(|_| UndecryptableReason::NotAuthentic)?;
    let (session, used, plaintext) = answer(tx, me, from, &theirs, prekey)?;
    let sender = Sender::New {
        keys,
        session,
        prekey: used,
    };
    Ok((plaintext, sender))
}

/// Makes the session that a prekey message opens.
fn answer(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    theirs: &TheirDevice,
    prekey: &PrekeyMessage,
) -> Result<(Session, UsedPrekey, Vec<u8>), DecryptFailure> {
    let id = prekey.signed_prekey_id();
    let signed = prekeys::signed(tx, id)?.ok_or(UndecryptableReason::PrekeyGone)?;
    let (ours, our_address, their_address) = (&me.keys, me.address().to_bytes(), from.to_bytes());
    let respond = |one_time: OneTime<'_>| {
        handshake::respond(
            ours,
            &our_address,
            &signed,
            one_time,
            theirs,
            &their_address,
            prekey,
        )
        .map_err(reason_of_response)
    };
    if let Some(one_time) = prekey.one_time_prekey_id() {
        let pair = prekeys::one_time(tx, one_time)?.ok_or(UndecryptableReason::PrekeyGone)?;
        let (session, plaintext) = respond(OneTime::Prekey(&pair))?;
        return Ok((session, UsedPrekey::OneTime(one_time), plaintext));
    }
    let mut answered = prekeys::answered(tx, id)?;
    let (session, plaintext) = respond(OneTime::Answered(&answered))?;
    let digest = answered.remember(prekey);
    Ok((session, UsedPrekey::Signed { id, digest }, plaintext))
}

fn reason_of_response(error: RespondError) -> UndecryptableReason {
    match error {
        RespondError::Decrypt(error) => reason(error),
        RespondError::Replayed => UndecryptableReason::Replayed,
        RespondError::TooManyOpenings => UndecryptableReason::TooManyOpenings,
        _ => UndecryptableReason::NotAuthentic,
    }
}

/// A ratchet message does not name its session: they are tried, the likeliest first.
fn decrypt_ratchet(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    message: &Message,
) -> Result<(Vec<u8>, Sender), DecryptFailure> {
    let mut likeliest = UndecryptableReason::NoSession;
    for mut stored in sessions::of_device(tx, from)? {
        match stored.session.decrypt(message) {
            Ok(plaintext) => return Ok((plaintext, Sender::Known(stored))),
            Err(DecryptError::Authentication | DecryptError::UnknownChain) => {
                if likeliest == UndecryptableReason::NoSession {
                    likeliest = UndecryptableReason::NotAuthentic;
                }
            }
            Err(error) => likeliest = reason(error),
        }
    }
    Err(likeliest.into())
}

fn reason(error: DecryptError) -> UndecryptableReason {
    match error {
        DecryptError::WrongSession => UndecryptableReason::NoSession,
        // What was dealt with comes again under its id, and is not decrypted a second time.
        DecryptError::Duplicate => UndecryptableReason::UsedNumber,
        DecryptError::TooOld => UndecryptableReason::TooOld,
        DecryptError::TooFarAhead | DecryptError::BeyondEnd => UndecryptableReason::TooFarAhead,
        DecryptError::Padding => UndecryptableReason::UnknownContent,
        DecryptError::Reflected
        | DecryptError::UnknownChain
        | DecryptError::RatchetKey(_)
        | DecryptError::ZeroSecret
        | DecryptError::Epoch
        | DecryptError::Authentication => UndecryptableReason::NotAuthentic,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waxwing_protocol::management::{MAX_SESSIONS_PER_DEVICE, RETIRED_SESSION_MILLIS};

    use super::*;
    use crate::{
        store::directory,
        testing::{Carried, NOW, Party, account, signed_list},
        under_way::WINDOW,
    };
    use waxwing_wire::AccountId;

    fn pair() -> (Party, Party) {
        (
            Party::on_disk(account(1), 1, 11),
            Party::on_disk(account(2), 1, 12),
        )
    }

    /// The session a device sends with to another.
    fn current(party: &mut Party, other: DeviceAddress) -> [u8; 32] {
        party.write(|tx, _| {
            let peer = directory::device(tx, other)?.unwrap().peer;
            Ok(sessions::current(tx, peer)?.unwrap().session.id())
        })
    }

    fn converged(alice: &mut Party, bob: &mut Party) -> bool {
        let (a, b) = (alice.address(), bob.address());
        current(alice, b) == current(bob, a)
    }

    #[test]
    fn x26_two_sessions_opened_at_once_become_one_and_stay_it_however_messages_cross() {
        let (mut alice, mut bob) = pair();
        alice.meet(&mut bob);
        bob.meet(&mut alice);
        assert!(!converged(&mut alice, &mut bob));
        for round in 1..=6 {
            let from_alice = alice.send(bob.account(), &format!("a{round}"));
            let from_bob = bob.send(alice.account(), &format!("b{round}"));
            alice.now += 1;
            bob.now += 1;
            alice.receive_all(&from_bob);
            bob.receive_all(&from_alice);
            // In the first each heard the other in the other's session, in the second in its own.
            assert!(round < 2 || converged(&mut alice, &mut bob), "round {round}");
        }
        assert_eq!(alice.texts(), ["b1", "b2", "b3", "b4", "b5", "b6"]);
        assert_eq!(bob.texts(), ["a1", "a2", "a3", "a4", "a5", "a6"]);
    }

    #[test]
    fn x26_a_session_the_other_side_cannot_have_is_left_for_one_it_has() {
        // Whichever of the two has the lower id.
        for seed in 0..8 {
            let mut alice = Party::new(account(1), 1, 100 + seed);
            let mut bob = Party::new(account(2), 1, 200 + seed);
            alice.meet(&mut bob);
            bob.write(|tx, _| Ok(tx.execute("DELETE FROM one_time_prekeys", [])?));
            bob.receive_all(&alice.send(bob.account(), "cannot be read"));
            bob.meet(&mut alice);
            bob.write_to(alice.account(), "hello");
            alice.receive_all(&bob.leave());
            alice.write_to(bob.account(), "hello back");
            bob.receive_all(&alice.leave());
            assert_eq!(alice.texts(), ["hello"], "seed {seed}");
            assert_eq!(bob.texts(), ["cannot be read", "hello back"], "seed {seed}");
        }
    }

    /// Envelopes on their way in one direction, each with how often it was overtaken.
    #[derive(Default)]
    struct Wire {
        under_way: Vec<(Carried, u64)>,
        sent: usize,
    }

    impl Wire {
        fn send(&mut self, from: &mut Party, to: AccountId) {
            self.sent += 1;
            let carried = from.send(to, &self.sent.to_string());
            self.under_way
                .extend(carried.into_iter().map(|carried| (carried, 0)));
        }

        /// Delivers one, sometimes twice. As in the outbox, none is overtaken by more than the window allows.
        fn deliver(&mut self, to: &mut Party, which: usize, twice: bool) {
            let full = self
                .under_way
                .iter()
                .any(|(_, overtaken)| overtaken + 1 == WINDOW);
            let which = if full { 0 } else { which };
            let (carried, _) = self.under_way.remove(which);
            self.under_way
                .iter_mut()
                .take(which)
                .for_each(|(_, overtaken)| *overtaken += 1);
            for _ in 0..1 + usize::from(twice) {
                to.receive(&carried.envelope);
            }
        }

        fn all_sent(&self) -> Vec<String> {
            (1..=self.sent).map(|number| number.to_string()).collect()
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send,
        Deliver(prop::sample::Index, bool),
        Reopen,
    }

    fn step() -> impl Strategy<Value = (bool, Step)> {
        let deliver = (any::<prop::sample::Index>(), any::<bool>());
        let step = prop_oneof![
            3 => Just(Step::Send),
            3 => deliver.prop_map(|(which, twice)| Step::Deliver(which, twice)),
            1 => Just(Step::Reopen),
        ];
        (any::<bool>(), step)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// I3, I4: both open sessions unknowingly; messages cross in any order, some twice, with restarts in
        /// between.
        #[test]
        fn x26_nothing_is_lost_and_both_end_at_one_session(steps in prop::collection::vec(step(), 1..60)) {
            let (mut alice, mut bob) = pair();
            alice.meet(&mut bob);
            bob.meet(&mut alice);
            let (mut to_alice, mut to_bob) = (Wire::default(), Wire::default());
            for (alices, step) in steps {
                match (step, alices) {
                    (Step::Send, true) => to_bob.send(&mut alice, bob.account()),
                    (Step::Send, false) => to_alice.send(&mut bob, alice.account()),
                    (Step::Deliver(which, twice), _) => {
                        let (wire, to) =
                            if alices { (&mut to_alice, &mut alice) } else { (&mut to_bob, &mut bob) };
                        if !wire.under_way.is_empty() {
                            wire.deliver(to, which.index(wire.under_way.len()), twice);
                        }
                    }
                    (Step::Reopen, true) => alice.reopen(),
                    (Step::Reopen, false) => bob.reopen(),
                }
            }
            // At rest: all arrives, and each has heard the other in whatever session is left.
            for _ in 0..3 {
                while !to_bob.under_way.is_empty() { to_bob.deliver(&mut bob, 0, false); }
                while !to_alice.under_way.is_empty() { to_alice.deliver(&mut alice, 0, false); }
                to_bob.send(&mut alice, bob.account());
                to_alice.send(&mut bob, alice.account());
            }
            while !to_bob.under_way.is_empty() { to_bob.deliver(&mut bob, 0, false); }
            while !to_alice.under_way.is_empty() { to_alice.deliver(&mut alice, 0, false); }
            prop_assert_eq!(bob.texts(), to_bob.all_sent());
            prop_assert_eq!(alice.texts(), to_alice.all_sent());
            prop_assert!(converged(&mut alice, &mut bob));
        }
    }

    #[test]
    fn x29_a_session_that_was_replaced_is_deleted_after_thirty_days_and_not_before_the_new_one_is_known() {
        let (mut alice, mut bob) = pair();
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "a1"));
        bob.list(alice.account(), &[alice.published()]);
        bob.claim(bob.account(), &[]);
        let to = bob.address();
        let now = alice.now;
        alice.write(|tx, _| {
            let peer = directory::device(tx, to)?.unwrap().peer;
            sessions::retire_all(tx, peer, now)
        });
        let late = bob.send(alice.account(), "on its way");
        alice.claim(bob.account(), &[bob.bundle()]);
        alice.now += RETIRED_SESSION_MILLIS;
        let kept = |alice: &mut Party| {
            let now = alice.now;
            alice.write(|tx, _| {
                sessions::forget_old(tx, now)?;
                Ok(sessions::of_device(tx, to)?.len())
            })
        };
        assert_eq!(kept(&mut alice), 2);
        alice.receive_all(&late);
        assert_eq!(alice.texts(), ["on its way"]);
        alice.list(bob.account(), &[bob.published()]);
        alice.list(alice.account(), &[]);
        bob.now = alice.now;
        let again = alice.send(bob.account(), "a2");
        bob.receive_all(&again);
        bob.list(alice.account(), &[alice.published()]);
        bob.list(bob.account(), &[]);
        // Bob knows both sessions; he writes in one of them until he is told that the other is replaced.
        let from = alice.address();
        let new = current(&mut alice, to);
        bob.write(|tx, _| {
            let peer = directory::device(tx, from)?.unwrap().peer;
            sessions::retire_others(tx, peer, &new, None, now)
        });
        alice.receive_all(&bob.send(alice.account(), "b2"));
        assert_eq!(kept(&mut alice), 1);
    }

    #[test]
    fn x27_one_who_opens_session_after_session_is_kept_within_the_bound() {
        let (mut alice, mut bob) = pair();
        alice.meet(&mut bob);
        let to = bob.address();
        for _ in 0..MAX_SESSIONS_PER_DEVICE + 20 {
            bob.receive_all(&alice.send(bob.account(), "flood"));
            alice.write(|tx, _| {
                let peer = directory::device(tx, to)?.unwrap().peer;
                sessions::retire_all(tx, peer, NOW)
            });
            let bundle = bob.bundle_without_one_time_prekey();
            alice.claim(bob.account(), &[bundle]);
        }
        let from = alice.address();
        let kept = bob.write(|tx, _| Ok(sessions::of_device(tx, from)?.len()));
        assert_eq!(kept, MAX_SESSIONS_PER_DEVICE);
        bob.receive_all(&alice.send(bob.account(), "still read"));
        assert_eq!(bob.texts().last().unwrap(), "still read");
    }

    #[test]
    fn x8_x15_x16_a_bundle_whose_signatures_do_not_verify_opens_nothing() {
        let (mut alice, mut bob) = pair();
        let good = bob.bundle();
        let mut other = Party::new(account(3), 1, 13);
        let strange = other.bundle();
        let list = signed_list(bob.account(), &[bob.published()]);
        let mut mutations = vec![good.clone(); 5];
        mutations[0].published.identity.identity_key = strange.published.identity.identity_key;
        mutations[1].published.identity.signing_key = strange.published.identity.signing_key;
        mutations[2].published.signed_prekey.key = strange.published.signed_prekey.key;
        mutations[3].published.signed_prekey.id = waxwing_wire::KeyId::new(2).unwrap();
        mutations[4].published.signed_prekey.kem_key = strange.published.signed_prekey.kem_key.clone();
        for bundle in mutations {
            assert!(verify_bundle(&bundle).is_err());
            let _refused_or_unlisted = alice.claim_beside(bob.account(), list.clone(), None, &[bundle]);
        }
        assert!(verify_bundle(&good).is_ok());
        let rows = |tx: &Transaction<'_>| {
            Ok(tx.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(alice.write(|tx, _| rows(tx)), 0);
    }

    #[test]
    fn x86_what_this_device_is_does_not_print_its_keys() {
        let (alice, _) = pair();
        let printed = format!("{:?}", alice.me);
        let secret = alice.me.keys.signing().to_bytes();
        assert!(!printed.contains(&format!("{:?}", &secret[..4]).replace(['[', ']'], "")));
        assert!(printed.contains("SigningKeyPair"));
    }
}
