//! Who uses the service and how, and how it is tuned: everything a bill depends on besides prices and measured
//! use cases. A file of it is TOML; what is left out has the default written here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prices::Architecture;

/// Days of a month, here.
pub const DAYS_A_MONTH: f64 = 30.0;

/// Why a workload was refused.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The text is not TOML of a workload's shape.
    #[error("this is not a workload:\n{0}cargo waxwing cost --print-workload prints one with every field")]
    Shape(#[from] toml::de::Error),
    /// A field's value makes no sense.
    #[error("{field} is {value}, and must be {must}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it is.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// A setting is not of the form KEY=VALUE with a known key.
    #[error(
        "{setting}: {reason}; keys are those of cargo waxwing cost --print-workload, like tuning.memory_mb=128"
    )]
    Setting {
        /// The setting.
        setting: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// People, what they do, and how the service is tuned for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// The region whose prices count.
    pub region: String,
    /// People.
    pub people: f64,
    /// Devices of each, 1 to 6 on the average.
    pub devices_each: f64,
    /// Messages that each person sends a day.
    pub messages_a_day: f64,
    /// Bytes of a message's ciphertext; texts are padded, and one up to 951 bytes costs one write unit.
    pub ciphertext_bytes: f64,
    /// Share of devices that are connected when a message for them arrives, 0 to 1.
    pub online_share: f64,
    /// Minutes a day that a device's app is in the foreground, and connected.
    pub foreground_minutes: f64,
    /// Times a day that a device's app comes to the foreground.
    pub sessions_a_day: f64,
    /// New conversations that each person begins a month; each claims prekeys.
    pub new_conversations_a_month: f64,
    /// Share of the people who are new each month.
    pub new_people_share: f64,
    /// Hours that a message waits for a device that is away, on the average.
    pub waiting_hours: f64,
    /// Groups.
    pub groups: Groups,
    /// Photos, videos, files.
    pub media: Media,
    /// How the service is set up, and how clients behave.
    pub tuning: Tuning,
    /// How long functions take on Lambda.
    pub durations: Durations,
}

/// Groups: planned, not built. Modelled as copies for each device, the dearest way to do it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Groups {
    /// Share of messages that go to a group, 0 to 1.
    pub share: f64,
    /// Members of a group, the sender included.
    pub members: f64,
}

/// Media: planned, not built. Modelled as one upload, one download for each recipient, kept for 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Items that each person sends a day.
    pub items_a_day: f64,
    /// Bytes of an item.
    pub bytes: f64,
    /// Downloads of each item.
    pub downloads: f64,
}

/// How the service is set up, and how clients behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Memory of every function, in MB; as in the template if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// The processor.
    pub architecture: Architecture,
    /// Messages that share a `send` frame in windowed mode; 1 to 16. In immediate mode each has its own.
    pub messages_per_frame: f64,
    /// Envelopes that share an `ack` frame, 1 to 100; the client waits for 20 by itself.
    pub acks_per_frame: f64,
    /// Whether the bill is for windowed mode: *accepted* and acks wait for company.
    pub windowed: bool,
    /// How tables are paid for.
    pub tables: Tables,
    /// Share of provisioned capacity that is used on the average; the rest stands by for peaks.
    pub provisioned_use: f64,
    /// Seconds between heartbeats: a client over whose connection no message went for 540 seconds reads its empty mailbox. 0 is
    /// none, as for phones, which are on the screen for less than that.
    pub heartbeat_seconds: f64,
    /// Whether an app in the background stays connected. If not, it disconnects and is pushed.
    pub background_connections: bool,
}

/// How tables are paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tables {
    /// By the request.
    #[default]
    OnDemand,
    /// By the hour of capacity.
    Provisioned,
}

