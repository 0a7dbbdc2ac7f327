//! One session to send with, several that decrypt, and an end to each.

/// Sessions kept for one device: those that messages on the way may still need, and a bound on what one who opens
/// session after session can make us store.
pub const MAX_SESSIONS_PER_DEVICE: usize = 40;

/// How long a retired session decrypts: 30 days, what a message lives in a mailbox. After that a stolen state
/// of it is worth nothing.
pub const RETIRED_SESSION_MILLIS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// What the rules need to know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSession {
    /// [`Session::id`](crate::Session::id).
    pub id: [u8; 32],
    /// [`Session::has_received`](crate::Session::has_received): both sides have it.
    pub confirmed: bool,
    /// Since when it only decrypts.
    pub retired_at_millis: Option<u64>,
    /// When it last encrypted or decrypted.
    pub used_at_millis: u64,
}

/// Which session to send with: of those not retired, one that both sides have before one the other side may
/// not know, and then the one with the lowest id, which is the same number on both sides.
///
/// The sessions both sides have only grow in number, so two devices that opened one each at the same moment end
/// at the same one as soon as each has heard the other in both.
pub fn session_to_send_with(sessions: &[KnownSession]) -> Option<usize> {
    let usable = sessions
        .iter()
        .enumerate()
        .filter(|(_, session)| session.retired_at_millis.is_none());
    usable
        .min_by_key(|(_, session)| (!session.confirmed, session.id))
        .map(|(at, _)| at)
}

/// Which sessions a session that was opened on purpose replaces: all others that are not retired yet. They are
/// retired by who opens it at once, and by the other side when a message with the body
/// [`Reset`](crate::Body::Reset) was decrypted in it. They go on decrypting what is on its way.
pub fn sessions_to_retire(sessions: &[KnownSession], replacement: &[u8; 32]) -> Vec<usize> {
    let others = sessions
        .iter()
        .enumerate()
        .filter(|(_, session)| session.id != *replacement && session.retired_at_millis.is_none());
    others.map(|(at, _)| at).collect()
}

/// Which sessions to delete: those retired for [`RETIRED_SESSION_MILLIS`], but not before the one to send with
/// is confirmed; and of more than [`MAX_SESSIONS_PER_DEVICE`] first those retired, then those not confirmed, the
/// longest unused first. Never the one to send with.
pub fn sessions_to_forget(sessions: &[KnownSession], now_millis: u64) -> Vec<usize> {
    let current = session_to_send_with(sessions);
    let confirmed = current
        .and_then(|at| sessions.get(at))
        .is_some_and(|session| session.confirmed);
    let expired = |session: &KnownSession| {
        confirmed
            && session
                .retired_at_millis
                .is_some_and(|since| now_millis.saturating_sub(since) >= RETIRED_SESSION_MILLIS)
    };
    let others = sessions.iter().enumerate().filter(|(at, _)| Some(*at) != current);
    let (mut forgotten, mut kept): (Vec<_>, Vec<_>) = others.partition(|(_, session)| expired(session));
    kept.sort_by_key(|(_, session)| {
        (
            session.retired_at_millis.is_none(),
            session.confirmed,
            session.used_at_millis,
        )
    });
    let room = MAX_SESSIONS_PER_DEVICE - usize::from(current.is_some());
    let excess = kept.len().saturating_sub(room);
    forgotten.extend(kept.drain(..excess));
    forgotten.into_iter().map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = crate::testing::NOW;

    fn session(id: u8, confirmed: bool) -> KnownSession {
        KnownSession {
            id: [id; 32],
            confirmed,
            retired_at_millis: None,
            used_at_millis: NOW,
        }
    }

    fn retired(id: u8, at: u64) -> KnownSession {
        KnownSession {
            retired_at_millis: Some(at),
            ..session(id, true)
        }
    }

    #[test]
    fn x26_a_session_both_sides_have_comes_first_then_the_lowest_id() {
        assert_eq!(session_to_send_with(&[]), None);
        assert_eq!(
            session_to_send_with(&[session(9, false), session(8, false)]),
            Some(1)
        );
        assert_eq!(
            session_to_send_with(&[session(1, false), session(8, true)]),
            Some(1)
        );
        assert_eq!(
            session_to_send_with(&[session(9, true), session(8, true)]),
            Some(1)
        );
        assert_eq!(
            session_to_send_with(&[retired(1, NOW), session(8, false)]),
            Some(1)
        );
        assert_eq!(session_to_send_with(&[retired(1, NOW)]), None);
    }

    #[test]
    fn x27_however_many_sessions_are_opened_so_many_are_kept_and_never_without_the_best() {
        let mut sessions: Vec<_> = (0..200).map(|id| session(id, false)).collect();
        for (at, session) in (0..).zip(&mut sessions) {
            session.used_at_millis = NOW + at;
        }
        // The one that was talked in is old, and the attacker's are all newer.
        sessions[150] = KnownSession {
            used_at_millis: 0,
            ..session(150, true)
        };
        let forgotten = sessions_to_forget(&sessions, NOW);
        assert_eq!(forgotten.len(), 200 - MAX_SESSIONS_PER_DEVICE);
        assert!(!forgotten.contains(&150));
        assert!(forgotten.contains(&0) && !forgotten.contains(&199));
    }

    #[test]
    fn x29_a_session_that_was_replaced_stops_sending_at_once_and_decrypting_after_thirty_days() {
        let mut sessions = vec![session(1, true), session(2, true), session(3, false)];
        let replaced = sessions_to_retire(&sessions, &[3; 32]);
        assert_eq!(replaced, [0, 1]);
        for at in replaced {
            sessions[at].retired_at_millis = Some(NOW);
        }
        assert_eq!(session_to_send_with(&sessions), Some(2));
        // Until the other side has it, the old ones stay: nothing may be lost to a reset that never arrives.
        let later = NOW + RETIRED_SESSION_MILLIS;
        assert!(sessions_to_forget(&sessions, later).is_empty());
        sessions[2].confirmed = true;
        assert!(sessions_to_forget(&sessions, later - 1).is_empty());
        assert_eq!(sessions_to_forget(&sessions, later), [0, 1]);
    }

    proptest! {
        #[test]
        fn x27_what_is_kept_is_bounded_and_holds_the_session_to_send_with(
            sessions in proptest::collection::vec((any::<u8>(), any::<bool>(), any::<Option<u8>>(), any::<u8>()), 0..100),
            now in any::<u64>(),
        ) {
            let sessions: Vec<_> = sessions
                .into_iter()
                .map(|(id, confirmed, retired, used)| KnownSession {
                    id: [id; 32],
                    confirmed,
                    retired_at_millis: retired.map(u64::from),
                    used_at_millis: used.into(),
                })
                .collect();
            let forgotten = sessions_to_forget(&sessions, now);
            prop_assert!(sessions.len() - forgotten.len() <= MAX_SESSIONS_PER_DEVICE);
            if let Some(current) = session_to_send_with(&sessions) {
                prop_assert!(!forgotten.contains(&current));
            }
        }
    }
}
