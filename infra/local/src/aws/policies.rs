//! What each caller may do: the policies of the template, asked for every call.
//!
//! In AWS a function has what its policies grant and nothing else. So has it here: a call that
//! `template.yaml` does not grant is refused as it would be after deployment, and a missing grant shows in the
//! first run on this machine.
//!
//! Understood are statements with `Effect`, `Action` and `Resource`, with `*` and `?` in both, an explicit
//! `Deny` winning. Anything else (conditions, `NotAction`) is an error at the start, not a guess.
//!
//! Which grants calls needed is remembered: one that no call needs is one too many ([`Policies::unused`]).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::aws::answer::AwsError;
use crate::aws::callers::Caller;
use crate::aws::management::Path;
use crate::aws::sns;
use crate::place::{ACCOUNT_ID, REGION};
use crate::template::FunctionSpec;

/// A policy that the runner does not understand.
#[derive(Debug, Error)]
#[error("the runner cannot check a policy of {function}: {reason}")]
pub struct PolicyError {
    /// The function.
    pub function: String,
    /// What is not understood.
    pub reason: String,
}

/// One action on one resource that the template allows a function, as the template writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// The function, by its handler.
    pub function: String,
    /// `dynamodb:PutItem`; may have `*` and `?`.
    pub action: String,
    /// The ARN; may have `*` and `?`.
    pub resource: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            action,
            resource,
        } = self;
        write!(f, "{function} may {action} on {resource}")
    }
}

/// The policies of every function.
#[derive(Debug, Default)]
pub struct Policies {
    functions: BTreeMap<String, Rules>,
    websocket_api: String,
}

/// What one function may do.
#[derive(Debug, Default)]
struct Rules {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

/// One action on one resource.
#[derive(Debug)]
struct Rule {
    action: String,
    /// The action in lower case: actions are compared without regard to case (IAM user guide, "IAM JSON policy elements:
    /// Action").
    pattern: String,
    resource: String,
    used: AtomicBool,
}

impl Policies {
    /// The policies of these functions; `websocket_api` is the id of the API that `@connections` belongs to.
    ///
    /// # Errors
    /// [`PolicyError`] names the first one that is not understood.
    pub fn read<'a>(
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
        websocket_api: &str,
    ) -> Result<Self, PolicyError> {
        let mut rules = BTreeMap::new();
        for function in functions {
            let read = function
                .policies
                .iter()
                .map(Document::read)
                .collect::<Result<Vec<_>, _>>();
            let documents = read.map_err(|error| PolicyError {
                function: function.logical_id.clone(),
                reason: error.to_string(),
            })?;
            rules.insert(function.handler.clone(), Rules::of(documents));
        }
        Ok(Self {
            functions: rules,
            websocket_api: websocket_api.to_owned(),
        })
    }

    /// Whether the caller may do this to the tables that the request names.
    ///
    /// # Errors
    /// `AccessDeniedException` names what is missing.
    pub fn check_table(&self, caller: &Caller, operation: &str, body: &Bytes) -> Result<(), AwsError> {
        let Caller::Function(function) = caller else {
            return Ok(());
        };
        // A body that is no JSON names no table; DynamoDB tells what is wrong with it.
        let request: TableRequest = serde_json::from_slice(body).unwrap_or_default();
        for (action, table) in request.uses(operation) {
            let resource = format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{table}");
            self.check(function, &format!("dynamodb:{action}"), &resource)
                .map_err(|message| {
                    AwsError::new(StatusCode::BAD_REQUEST, "AccessDeniedException", message)
                })?;
        }
        Ok(())
    }

    /// Whether the caller may use `@connections` in this way.
    ///
    /// # Errors
    /// `ForbiddenException` names what is missing.
    pub fn check_connection(&self, caller: &Caller, method: &Method, path: &Path) -> Result<(), AwsError> {
        let Caller::Function(function) = caller else {
            return Ok(());
        };
        let Path { stage, connection } = path;
        let api = &self.websocket_api;
        let resource = format!(
            "arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{api}/{stage}/{method}/@connections/{connection}"
        );
        self.check(function, "execute-api:ManageConnections", &resource)
            .map_err(|message| AwsError::new(StatusCode::FORBIDDEN, "ForbiddenException", message))
    }

