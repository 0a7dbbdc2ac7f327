//! The month's bill of a workload: each use case as often as the workload says, each of its units at its price.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    FunctionUsage, Usage,
    measured::Measured,
    message::{self, Parts},
    prices::{Architecture, Price, PriceBook},
    workload::{DAYS_A_MONTH, Tables, Workload},
};

/// Bytes of a mailbox item besides its ciphertext: keys, expiry and the names of attributes.
const ITEM_OVERHEAD_BYTES: f64 = 73.0;

/// Bytes of a write request unit.
const WRITE_UNIT_BYTES: f64 = 1024.0;

/// Bytes of a read request unit.
const READ_UNIT_BYTES: f64 = 4096.0;

/// Bytes of JSON for a byte of ciphertext: base64.
const BASE64: f64 = 4.0 / 3.0;

/// Bytes of a GB of transfer, logs and storage, as AWS counts it.
const GB: f64 = 1024.0 * 1024.0 * 1024.0;

/// One-time prekeys that an upload adds: a pool of 100 is filled up when 20 are left.
const PREKEYS_PER_UPLOAD: f64 = 80.0;

/// Most envelopes that one ack names, and one page of the mailbox holds.
const MOST_PER_FRAME: f64 = 100.0;

/// Most envelopes of one `send` frame.
const MOST_ENVELOPES_PER_SEND: f64 = 32.0;

/// Minutes that API Gateway lets a connection live.
const CONNECTION_LIFE_MINUTES: f64 = 120.0;

/// Bytes kept of a device: its records and a hundred one-time prekeys, with what DynamoDB adds to each item.
const BYTES_PER_DEVICE: f64 = 20_000.0;

/// Bytes of the record of a device that can be woken.
const BYTES_PER_RECORD: f64 = 240.0;

/// Bytes that DynamoDB reads for one call at most.
const BYTES_PER_SCAN: f64 = 1024.0 * 1024.0;

/// Runs of `wake` in a month: one every five minutes.
const SWEEPS_A_MONTH: f64 = DAYS_A_MONTH * 24.0 * 12.0;

/// A line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which use case.
    pub use_case: &'static str,
    /// Which function, if one.
    pub function: Option<String>,
    /// Which service.
    pub service: &'static str,
    /// Which unit.
    pub item: Item,
    /// How many units in a month.
    pub quantity: f64,
    /// Dollars a month.
    pub dollars: f64,
    /// Whether this is planned and not built: an estimate, measured by nobody.
    pub planned: bool,
}

/// What is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Lambda invocations.
    Invocations,
    /// Lambda GB-seconds.
    GbSeconds,
    /// DynamoDB write request units.
    WriteUnits,
    /// DynamoDB read request units.
    ReadUnits,
    /// Hours of DynamoDB write capacity.
    WriteCapacityHours,
    /// Hours of DynamoDB read capacity.
    ReadCapacityHours,
    /// DynamoDB GB-months.
    TableStorage,
    /// DynamoDB GB-months under point-in-time recovery.
    TableBackup,
    /// WebSocket messages.
    WebsocketMessages,
    /// Connection minutes.
    ConnectionMinutes,
    /// HTTP requests.
    HttpRequests,
    /// Push notifications.
    Pushes,
    /// Text messages.
    TextMessages,
    /// GB of logs.
    LogGb,
    /// GB to the internet.
    TransferGb,
    /// S3 PUT requests.
    MediaPuts,
    /// S3 GET requests.
    MediaGets,
    /// S3 GB-months.
    MediaStorage,
}

