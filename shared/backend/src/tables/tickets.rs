//! Tickets: what a confirmed number gives, good for one registration.
//!
//! A ticket is named by its keyed hash; who reads the table holds none. A used one stays a while, so that a
//! registration that is repeated finds its own.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use waxwing_wire::{AccountId, RegistrationId, limits::TICKET_LIFE_SECONDS};

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::Hash,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: the keyed hash of the ticket, 32 bytes.
pub const PARTITION_KEY: &str = "t";
/// Number: seconds of Unix time after which the ticket is good for nothing.
pub const EXPIRES_AT: &str = "expires_at";
/// Binary: the keyed hash of the number that was confirmed, 32 bytes.
const PHONE: &str = "h";
/// Binary, absent until used: the account that was registered, 16 bytes.
const ACCOUNT: &str = "a";
/// Number, with the account: the registration of its device.
const REGISTRATION: &str = "r";

const IS_ABSENT_OR_OVER: &str = "attribute_not_exists(t) OR expires_at <= :now";

const USE: &str = "SET a = :account, r = :registration, expires_at = :end";
const IS_UNUSED: &str = "attribute_exists(t) AND attribute_not_exists(a) AND expires_at > :now";

/// Seconds that a used ticket is kept: longer than a client repeats a registration.
const USED_LIFE_SECONDS: u64 = 24 * 60 * 60;

/// A ticket that is not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TicketRecord {
    /// The number that was confirmed.
    pub(crate) phone: Hash,
    /// What was registered with it.
    pub(crate) used: Option<(AccountId, RegistrationId)>,
    /// The first second at which it is no more.
    pub(crate) ends: UnixSeconds,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    database: Database,
    table: String,
}

impl Tickets {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The ticket, as of now. `None` also if it is expired.
    pub(crate) async fn find(&self, ticket: Hash, now: UnixSeconds) -> Result<Option<TicketRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(ticket)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Tickets", &error))?;
        let record = output.item.map(|found| read(&found)).transpose()?;
        Ok(record.filter(|record| record.ends > now))
    }

    /// The part of a transaction that makes a ticket for a number, unless there is one of that name that has not expired.
    pub(crate) fn put_if_absent(
        &self,
        ticket: Hash,
        phone: Hash,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let mut item = key(ticket);
        item.insert(PHONE.into(), binary(*phone.as_bytes()));
        item.insert(EXPIRES_AT.into(), number(now.plus(TICKET_LIFE_SECONDS).0));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(IS_ABSENT_OR_OVER)
            .expression_attribute_values(":now", number(now.0))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that uses a ticket, if it is neither used nor expired.
    pub(crate) fn use_up(
        &self,
        ticket: Hash,
        account: AccountId,
        registration: RegistrationId,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(ticket)))
            .update_expression(USE)
            .condition_expression(IS_UNUSED)
            .expression_attribute_values(":account", binary(account.to_bytes()))
            .expression_attribute_values(":registration", number(registration.get()))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":end", number(now.plus(USED_LIFE_SECONDS).0))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn key(ticket: Hash) -> Item {
    item([(PARTITION_KEY, binary(*ticket.as_bytes()))])
}

fn read(item: &Item) -> Result<TicketRecord, Damaged> {
    let reader = Reader {
        table: "Tickets",
        item,
    };
    let used = if item.contains_key(ACCOUNT) {
        let registration = RegistrationId::new(reader.number(REGISTRATION)?);
        Some((
            reader.binary(ACCOUNT, AccountId::from_bytes)?,
            registration.map_err(|_| reader.damaged(REGISTRATION))?,
        ))
    } else {
        None
    };
    Ok(TicketRecord {
        phone: reader.binary(PHONE, |bytes| Hash::from_slice(bytes).ok_or(()))?,
        used,
        ends: UnixSeconds(reader.number(EXPIRES_AT)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{backend, standard_base64};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    /// X73: an item past its time may lie in the table for days.
    #[tokio::test]
    async fn x73_an_expired_ticket_is_not_found() {
        for (end, found) in [(NOW.0 + 1, true), (NOW.0, false), (NOW.0 - 1, false)] {
            let item = json!({
                "h": { "B": standard_base64(&[1; 32]) },
                "expires_at": { "N": end.to_string() },
            });
            let (backend, _) = backend(move |_| (200, json!({ "Item": item })));
            let ticket = Hash::from_slice(&[2; 32]).unwrap();
            let record = backend.tickets.find(ticket, NOW).await.unwrap();
            assert_eq!(record.is_some(), found, "{end}");
        }
    }
}