    /// Whether the caller may ask this of SNS.
    ///
    /// # Errors
    /// `AuthorizationError` names what is missing.
    pub fn check_notification(&self, caller: &Caller, request: &sns::Request) -> Result<(), AwsError> {
        let Caller::Function(function) = caller else {
            return Ok(());
        };
        self.check(function, &request.grant(), &request.resource())
            .map_err(|message| AwsError::new(StatusCode::FORBIDDEN, "AuthorizationError", message))
    }

    /// The grants that no call has needed so far, in order.
    pub fn unused(&self) -> Vec<Grant> {
        let rules = self
            .functions
            .iter()
            .flat_map(|(function, rules)| rules.allow.iter().map(move |rule| (function, rule)));
        let mut unused: Vec<_> = rules
            .filter(|(_, rule)| !rule.used.load(Ordering::Relaxed))
            .map(|(function, rule)| Grant {
                function: function.clone(),
                action: rule.action.clone(),
                resource: rule.resource.clone(),
            })
            .collect();
        unused.sort();
        unused
    }

    fn check(&self, function: &str, action: &str, resource: &str) -> Result<(), String> {
        let none = Rules::default();
        let rules = self.functions.get(function).unwrap_or(&none);
        let asked = action.to_ascii_lowercase();
        let refused = if rules.deny.iter().any(|rule| rule.covers(&asked, resource)) {
            "with an explicit deny"
        } else {
            let mut fitting = rules
                .allow
                .iter()
                .filter(|rule| rule.covers(&asked, resource))
                .peekable();
            if fitting.peek().is_some() {
                fitting.for_each(|rule| rule.used.store(true, Ordering::Relaxed));
                return Ok(());
            }
            "because no identity-based policy allows it"
        };
        Err(format!(
            "{function} is not authorized to perform: {action} on resource: {resource} {refused}"
        ))
    }
}

impl Rules {
    fn of(documents: Vec<Document>) -> Self {
        let mut rules = Self::default();
        for statement in documents.into_iter().flat_map(|document| document.statement) {
            let side = match statement.effect {
                Effect::Allow => &mut rules.allow,
                Effect::Deny => &mut rules.deny,
            };
            for action in &statement.action {
                side.extend(statement.resource.iter().map(|resource| Rule {
                    action: action.clone(),
                    pattern: action.to_ascii_lowercase(),
                    resource: resource.clone(),
                    used: AtomicBool::new(false),
                }));
            }
        }
        rules
    }
}

impl Rule {
    /// Whether it is about this action, in lower case, on this resource.
    fn covers(&self, action: &str, resource: &str) -> bool {
        matches(self.pattern.as_bytes(), action.as_bytes())
            && matches(self.resource.as_bytes(), resource.as_bytes())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(with = "one_or_many")]
    statement: Vec<Statement>,
}

impl Document {
    fn read(policy: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(policy)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Sid", default)]
    _sid: IgnoredAny,
    effect: Effect,
    #[serde(with = "one_or_many")]
    action: Vec<String>,
    #[serde(with = "one_or_many")]
    resource: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// One value or a list of them, as IAM writes both.
mod one_or_many {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        Many(Vec<T>),
        One(T),
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        Ok(match OneOrMany::deserialize(from)? {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => vec![one],
        })
    }
}

/// Whether `text` is what `pattern` describes: `*` is any run of bytes, `?` any one (IAM user guide, "IAM JSON
/// policy elements: Resource").
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: that `*` takes one byte more. Going back to
    // earlier ones is never needed, so the time is bounded by the product of the lengths.
    let mut retry = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(expected) if expected == byte || *expected == b'?' => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((after_star, from)) => {
                    (p, t) = (after_star, from + 1);
                    retry = Some((p, t));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == b'*')
}

