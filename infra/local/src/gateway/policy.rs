//! Whether the policy that an authorizer returned allows what was asked (IAM user guide, "Policy evaluation
//! logic": an explicit deny wins, and what is not allowed is denied).

use aws_lambda_events::{
    apigw::ApiGatewayCustomAuthorizerPolicy,
    iam::{IamPolicyEffect, IamPolicyStatement},
};
use thiserror::Error;

use crate::aws::policies::matches;

/// A policy that cannot be evaluated here.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a statement has a Condition, which the runner cannot evaluate")]
pub(super) struct HasCondition;

/// Whether a policy allows an action on a resource.
///
/// # Errors
/// [`HasCondition`]: guessing would let in who is to stay out, or the other way round.
pub(super) fn allows(
    policy: &ApiGatewayCustomAuthorizerPolicy,
    action: &str,
    resource: &str,
) -> Result<bool, HasCondition> {
    let mut allowed = false;
    for statement in &policy.statement {
        if !covers(statement, action, resource) {
            continue;
        }
        if statement.condition.is_some() {
            return Err(HasCondition);
        }
        match statement.effect {
            IamPolicyEffect::Allow => allowed = true,
            _ => return Ok(false),
        }
    }
    Ok(allowed)
}

fn covers(statement: &IamPolicyStatement, action: &str, resource: &str) -> bool {
    let names = |patterns: &[String], text: &str| {
        patterns
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
    };
    // Actions are compared without regard to case.
    let actions: Vec<_> = statement
        .action
        .iter()
        .map(|action| action.to_lowercase())
        .collect();
    names(&actions, &action.to_lowercase()) && names(&statement.resource, resource)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ARN: &str = "arn:aws:execute-api:us-east-1:000000000000:chat/prod/$connect";

    fn evaluate(statements: Value) -> Result<bool, HasCondition> {
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        allows(
            &serde_json::from_value(policy).unwrap(),
            "execute-api:Invoke",
            ARN,
        )
    }

    #[test]
    fn what_is_not_allowed_is_denied_and_a_deny_wins() {
        let statement =
            |effect, action, resource| json!({"Effect": effect, "Action": action, "Resource": resource});
        for (statements, expected) in [
            (json!([]), false),
            (json!([statement("Allow", "execute-api:Invoke", ARN)]), true),
            (json!([statement("Allow", "execute-api:*", "*")]), true),
            (
                json!([statement(
                    "Allow",
                    "EXECUTE-API:invoke",
                    "arn:aws:execute-api:*:*:chat/prod/*"
                )]),
                true,
            ),
            (
                json!([statement("Allow", "execute-api:ManageConnections", ARN)]),
                false,
            ),
            (
                json!([statement(
                    "Allow",
                    "execute-api:Invoke",
                    "arn:aws:execute-api:*:*:chat/test/*"
                )]),
                false,
            ),
            (
                json!([statement("Allow", "*", "*"), statement("Deny", "*", ARN)]),
                false,
            ),
            (
                json!([statement("Deny", "*", "*"), statement("Allow", "*", ARN)]),
                false,
            ),
            (
                json!([statement("Allow", "*", "*"), statement("Deny", "*", "other")]),
                true,
            ),
            (
                json!([{"Effect": "Allow", "Action": ["a:b", "execute-api:Invoke"], "Resource": ["c", ARN]}]),
                true,
            ),
        ] {
            assert_eq!(evaluate(statements.clone()), Ok(expected), "{statements}");
        }
    }

    #[test]
    fn a_condition_is_not_guessed() {
        let condition = json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}});
        let statements = json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}]);
        assert_eq!(evaluate(statements), Err(HasCondition));
    }
}
