//! Shows that the service keeps its promises, instead of saying so. docs/reliability.md has the promises by name, and
//! what was found.
//!
//! # Layout
//! - [`model`]: the design in small, tried in every order of its steps.

pub mod model;