/// How long a function takes on Lambda. The machine that measures use cases has no network to DynamoDB, so its
/// durations say little; these are assumptions, each with its reason, and each can be set.
///
/// ```text
/// ms of an invocation = overhead_ms + table calls × table_call_ms + posts × post_ms + cpu_ms × 1,769 / memory_mb
/// ```
/// Calls count one after another although some run side by side: an upper bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Durations {
    /// The runtime's loop and the answer's way out.
    pub overhead_ms: f64,
    /// A call to DynamoDB over a warm connection: its "single-digit milliseconds".
    pub table_call_ms: f64,
    /// A post to a connection through API Gateway: a public HTTPS endpoint, so more than a table.
    pub post_ms: f64,
    /// Computation of an invocation on a whole virtual CPU: JSON, signing of requests. Lambda gives a whole one at
    /// 1,769 MB and a share of it below.
    pub cpu_ms: f64,
    /// Share of invocations that start an instance first.
    pub cold_share: f64,
    /// GB-seconds of such a start: the process, and a TLS handshake that took 745 ms at 128 MB in a published
    /// measurement. It is computation, so GB-seconds hardly depend on the memory.
    pub cold_gb_seconds: f64,
    /// Milliseconds of a function's invocation if known better: it replaces the formula for that function.
    pub functions: BTreeMap<String, f64>,
}

/// Memory at which Lambda gives a function one whole virtual CPU.
const FULL_CPU_MB: f64 = 1769.0;

impl Durations {
    /// Milliseconds that all invocations of `usage` take together, cold starts left out.
    pub fn milliseconds(&self, function: &str, usage: &crate::FunctionUsage, memory_mb: f64) -> f64 {
        if let Some(known) = self.functions.get(function) {
            return usage.invocations * known;
        }
        let computation = self.overhead_ms + self.cpu_ms * FULL_CPU_MB / memory_mb;
        let table_calls = usage.read_calls + usage.write_calls;
        usage.invocations * computation + table_calls * self.table_call_ms + usage.posts * self.post_ms
    }

    /// GB-seconds of `usage`, cold starts included.
    pub fn gb_seconds(&self, function: &str, usage: &crate::FunctionUsage, memory_mb: f64) -> f64 {
        let warm = self.milliseconds(function, usage, memory_mb) / 1000.0 * memory_mb / 1024.0;
        warm + usage.invocations * self.cold_share * self.cold_gb_seconds
    }
}

impl Default for Workload {
    /// A hundred thousand people with a phone each.
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            people: 100_000.0,
            devices_each: 1.0,
            messages_a_day: 50.0,
            ciphertext_bytes: 713.0,
            online_share: 0.5,
            foreground_minutes: 30.0,
            sessions_a_day: 15.0,
            new_conversations_a_month: 2.0,
            new_people_share: 0.05,
            waiting_hours: 4.0,
            groups: Groups::default(),
            media: Media::default(),
            tuning: Tuning::default(),
            durations: Durations::default(),
        }
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            share: 0.0,
            members: 10.0,
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            items_a_day: 0.0,
            bytes: 300_000.0,
            downloads: 1.0,
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            memory_mb: None,
            architecture: Architecture::Arm64,
            messages_per_frame: 2.0,
            acks_per_frame: 20.0,
            windowed: false,
            tables: Tables::OnDemand,
            provisioned_use: 0.35,
            heartbeat_seconds: 0.0,
            background_connections: false,
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            overhead_ms: 2.0,
            table_call_ms: 5.0,
            post_ms: 10.0,
            cpu_ms: 0.5,
            cold_share: 0.002,
            cold_gb_seconds: 0.1,
            functions: BTreeMap::new(),
        }
    }
}

impl Workload {
    /// Reads a workload.
    ///
    /// # Errors
    /// [`WorkloadError::Shape`] with line and field, [`WorkloadError::Value`].
    pub fn parse(text: &str) -> Result<Self, WorkloadError> {
        let workload: Self = toml::from_str(text)?;
        workload.check()?;
        Ok(workload)
    }

