//! `receive`: the next page of the own mailbox.

use serde_json::Value;
use waxwing_backend::{Backend, receive::receive};
use waxwing_wire::{ClientFrame, ServiceFrame};

use crate::{
    FunctionError,
    websocket::{on_frame, wrong_route},
};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_frame(backend, event, |device, frame| async move {
        let ClientFrame::Receive(request) = frame else {
            return Err(wrong_route());
        };
        Ok(ServiceFrame::Page(receive(backend, device, request).await?))
    })
    .await
}