impl Item {
    /// The service that bills it.
    pub fn service(self) -> &'static str {
        match self {
            Self::Invocations | Self::GbSeconds => "Lambda",
            Self::WriteUnits
            | Self::ReadUnits
            | Self::WriteCapacityHours
            | Self::ReadCapacityHours
            | Self::TableStorage
            | Self::TableBackup => "DynamoDB",
            Self::WebsocketMessages | Self::ConnectionMinutes | Self::HttpRequests => "API Gateway",
            Self::Pushes | Self::TextMessages => "SNS",
            Self::LogGb => "CloudWatch Logs",
            Self::TransferGb => "Data transfer",
            Self::MediaPuts | Self::MediaGets | Self::MediaStorage => "S3",
        }
    }

    /// A unit for a reader.
    pub fn label(self) -> &'static str {
        match self {
            Self::Invocations => "invocations",
            Self::GbSeconds => "GB-seconds",
            Self::WriteUnits => "write units",
            Self::ReadUnits => "read units",
            Self::WriteCapacityHours => "hours of write capacity",
            Self::ReadCapacityHours => "hours of read capacity",
            Self::TableStorage => "GB-months stored",
            Self::TableBackup => "GB-months of recovery",
            Self::WebsocketMessages => "WebSocket messages",
            Self::ConnectionMinutes => "connection minutes",
            Self::HttpRequests => "HTTP requests",
            Self::Pushes => "pushes",
            Self::TextMessages => "text messages",
            Self::LogGb => "GB of logs",
            Self::TransferGb => "GB to the internet",
            Self::MediaPuts => "PUT requests",
            Self::MediaGets => "GET requests",
            Self::MediaStorage => "GB-months of media",
        }
    }

    /// Its price.
    pub fn price(self, book: &PriceBook, architecture: Architecture) -> &Price {
        match self {
            Self::Invocations => &book.lambda.requests,
            Self::GbSeconds => book.gb_seconds(architecture),
            Self::WriteUnits => &book.dynamodb.write_units,
            Self::ReadUnits => &book.dynamodb.read_units,
            Self::WriteCapacityHours => &book.dynamodb.write_capacity_hours,
            Self::ReadCapacityHours => &book.dynamodb.read_capacity_hours,
            Self::TableStorage => &book.dynamodb.storage,
            Self::TableBackup => &book.dynamodb.backup,
            Self::WebsocketMessages => &book.api_gateway.websocket_messages,
            Self::ConnectionMinutes => &book.api_gateway.connection_minutes,
            Self::HttpRequests => &book.api_gateway.http_requests,
            Self::Pushes => &book.sns.pushes,
            Self::TextMessages => &book.sns.sms,
            Self::LogGb => &book.logs.ingested,
            Self::TransferGb => &book.transfer.out,
            Self::MediaPuts => &book.s3.puts,
            Self::MediaGets => &book.s3.gets,
            Self::MediaStorage => &book.s3.storage,
        }
    }
}

/// A month's bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// Messages that people send in the month.
    pub messages: f64,
    /// Dollars in all, planned parts included.
    pub total: f64,
    /// Of which planned.
    pub planned: f64,
    /// Dollars for a million messages, everything included: connections, newcomers, storage.
    pub per_million_messages: f64,
    /// Envelopes that share an ack frame on the average: no more wait than a session brings.
    pub acks_per_frame: f64,
    /// Dollars by service.
    pub by_service: BTreeMap<String, f64>,
    /// Dollars by function; what belongs to none is under its service's name in brackets.
    pub by_function: BTreeMap<String, f64>,
    /// Dollars by use case.
    pub by_use_case: BTreeMap<String, f64>,
    /// Every line.
    pub lines: Vec<Line>,
}

/// The bill of `workload` for a month. With `free_tier`, what is free for ever is taken off.
pub fn statement(book: &PriceBook, measured: &Measured, workload: &Workload, free_tier: bool) -> Statement {
    let mut draft = Draft {
        measured,
        workload,
        parts: Parts::of(measured),
        lines: Vec::new(),
    };
    let acks_per_frame = draft.fill();
    let mut lines = draft.lines;
    price(&mut lines, book, workload.tuning.architecture, free_tier);
    let sum = |keep: &dyn Fn(&Line) -> bool| {
        lines
            .iter()
            .filter(|line| keep(line))
            .map(|line| line.dollars)
            .sum::<f64>()
    };
    let by = |key: &dyn Fn(&Line) -> String| {
        let mut sums = BTreeMap::new();
        for line in &lines {
            *sums.entry(key(line)).or_insert(0.0) += line.dollars;
        }
        sums
    };
    let (total, messages) = (sum(&|_| true), workload.messages_a_month());
    Statement {
        messages,
        total,
        planned: sum(&|line| line.planned),
        per_million_messages: if messages > 0.0 {
            total / messages * 1e6
        } else {
            0.0
        },
        acks_per_frame,
        by_service: by(&|line| line.service.to_owned()),
        by_function: by(&|line| {
            let service = || format!("({})", line.service);
            line.function.clone().unwrap_or_else(service)
        }),
        by_use_case: by(&|line| line.use_case.to_owned()),
        lines,
    }
}

