//! `disconnect`: a WebSocket has closed. Best effort, as API Gateway's event is.

use serde_json::Value;
use waxwing_backend::{Backend, disconnect::disconnect};

use crate::{FunctionError, websocket::on_connection};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_connection("DISCONNECT", event, |connection| async move {
        Ok(disconnect(backend, connection.device, &connection.id).await?)
    })
    .await
}
