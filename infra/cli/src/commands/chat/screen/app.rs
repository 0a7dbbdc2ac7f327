//! All that the app knows, and how it changes. Nothing here reads a clock, a terminal or a store: whatever happens is
//! handed to [`App::update`], which answers with what is to be done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::tz::TimeZone;
use ratatui::{crossterm::event::KeyEvent, layout::Size};
use waxwing_client::{AccountId, DeviceAddress, DisconnectReason, Event, LinkRequestId, ReceiptSettings};

use super::{
    super::{
        advice,
        history::{Ending, History},
    },
    answers,
    dialogs::Dialog,
    heard, keys,
    talk::{PAGE, Talk},
    tasks::{Answer, Task},
};
use crate::name::Name;

/// Conversations whose presence is watched beside the chosen one: those at the top of the list. Each costs a frame in 50
/// seconds.
const WATCHED: usize = 8;

/// How long a word about what was just done stays.
const SAID_FOR: Duration = Duration::from_secs(6);

/// The most warnings kept: the newest say what matters.
const MOST_ALERTS: usize = 20;

/// Characters of an account id that stand for a name.
const SHORT_ID: usize = 8;

/// The app.
#[cfg_attr(test, derive(Debug))]
pub(super) struct App {
    /// This device.
    pub(super) me: DeviceAddress,
    /// What the person is called.
    pub(super) name: Name,
    /// Where the person's days begin.
    pub(super) zone: TimeZone,
    /// Milliseconds of Unix time.
    pub(super) now: u64,
    /// Of the terminal.
    pub(super) size: Size,
    /// Names of this machine.
    pub(super) names: BTreeMap<AccountId, Name>,
    /// Conversations, the one with the newest message first.
    pub(super) talks: Vec<Talk>,
    /// The conversation that is shown.
    pub(super) chosen: Option<AccountId>,
    /// What keys go to.
    pub(super) pane: Pane,
    /// Whether the terminal is in front.
    pub(super) in_front: bool,
    /// What lies over all.
    pub(super) dialog: Option<Dialog>,
    /// How things stand with the service.
    pub(super) link: Link,
    /// What concerns the whole account and was not dismissed, the newest last.
    pub(super) alerts: VecDeque<String>,
    /// What was just done, and until when it is said.
    pub(super) said: Option<(String, u64)>,
    /// New devices that wait for an answer.
    pub(super) newcomers: Vec<Newcomer>,
    /// Which receipts go out.
    pub(super) receipts: ReceiptSettings,
    /// Whether contacts see that this device is there.
    pub(super) presence: bool,
    /// Messages that wait in the outbox.
    pub(super) pending: usize,
    /// Whether the person has had enough.
    pub(super) quits: bool,
    /// Whether the list of conversations is to be read anew.
    pub(super) list_is_stale: bool,
    /// Histories that the own devices give each other.
    pub(super) histories: Vec<History>,
    /// Those that ended and of which nothing was said yet.
    pub(super) endings: Vec<Ending>,
    /// Whether they are to be read anew.
    pub(super) histories_are_stale: bool,
    /// Whether the person said that they look elsewhere.
    pub(super) away: bool,
    watched: BTreeSet<AccountId>,
}

/// What keys go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The list of conversations.
    List,
    /// The conversation.
    Talk,
}

/// How things stand with the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The first attempt is on its way.
    Opening,
    /// Connected.
    Open,
    /// Lost, or not to be had; and when the next attempt begins.
    Broken {
        reason: DisconnectReason,
        next: Option<u64>,
    },
}

/// A device that wants to be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newcomer {
    pub(super) request: LinkRequestId,
    pub(super) name: String,
    pub(super) fingerprint: String,
    /// Whether the answer is on its way.
    pub(super) answered: bool,
}

/// Something that happened.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Happening {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Pasted(String),
    /// The terminal has another size.
    Resized(Size),
    /// The terminal came to the front or went behind.
    InFront(bool),
    /// The client tells something; with its position in the timeline, if it is kept.
    Told { event: Box<Event>, at: Option<u64> },
    /// Something that was asked for is done.
    Answered(Answer),
    /// The address book was read.
    Names(BTreeMap<AccountId, Name>),
    /// An alert came, as a phone would get it.
    Woken,
    /// Time has passed.
    Now(u64),
}

impl App {
    /// An app that knows nothing yet. It asks for what it needs.
    pub(super) fn new(me: DeviceAddress, name: Name, zone: TimeZone, size: Size, now: u64) -> Self {
        Self {
            me,
            name,
            zone,
            now,
            size,
            names: BTreeMap::new(),
            talks: Vec::new(),
            chosen: None,
            pane: Pane::List,
            in_front: true,
            dialog: None,
            link: Link::Opening,
            alerts: VecDeque::new(),
            said: None,
            newcomers: Vec::new(),
            receipts: ReceiptSettings {
                delivered: true,
                read: true,
            },
            presence: false,
            pending: 0,
            quits: false,
            list_is_stale: true,
            histories: Vec::new(),
            endings: Vec::new(),
            histories_are_stale: true,
            away: false,
            watched: BTreeSet::new(),
        }
    }

