//! `link`: a new device takes up an offer. Needs the offer's token instead of one of its own.

use serde_json::Value;
use waxwing_backend::{Backend, link::link};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        Ok(link(backend, request.body()?).await?)
    })
    .await
}
