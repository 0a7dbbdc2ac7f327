//! The calls that functions made to the database, done again through the AWS SDK with nothing else around them: what the SDK
//! costs (building, signing, its orchestration, reading answers) stands beside what Waxwing adds to it.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        batch_write_item::builders::BatchWriteItemInputBuilder,
        delete_item::builders::DeleteItemInputBuilder, get_item::builders::GetItemInputBuilder,
        put_item::builders::PutItemInputBuilder, query::builders::QueryInputBuilder,
        update_item::builders::UpdateItemInputBuilder,
    },
    primitives::Blob,
    types::{
        AttributeValue, DeleteRequest, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, Select,
        WriteRequest,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// A call as the SDK makes it, ready to be sent.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    BatchWriteItem(BatchWriteItemInputBuilder),
    DeleteItem(DeleteItemInputBuilder),
    GetItem(GetItemInputBuilder),
    PutItem(PutItemInputBuilder),
    Query(QueryInputBuilder),
    UpdateItem(UpdateItemInputBuilder),
}

/// Hands each field of a request to its setter. What no setter is named for makes it another call: then there is none.
macro_rules! filled {
    ($builder:expr, $fields:expr, $($name:literal => $setter:ident($read:ident)),+ $(,)?) => {{
        let mut builder = $builder;
        for (name, value) in $fields {
            builder = match name.as_str() {
                $($name => builder.$setter(Some($read(value)?)),)+
                _ => return None,
            };
        }
        builder
    }};
}

impl Ask {
    /// The call that had this name and this request. `None` for one that the way of a message does not make.
    pub(super) fn of(operation: &str, body: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let fields = &fields;
        Some(match operation {
            "BatchWriteItem" => Self::BatchWriteItem(filled!(
                BatchWriteItemInputBuilder::default(), fields,
                "RequestItems" => set_request_items(writes),
            )),
            "DeleteItem" => Self::DeleteItem(filled!(
                DeleteItemInputBuilder::default(), fields,
                "TableName" => set_table_name(text),
                "Key" => set_key(item),
                "ConditionExpression" => set_condition_expression(text),
                "ExpressionAttributeNames" => set_expression_attribute_names(names),
                "ExpressionAttributeValues" => set_expression_attribute_values(item),
            )),
            "GetItem" => Self::GetItem(filled!(
                GetItemInputBuilder::default(), fields,
                "TableName" => set_table_name(text),
                "Key" => set_key(item),
                "ConsistentRead" => set_consistent_read(flag),
                "ProjectionExpression" => set_projection_expression(text),
                "ExpressionAttributeNames" => set_expression_attribute_names(names),
            )),
            "PutItem" => Self::PutItem(filled!(
                PutItemInputBuilder::default(), fields,
                "TableName" => set_table_name(text),
                "Item" => set_item(item),
                "ConditionExpression" => set_condition_expression(text),
                "ExpressionAttributeNames" => set_expression_attribute_names(names),
                "ExpressionAttributeValues" => set_expression_attribute_values(item),
                "ReturnValuesOnConditionCheckFailure" => set_return_values_on_condition_check_failure(old_values),
            )),
            "Query" => Self::Query(filled!(
                QueryInputBuilder::default(), fields,
                "TableName" => set_table_name(text),
                "KeyConditionExpression" => set_key_condition_expression(text),
                "FilterExpression" => set_filter_expression(text),
                "ProjectionExpression" => set_projection_expression(text),
                "ExpressionAttributeNames" => set_expression_attribute_names(names),
                "ExpressionAttributeValues" => set_expression_attribute_values(item),
                "ExclusiveStartKey" => set_exclusive_start_key(item),
                "ConsistentRead" => set_consistent_read(flag),
                "Limit" => set_limit(count),
                "Select" => set_select(selection),
            )),
            "UpdateItem" => Self::UpdateItem(filled!(
                UpdateItemInputBuilder::default(), fields,
                "TableName" => set_table_name(text),
                "Key" => set_key(item),
                "UpdateExpression" => set_update_expression(text),
                "ConditionExpression" => set_condition_expression(text),
                "ExpressionAttributeNames" => set_expression_attribute_names(names),
                "ExpressionAttributeValues" => set_expression_attribute_values(item),
                "ReturnValues" => set_return_values(values),
                "ReturnValuesOnConditionCheckFailure" => set_return_values_on_condition_check_failure(old_values),
            )),
            _ => return None,
        })
    }

