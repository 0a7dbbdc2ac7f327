//! Devices: which devices an account has, which key speaks for each, and where each is connected.
//!
//! One strongly consistent Query of an account answers "which devices, which are connected". A record has about
//! 130 bytes, and 240 with a push endpoint, so that answer costs one read unit for any account.
//!
//! Alerts: `p` says that one is owed, `q` that one was published. Whoever sets `p` publishes, and puts `q` in its place
//! after. A run that breaks off in between leaves `p`, which `wake` finds. A connection takes both away.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem,
    },
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, PublicKey, RegisteredDevice, RegistrationId,
    limits::ALERT_PAUSE_SECONDS,
};

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    push::Endpoint,
    sockets::ConnectionId,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: the account, 16 bytes.
pub const PARTITION_KEY: &str = "a";
/// Sort key, binary: the device, 1 byte.
pub const SORT_KEY: &str = "d";
/// Number: the registration.
const REGISTRATION: &str = "r";
/// Binary: the key that verifies the device's tokens and signatures, a compressed point.
const SIGNING_KEY: &str = "v";
/// String, absent when not connected: API Gateway's id of the newest connection.
const CONNECTION: &str = "c";
// Number `t`, with the connection: when it was opened, in milliseconds of Unix time, by API Gateway's clock.
// Only the conditions below read it.
/// Number, absent unless an alert is owed: since when, in seconds of Unix time.
const OWED_SINCE: &str = "p";
/// Number, absent unless an alert was published since the device was there last: when, in seconds of Unix time.
const ALERTED_AT: &str = "q";
/// String, absent unless the device asked to be woken: the ARN of its SNS endpoint.
const ENDPOINT: &str = "e";

/// Number: when the device last connected, or was added, in seconds of Unix time.
const SEEN_AT: &str = "s";

const IS_ABSENT: &str = "attribute_not_exists(a)";
const IS_REGISTRATION: &str = "r = :registration";
// A device that connects and disconnects in between has another time in `s`.
const IS_UNCHANGED_AND_CONNECTED: &str = "r = :registration AND s = :seen AND c = :connection";
const IS_UNCHANGED_AND_AWAY: &str = "r = :registration AND s = :seen AND attribute_not_exists(c)";
const IN_ACCOUNT: &str = "a = :account";

const CONNECT: &str = "SET c = :connection, t = :opened, s = :now REMOVE p, q";
const IS_REGISTRATION_AND_NOT_SUPERSEDED: &str =
    "r = :registration AND (attribute_not_exists(t) OR t <= :opened)";

const DISCONNECT: &str = "REMOVE c, t";
const HAS_CONNECTION: &str = "c = :connection";

const OWE: &str = "SET p = :now";
const IS_REGISTRATION_AWAY_AND_UNMARKED: &str = "r = :registration AND attribute_not_exists(c) \
    AND attribute_not_exists(p) AND (attribute_not_exists(q) OR q <= :again)";
// Whoever takes an alert over that another run left puts its own time there, and nobody else takes it over then.
const IS_REGISTRATION_AWAY_AND_OWED: &str = "r = :registration AND attribute_not_exists(c) AND p = :since";

const SETTLE: &str = "SET q = :now REMOVE p";

const SUBSCRIBE: &str = "SET e = :endpoint";
const UNSUBSCRIBE: &str = "REMOVE e";
const HAS_ENDPOINT: &str = "e = :endpoint";

const NEEDS_CARE: &str = "attribute_exists(e) AND (p <= :owed OR t <= :opened)";

const DISCONNECT_AND_MARK: &str = "SET p = :now REMOVE c, t";
const HAS_CONNECTION_THAT_IS_OPEN: &str = "c = :connection AND t < :opening";

/// Seconds that a connection takes to open at most: the authorizer and `connect` have ten each, and API Gateway needs a
/// moment. Before that 410 may mean that it is not open yet.
const OPENING_SECONDS: u64 = 30;

