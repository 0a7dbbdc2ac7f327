//! What lies over the conversations: a question, a screen of its own, the help.

use waxwing_client::{AccountId, DeviceId, OwnDevice, SafetyNumber};
use zeroize::Zeroizing;

use super::{super::input::COMMANDS, editor::Editor};

/// One of them.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Dialog {
    /// The keys; so many lines further down.
    Help(usize),
    /// Whom to write to.
    New { typed: Editor, refused: Option<String> },
    /// The safety number with somebody.
    Verify(Verify),
    /// Whether a changed account key is believed.
    Trust(AccountId),
    /// The own devices.
    Devices(Devices),
    /// The settings; the line that is chosen.
    Settings(usize),
    /// The PIN of the lock.
    Pin { typed: Editor, refused: Option<String> },
}

/// The safety number with somebody.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Verify {
    pub(super) account: AccountId,
    /// Once it is known, or why it is not.
    pub(super) number: Option<Result<Box<SafetyNumber>, String>>,
    /// Whether the code is shown in place of the digits.
    pub(super) as_code: bool,
    /// How what was pasted compares.
    pub(super) compared: Option<Compared>,
}

/// How what the other person shows compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is the same.
    Same,
    /// It is not, or not what it should be; in words.
    Not(&'static str),
}

/// The own devices.
#[derive(Default)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Devices {
    pub(super) devices: Vec<OwnDevice>,
    /// The line that is chosen.
    pub(super) line: usize,
    /// The code that is shown: only while the person wants it.
    pub(super) code: Option<Zeroizing<String>>,
    /// Whether its text is shown in place of the picture.
    pub(super) as_text: bool,
    /// The device that is to be ended, if the person says so once more.
    pub(super) to_end: Option<DeviceId>,
    /// The device that may be given what is here, if the person says how much.
    pub(super) to_give: Option<DeviceId>,
    /// What went wrong.
    pub(super) refused: Option<String>,
}

/// Lines of the settings.
pub(super) const SETTINGS: usize = 5;

/// What the help shows first: keys, and what they do.
const KEYS: [(&str, &str); 25] = [
    ("Enter", "send; in the list: open"),
    ("Alt-Enter, Ctrl-J", "a new line in the message"),
    ("Tab, Shift-Tab", "next, previous conversation"),
    ("↑ ↓", "scroll; in the list: choose"),
    ("PgUp, PgDn", "page back through the conversation"),
    ("Esc", "to the list; dismiss a warning"),
    ("Ctrl-N", "write to somebody"),
    ("Ctrl-V", "verify: the safety number"),
    ("Ctrl-T", "answer to a changed account key"),
    ("Ctrl-Y", "let a stranger in"),
    ("Ctrl-O", "own devices: link, answer, end"),
    ("Ctrl-S", "settings"),
    ("Ctrl-R", "connect now"),
    ("Ctrl-A, Ctrl-E", "to the line's beginning, end"),
    ("Ctrl-W, Ctrl-U", "delete a word, all before"),
    ("Ctrl-Q, Ctrl-C", "leave"),
    ("", ""),
    ("◷", "waits in the outbox"),
    ("held", "waits for your answer, Ctrl-T"),
    ("·", "sent"),
    ("✓", "accepted by the service"),
    ("✓✓", "on a device of theirs"),
    ("✓✓", "in colour: read"),
    ("✗", "not sent, and why"),
    ("●", "is there · ✔ verified"),
];

/// What the help shows: keys, signs, and what can be typed in place of a message.
pub(super) fn help() -> impl Iterator<Item = (&'static str, &'static str)> + Clone {
    KEYS.into_iter().chain([("", "")]).chain(COMMANDS)
}
