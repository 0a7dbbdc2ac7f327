//! API Gateway: a WebSocket and an HTTP front.
