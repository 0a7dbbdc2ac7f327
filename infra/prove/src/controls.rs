//! Services that are wrong on purpose. Each is the real one with its calls to AWS changed on the way, so that nothing in
//! it can be switched to be wrong; and each must be caught, or nothing is proved: by the crash table, or, if it is wrong only
//! in some order of several functions' calls, by [`crate::interleave`].

mod races;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::connector::Call;

pub use races::Early;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A page is deleted from the mailbox when it is delivered, and not when it is acked.
    DeletesOnDelivery,
    /// A put that failed is taken for done.
    SwallowsFailedPuts,
    /// What a batch leaves unprocessed is taken for done.
    SwallowsLeftovers,
    /// An ack deletes all that is not newer than what it names.
    AcksByCursor,
    /// A one-time prekey is read, and stays in the pool.
    ReadsPrekeys,
    /// A repeated upload puts back what was handed out.
    BringsPrekeysBack,
    /// A closed connection is forgotten even if the device has another by now.
    ForgetsAnyConnection,
    /// *Accepted* is said though neither a mark nor a post came about.
    AcceptsUnannounced,
    /// A send looks who is there, and where, before it puts.
    LooksBeforePut,
    /// A device's first page is from before its connection was known.
    PagesFromBefore,
    /// A one-time prekey is read, and deleted after.
    TakesAfterReading,
    /// An upload raises the highest id whatever it is by now.
    RaisesBlindly,
    /// A list replaces whatever list is there by now.
    ReplacesListBlindly,
    /// An alert that SNS did not take is taken for published.
    SwallowsFailedAlerts,
}

/// What SNS says of an alert that it took.
const PUBLISHED: &[u8] =
    b"<PublishResponse><PublishResult><MessageId>-</MessageId></PublishResult></PublishResponse>";

impl Control {
    /// Those that one function betrays.
    pub const ALONE: [Self; 9] = [
        Self::DeletesOnDelivery,
        Self::SwallowsFailedPuts,
        Self::SwallowsLeftovers,
        Self::AcksByCursor,
        Self::ReadsPrekeys,
        Self::BringsPrekeysBack,
        Self::ForgetsAnyConnection,
        Self::AcceptsUnannounced,
        Self::SwallowsFailedAlerts,
    ];

