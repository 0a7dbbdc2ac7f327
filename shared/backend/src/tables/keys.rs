//! Keys: what each device publishes, and the highest id of a one-time prekey it ever published.
//!
//! Bundle and mark are one item: identity, signed prekey and signatures of one reply are of one version. An item
//! has about 1,530 bytes, most of them the KEM key: a Query of an account costs one read unit for every two and a
//! half devices.

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{Delete, Put, TransactWriteItem, Update},
};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, KemKey, KeyId, PublicKey, RegisteredDevice, RegistrationId,
    Signature,
    keys::{DeviceIdentity, PublishedDevice, SignedPrekey},
};

use crate::{
    fault::Fault,
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
/// Binary: the signing key, a compressed point.
const SIGNING_KEY: &str = "s";
/// Binary: the identity key, a compressed point.
const IDENTITY_KEY: &str = "i";
/// Binary: the signing key's signature over the identity key.
const IDENTITY_SIGNATURE: &str = "n";
/// Number: id of the signed prekey.
const SIGNED_PREKEY_ID: &str = "k";
/// Binary: the signed prekey, a compressed point.
const SIGNED_PREKEY: &str = "p";
/// Binary: the KEM key that belongs to the signed prekey, 1,184 bytes.
const KEM_KEY: &str = "m";
/// Binary: the signing key's signature over the signed prekey, KEM key included.
const SIGNED_PREKEY_SIGNATURE: &str = "g";
/// Number, absent before the first: the highest id of a one-time prekey ever published.
const HIGHEST: &str = "h";

const IS_ABSENT: &str = "attribute_not_exists(a)";
const IN_ACCOUNT: &str = "a = :account";

const RAISE_HIGHEST: &str = "SET h = :next";
const HIGHEST_IS: &str = "r = :registration AND h = :highest";
const HIGHEST_IS_ABSENT: &str = "r = :registration AND attribute_not_exists(h)";

const REPLACE_SIGNED_PREKEY: &str = "SET k = :id, p = :key, m = :kem_key, g = :signature";
const SIGNED_PREKEY_IS_OLDER: &str = "r = :registration AND k < :id";

/// What one device published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeysRecord {
    pub(crate) published: PublishedDevice,
    pub(crate) highest: Option<KeyId>,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    database: Database,
    table: String,
}

impl Keys {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// What the device published, as of now.
    pub(crate) async fn find(&self, address: DeviceAddress) -> Result<Option<KeysRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(address)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Keys", &error))?;
        Ok(output.item.map(|found| read(&found)).transpose()?)
    }

    /// What all devices of the account published, as of now, by rising id.
    pub(crate) async fn find_all(&self, account: AccountId) -> Result<Vec<KeysRecord>, Fault> {
        let request = self.database.client().query().table_name(&self.table);
        let items = request
            .key_condition_expression(IN_ACCOUNT)
            .expression_attribute_values(":account", binary(account.to_bytes()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Fault::of("Query Keys", &error))?;
        Ok(items.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The part of a transaction that publishes a new device's keys if its address is free.
    pub(crate) fn put_if_absent(
        &self,
        device: RegisteredDevice,
        identity: &DeviceIdentity,
        signed_prekey: &SignedPrekey,
    ) -> Result<TransactWriteItem, Fault> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(published_item(device, identity, signed_prekey)))
            .condition_expression(IS_ABSENT)
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that publishes a new device's keys, whatever was published under its address
    /// before. Good only beside a condition on the device's record.
    pub(crate) fn put(
        &self,
        device: RegisteredDevice,
        identity: &DeviceIdentity,
        signed_prekey: &SignedPrekey,
    ) -> Result<TransactWriteItem, Fault> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(published_item(device, identity, signed_prekey)))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that ends what a device publishes.
    pub(crate) fn delete(&self, address: DeviceAddress) -> Result<TransactWriteItem, Fault> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(address)))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part of a transaction that raises the highest published id, if it is still `highest`.
    pub(crate) fn raise_highest_if(
        &self,
        device: RegisteredDevice,
        highest: Option<KeyId>,
        next: KeyId,
    ) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(device.address)))
            .update_expression(RAISE_HIGHEST)
            .expression_attribute_values(":next", number(next.get()))
            .expression_attribute_values(":registration", number(device.registration.get()));
        let update = match highest {
            Some(highest) => update
                .condition_expression(HIGHEST_IS)
                .expression_attribute_values(":highest", number(highest.get())),
            None => update.condition_expression(HIGHEST_IS_ABSENT),
        };
        let update = update.build().map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Replaces the signed prekey if the published one has a lower id. Says whether it had.
    pub(crate) async fn replace_signed_prekey_if_older(
        &self,
        device: RegisteredDevice,
        prekey: &SignedPrekey,
    ) -> Result<bool, Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let result = update
            .set_key(Some(key(device.address)))
            .update_expression(REPLACE_SIGNED_PREKEY)
            .condition_expression(SIGNED_PREKEY_IS_OLDER)
            .expression_attribute_values(":id", number(prekey.id.get()))
            .expression_attribute_values(":key", binary(*prekey.key.as_bytes()))
            .expression_attribute_values(":kem_key", binary(*prekey.kem_key.as_bytes()))
            .expression_attribute_values(":signature", binary(*prekey.signature.as_bytes()))
            .expression_attribute_values(":registration", number(device.registration.get()))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(Fault::of("UpdateItem Keys", &error)),
            },
        }
    }
}

