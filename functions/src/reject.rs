//! `reject`: the answer to a frame whose action no route has, or that is not JSON.

use serde_json::Value;
use waxwing_wire::{ErrorCode, Problem};

use crate::{FunctionError, websocket::on_unrouted};

pub(crate) async fn handle(event: Value) -> Result<Value, FunctionError> {
    on_unrouted(event, |body| match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(_)) => Problem::new(
            ErrorCode::UnknownAction,
            "No route has this action. Actions are send, ack, receive and claim.",
        ),
        Ok(_) => Problem::new(ErrorCode::Malformed, "A frame is a JSON object with an action."),
        Err(_) => Problem::new(ErrorCode::Malformed, "The frame is not JSON."),
    })
}
