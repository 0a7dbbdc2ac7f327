//! What the app asks for, and what comes of it. The only part of it that does anything.

use waxwing_client::{
    AccountId, Client, Contact, Conversation, DeviceId, Fingerprint, LinkRequestId, OwnDevice, Pin,
    ReceiptSettings, SafetyNumber, StoredMessage,
};
use zeroize::Zeroizing;

use super::super::{
    Peer,
    history::{self, History, Wish},
};
use crate::address_book::AddressBook;

/// Something to be done.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Task {
    /// Read who there is.
    Conversations,
    /// Read messages before a position, or the newest.
    Page {
        account: AccountId,
        before: Option<u64>,
        count: usize,
    },
    /// The person read up to this position.
    MarkRead { account: AccountId, until: u64 },
    /// Send a text.
    Send { account: AccountId, text: String },
    /// The person types, or does not any more.
    Typing { account: AccountId, typing: bool },
    /// Somebody came onto the screen or left it.
    Watch { account: AccountId, watch: bool },
    /// Let a stranger in.
    LetIn(AccountId),
    /// Believe a changed account key.
    Trust {
        account: AccountId,
        fingerprint: Fingerprint,
    },
    /// Find out the safety number.
    SafetyNumber(AccountId),
    /// The person compared it.
    MarkVerified {
        account: AccountId,
        number: SafetyNumber,
    },
    /// The person takes that back.
    UnmarkVerified(AccountId),
    /// Whom that means, and what for.
    Find { peer: Peer, then: Then },
    /// Read the own devices.
    Devices,
    /// Offer a place to a new device.
    OfferLink,
    /// Answer a new device.
    AnswerLink { request: LinkRequestId, accept: bool },
    /// End a device.
    Revoke(DeviceId),
    /// Read the settings.
    Settings,
    /// Say which receipts go out.
    SetReceipts(ReceiptSettings),
    /// Let contacts see whether this device is there, or not.
    SharePresence(bool),
    /// Lock the account's number.
    SetLock(Pin),
    /// Unlock it.
    RemoveLock,
    /// Try to connect now.
    Connect,
    /// The device is on another network.
    ChangeNetwork,
    /// The person looks here, or elsewhere.
    Front(bool),
    /// Read how histories stand.
    Histories,
    /// Do something about a history.
    ChangeHistory(Wish),
}

/// What somebody is looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// To write to them.
    Write,
    /// To compare safety numbers.
    Verify,
    /// To answer to their changed key.
    Trust,
}

/// What came of it. Errors are sentences: nobody does more with them than read them.
#[cfg_attr(test, derive(Debug))]
pub(super) enum Answer {
    /// Nothing to tell.
    Done,
    /// It went wrong.
    Failed(String),
    /// What the person should know.
    Told(&'static str),
    /// Who there is, and how many messages wait in the outbox.
    Conversations {
        conversations: Vec<(Conversation, Contact)>,
        pending: usize,
    },
    /// Messages.
    Page {
        account: AccountId,
        before: Option<u64>,
        page: Vec<StoredMessage>,
    },
    /// What is known of somebody is different now.
    Contact { account: AccountId, contact: Contact },
    /// A message was stored to be sent.
    Queued(AccountId),
    /// A message was not.
    NotQueued {
        account: AccountId,
        text: String,
        reason: String,
    },
    /// The safety number.
    Number {
        account: AccountId,
        number: Result<Box<SafetyNumber>, String>,
    },
    /// Whom a name means, and what is known of them.
    Found {
        peer: Peer,
        then: Then,
        found: Option<(AccountId, Contact)>,
    },
    /// How histories stand.
    Histories(Vec<History>),
    /// What came of a wish about one.
    HistoryChanged(Result<String, String>),
    /// The own devices.
    Devices(Result<Vec<OwnDevice>, String>),
    /// The text of the code to show.
    Offered(Result<Zeroizing<String>, String>),
    /// A new device was answered.
    LinkAnswered {
        request: LinkRequestId,
        /// The device that is in now, if it was let in.
        result: Result<Option<DeviceId>, String>,
    },
    /// The settings.
    Settings {
        receipts: ReceiptSettings,
        presence: bool,
    },
}

impl Task {
    /// Whether it waits for the service, so that the person must not wait with it.
    pub(super) fn takes_time(&self) -> bool {
        matches!(
            self,
            Self::SafetyNumber(_)
                | Self::OfferLink
                | Self::AnswerLink { .. }
                | Self::Revoke(_)
                | Self::SetLock(_)
                | Self::RemoveLock
        )
    }

    /// Does it.
    pub(super) async fn carry_out(self, client: &Client, book: &AddressBook) -> Answer {
        match self {
            Self::Conversations
            | Self::Page { .. }
            | Self::Devices
            | Self::Settings
            | Self::Find { .. }
            | Self::Histories => self.look_up(client, book).unwrap_or_else(Answer::Failed),
            Self::Typing { account, typing } => {
                client.set_typing(account, typing);
                Answer::Done
            }
            Self::Watch { account, watch: true } => {
                client.watch_presence(account);
                Answer::Done
            }
            Self::Watch {
                account,
                watch: false,
            } => {
                client.unwatch_presence(account);
                Answer::Done
            }
            Self::Connect => {
                client.connect();
                Answer::Done
            }
            Self::ChangeNetwork => {
                client.network_changed();
                Answer::Done
            }
            Self::Front(true) => {
                client.foreground();
                Answer::Done
            }
            Self::Front(false) => {
                client.background();
                Answer::Done
            }
            other => other.change(client).await.unwrap_or_else(Answer::Failed),
        }
    }

