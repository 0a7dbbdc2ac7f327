//! The environment of a function: what the template gives it and what Lambda adds.

use std::collections::BTreeMap;

use crate::aws::callers::{SECRET_KEY, access_key};
use crate::place::REGION;
use crate::template::FunctionSpec;

/// The one version there is: functions are not published.
pub const VERSION: &str = "$LATEST";

/// Every variable of a function, those of its process aside (Lambda: "Defined runtime environment variables").
/// Lambda's own win over the template's.
pub fn variables(function: &FunctionSpec, aws_endpoint: &str) -> BTreeMap<String, String> {
    let own = [
        ("_HANDLER", function.handler.clone()),
        ("AWS_ACCESS_KEY_ID", access_key(&function.handler)),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        // The one variable that AWS does not set: it is what makes the SDK call the runner.
        ("AWS_ENDPOINT_URL", aws_endpoint.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        (
            "AWS_LAMBDA_LOG_GROUP_NAME",
            format!("/aws/lambda/{}", function.name),
        ),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ];
    let mut variables = function.environment.clone();
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_own_variables_win_over_the_templates() {
        let environment = [("MAILBOX_TABLE", "Mailbox"), ("AWS_REGION", "elsewhere")];
        let function = FunctionSpec {
            logical_id: "SendFunction".to_owned(),
            handler: "send".to_owned(),
            name: "waxwing-SendFunction".to_owned(),
            timeout_seconds: 10,
            memory_mb: 256,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            schedules: Vec::new(),
            policies: Vec::new(),
        };
        let variables = variables(&function, "http://127.0.0.1:1");
        let value = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!(value("MAILBOX_TABLE"), Some("Mailbox"));
        assert_eq!(value("AWS_REGION"), Some(REGION));
        assert_eq!(value("_HANDLER"), Some("send"));
        assert_eq!(value("AWS_ENDPOINT_URL"), Some("http://127.0.0.1:1"));
        assert_eq!(value("AWS_LAMBDA_FUNCTION_NAME"), Some("waxwing-SendFunction"));
    }
}
