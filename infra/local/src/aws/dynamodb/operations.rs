//! DynamoDB's operations by name: JSON in, JSON out, and what each consumed.
//!
//! Capacity is asked for in every request and taken out of the answer again unless the caller wanted it. So
//! is the old item of a failed condition: the failure costs what that item's size costs, and the engine tells
//! the size no other way. What a cancelled transaction costs the engine does not tell; it is not counted.

use dynoxide::actions::batch_get_item::BatchGetItemRequest;
use dynoxide::actions::batch_write_item::BatchWriteItemRequest;
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::actions::transact_get_items::TransactGetItemsRequest;
use dynoxide::actions::transact_write_items::TransactWriteItemsRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::types::{ConsumedCapacity, item_size, write_capacity_units};
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An operation, ready to run.
#[derive(Clone, Copy)]
pub struct Call {
    name: &'static str,
    run: Run,
}

type Run = fn(&Database, &[u8]) -> Outcome;

/// What an operation came to: the answer, and what it consumed, which a failed condition does too.
pub type Outcome = (Result<Vec<u8>, DynoxideError>, Vec<Units>);

/// What one operation consumed of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    /// The table's name.
    pub table: String,
    /// Read units.
    pub read: f64,
    /// Write units.
    pub write: f64,
}

impl Call {
    /// The operation of this name, the part of `X-Amz-Target` after the dot.
    pub fn named(name: &str) -> Option<Self> {
        let known = CALLS.iter().find(|(known, _)| *known == name);
        known.map(|&(name, run)| Self { name, run })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CALLS.iter().map(|(name, _)| *name)
    }

    /// Does it. Blocks.
    pub fn run(self, database: &Database, body: &[u8]) -> Outcome {
        (self.run)(database, body)
    }
}

/// An operation on items, with the side its plain capacity figure belongs to.
macro_rules! metered {
    ($request:ty, $method:ident, $side:expr) => {
        |database, body| {
            let mut request: $request = match decode(body) {
                Ok(request) => request,
                Err(error) => return (Err(error), Vec::new()),
            };
            let wanted = ask_for_capacity(&mut request.return_consumed_capacity);
            match database.$method(request) {
                Ok(mut response) => {
                    let units = $side.units(response.consumed_capacity.each());
                    if !wanted {
                        response.consumed_capacity = None;
                    }
                    (encode(&response), units)
                }
                Err(error) => (Err(error), Vec::new()),
            }
        }
    };
}

/// A write of one item, whose condition may fail.
macro_rules! conditional {
    ($request:ty, $method:ident) => {
        |database, body| {
            let mut request: $request = match decode(body) {
                Ok(request) => request,
                Err(error) => return (Err(error), Vec::new()),
            };
            let wanted = ask_for_capacity(&mut request.return_consumed_capacity);
            let item_wanted = request.condition_expression.is_none()
                || ask_for_old_item(&mut request.return_values_on_condition_check_failure);
            let table = request.table_name.clone();
            match database.$method(request) {
                Ok(mut response) => {
                    let units = Side::Write.units(response.consumed_capacity.each());
                    if !wanted {
                        response.consumed_capacity = None;
                    }
                    (encode(&response), units)
                }
                Err(error) => failed_write(error, table, item_wanted),
            }
        }
    };
}

/// An operation on tables, which consumes nothing.
macro_rules! unmetered {
    ($method:ident) => {
        |database, body| {
            let response = decode(body).and_then(|request| database.$method(request));
            (response.and_then(|response| encode(&response)), Vec::new())
        }
    };
}

const CALLS: &[(&str, Run)] = &[
    (
        "BatchGetItem",
        metered!(BatchGetItemRequest, batch_get_item, Side::Read),
    ),
    (
        "BatchWriteItem",
        metered!(BatchWriteItemRequest, batch_write_item, Side::Write),
    ),
    ("CreateTable", unmetered!(create_table)),
    ("DeleteItem", conditional!(DeleteItemRequest, delete_item)),
    ("DeleteTable", unmetered!(delete_table)),
    ("DescribeTable", unmetered!(describe_table)),
    ("DescribeTimeToLive", unmetered!(describe_time_to_live)),
    ("GetItem", metered!(GetItemRequest, get_item, Side::Read)),
    ("ListTables", unmetered!(list_tables)),
    ("PutItem", conditional!(PutItemRequest, put_item)),
    ("Query", metered!(QueryRequest, query, Side::Read)),
    ("Scan", metered!(ScanRequest, scan, Side::Read)),
    (
        "TransactGetItems",
        metered!(TransactGetItemsRequest, transact_get_items, Side::Read),
    ),
    (
        "TransactWriteItems",
        metered!(TransactWriteItemsRequest, transact_write_items, Side::Write),
    ),
    ("UpdateItem", conditional!(UpdateItemRequest, update_item)),
    ("UpdateTable", unmetered!(update_table)),
    ("UpdateTimeToLive", unmetered!(update_time_to_live)),
];

