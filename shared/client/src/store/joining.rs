//! Tables `joining` and `linking`: how this device is getting into an account, until it is in.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{
    AccountId, DeviceList, ListVersion,
    bytes::SealedLink,
    confirm::ExistingAccount,
    phone::PhoneNumber,
    secret::{LockProof, Salt, Ticket},
};
use zeroize::Zeroizing;

use super::{StoreError, columns, timeline};

/// A registration under way.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    pub(crate) phone: PhoneNumber,
    pub(crate) ticket: Ticket,
    /// The service took the code.
    pub(crate) confirmed: bool,
    /// The account that the number has already.
    pub(crate) existing: Option<ExistingAccount>,
    /// What the PIN gave, if one was asked for.
    pub(crate) proof: Option<LockProof>,
    /// The list it registers with.
    pub(crate) list: Option<DeviceList>,
}

/// The registration under way, if there is one.
pub(crate) fn load(tx: &Transaction<'_>) -> Result<Option<Joining>, StoreError> {
    let row = tx
        .query_row(
            "SELECT phone, ticket, confirmed, account, version, salt, proof, list FROM joining",
            [],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    columns::secret(row, 1)?,
                    row.get(2)?,
                    columns::optional(row, 3, columns::account)?,
                    columns::optional(row, 4, columns::version)?,
                    row.get::<_, Option<Vec<u8>>>(5)?,
                    columns::optional(row, 6, columns::secret)?,
                    row.get::<_, Option<String>>(7)?,
                ))
            },
        )
        .optional()?;
    let Some((phone, ticket, confirmed, account, version, salt, proof, list)) = row else {
        return Ok(None);
    };
    let damaged = |_| StoreError::Damaged("registration");
    let lock = salt
        .map(|salt| Salt::from_slice(&salt))
        .transpose()
        .map_err(damaged)?;
    Ok(Some(Joining {
        phone: phone.parse().map_err(|_| StoreError::Damaged("phone number"))?,
        ticket: Ticket::from_slice(&ticket).map_err(damaged)?,
        confirmed,
        existing: existing(account, version, lock),
        proof: proof
            .map(|proof| LockProof::from_slice(&proof))
            .transpose()
            .map_err(damaged)?,
        list: list
            .map(|list| serde_json::from_str(&list))
            .transpose()
            .map_err(|_| StoreError::Damaged("registration"))?,
    }))
}

/// Stores a registration, in place of the one before.
pub(crate) fn store(tx: &Transaction<'_>, joining: &Joining) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO joining VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            joining.phone.as_str(),
            joining.ticket.as_bytes(),
            joining.confirmed,
            joining.existing.map(|existing| existing.account.to_bytes()),
            joining.existing.map(|existing| existing.version.get()),
            joining
                .existing
                .and_then(|existing| existing.lock)
                .map(|salt| *salt.as_bytes()),
            joining.proof.as_ref().map(|proof| *proof.as_bytes()),
            joining.list.as_ref().map(timeline::to_json).transpose()?,
        ],
    )?;
    Ok(())
}

/// A link under way, on the new device.
#[derive(Clone)]
pub(crate) struct Linking {
    /// What the other device showed.
    pub(crate) code: Zeroizing<String>,
    /// The request as it is sent.
    pub(crate) sealed: SealedLink,
}

/// The link under way, if there is one.
pub(crate) fn load_link(tx: &Transaction<'_>) -> Result<Option<Linking>, StoreError> {
    let row = tx
        .query_row("SELECT code, sealed FROM linking", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    row.map(|(code, sealed)| {
        Ok(Linking {
            code: Zeroizing::new(code),
            sealed: SealedLink::from_vec(sealed).map_err(|_| StoreError::Damaged("link"))?,
        })
    })
    .transpose()
}

/// Stores a link, in place of the one before.
pub(crate) fn store_link(tx: &Transaction<'_>, linking: &Linking) -> Result<(), StoreError> {
    tx.execute(
        "INSERT OR REPLACE INTO linking VALUES (1, ?1, ?2)",
        params![linking.code.as_str(), linking.sealed.as_bytes()],
    )?;
    Ok(())
}

/// The device is in, or begins anew.
pub(crate) fn clear(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute_batch("DELETE FROM joining; DELETE FROM linking")?;
    Ok(())
}

fn existing(
    account: Option<AccountId>,
    version: Option<ListVersion>,
    lock: Option<Salt>,
) -> Option<ExistingAccount> {
    Some(ExistingAccount {
        account: account?,
        version: version?,
        lock,
    })
}
