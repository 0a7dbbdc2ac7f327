//! Why a template cannot be run: where, what, and what to do about it.

use thiserror::Error;

/// Why a template cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// The file is no YAML.
    #[error("the template is not YAML: {0}")]
    Yaml(String),
    /// Something in it cannot be understood or run.
    #[error("{path}: {problem}")]
    Invalid {
        /// Where: `Resources.SendFunction.Properties.Handler`.
        path: String,
        /// What is wrong there.
        problem: Problem,
    },
}

impl TemplateError {
    pub(super) fn at(path: impl Into<String>, problem: Problem) -> Self {
        let path = path.into();
        Self::Invalid { path, problem }
    }
}

/// What is wrong at a place of the template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// A property that must be there is not.
    #[error("is missing; add it")]
    Missing,
    /// The value is of another type.
    #[error("is {found}; write {expected} instead")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The value is of the right type, but none of those possible.
    #[error("{value} is not possible; write {expected} instead")]
    WrongValue {
        /// What is there.
        value: String,
        /// What belongs here.
        expected: String,
    },
    /// `Ref`, `Fn::GetAtt` or `Fn::Sub` names nothing.
    #[error(
        "refers to {0}, but no parameter or resource has that name; correct the name or add the resource"
    )]
    UnknownReference(String),
    /// `Fn::GetAtt` names an attribute that the resource has not.
    #[error("asks {resource} for its attribute {attribute}, which the runner does not know; use Arn or Ref")]
    UnknownAttribute {
        /// The resource.
        resource: String,
        /// The attribute.
        attribute: String,
    },
    /// `Fn::If` or `Condition` names nothing.
    #[error("refers to the condition {0}, which Conditions does not define; add it there")]
    UnknownCondition(String),
    /// `Fn::FindInMap` finds nothing.
    #[error("finds nothing in Mappings under {0}; add it there")]
    UnknownMapping(String),
    /// An intrinsic function has other arguments than it takes.
    #[error("{function} takes {expected}")]
    WrongArguments {
        /// The function.
        function: String,
        /// What it takes.
        expected: &'static str,
    },
    /// An intrinsic function that cannot be evaluated here.
    #[error("{0} cannot be evaluated outside AWS; put a parameter in its place")]
    UnsupportedFunction(String),
    /// References go round in a circle.
    #[error("refers to itself in the end; break the circle")]
    Circular,
    /// A parameter has neither a value nor a default.
    #[error("has no default; give it a value")]
    NoParameterValue,
    /// A value was given for a parameter that the template does not have.
    #[error("the template has no parameter of this name; it has {0}")]
    UnknownParameter(String),
    /// An ARN that should be that of a function of this template is not.
    #[error("{0} is not the ARN of a function in this template; write !GetAtt NAME.Arn")]
    NotAFunction(String),
    /// Two functions have the same handler.
    #[error(
        "{handler} is the handler of {other} too; give each function its own, the binary picks its code by it"
    )]
    SharedHandler {
        /// The handler.
        handler: String,
        /// The function that has it already.
        other: String,
    },
    /// The template has a second API of a kind that the runner serves once.
    #[error("the runner serves one API of this type, and the template has {0} already; remove one")]
    SecondApi(String),
}
