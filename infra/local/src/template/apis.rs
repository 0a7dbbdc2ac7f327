//! The APIs: `AWS::Serverless::WebSocketApi`, `AWS::ApiGatewayV2::RouteResponse`, `AWS::Serverless::HttpApi`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    AuthorizerSpec, HttpRoute, HttpSpec, IdentitySource, RouteSpec, Throttle, Warning, WebSocketSpec,
    error::{Problem, TemplateError},
    functions::HttpEvent,
    names::{IMPLICIT_HTTP_API, api_id, route_resource_id},
    section::{Section, scalar_text},
};

/// Milliseconds an integration may have (API Gateway quotas for WebSocket APIs: integration timeout).
const INTEGRATION_TIMEOUT_MS: (u32, u32) = (50, 29_000);

/// Handlers of the template's functions, by ARN.
pub(super) type HandlersByArn = BTreeMap<String, String>;

/// Reads a WebSocket API. Routes have no response yet: [`add_responses`].
pub(super) fn read_websocket(
    logical_id: &str,
    properties: &Section<'_>,
    functions: &HandlersByArn,
    warnings: &mut Vec<Warning>,
) -> Result<WebSocketSpec, TemplateError> {
    let routes = properties
        .section("Routes")?
        .ok_or_else(|| properties.error("Routes", Problem::Missing))?;
    let mut specs = BTreeMap::new();
    for (key, route) in routes.all_sections()? {
        specs.insert(key.to_owned(), read_route(key, &route, functions, warnings)?);
    }
    let auth = properties.section("Auth")?;
    let authorizer = auth
        .map(|auth| read_authorizer(&auth, functions, warnings))
        .transpose()?;
    let spec = WebSocketSpec {
        logical_id: logical_id.to_owned(),
        api_id: api_id(logical_id),
        stage: properties
            .text("StageName")?
            .unwrap_or_else(|| "default".to_owned()),
        route_selection: route_selection(properties)?,
        routes: specs,
        authorizer: authorizer.flatten(),
        throttle: throttle(properties, warnings)?,
    };
    let harmless = [
        "AccessLogSettings",
        "Description",
        "Name",
        "PropagateTags",
        "Tags",
    ];
    properties.finish(&harmless, warnings);
    Ok(spec)
}

