//! `claim`: prekey bundles of an account's devices.

use serde_json::Value;
use waxwing_backend::{Backend, claim::claim};
use waxwing_wire::{ClientFrame, ServiceFrame};

use crate::{
    FunctionError,
    websocket::{on_frame, wrong_route},
};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_frame(backend, event, |device, frame| async move {
        let ClientFrame::Claim(request) = frame else {
            return Err(wrong_route());
        };
        Ok(ServiceFrame::Bundles(claim(backend, device, request).await?))
    })
    .await
}
