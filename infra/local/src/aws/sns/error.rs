//! The errors of SNS, by the codes that the SDKs type them by (SNS API reference, "Common errors").

use http::StatusCode;

use crate::aws::answer::AwsError;

/// A parameter is missing or not possible; `reason` goes after `Invalid parameter: `.
pub(super) fn invalid_parameter(reason: impl std::fmt::Display) -> AwsError {
    AwsError::new(
        StatusCode::BAD_REQUEST,
        "InvalidParameter",
        format!("Invalid parameter: {reason}"),
    )
}

/// A message attribute is not possible.
pub(super) fn invalid_attribute(reason: impl Into<String>) -> AwsError {
    AwsError::new(StatusCode::BAD_REQUEST, "ParameterValueInvalid", reason)
}

/// What is named is not there.
pub(super) fn not_found(what: &str) -> AwsError {
    AwsError::new(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("{what} does not exist"),
    )
}

/// The endpoint was disabled: by the platform, because the app is gone from the phone, or by a caller.
pub(super) fn endpoint_disabled() -> AwsError {
    AwsError::new(
        StatusCode::BAD_REQUEST,
        "EndpointDisabled",
        "Endpoint is disabled",
    )
}

/// SNS did not come to it.
pub(super) fn internal() -> AwsError {
    AwsError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "The request could not be processed",
    )
}

/// The runner's SNS has no such action.
pub(super) fn invalid_action(action: &str, known: &str) -> AwsError {
    AwsError::new(
        StatusCode::BAD_REQUEST,
        "InvalidAction",
        format!("The local runner's SNS has these actions: {known}; it does not have {action}."),
    )
}
