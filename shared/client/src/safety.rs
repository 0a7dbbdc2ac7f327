//! Comparing keys with another person: digits to read out, a code to scan.

use waxwing_protocol::{
    keys::AccountKey,
    safety_number::{AccountIdentity, SafetyNumber, SafetyNumberError},
};
use waxwing_wire::AccountId;

use crate::{
    connection::keeper::{self, FetchError},
    shared::Shared,
    store::{StoreError, lists},
    transport::http::HttpError,
    trust::ListError,
};

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
    let identity = |account: AccountId, key| AccountIdentity {
        id: account.to_bytes(),
        key,
    };
    Ok(SafetyNumber::new(
        &identity(own, ours),
        &identity(account, theirs),
    )?)
}

/// What is on the way to be trusted, or else what is.
async fn key(shared: &Shared, account: AccountId) -> Result<Option<AccountKey>, StoreError> {
    let list = shared.store.read(move |tx| {
        Ok(match lists::offered(tx, account)? {
            Some(offered) => Some(offered),
            None => lists::trusted(tx, account)?,
        })
    });
    Ok(list.await?.map(|list| list.account_key().clone()))
}
