//! One conversation as the app knows it: its messages as far as they are loaded, what happened beside them, and the draft.

use std::{collections::BTreeSet, ops::RangeInclusive};

use waxwing_client::{AccountId, Contact, Conversation, DeviceAddress, MessageState, StoredMessage};

use super::editor::Editor;

/// Messages read at a time: more than the tallest screens show.
pub(super) const PAGE: usize = 100;

/// A conversation.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Talk {
    /// With whom.
    pub(super) account: AccountId,
    /// What is known of them.
    pub(super) contact: Contact,
    /// The newest message.
    pub(super) newest: Option<StoredMessage>,
    /// Received and not read.
    pub(super) unread: u64,
    /// Whether they are there, while somebody looks.
    pub(super) present: bool,
    /// Their devices on which they type.
    pub(super) typing: BTreeSet<DeviceAddress>,
    /// Messages that are loaded, in order.
    pub(super) messages: Vec<StoredMessage>,
    /// What happened beside messages since the app was started, each with the place it belongs after.
    pub(super) notices: Vec<(u64, Notice)>,
    /// Whether there may be messages before those that are loaded.
    pub(super) more: bool,
    /// Whether the newest messages are to be read anew.
    pub(super) stale: bool,
    /// Whether the person has paged to the oldest that is loaded.
    pub(super) wants_earlier: bool,
    /// How many lines the screen is above the newest one.
    pub(super) scroll: usize,
    /// What is typed and not sent.
    pub(super) draft: Editor,
    /// Why what is typed was not sent.
    pub(super) refused: Option<String>,
    /// Read here up to this position.
    pub(super) marked: u64,
}

/// Something that is told between messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Messages of a device that are missing, and which of them came after all.
    Gap {
        /// The sending device.
        from: DeviceAddress,
        /// Their numbers.
        missing: RangeInclusive<u64>,
        /// Those that came.
        came: BTreeSet<u64>,
    },
    /// Good to know.
    Note(String),
    /// To be looked at.
    Warning(String),
}

/// What is shown in a conversation, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'talk> {
    /// A message.
    Message(&'talk StoredMessage),
    /// Something between messages.
    Notice(&'talk Notice),
}

impl Talk {
    /// A conversation with somebody of whom nothing is known yet.
    pub(super) fn with(account: AccountId) -> Self {
        Self {
            account,
            contact: Contact::default(),
            newest: None,
            unread: 0,
            present: false,
            typing: BTreeSet::new(),
            messages: Vec::new(),
            notices: Vec::new(),
            more: true,
            stale: true,
            wants_earlier: false,
            scroll: 0,
            draft: Editor::default(),
            refused: None,
            marked: 0,
        }
    }

    /// Takes what the store says of it.
    pub(super) fn take(&mut self, conversation: Conversation, contact: Contact) {
        self.stale |= self.newest.as_ref() != Some(&conversation.newest);
        self.newest = Some(conversation.newest);
        self.unread = conversation.unread;
        self.contact = contact;
    }

    /// Takes a page before a position, or the newest. What was loaded before that stays.
    pub(super) fn take_page(&mut self, before: Option<u64>, page: Vec<StoredMessage>) {
        let first = page.first().map(|message| message.position);
        match before {
            Some(_) => {
                self.more = page.len() >= PAGE;
                self.wants_earlier = false;
                self.messages.splice(0..0, page);
            }
            None => {
                let reaches = first.is_some_and(|first| {
                    self.messages
                        .last()
                        .is_some_and(|newest| newest.position >= first)
                });
                if reaches {
                    self.messages.retain(|message| Some(message.position) < first);
                } else {
                    // So much came that there is a gap between what was loaded and this.
                    self.messages.clear();
                    self.more = page.len() >= PAGE;
                }
                self.messages.extend(page);
            }
        }
    }

    /// Messages and what happened beside them, the newest first.
    pub(super) fn entries_from_the_end(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut messages = self.messages.iter().rev().peekable();
        let mut notices = self.notices.iter().rev().peekable();
        std::iter::from_fn(move || {
            let message = messages.peek().map_or(0, |message| message.position);
            if notices.peek().is_some_and(|(after, _)| *after >= message) {
                return notices.next().map(|(_, notice)| Entry::Notice(notice));
            }
            messages.next().map(Entry::Message)
        })
    }

    /// Where something that is told now belongs.
    pub(super) fn end(&self) -> u64 {
        let loaded = self.messages.last().map_or(0, |message| message.position);
        let newest = self.newest.as_ref().map_or(0, |message| message.position);
        let told = self.notices.last().map_or(0, |(after, _)| *after);
        loaded.max(newest).max(told)
    }

    /// Tells something between messages: at a place in the store's timeline, or at the end.
    pub(super) fn tell(&mut self, at: Option<u64>, notice: Notice) {
        let at = at.unwrap_or_else(|| self.end());
        let place = self.notices.partition_point(|(after, _)| *after <= at);
        self.notices.insert(place, (at, notice));
    }

    /// A message that was told to be missing came after all.
    pub(super) fn recovered(&mut self, device: DeviceAddress, sequence: u64) {
        for (_, notice) in &mut self.notices {
            if let Notice::Gap { from, missing, came } = notice
                && *from == device
                && missing.contains(&sequence)
            {
                came.insert(sequence);
            }
        }
    }

    /// Whether a message of this device is on its way still, so that its state may change without a word.
    pub(super) fn is_under_way(&self) -> bool {
        let moving = |state| {
            matches!(
                state,
                MessageState::Pending | MessageState::Sent | MessageState::Held
            )
        };
        self.messages
            .iter()
            .rev()
            .take(PAGE)
            .any(|message| moving(message.state))
    }

    /// The newest received message that is loaded.
    pub(super) fn newest_received(&self) -> Option<u64> {
        let received = self.messages.iter().rfind(|message| !message.own);
        received.map(|message| message.position)
    }
}
