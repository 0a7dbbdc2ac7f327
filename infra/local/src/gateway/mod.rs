//! API Gateway: a WebSocket and an HTTP front.

pub mod connections;