/// `DefaultRouteSettings`, if it limits: AWS takes the rate and the burst together.
fn throttle(
    properties: &Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Throttle>, TemplateError> {
    let Some(settings) = properties.section("DefaultRouteSettings")? else {
        return Ok(None);
    };
    let per_second = settings.number("ThrottlingRateLimit", 0, u32::MAX)?;
    let burst = settings.number("ThrottlingBurstLimit", 0, u32::MAX)?;
    settings.finish(
        &["DataTraceEnabled", "DetailedMetricsEnabled", "LoggingLevel"],
        warnings,
    );
    Ok(per_second
        .zip(burst)
        .map(|(per_second, burst)| Throttle { per_second, burst }))
}

/// `$request.body.a.b` or `${request.body.a.b}` → `[a, b]`.
fn route_selection(properties: &Section<'_>) -> Result<Vec<String>, TemplateError> {
    const KEY: &str = "RouteSelectionExpression";
    let expression = properties.required_text(KEY)?;
    let braced = expression
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let variable = braced
        .or_else(|| expression.strip_prefix('$'))
        .unwrap_or_default();
    let path = variable.strip_prefix("request.body.").unwrap_or_default();
    let parts: Vec<_> = path.split('.').map(str::to_owned).collect();
    if parts
        .iter()
        .all(|part| !part.is_empty() && !part.contains(['$', '{', '}', '[', '\\']))
    {
        return Ok(parts);
    }
    let expected = "$request.body. and the path of one property".to_owned();
    Err(properties.error(
        KEY,
        Problem::WrongValue {
            value: expression,
            expected,
        },
    ))
}

fn read_route(
    key: &str,
    route: &Section<'_>,
    functions: &HandlersByArn,
    warnings: &mut Vec<Warning>,
) -> Result<RouteSpec, TemplateError> {
    let (least, most) = INTEGRATION_TIMEOUT_MS;
    let timeout = route.number("IntegrationTimeout", least, most)?.unwrap_or(most);
    let selection = route.text("RouteResponseSelectionExpression")?;
    if let Some(value) = selection.as_ref().filter(|selection| *selection != "$default") {
        let problem = Problem::WrongValue {
            value: value.clone(),
            expected: "$default".to_owned(),
        };
        return Err(route.error("RouteResponseSelectionExpression", problem));
    }
    let is_plain = !key.is_empty() && key.chars().all(char::is_alphanumeric);
    if !is_plain && !["$connect", "$disconnect", "$default"].contains(&key) {
        let expected = "a key of letters and digits, $connect, $disconnect or $default".to_owned();
        return Err(route.error(
            "",
            Problem::WrongValue {
                value: key.to_owned(),
                expected,
            },
        ));
    }
    let spec = RouteSpec {
        function: function_of(route, "FunctionArn", functions)?,
        has_response: selection.is_some(),
        timeout: Duration::from_millis(timeout.into()),
    };
    route.finish(&["OperationName"], warnings);
    Ok(spec)
}

fn read_authorizer(
    auth: &Section<'_>,
    functions: &HandlersByArn,
    warnings: &mut Vec<Warning>,
) -> Result<Option<AuthorizerSpec>, TemplateError> {
    let spec = match auth.required_text("AuthType")?.to_uppercase().as_str() {
        "NONE" => None,
        "CUSTOM" => {
            let sources = auth.list("IdentitySource").into_iter().enumerate();
            let sources = sources.map(|(index, source)| {
                let text = scalar_text(source).unwrap_or_default();
                identity_source(&text).ok_or_else(|| {
                    let expected = "route.request.header.NAME or route.request.querystring.NAME".to_owned();
                    let key = format!("IdentitySource[{index}]");
                    auth.error(
                        &key,
                        Problem::WrongValue {
                            value: text,
                            expected,
                        },
                    )
                })
            });
            let function = function_of(auth, "AuthArn", functions)?;
            Some(AuthorizerSpec {
                function,
                identity_sources: sources.collect::<Result<_, _>>()?,
            })
        }
        other => {
            let expected = "CUSTOM or NONE, the two that work on one machine".to_owned();
            return Err(auth.error(
                "AuthType",
                Problem::WrongValue {
                    value: other.to_owned(),
                    expected,
                },
            ));
        }
    };
    auth.finish(&["InvokeRole", "Name"], warnings);
    Ok(spec)
}

fn identity_source(text: &str) -> Option<IdentitySource> {
    let text = text.strip_prefix("route.request.")?;
    let header = text
        .strip_prefix("header.")
        .map(|name| IdentitySource::Header(name.to_lowercase()));
    header.or_else(|| {
        text.strip_prefix("querystring.")
            .map(|name| IdentitySource::Query(name.to_owned()))
    })
}

fn function_of(section: &Section<'_>, key: &str, functions: &HandlersByArn) -> Result<String, TemplateError> {
    let arn = section.required_text(key)?;
    let handler = functions.get(&arn).cloned();
    handler.ok_or_else(|| section.error(key, Problem::NotAFunction(arn)))
}

/// Reads a route response: the id of the route that has one.
pub(super) fn read_route_response(
    properties: &Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<String, TemplateError> {
    let key = properties.required_text("RouteResponseKey")?;
    if key != "$default" {
        let problem = Problem::WrongValue {
            value: key,
            expected: "$default".to_owned(),
        };
        return Err(properties.error("RouteResponseKey", problem));
    }
    let route = properties.required_text("RouteId")?;
    properties.required_text("ApiId")?;
    properties.finish(&[], warnings);
    Ok(route)
}

/// A route answers its client only if it selects a response *and* has one (API Gateway developer guide, "Set
/// up route responses for WebSocket APIs"). Half of it is reported.
pub(super) fn add_responses(
    websocket: &mut WebSocketSpec,
    responses: &BTreeSet<String>,
    warnings: &mut Vec<Warning>,
) {
    for (key, route) in &mut websocket.routes {
        let resource = route_resource_id(&websocket.logical_id, key);
        let has_resource = responses.contains(&resource);
        if has_resource != route.has_response {
            let missing = if has_resource {
                "a RouteResponseSelectionExpression of $default".to_owned()
            } else {
                format!("an AWS::ApiGatewayV2::RouteResponse for {resource}")
            };
            warnings.push(Warning {
                path: format!("Resources.{}.Properties.Routes.{key}", websocket.logical_id),
                message: format!("answers nothing: it lacks {missing}"),
            });
        }
        route.has_response &= has_resource;
    }
}

/// Reads an HTTP API. Its routes come from the events of functions.
pub(super) fn read_http(
    logical_id: &str,
    properties: Option<&Section<'_>>,
    warnings: &mut Vec<Warning>,
) -> Result<HttpSpec, TemplateError> {
    let (mut stage, mut limit) = (None, None);
    if let Some(properties) = properties {
        stage = properties.text("StageName")?;
        limit = throttle(properties, warnings)?;
        let harmless = [
            "AccessLogSettings",
            "Description",
            "Name",
            "PropagateTags",
            "Tags",
        ];
        properties.finish(&harmless, warnings);
    }
    Ok(HttpSpec {
        logical_id: logical_id.to_owned(),
        api_id: api_id(logical_id),
        stage: stage.unwrap_or_else(|| "$default".to_owned()),
        routes: Vec::new(),
        throttle: limit,
    })
}

/// Ties the events of functions to the API they name.
pub(super) fn add_routes(
    declared: Option<HttpSpec>,
    events: Vec<(String, HttpEvent)>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<HttpSpec>, TemplateError> {
    let mut http = match declared {
        None if events.is_empty() => return Ok(None),
        None => read_http(IMPLICIT_HTTP_API, None, warnings)?,
        Some(http) => http,
    };
    for (function, event) in events {
        let api = event.api_id.unwrap_or_else(|| api_id(IMPLICIT_HTTP_API));
        if api != http.api_id {
            let path = format!("{}.Properties.ApiId", event.path);
            return Err(TemplateError::at(path, Problem::SecondApi(http.logical_id)));
        }
        let is_path = event.route_path == "$default" || event.route_path.starts_with('/');
        if !is_path {
            let path = format!("{}.Properties.Path", event.path);
            let expected = "a path that begins with /, or $default".to_owned();
            return Err(TemplateError::at(
                path,
                Problem::WrongValue {
                    value: event.route_path,
                    expected,
                },
            ));
        }
        http.routes.push(HttpRoute {
            method: event.method,
            path: event.route_path,
            function,
        });
    }
    Ok(Some(http))
}
