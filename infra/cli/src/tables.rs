//! Looks into the tables from outside, through the endpoint and with the SDK that the functions use.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Region},
    error::DisplayErrorContext,
    types::AttributeValue,
};
use waxwing_local::aws::TOOLS_ACCESS_KEY;

/// A region name, because the SDK wants one; the endpoint decides.
const REGION: &str = "us-east-1";

/// The tables behind an endpoint.
pub struct Tables(Client);

/// A table could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the tables could not be read: {0}")]
pub struct TablesError(String);

/// Every attribute of an item, name and value, as the bytes that are kept.
pub type Item = Vec<Vec<u8>>;

impl Tables {
    /// The tables behind the AWS endpoint of a local runner.
    pub fn at(aws_endpoint: &str) -> Self {
        let credentials = Credentials::new(TOOLS_ACCESS_KEY, "local", None, None, "waxwing command");
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(aws_endpoint)
            .build();
        Self(Client::from_conf(config))
    }

    /// The names of all tables.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn names(&self) -> Result<Vec<String>, TablesError> {
        let pages = self.0.list_tables().into_paginator().items().send();
        pages.collect::<Result<_, _>>().await.map_err(TablesError::of)
    }

    /// Every item of a table, expired ones included.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn items(&self, table: &str) -> Result<Vec<Item>, TablesError> {
        let pages = self.0.scan().table_name(table).consistent_read(true);
        let items: Vec<_> = pages
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(TablesError::of)?;
        Ok(items
            .into_iter()
            .map(|item| {
                let mut parts = Vec::new();
                for (name, value) in item {
                    parts.push(name.into_bytes());
                    flatten(value, &mut parts);
                }
                parts
            })
            .collect())
    }
}

impl TablesError {
    fn of(error: impl std::error::Error) -> Self {
        Self(DisplayErrorContext(error).to_string())
    }
}

/// Every scalar inside a value, as bytes.
fn flatten(value: AttributeValue, parts: &mut Item) {
    match value {
        AttributeValue::B(blob) => parts.push(blob.into_inner()),
        AttributeValue::Bs(blobs) => parts.extend(blobs.into_iter().map(|blob| blob.into_inner())),
        AttributeValue::S(text) | AttributeValue::N(text) => parts.push(text.into_bytes()),
        AttributeValue::Ss(texts) | AttributeValue::Ns(texts) => {
            parts.extend(texts.into_iter().map(String::into_bytes));
        }
        AttributeValue::L(values) => values.into_iter().for_each(|value| flatten(value, parts)),
        AttributeValue::M(values) => {
            for (name, value) in values {
                parts.push(name.into_bytes());
                flatten(value, parts);
            }
        }
        // Booleans and nulls hide no text.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn text_is_reached_however_deep_it_lies() {
        let inner = AttributeValue::M(HashMap::from([(
            "name".into(),
            AttributeValue::B(Blob::new(b"bytes")),
        )]));
        let value = AttributeValue::L(vec![
            AttributeValue::S("text".into()),
            AttributeValue::Ss(vec!["set".into()]),
            AttributeValue::N("7".into()),
            AttributeValue::Bool(true),
            inner,
        ]);
        let mut parts = Item::new();
        flatten(value, &mut parts);
        let expected: [&[u8]; 5] = [b"text", b"set", b"7", b"name", b"bytes"];
        assert_eq!(parts, expected);
    }
}
