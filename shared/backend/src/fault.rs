//! What becomes of a request to AWS that failed: one of two faults, logged once, here.
//!
//! The log line holds the operation, AWS's error code and its request id; never an item, a token or a key.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use waxwing_wire::{ErrorCode, Problem};

/// Error codes of AWS that mean "try again", beyond those with a status of 429 or 5xx.
const TRANSIENT_CODES: [&str; 7] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// Why the service could not do its work. Both are retryable: nothing was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// AWS throttled, timed out or failed.
    #[error("A part the service needs did not answer. Try again.")]
    Unavailable,
    /// AWS refused what the service asked for, or a stored item is damaged.
    #[error("The service made a mistake. Try again later.")]
    Internal,
}

impl Fault {
    /// Sorts an SDK error and logs it.
    pub(crate) fn of<E: ProvideErrorMetadata>(
        operation: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code();
        let fault = match error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                Self::Unavailable
            }
            _ => Self::of_answer(status, code),
        };
        tracing::warn!(
            operation,
            kind = kind(error),
            status,
            code,
            aws_request = error.request_id(),
            "a request to AWS failed"
        );
        fault
    }

    fn of_answer(status: Option<u16>, code: Option<&str>) -> Self {
        let transient_status = status.is_some_and(|status| status == 429 || status >= 500);
        let transient_code = code.is_some_and(|code| TRANSIENT_CODES.contains(&code));
        if transient_status || transient_code {
            Self::Unavailable
        } else {
            Self::Internal
        }
    }
}

fn kind<E>(error: &SdkError<E, HttpResponse>) -> &'static str {
    match error {
        SdkError::ConstructionFailure(_) => "construction",
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "dispatch",
        SdkError::ResponseError(_) => "response",
        _ => "refused",
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let code = match fault {
            Fault::Unavailable => ErrorCode::Unavailable,
            Fault::Internal => ErrorCode::Internal,
        };
        Self::new(code, fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttles_and_failures_of_aws_can_be_tried_again_later() {
        for (status, code) in [
            (400, "ProvisionedThroughputExceededException"),
            (400, "ThrottlingException"),
            (400, "TransactionConflictException"),
            (429, "LimitExceededException"),
            (500, "InternalServerError"),
            (503, "ServiceUnavailable"),
        ] {
            assert_eq!(
                Fault::of_answer(Some(status), Some(code)),
                Fault::Unavailable,
                "{code}"
            );
        }
    }

    #[test]
    fn a_refusal_is_a_fault_of_the_services_own() {
        for (status, code) in [
            (400, "ValidationException"),
            (400, "AccessDeniedException"),
            (403, "Forbidden"),
        ] {
            assert_eq!(
                Fault::of_answer(Some(status), Some(code)),
                Fault::Internal,
                "{code}"
            );
        }
    }
}
