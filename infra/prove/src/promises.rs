//! The promises, checked over the tables and over what devices saw. Their ids are those of docs/reliability.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, Envelope, EnvelopeId, KeyId, RegisteredDevice, RegistrationId,
    ServiceFrame, limits::MESSAGE_LIFE_SECONDS, send::OutgoingMessage,
};

use crate::{
    Trouble,
    service::Service,
    story::{Ledger, Story, envelopes},
};

/// Bytes of a device in an account's list, and of those its id and registration.
const LISTED_BYTES: usize = 71;
const NAME_BYTES: usize = 5;

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// Which: `I1`.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// What was seen of a broken promise.
    pub fn new(promise: &'static str, what: String) -> Self {
        Self { promise, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// A device as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its connection.
    pub connection: Option<String>,
    /// Whether an alert is owed.
    pub is_marked: bool,
    /// Whether one was published since it was there.
    pub was_alerted: bool,
    /// Where it is woken.
    pub endpoint: Option<String>,
}

/// Every registered device.
///
/// # Errors
/// [`Trouble`]: the table could not be read.
pub async fn registered(service: &Service) -> Result<BTreeMap<RegisteredDevice, Record>, Trouble> {
    let items = service.table("DevicesTable").await?;
    items.iter().map(record).collect()
}

fn record(item: &Value) -> Result<(RegisteredDevice, Record), Trouble> {
    let account = binary(item, "a").and_then(|bytes| AccountId::from_bytes(&bytes).ok());
    let device = binary(item, "d").and_then(|bytes| DeviceId::new(u64::from(*bytes.first()?)).ok());
    let registration = number(item, "r").and_then(|id| RegistrationId::new(id).ok());
    let (Some(account), Some(device), Some(registration)) = (account, device, registration) else {
        return Err(Trouble(format!("a damaged device: {item}")));
    };
    let device = RegisteredDevice {
        address: DeviceAddress { account, device },
        registration,
    };
    let record = Record {
        connection: attribute(item, "c", "S").map(str::to_owned),
        is_marked: attribute(item, "p", "N").is_some(),
        was_alerted: attribute(item, "q", "N").is_some(),
        endpoint: attribute(item, "e", "S").map(str::to_owned),
    };
    Ok((device, record))
}

/// Every envelope in a mailbox, with its ciphertext and when it expires.
///
/// # Errors
/// [`Trouble`]: the table could not be read.
pub async fn mailboxes(
    service: &Service,
) -> Result<BTreeMap<(Vec<u8>, EnvelopeId), (Vec<u8>, u64)>, Trouble> {
    let items = service.table("MailboxTable").await?;
    let read = |item: &Value| {
        let owner = binary(item, "o")?;
        let id = EnvelopeId::from_bytes(&binary(item, "i")?).ok()?;
        // What is worth waking nobody for has its bytes under another name.
        let ciphertext = binary(item, "c").or_else(|| binary(item, "q"))?;
        Some(((owner, id), (ciphertext, number(item, "expires_at")?)))
    };
    let damaged = || Trouble::from("a damaged envelope");
    items.iter().map(|item| read(item).ok_or_else(damaged)).collect()
}

/// I6: every device on the recipients' lists at this moment has the message, its sender aside; who lacks it is given.
///
/// # Errors
/// [`Trouble`]: the tables could not be read.
pub async fn who_lacks(
    story: &Story,
    from: RegisteredDevice,
    message: &OutgoingMessage,
) -> Result<Vec<Violation>, Trouble> {
    let mut found = Vec::new();
    let registered = registered(&story.service).await?;
    let mailboxes = mailboxes(&story.service).await?;
    let sent: BTreeMap<_, _> = envelopes(from, message).collect();
    let accounts: BTreeSet<_> = message
        .recipients
        .iter()
        .map(|recipient| recipient.account)
        .collect();
    let id = EnvelopeId {
        message: message.message,
        from: from.address,
    };
    for device in registered
        .keys()
        .filter(|device| accounts.contains(&device.address.account))
    {
        if device.address == from.address {
            continue;
        }
        let was_acked = story.ledger.acked.contains(&(*device, id));
        let there = mailboxes.get(&(device.to_bytes().to_vec(), id));
        let is_there = there.is_some_and(|(bytes, _)| {
            sent.get(&(*device, id))
                .is_some_and(|sent| sent.as_bytes() == bytes)
        });
        if !is_there && !was_acked {
            let what = format!("accepted, but {} does not have it", device.address);
            found.push(Violation::new("I6", what));
        }
    }
    Ok(found)
}

/// Notes an envelope that arrived. I12: it has not expired. I3: it is what was sent.
pub fn arrived(ledger: &mut Ledger, device: RegisteredDevice, envelope: &Envelope, now: u64) {
    let key = (device, envelope.id);
    if ledger.sent.get(&key) != Some(&envelope.ciphertext) {
        let what = format!("{} got what nobody sent it", device.address);
        ledger.violations.push(Violation::new("I3", what));
    }
    let expired = ledger
        .accepted
        .get(&key)
        .is_some_and(|at| at + MESSAGE_LIFE_SECONDS <= now);
    if expired {
        let what = format!("{} got an expired message", device.address);
        ledger.violations.push(Violation::new("I12", what));
    }
    ledger.received.insert(key);
}

/// Everything that must hold when nothing is under way.
///
/// # Errors
/// [`Trouble`]: the tables could not be read.
pub async fn at_rest(story: &mut Story) -> Result<Vec<Violation>, Trouble> {
    story.listen()?;
    let mut found = story.ledger.violations.clone();
    let registered = registered(&story.service).await?;
    let mailboxes = mailboxes(&story.service).await?;
    for ((device, id), at) in &story.ledger.accepted {
        let Some(record) = registered.get(device) else {
            continue;
        };
        let is_over = at + MESSAGE_LIFE_SECONDS <= story.service.now();
        if is_over || story.ledger.acked.contains(&(*device, *id)) {
            continue;
        }
        let kept = mailboxes.get(&(device.to_bytes().to_vec(), *id));
        let sent = story.ledger.sent.get(&(*device, *id));
        if kept.map(|(bytes, _)| bytes.as_slice()) != sent.map(|sent| sent.as_bytes()) {
            let received = story.ledger.received.contains(&(*device, *id));
            let promise = if received { "I2" } else { "I1" };
            let what = format!("{} lost an accepted message before it acked it", device.address);
            found.push(Violation::new(promise, what));
        } else if !story.ledger.quiet.contains(&(*device, *id)) && !has_word(story, *device, *id, record) {
            let what = format!(
                "a message waits for {}, which nobody told or marked",
                device.address
            );
            found.push(Violation::new("I10", what));
        }
    }
    for device in &story.devices {
        let (Some(record), Some(socket)) = (registered.get(&device.device), &device.socket) else {
            continue;
        };
        let is_open = story.service.cloud.connections.info(socket.client.id()).is_ok();
        if is_open && record.connection.as_deref() != Some(socket.client.id()) {
            let what = format!(
                "the open connection of {} is not in its record",
                device.device.address
            );
            found.push(Violation::new("I10", what));
        }
    }
    for (device, id) in story.ledger.ack_answered.difference(&story.ledger.repeated) {
        if mailboxes.contains_key(&(device.to_bytes().to_vec(), *id)) {
            found.push(Violation::new(
                "I14",
                format!("{} acked what is still there", device.address),
            ));
        }
    }
    found.extend(prekeys(story).await?);
    Ok(found)
}

/// I10: everybody left hours ago, and the clock has had its say. Every device that can be woken and for which something
/// waits has had an alert.
///
/// # Errors
/// [`Trouble`]: the tables could not be read.
pub async fn everybody_is_woken(story: &Story) -> Result<Vec<Violation>, Trouble> {
    let registered = registered(&story.service).await?;
    let phones = story.service.cloud.outbox.recent();
    let mut found = Vec::new();
    for (device, id) in story.ledger.accepted.keys() {
        let key = (*device, *id);
        let Some((record, endpoint)) = registered
            .get(device)
            .and_then(|record| Some((record, record.endpoint.as_ref()?)))
        else {
            continue;
        };
        if story.ledger.acked.contains(&key) || story.ledger.quiet.contains(&key) {
            continue;
        }
        let was_rung = phones.iter().any(|push| push.to == *endpoint);
        if !(record.was_alerted && was_rung && record.connection.is_none()) {
            let what = format!(
                "a message waits for {}, and hours later no alert was raised",
                device.address
            );
            found.push(Violation::new("I10", what));
        }
    }
    Ok(found)
}

/// Whether the device knows of the message, was or will be told by an alert, or was told on the connection it has.
fn has_word(story: &Story, device: RegisteredDevice, id: EnvelopeId, record: &Record) -> bool {
    if record.is_marked || record.was_alerted {
        return true;
    }
    let Some(connection) = &record.connection else {
        return false;
    };
    if story.service.cloud.connections.info(connection).is_err() {
        // 410: nobody hears what is posted there. If the device can be woken, `wake` finds the connection when it is
        // older than any lives; that it does is seen hours later.
        return record.endpoint.is_some();
    }
    let of = story.devices.iter().find(|other| other.device == device);
    let Some(socket) = of.and_then(|device| device.socket.as_ref()) else {
        return false;
    };
    // A device asks for its mailbox after it connected: until then it need not be told.
    let was_told = socket.frames.iter().any(|frame| match frame {
        ServiceFrame::Delivery(delivery) => delivery.envelopes.iter().any(|envelope| envelope.id == id),
        _ => false,
    });
    !socket.has_asked || was_told || story.ledger.received.contains(&(device, id))
}

/// I5: no key is handed out twice, none is in the pool that was handed out, and none that nobody published.
async fn prekeys(story: &Story) -> Result<Vec<Violation>, Trouble> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (device, prekey) in &story.ledger.handed_out {
        let what = format!("key {} of {}", prekey.id.get(), device.address);
        if !seen.insert((device.to_bytes().to_vec(), prekey.id)) {
            found.push(Violation::new("I5", format!("{what} was handed out twice")));
        }
        if story.ledger.published.get(&(*device, prekey.id)) != Some(&prekey.key) {
            found.push(Violation::new(
                "I5",
                format!("{what} was handed out and never published"),
            ));
        }
    }
    for item in story.service.table("PrekeysTable").await? {
        let id = number(&item, "i").and_then(|id| KeyId::new(id).ok());
        let (Some(owner), Some(id)) = (binary(&item, "o"), id) else {
            return Err(Trouble::from("a damaged prekey"));
        };
        if seen.contains(&(owner, id)) {
            let what = format!("key {} was handed out and is in the pool", id.get());
            found.push(Violation::new("I5", what));
        }
    }
    Ok(found)
}