    /// Takes what happened, and gives what is to be done.
    pub(super) fn update(&mut self, happening: Happening) -> Vec<Task> {
        match happening {
            Happening::Key(key) => return keys::press(self, key),
            Happening::Pasted(text) => return keys::paste(self, &text),
            Happening::Resized(size) => self.size = size,
            Happening::InFront(in_front) => self.in_front = in_front,
            Happening::Told { event, at } => heard::hear(self, *event, at),
            Happening::Answered(answer) => return answers::take(self, answer),
            Happening::Names(names) => self.names = names,
            Happening::Woken => self.say(advice::WOKEN),
            Happening::Now(now) => self.pass(now),
        }
        Vec::new()
    }

    /// Time has passed.
    fn pass(&mut self, now: u64) {
        self.now = now;
        if self.said.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.said = None;
        }
        if let Some(talk) = self.talk_mut() {
            talk.stale |= talk.is_under_way();
        }
    }

    /// What is to be read before the screen is drawn, and what follows from what is on it.
    pub(super) fn wanted(&mut self) -> Vec<Task> {
        let mut tasks = Vec::new();
        if std::mem::take(&mut self.list_is_stale) {
            tasks.push(Task::Conversations);
        }
        if std::mem::take(&mut self.histories_are_stale) {
            tasks.push(Task::Histories);
        }
        let is_read = self.is_being_read();
        if let Some(talk) = self.talk_mut() {
            let account = talk.account;
            if std::mem::take(&mut talk.stale) {
                tasks.push(Task::Page {
                    account,
                    before: None,
                    count: PAGE,
                });
            } else if talk.wants_earlier && talk.more {
                tasks.push(Task::Page {
                    account,
                    before: talk.messages.first().map(|message| message.position),
                    count: PAGE,
                });
            } else if let Some(until) = talk.newest_received().filter(|until| *until > talk.marked)
                && is_read
                && talk.unread > 0
            {
                talk.marked = until;
                tasks.push(Task::MarkRead { account, until });
            }
        }
        self.watch(&mut tasks);
        tasks
    }

    /// Watches those who are on the screen, and nobody else.
    fn watch(&mut self, tasks: &mut Vec<Task>) {
        let others = self.talks.iter().map(|talk| talk.account);
        let wanted: BTreeSet<_> = if self.presence {
            let shown = others.filter(|account| *account != self.me.account).take(WATCHED);
            self.chosen.into_iter().chain(shown).collect()
        } else {
            BTreeSet::new()
        };
        let change = |account: &AccountId, watch| Task::Watch {
            account: *account,
            watch,
        };
        tasks.extend(self.watched.difference(&wanted).map(|left| change(left, false)));
        tasks.extend(wanted.difference(&self.watched).map(|came| change(came, true)));
        self.watched = wanted;
    }

    /// Whether the person has the newest messages of the chosen conversation before their eyes.
    fn is_being_read(&self) -> bool {
        self.pane == Pane::Talk
            && self.in_front
            && !self.away
            && self.dialog.is_none()
            && self.talk().is_some_and(|talk| talk.scroll == 0)
    }

    /// The conversation that is shown.
    pub(super) fn talk(&self) -> Option<&Talk> {
        let chosen = self.chosen?;
        self.talks.iter().find(|talk| talk.account == chosen)
    }

    /// The same, to be changed.
    pub(super) fn talk_mut(&mut self) -> Option<&mut Talk> {
        let chosen = self.chosen?;
        self.talks.iter_mut().find(|talk| talk.account == chosen)
    }

    /// The conversation with an account. One that is not there yet begins at the top of the list.
    pub(super) fn talk_with(&mut self, account: AccountId) -> Option<&mut Talk> {
        if !self.talks.iter().any(|talk| talk.account == account) {
            self.talks.insert(0, Talk::with(account));
        }
        self.talks.iter_mut().find(|talk| talk.account == account)
    }

    /// The conversation with an account, if there is one.
    pub(super) fn known_talk(&mut self, account: AccountId) -> Option<&mut Talk> {
        self.talks.iter_mut().find(|talk| talk.account == account)
    }

    /// Shows a conversation. What was typed in the one before stays there.
    pub(super) fn choose(&mut self, account: AccountId) -> Vec<Task> {
        if self.chosen == Some(account) {
            return Vec::new();
        }
        let left = self.talk_mut().filter(|talk| !talk.draft.is_empty());
        let stopped = left.map(|talk| Task::Typing {
            account: talk.account,
            typing: false,
        });
        self.chosen = Some(account);
        if let Some(talk) = self.talk_with(account) {
            talk.stale = true;
            talk.scroll = 0;
        }
        stopped.into_iter().collect()
    }

    /// What somebody is called here.
    pub(super) fn name_of(&self, account: AccountId) -> String {
        if account == self.me.account {
            return format!("{} (you)", self.name);
        }
        self.names.get(&account).map_or_else(
            || account.to_string().chars().take(SHORT_ID).collect(),
            Name::to_string,
        )
    }

    /// Says what was just done, for a moment.
    pub(super) fn say(&mut self, what: impl Into<String>) {
        let lasts = u64::try_from(SAID_FOR.as_millis()).unwrap_or(u64::MAX);
        self.said = Some((what.into(), self.now.saturating_add(lasts)));
    }

    /// Warns of something that concerns the whole account, until it is dismissed.
    pub(super) fn alert(&mut self, what: impl Into<String>) {
        if self.alerts.len() >= MOST_ALERTS {
            self.alerts.pop_front();
        }
        self.alerts.push_back(what.into());
    }
}