fn key(address: DeviceAddress) -> Item {
    item([
        (PARTITION_KEY, binary(address.account.to_bytes())),
        (SORT_KEY, binary([address.device.get()])),
    ])
}

fn published_item(device: RegisteredDevice, identity: &DeviceIdentity, signed_prekey: &SignedPrekey) -> Item {
    let mut item = key(device.address);
    item.extend([
        (REGISTRATION.into(), number(device.registration.get())),
        (SIGNING_KEY.into(), binary(*identity.signing_key.as_bytes())),
        (IDENTITY_KEY.into(), binary(*identity.identity_key.as_bytes())),
        (
            IDENTITY_SIGNATURE.into(),
            binary(*identity.identity_signature.as_bytes()),
        ),
        (SIGNED_PREKEY_ID.into(), number(signed_prekey.id.get())),
        (SIGNED_PREKEY.into(), binary(*signed_prekey.key.as_bytes())),
        (KEM_KEY.into(), binary(*signed_prekey.kem_key.as_bytes())),
        (
            SIGNED_PREKEY_SIGNATURE.into(),
            binary(*signed_prekey.signature.as_bytes()),
        ),
    ]);
    item
}

fn read(item: &Item) -> Result<KeysRecord, Damaged> {
    let reader = Reader { table: "Keys", item };
    let device = reader.binary(SORT_KEY, |bytes| match bytes {
        [id] => DeviceId::new(u64::from(*id)).map_err(|_| ()),
        _ => Err(()),
    })?;
    let registration = RegistrationId::new(reader.number(REGISTRATION)?);
    let key_id = |attribute| {
        let number = reader.optional_number(attribute)?;
        let id = number.map(KeyId::new).transpose();
        id.map_err(|_| reader.damaged(attribute))
    };
    let published = PublishedDevice {
        device,
        registration: registration.map_err(|_| reader.damaged(REGISTRATION))?,
        identity: DeviceIdentity {
            signing_key: reader.binary(SIGNING_KEY, PublicKey::from_slice)?,
            identity_key: reader.binary(IDENTITY_KEY, PublicKey::from_slice)?,
            identity_signature: reader.binary(IDENTITY_SIGNATURE, Signature::from_slice)?,
        },
        signed_prekey: SignedPrekey {
            id: key_id(SIGNED_PREKEY_ID)?.ok_or(reader.damaged(SIGNED_PREKEY_ID))?,
            key: reader.binary(SIGNED_PREKEY, PublicKey::from_slice)?,
            kem_key: reader.binary(KEM_KEY, KemKey::from_slice)?,
            signature: reader.binary(SIGNED_PREKEY_SIGNATURE, Signature::from_slice)?,
        },
    };
    Ok(KeysRecord {
        published,
        highest: key_id(HIGHEST)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::device, verify::tests::TestDevice};

    #[test]
    fn what_a_device_published_survives_the_table() {
        let new = TestDevice::new(1).published;
        let (backend, _) = crate::testing::backend(|_| crate::testing::done());
        let address = device(1, 2, 7).address;
        let owner = RegisteredDevice {
            address,
            registration: new.registration,
        };
        let put = backend
            .keys
            .put_if_absent(owner, &new.identity, &new.signed_prekey)
            .unwrap();
        let mut item = put.put.unwrap().item;
        let record = read(&item).unwrap();
        assert_eq!(record.highest, None);
        assert_eq!(record.published.device, address.device);
        assert_eq!(record.published.registration, new.registration);
        assert_eq!(record.published.identity, new.identity);
        assert_eq!(record.published.signed_prekey, new.signed_prekey);
        item.insert(HIGHEST.into(), number(100_u64));
        assert_eq!(read(&item).unwrap().highest, KeyId::new(100).ok());
    }
}
