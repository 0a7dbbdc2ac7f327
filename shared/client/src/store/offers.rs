//! Table `offers`: the places in the account that this device offered, and who took them up.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{DeviceId, RegistrationId, secret::LinkToken};
use zeroize::Zeroizing;

use super::{StoreError, columns, peers::PeerKeys};

/// The row of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OfferId(pub(crate) i64);

/// An offer.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) id: OfferId,
    pub(crate) token: LinkToken,
    /// What the QR code says.
    pub(crate) code: Zeroizing<String>,
    /// Who took it up.
    pub(crate) taken: Option<Taken>,
}

/// A device that took up an offer and proved that it read the QR code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) device: DeviceId,
    pub(crate) registration: RegistrationId,
    pub(crate) keys: PeerKeys,
    pub(crate) name: String,
}

const SELECT: &str = "SELECT id, token, code, device, registration, keys, name FROM offers";

/// Stores an offer, in place of all before it: one QR code at a time.
pub(crate) fn replace(tx: &Transaction<'_>, token: &LinkToken, code: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM offers", [])?;
    tx.execute(
        "INSERT INTO offers (token, code) VALUES (?1, ?2)",
        params![token.as_bytes(), code],
    )?;
    Ok(())
}

/// The offer with this token.
pub(crate) fn by_token(tx: &Transaction<'_>, token: &LinkToken) -> Result<Option<Offer>, StoreError> {
    let row = tx
        .query_row(&format!("{SELECT} WHERE token = ?1"), [token.as_bytes()], read)
        .optional()?;
    row.map(open).transpose()
}

/// The offer of this row.
pub(crate) fn by_id(tx: &Transaction<'_>, id: OfferId) -> Result<Option<Offer>, StoreError> {
    let row = tx
        .query_row(&format!("{SELECT} WHERE id = ?1"), [id.0], read)
        .optional()?;
    row.map(open).transpose()
}

/// Notes who took an offer up.
pub(crate) fn take_up(tx: &Transaction<'_>, id: OfferId, taken: &Taken) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE offers SET device = ?2, registration = ?3, keys = ?4, name = ?5 WHERE id = ?1",
        params![
            id.0,
            taken.device.get(),
            taken.registration.get(),
            taken.keys,
            taken.name,
        ],
    )?;
    Ok(())
}

/// The offer has ended.
pub(crate) fn remove(tx: &Transaction<'_>, id: OfferId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM offers WHERE id = ?1", [id.0])?;
    Ok(())
}

/// A row before its secrets were read.
struct Closed {
    id: OfferId,
    token: Zeroizing<Vec<u8>>,
    code: Zeroizing<String>,
    taken: Option<(DeviceId, RegistrationId, Vec<u8>, String)>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Closed> {
    let device = columns::optional(row, 3, columns::device)?;
    Ok(Closed {
        id: OfferId(row.get(0)?),
        token: columns::secret(row, 1)?,
        code: Zeroizing::new(row.get(2)?),
        taken: device
            .map(|device| {
                Ok::<_, rusqlite::Error>((device, columns::registration(row, 4)?, row.get(5)?, row.get(6)?))
            })
            .transpose()?,
    })
}

fn open(closed: Closed) -> Result<Offer, StoreError> {
    let damaged = StoreError::Damaged("offer of a link");
    let Ok(token) = LinkToken::from_slice(&closed.token) else {
        return Err(damaged);
    };
    let taken = closed.taken.map(|(device, registration, keys, name)| {
        let keys = keys
            .try_into()
            .map_err(|_| StoreError::Damaged("offer of a link"))?;
        Ok::<_, StoreError>(Taken {
            device,
            registration,
            keys,
            name,
        })
    });
    Ok(Offer {
        id: closed.id,
        token,
        code: closed.code,
        taken: taken.transpose()?,
    })
}
