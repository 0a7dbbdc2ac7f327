//! `connect`: a WebSocket opens, after `authorize` allowed it.

use serde_json::Value;
use waxwing_backend::{Backend, connect::connect, requests::admit};

use crate::{FunctionError, websocket::on_connection};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_connection("CONNECT", event, |connection| async move {
        admit(backend, connection.device.address.account, None).await?;
        Ok(connect(backend, connection.device, &connection.id, connection.opened).await?)
    })
    .await
}