    /// What is only read.
    fn look_up(self, client: &Client, book: &AddressBook) -> Result<Answer, String> {
        Ok(match self {
            Self::Conversations => {
                let known = |conversation: Conversation| {
                    let contact = client.contact(conversation.account)?;
                    Ok((conversation, contact))
                };
                let conversations = client.conversations().map_err(said)?;
                let conversations = conversations.into_iter().map(known).collect::<Result<_, _>>();
                Answer::Conversations {
                    conversations: conversations.map_err(said::<waxwing_client::StoreError>)?,
                    pending: client.pending().map_err(said)?,
                }
            }
            Self::Page {
                account,
                before,
                count,
            } => Answer::Page {
                account,
                before,
                page: client.page(account, before, count).map_err(said)?,
            },
            Self::Devices => Answer::Devices(client.devices().map_err(said)),
            Self::Settings => Answer::Settings {
                receipts: client.receipts().map_err(said)?,
                presence: client.shares_presence().map_err(said)?,
            },
            Self::Find { peer, then } => {
                let account = match &peer {
                    Peer::Account(account) => Some(*account),
                    Peer::Name(name) => book.find(name).map_err(said)?,
                };
                let known = |account| Ok((account, client.contact(account)?));
                let found = account.map(known).transpose();
                Answer::Found {
                    peer,
                    then,
                    found: found.map_err(said::<waxwing_client::StoreError>)?,
                }
            }
            Self::Histories => Answer::Histories(history::all(client)?),
            _ => Answer::Done,
        })
    }

    /// What changes something.
    async fn change(self, client: &Client) -> Result<Answer, String> {
        let contact = |account| {
            let contact = client.contact(account).map_err(said)?;
            Ok::<_, String>(Answer::Contact { account, contact })
        };
        Ok(match self {
            Self::MarkRead { account, until } => {
                client.mark_read(account, until).await.map_err(said)?;
                contact(account)?
            }
            Self::Send { account, text } => match client.send_text(account, &text).await {
                Ok(_) => Answer::Queued(account),
                Err(error) => Answer::NotQueued {
                    account,
                    text,
                    reason: said(error),
                },
            },
            Self::LetIn(account) => {
                client.let_in(account).await.map_err(said)?;
                contact(account)?
            }
            Self::Trust { account, fingerprint } => {
                client.trust(account, fingerprint).await.map_err(said)?;
                contact(account)?
            }
            Self::SafetyNumber(account) => Answer::Number {
                account,
                number: client.safety_number(account).await.map(Box::new).map_err(said),
            },
            Self::MarkVerified { account, number } => {
                client.mark_verified(account, &number).await.map_err(said)?;
                contact(account)?
            }
            Self::UnmarkVerified(account) => {
                client.unmark_verified(account).await.map_err(said)?;
                contact(account)?
            }
            Self::OfferLink => Answer::Offered(client.offer_link().await.map_err(said)),
            Self::AnswerLink { request, accept } => Answer::LinkAnswered {
                request,
                result: answer_link(client, request, accept).await,
            },
            Self::Revoke(device) => {
                let revoked = client.revoke(device).await.map_err(said);
                Answer::Devices(match revoked {
                    Ok(()) => client.devices().map_err(said),
                    Err(error) => Err(error),
                })
            }
            Self::SetReceipts(settings) => {
                client.set_receipts(settings).await.map_err(said)?;
                Self::settings(client)?
            }
            Self::SharePresence(share) => {
                client.share_presence(share).await.map_err(said)?;
                Self::settings(client)?
            }
            Self::SetLock(pin) => {
                client.set_lock(&pin).await.map_err(said)?;
                Answer::Told("Your number is locked: who registers it anew needs the PIN.")
            }
            Self::ChangeHistory(wish) => Answer::HistoryChanged(history::carry_out(client, wish).await),
            Self::RemoveLock => {
                client.remove_lock().await.map_err(said)?;
                Answer::Told("Your number is not locked any more.")
            }
            _ => Answer::Done,
        })
    }

    fn settings(client: &Client) -> Result<Answer, String> {
        Ok(Answer::Settings {
            receipts: client.receipts().map_err(said)?,
            presence: client.shares_presence().map_err(said)?,
        })
    }
}

/// Answers a new device. Returns which one is in now that was not before.
async fn answer_link(
    client: &Client,
    request: LinkRequestId,
    accept: bool,
) -> Result<Option<DeviceId>, String> {
    let before = client.devices().map_err(said)?;
    client.answer_link(request, accept).await.map_err(said)?;
    let after = client.devices().map_err(said)?;
    let came = after.into_iter().find(|device| !before.contains(device));
    Ok(came.map(|device| device.address.device))
}

fn said<E: std::error::Error>(error: E) -> String {
    error.to_string()
}