/// Seconds after which an alert that is still owed was left by a run that broke off or whose publishing failed. A function
/// has ten.
pub(crate) const ALERT_LEASE_SECONDS: u64 = 30;

/// Seconds after which a connection is certainly gone: API Gateway ends it after two hours, and clocks differ.
pub(crate) const CONNECTION_LIFE_SECONDS: u64 = 2 * 60 * 60 + 5 * 60;

/// One device, as the service routes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRecord {
    pub(crate) device: RegisteredDevice,
    pub(crate) signing_key: PublicKey,
    pub(crate) connection: Option<ConnectionId>,
    /// Since when an alert is owed.
    pub(crate) owed_since: Option<UnixSeconds>,
    /// When one was published, if the device has not been there since.
    pub(crate) alerted_at: Option<UnixSeconds>,
    pub(crate) endpoint: Option<Endpoint>,
    /// When it last connected, or was added.
    pub(crate) seen_at: UnixSeconds,
}

/// An alert that is owed to a device, and nobody else is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) device: RegisteredDevice,
    /// Where, if the device asked to be woken.
    pub(crate) endpoint: Option<Endpoint>,
}

/// What a device that asked to be woken looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resubscribed {
    /// Where it was woken before, if that was elsewhere.
    pub(crate) former: Option<Endpoint>,
    /// Since when an alert is owed, if the device is away.
    pub(crate) owed_since: Option<UnixSeconds>,
}

/// What became of a connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connected {
    /// The record names the new connection; the one it named before is given if it was another.
    Now { displaced: Option<ConnectionId> },
    /// A connection that was opened later is there already.
    Superseded,
    /// There is no such registration.
    Unknown,
}

/// What became of a connection to which a post met 410.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// It is forgotten, and an alert is owed unless one was, or the device has connected again.
    Done(Option<Owed>),
    /// Nothing was changed: it is so young that it may not be open yet.
    MayBeOpening,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    database: Database,
    table: String,
}

