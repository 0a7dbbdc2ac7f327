//! Locks: the PIN that registering an account's number again must prove. One item a locked account, apart from the
//! account itself, so that only the functions that need a lock can read one.

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use waxwing_wire::{AccountId, secret::Salt};

use crate::{
    fault::Fault,
    keyed_hash::Hash,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item},
    },
};

/// Partition key, binary: the account, 16 bytes.
pub const PARTITION_KEY: &str = "a";
/// Binary: what the PIN is mixed with, 16 bytes. Handed to whoever confirms the number.
const SALT: &str = "s";
/// Binary: the keyed hash of the proof, 32 bytes.
const PROOF: &str = "p";

const IS_ABSENT: &str = "attribute_not_exists(a)";
const IS_THIS_LOCK: &str = "p = :proof";

/// A lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockRecord {
    /// What the PIN is mixed with.
    pub(crate) salt: Salt,
    /// What the proof's hash must be.
    pub(crate) proof: Hash,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    database: Database,
    table: String,
}

impl Locks {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The account's lock, as of now.
    pub(crate) async fn find(&self, account: AccountId) -> Result<Option<LockRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(account)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Locks", &error))?;
        Ok(output.item.map(|found| read(&found)).transpose()?)
    }

    /// The part of a transaction that sets the lock, whatever was there.
    pub(crate) fn put(&self, account: AccountId, lock: &LockRecord) -> Result<TransactWriteItem, Fault> {
        let mut item = key(account);
        item.insert(SALT.into(), binary(*lock.salt.as_bytes()));
        item.insert(PROOF.into(), binary(*lock.proof.as_bytes()));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .build();
        let put = put.map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The part of a transaction that removes the lock, whatever was there.
    pub(crate) fn delete(&self, account: AccountId) -> Result<TransactWriteItem, Fault> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(account)))
            .build();
        let delete = delete.map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part of a transaction that removes this lock, if it is still the account's.
    pub(crate) fn delete_if(
        &self,
        account: AccountId,
        lock: &LockRecord,
    ) -> Result<TransactWriteItem, Fault> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(account)))
            .condition_expression(IS_THIS_LOCK)
            .expression_attribute_values(":proof", binary(*lock.proof.as_bytes()))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The part of a transaction that holds only if the account's lock is still this one, or still none.
    pub(crate) fn is_unchanged(
        &self,
        account: AccountId,
        lock: Option<&LockRecord>,
    ) -> Result<TransactWriteItem, Fault> {
        let check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(account)));
        let check = match lock {
            Some(lock) => check
                .condition_expression(IS_THIS_LOCK)
                .expression_attribute_values(":proof", binary(*lock.proof.as_bytes())),
            None => check.condition_expression(IS_ABSENT),
        };
        let check = check.build().map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}

fn key(account: AccountId) -> Item {
    item([(PARTITION_KEY, binary(account.to_bytes()))])
}

fn read(item: &Item) -> Result<LockRecord, Damaged> {
    let reader = Reader { table: "Locks", item };
    Ok(LockRecord {
        salt: reader.binary(SALT, Salt::from_slice)?,
        proof: reader.binary(PROOF, |bytes| Hash::from_slice(bytes).ok_or(()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backend, device, done};

    #[test]
    fn a_lock_survives_the_table() {
        let (backend, _) = backend(|_| done());
        let lock = LockRecord {
            salt: Salt::new([1; 16]),
            proof: Hash::from_slice(&[2; 32]).unwrap(),
        };
        let put = backend.locks.put(device(1, 1, 7).address.account, &lock).unwrap();
        assert_eq!(read(&put.put.unwrap().item), Ok(lock));
    }
}
