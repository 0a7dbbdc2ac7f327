//! Services that are wrong only if two functions run at the same time: they look too early, or write without looking.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::{Control, edited_if, said};
use crate::{
    connector::{Call, short},
    interleave::{Function, Scene},
};

/// Something that a wrong service asks sooner than the right one.
pub struct Early {
    /// Names what was asked, for whoever uses the answer.
    pub key: String,
    /// The operation.
    pub operation: &'static str,
    /// What is asked.
    pub body: Value,
}

/// Bytes of an account in the key of a mailbox, and with its device.
const ACCOUNT_BYTES: usize = 16;

impl Control {
    /// Those that only a race betrays.
    pub const RACES: [Self; 6] = [
        Self::LooksBeforePut,
        Self::PagesFromBefore,
        Self::TakesAfterReading,
        Self::RaisesBlindly,
        Self::ReplacesListBlindly,
        Self::ForgetsAnyConnection,
    ];

    /// The functions that must betray it when they run at the same time, where, and the promise it breaks there.
    pub fn betrayed_by(self) -> Option<(Scene, &'static [Function], &'static str)> {
        use Function::{Answer, Claim, Connect, Disconnect, Revoke, Send, Upload};
        Some(match self {
            Self::LooksBeforePut => (Scene::Away, &[Send, Connect], "I10"),
            Self::PagesFromBefore => (Scene::Away, &[Send, Connect], "I10"),
            Self::TakesAfterReading => (Scene::Away, &[Claim, Claim], "I5"),
            Self::RaisesBlindly => (Scene::Away, &[Claim, Upload, Upload], "I5"),
            Self::ReplacesListBlindly => (Scene::Away, &[Revoke, Answer], "I6"),
            Self::ForgetsAnyConnection => (Scene::Connected, &[Connect, Disconnect], "I10"),
            _ => return None,
        })
    }

    /// The call that it makes before this one.
    pub fn early(self, call: &Call) -> Option<Early> {
        let body: Value = serde_json::from_slice(&call.body).ok()?;
        match (self, call.name.as_str()) {
            (Self::LooksBeforePut, "PutItem Mailbox") => {
                let owner = STANDARD.decode(body.pointer("/Item/o/B")?.as_str()?).ok()?;
                let account = STANDARD.encode(owner.get(..ACCOUNT_BYTES)?);
                let query = json!({
                    "TableName": body.get("TableName")?.as_str()?.replace("Mailbox", "Devices"),
                    "KeyConditionExpression": "a = :account",
                    "ExpressionAttributeValues": { ":account": { "B": account } },
                    "ConsistentRead": true,
                });
                Some(Early {
                    key: format!("{} {account}", call.run.0),
                    operation: "Query",
                    body: query,
                })
            }
            (Self::PagesFromBefore, "UpdateItem Devices") if is_connect(&body) => {
                let bytes = |name: &str| {
                    let text = body.pointer(name).and_then(Value::as_str)?;
                    STANDARD.decode(text).ok()
                };
                let registration = body.pointer("/ExpressionAttributeValues/:registration/N")?;
                let registration: u32 = registration.as_str()?.parse().ok()?;
                let owner = [
                    bytes("/Key/a/B")?,
                    bytes("/Key/d/B")?,
                    registration.to_be_bytes().to_vec(),
                ];
                let owner = STANDARD.encode(owner.concat());
                let query = json!({
                    "TableName": body.get("TableName")?.as_str()?.replace("Devices", "Mailbox"),
                    "KeyConditionExpression": "o = :owner",
                    "ExpressionAttributeValues": { ":owner": { "B": owner } },
                    "ConsistentRead": true,
                });
                Some(Early {
                    key: owner,
                    operation: "Query",
                    body: query,
                })
            }
            (Self::TakesAfterReading, "DeleteItem Prekeys") => Some(Early {
                key: format!("{} {}", call.run.0, call.number),
                operation: "GetItem",
                body: json!({ "TableName": body.get("TableName")?, "Key": body.get("Key")?, "ConsistentRead": true }),
            }),
            _ => None,
        }
    }

    /// The key of what was asked early, if it takes that for the answer of this call.
    pub fn uses_early(self, call: &Call) -> Option<String> {
        let body: Value = serde_json::from_slice(&call.body).ok()?;
        let value = |name: &str| body.pointer(name).and_then(Value::as_str);
        match (self, call.name.as_str()) {
            (Self::LooksBeforePut, "Query Devices") => {
                let account = value("/ExpressionAttributeValues/:account/B")?;
                Some(format!("{} {account}", call.run.0))
            }
            (Self::PagesFromBefore, "Query Mailbox") if body.get("Select").is_none() => {
                value("/ExpressionAttributeValues/:owner/B").map(str::to_owned)
            }
            (Self::TakesAfterReading, "DeleteItem Prekeys") => {
                Some(format!("{} {}", call.run.0, call.number))
            }
            _ => None,
        }
    }

    /// The answer that it takes what was asked early for.
    pub fn answer_of_early(self, early: &Value) -> Option<Response<Bytes>> {
        match self {
            Self::TakesAfterReading => Some(said(&json!({ "Attributes": early.get("Item")? }))),
            _ => Some(said(early)),
        }
    }

    /// What is asked instead, of those that write without looking.
    pub(super) fn blind(self, call: &Call, body: &mut Value) -> bool {
        match (self, call.name.as_str()) {
            (Self::TakesAfterReading, "DeleteItem Prekeys") => {
                edited_if(body, |fields| fields.remove("ConditionExpression").is_some())
            }
            (Self::RaisesBlindly, name) if name.starts_with("TransactWriteItems") => {
                parts(body, "Keys", |update| {
                    update.get("UpdateExpression") == Some(&json!("SET h = :next"))
                })
            }
            (Self::ReplacesListBlindly, name) if name.starts_with("TransactWriteItems") => {
                parts(body, "Accounts", |_| true)
            }
            _ => false,
        }
    }
}

fn is_connect(body: &Value) -> bool {
    let update = body.get("UpdateExpression").and_then(Value::as_str);
    update.is_some_and(|update| update.starts_with("SET c = :connection"))
}

/// Lets the condition of a transaction's updates of a table hold whatever is there.
fn parts(body: &mut Value, table: &str, is_meant: impl Fn(&serde_json::Map<String, Value>) -> bool) -> bool {
    let items = body.get_mut("TransactItems").and_then(Value::as_array_mut);
    let updates = items
        .into_iter()
        .flatten()
        .filter_map(|item| item.get_mut("Update"));
    let mut has_changed = false;
    for update in updates.filter_map(Value::as_object_mut) {
        let name = update
            .get("TableName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if short(name) == table && is_meant(update) {
            has_changed |= holds_always(update);
        }
    }
    has_changed
}

/// Keeps the condition, whose values have to be used, and lets it hold always.
pub(super) fn holds_always(fields: &mut serde_json::Map<String, Value>) -> bool {
    let Some(Value::String(condition)) = fields.get("ConditionExpression") else {
        return false;
    };
    let always = format!("attribute_exists(a) OR attribute_not_exists(a) OR ({condition})");
    fields.insert("ConditionExpression".into(), always.into());
    true
}
