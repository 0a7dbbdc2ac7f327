//! The equation of one message: what an online 1:1 message takes, mode by mode, what it costs a million times at
//! list price, and what lies between that and the floor.
//!
//! ```text
//! f  messages that share a send frame      k  envelopes that share an ack frame
//!
//! message = (send frame + accepted + invocation + reading the directory) / f
//!         + put + post
//!         + (ack frame + acked + invocation) / k + delete
//! ```
//! The floor is what no design with a mailbox gets below while each message has its own frame: the frame in, the frame
//! out, one invocation, one put. It has no *accepted*, no look at the directory, no ack.

use serde::Serialize;

use crate::{
    FunctionUsage, Usage,
    measured::Measured,
    prices::PriceBook,
    workload::{Durations, Tuning},
};

/// What an online message that keeps every guarantee may cost a million times, *accepted* at once.
pub const BAR_IMMEDIATE: f64 = 4.9;

/// The same when *accepted* and acks wait for company.
pub const BAR_WINDOWED: f64 = 3.9;

/// Envelopes that `receive_10` and `ack_of_10` are about.
const TEN: f64 = 10.0;

/// What parts of use cases take, taken apart from what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// A `send` frame without its envelopes: frame, reply, invocation, reading the directory.
    pub send_frame: Usage,
    /// An envelope for a connected device: put and post.
    pub envelope: Usage,
    /// An envelope for each further connected device of the same person.
    pub further_envelope: Usage,
    /// An envelope for a device that is away: put.
    pub envelope_away: Usage,
    /// Alerting a device: the mark, the push, and that it was published.
    pub alert: Usage,
    /// An `ack` frame without its ids.
    pub ack_frame: Usage,
    /// Each id of an ack: the delete.
    pub ack_id: Usage,
    /// Each envelope of a page of the mailbox.
    pub received: Usage,
    /// Messages that share a `send` frame when many are handed over at once, as the client does it today.
    pub messages_per_frame: f64,
}

impl Parts {
    /// Takes the measured use cases apart.
    pub fn of(measured: &Measured) -> Self {
        let one = &measured.message_to_1_device;
        // An envelope is whole units; a fraction counts the request, once a frame.
        let send_frame = one.map(|usage| FunctionUsage {
            posts: 0.0,
            write_calls: usage.write_calls.fract(),
            write_units: usage.write_units.fract(),
            post_bytes: 0.0,
            ..usage
        });
        let envelope = one - &send_frame;
        let away = &measured.next_message_to_away_device;
        let ack_id = &(&measured.ack_of_10 - &measured.ack_of_1) * (1.0 / (TEN - 1.0));
        let frames = measured.burst_of_10.total().frames_in.max(1.0);
        Self {
            envelope_away: away.map(|usage| FunctionUsage {
                write_calls: usage.write_calls.floor(),
                write_units: usage.write_units.floor(),
                ..FunctionUsage::default()
            }),
            alert: (&measured.first_message_to_away_device - away).map(|usage| FunctionUsage {
                reply_bytes: 0.0,
                ..usage
            }),
            ack_frame: &measured.ack_of_1 - &ack_id,
            received: &(&measured.receive_10 - &measured.receive_nothing) * (1.0 / TEN),
            further_envelope: &(&measured.message_to_3_devices - one) * 0.5,
            send_frame,
            envelope,
            ack_id,
            messages_per_frame: (TEN / frames).max(1.0),
        }
    }

    /// An online message between two people with one device each, `f` messages a `send` frame, without its ack.
    pub fn message(&self, f: f64) -> Usage {
        &(&self.send_frame * (1.0 / f)) + &self.envelope
    }

    /// The ack of one envelope, `k` envelopes an `ack` frame.
    pub fn ack(&self, k: f64) -> Usage {
        &(&self.ack_frame * (1.0 / k)) + &self.ack_id
    }
}

/// Dollars of use cases at list price, and how to get them.
pub struct PerMillion<'a> {
    /// The prices.
    pub book: &'a PriceBook,
    /// The use cases.
    pub measured: &'a Measured,
    /// Memory, processor, windows.
    pub tuning: &'a Tuning,
    /// How long functions take.
    pub durations: &'a Durations,
}

/// Dollars for a million, by kind of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Dollars {
    /// Lambda: invocations.
    pub invocations: f64,
    /// Lambda: GB-seconds.
    pub gb_seconds: f64,
    /// DynamoDB: write request units, on demand.
    pub write_units: f64,
    /// DynamoDB: read request units, on demand.
    pub read_units: f64,
    /// API Gateway: frames, both directions.
    pub frames: f64,
    /// API Gateway: HTTP requests.
    pub http_requests: f64,
}

