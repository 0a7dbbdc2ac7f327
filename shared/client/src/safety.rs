//! Comparing keys with another person: digits to read out, a code to scan.

use rusqlite::Transaction;
use waxwing_protocol::{
    keys::AccountKey,
    safety_number::{AccountIdentity, SafetyNumber, SafetyNumberError},
};
use waxwing_wire::AccountId;

use crate::{
    connection::keeper::{self, FetchError},
    sessions::Me,
    shared::Shared,
    store::{StoreError, lists, settings, verified},
    transport::http::HttpError,
    trust::{Fingerprint, ListError},
};

/// What this device knows of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Whether this person wrote to the account or let it in. Whoever did not is a stranger, and gets no receipts.
    pub let_in: bool,
    /// Whether the person compared the safety number as it is now ([`Client::mark_verified`](crate::Client::mark_verified)).
    pub verified: bool,
    /// An account key that waits for [`Client::trust`](crate::Client::trust), as
    /// [`Event::AccountKeyChanged`](crate::Event::AccountKeyChanged) told.
    pub new_key: Option<Fingerprint>,
}

/// Why there is no safety number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The device has no account.
    #[error("the device has no account; register or link it first")]
    NotRegistered,
    /// The two keys make none.
    #[error(transparent)]
    Number(#[from] SafetyNumberError),
    /// The service presents a list that is not the account's.
    #[error("the service presents a wrong list of devices: {0}")]
    List(#[from] ListError),
    /// The keys of the account are not known here, and the service did not give them.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The number is another one by now: nothing was marked.
    #[error("the safety number is another one by now; compare it again")]
    OtherNumber,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FetchError> for VerifyError {
    fn from(error: FetchError) -> Self {
        use crate::directory::TakeError;
        match error {
            FetchError::Http(error) => error.into(),
            FetchError::Take(TakeError::List(error)) => error.into(),
            FetchError::Take(TakeError::Keys(_)) => ListError::Invalid.into(),
            FetchError::Take(TakeError::Store(error)) => error.into(),
        }
    }
}

/// The safety number of the own account and another, of the key that waits for the app's answer if one does. An account
/// that nobody here ever had to do with is fetched first.
pub(crate) async fn number(shared: &Shared, account: AccountId) -> Result<SafetyNumber, VerifyError> {
    let me = shared.me().ok_or(VerifyError::NotRegistered)?;
    let own = me.address().account;
    let ours = key(shared, own)
        .await?
        .ok_or(StoreError::Damaged("own list of devices"))?;
    let theirs = match key(shared, account).await? {
        Some(theirs) => theirs,
        None => {
            keeper::fetch(shared, &me, account).await?;
            key(shared, account).await?.ok_or(ListError::Invalid)?
        }
    };
    Ok(SafetyNumber::new(
        &identity(own, ours),
        &identity(account, theirs),
    )?)
}

/// Notes that the person compared this very number. It has to be the number still.
pub(crate) fn mark(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    compared: &SafetyNumber,
) -> Result<(), VerifyError> {
    let own = me.address().account;
    let ours = current(tx, own)?.ok_or(StoreError::Damaged("own list of devices"))?;
    let theirs = current(tx, account)?.ok_or(VerifyError::OtherNumber)?;
    let now = SafetyNumber::new(&identity(own, ours), &identity(account, theirs.clone()))?;
    if now != *compared {
        return Err(VerifyError::OtherNumber);
    }
    Ok(verified::mark(tx, account, &theirs)?)
}

/// What is known of somebody.
pub(crate) fn contact(tx: &Transaction<'_>, account: AccountId) -> Result<Contact, StoreError> {
    let offered = lists::offered(tx, account)?;
    let key = current(tx, account)?;
    Ok(Contact {
        let_in: settings::is_contact(tx, account)?,
        verified: match key {
            Some(key) => verified::is_marked(tx, account, &key)?,
            None => false,
        },
        new_key: offered
            .map(|list| Fingerprint::of(list.account_key()))
            .transpose()?,
    })
}

fn identity(account: AccountId, key: AccountKey) -> AccountIdentity {
    AccountIdentity {
        id: account.to_bytes(),
        key,
    }
}

async fn key(shared: &Shared, account: AccountId) -> Result<Option<AccountKey>, StoreError> {
    shared.store.read(move |tx| current(tx, account)).await
}

/// What is on the way to be trusted, or else what is.
fn current(tx: &Transaction<'_>, account: AccountId) -> Result<Option<AccountKey>, StoreError> {
    let list = match lists::offered(tx, account)? {
        Some(offered) => Some(offered),
        None => lists::trusted(tx, account)?,
    };
    Ok(list.map(|list| list.account_key().clone()))
}
