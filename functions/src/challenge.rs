//! `challenge`: send a code to a phone. Needs no token.

use serde_json::Value;
use waxwing_backend::{Backend, challenge::challenge};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        Ok(challenge(backend, request.source()?, request.body()?).await?)
    })
    .await
}