/// What must hold after everybody came back: I1 and I3, all that was accepted has arrived.
pub fn after_all(story: &Story, registered: &BTreeMap<RegisteredDevice, Record>) -> Vec<Violation> {
    let mut found = Vec::new();
    for ((device, id), at) in &story.ledger.accepted {
        let is_over = at + MESSAGE_LIFE_SECONDS <= story.service.now();
        let is_there = registered.contains_key(device);
        if is_there && !is_over && !story.ledger.received.contains(&(*device, *id)) {
            let what = format!("{} came back and did not get an accepted message", device.address);
            found.push(Violation::new("I1", what));
        }
    }
    found
}

/// I14, when everything is over: nothing lies in a mailbox or a pool that nobody owns any more, and each account has a
/// number and each number its account.
///
/// # Errors
/// [`Trouble`]: the tables could not be read.
pub async fn left_behind(
    service: &Service,
    registered: &BTreeMap<RegisteredDevice, Record>,
) -> Result<Vec<Violation>, Trouble> {
    let mut found = Vec::new();
    let owners: BTreeSet<_> = registered
        .keys()
        .map(|device| device.to_bytes().to_vec())
        .collect();
    for (table, what) in [("MailboxTable", "a message"), ("PrekeysTable", "a prekey")] {
        for item in service.table(table).await? {
            if !binary(&item, "o").is_some_and(|owner| owners.contains(&owner)) {
                found.push(Violation::new(
                    "I14",
                    format!("{what} of a device that is gone stays behind"),
                ));
            }
        }
    }
    let accounts = service.table("AccountsTable").await?;
    for account in &accounts {
        let id = binary(account, "a").unwrap_or_default();
        let own = owners.iter().filter(|owner| owner.starts_with(&id));
        let own: Vec<_> = own.filter_map(|owner| owner.get(id.len()..)).collect();
        let list = binary(account, "d").unwrap_or_default();
        let listed: Vec<_> = list
            .chunks(LISTED_BYTES)
            .filter_map(|listed| listed.get(..NAME_BYTES))
            .collect();
        if own != listed {
            found.push(Violation::new(
                "I6",
                "an account's list does not name its devices".into(),
            ));
        }
    }
    let accounts: BTreeSet<_> = accounts.iter().map(|item| binary(item, "a")).collect();
    let numbers = service.table("PhonesTable").await?;
    let of_numbers: BTreeSet<_> = numbers.iter().map(|item| binary(item, "a")).collect();
    if accounts != of_numbers || of_numbers.len() != numbers.len() {
        found.push(Violation::new(
            "I14",
            "accounts and numbers do not belong together".into(),
        ));
    }
    Ok(found)
}

fn attribute<'a>(item: &'a Value, name: &str, kind: &str) -> Option<&'a str> {
    item.get(name)?.get(kind)?.as_str()
}

fn binary(item: &Value, name: &str) -> Option<Vec<u8>> {
    STANDARD.decode(attribute(item, name, "B")?).ok()
}

fn number(item: &Value, name: &str) -> Option<u64> {
    attribute(item, name, "N")?.parse().ok()
}