    /// Makes the call, and says whether there was an answer. It is the one it had, a refusal or not, and is dropped.
    pub(super) async fn send(self, client: &Client) -> bool {
        match self {
            Self::BatchWriteItem(ask) => is_answer(&ask.send_with(client).await),
            Self::DeleteItem(ask) => is_answer(&ask.send_with(client).await),
            Self::GetItem(ask) => is_answer(&ask.send_with(client).await),
            Self::PutItem(ask) => is_answer(&ask.send_with(client).await),
            Self::Query(ask) => is_answer(&ask.send_with(client).await),
            Self::UpdateItem(ask) => is_answer(&ask.send_with(client).await),
        }
    }
}

fn is_answer<T, E>(outcome: &Result<T, SdkError<E>>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => error.raw_response().is_some(),
    }
}

type Item = HashMap<String, AttributeValue>;

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn flag(value: &Value) -> Option<bool> {
    value.as_bool()
}

fn count(value: &Value) -> Option<i32> {
    value.as_i64()?.try_into().ok()
}

fn old_values(value: &Value) -> Option<ReturnValuesOnConditionCheckFailure> {
    value.as_str().map(Into::into)
}

fn selection(value: &Value) -> Option<Select> {
    value.as_str().map(Into::into)
}

fn values(value: &Value) -> Option<ReturnValue> {
    value.as_str().map(Into::into)
}

fn names(value: &Value) -> Option<HashMap<String, String>> {
    let fields = value.as_object()?.iter();
    fields
        .map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}

fn item(value: &Value) -> Option<Item> {
    let fields = value.as_object()?.iter();
    fields
        .map(|(name, value)| Some((name.clone(), attribute(value)?)))
        .collect()
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let all = || value.as_array().map(Vec::as_slice);
    let texts = || all()?.iter().map(text).collect::<Option<Vec<_>>>();
    Some(match kind.as_str() {
        "B" => AttributeValue::B(bytes(value)?),
        "BOOL" => AttributeValue::Bool(flag(value)?),
        "BS" => AttributeValue::Bs(all()?.iter().map(bytes).collect::<Option<_>>()?),
        "L" => AttributeValue::L(all()?.iter().map(attribute).collect::<Option<_>>()?),
        "M" => AttributeValue::M(item(value)?),
        "N" => AttributeValue::N(text(value)?),
        "NS" => AttributeValue::Ns(texts()?),
        "NULL" => AttributeValue::Null(flag(value)?),
        "S" => AttributeValue::S(text(value)?),
        "SS" => AttributeValue::Ss(texts()?),
        _ => return None,
    })
}

fn bytes(value: &Value) -> Option<Blob> {
    STANDARD.decode(value.as_str()?).ok().map(Blob::new)
}

fn writes(value: &Value) -> Option<HashMap<String, Vec<WriteRequest>>> {
    let tables = value.as_object()?.iter();
    tables
        .map(|(table, all)| {
            let all = all.as_array()?.iter().map(write).collect::<Option<_>>()?;
            Some((table.clone(), all))
        })
        .collect()
}