impl Devices {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The device, as of now.
    pub(crate) async fn find(&self, address: DeviceAddress) -> Result<Option<DeviceRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(address)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Devices", &error))?;
        Ok(output
            .item
            .map(|found| read(address.account, &found))
            .transpose()?)
    }

    /// Whether this registration was there a moment ago: an eventually consistent read, at half the price of one as of
    /// now.
    pub(crate) async fn was_there_lately(&self, device: RegisteredDevice) -> Result<bool, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(device.address)))
            .consistent_read(false)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Devices", &error))?;
        let record = output
            .item
            .map(|found| read(device.address.account, &found))
            .transpose()?;
        Ok(record.is_some_and(|record| record.device == device))
    }

    /// All devices of the account, as of now, by rising id.
    pub(crate) async fn find_all(&self, account: AccountId) -> Result<Vec<DeviceRecord>, Fault> {
        self.query(account, true).await
    }

    /// All devices of the account a moment ago, by rising id, at half the price.
    pub(crate) async fn find_all_lately(&self, account: AccountId) -> Result<Vec<DeviceRecord>, Fault> {
        self.query(account, false).await
    }

    async fn query(&self, account: AccountId, as_of_now: bool) -> Result<Vec<DeviceRecord>, Fault> {
        let request = self.database.client().query().table_name(&self.table);
        let request = request
            .key_condition_expression(IN_ACCOUNT)
            .expression_attribute_values(":account", binary(account.to_bytes()))
            .consistent_read(as_of_now);
        let (mut records, mut read_on_after) = (Vec::new(), None);
        loop {
            let page = request
                .clone()
                .set_exclusive_start_key(read_on_after)
                .send()
                .await;
            let page = page.map_err(|error| Fault::of("Query Devices", &error))?;
            for found in page.items() {
                records.push(read(account, found)?);
            }
            read_on_after = page.last_evaluated_key;
            if read_on_after.is_none() {
                return Ok(records);
            }
        }
    }

    /// The part of a transaction that adds a device if its address is free.
    pub(crate) fn put_if_absent(
        &self,
        device: RegisteredDevice,
        signing_key: &PublicKey,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(new_item(device, signing_key, now)))
            .condition_expression(IS_ABSENT)
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that puts a device in the place of `old`, if that is still what it was when it was
    /// read, its connection included: else nobody would close the connection it has now.
    pub(crate) fn replace_if_unchanged(
        &self,
        old: &DeviceRecord,
        device: RegisteredDevice,
        signing_key: &PublicKey,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let (condition, values) = unchanged(old);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(new_item(device, signing_key, now)))
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that ends a device, if it is still what it was when it was read, its connection
    /// included: else nobody would close the connection it has now.
    pub(crate) fn delete_if_unchanged(&self, old: &DeviceRecord) -> Result<TransactWriteItem, Fault> {
        let (condition, values) = unchanged(old);
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(old.device.address)))
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part of a transaction that holds only if the device is registered.
    pub(crate) fn is_registered(&self, device: RegisteredDevice) -> Result<TransactWriteItem, Fault> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(device.address)))
            .condition_expression(IS_REGISTRATION)
            .expression_attribute_values(":registration", number(device.registration.get()))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// Makes `connection` the device's connection and takes the push mark away, unless a connection opened
    /// later is there already. `opened` says when it was opened, since 1970.
    pub(crate) async fn connect_unless_superseded(
        &self,
        device: RegisteredDevice,
        connection: &ConnectionId,
        opened: Duration,
        now: UnixSeconds,
    ) -> Result<Connected, Fault> {
        let opened = u64::try_from(opened.as_millis()).unwrap_or(u64::MAX);
        let update = self
            .update(device.address, CONNECT, IS_REGISTRATION_AND_NOT_SUPERSEDED)
            .expression_attribute_values(":connection", connection_value(connection))
            .expression_attribute_values(":opened", number(opened))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":registration", number(device.registration.get()))
            .return_values(ReturnValue::UpdatedOld);
        match conditional(update).await? {
            Conditional::Done(replaced) => {
                let old = connection_of(replaced.as_ref());
                Ok(Connected::Now {
                    displaced: old.filter(|old| old != connection),
                })
            }
            Conditional::Refused(Some(found)) => {
                let record = read(device.address.account, &found)?;
                let superseded = record.device == device;
                Ok(if superseded {
                    Connected::Superseded
                } else {
                    Connected::Unknown
                })
            }
            Conditional::Refused(None) => Ok(Connected::Unknown),
        }
    }

    /// Forgets `connection` if it is still the device's. Says whether it was.
    pub(crate) async fn delete_connection_if(
        &self,
        address: DeviceAddress,
        connection: &ConnectionId,
    ) -> Result<bool, Fault> {
        let update = self
            .update(address, DISCONNECT, HAS_CONNECTION)
            .expression_attribute_values(":connection", connection_value(connection));
        Ok(matches!(conditional(update).await?, Conditional::Done(_)))
    }

    /// Owes the device an alert, unless one is owed already or was published within [`ALERT_PAUSE_SECONDS`], or the device
    /// is connected (it will ask for its mailbox) or registered again.
    pub(crate) async fn owe_alert_if_away(
        &self,
        device: RegisteredDevice,
        now: UnixSeconds,
    ) -> Result<Option<Owed>, Fault> {
        let update = self
            .update(device.address, OWE, IS_REGISTRATION_AWAY_AND_UNMARKED)
            .expression_attribute_values(":registration", number(device.registration.get()))
            .expression_attribute_values(":again", number(now.0.saturating_sub(ALERT_PAUSE_SECONDS)))
            .expression_attribute_values(":now", number(now.0))
            .return_values(ReturnValue::AllNew);
        owed(device, conditional(update).await?)
    }

    /// Takes over an alert that is owed since `since`, unless another has, or the device is connected or registered again.
    pub(crate) async fn take_over_alert_if(
        &self,
        device: RegisteredDevice,
        since: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<Option<Owed>, Fault> {
        let update = self
            .update(device.address, OWE, IS_REGISTRATION_AWAY_AND_OWED)
            .expression_attribute_values(":registration", number(device.registration.get()))
            .expression_attribute_values(":since", number(since.0))
            .expression_attribute_values(":now", number(now.0))
            .return_values(ReturnValue::AllNew);
        owed(device, conditional(update).await?)
    }

    /// The alert that was owed since `since` is published. Changes nothing if the device has connected meanwhile.
    pub(crate) async fn settle_alert_if(
        &self,
        device: RegisteredDevice,
        since: UnixSeconds,
    ) -> Result<(), Fault> {
        let update = self
            .update(device.address, SETTLE, IS_REGISTRATION_AWAY_AND_OWED)
            .expression_attribute_values(":registration", number(device.registration.get()))
            .expression_attribute_values(":since", number(since.0))
            .expression_attribute_values(":now", number(since.0));
        conditional(update).await.map(drop)
    }

    /// Wakes the registration at `endpoint` from now on, or nowhere. `None` if it is gone.
    pub(crate) async fn subscribe_if_registered(
        &self,
        device: RegisteredDevice,
        endpoint: Option<&Endpoint>,
    ) -> Result<Option<Resubscribed>, Fault> {
        let update = match endpoint {
            Some(endpoint) => self
                .update(device.address, SUBSCRIBE, IS_REGISTRATION)
                .expression_attribute_values(":endpoint", endpoint_value(endpoint)),
            None => self.update(device.address, UNSUBSCRIBE, IS_REGISTRATION),
        };
        let update = update
            .expression_attribute_values(":registration", number(device.registration.get()))
            .return_values(ReturnValue::AllOld);
        let Conditional::Done(Some(old)) = conditional(update).await? else {
            return Ok(None);
        };
        let old = read(device.address.account, &old)?;
        Ok(Some(Resubscribed {
            former: old.endpoint.filter(|former| Some(former) != endpoint),
            owed_since: old.owed_since.filter(|_| old.connection.is_none()),
        }))
    }

    /// Forgets an endpoint that wakes nobody, if it is still the device's.
    pub(crate) async fn unsubscribe_if(
        &self,
        address: DeviceAddress,
        endpoint: &Endpoint,
    ) -> Result<(), Fault> {
        let update = self
            .update(address, UNSUBSCRIBE, HAS_ENDPOINT)
            .expression_attribute_values(":endpoint", endpoint_value(endpoint));
        conditional(update).await.map(drop)
    }

    /// A page of the devices that can be woken and that somebody has left without: an alert is owed longer than any run
    /// takes, or the connection is older than any lives. As of a moment ago, at half the price of now; whoever acts on
    /// it does so on a condition.
    pub(crate) async fn page_in_need(
        &self,
        after: Option<Item>,
        now: UnixSeconds,
    ) -> Result<(Vec<DeviceRecord>, Option<Item>), Fault> {
        let opened = now.0.saturating_sub(CONNECTION_LIFE_SECONDS).saturating_mul(1000);
        let owed = now.0.saturating_sub(ALERT_LEASE_SECONDS);
        let request = self.database.client().scan().table_name(&self.table);
        let output = request
            .filter_expression(NEEDS_CARE)
            .expression_attribute_values(":owed", number(owed))
            .expression_attribute_values(":opened", number(opened))
            .set_exclusive_start_key(after)
            .send()
            .await
            .map_err(|error| Fault::of("Scan Devices", &error))?;
        let records = output.items().iter().filter_map(read_or_skip).collect();
        Ok((records, output.last_evaluated_key))
    }

    /// After 410: as [`replace_connection_with_mark`](Self::replace_connection_with_mark), but only if the connection was
    /// opened so long before `now` that it must be open by then, or gone. A device whose connection is forgotten while it
    /// opens would be there and hear of nothing. `now` is from before the post that met 410.
    pub(crate) async fn replace_connection_unless_opening(
        &self,
        device: RegisteredDevice,
        dead: &ConnectionId,
        now: UnixSeconds,
    ) -> Result<Replaced, Fault> {
        let opening = now.0.saturating_sub(OPENING_SECONDS).saturating_mul(1000);
        let update = self
            .update(device.address, DISCONNECT_AND_MARK, HAS_CONNECTION_THAT_IS_OPEN)
            .expression_attribute_values(":connection", connection_value(dead))
            .expression_attribute_values(":opening", number(opening))
            .expression_attribute_values(":now", number(now.0))
            .return_values(ReturnValue::AllNew);
        match conditional(update).await? {
            Conditional::Refused(found) if connection_of(found.as_ref()).as_ref() == Some(dead) => {
                Ok(Replaced::MayBeOpening)
            }
            Conditional::Refused(_) => Ok(Replaced::Done(self.owe_alert_if_away(device, now).await?)),
            done => Ok(Replaced::Done(owed(device, done)?)),
        }
    }

    /// Forgets the connection that has ended and owes the device an alert, in one write. If another has forgotten it in
    /// between, the alert alone; if the device has connected again, nothing.
    pub(crate) async fn replace_connection_with_mark(
        &self,
        device: RegisteredDevice,
        dead: &ConnectionId,
        now: UnixSeconds,
    ) -> Result<Option<Owed>, Fault> {
        let update = self
            .update(device.address, DISCONNECT_AND_MARK, HAS_CONNECTION)
            .expression_attribute_values(":connection", connection_value(dead))
            .expression_attribute_values(":now", number(now.0))
            .return_values(ReturnValue::AllNew);
        match conditional(update).await? {
            Conditional::Refused(_) => self.owe_alert_if_away(device, now).await,
            done => owed(device, done),
        }
    }

    fn update(
        &self,
        address: DeviceAddress,
        expression: &'static str,
        condition: &'static str,
    ) -> UpdateItemFluentBuilder {
        let update = self.database.client().update_item().table_name(&self.table);
        update
            .set_key(Some(key(address)))
            .update_expression(expression)
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// What became of a conditional update.
enum Conditional {
    /// It held; here is what the update replaced, if that was asked for.
    Done(Option<Item>),
    /// The condition did not hold; here is the item, if there is one.
    Refused(Option<Item>),
}

async fn conditional(update: UpdateItemFluentBuilder) -> Result<Conditional, Fault> {
    match update.send().await {
        Ok(output) => Ok(Conditional::Done(output.attributes)),
        Err(error) => refused(error).map(Conditional::Refused),
    }
}

fn refused(error: SdkError<UpdateItemError, HttpResponse>) -> Result<Option<Item>, Fault> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(failed.item.clone()),
        _ => Err(Fault::of("UpdateItem Devices", &error)),
    }
}

