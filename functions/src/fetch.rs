//! `fetch`: the devices of an account and what they published.

use serde_json::Value;
use waxwing_backend::{Backend, fetch::fetch};

use crate::{FunctionError, http::on_request};

/// The path parameter, as the template names it: an account id.
const ACCOUNT_PARAMETER: &str = "userId";

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_request(event, |request| async move {
        let asker = request.authorized(backend).await?;
        Ok(fetch(backend, asker.device, request.parameter(ACCOUNT_PARAMETER)?).await?)
    })
    .await
}
