//! Which steps commute: what a call to AWS touches, read off what it asks.
//!
//! Two steps commute if neither writes what the other touches: other tables, other keys, other connections, or both only
//! read. Then their order changes nothing that a function or a device sees, nor what is there at the end. I6 alone looks at
//! two tables at one moment, who is registered and who has the message, so what changes the one never commutes with what
//! changes the other.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::connector::Call;

/// Key attributes of each table: partition, sort.
pub(super) type Keys = BTreeMap<String, Vec<String>>;

/// Table of devices and table of mailboxes, by their names in calls.
const DEVICES: &str = "Devices";
const MAILBOX: &str = "Mailbox";

/// One thing that a step touches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Touch {
    /// A table, `@connections`, or what else there is.
    place: String,
    /// Which of it; all of it if that is not known. Partition, sort; or a connection.
    keys: Vec<Option<String>>,
    is_write: bool,
    /// Whether more changes with it at once, as when a device is added or removed.
    in_transaction: bool,
}

/// All that a step touches. None: it may touch anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touches(Option<Vec<Touch>>);

impl Touches {
    /// What a call touches.
    pub(super) fn of(call: &Call, keys: &Keys) -> Self {
        if let Some(id) = call.path.rsplit_once("/@connections/").map(|(_, id)| id) {
            return Self::connection(id, true);
        }
        let operation = call.name.split(' ').next().unwrap_or_default();
        let body = serde_json::from_slice(&call.body).unwrap_or_default();
        Self(touches(operation, &body, keys))
    }

    /// What a connection is touched by that opens or breaks off, or over which something goes out.
    pub(super) fn connection(id: &str, is_write: bool) -> Self {
        Self(Some(vec![Touch {
            place: "@connections".to_owned(),
            keys: vec![Some(id.to_owned())],
            is_write,
            in_transaction: false,
        }]))
    }

    /// What passing time touches: functions that wait for it wake in their order.
    pub(super) fn time() -> Self {
        Self(Some(vec![Touch {
            place: "time".to_owned(),
            keys: Vec::new(),
            is_write: true,
            in_transaction: false,
        }]))
    }

    /// Whether the order of the two matters to nobody.
    pub(super) fn commute(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.0, &other.0) else {
            return false;
        };
        !own.iter()
            .any(|touch| others.iter().any(|other| touch.conflicts(other)))
    }

    /// Whether it may change who has which message.
    pub(super) fn may_change_who_has_what(&self) -> bool {
        let matters = |touch: &Touch| touch.is_write && (touch.place == DEVICES || touch.place == MAILBOX);
        self.0.as_ref().is_none_or(|touches| touches.iter().any(matters))
    }
}

impl Touch {
    fn conflicts(&self, other: &Self) -> bool {
        if !self.is_write && !other.is_write {
            return false;
        }
        let same_keys = self
            .keys
            .iter()
            .zip(&other.keys)
            .all(|(own, other)| own.is_none() || other.is_none() || own == other);
        if self.place == other.place && same_keys {
            return true;
        }
        self.breaks_moment_of(other) || other.breaks_moment_of(self)
    }

    fn breaks_moment_of(&self, other: &Self) -> bool {
        let registers = self.place == DEVICES && self.is_write && self.in_transaction;
        registers && other.place == MAILBOX && other.is_write
    }
}

