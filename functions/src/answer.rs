//! `answer`: accept or decline the device that took up an offer of the token's device.

use serde_json::Value;
use waxwing_backend::{Backend, answer::answer};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let asker = request.authorized(backend).await?;
        Ok(answer(backend, asker.device, request.body()?).await?)
    })
    .await
}
