//! Reads YAML into JSON, with CloudFormation's short tags in their long form.
//!
//! `!Ref A`, `!GetAtt A.B` and `!Sub …` become `{"Ref": "A"}`, `{"Fn::GetAtt": ["A", "B"]}` and
//! `{"Fn::Sub": …}` (CloudFormation user guide, "Intrinsic function reference"), so that whoever reads the
//! template afterwards knows one form only.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, json};
use serde_saphyr::Tagged;

/// Reads a document.
///
/// # Errors
/// What is wrong with the YAML, and in which line.
pub(super) fn read(text: &str) -> Result<Value, String> {
    // YAML 1.1's other truth values stay text, as in CloudFormation's own tools: `N` is a key type.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options::<Node>(text, options)
        .map(|node| node.0)
        .map_err(|error| error.to_string())
}

/// A node with its tag applied.
struct Node(Value);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Tagged(Untagged(value), tag) = Tagged::deserialize(deserializer)?;
        Ok(Node(match tag.as_deref().and_then(|tag| tag.strip_prefix('!')) {
            Some(name) => long_form(name, value),
            None => value,
        }))
    }
}

fn long_form(name: &str, value: Value) -> Value {
    match (name, value) {
        ("Ref" | "Condition", value) => json!({ name: value }),
        ("GetAtt", Value::String(path)) => match path.split_once('.') {
            Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
            None => json!({ "Fn::GetAtt": [path] }),
        },
        (_, value) => json!({ format!("Fn::{name}"): value }),
    }
}

/// A node without its own tag; those below it have theirs.
struct Untagged(Value);

impl<'de> Deserialize<'de> for Untagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode).map(Untagged)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML node")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Node(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Node(value))) = entries.next_entry::<String, Node>()? {
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tags_become_long_forms() {
        let value = read(
            r#"
            a: !Ref Table
            b: !GetAtt Table.Stream.Arn
            c: !Sub "x-${Stage}"
            d: !Join [":", [a, !Ref B]]
            e: !If [IsProd, {k: !Ref C}, !Ref AWS::NoValue]
            f: !Equals [!Ref Stage, prod]
            g: !Sub
              - ${A}-${B}
              - {A: 1, B: !GetAtt F.Arn}
            h: !Condition IsProd
            "#,
        )
        .unwrap();
        let expected = json!({
            "a": {"Ref": "Table"},
            "b": {"Fn::GetAtt": ["Table", "Stream.Arn"]},
            "c": {"Fn::Sub": "x-${Stage}"},
            "d": {"Fn::Join": [":", ["a", {"Ref": "B"}]]},
            "e": {"Fn::If": ["IsProd", {"k": {"Ref": "C"}}, {"Ref": "AWS::NoValue"}]},
            "f": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "g": {"Fn::Sub": ["${A}-${B}", {"A": 1, "B": {"Fn::GetAtt": ["F", "Arn"]}}]},
            "h": {"Condition": "IsProd"},
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn quoted_scalars_stay_text_and_plain_ones_have_their_type() {
        let value =
            read("a: \"10\"\nb: 10\nc: 2012-10-17\nd: true\ne: \"true\"\nf: 1.5\ng:\nh: $connect\ni: N")
                .unwrap();
        let expected = json!({
            "a": "10", "b": 10, "c": "2012-10-17", "d": true, "e": "true", "f": 1.5, "g": null, "h": "$connect", "i": "N"
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_fault_in_the_yaml_names_its_line() {
        let error = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn a_key_written_twice_is_refused() {
        assert!(read("a: 1\na: 2").is_err());
    }
}
