//! What was done, by function, in the units AWS bills: the vector that everything here adds, scales and prices.

use std::{
    collections::BTreeMap,
    ops::{Add, AddAssign, Mul, Sub},
};

use serde::{Deserialize, Serialize};

/// What each function did, and what was done for it: frames in its route's name, calls to tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage {
    /// By the function's name.
    pub functions: BTreeMap<String, FunctionUsage>,
}

/// What one function did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FunctionUsage {
    /// Invocations.
    #[serde(skip_serializing_if = "is_zero")]
    pub invocations: f64,
    /// WebSocket frames that invoked it, each begun 32 KB counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub frames_in: f64,
    /// Replies that travelled back as route responses, each begun 32 KB counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub replies: f64,
    /// Frames it posted to connections, each begun 32 KB counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub posts: f64,
    /// Calls that read tables.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_calls: f64,
    /// Read request units of these calls.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_units: f64,
    /// Calls that write tables.
    #[serde(skip_serializing_if = "is_zero")]
    pub write_calls: f64,
    /// Write request units of these calls.
    #[serde(skip_serializing_if = "is_zero")]
    pub write_units: f64,
    /// HTTP API requests that invoked it, each begun 512 KB counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub http_requests: f64,
    /// Bytes of replies. Those of HTTP replies are not counted: they are rare.
    #[serde(skip_serializing_if = "is_zero")]
    pub reply_bytes: f64,
    /// Bytes of posts.
    #[serde(skip_serializing_if = "is_zero")]
    pub post_bytes: f64,
    /// Bytes of log lines, as CloudWatch counts them.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_bytes: f64,
    /// Alerts it published to phones.
    #[serde(skip_serializing_if = "is_zero")]
    pub pushes: f64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Usage {
    /// What one function did.
    pub fn of(function: &str, usage: FunctionUsage) -> Self {
        Self {
            functions: BTreeMap::from([(function.to_owned(), usage)]),
        }
    }

    /// Only what these functions did.
    #[must_use]
    pub fn only(&self, functions: &[&str]) -> Self {
        let kept = self
            .functions
            .iter()
            .filter(|(name, _)| functions.contains(&name.as_str()))
            .map(|(name, usage)| (name.clone(), *usage));
        Self {
            functions: kept.collect(),
        }
    }

    /// The same with each function's figures changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(FunctionUsage) -> FunctionUsage) -> Self {
        let changed = self
            .functions
            .iter()
            .map(|(name, usage)| (name.clone(), change(*usage)));
        Self {
            functions: changed.collect(),
        }
    }

    /// All functions together.
    pub fn total(&self) -> FunctionUsage {
        self.functions
            .values()
            .fold(FunctionUsage::default(), |sum, usage| {
                sum.zip(*usage, |a, b| a + b)
            })
    }

    fn zip(&self, other: &Self, join: impl Fn(f64, f64) -> f64) -> Self {
        let mut functions = BTreeMap::new();
        for name in self.functions.keys().chain(other.functions.keys()) {
            let of = |usage: &Self| usage.functions.get(name).copied().unwrap_or_default();
            functions.insert(name.clone(), of(self).zip(of(other), &join));
        }
        Self { functions }
    }
}

impl FunctionUsage {
    /// Every figure with its name, in the order of the fields.
    pub fn figures(&self) -> [(&'static str, f64); 13] {
        [
            ("invocations", self.invocations),
            ("frames_in", self.frames_in),
            ("replies", self.replies),
            ("posts", self.posts),
            ("read_calls", self.read_calls),
            ("read_units", self.read_units),
            ("write_calls", self.write_calls),
            ("write_units", self.write_units),
            ("http_requests", self.http_requests),
            ("reply_bytes", self.reply_bytes),
            ("post_bytes", self.post_bytes),
            ("log_bytes", self.log_bytes),
            ("pushes", self.pushes),
        ]
    }

    /// WebSocket messages as they are billed: both directions.
    pub fn websocket_messages(&self) -> f64 {
        self.frames_in + self.replies + self.posts
    }

    fn zip(self, other: Self, join: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            invocations: join(self.invocations, other.invocations),
            frames_in: join(self.frames_in, other.frames_in),
            replies: join(self.replies, other.replies),
            posts: join(self.posts, other.posts),
            read_calls: join(self.read_calls, other.read_calls),
            read_units: join(self.read_units, other.read_units),
            write_calls: join(self.write_calls, other.write_calls),
            write_units: join(self.write_units, other.write_units),
            http_requests: join(self.http_requests, other.http_requests),
            reply_bytes: join(self.reply_bytes, other.reply_bytes),
            post_bytes: join(self.post_bytes, other.post_bytes),
            log_bytes: join(self.log_bytes, other.log_bytes),
            pushes: join(self.pushes, other.pushes),
        }
    }
}

impl Add for &Usage {
    type Output = Usage;

    fn add(self, other: &Usage) -> Usage {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for &Usage {
    type Output = Usage;

    fn sub(self, other: &Usage) -> Usage {
        self.zip(other, |a, b| a - b)
    }
}

impl AddAssign<&Usage> for Usage {
    fn add_assign(&mut self, other: &Usage) {
        *self = &*self + other;
    }
}

impl Mul<f64> for &Usage {
    type Output = Usage;

    fn mul(self, times: f64) -> Usage {
        self.map(|usage| usage.zip(usage, |figure, _| figure * times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(function: &str, invocations: f64, write_units: f64) -> Usage {
        let usage = FunctionUsage {
            invocations,
            write_units,
            ..FunctionUsage::default()
        };
        Usage::of(function, usage)
    }

    #[test]
    fn sums_differences_and_multiples_are_by_function_and_figure() {
        let sum = &usage("send", 1.0, 2.0) + &usage("ack", 3.0, 4.0);
        assert_eq!((sum.total().invocations, sum.total().write_units), (4.0, 6.0));
        assert_eq!(sum.only(&["ack"]), usage("ack", 3.0, 4.0));
        let twice = &sum * 2.0;
        assert_eq!(twice.functions["send"].write_units, 4.0);
        let difference = &twice - &usage("send", 1.0, 1.0);
        assert_eq!(difference.functions["send"].invocations, 1.0);
        assert_eq!(difference.functions["ack"].invocations, 6.0);
    }

    /// A figure that `zip` or `figures` forgets would be free of charge for ever.
    #[test]
    fn no_figure_is_forgotten() {
        let names = FunctionUsage::default().figures().map(|(name, _)| name);
        for name in names {
            let one: FunctionUsage = toml::from_str(&format!("{name} = 1")).unwrap();
            let two = one.zip(one, |a, b| a + b);
            let found: Vec<_> = two.figures().into_iter().filter(|(_, n)| *n != 0.0).collect();
            assert_eq!(found, [(name, 2.0)]);
        }
        let all = FunctionUsage::default().zip(FunctionUsage::default(), |_, _| 1.0);
        let fields = serde_json::to_value(all).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), names.len());
    }
}
