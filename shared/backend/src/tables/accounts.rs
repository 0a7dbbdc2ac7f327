//! Accounts: the signed list of each account's devices, and what is left to do for devices that ended.
//!
//! The list lies here and not beside the routing records: `send` reads those for every message and must not pay for
//! a list that changes a few times a year. An item has at most about 700 bytes, and
//! as long as something is left to do for devices that ended about 150 more for each.
//!
//! Whoever ends devices writes their names down here, in the transaction that ends them, and takes them away when
//! their connections are closed and their prekeys and mailboxes are empty. So a run that breaks off leaves a note of
//! what is left to do.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, ListVersion, PublicKey, RegisteredDevice, RegistrationId,
    Signature, devices::ListedDevice,
};

use crate::{
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
/// Number: the version of the device list.
const VERSION: &str = "v";
/// Binary: the account key, a compressed point.
const ACCOUNT_KEY: &str = "k";
/// Number: when the list was made, in milliseconds of Unix time, by its maker's clock.
const ISSUED_AT: &str = "i";
/// Binary: the devices, 71 bytes each: id (1), registration (4, big-endian), signing key (33), identity key (33).
const DEVICES: &str = "d";
/// Binary: the account key's signature over the list.
const SIGNATURE: &str = "s";
/// List of binaries, absent if there is nothing to do: devices that ended, each id (1), registration (4,
/// big-endian) and, in UTF-8, the name of its connection, if it was connected, and after a line feed the ARN of its push
/// endpoint, if it had one.
const ENDED: &str = "e";

/// Stands between the two names of a device that ended. Neither has one in it.
const ENDPOINT_FOLLOWS: u8 = b'\n';

/// Bytes of one device in [`DEVICES`].
const DEVICE_BYTES: usize = 1 + 4 + PublicKey::BYTES + PublicKey::BYTES;

const IS_ABSENT: &str = "attribute_not_exists(a)";

const REPLACE_LIST: &str = "SET v = :next, k = :key, i = :issued, d = :devices, s = :signature REMOVE e";
const REPLACE_LIST_AND_NOTE_ENDED: &str =
    "SET v = :next, k = :key, i = :issued, d = :devices, s = :signature, e = :ended";
const VERSION_IS: &str = "v = :version";

const FORGET_ENDED: &str = "REMOVE e";

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountRecord {
    pub(crate) list: DeviceList,
    /// Devices that are not in the account any more, as long as something is left to do for them.
    pub(crate) ended: Vec<EndedDevice>,
}

/// A device that is not in its account any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndedDevice {
    pub(crate) device: RegisteredDevice,
    /// Where it was connected when it ended.
    pub(crate) connection: Option<ConnectionId>,
    /// Where it was woken.
    pub(crate) endpoint: Option<Endpoint>,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    database: Database,
    table: String,
}

impl Accounts {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The account, as of now.
    pub(crate) async fn find(&self, account: AccountId) -> Result<Option<AccountRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(account)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Accounts", &error))?;
        Ok(output.item.map(|found| read(account, &found)).transpose()?)
    }

    /// The part of a transaction that adds an account if its id is free.
    pub(crate) fn put_if_absent(
        &self,
        account: AccountId,
        list: &DeviceList,
    ) -> Result<TransactWriteItem, Fault> {
        let mut item = key(account);
        item.extend([
            (VERSION.into(), number(list.version.get())),
            (ACCOUNT_KEY.into(), binary(*list.account_key.as_bytes())),
            (ISSUED_AT.into(), number(list.issued_at)),
            (DEVICES.into(), devices_value(&list.devices)),
            (SIGNATURE.into(), binary(*list.signature.as_bytes())),
        ]);
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(IS_ABSENT)
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that replaces the list of version `current` and writes down which devices ended.
    /// `ended` holds those of the record read before too.
    pub(crate) fn replace_list_if(
        &self,
        account: AccountId,
        current: ListVersion,
        next: &DeviceList,
        ended: &[EndedDevice],
    ) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(account)))
            .condition_expression(VERSION_IS)
            .expression_attribute_values(":version", number(current.get()))
            .expression_attribute_values(":next", number(next.version.get()))
            .expression_attribute_values(":key", binary(*next.account_key.as_bytes()))
            .expression_attribute_values(":issued", number(next.issued_at))
            .expression_attribute_values(":devices", devices_value(&next.devices))
            .expression_attribute_values(":signature", binary(*next.signature.as_bytes()));
        let update = if ended.is_empty() {
            update.update_expression(REPLACE_LIST)
        } else {
            update
                .update_expression(REPLACE_LIST_AND_NOTE_ENDED)
                .expression_attribute_values(":ended", ended_value(ended))
        };
        let update = update.build().map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Nothing is left to do for the devices that ended by `version` of the list. If another list was accepted
    /// meanwhile, its maker sees to them.
    pub(crate) async fn forget_ended_if(
        &self,
        account: AccountId,
        version: ListVersion,
    ) -> Result<(), Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let result = update
            .set_key(Some(key(account)))
            .update_expression(FORGET_ENDED)
            .condition_expression(VERSION_IS)
            .expression_attribute_values(":version", number(version.get()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Fault::of("UpdateItem Accounts", &error)),
            },
        }
    }
}

