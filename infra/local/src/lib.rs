//! Runs `template.yaml` on this machine: the same functions, behind the same routes, over the same tables,
//! without a cloud account and without Docker.
//!
//! # Layout
//! - [`runner`]: starts everything, tells its addresses, ends it cleanly. Start reading here.
//! - [`template`]: `template.yaml`, parsed and resolved. What is not in there does not run.
//! - [`gateway`]: API Gateway, WebSocket and HTTP: events in, replies out, limits as documented.
//! - [`lambda`]: runs functions, inside the process or as processes over the Lambda Runtime API.
//! - [`aws`]: what functions call: DynamoDB (embedded), `@connections` and SNS, each caller by its credentials.
//! - [`cloud`]: all of [`aws`] opened for one template.
//! - [`meter`]: counts what AWS would bill. [`logs`]: what CloudWatch would keep. [`outbox`]: what phones would get.
//! - [`schedule`]: functions that the clock invokes.
//! - [`place`]: the region and the account that a run pretends. [`clock`]: the time of day.
//! - [`secret`]: what stands in for secret parameters.

pub mod aws;
pub mod clock;
pub mod cloud;
pub mod gateway;
pub mod lambda;
pub mod logs;
pub mod meter;
pub mod outbox;
pub mod place;
pub mod runner;
pub mod schedule;
pub mod secret;
mod server;
pub mod template;
