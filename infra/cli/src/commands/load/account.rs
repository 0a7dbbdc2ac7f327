//! What became of all messages, in words: the same for every kind of load.

use crate::{
    console::{Console, thousands},
    ledger::Audit,
};

/// Tells it to a person.
pub(super) fn tell(audit: &Audit, mailbox_left: usize, console: &Console) {
    console.say(format_args!(
        "  the account         sent {}, accepted {}, delivered {} of {}",
        thousands(audit.sent),
        thousands(audit.accepted),
        thousands(audit.delivered),
        thousands(audit.expected),
    ));
    console.say(format_args!(
        "                      lost {}, doubled {}, out of order {}, altered {}, unexpected {}, left in mailboxes {mailbox_left}",
        audit.lost, audit.duplicated, audit.reordered, audit.altered, audit.unexpected,
    ));
}
