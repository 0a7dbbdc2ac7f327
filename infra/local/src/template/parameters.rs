//! The section `Parameters`: the values given for a run, or the defaults, checked as CloudFormation does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Surroundings, Warning,
    error::{Problem, TemplateError},
    section::{Section, scalar_text},
};

/// Gives every parameter its value: a text, or a list of texts. One that names what this machine has gets that, and a secret
/// one (`NoEcho`) without a default the secret of the run, unless they are given.
///
/// # Errors
/// For a value that its constraints exclude, a missing value, and a value for no parameter.
pub(super) fn evaluate(
    declared: Option<&Section<'_>>,
    given: &BTreeMap<String, String>,
    surroundings: &Surroundings,
    warnings: &mut Vec<Warning>,
) -> Result<BTreeMap<String, Value>, TemplateError> {
    let declared = declared
        .map(Section::all_sections)
        .transpose()?
        .unwrap_or_default();
    if let Some(unknown) = given
        .keys()
        .find(|name| !declared.iter().any(|(known, _)| known == name))
    {
        let known: Vec<_> = declared.iter().map(|(name, _)| *name).collect();
        let problem = Problem::UnknownParameter(known.join(", "));
        return Err(TemplateError::at(format!("Parameters.{unknown}"), problem));
    }
    declared
        .into_iter()
        .map(|(name, parameter)| {
            let value = value_of(name, &parameter, given.get(name), surroundings, warnings)?;
            Ok((name.to_owned(), value))
        })
        .collect()
}

fn value_of(
    name: &str,
    parameter: &Section<'_>,
    given: Option<&String>,
    surroundings: &Surroundings,
    warnings: &mut Vec<Warning>,
) -> Result<Value, TemplateError> {
    let path = || format!("Parameters.{name}");
    let default = parameter.text("Default")?;
    let is_secret = parameter.value("NoEcho").and_then(scalar_text).as_deref() == Some("true");
    let text = given
        .or_else(|| surroundings.stand_ins.get(name))
        .cloned()
        .or(default)
        .or_else(|| is_secret.then(|| surroundings.secret.clone()))
        .ok_or_else(|| TemplateError::at(path(), Problem::NoParameterValue))?;
    let refuse = |expected: String| {
        let value = if is_secret { "it".to_owned() } else { text.clone() };
        Err(TemplateError::at(path(), Problem::WrongValue { value, expected }))
    };

    let allowed: Vec<_> = parameter
        .list("AllowedValues")
        .into_iter()
        .filter_map(scalar_text)
        .collect();
    if !allowed.is_empty() && !allowed.contains(&text) {
        return refuse(format!("one of {}", allowed.join(", ")));
    }
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let least = parameter.number("MinLength", 0, u32::MAX)?.unwrap_or(0);
    let most = parameter.number("MaxLength", 0, u32::MAX)?.unwrap_or(u32::MAX);
    if !(least..=most).contains(&length) {
        return refuse(format!("{least} to {most} characters"));
    }
    if let Err(expected) = check_bounds(parameter, &text) {
        return refuse(expected);
    }
    if parameter.value("AllowedPattern").is_some() && given.is_some() {
        let message = "is not checked against its AllowedPattern here".to_owned();
        warnings.push(Warning {
            path: path(),
            message,
        });
    }

    let value = match parameter.required_text("Type")?.as_str() {
        "Number" if text.parse::<f64>().is_err() => return refuse("a number".to_owned()),
        "CommaDelimitedList" | "List<Number>" => {
            text.split(',').map(|item| Value::from(item.trim())).collect()
        }
        _ => Value::from(text),
    };
    parameter.finish(&["Description", "ConstraintDescription", "NoEcho"], warnings);
    Ok(value)
}