/// Which kind of units a figure counts that does not say so itself.
#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Side {
    fn units(self, consumed: &[ConsumedCapacity]) -> Vec<Units> {
        let units = |capacity: &ConsumedCapacity| {
            let table = capacity.table_name.clone();
            // A repeated transaction consumes read units though it is a write, and says so.
            match (capacity.read_capacity_units, capacity.write_capacity_units, self) {
                (None, None, Self::Read) => Units {
                    table,
                    read: capacity.capacity_units,
                    write: 0.0,
                },
                (None, None, Self::Write) => Units {
                    table,
                    read: 0.0,
                    write: capacity.capacity_units,
                },
                (read, write, _) => Units {
                    table,
                    read: read.unwrap_or_default(),
                    write: write.unwrap_or_default(),
                },
            }
        };
        consumed.iter().map(units).collect()
    }
}

/// The figures of an answer, of one table or of several.
trait Consumed {
    fn each(&self) -> &[ConsumedCapacity];
}

impl Consumed for Option<ConsumedCapacity> {
    fn each(&self) -> &[ConsumedCapacity] {
        self.as_slice()
    }
}

impl Consumed for Option<Vec<ConsumedCapacity>> {
    fn each(&self) -> &[ConsumedCapacity] {
        self.as_deref().unwrap_or_default()
    }
}

/// Asks for capacity if the caller did not, and tells whether the caller did. A value that DynamoDB does not
/// know stays as it is, to be refused.
fn ask_for_capacity(field: &mut Option<String>) -> bool {
    ask_for(field, "TOTAL")
}

fn ask_for_old_item(field: &mut Option<String>) -> bool {
    ask_for(field, "ALL_OLD")
}

fn ask_for(field: &mut Option<String>, value: &str) -> bool {
    let wanted = field.as_deref().is_some_and(|given| given != "NONE");
    if !wanted {
        *field = Some(value.to_owned());
    }
    wanted
}

/// A failed condition costs what a write of the item found costs, one unit if there is none
/// (DynamoDB: "Provisioned throughput capacity", conditional writes).
fn failed_write(error: DynoxideError, table: String, item_wanted: bool) -> Outcome {
    let DynoxideError::ConditionalCheckFailedException(message, item) = error else {
        return (Err(error), Vec::new());
    };
    let size = item.as_ref().map_or(0, item_size);
    let units = Units {
        table,
        read: 0.0,
        write: write_capacity_units(size),
    };
    let shown = item.filter(|_| item_wanted);
    (
        Err(DynoxideError::ConditionalCheckFailedException(message, shown)),
        vec![units],
    )
}

/// Reads a request. The engine's decoders name the error's class in capitals in front of its message
/// (`VALIDATION:…`, `SERIALIZATION:…`); where they name none, a member that is missing or unknown is a
/// validation error and a wrong type is a serialization error, as in DynamoDB.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let text = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(message, _)| message);
        match text.split_once(':') {
            Some((class, message)) if class.starts_with("VALIDATION") => {
                DynoxideError::ValidationException(message.to_owned())
            }
            Some((class, message)) if class.starts_with("SERIALIZATION") => {
                DynoxideError::SerializationException(message.to_owned())
            }
            _ if is_validation(text) => DynoxideError::ValidationException(text.to_owned()),
            _ => DynoxideError::SerializationException(text.to_owned()),
        }
    })
}

