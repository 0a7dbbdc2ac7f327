//! DynamoDB that runs elsewhere: an emulator that others wrote, as a second opinion on the embedded engine.
//!
//! Requests go there as they came, answers come back as they are. Only capacity is asked for in passing, for the
//! meter. There are no timeouts of its own: the SDK has them.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::TARGET_PREFIX;
use super::operations::Units;
use crate::aws::answer::{AWS_JSON, AwsError, Shape, aws_json};
use crate::place::REGION;
use crate::template::{KeySpec, KeyType, TableSpec};

/// What asks for capacity, and where an answer tells it (DynamoDB API, `ReturnConsumedCapacity`).
const ASK: &str = "ReturnConsumedCapacity";
const TOLD: &str = "ConsumedCapacity";

/// Operations that consume capacity: reads begin so, and writes so.
const READS: [&str; 4] = ["BatchGet", "Query", "Scan", "TransactGet"];
const READ_OF_ONE: &str = "GetItem";
const WRITES: [&str; 5] = [
    "BatchWrite",
    "DeleteItem",
    "PutItem",
    "TransactWrite",
    "UpdateItem",
];

/// A database at an address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    endpoint: String,
    client: reqwest::Client,
}

/// Why it cannot be used.
#[derive(Debug, Error)]
pub enum ElsewhereError {
    /// Nobody answers.
    #[error("the database at {endpoint} does not answer: {source}")]
    Unreachable {
        /// Where it should be.
        endpoint: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It does not make a table.
    #[error("the database at {endpoint} refuses the table {table}: {answer}")]
    Table {
        /// Where it is.
        endpoint: String,
        /// The table.
        table: String,
        /// What it said.
        answer: String,
    },
}

impl Elsewhere {
    /// The database at `endpoint`, such as `http://127.0.0.1:4566`, with these tables made anew.
    ///
    /// # Errors
    /// [`ElsewhereError`].
    pub async fn open(endpoint: &str, tables: &[TableSpec]) -> Result<Self, ElsewhereError> {
        let this = Self {
            endpoint: endpoint.to_owned(),
            client: reqwest::Client::new(),
        };
        for table in tables {
            this.make(table).await?;
        }
        Ok(this)
    }

    /// Does one operation there, and tells what it consumed.
    pub async fn call(&self, operation: &str, body: Bytes) -> (Response<Bytes>, Vec<Units>) {
        let (body, asked) = ask_for_capacity(operation, body);
        let (status, answer) = match self.post(operation, body).await {
            Ok(answered) => answered,
            Err(error) => {
                let error = AwsError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ServiceUnavailable",
                    error.to_string(),
                );
                return (error.answer(Shape::AwsJson), Vec::new());
            }
        };
        let (answer, units) = take_capacity(operation, answer, asked);
        (aws_json(status, answer), units)
    }

    async fn post(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), reqwest::Error> {
        // Emulators read the scope and verify nothing.
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=local/20200101/{REGION}/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
        );
        let request = self
            .client
            .post(&self.endpoint)
            .header("x-amz-target", format!("{TARGET_PREFIX}{operation}"))
            .header(CONTENT_TYPE, AWS_JSON)
            .header(AUTHORIZATION, credential)
            .body(body);
        let answer = request.send().await?;
        Ok((answer.status(), answer.bytes().await?))
    }

    async fn make(&self, table: &TableSpec) -> Result<(), ElsewhereError> {
        self.must(table, "CreateTable", create_request(table)).await?;
        let Some(attribute) = &table.ttl_attribute else {
            return Ok(());
        };
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let request = json!({"TableName": table.name, "TimeToLiveSpecification": specification});
        self.must(table, "UpdateTimeToLive", request).await
    }

    async fn must(&self, table: &TableSpec, operation: &str, request: Value) -> Result<(), ElsewhereError> {
        let answered = self.post(operation, request.to_string().into()).await;
        let (status, answer) = answered.map_err(|source| ElsewhereError::Unreachable {
            endpoint: self.endpoint.clone(),
            source,
        })?;
        if status.is_success() {
            return Ok(());
        }
        Err(ElsewhereError::Table {
            endpoint: self.endpoint.clone(),
            table: table.name.clone(),
            answer: String::from_utf8_lossy(&answer).into_owned(),
        })
    }
}