    /// The workload as a file with every field.
    ///
    /// # Errors
    /// If it does not serialise.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same workload with one field changed: `KEY=VALUE`, a field of a part as in `tuning.memory_mb=128`.
    ///
    /// # Errors
    /// [`WorkloadError::Setting`] if there is no such field or the value is not of its kind,
    /// [`WorkloadError::Value`].
    pub fn with(&self, setting: &str) -> Result<Self, WorkloadError> {
        let wrong = |reason: String| WorkloadError::Setting {
            setting: setting.to_owned(),
            reason,
        };
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| wrong("it has no =".to_owned()))?;
        let mut fields = toml::Table::try_from(self).map_err(|error| wrong(error.to_string()))?;
        let mut path = key.trim().split('.').peekable();
        let mut table = &mut fields;
        while let Some(part) = path.next() {
            if path.peek().is_none() {
                table.insert(part.to_owned(), parse_value(value.trim()));
                break;
            }
            table = match table.get_mut(part) {
                Some(toml::Value::Table(inner)) => inner,
                _ => return Err(wrong(format!("there is no part {part}"))),
            };
        }
        let workload: Self = fields
            .try_into()
            .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
        workload.check()?;
        Ok(workload)
    }

    /// A number among the fields: `people`, `tuning.acks_per_frame`.
    pub(crate) fn number(&self, field: &str) -> Option<f64> {
        let fields = toml::Value::try_from(self).ok()?;
        let found = field.split('.').try_fold(&fields, |part, name| part.get(name))?;
        found.as_float()
    }

    /// Messages that all people together send in a month.
    pub fn messages_a_month(&self) -> f64 {
        self.people * self.messages_a_day * DAYS_A_MONTH
    }

    /// Devices of all people.
    pub fn devices(&self) -> f64 {
        self.people * self.devices_each
    }

    fn check(&self) -> Result<(), WorkloadError> {
        const SOME: &str = "zero or more";
        const SHARE: &str = "from 0 to 1";
        let (tuning, durations) = (&self.tuning, &self.durations);
        let known = durations.functions.values().copied();
        let some = [
            ("people", self.people),
            ("messages_a_day", self.messages_a_day),
            ("foreground_minutes", self.foreground_minutes),
            ("sessions_a_day", self.sessions_a_day),
            ("new_conversations_a_month", self.new_conversations_a_month),
            ("waiting_hours", self.waiting_hours),
            ("ciphertext_bytes", self.ciphertext_bytes),
            ("media.items_a_day", self.media.items_a_day),
            ("media.bytes", self.media.bytes),
            ("media.downloads", self.media.downloads),
            ("tuning.heartbeat_seconds", tuning.heartbeat_seconds),
            ("durations.overhead_ms", durations.overhead_ms),
            ("durations.table_call_ms", durations.table_call_ms),
            ("durations.post_ms", durations.post_ms),
            ("durations.cpu_ms", durations.cpu_ms),
            ("durations.cold_gb_seconds", durations.cold_gb_seconds),
        ];
        let some = some
            .into_iter()
            .chain(known.map(|ms| ("durations.functions", ms)));
        let shares = [
            ("online_share", self.online_share),
            ("new_people_share", self.new_people_share),
            ("groups.share", self.groups.share),
            ("durations.cold_share", durations.cold_share),
        ];
        check_all(some, SOME, |value| value >= 0.0)?;
        check_all(shares, SHARE, |value| (0.0..=1.0).contains(&value))?;
        check_all(
            [("tuning.provisioned_use", tuning.provisioned_use)],
            "above 0 and at most 1",
            |value| value > 0.0 && value <= 1.0,
        )?;
        check_all(
            [("foreground_minutes", self.foreground_minutes)],
            "at most 1440, a day",
            |value| value <= 1440.0,
        )?;
        check_all([("devices_each", self.devices_each)], "from 1 to 6", |value| {
            (1.0..=6.0).contains(&value)
        })?;
        check_all([("groups.members", self.groups.members)], "2 or more", |value| {
            value >= 2.0
        })?;
        check_all(
            [("tuning.messages_per_frame", tuning.messages_per_frame)],
            "from 1 to 16",
            |value| (1.0..=16.0).contains(&value),
        )?;
        check_all(
            [("tuning.acks_per_frame", tuning.acks_per_frame)],
            "from 1 to 100",
            |value| (1.0..=100.0).contains(&value),
        )?;
        let memory = tuning.memory_mb.map(|mb| ("tuning.memory_mb", f64::from(mb)));
        check_all(memory, "from 128 to 10240", |value| {
            (128.0..=10_240.0).contains(&value)
        })
    }
}

