//! `register`: create an account with its first device, or take over the number's. Needs a ticket instead of a token.

use serde_json::Value;
use waxwing_backend::{Backend, register::register};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        Ok(register(backend, request.body()?).await?)
    })
    .await
}
