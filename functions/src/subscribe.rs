//! `subscribe`: where the token's device is woken.

use serde_json::Value;
use waxwing_backend::{Backend, subscribe::subscribe};

use crate::{FunctionError, http::on_request};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let subscriber = request.authorized(backend).await?;
        Ok(subscribe(backend, subscriber.device, request.body()?).await?)
    })
    .await
}