/// The alert that an update left owed, if its condition held.
fn owed(device: RegisteredDevice, done: Conditional) -> Result<Option<Owed>, Fault> {
    let Conditional::Done(Some(new)) = done else {
        return Ok(None);
    };
    let endpoint = read(device.address.account, &new)?.endpoint;
    Ok(Some(Owed { device, endpoint }))
}

fn key(address: DeviceAddress) -> Item {
    item([
        (PARTITION_KEY, binary(address.account.to_bytes())),
        (SORT_KEY, binary([address.device.get()])),
    ])
}

fn new_item(device: RegisteredDevice, signing_key: &PublicKey, now: UnixSeconds) -> Item {
    let mut item = key(device.address);
    item.insert(REGISTRATION.into(), number(device.registration.get()));
    item.insert(SIGNING_KEY.into(), binary(*signing_key.as_bytes()));
    item.insert(SEEN_AT.into(), number(now.0));
    item
}

/// The condition that a device is as it was read, and its values.
fn unchanged(old: &DeviceRecord) -> (&'static str, Item) {
    let registration = number(old.device.registration.get());
    let mut values = item([(":registration", registration), (":seen", number(old.seen_at.0))]);
    match &old.connection {
        Some(connection) => {
            values.insert(":connection".into(), connection_value(connection));
            (IS_UNCHANGED_AND_CONNECTED, values)
        }
        None => (IS_UNCHANGED_AND_AWAY, values),
    }
}