fn check_all(
    fields: impl IntoIterator<Item = (&'static str, f64)>,
    must: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), WorkloadError> {
    for (field, value) in fields {
        if !(value.is_finite() && holds(value)) {
            return Err(WorkloadError::Value { field, value, must });
        }
    }
    Ok(())
}

/// A value as TOML has it, and a bare word as the text it is.
fn parse_value(value: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_survives_being_written() {
        let workload = Workload::default()
            .with("tuning.memory_mb=128")
            .unwrap()
            .with("durations.functions.send=31.5")
            .unwrap();
        let written = workload.to_toml().unwrap();
        assert_eq!(Workload::parse(&written).unwrap(), workload);
        assert_eq!(Workload::parse("").unwrap(), Workload::default());
    }

    #[test]
    fn a_bad_file_is_refused_by_line_and_field() {
        let error = Workload::parse("people = 5\npeeple = 6\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2") && error.contains("peeple"), "{error}");
        let error = Workload::parse("people = 5\n[tuning]\nacks_per_frame = \"many\"\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 3") && error.contains("acks_per_frame"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_by_its_field() {
        for (text, field) in [
            ("people = -1", "people"),
            ("people = inf", "people"),
            ("people = nan", "people"),
            ("devices_each = 7", "devices_each"),
            ("online_share = 1.1", "online_share"),
            ("foreground_minutes = 1441", "foreground_minutes"),
            ("[groups]\nmembers = 1", "groups.members"),
            ("[tuning]\nacks_per_frame = 0.5", "tuning.acks_per_frame"),
            ("[tuning]\nmemory_mb = 64", "tuning.memory_mb"),
            ("[tuning]\nprovisioned_use = 0", "tuning.provisioned_use"),
            ("[durations.functions]\nsend = -1", "durations.functions"),
        ] {
            let error = Workload::parse(text).unwrap_err();
            assert!(
                matches!(error, WorkloadError::Value { field: found, .. } if found == field),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_setting_changes_one_field_and_no_other() {
        let workload = Workload::default();
        for (setting, changed) in [
            (
                "people = 7",
                Workload {
                    people: 7.0,
                    ..workload.clone()
                },
            ),
            (
                "region=eu-west-1",
                Workload {
                    region: "eu-west-1".into(),
                    ..workload.clone()
                },
            ),
            (
                "tuning.tables=provisioned",
                Workload {
                    tuning: Tuning {
                        tables: Tables::Provisioned,
                        ..Tuning::default()
                    },
                    ..workload.clone()
                },
            ),
        ] {
            assert_eq!(workload.with(setting).unwrap(), changed, "{setting}");
        }
    }

    #[test]
    fn a_setting_of_nothing_known_is_refused_with_what_to_do() {
        for setting in [
            "people",
            "peeple=1",
            "tuning.speed=1",
            "tuning.memory.mb=1",
            "tuning.memory_mb=lots",
            "=",
        ] {
            let error = Workload::default().with(setting).unwrap_err().to_string();
            assert!(
                error.contains(setting) && error.contains("--print-workload"),
                "{error}"
            );
        }
    }

    /// By hand, `send` to one device at 256 MB: 2 + 3 × 5 + 1 × 10 + 0.5 × 1,769 / 256 = 30.455 ms;
    /// 0.030455 s × 0.25 GB = 0.0076138 GB-s; cold starts 0.002 × 0.1 = 0.0002.
    #[test]
    fn a_duration_follows_from_calls_and_memory() {
        let usage = crate::FunctionUsage {
            invocations: 1.0,
            read_calls: 2.0,
            write_calls: 1.0,
            posts: 1.0,
            ..Default::default()
        };
        let mut durations = Durations::default();
        assert!((durations.milliseconds("send", &usage, 256.0) - 30.455_078_125).abs() < 1e-9);
        assert!((durations.gb_seconds("send", &usage, 256.0) - 0.007_813_769_531_25).abs() < 1e-12);
        durations.functions.insert("send".into(), 40.0);
        assert_eq!(durations.milliseconds("send", &usage, 256.0), 40.0);
    }
}