fn key(account: AccountId) -> Item {
    item([(PARTITION_KEY, binary(account.to_bytes()))])
}

fn devices_value(devices: &[ListedDevice]) -> AttributeValue {
    let mut bytes = Vec::with_capacity(devices.len() * DEVICE_BYTES);
    for listed in devices {
        bytes.push(listed.device.get());
        bytes.extend(listed.registration.get().to_be_bytes());
        bytes.extend(listed.signing_key.as_bytes());
        bytes.extend(listed.identity_key.as_bytes());
    }
    binary(bytes)
}

fn ended_value(ended: &[EndedDevice]) -> AttributeValue {
    let values = ended.iter().map(|ended| {
        let RegisteredDevice {
            address,
            registration,
        } = ended.device;
        let mut bytes = vec![address.device.get()];
        bytes.extend(registration.get().to_be_bytes());
        bytes.extend(
            ended
                .connection
                .iter()
                .flat_map(|connection| connection.as_str().bytes()),
        );
        if let Some(endpoint) = &ended.endpoint {
            bytes.push(ENDPOINT_FOLLOWS);
            bytes.extend(endpoint.as_str().bytes());
        }
        binary(bytes)
    });
    AttributeValue::L(values.collect())
}

fn read(account: AccountId, item: &Item) -> Result<AccountRecord, Damaged> {
    let reader = Reader {
        table: "Accounts",
        item,
    };
    let version = ListVersion::new(reader.number(VERSION)?);
    let list = DeviceList {
        account_key: reader.binary(ACCOUNT_KEY, PublicKey::from_slice)?,
        version: version.map_err(|_| reader.damaged(VERSION))?,
        issued_at: reader.number(ISSUED_AT)?,
        devices: reader.binary(DEVICES, |bytes| read_devices(bytes).ok_or(()))?,
        signature: reader.binary(SIGNATURE, Signature::from_slice)?,
    };
    let ended = match item.get(ENDED) {
        Some(AttributeValue::L(values)) => values
            .iter()
            .map(|value| read_ended(account, value.as_b().ok()?.as_ref()))
            .collect::<Option<_>>(),
        Some(_) => None,
        None => Some(Vec::new()),
    };
    Ok(AccountRecord {
        list,
        ended: ended.ok_or(reader.damaged(ENDED))?,
    })
}

fn read_devices(bytes: &[u8]) -> Option<Vec<ListedDevice>> {
    let devices = bytes.chunks(DEVICE_BYTES).map(|bytes| {
        let (device, bytes) = bytes.split_first()?;
        let (registration, bytes) = bytes.split_first_chunk()?;
        let (signing_key, identity_key) = bytes.split_at_checked(PublicKey::BYTES)?;
        Some(ListedDevice {
            device: DeviceId::new((*device).into()).ok()?,
            registration: RegistrationId::new(u32::from_be_bytes(*registration).into()).ok()?,
            signing_key: PublicKey::from_slice(signing_key).ok()?,
            identity_key: PublicKey::from_slice(identity_key).ok()?,
        })
    });
    devices.collect()
}