impl Dollars {
    /// All together.
    pub fn total(&self) -> f64 {
        self.invocations
            + self.gb_seconds
            + self.write_units
            + self.read_units
            + self.frames
            + self.http_requests
    }
}

/// A million of each use case, in dollars at list price: first tier, nothing free, no data transfer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Headline {
    /// An online 1:1 message, *accepted* at once, acks batched.
    pub online_immediate: f64,
    /// The same, *accepted* and acks batched as far as the client does it today.
    pub online_windowed: f64,
    /// The same with as many messages a frame as `tuning.messages_per_frame` says, whether the client does it or not.
    pub online_windowed_if_batched: f64,
    /// A 1:1 message to a device that is away: put, later received in a page of ten, acked.
    pub offline: f64,
    /// Prekeys of a device.
    pub claim: f64,
    /// The least a message can cost with a mailbox.
    pub floor: f64,
}

/// One step from the floor to what a message costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// What is added.
    pub what: &'static str,
    /// Dollars for a million, *accepted* at once.
    pub immediate: f64,
    /// Dollars for a million in windowed mode.
    pub windowed: f64,
}

impl PerMillion<'_> {
    /// Dollars for a million times `usage`.
    pub fn dollars(&self, usage: &Usage) -> Dollars {
        let total = usage.total();
        let book = self.book;
        let gb_seconds: f64 = usage
            .functions
            .iter()
            .map(|(name, usage)| self.durations.gb_seconds(name, usage, self.memory_mb(name)))
            .sum();
        Dollars {
            invocations: total.invocations * book.lambda.requests.per_million(),
            gb_seconds: gb_seconds * book.gb_seconds(self.tuning.architecture).per_million(),
            write_units: total.write_units * book.dynamodb.write_units.per_million(),
            read_units: total.read_units * book.dynamodb.read_units.per_million(),
            frames: total.websocket_messages() * book.api_gateway.websocket_messages.per_million(),
            http_requests: total.http_requests * book.api_gateway.http_requests.per_million(),
        }
    }

    /// Memory of a function, in MB.
    pub fn memory_mb(&self, function: &str) -> f64 {
        memory_mb(self.measured, self.tuning, function)
    }

    /// The headline figures.
    pub fn headline(&self) -> Headline {
        let parts = Parts::of(self.measured);
        let k = self.tuning.acks_per_frame;
        let of = |usage: &Usage| self.dollars(usage).total();
        let online = |f: f64| of(&(&parts.message(f) + &parts.ack(k)));
        let received = &parts.received + &(&self.measured.receive_nothing * (1.0 / TEN));
        let offline = &(&self.measured.next_message_to_away_device + &received) + &parts.ack(k.min(TEN));
        Headline {
            online_immediate: online(1.0),
            online_windowed: online(self.windowed_messages_per_frame(&parts)),
            online_windowed_if_batched: online(self.tuning.messages_per_frame),
            offline: of(&offline),
            claim: of(&self.measured.claim),
            floor: self.floor(),
        }
    }

    /// Messages a frame in windowed mode, as far as the client does it today.
    pub fn windowed_messages_per_frame(&self, parts: &Parts) -> f64 {
        parts.messages_per_frame.min(self.tuning.messages_per_frame)
    }

    /// The floor: a frame in, a frame out, an invocation, a put.
    pub fn floor(&self) -> f64 {
        let gateway = &self.book.api_gateway.websocket_messages;
        2.0 * gateway.per_million()
            + self.book.lambda.requests.per_million()
            + self.book.dynamodb.write_units.per_million()
    }

    /// From the floor to what a message costs, step by step; the steps add up.
    pub fn steps(&self) -> Vec<Step> {
        let parts = Parts::of(self.measured);
        let (f, k) = (
            self.windowed_messages_per_frame(&parts),
            self.tuning.acks_per_frame,
        );
        let frame = self.dollars(&parts.send_frame);
        let envelope = self.dollars(&parts.envelope);
        let ack_frame = self.dollars(&parts.ack_frame);
        let ack_id = self.dollars(&parts.ack_id);
        let reply = parts.send_frame.total().replies * self.book.api_gateway.websocket_messages.per_million();
        let shared = frame.frames - reply + frame.invocations;
        let least_here = shared + envelope.frames + envelope.write_units;
        let step = |what, frame: f64, other: f64| Step {
            what,
            immediate: frame + other,
            windowed: frame / f + other,
        };
        vec![
            Step {
                what: "floor: frame in, frame out, invocation, put",
                immediate: least_here,
                windowed: least_here - shared * (1.0 - 1.0 / f),
            },
            step("accepted: the reply, as route response", reply, 0.0),
            step("counting requests against the rate limit", frame.write_units, 0.0),
            step(
                "reading which devices there are",
                frame.read_units,
                envelope.read_units,
            ),
            step("GB-seconds of send", frame.gb_seconds, envelope.gb_seconds),
            step(
                "ack: deleting the envelope",
                0.0,
                ack_id.total() - ack_id.gb_seconds,
            ),
            step(
                "ack: frames and invocations, shared",
                0.0,
                (ack_frame.total() - ack_frame.gb_seconds) / k,
            ),
            step(
                "GB-seconds of ack",
                0.0,
                ack_frame.gb_seconds / k + ack_id.gb_seconds,
            ),
        ]
    }
}

