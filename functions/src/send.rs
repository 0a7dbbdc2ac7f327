//! `send`: messages, each to all devices of its recipients.

use serde_json::Value;
use waxwing_backend::{Backend, send::send};
use waxwing_wire::{ClientFrame, ServiceFrame};

use crate::{
    FunctionError,
    websocket::{on_frame, wrong_route},
};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_frame(backend, event, |device, frame| async move {
        let ClientFrame::Send(request) = frame else {
            return Err(wrong_route());
        };
        Ok(ServiceFrame::Sent(send(backend, device, request).await?))
    })
    .await
}