fn write(value: &Value) -> Option<WriteRequest> {
    let request = WriteRequest::builder();
    let (kind, value) = value.as_object()?.iter().next()?;
    let request = match kind.as_str() {
        "DeleteRequest" => {
            let delete = DeleteRequest::builder().set_key(Some(item(value.get("Key")?)?));
            request.delete_request(delete.build().ok()?)
        }
        "PutRequest" => {
            let put = PutRequest::builder().set_item(Some(item(value.get("Item")?)?));
            request.put_request(put.build().ok()?)
        }
        _ => return None,
    };
    Some(request.build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use serde_json::json;
    use waxwing_local::runner::{Recorded, Runner, RunnerConfig};

    use super::*;
    use crate::tables;

    fn table() -> Value {
        json!("Mailbox")
    }

    /// One request of each operation, with every field that the way of a message has.
    fn requests() -> Vec<(&'static str, Value)> {
        let key = json!({"o": {"B": "AQI="}, "i": {"B": "AwQ="}});
        let now = json!({":now": {"N": "7"}});
        let every = json!({
            "o": {"B": "AQI="}, "i": {"B": "AwQ="}, "s": {"S": "é"}, "n": {"N": "1"}, "t": {"BOOL": true},
            "z": {"NULL": true}, "l": {"L": [{"S": "x"}]}, "m": {"M": {"y": {"N": "2"}}}, "ss": {"SS": ["a"]},
            "ns": {"NS": ["3"]}, "bs": {"BS": ["AQ=="]},
        });
        vec![
            (
                "PutItem",
                json!({
                    "TableName": table(), "Item": every, "ExpressionAttributeValues": now,
                    "ExpressionAttributeNames": {"#e": "expires_at"},
                    "ConditionExpression": "attribute_not_exists(o) OR #e <= :now",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }),
            ),
            (
                "Query",
                json!({
                    "TableName": table(), "KeyConditionExpression": "o = :o", "FilterExpression": "n > :now",
                    "ExpressionAttributeValues": {":o": {"B": "AQI="}, ":now": {"N": "0"}}, "Limit": 10,
                    "ConsistentRead": true, "Select": "COUNT", "ExclusiveStartKey": key,
                }),
            ),
            (
                "GetItem",
                json!({"TableName": table(), "Key": key, "ConsistentRead": false, "ProjectionExpression": "n"}),
            ),
            (
                "UpdateItem",
                json!({
                    "TableName": table(), "Key": key, "UpdateExpression": "ADD n :now",
                    "ConditionExpression": "attribute_exists(o)", "ExpressionAttributeValues": now,
                    "ReturnValues": "UPDATED_NEW",
                }),
            ),
            (
                "BatchWriteItem",
                json!({"RequestItems": {"Mailbox": [
                    {"DeleteRequest": {"Key": key}}, {"PutRequest": {"Item": {"o": {"B": "AQ=="}, "i": {"B": "AQ=="}}}},
                ]}}),
            ),
            ("DeleteItem", json!({"TableName": table(), "Key": key})),
        ]
    }

    fn as_json(recorded: &Recorded) -> Vec<(&'static str, Value)> {
        let calls = recorded.iter();
        calls
            .map(|(name, body)| (name, serde_json::from_slice(body).unwrap()))
            .collect()
    }

    #[tokio::test]
    async fn a_call_that_is_done_again_asks_for_what_was_asked_the_first_time() {
        let runner = Runner::start(RunnerConfig::default()).await.unwrap();
        let client = Client::from_conf(tables::sdk().endpoint_url(runner.aws_endpoint()).build());
        runner.record_database();
        for (name, request) in requests() {
            let ask = Ask::of(name, request.to_string().as_bytes());
            assert!(
                ask.unwrap_or_else(|| panic!("{name}")).send(&client).await,
                "{name}"
            );
        }
        assert_eq!(as_json(&runner.recorded_database()), requests());
        runner.shutdown().await;
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_a_closed_port_gives_none() {
        let runner = Runner::start(RunnerConfig::default()).await.unwrap();
        let config = tables::sdk().retry_config(RetryConfig::disabled());
        let client = Client::from_conf(config.endpoint_url(runner.aws_endpoint()).build());
        let ask = Ask::of("DeleteItem", br#"{"TableName": "Mailbox", "Key": {}}"#).unwrap();
        assert!(ask.clone().send(&client).await, "there is no such table");
        runner.shutdown().await;
        assert!(!ask.send(&client).await);
    }

    #[test]
    fn a_call_with_something_that_is_not_known_here_is_not_done_again_without_it() {
        let unknown = json!({"TableName": table(), "Key": {}, "ReturnConsumedCapacity": "TOTAL"});
        assert!(Ask::of("GetItem", unknown.to_string().as_bytes()).is_none());
        assert!(Ask::of("Scan", b"{}").is_none());
    }
}
