//! `check`: compare what the token's device believes to be published with what is.

use serde_json::Value;
use waxwing_backend::{Backend, check::check};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let asker = request.authorized(backend).await?;
        Ok(check(backend, asker.device, request.body()?).await?)
    })
    .await
}
