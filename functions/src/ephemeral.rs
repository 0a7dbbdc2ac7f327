//! `ephemeral`: something for now alone. The route has no response: whatever comes of it, the sender hears nothing.

use serde_json::Value;
use waxwing_backend::{Backend, ephemeral::ephemeral};
use waxwing_wire::ClientFrame;

use crate::{
    FunctionError,
    websocket::{on_unanswered, wrong_route},
};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_unanswered(backend, event, |device, frame| async move {
        let ClientFrame::Ephemeral(request) = frame else {
            return Err(wrong_route());
        };
        Ok(ephemeral(backend, device, request).await?)
    })
    .await
}
