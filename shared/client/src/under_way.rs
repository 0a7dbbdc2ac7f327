//! Which messages of the outbox are under way, and which may follow.
//!
//! Within a conversation a later message may leave before an earlier one is accepted; the recipient restores
//! the order. But each session remembers only the last few chains of its other side
//! ([`MAX_CHAINS`](waxwing_protocol::session::MAX_CHAINS)), and every answer makes the sender begin a new
//! one. So a message is never overtaken by as many as there are chains, however long it has to be repeated.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_wire::AccountId;

use crate::store::outbox::EntryId;

/// Messages of a conversation that may begin from the oldest one not accepted on, that one included.
pub(crate) const WINDOW: u64 = 4;
const _: () = assert!((WINDOW as usize) < waxwing_protocol::session::MAX_CHAINS);

/// Messages under way in all conversations together: enough to fill a connection, few enough that a
/// connection's frames do not queue up for long.
pub(crate) const MAX_UNDER_WAY: usize = 16;

/// What of the outbox is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    /// Messages that were sent and not answered, or that rest before another try.
    busy: BTreeSet<EntryId>,
    /// Accounts that are being learned about.
    blocked: BTreeSet<AccountId>,
    conversations: BTreeMap<AccountId, Conversation>,
}

/// The messages of a conversation that have begun and are not done.
#[derive(Clone, Debug, Default)]
struct Conversation {
    /// How many have begun.
    begun: u64,
    /// Which are not done, and how many had begun before each.
    open: BTreeMap<EntryId, u64>,
}

impl UnderWay {
    /// Whether a message may leave now.
    pub(crate) fn may_leave(&self, recipient: AccountId, entry: EntryId) -> bool {
        if self.busy.contains(&entry) || self.busy.len() >= MAX_UNDER_WAY {
            return false;
        }
        self.conversations.get(&recipient).is_none_or(|conversation| {
            let oldest = conversation.open.values().min().unwrap_or(&conversation.begun);
            conversation.open.contains_key(&entry) || conversation.begun - oldest < WINDOW
        })
    }

    /// A message leaves.
    pub(crate) fn leave(&mut self, recipient: AccountId, entry: EntryId) {
        self.busy.insert(entry);
        let conversation = self.conversations.entry(recipient).or_default();
        if !conversation.open.contains_key(&entry) {
            conversation.open.insert(entry, conversation.begun);
            conversation.begun += 1;
        }
    }

    /// A message may leave again.
    pub(crate) fn release(&mut self, entry: EntryId) {
        self.busy.remove(&entry);
    }

    /// A message is done with.
    pub(crate) fn finish(&mut self, recipient: AccountId, entry: EntryId) {
        self.busy.remove(&entry);
        if let Some(conversation) = self.conversations.get_mut(&recipient) {
            conversation.open.remove(&entry);
            if conversation.open.is_empty() {
                self.conversations.remove(&recipient);
            }
        }
    }

    /// All messages to an account were given up.
    pub(crate) fn forget(&mut self, recipient: AccountId) {
        self.conversations.remove(&recipient);
    }

    /// An account is being learned about.
    pub(crate) fn block(&mut self, account: AccountId) {
        self.blocked.insert(account);
    }

    /// What could be learned about an account is learned.
    pub(crate) fn unblock(&mut self, account: AccountId) {
        self.blocked.remove(&account);
    }

    /// Whether an account is being learned about.
    pub(crate) fn is_blocked(&self, account: AccountId) -> bool {
        self.blocked.contains(&account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;

    fn entry(id: i64) -> EntryId {
        EntryId::from_row(id)
    }

    fn leave_if_allowed(under_way: &mut UnderWay, recipient: AccountId, id: i64) -> bool {
        let may = under_way.may_leave(recipient, entry(id));
        if may {
            under_way.leave(recipient, entry(id));
        }
        may
    }

    #[test]
    fn a_message_that_is_not_accepted_is_overtaken_by_a_few_only() {
        let (mut under_way, bob) = (UnderWay::default(), account(1));
        assert!(leave_if_allowed(&mut under_way, bob, 1));
        let mut overtaking = 0;
        for id in 2..20 {
            if leave_if_allowed(&mut under_way, bob, id) {
                overtaking += 1;
                under_way.finish(bob, entry(id));
            }
        }
        assert_eq!(overtaking, WINDOW - 1);
        under_way.finish(bob, entry(1));
        assert!(leave_if_allowed(&mut under_way, bob, 20));
    }

    #[test]
    fn a_message_that_is_corrected_keeps_its_place_in_the_window() {
        let (mut under_way, bob) = (UnderWay::default(), account(1));
        for id in 1..=WINDOW as i64 {
            assert!(leave_if_allowed(&mut under_way, bob, id));
        }
        under_way.release(entry(1));
        assert!(!under_way.may_leave(bob, entry(9)));
        assert!(leave_if_allowed(&mut under_way, bob, 1));
        assert!(!under_way.may_leave(bob, entry(1)));
    }

    #[test]
    fn one_conversation_that_is_stuck_holds_up_no_other() {
        let mut under_way = UnderWay::default();
        for id in 1..=WINDOW as i64 {
            under_way.leave(account(1), entry(id));
        }
        assert!(!under_way.may_leave(account(1), entry(9)));
        assert!(under_way.may_leave(account(2), entry(10)));
    }

    #[test]
    fn all_conversations_together_have_a_bound() {
        let mut under_way = UnderWay::default();
        let left = (0..100)
            .filter(|id| leave_if_allowed(&mut under_way, account(*id as u64), *id))
            .count();
        assert_eq!(left, MAX_UNDER_WAY);
    }
}
