//! `upload`: publish keys of the token's device.

use serde_json::Value;
use waxwing_backend::{Backend, upload::upload};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let uploader = request.authorized(backend).await?;
        Ok(upload(backend, uploader, request.body()?).await?)
    })
    .await
}
