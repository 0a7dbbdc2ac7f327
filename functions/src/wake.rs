//! `wake`: what EventBridge asks for every few minutes.

use serde_json::{Value, json};
use waxwing_backend::{
    Backend,
    wake::{Woken, wake},
};

use crate::FunctionError;

/// Who asks, in every event of a schedule (EventBridge user guide, "Scheduled events").
const SOURCE: &str = "aws.events";

pub(crate) async fn handle(backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    if event.get("source").and_then(Value::as_str) != Some(SOURCE) {
        return Err(FunctionError::Event);
    }
    let woken = wake(backend).await;
    // What failed was logged where it did.
    let Woken { alerted, left } = woken.map_err(|_| FunctionError::Unfinished)?;
    Ok(json!({ "alerted": alerted, "left": left }))
}
