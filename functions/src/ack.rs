//! `ack`: these envelopes are stored on the device; delete them from its mailbox.

use serde_json::Value;
use waxwing_backend::{Backend, ack::ack};
use waxwing_wire::{ClientFrame, ServiceFrame};

use crate::{
    FunctionError,
    websocket::{on_frame, wrong_route},
};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_frame(backend, event, |device, frame| async move {
        let ClientFrame::Ack(request) = frame else {
            return Err(wrong_route());
        };
        Ok(ServiceFrame::Acked(ack(backend, device, request).await?))
    })
    .await
}
