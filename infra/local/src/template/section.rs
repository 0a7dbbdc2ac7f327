//! A mapping of the template under the eyes of its reader: what it asks for is typed, what it never asked
//! for is reported.

use std::{cell::RefCell, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{
    Warning,
    error::{Problem, TemplateError},
};

/// A mapping and where it is. Every entry is to be read, or named in [`Section::finish`].
pub(super) struct Section<'a> {
    path: String,
    entries: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Section<'a> {
    /// Looks at the template itself.
    pub(super) fn root(value: &'a Value) -> Result<Self, TemplateError> {
        match value {
            Value::Object(_) => Self::new("", value),
            other => Err(wrong_type("the template", "a mapping", other)),
        }
    }

    /// Looks at a value that has to be a mapping.
    pub(super) fn new(path: impl Into<String>, value: &'a Value) -> Result<Self, TemplateError> {
        let path = path.into();
        match value {
            Value::Object(entries) => Ok(Self {
                path,
                entries,
                read: RefCell::default(),
            }),
            other => Err(wrong_type(path, "a mapping", other)),
        }
    }

    /// The path of an entry, or with no key of the mapping itself.
    pub(super) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// An error at an entry.
    pub(super) fn error(&self, key: &str, problem: Problem) -> TemplateError {
        TemplateError::at(self.path_of(key), problem)
    }

    /// An entry of any type. `null` is no entry.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.entries.get_key_value(key)?;
        self.read.borrow_mut().insert(key);
        (!value.is_null()).then_some(value)
    }

    /// A text; numbers and truth values count as their text.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, TemplateError> {
        self.value(key)
            .map(|value| scalar_text(value).ok_or_else(|| wrong_type(self.path_of(key), "a text", value)))
            .transpose()
    }

    /// A text that has to be there.
    pub(super) fn required_text(&self, key: &str) -> Result<String, TemplateError> {
        self.text(key)?.ok_or_else(|| self.error(key, Problem::Missing))
    }

    /// A whole number within bounds. The text of one counts too: parameters are texts.
    pub(super) fn number(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, TemplateError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = scalar_text(value).ok_or_else(|| wrong_type(self.path_of(key), "a number", value))?;
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number from {least} to {most}");
                Err(self.error(
                    key,
                    Problem::WrongValue {
                        value: text,
                        expected,
                    },
                ))
            }
        }
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, TemplateError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" || text == "false" => Ok(Some(text == "true")),
            Some(other) => Err(wrong_type(self.path_of(key), "true or false", other)),
        }
    }

    /// A mapping below.
    pub(super) fn section(&self, key: &str) -> Result<Option<Section<'a>>, TemplateError> {
        self.value(key)
            .map(|value| Section::new(self.path_of(key), value))
            .transpose()
    }

    /// A list; a single value counts as a list of one, as CloudFormation has it in many places.
    pub(super) fn list(&self, key: &str) -> Vec<&'a Value> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.iter().collect(),
            Some(single) => vec![single],
        }
    }

    /// A list of mappings.
    pub(super) fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, TemplateError> {
        let items = self.list(key).into_iter().enumerate();
        items
            .map(|(index, value)| Section::new(format!("{}[{index}]", self.path_of(key)), value))
            .collect()
    }

    /// Every entry as a mapping, in order of their keys.
    pub(super) fn all_sections(&self) -> Result<Vec<(&'a str, Section<'a>)>, TemplateError> {
        self.keys()
            .into_iter()
            .filter_map(|key| Some((key, self.value(key)?)))
            .map(|(key, value)| Ok((key, Section::new(self.path_of(key), value)?)))
            .collect()
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// Reports every entry that was neither read nor is in `harmless`: those that make no difference on one
    /// machine.
    pub(super) fn finish(&self, harmless: &[&str], warnings: &mut Vec<Warning>) {
        let read = self.read.borrow();
        let left = self
            .keys()
            .into_iter()
            .filter(|key| !read.contains(key) && !harmless.contains(key));
        warnings.extend(left.map(|key| Warning {
            path: self.path_of(key),
            message: "has no effect here".to_owned(),
        }));
    }
}

/// The text of a scalar.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An error for a value of another type.
pub(super) fn wrong_type(path: impl Into<String>, expected: &'static str, found: &Value) -> TemplateError {
    let found = match found {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    };
    TemplateError::at(path, Problem::WrongType { expected, found })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_read_is_reported() {
        let value = json!({"Read": "x", "Harmless": 1, "Strange": 2});
        let section = Section::new("Resources.A.Properties", &value).unwrap();
        section.text("Read").unwrap();
        let mut warnings = Vec::new();
        section.finish(&["Harmless"], &mut warnings);
        let paths: Vec<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
        assert_eq!(paths, ["Resources.A.Properties.Strange"]);
    }

    #[test]
    fn an_error_names_the_place_what_is_there_and_what_belongs_there() {
        let value = json!({"Timeout": [1], "MemorySize": "64"});
        let section = Section::new("Resources.A.Properties", &value).unwrap();
        assert_eq!(
            section.number("Timeout", 1, 900).unwrap_err().to_string(),
            "Resources.A.Properties.Timeout: is a list; write a number instead"
        );
        assert_eq!(
            section.number("MemorySize", 128, 10_240).unwrap_err().to_string(),
            "Resources.A.Properties.MemorySize: 64 is not possible; write a whole number from 128 to 10240 instead"
        );
        assert_eq!(
            section.required_text("Handler").unwrap_err().to_string(),
            "Resources.A.Properties.Handler: is missing; add it"
        );
    }
}