fn touches(operation: &str, body: &Value, keys: &Keys) -> Option<Vec<Touch>> {
    let one = |part: &Value, is_write| Some(vec![touch(part, keys, is_write, false)?]);
    match operation {
        "GetItem" => one(body, false),
        "PutItem" | "UpdateItem" | "DeleteItem" => one(body, true),
        "Query" => Some(vec![queried(body)?]),
        "BatchWriteItem" => {
            let mut all = Vec::new();
            for (table, writes) in body.get("RequestItems")?.as_object()? {
                for write in writes.as_array()? {
                    let put = write.pointer("/PutRequest/Item");
                    let key = put.or(write.pointer("/DeleteRequest/Key"))?;
                    all.push(touch_of_item(table, key, keys, true, false)?);
                }
            }
            Some(all)
        }
        "BatchGetItem" => {
            let mut all = Vec::new();
            for (table, reads) in body.get("RequestItems")?.as_object()? {
                for key in reads.get("Keys")?.as_array()? {
                    all.push(touch_of_item(table, key, keys, false, false)?);
                }
            }
            Some(all)
        }
        "TransactWriteItems" | "TransactGetItems" => {
            let mut all = Vec::new();
            for item in body.get("TransactItems")?.as_array()? {
                for (kind, part) in item.as_object()? {
                    let is_write = !matches!(kind.as_str(), "ConditionCheck" | "Get");
                    all.push(touch(part, keys, is_write, true)?);
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// Of a request for one item.
fn touch(part: &Value, keys: &Keys, is_write: bool, in_transaction: bool) -> Option<Touch> {
    let table = part.get("TableName")?.as_str()?;
    let item = part.get("Key").or(part.get("Item"))?;
    touch_of_item(table, item, keys, is_write, in_transaction)
}

fn touch_of_item(
    table: &str,
    item: &Value,
    keys: &Keys,
    is_write: bool,
    in_transaction: bool,
) -> Option<Touch> {
    let place = crate::connector::short(table);
    let names = keys.get(&place)?.iter();
    Some(Touch {
        keys: names.map(|name| item.get(name).map(Value::to_string)).collect(),
        place,
        is_write,
        in_transaction,
    })
}

/// Of a query: the whole of the partition that its condition begins with.
fn queried(body: &Value) -> Option<Touch> {
    let place = crate::connector::short(body.get("TableName")?.as_str()?);
    let condition = body.get("KeyConditionExpression").and_then(Value::as_str);
    let value = condition
        .and_then(|condition| condition.split(" AND ").next())
        .and_then(|first| first.split_once(" = "))
        .and_then(|(_, name)| body.get("ExpressionAttributeValues")?.get(name.trim()))
        .map(Value::to_string);
    Some(Touch {
        place,
        keys: vec![value],
        is_write: false,
        in_transaction: false,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::connector::RunId;

    fn call(operation: &str, body: &Value) -> Touches {
        let keys = [("Devices", "a d"), ("Mailbox", "o i"), ("Keys", "a d")]
            .map(|(table, keys)| (table.to_owned(), keys.split(' ').map(str::to_owned).collect()));
        let call = Call {
            run: RunId(0),
            number: 1,
            attempt: 1,
            name: format!("{operation} ?"),
            path: "/".to_owned(),
            body: Bytes::from(body.to_string()),
        };
        Touches::of(&call, &Keys::from(keys))
    }

    fn key(partition: &str, sort: &str) -> Value {
        json!({ "o": { "B": partition }, "i": { "B": sort } })
    }

    fn put(partition: &str, sort: &str) -> Touches {
        call(
            "PutItem",
            &json!({ "TableName": "local-MailboxTable", "Item": key(partition, sort) }),
        )
    }

    fn query(partition: &str) -> Touches {
        let body = json!({
            "TableName": "local-MailboxTable",
            "KeyConditionExpression": "o = :owner AND i > :after",
            "ExpressionAttributeValues": { ":owner": { "B": partition }, ":after": { "B": "0" } },
        });
        call("Query", &body)
    }

    #[test]
    fn calls_commute_unless_one_writes_what_the_other_touches() {
        assert!(put("a", "1").commute(&put("a", "2")));
        assert!(!put("a", "1").commute(&put("a", "1")));
        assert!(query("a").commute(&query("a")));
        assert!(query("a").commute(&put("b", "1")));
        assert!(!query("a").commute(&put("a", "1")));
        let delete = json!({
            "RequestItems": { "local-MailboxTable": [{ "DeleteRequest": { "Key": key("a", "1") } }] },
        });
        assert!(!call("BatchWriteItem", &delete).commute(&put("a", "1")));
        assert!(call("BatchWriteItem", &delete).commute(&put("a", "2")));
    }

    #[test]
    fn who_is_registered_and_who_has_a_message_do_not_change_in_any_order() {
        let device =
            json!({ "TableName": "local-DevicesTable", "Key": { "a": { "B": "a" }, "d": { "B": "1" } } });
        let add = call(
            "TransactWriteItems",
            &json!({ "TransactItems": [{ "Put": device }] }),
        );
        assert!(!add.commute(&put("a", "1")));
        let look = call(
            "TransactWriteItems",
            &json!({ "TransactItems": [{ "ConditionCheck": device }] }),
        );
        assert!(look.commute(&put("a", "1")));
        assert!(call("UpdateItem", &device).commute(&put("a", "1")));
    }

    #[test]
    fn what_is_not_understood_commutes_with_nothing() {
        assert!(!call("PartiQL", &json!({})).commute(&query("a")));
    }

    #[test]
    fn what_goes_to_one_connection_commutes_with_what_goes_to_another() {
        let post = Touches::connection("c1", true);
        assert!(post.commute(&Touches::connection("c2", true)));
        assert!(!post.commute(&Touches::connection("c1", false)));
    }
}
