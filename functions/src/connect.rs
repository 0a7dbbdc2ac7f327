//! `connect`: a WebSocket opens, after `authorize` allowed it.

use serde_json::Value;
use waxwing_backend::{Backend, connect::connect};

use crate::{FunctionError, websocket::on_connection};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_connection("CONNECT", event, |connection| async move {
        Ok(connect(backend, connection.device, &connection.id, connection.opened).await?)
    })
    .await
}
