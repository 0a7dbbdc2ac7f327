//! `confirm`: trade a code for a ticket to register with. Needs no token.

use serde_json::Value;
use waxwing_backend::{Backend, confirm::confirm};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        Ok(confirm(backend, request.body()?).await?)
    })
    .await
}
