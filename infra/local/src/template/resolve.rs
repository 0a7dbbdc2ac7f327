//! Puts in what the template only refers to: parameters, names, ARNs, conditions, mappings.
//!
//! CloudFormation user guide, "Intrinsic function reference". Functions that need AWS itself
//! (`Fn::ImportValue`, `Fn::GetAZs`, `Fn::Transform` …) are errors.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    error::{Problem, TemplateError},
    names::Names,
    section::{scalar_text, wrong_type},
};

/// References that may stand behind one another; a template needs a handful, a circle never ends.
const MAX_DEPTH: u8 = 64;

/// Everything that a reference in the template may name.
pub(super) struct Resolver<'a> {
    /// Parameters with their values, as text or list of texts.
    pub(super) parameters: &'a BTreeMap<String, Value>,
    /// Names of resources.
    pub(super) names: Names<'a>,
    /// The section `Mappings`.
    pub(super) mappings: Option<&'a Value>,
    /// The section `Conditions`.
    pub(super) conditions: Option<&'a Value>,
}

impl Resolver<'_> {
    /// Resolves a value and everything in it. `None` stands for `AWS::NoValue`.
    ///
    /// # Errors
    /// With the place inside the value where it cannot be resolved.
    pub(super) fn resolve(&self, value: &Value, path: &str) -> Result<Option<Value>, TemplateError> {
        self.value(value, &Place { path, depth: 0 })
    }

    /// Whether a condition of the template holds.
    ///
    /// # Errors
    /// If there is no such condition, or it is no condition.
    pub(super) fn condition(&self, name: &str, path: &str) -> Result<bool, TemplateError> {
        self.named_condition(name, &Place { path, depth: 0 })
    }

    fn value(&self, value: &Value, place: &Place<'_>) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Object(map) => match sole_entry(map) {
                Some((name, argument)) if name == "Ref" || name.starts_with("Fn::") => {
                    self.call(name, argument, &place.deeper()?)
                }
                _ => self.map(map, place).map(Some),
            },
            Value::Array(items) => {
                let items = items.iter().enumerate().filter_map(|(index, item)| {
                    let path = format!("{}[{index}]", place.path);
                    self.value(item, &place.inside(&path)).transpose()
                });
                items
                    .collect::<Result<_, _>>()
                    .map(|items| Some(Value::Array(items)))
            }
            scalar => Ok(Some(scalar.clone())),
        }
    }

    fn map(&self, map: &Map<String, Value>, place: &Place<'_>) -> Result<Value, TemplateError> {
        let mut resolved = Map::new();
        for (key, value) in map {
            let path = format!("{}.{key}", place.path);
            if let Some(value) = self.value(value, &place.inside(&path))? {
                resolved.insert(key.clone(), value);
            }
        }
        Ok(Value::Object(resolved))
    }

    fn call(&self, name: &str, argument: &Value, place: &Place<'_>) -> Result<Option<Value>, TemplateError> {
        match name {
            "Ref" => self.reference(&text_argument(name, argument, place)?, place),
            "Fn::GetAtt" => self.attribute(argument, place).map(Some),
            "Fn::Sub" => self.substitute(argument, place).map(Some),
            "Fn::Join" => self.join(argument, place).map(Some),
            "Fn::Select" => self.select(argument, place).map(Some),
            "Fn::Split" => self.split(argument, place).map(Some),
            "Fn::FindInMap" => self.find_in_map(argument, place).map(Some),
            "Fn::If" => self.choose(argument, place),
            other => Err(place.error(Problem::UnsupportedFunction(other.to_owned()))),
        }
    }

    fn reference(&self, name: &str, place: &Place<'_>) -> Result<Option<Value>, TemplateError> {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        if let Some(value) = self.names.pseudo_parameter(name) {
            return Ok(Some(value.into()));
        }
        let given = |logical_id: &str, property: &str| self.given_name(logical_id, property, place);
        match self.names.of(name, given)? {
            Some(value) => Ok(Some(value.into())),
            None => Err(place.error(Problem::UnknownReference(name.to_owned()))),
        }
    }

    fn attribute(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::GetAtt", "the name of a resource and of its attribute");
        let (resource, attribute) = match argument {
            Value::String(both) => both.split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())),
            Value::Array(items) => match items.as_slice() {
                [Value::String(resource), attribute] => {
                    Some((resource.clone(), self.text(attribute, "Fn::GetAtt", place)?))
                }
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(wrong)?;
        self.attribute_of(&resource, &attribute, place).map(Value::String)
    }

    fn attribute_of(
        &self,
        resource: &str,
        attribute: &str,
        place: &Place<'_>,
    ) -> Result<String, TemplateError> {
        let given = |logical_id: &str, property: &str| self.given_name(logical_id, property, place);
        let name = self
            .names
            .of(resource, given)?
            .ok_or_else(|| place.error(Problem::UnknownReference(resource.to_owned())))?;
        self.names.attribute(resource, &name, attribute).ok_or_else(|| {
            place.error(Problem::UnknownAttribute {
                resource: resource.to_owned(),
                attribute: attribute.to_owned(),
            })
        })
    }

    /// The name that a resource's own property gives it, if it does.
    fn given_name(
        &self,
        logical_id: &str,
        property: &str,
        place: &Place<'_>,
    ) -> Result<Option<String>, TemplateError> {
        let Some(value) = self.names.property(logical_id, property) else {
            return Ok(None);
        };
        let path = format!("Resources.{logical_id}.Properties.{property}");
        let place = place.inside(&path).deeper()?;
        match self.value(value, &place)? {
            None => Ok(None),
            Some(value) => scalar_text(&value)
                .map(Some)
                .ok_or_else(|| wrong_type(path.as_str(), "a text", &value)),
        }
    }

    fn substitute(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::Sub", "a text, or a list of a text and a mapping");
        let none = Map::new();
        let (text, variables) = match argument {
            Value::String(text) => (text, &none),
            Value::Array(items) => match items.as_slice() {
                [Value::String(text), Value::Object(variables)] => (text, variables),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        };
        let mut result = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, remaining) = after.split_once('}').ok_or_else(wrong)?;
            result.push_str(before);
            match name.strip_prefix('!') {
                Some(literal) => result.extend(["${", literal, "}"]),
                None => result.push_str(&self.variable(name.trim(), variables, place)?),
            }
            rest = remaining;
        }
        result.push_str(rest);
        Ok(Value::String(result))
    }

    fn variable(
        &self,
        name: &str,
        variables: &Map<String, Value>,
        place: &Place<'_>,
    ) -> Result<String, TemplateError> {
        if let Some(value) = variables.get(name) {
            return self.text(value, "Fn::Sub", place);
        }
        if let Some((resource, attribute)) = name.split_once('.') {
            return self.attribute_of(resource, attribute, place);
        }
        let value = self.reference(name, place)?;
        value
            .as_ref()
            .and_then(scalar_text)
            .ok_or_else(|| place.wrong_arguments("Fn::Sub", "texts for its variables"))
    }

    fn join(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::Join", "a delimiter and a list of texts");
        let [delimiter, items] = self.arguments(argument, place, wrong)?;
        let (Some(delimiter), Some(items)) = (delimiter.as_str(), items.as_array()) else {
            return Err(wrong());
        };
        let texts: Option<Vec<_>> = items.iter().map(scalar_text).collect();
        texts.map(|texts| texts.join(delimiter).into()).ok_or_else(wrong)
    }

    fn select(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::Select", "an index and a list that has it");
        let [index, items] = self.arguments(argument, place, wrong)?;
        let index: Option<usize> = scalar_text(&index).and_then(|text| text.parse().ok());
        let item = index.and_then(|index| items.get(index));
        item.cloned().ok_or_else(wrong)
    }

    fn split(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::Split", "a delimiter and a text");
        let [delimiter, text] = self.arguments(argument, place, wrong)?;
        match (delimiter.as_str(), text.as_str()) {
            (Some(delimiter), Some(text)) if !delimiter.is_empty() => {
                Ok(text.split(delimiter).map(Value::from).collect())
            }
            _ => Err(wrong()),
        }
    }

    fn find_in_map(&self, argument: &Value, place: &Place<'_>) -> Result<Value, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::FindInMap", "a mapping and two keys");
        let keys: [Value; 3] = self.arguments(argument, place, wrong)?;
        let mut found = self.mappings;
        for key in &keys {
            let key = key.as_str().ok_or_else(wrong)?;
            found = found.and_then(|mapping| mapping.get(key));
        }
        found.cloned().ok_or_else(|| {
            let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
            place.error(Problem::UnknownMapping(keys.join(", ")))
        })
    }

    fn choose(&self, argument: &Value, place: &Place<'_>) -> Result<Option<Value>, TemplateError> {
        let wrong = || place.wrong_arguments("Fn::If", "a condition and two values");
        let Some([Value::String(condition), yes, no]) = argument.as_array().map(Vec::as_slice) else {
            return Err(wrong());
        };
        let chosen = if self.named_condition(condition, place)? {
            yes
        } else {
            no
        };
        self.value(chosen, place)
    }

    fn named_condition(&self, name: &str, place: &Place<'_>) -> Result<bool, TemplateError> {
        let place = place.deeper()?;
        let definition = self.conditions.and_then(|conditions| conditions.get(name));
        let definition = definition.ok_or_else(|| place.error(Problem::UnknownCondition(name.to_owned())))?;
        self.holds(definition, &place)
    }

    fn holds(&self, condition: &Value, place: &Place<'_>) -> Result<bool, TemplateError> {
        let place = place.deeper()?;
        let wrong = |function: &str| place.wrong_arguments(function, "conditions, or two values to compare");
        let Some((name, argument)) = condition.as_object().and_then(sole_entry) else {
            return Err(wrong("a condition"));
        };
        let parts = argument.as_array().map(Vec::as_slice);
        match (name.as_str(), parts) {
            ("Condition", _) => self.named_condition(argument.as_str().ok_or_else(|| wrong(name))?, &place),
            ("Fn::Equals", Some([left, right])) => {
                Ok(self.text(left, name, &place)? == self.text(right, name, &place)?)
            }
            ("Fn::Not", Some([part])) => self.holds(part, &place).map(|holds| !holds),
            ("Fn::And", Some(parts)) => parts
                .iter()
                .try_fold(true, |all, part| Ok(self.holds(part, &place)? && all)),
            ("Fn::Or", Some(parts)) => parts
                .iter()
                .try_fold(false, |any, part| Ok(self.holds(part, &place)? || any)),
            _ => Err(wrong(name)),
        }
    }

    fn text(&self, value: &Value, function: &str, place: &Place<'_>) -> Result<String, TemplateError> {
        let resolved = self.value(value, place)?;
        resolved
            .as_ref()
            .and_then(scalar_text)
            .ok_or_else(|| place.wrong_arguments(function, "texts"))
    }

    fn arguments<const N: usize>(
        &self,
        argument: &Value,
        place: &Place<'_>,
        wrong: impl Fn() -> TemplateError,
    ) -> Result<[Value; N], TemplateError> {
        match self.value(argument, place)? {
            Some(Value::Array(items)) => items.try_into().map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// Where in the template a value is, and how many references led there.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    depth: u8,
}

impl<'a> Place<'a> {
    fn inside<'b>(&self, path: &'b str) -> Place<'b> {
        Place {
            path,
            depth: self.depth,
        }
    }

    fn deeper(self) -> Result<Self, TemplateError> {
        match self.depth {
            MAX_DEPTH => Err(self.error(Problem::Circular)),
            depth => Ok(Place {
                depth: depth + 1,
                ..self
            }),
        }
    }

    fn error(&self, problem: Problem) -> TemplateError {
        TemplateError::at(self.path, problem)
    }

    fn wrong_arguments(&self, function: &str, expected: &'static str) -> TemplateError {
        let function = function.to_owned();
        self.error(Problem::WrongArguments { function, expected })
    }
}