fn read_ended(account: AccountId, bytes: &[u8]) -> Option<EndedDevice> {
    let (device, bytes) = bytes.split_first()?;
    let (registration, names) = bytes.split_first_chunk()?;
    let names = std::str::from_utf8(names).ok()?;
    let (connection, endpoint) = match names.split_once(char::from(ENDPOINT_FOLLOWS)) {
        Some((connection, endpoint)) => (connection, Some(Endpoint::new(endpoint)?)),
        None => (names, None),
    };
    Some(EndedDevice {
        device: RegisteredDevice {
            address: DeviceAddress {
                account,
                device: DeviceId::new((*device).into()).ok()?,
            },
            registration: RegistrationId::new(u32::from_be_bytes(*registration).into()).ok()?,
        },
        connection: ConnectionId::new(connection),
        endpoint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        push::tests::ENDPOINT,
        testing::{backend, device, done},
        verify::tests::{TestDevice, first_list, signed_list},
    };

    fn account() -> AccountId {
        device(1, 1, 7).address.account
    }

    #[test]
    fn a_list_survives_the_table_bit_by_bit() {
        let (backend, _) = backend(|_| done());
        let devices: Vec<_> = (1..=6)
            .map(|seed| {
                let new = TestDevice::new(seed).published;
                crate::verify::listed(DeviceId::new(seed.into()).unwrap(), &new)
            })
            .collect();
        let list = signed_list(account(), 9, 3, &devices);
        let put = backend.accounts.put_if_absent(account(), &list).unwrap();
        let record = read(account(), put.put.unwrap().item()).unwrap();
        assert_eq!(record.list, list);
        assert_eq!(
            record.list.signing_bytes(account()),
            list.signing_bytes(account())
        );
        assert!(record.ended.is_empty());
    }

    #[test]
    fn devices_that_ended_survive_the_table_with_and_without_a_connection_and_an_endpoint() {
        let ended = vec![
            EndedDevice {
                device: device(1, 2, 0x0102_0304),
                connection: ConnectionId::new("cXrVudkBjoECHZw="),
                endpoint: None,
            },
            EndedDevice {
                device: device(1, 3, 8),
                connection: ConnectionId::new("cXrVudkBjoECHZw="),
                endpoint: Endpoint::new(ENDPOINT),
            },
            EndedDevice {
                device: device(1, 4, 9),
                connection: None,
                endpoint: Endpoint::new(ENDPOINT),
            },
            EndedDevice {
                device: device(1, 127, 7),
                connection: None,
                endpoint: None,
            },
        ];
        let (backend, _) = backend(|_| done());
        let put = backend
            .accounts
            .put_if_absent(account(), &first_list(account(), 1));
        let mut item = put.unwrap().put.unwrap().item;
        item.insert(ENDED.into(), ended_value(&ended));
        assert_eq!(read(account(), &item).unwrap().ended, ended);
        for damaged in [binary([1]), AttributeValue::L(vec![binary([0, 0, 0, 0, 7])])] {
            item.insert(ENDED.into(), damaged);
            assert!(read(account(), &item).is_err());
        }
    }

    #[test]
    fn a_damaged_list_is_an_error_and_no_panic() {
        let (backend, _) = backend(|_| done());
        let put = backend
            .accounts
            .put_if_absent(account(), &first_list(account(), 1));
        let item = put.unwrap().put.unwrap().item;
        let devices = item.get(DEVICES).unwrap().as_b().unwrap().as_ref().to_vec();
        for damaged in [
            &devices[1..],
            &devices[..70],
            &[devices.as_slice(), &[1]].concat(),
        ] {
            let mut item = item.clone();
            item.insert(DEVICES.into(), binary(damaged));
            assert!(read(account(), &item).is_err(), "{} bytes", damaged.len());
        }
    }
}
