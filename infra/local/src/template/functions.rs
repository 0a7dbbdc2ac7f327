//! `AWS::Serverless::Function`: how it runs, and which HTTP requests it answers.

use std::collections::BTreeMap;

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
    let spec = FunctionSpec {
        logical_id: logical_id.to_owned(),
        handler: properties.required_text("Handler")?,
        name,
        timeout_seconds,
        memory_mb,
        environment: environment(properties)?,
        policies: policies(properties, warnings),
    };
    let events = properties.section("Events")?;
    let events = events.map(|events| http_events(&events, warnings)).transpose()?;
    properties.finish(HARMLESS, warnings);
    Ok((spec, events.unwrap_or_default()))
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

fn http_events(events: &Section<'_>, warnings: &mut Vec<Warning>) -> Result<Vec<HttpEvent>, TemplateError> {
    let mut found = Vec::new();
    for (name, event) in events.all_sections()? {
        let kind = event.required_text("Type")?;
        let properties = event.section("Properties")?;
        if kind == "HttpApi" {
            found.push(http_event(events.path_of(name), properties.as_ref(), warnings)?);
        } else {
            warnings.push(Warning {
                path: events.path_of(name),
                message: format!("never happens here: the runner has no {kind} events"),
            });
        }
    }
    Ok(found)
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