/// Puts a price to each line: what all units of its kind cost in the month, tier by tier, shared by quantity.
fn price(lines: &mut [Line], book: &PriceBook, architecture: Architecture, free_tier: bool) {
    let mut totals: BTreeMap<Item, f64> = BTreeMap::new();
    for line in lines.iter() {
        *totals.entry(line.item).or_default() += line.quantity;
    }
    for line in lines {
        let total = totals.get(&line.item).copied().unwrap_or_default();
        let price = line.item.price(book, architecture);
        let dollars = if free_tier {
            price.of_beyond_free(total)
        } else {
            price.of(total)
        };
        line.dollars = if total > 0.0 {
            dollars * line.quantity / total
        } else {
            0.0
        };
    }
}

/// The lines as they are collected.
struct Draft<'a> {
    measured: &'a Measured,
    workload: &'a Workload,
    parts: Parts,
    lines: Vec<Line>,
}

/// How many envelopes go where in a month.
struct Envelopes {
    /// For connected devices.
    online: f64,
    /// For devices that are away.
    away: f64,
}

impl Draft<'_> {
    /// Collects everything. Returns how many acks share a frame.
    fn fill(&mut self) -> f64 {
        let workload = self.workload;
        let all = workload.messages_a_month();
        let (group, single) = (workload.groups.share, 1.0 - workload.groups.share);
        // The recipient's devices, and the sender's others.
        let copies = 2.0 * workload.devices_each - 1.0;
        let members = workload.groups.members * workload.devices_each - 1.0;
        let one = self.messages("1:1 messages", all * single, copies, false);
        let many = self.messages("group messages", all * group, members, true);
        let envelopes = Envelopes {
            online: one.online + many.online,
            away: one.away + many.away,
        };
        let sessions = self.connections();
        let acks_per_frame = self.deliveries(&envelopes, sessions);
        self.newcomers();
        self.storage(&envelopes);
        self.media();
        acks_per_frame
    }

    /// `messages` of `copies` envelopes each.
    fn messages(&mut self, use_case: &'static str, messages: f64, copies: f64, planned: bool) -> Envelopes {
        let workload = self.workload;
        let shared = if workload.tuning.windowed {
            workload.tuning.messages_per_frame
        } else {
            1.0
        };
        let frames = messages * (copies / MOST_ENVELOPES_PER_SEND).ceil().max(1.0) / shared;
        let online = messages * copies * workload.online_share;
        let away = messages * copies - online;
        let fits = self.write_units_per_envelope();
        let sized = |envelope: &Usage, more_bytes: f64| {
            envelope.map(|usage| FunctionUsage {
                write_units: usage.write_units * fits,
                post_bytes: usage.post_bytes + usage.posts * more_bytes,
                ..usage
            })
        };
        let more_bytes = (workload.ciphertext_bytes - self.measured.ciphertext_bytes) * BASE64;
        let first = sized(&self.parts.envelope, more_bytes);
        let further = sized(&self.parts.further_envelope, more_bytes);
        let share_of_first = (1.0 / copies.max(1.0)).min(1.0);
        let envelope = &(&first * share_of_first) + &(&further * (1.0 - share_of_first));
        let put = sized(&self.parts.envelope_away, 0.0);
        self.add(use_case, &(&self.parts.send_frame * frames), planned);
        self.add(use_case, &(&envelope * online), planned);
        self.add(use_case, &(&put * away), planned);
        Envelopes { online, away }
    }

    /// Connections, their minutes and heartbeats. Returns how many connections there are.
    fn connections(&mut self) -> f64 {
        const USE_CASE: &str = "connections";
        let workload = self.workload;
        let tuning = &workload.tuning;
        let (minutes, sessions) = if tuning.background_connections {
            // Awake all day: a connection every two hours, and one each time the network changes hands.
            let by_life = 1440.0 / CONNECTION_LIFE_MINUTES;
            (1440.0, by_life.max(workload.sessions_a_day))
        } else {
            let by_life = workload.foreground_minutes / CONNECTION_LIFE_MINUTES;
            (workload.foreground_minutes, by_life.max(workload.sessions_a_day))
        };
        let device_days = workload.devices() * DAYS_A_MONTH;
        let (minutes, sessions) = (minutes * device_days, sessions * device_days);
        let measured = self.measured;
        for usage in [
            &measured.connect,
            &measured.receive_nothing,
            &measured.fetch,
            &measured.disconnect,
        ] {
            self.add(USE_CASE, &(usage * sessions), false);
        }
        self.line(USE_CASE, None, Item::ConnectionMinutes, minutes, false);
        if tuning.heartbeat_seconds > 0.0 {
            let beats = minutes * 60.0 / tuning.heartbeat_seconds;
            self.add("heartbeats", &(&measured.receive_nothing * beats), false);
        }
        sessions
    }

    /// What recipients do with envelopes: pages, acks, pushes. Returns how many acks share a frame.
    fn deliveries(&mut self, envelopes: &Envelopes, sessions: f64) -> f64 {
        let workload = self.workload;
        let fits = self.write_units_per_envelope();
        let read_units = (workload.ciphertext_bytes + ITEM_OVERHEAD_BYTES) / READ_UNIT_BYTES;
        let more_bytes = (workload.ciphertext_bytes - self.measured.ciphertext_bytes) * BASE64;
        let received = self.parts.received.map(|usage| FunctionUsage {
            read_units: usage.read_units.max(read_units),
            reply_bytes: usage.reply_bytes + more_bytes,
            ..usage
        });
        self.add("receiving after being away", &(&received * envelopes.away), false);
        let per_session = |count: f64| if sessions > 0.0 { count / sessions } else { count };
        // A session's last acks leave with it, however few they are.
        let together = |count: f64, most: f64| per_session(count).min(most).max(1.0);
        let k_online = together(
            envelopes.online,
            workload.tuning.acks_per_frame.min(MOST_PER_FRAME),
        );
        let k_away = together(envelopes.away, MOST_PER_FRAME);
        let id = self.parts.ack_id.map(|usage| FunctionUsage {
            write_units: usage.write_units * fits,
            ..usage
        });
        let frames = envelopes.online / k_online + envelopes.away / k_away;
        let acks = &(&self.parts.ack_frame * frames) + &(&id * (envelopes.online + envelopes.away));
        self.add("acks", &acks, false);
        // One alert for each time away with mail, not one for each message.
        let alerts = envelopes.away / k_away;
        self.add("pushes", &(&self.parts.alert * alerts), false);
        self.sweeps();
        let all = envelopes.online + envelopes.away;
        if frames > 0.0 { all / frames } else { 1.0 }
    }

    /// The passes of `wake` over the records of all devices, which find nothing to do.
    fn sweeps(&mut self) {
        let devices = self.workload.devices();
        if devices == 0.0 {
            return;
        }
        let bytes = devices * BYTES_PER_RECORD;
        let pass = FunctionUsage {
            invocations: 1.0,
            read_calls: (bytes / BYTES_PER_SCAN).ceil(),
            // Half the price of a read as of now, and no less than half a unit.
            read_units: (bytes / READ_UNIT_BYTES).ceil() * 0.5,
            ..FunctionUsage::default()
        };
        self.add("pushes", &(&Usage::of("wake", pass) * SWEEPS_A_MONTH), true);
    }

    /// Newcomers, and conversations that begin.
    fn newcomers(&mut self) {
        let (workload, measured) = (self.workload, self.measured);
        let new = workload.people * workload.new_people_share;
        self.add("registration", &(&measured.register * new), false);
        // The code that proves the phone's number.
        self.line("registration", None, Item::TextMessages, new, true);
        let links = new * (workload.devices_each - 1.0);
        self.add("registration", &(&measured.link * links), false);
        // Each device of the one claims a key of each device of the other.
        let pairs = workload.devices_each * workload.devices_each;
        let claims = workload.people * workload.new_conversations_a_month * pairs;
        self.add("new conversations", &(&measured.claim * claims), false);
        self.add(
            "new conversations",
            &(&measured.upload * (claims / PREKEYS_PER_UPLOAD)),
            false,
        );
    }

    fn storage(&mut self, envelopes: &Envelopes) {
        let workload = self.workload;
        let item = workload.ciphertext_bytes + ITEM_OVERHEAD_BYTES;
        let waiting = envelopes.away * item * workload.waiting_hours / (DAYS_A_MONTH * 24.0);
        let gb = (waiting + workload.devices() * BYTES_PER_DEVICE) / GB;
        self.line("storage", None, Item::TableStorage, gb, false);
        self.line("storage", None, Item::TableBackup, gb, false);
    }

    fn media(&mut self) {
        const USE_CASE: &str = "media";
        let (people, media) = (self.workload.people, &self.workload.media);
        let items = people * media.items_a_day * DAYS_A_MONTH;
        let upload = FunctionUsage {
            invocations: 1.0,
            http_requests: 1.0,
            ..FunctionUsage::default()
        };
        self.add(USE_CASE, &(&Usage::of("media", upload) * items), true);
        let gb = items * media.bytes / GB;
        for (item, quantity) in [
            (Item::MediaPuts, items),
            (Item::MediaGets, items * media.downloads),
            // Kept for 30 days, which is a month here.
            (Item::MediaStorage, gb),
            (Item::TransferGb, gb * media.downloads),
        ] {
            self.line(USE_CASE, None, item, quantity, true);
        }
    }

    /// By how many more write units an envelope of this workload is stored than the measured one.
    fn write_units_per_envelope(&self) -> f64 {
        let units = |bytes: f64| ((bytes + ITEM_OVERHEAD_BYTES) / WRITE_UNIT_BYTES).ceil();
        units(self.workload.ciphertext_bytes) / units(self.measured.ciphertext_bytes)
    }

    /// Adds the lines of what was used.
    fn add(&mut self, use_case: &'static str, usage: &Usage, planned: bool) {
        let workload = self.workload;
        for (function, usage) in &usage.functions {
            let memory = message::memory_mb(self.measured, &workload.tuning, function);
            let gb_seconds = workload.durations.gb_seconds(function, usage, memory);
            let capacity_hours = |units: f64| units / 3600.0 / workload.tuning.provisioned_use;
            let [writes, reads] = match workload.tuning.tables {
                Tables::OnDemand => [
                    (Item::WriteUnits, usage.write_units),
                    (Item::ReadUnits, usage.read_units),
                ],
                Tables::Provisioned => [
                    (Item::WriteCapacityHours, capacity_hours(usage.write_units)),
                    (Item::ReadCapacityHours, capacity_hours(usage.read_units)),
                ],
            };
            for (item, quantity) in [
                (Item::Invocations, usage.invocations),
                (Item::GbSeconds, gb_seconds),
                writes,
                reads,
                (Item::WebsocketMessages, usage.websocket_messages()),
                (Item::HttpRequests, usage.http_requests),
                (Item::Pushes, usage.pushes),
                (Item::LogGb, usage.log_bytes / GB),
                (Item::TransferGb, (usage.reply_bytes + usage.post_bytes) / GB),
            ] {
                self.line(use_case, Some(function.as_str()), item, quantity, planned);
            }
        }
    }

    fn line(
        &mut self,
        use_case: &'static str,
        function: Option<&str>,
        item: Item,
        quantity: f64,
        planned: bool,
    ) {
        if quantity == 0.0 {
            return;
        }
        let same = self.lines.iter_mut().find(|line| {
            line.use_case == use_case && line.item == item && line.function.as_deref() == function
        });
        match same {
            Some(line) => line.quantity += quantity,
            None => self.lines.push(Line {
                use_case,
                function: function.map(str::to_owned),
                service: item.service(),
                item,
                quantity,
                dollars: 0.0,
                planned,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
