//! One binary, every function.
fn main() {}