fn sole_entry(map: &Map<String, Value>) -> Option<(&String, &Value)> {
    let mut entries = map.iter();
    entries.next().filter(|_| entries.next().is_none())
}

fn text_argument(function: &str, argument: &Value, place: &Place<'_>) -> Result<String, TemplateError> {
    scalar_text(argument)
        .ok_or_else(|| place.wrong_arguments(function, "the name of a parameter or resource"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Surroundings, *};

    fn resolve(value: Value) -> Result<Option<Value>, TemplateError> {
        let resources = json!({
            "Jobs": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Fn::Sub": "${Stage}-jobs"}}},
            "Work": {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "work"}},
            "Snake": {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Ref": "Snake"}}},
            "Topic": {"Type": "AWS::SNS::Topic"},
        });
        let parameters = BTreeMap::from([
            ("Stage".to_owned(), json!("prod")),
            ("Zones".to_owned(), json!(["a", "b"])),
        ]);
        let mappings = json!({"Sizes": {"prod": {"Memory": 512}}});
        let conditions = json!({
            "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "IsTest": {"Fn::Not": [{"Condition": "IsProd"}]},
            "Any": {"Fn::Or": [{"Condition": "IsTest"}, {"Condition": "IsProd"}]},
            "All": {"Fn::And": [{"Condition": "IsTest"}, {"Condition": "IsProd"}]},
            "Loop": {"Condition": "Loop"},
        });
        let surroundings = Surroundings::default();
        let resolver = Resolver {
            parameters: &parameters,
            names: Names::new(&surroundings, resources.as_object().unwrap()),
            mappings: Some(&mappings),
            conditions: Some(&conditions),
        };
        resolver.resolve(&value, "Here")
    }

    #[test]
    fn references_names_and_functions_are_put_in() {
        for (value, expected) in [
            (json!({"Ref": "Stage"}), json!("prod")),
            (json!({"Ref": "AWS::Region"}), json!("us-east-1")),
            (json!({"Ref": "Jobs"}), json!("prod-jobs")),
            (json!({"Ref": "Work"}), json!("local-Work")),
            (
                json!({"Fn::GetAtt": ["Jobs", "Arn"]}),
                json!("arn:aws:dynamodb:us-east-1:000000000000:table/prod-jobs"),
            ),
            (
                json!({"Fn::GetAtt": "Work.Arn"}),
                json!("arn:aws:lambda:us-east-1:000000000000:function:local-Work"),
            ),
            (
                json!({"Fn::Sub": "${Stage}/${Jobs.Arn}/${!Stage}"}),
                json!("prod/arn:aws:dynamodb:us-east-1:000000000000:table/prod-jobs/${Stage}"),
            ),
            (
                json!({"Fn::Sub": ["${A}-${Stage}", {"A": {"Ref": "AWS::Partition"}}]}),
                json!("aws-prod"),
            ),
            (
                json!({"Fn::Join": [":", ["a", {"Ref": "Stage"}, 1]]}),
                json!("a:prod:1"),
            ),
            (json!({"Fn::Select": [1, {"Ref": "Zones"}]}), json!("b")),
            (json!({"Fn::Split": ["-", "a-b"]}), json!(["a", "b"])),
            (
                json!({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Memory"]}),
                json!(512),
            ),
            (json!({"Fn::If": ["IsProd", 1, 2]}), json!(1)),
            (json!({"Fn::If": ["IsTest", 1, 2]}), json!(2)),
            (json!({"Fn::If": ["Any", 1, 2]}), json!(1)),
            (json!({"Fn::If": ["All", 1, 2]}), json!(2)),
            (
                json!({"Ref": "Stage", "Other": {"Ref": "Stage"}}),
                json!({"Ref": "Stage", "Other": "prod"}),
            ),
        ] {
            assert_eq!(resolve(value.clone()).unwrap(), Some(expected), "{value}");
        }
    }

    #[test]
    fn no_value_takes_its_entry_with_it() {
        let value = json!({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Fn::If": ["IsTest", 2, {"Ref": "AWS::NoValue"}]}]});
        assert_eq!(resolve(value).unwrap(), Some(json!({"b": [1]})));
    }

    #[test]
    fn what_cannot_be_resolved_is_named_with_its_place() {
        for (value, expected) in [
            (
                json!({"a": [{"Ref": "Nobody"}]}),
                "Here.a[0]: refers to Nobody, but no parameter",
            ),
            (
                json!({"Fn::Sub": "${Work.Size}"}),
                "Here: asks Work for its attribute Size",
            ),
            (
                json!({"Fn::If": ["Maybe", 1, 2]}),
                "Here: refers to the condition Maybe",
            ),
            (
                json!({"Fn::FindInMap": ["Sizes", "test", "Memory"]}),
                "Here: finds nothing in Mappings",
            ),
            (
                json!({"Fn::ImportValue": "x"}),
                "Here: Fn::ImportValue cannot be evaluated",
            ),
            (json!({"Fn::Join": "x"}), "Here: Fn::Join takes a delimiter"),
            (json!({"Fn::Sub": "${Stage"}), "Here: Fn::Sub takes"),
            (json!({"Fn::Sub": "${Zones}"}), "Here: Fn::Sub takes texts"),
        ] {
            let error = resolve(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_circle_of_references_ends_in_an_error() {
        for value in [json!({"Ref": "Snake"}), json!({"Fn::If": ["Loop", 1, 2]})] {
            let error = resolve(value).unwrap_err().to_string();
            assert!(
                error.ends_with("refers to itself in the end; break the circle"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_resource_that_does_not_run_here_still_has_a_name() {
        assert_eq!(resolve(json!({"Ref": "Topic"})).unwrap(), Some(json!("Topic")));
        assert_eq!(
            resolve(json!({"Fn::GetAtt": ["Topic", "TopicArn"]})).unwrap(),
            Some(json!("Topic.TopicArn"))
        );
    }
}
