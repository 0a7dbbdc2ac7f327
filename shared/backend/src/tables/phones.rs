//! Phones: which account a phone number has. One item a number, named by its keyed hash; nobody can list the
//! numbers, and one that is known can be looked up only with the deployment's secret.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use waxwing_wire::AccountId;

use crate::{
    fault::Fault,
    keyed_hash::Hash,
    tables::{
        database::Database,
        item::{Reader, binary, item},
    },
};

/// Partition key, binary: the keyed hash of the number, 32 bytes.
pub const PARTITION_KEY: &str = "h";
/// Binary: the account, 16 bytes.
const ACCOUNT: &str = "a";

const IS_ABSENT: &str = "attribute_not_exists(h)";

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Phones {
    database: Database,
    table: String,
}

impl Phones {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The account of a number, as of now.
    pub(crate) async fn find(&self, phone: Hash) -> Result<Option<AccountId>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(item([(PARTITION_KEY, binary(*phone.as_bytes()))])))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Phones", &error))?;
        let account = output.item.as_ref().map(|found| {
            let reader = Reader {
                table: "Phones",
                item: found,
            };
            reader.binary(ACCOUNT, AccountId::from_bytes)
        });
        Ok(account.transpose()?)
    }

    /// The part of a transaction that gives a number to an account if it has none.
    pub(crate) fn put_if_absent(&self, phone: Hash, account: AccountId) -> Result<TransactWriteItem, Fault> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item([
                (PARTITION_KEY, binary(*phone.as_bytes())),
                (ACCOUNT, binary(account.to_bytes())),
            ])))
            .condition_expression(IS_ABSENT)
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{backend, device, standard_base64};

    #[tokio::test]
    async fn x74_the_account_of_a_number_is_read_strongly() {
        let account = device(1, 1, 7).address.account;
        let (backend, calls) = backend(move |_| {
            let item = json!({ "a": { "B": standard_base64(&account.to_bytes()) } });
            (200, json!({ "Item": item }))
        });
        let phone = Hash::from_slice(&[1; 32]).unwrap();
        assert_eq!(backend.phones.find(phone).await, Ok(Some(account)));
        assert_eq!(calls.lock().unwrap()[0].body["ConsistentRead"], true);
    }
}
