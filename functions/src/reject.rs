//! `reject`: the answer to a frame whose action no route has, or that is not JSON.

use serde_json::Value;
use waxwing_backend::Backend;
use waxwing_wire::{ErrorCode, Problem};

use crate::{FunctionError, websocket::on_unrouted};

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    on_unrouted(backend, event, |body| match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(_)) => Problem::new(
            ErrorCode::UnknownAction,
            "No route has this action. Actions are send, ack, receive and claim.",
        ),
        Ok(_) => Problem::new(ErrorCode::Malformed, "A frame is a JSON object with an action."),
        Err(_) => Problem::new(ErrorCode::Malformed, "The frame is not JSON."),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{sample, unreachable_backend};

    async fn rejected(body: &str) -> Value {
        let mut event = sample("reject");
        event["body"] = body.into();
        let reply = handle(&unreachable_backend(), event).await.unwrap();
        serde_json::from_str(reply["body"].as_str().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_unknown_action_is_named_so_and_its_request_repeated() {
        let reply = handle(&unreachable_backend(), sample("reject")).await.unwrap();
        let refused: Value = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
        assert_eq!(refused["code"], "unknown_action");
        assert_eq!(refused["request"], 3);
        assert_eq!(refused["retryable"], false);
    }

    #[tokio::test]
    async fn what_is_no_json_object_is_malformed() {
        for body in ["", "{", "hello", "[]", "7", "null"] {
            assert_eq!(rejected(body).await["code"], "malformed", "{body:?}");
        }
    }
}
