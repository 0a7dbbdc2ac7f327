//! `link`: add a device to the account of the token's device.

use serde_json::Value;
use waxwing_backend::{Backend, link::link};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let linker = request.authorized(backend).await?;
        Ok(link(backend, linker.device, request.body()?).await?)
    })
    .await
}
