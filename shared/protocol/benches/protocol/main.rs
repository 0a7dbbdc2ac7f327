//! What the protocol costs, beside vodozemac (Olm, the Double Ratchet of Matrix) on the same work.
//!
//! `cargo bench -p waxwing-protocol` measures the pure Rust crates, with `--features accelerated` AWS-LC. One run
//! prints bytes on the wire, then times and their ratios, with the bars the project has set itself.
//!
//! A unit of work begins with a plaintext of 1 KB and ends with bytes for the wire, or the other way round. Keys
//! are verified before: Olm leaves that to the application. What verifying costs us stands in rows of its own.
//! Olm has no post-quantum half; ours is in every number. A word after `--` picks the rows that have it in their
//! name.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    missing_docs,
    reason = "a bench is no library"
)]

mod harness;
mod olm;
mod ours;

use harness::{Bar, Table};

/// What is encrypted.
const KILOBYTE: [u8; 1024] = [7; 1024];
/// Devices a message fans out to.
const DEVICES: usize = 100;

/// AWS-LC is to make up for P-256 and ML-KEM; the pure crates cannot, and are measured for what they are.
const ACCELERATED: bool = cfg!(feature = "accelerated");

fn main() {
    let backend = if ACCELERATED {
        "AWS-LC (feature accelerated)"
    } else {
        "the pure Rust crates"
    };
    println!("waxwing-protocol with {backend}, beside vodozemac\n");
    sizes();
    // What cargo adds begins with a hyphen.
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let mut table = Table::new(filter.unwrap_or_default());
    let with_aws_lc = |times| ACCELERATED.then_some(Bar::AtMost(times));
    table.beside(
        "handshake, initiator: session and first message",
        ours::initiator(),
        olm::initiator(),
        with_aws_lc(2.3),
    );
    table.beside(
        "handshake, responder: session and first message",
        ours::responder(),
        olm::responder(),
        with_aws_lc(2.3),
    );
    table.beside(
        "encrypt 1 KB on a chain",
        ours::encrypt(),
        olm::encrypt(),
        Some(Bar::AtMost(0.25)),
    );
    table.beside(
        "decrypt 1 KB on a chain",
        ours::decrypt(),
        olm::decrypt(),
        Some(Bar::AtMost(1.0)),
    );
    table.compare(
        "decrypt 1 KB on a chain, against its encrypt",
        "decrypt 1 KB on a chain",
        "encrypt 1 KB on a chain",
        Bar::AtMost(0.25),
    );
    table.beside(
        "ping-pong, a message of 1 KB there",
        ours::ping_pong(),
        olm::ping_pong(),
        with_aws_lc(1.0),
    );
    table.beside(
        "fan-out of 1 KB to 100 devices",
        ours::fan_out(),
        olm::fan_out(),
        Some(Bar::AtMost(0.25)),
    );
    table.alone("verify a bundle of a known device", ours::verify_bundle());
    table.alone("verify a device not known yet", ours::verify_device());
    table.alone("store and load a session", ours::store_and_load());
    table.alone("decrypt after the longest jump", ours::longest_jump());
    table.print();
}

fn sizes() {
    let (ours, olm) = (ours::sizes(), olm::sizes());
    println!("bytes on the wire of 1 KB        waxwing  vodozemac   bar");
    println!(
        "  on a chain                      {:>6}     {:>6} 1,100",
        ours.chain, olm.chain
    );
    println!(
        "  with a handshake                {:>6}     {:>6} 2,800",
        ours.handshake, olm.handshake
    );
    println!("a session in our store            {:>6}\n", ours.state);
}
