//! Use cases with round numbers for tests: what the service takes by its design, in figures that can be checked by
//! hand. The measured ones are in `budget.toml`.

use crate::{FunctionUsage, Model, PriceBook, Usage, Workload, measured::Measured};

/// A `send` with so many envelopes put and posted, two accounts read.
fn send(envelopes: f64, posts: f64) -> Usage {
    let usage = FunctionUsage {
        invocations: 1.0,
        frames_in: 1.0,
        replies: 1.0,
        posts,
        read_calls: 2.0,
        read_units: 2.0,
        write_calls: envelopes,
        write_units: envelopes,
        reply_bytes: 100.0,
        post_bytes: posts * 1000.0,
        ..FunctionUsage::default()
    };
    Usage::of("send", usage)
}

/// A frame that is replied to, with these calls.
fn frame(function: &str, reads: (f64, f64), writes: (f64, f64), reply_bytes: f64) -> Usage {
    let usage = FunctionUsage {
        invocations: 1.0,
        frames_in: 1.0,
        replies: 1.0,
        read_calls: reads.0,
        read_units: reads.1,
        write_calls: writes.0,
        write_units: writes.1,
        reply_bytes,
        ..FunctionUsage::default()
    };
    Usage::of(function, usage)
}

/// Something without a frame.
fn quiet(function: &str, read_units: f64, write_units: f64, http_requests: f64) -> Usage {
    let usage = FunctionUsage {
        invocations: 1.0,
        read_calls: f64::from(u8::from(read_units > 0.0)),
        read_units,
        write_calls: f64::from(u8::from(write_units > 0.0)),
        write_units,
        http_requests,
        ..FunctionUsage::default()
    };
    Usage::of(function, usage)
}

pub(crate) fn measured() -> Measured {
    let functions = [
        "send",
        "ack",
        "receive",
        "claim",
        "connect",
        "authorize",
        "disconnect",
        "register",
        "link",
        "upload",
        "fetch",
        "wake",
    ];
    let away = send(1.0, 0.0);
    let alert = FunctionUsage {
        write_calls: 2.0,
        write_units: 2.0,
        pushes: 1.0,
        ..FunctionUsage::default()
    };
    Measured {
        ciphertext_bytes: 400.0,
        memory_mb: functions.map(|name| (name.to_owned(), 256)).into(),
        message_to_1_device: send(1.0, 1.0),
        message_to_3_devices: send(3.0, 3.0),
        burst_of_10: &send(1.0, 1.0) * 10.0,
        first_message_to_away_device: &away + &Usage::of("send", alert),
        next_message_to_away_device: away,
        ack_of_1: frame("ack", (0.0, 0.0), (1.0, 1.0), 40.0),
        ack_of_10: frame("ack", (0.0, 0.0), (1.0, 10.0), 40.0),
        receive_nothing: frame("receive", (1.0, 1.0), (0.0, 0.0), 60.0),
        receive_10: frame("receive", (1.0, 2.0), (0.0, 0.0), 10_060.0),
        connect: &quiet("authorize", 1.0, 0.0, 0.0) + &quiet("connect", 0.0, 1.0, 0.0),
        disconnect: quiet("disconnect", 1.0, 1.0, 0.0),
        claim: frame("claim", (2.0, 2.0), (1.0, 1.0), 700.0),
        register: quiet("register", 2.0, 210.0, 1.0),
        link: quiet("link", 2.0, 210.0, 1.0),
        upload: quiet("upload", 2.0, 2.0, 1.0),
        fetch: quiet("fetch", 3.0, 0.0, 1.0),
        ephemeral: quiet("ephemeral", 0.5, 0.0, 0.0),
    }
}

pub(crate) fn model() -> Model {
    Model {
        book: PriceBook::built_in().unwrap(),
        fixed_prices: false,
        measured: measured(),
        workload: Workload::default(),
        free_tier: false,
    }
}
