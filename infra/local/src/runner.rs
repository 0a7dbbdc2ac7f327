//! Starts every part, tells the addresses, ends them cleanly.
