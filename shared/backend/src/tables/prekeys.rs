//! Prekeys: each device's pool of one-time prekeys, one item a key.
//!
//! The pool belongs to one registration of a device: one that registers again starts with an empty pool.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    operation::delete_item::DeleteItemError,
    types::{AttributeValue, Put, ReturnValue, Select, TransactWriteItem},
};
use waxwing_wire::{KeyId, PublicKey, RegisteredDevice, keys::OneTimePrekey};

use crate::{
    fault::Fault,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: account, device and registration, 21 bytes.
pub const PARTITION_KEY: &str = "o";
/// Sort key, number: the key's id.
pub const SORT_KEY: &str = "i";
/// Binary: the key, a compressed point.
const KEY: &str = "k";

const IS_PRESENT: &str = "attribute_exists(o)";
const IN_POOL: &str = "o = :owner";
const IN_POOL_BETWEEN: &str = "o = :owner AND i BETWEEN :first AND :last";

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Prekeys {
    database: Database,
    table: String,
}

impl Prekeys {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The part of a transaction that adds a key to a pool. Only a transaction that raises the highest
    /// published id past this key's may hold it, or a key that was taken comes back.
    pub(crate) fn put(
        &self,
        owner: RegisteredDevice,
        prekey: &OneTimePrekey,
    ) -> Result<TransactWriteItem, Fault> {
        let mut item = key(owner, prekey.id);
        item.insert(KEY.into(), binary(*prekey.key.as_bytes()));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .build();
        let put = put.map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Takes a key out of the pool: of all callers, ever, at most one gets it. `None` if it is not there (any
    /// more). An answer that is lost burns the key: nobody gets it.
    pub(crate) async fn take(
        &self,
        owner: RegisteredDevice,
        id: KeyId,
    ) -> Result<Option<OneTimePrekey>, Fault> {
        let delete = self.database.client().delete_item().table_name(&self.table);
        let result = delete
            .set_key(Some(key(owner, id)))
            .condition_expression(IS_PRESENT)
            .return_values(ReturnValue::AllOld)
            .send()
            .await;
        match result {
            Ok(output) => {
                let taken = output.attributes.ok_or(Fault::Internal)?;
                Ok(Some(read(&taken)?))
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(Fault::of("DeleteItem Prekeys", &error)),
            },
        }
    }

    /// Up to `limit` ids of keys in the pool from `first` to `last`, rising, as of now.
    pub(crate) async fn some_between(
        &self,
        owner: RegisteredDevice,
        first: KeyId,
        last: KeyId,
        limit: usize,
    ) -> Result<Vec<KeyId>, Fault> {
        let request = self.database.client().query().table_name(&self.table);
        // Nothing is filtered and the limit stays far below DynamoDB's page, so one page is all there is.
        let output = request
            .key_condition_expression(IN_POOL_BETWEEN)
            .expression_attribute_values(":owner", owner_value(owner))
            .expression_attribute_values(":first", number(first.get()))
            .expression_attribute_values(":last", number(last.get()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("Query Prekeys", &error))?;
        Ok(output.items().iter().map(id).collect::<Result<_, _>>()?)
    }

    /// The keys in the pool from `first` to `last`, as of now.
    pub(crate) async fn all_between(
        &self,
        owner: RegisteredDevice,
        first: KeyId,
        last: KeyId,
    ) -> Result<BTreeMap<KeyId, PublicKey>, Fault> {
        let request = self.database.client().query().table_name(&self.table);
        let items = request
            .key_condition_expression(IN_POOL_BETWEEN)
            .expression_attribute_values(":owner", owner_value(owner))
            .expression_attribute_values(":first", number(first.get()))
            .expression_attribute_values(":last", number(last.get()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| Fault::of("Query Prekeys", &error))?;
        let keys = items.iter().map(|found| {
            let prekey = read(found)?;
            Ok((prekey.id, prekey.key))
        });
        Ok(keys.collect::<Result<_, Damaged>>()?)
    }

    /// Deletes a page of a pool whose owner is gone. Says whether it is empty now.
    pub(crate) async fn delete_page(&self, owner: RegisteredDevice) -> Result<bool, Fault> {
        self.database.delete_page_of_owner(&self.table, owner).await
    }

    /// How many keys are in the pool, as of now.
    pub(crate) async fn count(&self, owner: RegisteredDevice) -> Result<u32, Fault> {
        let request = self.database.client().query().table_name(&self.table);
        let pages = request
            .key_condition_expression(IN_POOL)
            .expression_attribute_values(":owner", owner_value(owner))
            .select(Select::Count)
            .consistent_read(true)
            .into_paginator()
            .send()
            .try_collect()
            .await
            .map_err(|error| Fault::of("Query Prekeys", &error))?;
        Ok(pages
            .iter()
            .filter_map(|page| u32::try_from(page.count()).ok())
            .sum())
    }
}

fn key(owner: RegisteredDevice, id: KeyId) -> Item {
    item([(PARTITION_KEY, owner_value(owner)), (SORT_KEY, number(id.get()))])
}

fn owner_value(owner: RegisteredDevice) -> AttributeValue {
    binary(owner.to_bytes())
}

fn id(item: &Item) -> Result<KeyId, Damaged> {
    let reader = Reader {
        table: "Prekeys",
        item,
    };
    KeyId::new(reader.number(SORT_KEY)?).map_err(|_| reader.damaged(SORT_KEY))
}

fn read(item: &Item) -> Result<OneTimePrekey, Damaged> {
    let reader = Reader {
        table: "Prekeys",
        item,
    };
    Ok(OneTimePrekey {
        id: id(item)?,
        key: reader.binary(KEY, PublicKey::from_slice)?,
    })
}
