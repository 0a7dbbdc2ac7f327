//! `AWS::Serverless::Function`: how it runs, which HTTP requests it answers, and when the clock invokes it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{
    FunctionSpec, Warning,
    error::{Problem, TemplateError},
    section::{Section, scalar_text, wrong_type},
};

/// Seconds a function may have (Lambda quotas: function timeout), and those it has unless it says otherwise.
const TIMEOUT_SECONDS: (u32, u32, u32) = (1, 900, 3);
/// MB a function may have (Lambda quotas: function memory), and those it has unless it says otherwise.
const MEMORY_MB: (u32, u32, u32) = (128, 10_240, 128);

/// Properties that make no difference on one machine: what is built, how a new version takes over, where logs
/// go, how it is described.
const HARMLESS: &[&str] = &[
    "Architectures",
    "AutoPublishAlias",
    "CodeUri",
    "DeploymentPreference",
    "Description",
    "LoggingConfig",
    "PackageType",
    "PropagateTags",
    "Runtime",
    "RuntimeManagementConfig",
    "Tags",
    "Tracing",
];

/// An `HttpApi` event of a function: a route that is not yet tied to an API.
pub(super) struct HttpEvent {
    /// Where it stands in the template.
    pub(super) path: String,
    /// `ApiId`, or `None` for the implicit API.
    pub(super) api_id: Option<String>,
    /// `GET`, `POST` … or `ANY`.
    pub(super) method: String,
    /// The path, or `$default`.
    pub(super) route_path: String,
}

/// Reads the resolved properties of a function.
pub(super) fn read(
    logical_id: &str,
    name: String,
    properties: &Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(FunctionSpec, Vec<HttpEvent>), TemplateError> {
    properties.value("FunctionName");
    let (least, most, default) = TIMEOUT_SECONDS;
    let timeout_seconds = properties.number("Timeout", least, most)?.unwrap_or(default);
    let (least, most, default) = MEMORY_MB;
    let memory_mb = properties.number("MemorySize", least, most)?.unwrap_or(default);
    let mut spec = FunctionSpec {
        logical_id: logical_id.to_owned(),
        handler: properties.required_text("Handler")?,
        name,
        timeout_seconds,
        memory_mb,
        environment: environment(properties)?,
        schedules: Vec::new(),
        policies: policies(properties, warnings),
    };
    let mut found = Vec::new();
    if let Some(events) = properties.section("Events")? {
        for (name, event) in events.all_sections()? {
            let (kind, properties) = (event.required_text("Type")?, event.section("Properties")?);
            match (kind.as_str(), properties) {
                ("HttpApi", properties) => {
                    found.push(http_event(events.path_of(name), properties.as_ref(), warnings)?);
                }
                ("Schedule", Some(properties)) => spec.schedules.push(schedule(&properties, warnings)?),
                _ => warnings.push(Warning {
                    path: events.path_of(name),
                    message: format!("never happens here: the runner has no {kind} events"),
                }),
            }
        }
    }
    properties.finish(HARMLESS, warnings);
    Ok((spec, found))
}

fn environment(properties: &Section<'_>) -> Result<BTreeMap<String, String>, TemplateError> {
    let Some(environment) = properties.section("Environment")? else {
        return Ok(BTreeMap::new());
    };
    let Some(variables) = environment.section("Variables")? else {
        return Ok(BTreeMap::new());
    };
    let keys = variables.keys().into_iter();
    keys.map(|key| {
        let value = variables.value(key).unwrap_or(&Value::Null);
        let text = scalar_text(value).ok_or_else(|| wrong_type(variables.path_of(key), "a text", value))?;
        Ok((key.to_owned(), text))
    })
    .collect()
}

/// The policy documents. Names of managed policies and SAM's policy templates say nothing without AWS.
fn policies(properties: &Section<'_>, warnings: &mut Vec<Warning>) -> Vec<Value> {
    let (documents, others): (Vec<_>, Vec<_>) = properties
        .list("Policies")
        .into_iter()
        .partition(|policy| policy.get("Statement").is_some());
    if !others.is_empty() {
        warnings.push(Warning {
            path: properties.path_of("Policies"),
            message: "is known here only as policy documents with a Statement".to_owned(),
        });
    }
    documents.into_iter().cloned().collect()
}

/// `rate(5 minutes)` (EventBridge user guide, "Rate expressions"). Of the expressions of EventBridge the only kind that the
/// runner follows.
fn schedule(properties: &Section<'_>, warnings: &mut Vec<Warning>) -> Result<Duration, TemplateError> {
    let text = properties.required_text("Schedule")?;
    properties.finish(&["Description", "Name"], warnings);
    rate(&text).ok_or_else(|| {
        let problem = Problem::WrongValue {
            value: text,
            expected: "rate(5 minutes), a whole number of minutes, hours or days".to_owned(),
        };
        properties.error("Schedule", problem)
    })
}

fn rate(text: &str) -> Option<Duration> {
    let (number, unit) = text.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let minutes = match (unit, number) {
        ("minute", 1) | ("minutes", 2..) => 1,
        ("hour", 1) | ("hours", 2..) => 60,
        ("day", 1) | ("days", 2..) => 24 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(number) * minutes * 60))
}

fn http_event(
    path: String,
    properties: Option<&Section<'_>>,
    warnings: &mut Vec<Warning>,
) -> Result<HttpEvent, TemplateError> {
    let Some(properties) = properties else {
        return Ok(HttpEvent {
            path,
            api_id: None,
            method: "ANY".to_owned(),
            route_path: "$default".to_owned(),
        });
    };
    if let Some(format) = properties
        .text("PayloadFormatVersion")?
        .filter(|format| format != "2.0")
    {
        let problem = Problem::WrongValue {
            value: format,
            expected: "2.0".to_owned(),
        };
        return Err(properties.error("PayloadFormatVersion", problem));
    }
    let method = properties
        .text("Method")?
        .unwrap_or_else(|| "ANY".to_owned())
        .to_uppercase();
    let method = if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" || method == "*" {
        "ANY".to_owned()
    } else {
        method
    };
    let event = HttpEvent {
        path,
        api_id: properties.text("ApiId")?,
        method,
        route_path: properties.text("Path")?.unwrap_or_else(|| "$default".to_owned()),
    };
    properties.finish(&[], warnings);
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_its_unit_as_eventbridge_spells_it() {
        for (text, minutes) in [
            ("rate(1 minute)", Some(1)),
            ("rate(5 minutes)", Some(5)),
            ("rate(2 hours)", Some(120)),
            ("rate(1 day)", Some(1440)),
            ("rate(1 minutes)", None),
            ("rate(0 minutes)", None),
            ("rate(5 seconds)", None),
            ("cron(0 12 * * ? *)", None),
            ("5 minutes", None),
        ] {
            let expected = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            assert_eq!(rate(text), expected, "{text}");
        }
    }
}
