//! The runner as a whole, the template and the code beside it. One binary: the SDKs are linked once for all of it.
//! `gateway_memory` has its process to itself.

mod aws;
mod gateway_websocket;
mod processes;
mod runner;
mod sns;
mod template_agrees_with_the_code;