fn create_request(table: &TableSpec) -> Value {
    let keys: Vec<(&KeySpec, &str)> = std::iter::once((&table.partition_key, "HASH"))
        .chain(table.sort_key.iter().map(|key| (key, "RANGE")))
        .collect();
    let definition = |key: &KeySpec| {
        let kind = match key.kind {
            KeyType::String => "S",
            KeyType::Number => "N",
            KeyType::Binary => "B",
        };
        json!({"AttributeName": key.name, "AttributeType": kind})
    };
    json!({
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": keys.iter().map(|(key, _)| definition(key)).collect::<Vec<_>>(),
        "KeySchema": keys
            .iter()
            .map(|(key, side)| json!({"AttributeName": key.name, "KeyType": side}))
            .collect::<Vec<_>>(),
    })
}

fn is_read(operation: &str) -> bool {
    operation == READ_OF_ONE || READS.iter().any(|start| operation.starts_with(start))
}

fn consumes(operation: &str) -> bool {
    is_read(operation) || WRITES.iter().any(|start| operation.starts_with(start))
}

/// Adds the question for capacity, and tells whether it was added. What cannot be read goes on as it is.
fn ask_for_capacity(operation: &str, body: Bytes) -> (Bytes, bool) {
    if !consumes(operation) {
        return (body, false);
    }
    let Ok(mut request) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return (body, false);
    };
    if request.get(ASK).is_some_and(|asked| asked != "NONE") {
        return (body, false);
    }
    request.insert(ASK.to_owned(), json!("TOTAL"));
    (Value::Object(request).to_string().into(), true)
}

/// Reads what was consumed, and takes it out if nobody but the meter asked. An error tells nothing, so what a failed
/// condition costs is not counted.
fn take_capacity(operation: &str, answer: Bytes, asked: bool) -> (Bytes, Vec<Units>) {
    if !consumes(operation) {
        return (answer, Vec::new());
    }
    let Ok(mut read) = serde_json::from_slice::<Map<String, Value>>(&answer) else {
        return (answer, Vec::new());
    };
    let told = read.get(TOLD).cloned().unwrap_or_default();
    let each = match told {
        Value::Array(each) => each,
        one => vec![one],
    };
    let units = each
        .iter()
        .filter_map(|capacity| units(operation, capacity))
        .collect();
    if !asked {
        return (answer, units);
    }
    read.remove(TOLD);
    (Value::Object(read).to_string().into(), units)
}

fn units(operation: &str, capacity: &Value) -> Option<Units> {
    let figure = |name: &str| capacity.get(name).and_then(Value::as_f64);
    let table = capacity.get("TableName")?.as_str()?.to_owned();
    let all = figure("CapacityUnits").unwrap_or_default();
    let (read, write) = match (figure("ReadCapacityUnits"), figure("WriteCapacityUnits")) {
        (None, None) if is_read(operation) => (all, 0.0),
        (None, None) => (0.0, all),
        (read, write) => (read.unwrap_or_default(), write.unwrap_or_default()),
    };
    Some(Units { table, read, write })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_asked_for_in_passing_and_taken_out_again() {
        let (asked_body, asked) = ask_for_capacity("PutItem", r#"{"TableName":"Mailbox"}"#.into());
        assert!(asked);
        let sent: Value = serde_json::from_slice(&asked_body).unwrap();
        assert_eq!(
            sent,
            json!({"TableName": "Mailbox", "ReturnConsumedCapacity": "TOTAL"})
        );
        let answer = r#"{"ConsumedCapacity":{"TableName":"Mailbox","CapacityUnits":2.0}}"#;
        let (left, units) = take_capacity("PutItem", answer.into(), asked);
        assert_eq!(left, "{}");
        let table = "Mailbox".to_owned();
        assert_eq!(
            units,
            [Units {
                table,
                read: 0.0,
                write: 2.0
            }]
        );
    }

    #[test]
    fn capacity_that_the_caller_asked_for_stays() {
        let body = Bytes::from(r#"{"ReturnConsumedCapacity":"INDEXES"}"#);
        assert_eq!(ask_for_capacity("Query", body.clone()), (body, false));
        let answer = Bytes::from(r#"{"ConsumedCapacity":{"TableName":"Mailbox","CapacityUnits":0.5}}"#);
        let (left, units) = take_capacity("Query", answer.clone(), false);
        assert_eq!((left, units.first().map(|units| units.read)), (answer, Some(0.5)));
    }

    #[test]
    fn what_is_no_request_and_no_answer_goes_through_as_it_is() {
        for operation in ["Query", "DescribeTable"] {
            let text = Bytes::from("no JSON");
            assert_eq!(ask_for_capacity(operation, text.clone()), (text.clone(), false));
            assert_eq!(take_capacity(operation, text.clone(), true), (text, Vec::new()));
        }
    }
}
