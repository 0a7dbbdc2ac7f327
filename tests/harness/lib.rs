//! What the stories share: a running service and people with devices.