/// `MinValue` and `MaxValue` of a number.
///
/// # Errors
/// With what would be possible.
fn check_bounds(parameter: &Section<'_>, text: &str) -> Result<(), String> {
    let bound = |key| -> Option<f64> { scalar_text(parameter.value(key)?)?.parse().ok() };
    let (least, most) = (bound("MinValue"), bound("MaxValue"));
    if least.is_none() && most.is_none() {
        return Ok(());
    }
    let (least, most) = (least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY));
    match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluate_with(given: &[(&str, &str)]) -> Result<BTreeMap<String, Value>, TemplateError> {
        let declared = json!({
            "Stage": {"Type": "String", "Default": "prod", "MinLength": 2, "MaxLength": 5},
            "Level": {"Type": "String", "Default": "warn", "AllowedValues": ["warn", "info"]},
            "Size": {"Type": "Number", "Default": 3},
            "Zones": {"Type": "CommaDelimitedList", "Default": "a, b"},
            "Rate": {"Type": "Number", "Default": 5, "MinValue": 1, "MaxValue": 9},
        });
        let given = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        evaluate(
            Some(&Section::new("Parameters", &declared).unwrap()),
            &given,
            &Surroundings::default(),
            &mut Vec::new(),
        )
    }

    #[test]
    fn a_given_value_goes_before_the_default() {
        let values = evaluate_with(&[("Stage", "test")]).unwrap();
        assert_eq!(values["Stage"], json!("test"));
        assert_eq!(values["Level"], json!("warn"));
        assert_eq!(values["Size"], json!("3"));
        assert_eq!(values["Zones"], json!(["a", "b"]));
    }

    #[test]
    fn a_value_outside_its_constraints_is_refused() {
        for (given, expected) in [
            (
                ("Level", "loud"),
                "Parameters.Level: loud is not possible; write one of warn, info instead",
            ),
            (
                ("Stage", "p"),
                "Parameters.Stage: p is not possible; write 2 to 5 characters instead",
            ),
            (
                ("Size", "big"),
                "Parameters.Size: big is not possible; write a number instead",
            ),
            (
                ("Rate", "0"),
                "Parameters.Rate: 0 is not possible; write a number from 1 to 9 instead",
            ),
            (
                ("Nope", "x"),
                "Parameters.Nope: the template has no parameter of this name; it has Level, Rate, Size, Stage, Zones",
            ),
        ] {
            assert_eq!(evaluate_with(&[given]).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_secret_parameter_has_the_secret_of_the_run_and_is_not_shown() {
        let declared = json!({"Key": {"Type": "String", "NoEcho": true, "MinLength": 8}});
        let declared = Section::new("Parameters", &declared).unwrap();
        let surroundings = Surroundings {
            secret: "a secret".to_owned(),
            ..Surroundings::default()
        };
        let evaluate =
            |given: &BTreeMap<_, _>| evaluate(Some(&declared), given, &surroundings, &mut Vec::new());
        assert_eq!(evaluate(&BTreeMap::new()).unwrap()["Key"], json!("a secret"));
        let given = BTreeMap::from([("Key".to_owned(), "given by hand".to_owned())]);
        assert_eq!(evaluate(&given).unwrap()["Key"], json!("given by hand"));
        let short = BTreeMap::from([("Key".to_owned(), "hush".to_owned())]);
        assert!(!evaluate(&short).unwrap_err().to_string().contains("hush"));
    }

    #[test]
    fn a_parameter_that_names_what_this_machine_has_gets_it_unless_another_is_given() {
        let declared = json!({"Phones": {"Type": "String", "Default": ""}});
        let declared = Section::new("Parameters", &declared).unwrap();
        let surroundings = Surroundings {
            stand_ins: [("Phones".to_owned(), "here".to_owned())].into(),
            ..Surroundings::default()
        };
        let evaluate =
            |given: &BTreeMap<_, _>| evaluate(Some(&declared), given, &surroundings, &mut Vec::new());
        assert_eq!(evaluate(&BTreeMap::new()).unwrap()["Phones"], json!("here"));
        let given = BTreeMap::from([("Phones".to_owned(), String::new())]);
        assert_eq!(evaluate(&given).unwrap()["Phones"], json!(""));
    }

    #[test]
    fn a_parameter_without_a_default_needs_a_value() {
        let declared = json!({"Key": {"Type": "String"}});
        let declared = Section::new("Parameters", &declared).unwrap();
        let error = evaluate(
            Some(&declared),
            &BTreeMap::new(),
            &Surroundings::default(),
            &mut Vec::new(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Parameters.Key: has no default; give it a value"
        );
    }
}
