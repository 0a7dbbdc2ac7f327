//! Looks into the tables from outside, through the endpoint and with the SDK that the functions use.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Builder, Region, StalledStreamProtectionConfig},
    error::DisplayErrorContext,
    types::{AttributeValue, TimeToLiveStatus},
};
use waxwing_client::AccountId;
use waxwing_local::aws::TOOLS_ACCESS_KEY;

/// A region name, because the SDK wants one; the endpoint decides.
const REGION: &str = "us-east-1";

/// The tables behind an endpoint.
pub struct Tables(Client);

/// How a table deletes what has expired, and when its items expire.
#[derive(Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The attribute it deletes by.
    pub attribute: String,
    /// Seconds of Unix time, of every item that has the attribute.
    pub values: Vec<u64>,
}

/// The time of day, to compare [`Expiry::values`] with.
#[allow(
    clippy::disallowed_methods,
    reason = "the command is the edge that has a clock"
)]
pub fn now_in_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A table could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the tables could not be read: {0}")]
pub struct TablesError(String);

/// Every attribute of an item, name and value, as the bytes that are kept.
pub type Item = Vec<Vec<u8>>;

/// The SDK as this command uses it: as functions do, without its watch over streams that stand still.
pub fn sdk() -> Builder {
    let credentials = Credentials::new(TOOLS_ACCESS_KEY, "local", None, None, "waxwing command");
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

impl Tables {
    /// The tables behind the AWS endpoint of a local runner.
    pub fn at(aws_endpoint: &str) -> Self {
        let config = sdk().endpoint_url(aws_endpoint).build();
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

    /// How the table of this logical id deletes what has expired; `None` if it never does.
    ///
    /// # Errors
    /// [`TablesError`], also if there is no such table.
    pub async fn expiries(&self, logical_id: &str) -> Result<Option<Expiry>, TablesError> {
        let name = self.named(logical_id).await?;
        let described = self.0.describe_time_to_live().table_name(&name).send().await;
        let described = described.map_err(TablesError::of)?.time_to_live_description;
        let enabled = described.filter(|it| it.time_to_live_status == Some(TimeToLiveStatus::Enabled));
        let Some(attribute) = enabled.and_then(|it| it.attribute_name) else {
            return Ok(None);
        };
        let items = self.all(&name).await?;
        let seconds = |item: &HashMap<_, AttributeValue>| item.get(&attribute)?.as_n().ok()?.parse().ok();
        let values = items.iter().filter_map(seconds).collect();
        Ok(Some(Expiry { attribute, values }))
    }

    /// How many devices of these accounts count as connected.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn connected(&self, accounts: &[AccountId]) -> Result<usize, TablesError> {
        let name = self.named("DevicesTable").await?;
        let items = self.all(&name).await?;
        let is_of = |item: &HashMap<String, AttributeValue>| {
            let owner = item.get("a").and_then(|value| value.as_b().ok());
            accounts
                .iter()
                .any(|account| owner.is_some_and(|owner| owner.as_ref() == account.to_bytes()))
        };
        Ok(items
            .iter()
            .filter(|item| is_of(item) && item.contains_key("c"))
            .count())
    }

    async fn named(&self, logical_id: &str) -> Result<String, TablesError> {
        let names = self.names().await?;
        let name = names.into_iter().find(|name| name.ends_with(logical_id));
        name.ok_or_else(|| TablesError(format!("there is no table {logical_id}")))
    }

    async fn all(&self, name: &str) -> Result<Vec<HashMap<String, AttributeValue>>, TablesError> {
        let pages = self.0.scan().table_name(name).consistent_read(true);
        let items = pages.into_paginator().items().send();
        items.collect::<Result<_, _>>().await.map_err(TablesError::of)
    }

    /// Deletes all items of a table whose key has these attributes: what no service may do, and a broken one could.
    #[cfg(test)]
    pub(crate) async fn empty(&self, logical_id: &str, key: &[&str]) -> Result<(), TablesError> {
        let name = self.named(logical_id).await?;
        for mut item in self.all(&name).await? {
            item.retain(|attribute, _| key.contains(&attribute.as_str()));
            let delete = self.0.delete_item().table_name(&name).set_key(Some(item));
            delete.send().await.map_err(TablesError::of)?;
        }
        Ok(())
    }

    /// Every item of a table, expired ones included.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn items(&self, table: &str) -> Result<Vec<Item>, TablesError> {
        let items = self.all(table).await?;
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
