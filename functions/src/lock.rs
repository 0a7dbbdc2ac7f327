//! `lock`: set or remove the registration lock of the account of the token's device.

use serde_json::Value;
use waxwing_backend::{Backend, lock::lock};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let asker = request.authorized(backend).await?;
        Ok(lock(backend, asker.device, request.body()?).await?)
    })
    .await
}