/// The parts of a DynamoDB request that say which tables it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TableRequest {
    table_name: Option<String>,
    index_name: Option<String>,
    request_items: BTreeMap<String, IgnoredAny>,
    transact_items: Vec<BTreeMap<String, TransactItem>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TransactItem {
    table_name: String,
}

impl TableRequest {
    /// Every action that the operation needs, with the table (or `TABLE/index/NAME`) it needs it on.
    fn uses<'a>(&'a self, operation: &'a str) -> Vec<(String, String)> {
        let own = |table: &str| (operation.to_owned(), short_name(table).to_owned());
        let mut uses: Vec<_> = self.request_items.keys().map(|table| own(table)).collect();
        uses.extend(self.table_name.as_deref().map(|table| match &self.index_name {
            Some(index) => (
                operation.to_owned(),
                format!("{}/index/{index}", short_name(table)),
            ),
            None => own(table),
        }));
        for (kind, item) in self.transact_items.iter().flatten() {
            // A transaction needs the grants of the operations in it (DynamoDB: transactions and IAM).
            let action = match kind.as_str() {
                "ConditionCheck" => "ConditionCheckItem".to_owned(),
                kind => format!("{kind}Item"),
            };
            uses.push((action, short_name(&item.table_name).to_owned()));
        }
        if uses.is_empty() {
            uses.push(own("*"));
        }
        uses
    }
}