fn is_validation(message: &str) -> bool {
    const SIGNS: [&str; 4] = [
        "missing field",
        "unknown variant",
        "invalid type: null",
        "AttributeValue",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

fn encode<T: Serialize>(response: &T) -> Result<Vec<u8>, DynoxideError> {
    serde_json::to_vec(response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn database() -> Database {
        let database = Database::memory().unwrap();
        let create = json!({
            "TableName": "Mailbox", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "o", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "o", "KeyType": "HASH"}],
        });
        call(&database, "CreateTable", create).0.unwrap();
        database
    }

    fn call(database: &Database, name: &str, mut body: Value) -> (Result<Value, DynoxideError>, f64, f64) {
        if name != "BatchWriteItem" && !name.starts_with("Transact") {
            body["TableName"] = json!("Mailbox");
        }
        let (answer, units) = Call::named(name)
            .unwrap()
            .run(database, body.to_string().as_bytes());
        let read = units.iter().map(|units| units.read).sum();
        let write = units.iter().map(|units| units.write).sum();
        (
            answer.map(|json| serde_json::from_slice(&json).unwrap()),
            read,
            write,
        )
    }

    /// An item of exactly `size` bytes as DynamoDB counts: names and values.
    fn item(size: usize) -> Value {
        json!({"o": {"S": "key"}, "v": {"S": "x".repeat(size - 5)}})
    }

    fn key() -> Value {
        json!({"Key": {"o": {"S": "key"}}})
    }

    #[test]
    fn a_write_costs_a_unit_for_each_kilobyte_begun() {
        let database = database();
        for (size, units) in [(1024, 1.0), (1025, 2.0), (100, 2.0), (100, 1.0)] {
            let (answer, read, write) = call(&database, "PutItem", json!({"Item": item(size)}));
            // A smaller item is billed by the larger one it replaces.
            assert_eq!((answer.unwrap(), read, write), (json!({}), 0.0, units), "{size}");
        }
    }

    #[test]
    fn a_read_costs_a_unit_for_each_4_kb_begun_and_half_when_eventually_consistent() {
        let database = database();
        call(&database, "PutItem", json!({"Item": item(4097)})).0.unwrap();
        let mut consistent = key();
        consistent["ConsistentRead"] = json!(true);
        assert_eq!(call(&database, "GetItem", consistent).1, 2.0);
        assert_eq!(call(&database, "GetItem", key()).1, 1.0);
        let query = json!({
            "KeyConditionExpression": "o = :o", "ExpressionAttributeValues": {":o": {"S": "key"}},
            "ConsistentRead": true,
        });
        assert_eq!(call(&database, "Query", query).1, 2.0);
        let none = json!({"Key": {"o": {"S": "none"}}, "ConsistentRead": true});
        assert_eq!(call(&database, "GetItem", none).1, 1.0);
    }

    #[test]
    fn a_failed_condition_costs_what_the_item_found_costs() {
        let database = database();
        let condition = |expression: &str| {
            let mut put = json!({"Item": item(100)});
            put["ConditionExpression"] = json!(expression);
            call(&database, "PutItem", put)
        };
        let (answer, _, write) = condition("attribute_exists(o)");
        assert!(matches!(
            answer,
            Err(DynoxideError::ConditionalCheckFailedException(_, None))
        ));
        assert_eq!(write, 1.0);
        call(&database, "PutItem", json!({"Item": item(2049)})).0.unwrap();
        let (answer, _, write) = condition("attribute_not_exists(o)");
        // The item was not asked for, so it is not told.
        assert!(matches!(
            answer,
            Err(DynoxideError::ConditionalCheckFailedException(_, None))
        ));
        assert_eq!(write, 3.0);
    }

    #[test]
    fn a_failed_condition_tells_the_old_item_when_asked() {
        let database = database();
        call(&database, "PutItem", json!({"Item": item(10)})).0.unwrap();
        for operation in ["PutItem", "DeleteItem", "UpdateItem"] {
            let mut request = key();
            if operation == "PutItem" {
                request = json!({"Item": item(20)});
            }
            request["ConditionExpression"] = json!("attribute_not_exists(o)");
            request["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
            let error = call(&database, operation, request).0.unwrap_err();
            let shown: Value = serde_json::from_str(&error.to_json()).unwrap();
            assert_eq!(shown["Item"], item(10), "{operation}");
        }
    }

    #[test]
    fn deletes_batches_and_transactions_are_metered() {
        let database = database();
        let batch = json!({"RequestItems": {"Mailbox": [{"PutRequest": {"Item": item(1025)}}]}});
        assert_eq!(call(&database, "BatchWriteItem", batch).2, 2.0);
        assert_eq!(call(&database, "DeleteItem", key()).2, 2.0);
        let put = json!({"TransactItems": [{"Put": {"TableName": "Mailbox", "Item": item(100)}}],
            "ClientRequestToken": "once"});
        assert_eq!(call(&database, "TransactWriteItems", put.clone()).2, 2.0);
        // The same token again changes nothing and costs a transactional read.
        let (_, read, write) = call(&database, "TransactWriteItems", put);
        assert_eq!((read, write), (2.0, 0.0));
    }

    #[test]
    fn capacity_is_told_to_who_asks_and_to_nobody_else() {
        let database = database();
        let mut put = json!({"Item": item(10), "ReturnConsumedCapacity": "TOTAL"});
        let answer = call(&database, "PutItem", put.clone()).0.unwrap();
        assert_eq!(answer["ConsumedCapacity"]["CapacityUnits"], json!(1.0));
        put["ReturnConsumedCapacity"] = json!("NONE");
        assert_eq!(call(&database, "PutItem", put.clone()).0.unwrap(), json!({}));
        put["ReturnConsumedCapacity"] = json!("SOME");
        let error = call(&database, "PutItem", put).0.unwrap_err();
        assert!(
            matches!(error, DynoxideError::ValidationException(_)),
            "{error:?}"
        );
    }

    #[test]
    fn what_cannot_be_read_has_the_class_and_the_words_of_dynamodb() {
        let database = database();
        let number = json!({"Item": {"o": {"S": "key"}, "n": {"N": "ten"}}});
        let error = call(&database, "PutItem", number).0.unwrap_err();
        assert!(error.error_type().ends_with("#ValidationException"), "{error:?}");
        assert!(
            !error.to_string().contains("VALIDATION") && !error.to_string().contains("at line"),
            "{error}"
        );
        let list = json!({"Item": []});
        let error = call(&database, "PutItem", list).0.unwrap_err();
        assert!(
            error.error_type().ends_with("#SerializationException"),
            "{error:?}"
        );
        let missing = call(&database, "PutItem", json!({})).0.unwrap_err();
        assert!(
            missing.error_type().ends_with("#ValidationException"),
            "{missing:?}"
        );
        let (broken, _) = Call::named("PutItem").unwrap().run(&database, b"{");
        assert!(
            broken
                .unwrap_err()
                .error_type()
                .ends_with("#SerializationException")
        );
    }
}
