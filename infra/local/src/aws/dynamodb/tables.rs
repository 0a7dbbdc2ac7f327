//! Makes the template's tables, or checks that those in the files are the template's.

use std::fmt;

use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::describe_time_to_live::DescribeTimeToLiveRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use dynoxide::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType};
use dynoxide::{Database, DynoxideError};
use thiserror::Error;

use crate::template::{KeySpec, KeyType as Kind, TableSpec};

/// Why a table is not as the template wants it.
#[derive(Debug, Error)]
pub enum TableError {
    /// The table exists with other keys. Keys of a table never change, here or in AWS.
    #[error("the table {table} has the keys {found}, but the template says {wanted}: use another directory")]
    Keys {
        /// The table.
        table: String,
        /// Its keys.
        found: Keys,
        /// The template's.
        wanted: Keys,
    },
    /// The database refused.
    #[error("the table {table} cannot be made: {source}")]
    Database {
        /// The table.
        table: String,
        /// What the database says.
        source: DynoxideError,
    },
}

/// The keys of a table, as a person reads them: `a (B), d (B)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<(String, &'static str)>);

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, kind)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{name} ({kind})")?;
        }
        Ok(())
    }
}

/// Makes the table if it does not exist, and sets its time to live. Blocks.
///
/// # Errors
/// Every case of [`TableError`].
pub fn make(database: &Database, table: &TableSpec) -> Result<(), TableError> {
    let failed = |source| TableError::Database {
        table: table.name.clone(),
        source,
    };
    let described = database.describe_table(DescribeTableRequest {
        table_name: table.name.clone(),
    });
    match described {
        Ok(existing) => {
            let found = existing_keys(&existing.table.key_schema, &existing.table.attribute_definitions);
            let wanted = Keys(
                keys(table)
                    .map(|(_, key)| (key.name.clone(), key.kind.as_str()))
                    .collect(),
            );
            if found != wanted {
                return Err(TableError::Keys {
                    table: table.name.clone(),
                    found,
                    wanted,
                });
            }
        }
        Err(DynoxideError::ResourceNotFoundException(_)) => {
            database.create_table(create_request(table)).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    set_time_to_live(database, table).map_err(failed)
}

fn create_request(table: &TableSpec) -> CreateTableRequest {
    let definition = |key: &KeySpec| AttributeDefinition {
        attribute_name: key.name.clone(),
        attribute_type: match key.kind {
            Kind::String => ScalarAttributeType::S,
            Kind::Number => ScalarAttributeType::N,
            Kind::Binary => ScalarAttributeType::B,
        },
    };
    CreateTableRequest {
        table_name: table.name.clone(),
        key_schema: keys(table)
            .map(|(key_type, key)| KeySchemaElement {
                attribute_name: key.name.clone(),
                key_type,
            })
            .collect(),
        attribute_definitions: keys(table).map(|(_, key)| definition(key)).collect(),
        billing_mode: Some("PAY_PER_REQUEST".to_owned()),
        ..CreateTableRequest::default()
    }
}

fn keys(table: &TableSpec) -> impl Iterator<Item = (KeyType, &KeySpec)> {
    let sort = table.sort_key.iter().map(|key| (KeyType::RANGE, key));
    std::iter::once((KeyType::HASH, &table.partition_key)).chain(sort)
}

fn existing_keys(schema: &[KeySchemaElement], definitions: &[AttributeDefinition]) -> Keys {
    let kind = |name: &str| {
        let definition = definitions
            .iter()
            .find(|definition| definition.attribute_name == name);
        definition.map_or("?", |definition| match definition.attribute_type {
            ScalarAttributeType::S => "S",
            ScalarAttributeType::N => "N",
            ScalarAttributeType::B => "B",
        })
    };
    let mut schema: Vec<_> = schema.iter().collect();
    schema.sort_by_key(|element| element.key_type != KeyType::HASH);
    Keys(
        schema
            .into_iter()
            .map(|key| (key.attribute_name.clone(), kind(&key.attribute_name)))
            .collect(),
    )
}

/// Brings the table's time to live to what the template says. DynamoDB refuses to enable what is enabled, and
/// wants another attribute to be disabled first.
fn set_time_to_live(database: &Database, table: &TableSpec) -> Result<(), DynoxideError> {
    let described = database.describe_time_to_live(DescribeTimeToLiveRequest {
        table_name: table.name.clone(),
    })?;
    let current = described.time_to_live_description.attribute_name;
    if current == table.ttl_attribute {
        return Ok(());
    }
    let set = |attribute_name: String, enabled| {
        database.update_time_to_live(UpdateTimeToLiveRequest {
            table_name: table.name.clone(),
            time_to_live_specification: TimeToLiveSpecification {
                attribute_name,
                enabled,
            },
        })
    };
    if let Some(attribute) = current {
        set(attribute, false)?;
    }
    if let Some(attribute) = table.ttl_attribute.clone() {
        set(attribute, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> TableSpec {
        TableSpec {
            name: "Mailbox".to_owned(),
            partition_key: KeySpec {
                name: "o".to_owned(),
                kind: Kind::Binary,
            },
            sort_key: Some(KeySpec {
                name: "i".to_owned(),
                kind: Kind::Binary,
            }),
            ttl_attribute: Some("expires_at".to_owned()),
        }
    }

    fn time_to_live(database: &Database) -> Option<String> {
        let request = DescribeTimeToLiveRequest {
            table_name: "Mailbox".to_owned(),
        };
        let description = database
            .describe_time_to_live(request)
            .unwrap()
            .time_to_live_description;
        assert_eq!(
            description.time_to_live_status == "ENABLED",
            description.attribute_name.is_some()
        );
        description.attribute_name
    }

    #[test]
    fn a_table_is_made_once_and_found_again() {
        let database = Database::memory().unwrap();
        make(&database, &mailbox()).unwrap();
        make(&database, &mailbox()).unwrap();
        assert_eq!(database.table_count().unwrap(), 1);
        assert_eq!(time_to_live(&database).as_deref(), Some("expires_at"));
    }

    #[test]
    fn time_to_live_follows_the_template() {
        let database = Database::memory().unwrap();
        make(&database, &mailbox()).unwrap();
        make(
            &database,
            &TableSpec {
                ttl_attribute: Some("e".to_owned()),
                ..mailbox()
            },
        )
        .unwrap();
        assert_eq!(time_to_live(&database).as_deref(), Some("e"));
        make(
            &database,
            &TableSpec {
                ttl_attribute: None,
                ..mailbox()
            },
        )
        .unwrap();
        assert_eq!(time_to_live(&database), None);
    }

    #[test]
    fn a_table_with_other_keys_is_refused_and_both_are_named() {
        let database = Database::memory().unwrap();
        make(&database, &mailbox()).unwrap();
        let number = KeySpec {
            name: "i".to_owned(),
            kind: Kind::Number,
        };
        let changed = TableSpec {
            sort_key: Some(number),
            ..mailbox()
        };
        let message = make(&database, &changed).unwrap_err().to_string();
        assert!(
            message.contains("o (B), i (B)") && message.contains("o (B), i (N)"),
            "{message}"
        );
        assert!(
            make(
                &database,
                &TableSpec {
                    sort_key: None,
                    ..mailbox()
                }
            )
            .is_err()
        );
    }
}