/// A table may be named by its ARN too.
fn short_name(table: &str) -> &str {
    table.rsplit_once(":table/").map_or(table, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const API: &str = "api";

    fn table(name: &str) -> String {
        format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}")
    }

    fn policies(statements: Value) -> Policies {
        let document = Document::read(&json!({"Version": "2012-10-17", "Statement": statements})).unwrap();
        Policies {
            functions: BTreeMap::from([("send".to_owned(), Rules::of(vec![document]))]),
            websocket_api: API.to_owned(),
        }
    }

    fn asks(policies: &Policies, operation: &str, body: Value) -> Result<(), &'static str> {
        let caller = Caller::Function("send".to_owned());
        policies
            .check_table(&caller, operation, &Bytes::from(body.to_string()))
            .map_err(|error| error.kind)
    }

    #[test]
    fn a_function_has_what_its_policies_grant_and_nothing_else() {
        let policies = policies(json!([
            {"Effect": "Allow", "Action": ["dynamodb:PutItem", "dynamodb:Get*"], "Resource": table("Mailbox")},
            {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": [table("Devices")]},
        ]));
        let mailbox = json!({"TableName": "Mailbox", "Item": {}});
        assert_eq!(asks(&policies, "PutItem", mailbox.clone()), Ok(()));
        assert_eq!(asks(&policies, "GetItem", mailbox.clone()), Ok(()));
        assert_eq!(asks(&policies, "Query", json!({"TableName": "Devices"})), Ok(()));
        let denied = Err("AccessDeniedException");
        assert_eq!(asks(&policies, "DeleteItem", mailbox.clone()), denied);
        assert_eq!(asks(&policies, "Query", mailbox), denied);
        assert_eq!(asks(&policies, "ListTables", json!({})), denied);
        assert_eq!(
            asks(
                &policies,
                "Query",
                json!({"TableName": "Devices", "IndexName": "x"})
            ),
            denied
        );
    }

    #[test]
    fn every_table_of_a_batch_and_of_a_transaction_is_asked_for() {
        let policies = policies(json!({
            "Effect": "Allow", "Action": ["dynamodb:BatchWriteItem", "dynamodb:PutItem"], "Resource": table("A"),
        }));
        assert_eq!(
            asks(&policies, "BatchWriteItem", json!({"RequestItems": {"A": []}})),
            Ok(())
        );
        let denied = Err("AccessDeniedException");
        assert_eq!(
            asks(
                &policies,
                "BatchWriteItem",
                json!({"RequestItems": {"A": [], "B": []}})
            ),
            denied
        );
        let put = json!({"TransactItems": [{"Put": {"TableName": "A"}}]});
        assert_eq!(asks(&policies, "TransactWriteItems", put), Ok(()));
        let both = json!({"TransactItems": [{"Put": {"TableName": "A"}}, {"Delete": {"TableName": "A"}}]});
        assert_eq!(asks(&policies, "TransactWriteItems", both), denied);
    }

    #[test]
    fn a_deny_wins() {
        let policies = policies(json!([
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "dynamodb:DeleteItem", "Resource": "*"},
        ]));
        assert_eq!(asks(&policies, "PutItem", json!({"TableName": "A"})), Ok(()));
        assert_eq!(
            asks(&policies, "DeleteItem", json!({"TableName": "A"})),
            Err("AccessDeniedException")
        );
    }

    #[test]
    fn posting_does_not_grant_closing() {
        let policies = policies(json!({
            "Effect": "Allow", "Action": "execute-api:ManageConnections",
            "Resource": format!("arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{API}/prod/POST/@connections/*"),
        }));
        let path = Path {
            stage: "prod".to_owned(),
            connection: "a=".to_owned(),
        };
        let caller = Caller::Function("send".to_owned());
        assert_eq!(policies.check_connection(&caller, &Method::POST, &path), Ok(()));
        let refused = policies
            .check_connection(&caller, &Method::DELETE, &path)
            .unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.kind),
            (403, "ForbiddenException")
        );
        assert_eq!(
            policies.check_connection(&Caller::Tools, &Method::DELETE, &path),
            Ok(())
        );
    }

    #[test]
    fn what_no_call_needed_is_told() {
        let policies = policies(json!([
            {"Effect": "Allow", "Action": ["dynamodb:PutItem", "dynamodb:GetItem"], "Resource": [table("A"), table("B")]},
            {"Effect": "Deny", "Action": "dynamodb:Get*", "Resource": table("B")},
        ]));
        assert_eq!(asks(&policies, "PutItem", json!({"TableName": "A"})), Ok(()));
        assert!(asks(&policies, "GetItem", json!({"TableName": "B"})).is_err());
        let grant = |action: &str, name| Grant {
            function: "send".to_owned(),
            action: action.to_owned(),
            resource: table(name),
        };
        let expected = [
            grant("dynamodb:GetItem", "A"),
            grant("dynamodb:GetItem", "B"),
            grant("dynamodb:PutItem", "B"),
        ];
        assert_eq!(policies.unused(), expected);
    }

    #[test]
    fn texts_go_to_numbers_and_to_nothing_that_has_an_arn() {
        let policies = policies(json!([
            {"Effect": "Allow", "Action": "sns:Publish", "Resource": "*"},
            {"Effect": "Deny", "Action": "sns:Publish", "Resource": "arn:*"},
        ]));
        let caller = Caller::Function("send".to_owned());
        let asks = |form: &str| {
            let request = sns::Request::read(form.as_bytes()).unwrap();
            policies
                .check_notification(&caller, &request)
                .map_err(|error| error.kind)
        };
        assert_eq!(asks("Action=Publish&PhoneNumber=%2B15550100"), Ok(()));
        let denied = Err("AuthorizationError");
        assert_eq!(
            asks("Action=Publish&TopicArn=arn:aws:sns:us-east-1:1:alarms"),
            denied
        );
        assert_eq!(
            asks("Action=DeleteEndpoint&EndpointArn=arn:aws:sns:us-east-1:1:e"),
            denied
        );
    }

    #[test]
    fn a_policy_that_is_not_understood_is_refused() {
        let statement = json!({"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {}});
        for policy in [
            json!({"Statement": statement}),
            json!("AmazonDynamoDBFullAccess"),
            json!({"DynamoDBCrudPolicy": {}}),
        ] {
            assert!(Document::read(&policy).is_err(), "{policy}");
        }
    }

    #[test]
    fn patterns_match_as_a_whole() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b*", "abab", true),
            ("a*b", "aab", true),
            ("*ab", "aab", true),
            ("a", "ab", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
