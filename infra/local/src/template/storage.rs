//! `AWS::DynamoDB::Table` and `AWS::S3::Bucket`.

use super::{
    BucketSpec, KeySpec, KeyType, TableSpec, Warning,
    error::{Problem, TemplateError},
    section::Section,
};

/// Properties of a table that make no difference on one machine.
const HARMLESS_OF_TABLE: &[&str] = &[
    "BillingMode",
    "ContributorInsightsSpecification",
    "DeletionProtectionEnabled",
    "OnDemandThroughput",
    "PointInTimeRecoverySpecification",
    "ProvisionedThroughput",
    "SSESpecification",
    "TableClass",
    "TableName",
    "Tags",
    "WarmThroughput",
];

/// Properties of a bucket that make no difference on one machine.
const HARMLESS_OF_BUCKET: &[&str] = &[
    "AbacStatus",
    "BucketEncryption",
    "BucketName",
    "LoggingConfiguration",
    "OwnershipControls",
    "PublicAccessBlockConfiguration",
    "Tags",
];

/// Reads the resolved properties of a table.
pub(super) fn read_table(
    name: String,
    properties: &Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<TableSpec, TemplateError> {
    let mut keys = KeyReader {
        properties,
        partition: None,
        sort: None,
    };
    keys.read()?;
    let partition_key = keys
        .partition
        .ok_or_else(|| properties.error("KeySchema", Problem::Missing))?;
    let spec = TableSpec {
        name,
        partition_key,
        sort_key: keys.sort,
        ttl_attribute: ttl_attribute(properties)?,
    };
    properties.finish(HARMLESS_OF_TABLE, warnings);
    Ok(spec)
}

struct KeyReader<'a, 'b> {
    properties: &'a Section<'b>,
    partition: Option<KeySpec>,
    sort: Option<KeySpec>,
}

impl KeyReader<'_, '_> {
    fn read(&mut self) -> Result<(), TemplateError> {
        let attributes = self.properties.sections("AttributeDefinitions")?;
        for key in self.properties.sections("KeySchema")? {
            let name = key.required_text("AttributeName")?;
            let mut kind = None;
            for attribute in &attributes {
                if attribute.required_text("AttributeName")? == name {
                    kind = Some(key_type(attribute)?);
                }
            }
            let kind = kind.ok_or_else(|| {
                let expected = "an attribute that AttributeDefinitions lists".to_owned();
                key.error(
                    "AttributeName",
                    Problem::WrongValue {
                        value: name.clone(),
                        expected,
                    },
                )
            })?;
            let slot = match key.required_text("KeyType")?.as_str() {
                "HASH" => &mut self.partition,
                "RANGE" => &mut self.sort,
                other => {
                    let expected = "HASH or RANGE".to_owned();
                    return Err(key.error(
                        "KeyType",
                        Problem::WrongValue {
                            value: other.to_owned(),
                            expected,
                        },
                    ));
                }
            };
            *slot = Some(KeySpec { name, kind });
        }
        Ok(())
    }
}

fn key_type(attribute: &Section<'_>) -> Result<KeyType, TemplateError> {
    match attribute.required_text("AttributeType")?.as_str() {
        "S" => Ok(KeyType::String),
        "N" => Ok(KeyType::Number),
        "B" => Ok(KeyType::Binary),
        other => {
            let expected = "S, N or B".to_owned();
            Err(attribute.error(
                "AttributeType",
                Problem::WrongValue {
                    value: other.to_owned(),
                    expected,
                },
            ))
        }
    }
}

fn ttl_attribute(properties: &Section<'_>) -> Result<Option<String>, TemplateError> {
    let Some(ttl) = properties.section("TimeToLiveSpecification")? else {
        return Ok(None);
    };
    let attribute = ttl.text("AttributeName")?;
    match ttl.flag("Enabled")? {
        Some(true) => attribute
            .map(Some)
            .ok_or_else(|| ttl.error("AttributeName", Problem::Missing)),
        Some(false) => Ok(None),
        None => Err(ttl.error("Enabled", Problem::Missing)),
    }
}

/// Reads the resolved properties of a bucket.
pub(super) fn read_bucket(name: String, properties: &Section<'_>, warnings: &mut Vec<Warning>) -> BucketSpec {
    properties.finish(HARMLESS_OF_BUCKET, warnings);
    BucketSpec { name }
}