fn connection_value(connection: &ConnectionId) -> AttributeValue {
    AttributeValue::S(connection.as_str().to_owned())
}

fn endpoint_value(endpoint: &Endpoint) -> AttributeValue {
    AttributeValue::S(endpoint.as_str().to_owned())
}

fn connection_of(item: Option<&Item>) -> Option<ConnectionId> {
    let value = item?.get(CONNECTION)?.as_s().ok()?;
    ConnectionId::new(value)
}

/// Of a page of many accounts. A damaged record is logged and stands in nobody's way.
fn read_or_skip(item: &Item) -> Option<DeviceRecord> {
    let reader = Reader {
        table: "Devices",
        item,
    };
    let account = reader.binary(PARTITION_KEY, AccountId::from_bytes);
    let record = account.and_then(|account| read(account, item));
    record.map_err(Fault::from).ok()
}

fn read(account: AccountId, item: &Item) -> Result<DeviceRecord, Damaged> {
    let reader = Reader {
        table: "Devices",
        item,
    };
    let device = reader.binary(SORT_KEY, |bytes| match bytes {
        [id] => DeviceId::new(u64::from(*id)).map_err(|_| ()),
        _ => Err(()),
    })?;
    let registration = RegistrationId::new(reader.number(REGISTRATION)?);
    let device = RegisteredDevice {
        address: DeviceAddress { account, device },
        registration: registration.map_err(|_| reader.damaged(REGISTRATION))?,
    };
    Ok(DeviceRecord {
        device,
        signing_key: reader.binary(SIGNING_KEY, PublicKey::from_slice)?,
        connection: reader.optional_string(CONNECTION)?.and_then(ConnectionId::new),
        owed_since: reader.optional_number(OWED_SINCE)?.map(UnixSeconds),
        alerted_at: reader.optional_number(ALERTED_AT)?.map(UnixSeconds),
        endpoint: reader.optional_string(ENDPOINT)?.and_then(Endpoint::new),
        seen_at: UnixSeconds(reader.number(SEEN_AT)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{backend, condition_failed, device, device_item, done, operations};

    fn connection(id: &str) -> ConnectionId {
        ConnectionId::new(id).unwrap()
    }

    async fn connect(answer: crate::testing::Answer) -> Result<Connected, Fault> {
        let (backend, _) = backend(move |_| answer.clone());
        let opened = Duration::from_millis(1000);
        let own = connection("own");
        backend
            .devices
            .connect_unless_superseded(device(1, 1, 7), &own, opened, UnixSeconds(5))
            .await
    }

    fn replaced(old: &str) -> crate::testing::Answer {
        (
            200,
            json!({ "Attributes": { "c": { "S": old }, "t": { "N": "900" } } }),
        )
    }

    #[tokio::test]
    async fn x70_the_connection_that_was_there_is_given_to_be_closed() {
        let displaced = Some(connection("older"));
        assert_eq!(connect(replaced("older")).await, Ok(Connected::Now { displaced }));
        assert_eq!(connect(done()).await, Ok(Connected::Now { displaced: None }));
    }

    /// I14: a connect that was written and repeated finds itself and must not close itself.
    #[tokio::test]
    async fn x70_a_connection_never_displaces_itself() {
        assert_eq!(
            connect(replaced("own")).await,
            Ok(Connected::Now { displaced: None })
        );
    }

    #[tokio::test]
    async fn x70_a_refused_connect_is_superseded_or_of_a_registration_that_is_gone() {
        let newer = condition_failed(&device_item(device(1, 1, 7), Some("newer")));
        assert_eq!(connect(newer).await, Ok(Connected::Superseded));
        let registered_again = condition_failed(&device_item(device(1, 1, 8), None));
        assert_eq!(connect(registered_again).await, Ok(Connected::Unknown));
        assert_eq!(
            connect(condition_failed(&Value::Null)).await,
            Ok(Connected::Unknown)
        );
    }

    /// I11: whoever forgot the dead connection in between may not have marked the device.
    #[tokio::test]
    async fn a_dead_connection_that_was_forgotten_already_leads_to_a_mark_all_the_same() {
        for unless_opening in [false, true] {
            let (backend, calls) = backend(|call| match call.body["UpdateExpression"].as_str() {
                Some(DISCONNECT_AND_MARK) => condition_failed(&device_item(device(1, 1, 7), None)),
                _ => (200, json!({ "Attributes": device_item(device(1, 1, 7), None) })),
            });
            let (devices, dead, now) = (&backend.devices, connection("dead"), UnixSeconds(5));
            let owed = Some(Owed {
                device: device(1, 1, 7),
                endpoint: None,
            });
            if unless_opening {
                let replaced = devices.replace_connection_unless_opening(device(1, 1, 7), &dead, now);
                assert_eq!(replaced.await, Ok(Replaced::Done(owed)));
            } else {
                let replaced = devices.replace_connection_with_mark(device(1, 1, 7), &dead, now);
                assert_eq!(replaced.await, Ok(owed));
            }
            let calls = calls.lock().unwrap();
            let expressions: Vec<_> = calls.iter().map(|call| &call.body["UpdateExpression"]).collect();
            assert_eq!(expressions, [DISCONNECT_AND_MARK, OWE]);
        }
    }

    /// I10, I11: API Gateway answers 410 for a connection that is opening, too.
    #[tokio::test]
    async fn a_connection_is_not_given_up_before_it_must_be_open() {
        let item = device_item(device(1, 1, 7), Some("young"));
        let (backend, calls) = backend(move |_| condition_failed(&item));
        let now = UnixSeconds(1_800_000_000);
        let young = connection("young");
        let replaced = backend
            .devices
            .replace_connection_unless_opening(device(1, 1, 7), &young, now);
        assert_eq!(replaced.await, Ok(Replaced::MayBeOpening));
        let calls = calls.lock().unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].body["ConditionExpression"], HAS_CONNECTION_THAT_IS_OPEN);
        assert_eq!(
            calls[0].body["ExpressionAttributeValues"][":opening"]["N"],
            "1799999970000"
        );
    }

    #[tokio::test]
    async fn x74_x76_all_pages_of_an_account_are_read_strongly() {
        let (backend, calls) = backend(|call| {
            let first = call.body.get("ExclusiveStartKey").is_none();
            let page = device_item(device(1, if first { 1 } else { 2 }, 7), None);
            let mut body = json!({ "Items": [page] });
            if first {
                body["LastEvaluatedKey"] = json!({ "a": page["a"], "d": page["d"] });
            }
            (200, body)
        });
        let account = device(1, 1, 7).address.account;
        let found = backend.devices.find_all(account).await.unwrap();
        let devices: Vec<_> = found.iter().map(|record| record.device).collect();
        assert_eq!(devices, [device(1, 1, 7), device(1, 2, 7)]);
        assert_eq!(operations(&calls), ["Query devices", "Query devices"]);
        assert!(
            calls
                .lock()
                .unwrap()
                .iter()
                .all(|call| call.body["ConsistentRead"] == true)
        );
    }

    #[tokio::test]
    async fn a_damaged_record_is_a_fault_and_no_panic() {
        let mut item = device_item(device(1, 1, 7), None);
        item["d"] = json!({ "B": "" });
        let (backend, _) = backend(move |_| (200, json!({ "Items": [item] })));
        let account = device(1, 1, 7).address.account;
        assert_eq!(backend.devices.find_all(account).await, Err(Fault::Internal));
    }
}
