//! Which route a message takes (API Gateway developer guide, "Create routes for WebSocket APIs": a message
//! that is not JSON, or that no route matches, takes `$default`).

use serde_json::Value;

use crate::template::{RouteSpec, WebSocketSpec};

/// The route of a message and its key. `None` if nothing matches and there is no `$default`.
pub(super) fn select<'a>(spec: &'a WebSocketSpec, message: &str) -> Option<(&'a str, &'a RouteSpec)> {
    let chosen = key_in(message, &spec.route_selection)
        // The keys with `$` are the gateway's own: no client chooses `$disconnect`.
        .filter(|key| !key.starts_with('$'))
        .and_then(|key| spec.routes.get_key_value(&key));
    let chosen = chosen.or_else(|| spec.routes.get_key_value("$default"));
    chosen.map(|(key, route)| (key.as_str(), route))
}

fn key_in(message: &str, path: &[String]) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let found = path.iter().try_fold(&message, |value, part| value.get(part))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(keys: &[&str]) -> WebSocketSpec {
        let route = |key: &&str| {
            let function = format!("function of {key}");
            (
                key.to_string(),
                RouteSpec {
                    function,
                    has_response: true,
                    timeout: Duration::from_secs(29),
                },
            )
        };
        WebSocketSpec {
            logical_id: "Chat".to_owned(),
            api_id: "chat".to_owned(),
            stage: "prod".to_owned(),
            route_selection: vec!["meta".to_owned(), "action".to_owned()],
            routes: keys.iter().map(route).collect(),
            authorizer: None,
            throttle: None,
        }
    }

    #[test]
    fn a_message_takes_the_route_it_names() {
        let spec = spec(&["$connect", "$disconnect", "$default", "send", "7"]);
        for (message, expected) in [
            (r#"{"meta":{"action":"send"}}"#, "send"),
            (r#"{"meta":{"action":7}}"#, "7"),
            (r#"{"meta":{"action":"Send"}}"#, "$default"),
            (r#"{"meta":{"action":null}}"#, "$default"),
            (r#"{"meta":{"action":["send"]}}"#, "$default"),
            (r#"{"meta":"send"}"#, "$default"),
            (r#"{"action":"send"}"#, "$default"),
            (r#"[1]"#, "$default"),
            ("send", "$default"),
            ("", "$default"),
        ] {
            assert_eq!(
                select(&spec, message).map(|(key, _)| key),
                Some(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn a_client_cannot_name_a_route_of_the_gateways_own() {
        for key in ["$connect", "$disconnect", "$default"] {
            let message = format!(r#"{{"meta":{{"action":"{key}"}}}}"#);
            let spec = spec(&["$connect", "$disconnect", "send"]);
            assert_eq!(select(&spec, &message), None, "{key}");
        }
    }
}
