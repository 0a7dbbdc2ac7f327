//! Table `offers`: the places in the account that this device offered, and who took them up.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_protocol::linking::LinkOffer;
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

impl Taken {
    /// Whether the same device asks again. The place that the service proposes may have been given away meanwhile.
    pub(crate) fn is_same_device(&self, other: &Self) -> bool {
        (self.registration, self.keys, &self.name) == (other.registration, other.keys, &other.name)
    }
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

/// Whether a device can come in by an offer: one took it up and waits for the answer, or still may.
pub(crate) fn any_open(tx: &Transaction<'_>, now_millis: u64) -> Result<bool, StoreError> {
    let offers = tx
        .prepare_cached("SELECT code, device IS NOT NULL FROM offers")?
        .query_map([], |row| {
            Ok((Zeroizing::new(row.get::<_, String>(0)?), row.get(1)?))
        })?
        .collect::<Result<Vec<(_, bool)>, _>>()?;
    Ok(offers.into_iter().any(|(code, taken)| {
        taken || LinkOffer::read(&code).map_or(true, |offer| now_millis < offer.expires_at_millis())
    }))
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

#[cfg(test)]
mod tests {
    use waxwing_protocol::keys::TheirDevice;

    use super::*;

    const KEYS: usize = TheirDevice::BYTES;

    #[test]
    fn a_device_that_asks_again_is_the_same_whatever_place_the_service_proposes_now() {
        let taken = Taken {
            device: DeviceId::new(2).unwrap(),
            registration: RegistrationId::new(7).unwrap(),
            keys: [1; KEYS],
            name: "laptop".to_owned(),
        };
        let with = |change: fn(&mut Taken)| {
            let mut other = taken.clone();
            change(&mut other);
            taken.is_same_device(&other)
        };
        assert!(with(|other| other.device = DeviceId::new(3).unwrap()));
        assert!(!with(|other| other.registration = RegistrationId::new(8).unwrap()));
        assert!(!with(|other| other.keys = [2; KEYS]));
        assert!(!with(|other| other.name.push('s')));
    }
}