/// Memory of a function, in MB.
pub(crate) fn memory_mb(measured: &Measured, tuning: &Tuning, function: &str) -> f64 {
    let of_template = || measured.memory_mb.get(function).copied();
    // A function that is only planned has the memory of the smallest.
    let smallest = || measured.memory_mb.values().copied().min();
    tuning
        .memory_mb
        .or_else(of_template)
        .or_else(smallest)
        .map_or(0.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::measured;

    const TINY: f64 = 1e-9;

    fn headline(tuning: &Tuning) -> (Headline, Vec<Step>) {
        let book = PriceBook::built_in().unwrap();
        let measured = measured();
        let durations = Durations::default();
        let per_million = PerMillion {
            book: &book,
            measured: &measured,
            tuning,
            durations: &durations,
        };
        (per_million.headline(), per_million.steps())
    }

    /// By hand, two frames at 1.00, an invocation at 0.20, a write unit at 0.625.
    #[test]
    fn the_floor_is_2_83() {
        let (headline, _) = headline(&Tuning::default());
        assert!((headline.floor - 2.825).abs() < TINY);
    }

    /// By hand, at 256 MB on arm64, k = 20:
    ///
    /// | what | dollars for a million |
    /// |---|---|
    /// | frames: send, accepted, delivery, and (ack, acked) / 20 | 3 + 0.1 |
    /// | invocations: send, ack / 20 | 0.2 + 0.01 |
    /// | put and delete | 1.25 |
    /// | two accounts read | 0.25 |
    /// | GB-seconds of send: 30.455 ms × 0.25 GB + 0.0002 = 0.0078138, × 13.3334 | 0.1041844 |
    /// | GB-seconds of ack: (2 + 5 + 3.455 ms) × 0.25 GB + 0.0002 = 0.0028138 / 20, × 13.3334 | 0.0018758 |
    #[test]
    fn an_online_message_costs_what_was_computed_by_hand() {
        let (headline, _) = headline(&Tuning::default());
        let send = (0.030_455_078_125 * 0.25 + 0.0002) * 13.3334;
        let ack = (0.010_455_078_125 * 0.25 + 0.0002) / 20.0 * 13.3334;
        let expected = 3.0 + 0.1 + 0.2 + 0.01 + 1.25 + 0.25 + send + ack;
        assert!(
            (headline.online_immediate - expected).abs() < TINY,
            "{headline:?} {expected}"
        );
        assert_eq!(headline.online_windowed, headline.online_immediate);
    }

    /// By hand, ten messages a frame: a tenth of 1 + 1 + 0.2 + 0.25, the rest as above. Of the duration, put and post
    /// stay (15 ms), the remaining 15.455 ms and the cold start are shared.
    #[test]
    fn messages_that_share_a_frame_share_what_the_frame_costs() {
        let tuning = Tuning {
            messages_per_frame: 10.0,
            ..Tuning::default()
        };
        let (headline, _) = headline(&tuning);
        let send = (0.015 * 0.25 + (0.015_455_078_125 * 0.25 + 0.0002) / 10.0) * 13.3334;
        let ack = (0.010_455_078_125 * 0.25 + 0.0002) / 20.0 * 13.3334;
        let expected = 0.245 + 1.0 + 0.11 + 1.25 + send + ack;
        assert!(
            (headline.online_windowed_if_batched - expected).abs() < TINY,
            "{headline:?} {expected}"
        );
    }

    #[test]
    fn the_steps_from_the_floor_add_up_to_the_price() {
        for acks_per_frame in [1.0, 3.0, 20.0] {
            let tuning = Tuning {
                acks_per_frame,
                ..Tuning::default()
            };
            let (headline, steps) = headline(&tuning);
            let immediate: f64 = steps.iter().map(|step| step.immediate).sum();
            let windowed: f64 = steps.iter().map(|step| step.windowed).sum();
            assert!((immediate - headline.online_immediate).abs() < TINY);
            assert!((windowed - headline.online_windowed).abs() < TINY);
            assert!((steps[0].immediate - headline.floor).abs() < TINY);
        }
    }
}
