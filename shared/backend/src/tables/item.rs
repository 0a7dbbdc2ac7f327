//! Reading and writing the attributes of an item.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

use crate::fault::Fault;

/// An item as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Makes an item.
pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A binary value.
pub(crate) fn binary(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// A number value.
pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// An item that is not what this service writes. It names table and attribute and shows no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged attribute {attribute} in an item of {table}")]
pub(crate) struct Damaged {
    pub(crate) table: &'static str,
    pub(crate) attribute: &'static str,
}

impl From<Damaged> for Fault {
    fn from(damaged: Damaged) -> Self {
        tracing::error!(
            table = damaged.table,
            attribute = damaged.attribute,
            "an item is damaged"
        );
        Self::Internal
    }
}

/// An item that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) table: &'static str,
    pub(crate) item: &'a Item,
}

impl<'a> Reader<'a> {
    /// The bytes of a binary attribute, as `parse` reads them.
    pub(crate) fn binary<T, E>(
        self,
        attribute: &'static str,
        parse: impl FnOnce(&'a [u8]) -> Result<T, E>,
    ) -> Result<T, Damaged> {
        let value = self.item.get(attribute).and_then(|value| value.as_b().ok());
        value
            .and_then(|blob| parse(blob.as_ref()).ok())
            .ok_or(self.damaged(attribute))
    }

    /// A number.
    pub(crate) fn number<T: FromStr>(self, attribute: &'static str) -> Result<T, Damaged> {
        self.optional_number(attribute)?.ok_or(self.damaged(attribute))
    }

    /// A number that may be absent.
    pub(crate) fn optional_number<T: FromStr>(self, attribute: &'static str) -> Result<Option<T>, Damaged> {
        self.item.get(attribute).map_or(Ok(None), |value| {
            let parsed = value.as_n().ok().and_then(|digits| digits.parse().ok());
            parsed.map(Some).ok_or(self.damaged(attribute))
        })
    }

    /// A string that may be absent.
    pub(crate) fn optional_string(self, attribute: &'static str) -> Result<Option<&'a str>, Damaged> {
        self.item.get(attribute).map_or(Ok(None), |value| {
            let text = value.as_s().ok().map(String::as_str);
            text.map(Some).ok_or(self.damaged(attribute))
        })
    }

    /// The error that names `attribute`.
    pub(crate) fn damaged(self, attribute: &'static str) -> Damaged {
        Damaged {
            table: self.table,
            attribute,
        }
    }
}