    /// The function in whose scenarios it must be found, and the promise it breaks there.
    pub fn caught_in(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::DeletesOnDelivery => ("receive", "I2"),
            Self::SwallowsFailedPuts => ("send", "I6"),
            Self::SwallowsLeftovers => ("ack", "I14"),
            Self::AcksByCursor => ("ack", "I2"),
            Self::ReadsPrekeys => ("claim", "I5"),
            Self::BringsPrekeysBack => ("upload", "I5"),
            Self::ForgetsAnyConnection => ("disconnect", "I10"),
            Self::AcceptsUnannounced => ("send", "I10"),
            Self::SwallowsFailedAlerts => ("send", "I10"),
            _ => return None,
        })
    }

    /// What is asked instead, if it is anything else.
    pub fn request(self, call: &Call) -> Option<Bytes> {
        let mut body: Value = serde_json::from_slice(&call.body).ok()?;
        let changed = match (self, call.name.as_str()) {
            (Self::ReadsPrekeys, "DeleteItem Prekeys") => {
                // A delete under a condition that never holds tells the item and leaves it.
                let fields = body.as_object_mut()?;
                fields.insert("ConditionExpression".into(), "attribute_not_exists(o)".into());
                fields.insert("ReturnValuesOnConditionCheckFailure".into(), "ALL_OLD".into());
                true
            }
            (Self::BringsPrekeysBack, name) if name.starts_with("TransactWriteItems") => {
                let items = body.get_mut("TransactItems")?.as_array_mut()?;
                items
                    .iter_mut()
                    .map(forgets_highest)
                    .filter(|changed| *changed)
                    .count()
                    > 0
            }
            (Self::ForgetsAnyConnection, "UpdateItem Devices") => {
                let update = body.get("UpdateExpression").and_then(Value::as_str);
                let forgets = update.is_some_and(|update| update.ends_with("REMOVE c, t"));
                forgets && edited_if(&mut body, races::holds_always)
            }
            _ => self.blind(call, &mut body),
        };
        changed.then(|| body.to_string().into())
    }

    /// What the service takes for the answer. None: the connection broke.
    pub fn answer(self, call: &Call, answer: Option<Response<Bytes>>) -> Option<Response<Bytes>> {
        let failed = answer.as_ref().is_none_or(|answer| !answer.status().is_success());
        let name = call.name.as_str();
        match self {
            Self::SwallowsFailedPuts if failed && name == "PutItem Mailbox" => Some(said(&json!({}))),
            Self::AcceptsUnannounced if failed && name == "UpdateItem Devices" => Some(said(&json!({}))),
            Self::SwallowsFailedAlerts if failed && name == "Publish SNS" => {
                Some(Response::new(Bytes::from_static(PUBLISHED)))
            }
            Self::SwallowsLeftovers if name == "BatchWriteItem Mailbox" && !failed => {
                edited(answer?, |body| drop(body.remove("UnprocessedItems")))
            }
            Self::ReadsPrekeys if name == "DeleteItem Prekeys" => {
                let body: Value = serde_json::from_slice(answer.as_ref()?.body()).ok()?;
                match body.get("Item") {
                    Some(item) => Some(said(&json!({ "Attributes": item }))),
                    None => answer,
                }
            }
            Self::BringsPrekeysBack if name == "GetItem Keys" => edited(answer?, |body| {
                if let Some(Value::Object(item)) = body.get_mut("Item") {
                    item.remove("h");
                }
            }),
            _ => answer,
        }
    }

    /// What it does besides, once a call was carried out: operations of DynamoDB.
    pub fn also(self, call: &Call, answer: &Response<Bytes>) -> Vec<(&'static str, Value)> {
        let request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        match (self, call.name.as_str()) {
            (Self::DeletesOnDelivery, "Query Mailbox") => {
                let items = answer.get("Items").and_then(Value::as_array);
                let items = items.into_iter().flatten();
                let delete = |item: &Value| {
                    let key = json!({ "o": item.get("o")?, "i": item.get("i")? });
                    Some((
                        "DeleteItem",
                        json!({ "TableName": request.get("TableName")?, "Key": key }),
                    ))
                };
                items.filter_map(delete).collect()
            }
            (Self::AcksByCursor, "BatchWriteItem Mailbox") => cursor(&request).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

/// Whether a part of a transaction raised the highest id, which it does now whatever that is.
fn forgets_highest(item: &mut Value) -> bool {
    let update = item.get_mut("Update").and_then(Value::as_object_mut);
    let Some(update) = update else { return false };
    if update.get("UpdateExpression") != Some(&json!("SET h = :next")) {
        return false;
    }
    update.insert("ConditionExpression".into(), "r = :registration".into());
    true
}

/// The query for all that is not newer than the newest of what is acked.
fn cursor(request: &Value) -> Option<Vec<(&'static str, Value)>> {
    let (table, writes) = request.get("RequestItems")?.as_object()?.iter().next()?;
    let keys = writes
        .as_array()?
        .iter()
        .filter_map(|write| write.pointer("/DeleteRequest/Key"));
    let newest = keys.max_by_key(|key| id_of(key))?;
    let scan = json!({
        "TableName": table,
        "KeyConditionExpression": "o = :owner AND i <= :newest",
        "ExpressionAttributeValues": { ":owner": newest.get("o")?, ":newest": newest.get("i")? },
    });
    Some(vec![("Query", scan)])
}

fn id_of(key: &Value) -> Vec<u8> {
    let id = key.pointer("/i/B").and_then(Value::as_str);
    id.and_then(|id| STANDARD.decode(id).ok()).unwrap_or_default()
}

fn edited_if(body: &mut Value, edit: impl FnOnce(&mut serde_json::Map<String, Value>) -> bool) -> bool {
    body.as_object_mut().is_some_and(edit)
}

fn edited(
    answer: Response<Bytes>,
    edit: impl FnOnce(&mut serde_json::Map<String, Value>),
) -> Option<Response<Bytes>> {
    let mut body: Value = serde_json::from_slice(answer.body()).ok()?;
    edit(body.as_object_mut()?);
    Some(said(&body))
}

fn said(body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = StatusCode::OK;
    let media_type = http::HeaderValue::from_static("application/x-amz-json-1.0");
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, media_type);
    answer
}
