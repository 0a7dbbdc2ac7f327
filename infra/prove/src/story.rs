//! Requests of devices, delivered as API Gateway does and repeated as clients do, and a ledger of what was answered.

mod delivery;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use waxwing_wire::{
    AccountId, Ciphertext, ClientFrame, DeviceId, DeviceList, EnvelopeId, ErrorCode, KeyId, MessageId,
    PublicKey, RegisteredDevice, RequestId, ServiceFrame,
    ack::AckRequest,
    keys::{OneTimePrekey, PublishedDevice},
    receive::{Page, ReceiveRequest},
    secret::{LinkToken, Ticket},
    send::{Outcome, OutgoingMessage, Recipient, RecipientDevice, SendRequest},
};

use crate::{
    Trouble,
    controls::Control,
    devices::{Account, Device, listed},
    faults::Faulty,
    promises::{self, Violation},
    service::{Ended, Service},
};

pub use delivery::{Delivery, Gateway, Next};

/// One-time prekeys of a device that a story makes, unless it says another number.
const PREKEYS: u64 = 4;

/// Pages that a device asks for before it gives up: many more than any story fills.
const MAX_PAGES: usize = 50;

/// Longer than any connection lives.
const HOURS_SECONDS: u64 = 3 * 60 * 60;

/// Something a device asks for. It may be delivered any number of times.
#[derive(Clone, Debug)]
pub enum Request {
    /// API Gateway asks the authorizer about a handshake.
    Authorize(usize),
    /// A WebSocket opens.
    Connect(usize),
    /// API Gateway says that the device's WebSocket broke off.
    Disconnect(usize),
    /// API Gateway says so of the device's first WebSocket, long after.
    LateDisconnect(usize),
    /// A frame.
    Frame(usize, ClientFrame),
    /// The clock says that it is time for `wake`.
    Wake,
    /// A text that no route takes.
    Nonsense(usize, &'static str),
    /// An HTTP request, with the device's token if it names one.
    Http {
        /// Whose token.
        device: Option<usize>,
        /// `POST /v1/keys`.
        route: &'static str,
        /// The path, if the route has variables.
        path: Option<String>,
        /// JSON, or null.
        body: Value,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A frame.
    Frame(Box<ServiceFrame>),
    /// A status and, for HTTP, a body.
    Status(i64, Value),
    /// What the authorizer returned, or the function of a schedule.
    Authorized(Value),
    /// Nothing that answers the request.
    None(Ended),
    /// An answer for a connection that had closed by then.
    Lost,
}

impl Reply {
    /// Whether the client has its answer and does not ask again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Frame(frame) => match &**frame {
                ServiceFrame::Error(refused) => !matters_later(refused.problem.code),
                _ => true,
            },
            Self::Status(status, _) => *status < 500 && *status != 429,
            Self::Authorized(_) => true,
            Self::None(_) | Self::Lost => false,
        }
    }

    /// For comparing.
    pub fn text(&self) -> String {
        match self {
            Self::Frame(frame) => serde_json::to_string(frame).unwrap_or_default(),
            Self::Status(status, body) => format!("{status} {body}"),
            Self::Authorized(answer) => answer.to_string(),
            Self::None(ended) => format!("{ended:?}"),
            Self::Lost => "lost".to_owned(),
        }
    }
}

fn matters_later(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Unavailable | ErrorCode::Internal)
}

/// What was said and done, by what devices saw.
#[derive(Default)]
pub struct Ledger {
    /// Every ciphertext that was sent: for whom, which.
    pub sent: BTreeMap<(RegisteredDevice, EnvelopeId), Ciphertext>,
    /// Those that were answered *accepted*, with the time.
    pub accepted: BTreeMap<(RegisteredDevice, EnvelopeId), u64>,
    /// Those that are worth waking nobody for.
    pub quiet: BTreeSet<(RegisteredDevice, EnvelopeId)>,
    /// Those whose ack was sent.
    pub acked: BTreeSet<(RegisteredDevice, EnvelopeId)>,
    /// Those that were sent more than once: a repetition may bring back what was acked, and its device keeps it once.
    pub repeated: BTreeSet<(RegisteredDevice, EnvelopeId)>,
    /// Those whose ack was answered.
    pub ack_answered: BTreeSet<(RegisteredDevice, EnvelopeId)>,
    /// Those that arrived, as news or on a page.
    pub received: BTreeSet<(RegisteredDevice, EnvelopeId)>,
    /// One-time prekeys that were published.
    pub published: BTreeMap<(RegisteredDevice, KeyId), PublicKey>,
    /// One-time prekeys that were handed out, in order.
    pub handed_out: Vec<(RegisteredDevice, OneTimePrekey)>,
    /// What devices published beside those, every version.
    pub versions: Vec<(AccountId, PublishedDevice)>,
    /// What was found broken on the way.
    pub violations: Vec<Violation>,
}

/// A service, the people who use it, and the ledger.
pub struct Story {
    /// The service.
    pub service: Service,
    /// People.
    pub accounts: Vec<Account>,
    /// Devices, of all people.
    pub devices: Vec<Device>,
    /// What was said and done.
    pub ledger: Ledger,
    /// One-time prekeys of a device that is made.
    pub prekeys: u64,
    connections: u32,
    requests: u32,
}

impl Story {
    /// A new service that nobody uses yet, right or wrong in this way.
    pub async fn open(seed: u64, control: Option<Control>) -> Result<Self, Trouble> {
        Ok(Self {
            service: Service::open(seed, control).await?,
            accounts: Vec::new(),
            devices: Vec::new(),
            ledger: Ledger::default(),
            prekeys: PREKEYS,
            connections: 0,
            requests: 0,
        })
    }

    /// The account at this place.
    pub fn account(&self, place: usize) -> Result<&Account, Trouble> {
        self.accounts.get(place).ok_or(Trouble::from("no such account"))
    }

    /// The device at this place.
    pub fn device(&self, place: usize) -> Result<&Device, Trouble> {
        self.devices.get(place).ok_or(Trouble::from("no such device"))
    }

    /// A request id that no request had before.
    pub fn next_request(&mut self) -> Result<RequestId, Trouble> {
        self.requests += 1;
        RequestId::new(self.requests.into()).map_err(|_| Trouble::from("too many requests"))
    }

    /// Delivers a request that nothing goes wrong with, and expects a good answer.
    pub async fn well(&mut self, request: &Request) -> Result<Value, Trouble> {
        match self.deliver(request, &Faulty::new(None)).await? {
            Reply::Status(200, body) | Reply::Authorized(body) => Ok(body),
            Reply::Frame(frame) if !matches!(*frame, ServiceFrame::Error(_)) => {
                serde_json::to_value(frame).map_err(|error| Trouble(error.to_string()))
            }
            reply => Err(Trouble(format!("{request:?} was answered {}", reply.text()))),
        }
    }

    /// What is about to be published, so that it is known when it is handed out.
    fn note_published(&mut self, device: Option<usize>, body: &Value) -> Result<(), Trouble> {
        let Some(place) = device else { return Ok(()) };
        let (owner, mut version) = {
            let device = self.device(place)?;
            (device.device, published(device))
        };
        if let Some(prekeys) = body.get("one_time_prekeys") {
            let prekeys: Vec<OneTimePrekey> = read(prekeys.clone())?;
            let prekeys = prekeys.into_iter().map(|prekey| ((owner, prekey.id), prekey.key));
            self.ledger.published.extend(prekeys);
        }
        if let Some(prekey) = body.get("signed_prekey").filter(|prekey| !prekey.is_null()) {
            version.signed_prekey = read(prekey.clone())?;
            self.ledger.versions.push((owner.address.account, version));
        }
        Ok(())
    }

    /// Writes down what a frame asks for. Gives the function that answers it.
    fn note_asked(&mut self, place: usize, frame: &ClientFrame) -> Result<&'static str, Trouble> {
        let owner = self.device(place)?.device;
        Ok(match frame {
            ClientFrame::Send(send) => {
                self.ledger.note_sent(owner, send);
                "send"
            }
            ClientFrame::Ack(ack) => {
                self.ledger.acked.extend(ack.ids.iter().map(|id| (owner, *id)));
                "ack"
            }
            ClientFrame::Receive(_) => "receive",
            ClientFrame::Claim(_) => "claim",
            ClientFrame::Ephemeral(_) => "ephemeral",
            #[allow(unreachable_patterns, reason = "verbs that have no story yet")]
            _ => return Err(Trouble::from("this verb has no story")),
        })
    }

    /// Writes down what an answer promises.
    async fn note(
        &mut self,
        owner: RegisteredDevice,
        connection: &str,
        asked: &ClientFrame,
        answer: &ServiceFrame,
        everywhere: &BTreeSet<MessageId>,
    ) -> Result<(), Trouble> {
        match (asked, answer) {
            (ClientFrame::Send(send), ServiceFrame::Sent(sent)) => {
                for outcome in sent
                    .outcomes
                    .iter()
                    .filter(|outcome| outcome.outcome == Outcome::Accepted)
                {
                    let message = send
                        .messages
                        .iter()
                        .find(|message| message.message == outcome.message);
                    let message = message.ok_or("an outcome of no message")?;
                    if !everywhere.contains(&message.message) {
                        let lacking = promises::who_lacks(self, owner, message).await?;
                        self.ledger.violations.extend(lacking);
                    }
                    let now = self.service.now();
                    let keys = envelopes(owner, message).map(|(key, _)| (key, now));
                    self.ledger.accepted.extend(keys);
                }
            }
            (ClientFrame::Ack(ack), ServiceFrame::Acked(_)) => {
                self.ledger
                    .ack_answered
                    .extend(ack.ids.iter().map(|id| (owner, *id)));
            }
            (ClientFrame::Claim(_), ServiceFrame::Bundles(bundles)) => {
                for bundle in &bundles.bundles {
                    let of = RegisteredDevice {
                        address: waxwing_wire::DeviceAddress {
                            account: bundles.account,
                            device: bundle.published.device,
                        },
                        registration: bundle.published.registration,
                    };
                    if let Some(prekey) = bundle.one_time_prekey {
                        self.ledger.handed_out.push((of, prekey));
                    }
                    let version = (bundles.account, bundle.published.clone());
                    if !self.ledger.versions.contains(&version) {
                        let what = format!("a bundle of {} is of no version it published", of.address);
                        self.ledger.violations.push(Violation::new("I8", what));
                    }
                }
            }
            (ClientFrame::Receive(_), ServiceFrame::Page(page)) => {
                let asker = self.devices.iter_mut().find(|device| device.device == owner);
                let socket = asker.and_then(|device| device.socket.as_mut());
                if let Some(socket) = socket.filter(|socket| socket.client.id() == connection) {
                    socket.has_asked = true;
                }
                let ids: Vec<_> = page.envelopes.iter().map(|envelope| envelope.id).collect();
                if !ids.is_sorted() {
                    self.ledger
                        .violations
                        .push(Violation::new("I4", "a page is out of order".into()));
                }
                for envelope in &page.envelopes {
                    promises::arrived(&mut self.ledger, owner, envelope, self.service.now());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads what news have arrived everywhere.
    pub fn listen(&mut self) -> Result<(), Trouble> {
        let now = self.service.now();
        for device in &mut self.devices {
            let Some(socket) = &mut device.socket else {
                continue;
            };
            let known = socket.frames.len();
            let fresh = socket.listen()?.get(known..).unwrap_or_default().to_vec();
            for frame in fresh {
                if let ServiceFrame::Delivery(delivery) = frame {
                    for envelope in &delivery.envelopes {
                        promises::arrived(&mut self.ledger, device.device, envelope, now);
                    }
                }
            }
        }
        Ok(())
    }

    /// Everybody who is registered comes back, asks for all that waits, and acks it.
    pub async fn everybody_comes_back(&mut self) -> Result<(), Trouble> {
        let registered = promises::registered(&self.service).await?;
        for place in 0..self.devices.len() {
            let device = self.device(place)?.device;
            if !registered.contains_key(&device) {
                continue;
            }
            self.well(&Request::Connect(place)).await?;
            let ids = self.drain(place).await?;
            for ids in ids.chunks(waxwing_wire::limits::MAX_IDS_PER_ACK) {
                let request = self.next_request()?;
                let ack = AckRequest {
                    request,
                    ids: ids.to_vec(),
                };
                self.well(&Request::Frame(place, ClientFrame::Ack(ack))).await?;
            }
        }
        Ok(())
    }

    /// Everybody leaves, as API Gateway has it after two hours, and the clock has its say some time after.
    pub async fn hours_pass(&mut self) -> Result<(), Trouble> {
        for place in 0..self.devices.len() {
            let socket = self.device(place)?.socket.as_ref();
            let is_open =
                socket.is_some_and(|socket| self.service.cloud.connections.info(socket.client.id()).is_ok());
            if is_open {
                self.well(&Request::Disconnect(place)).await?;
            }
        }
        for device in &mut self.devices {
            device.socket = None;
        }
        self.service.pass(HOURS_SECONDS);
        self.well(&Request::Wake).await.map(drop)
    }

    /// The device connects and asks for all that waits.
    pub async fn come(&mut self, place: usize) -> Result<(), Trouble> {
        self.well(&Request::Connect(place)).await?;
        self.drain(place).await.map(drop)
    }

    async fn drain(&mut self, place: usize) -> Result<Vec<EnvelopeId>, Trouble> {
        let (mut ids, mut after) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let request = self.next_request()?;
            let frame = ClientFrame::Receive(ReceiveRequest { request, after });
            let page: Page = read(self.well(&Request::Frame(place, frame)).await?)?;
            ids.extend(page.envelopes.iter().map(|envelope| envelope.id));
            after = page.more_after;
            if after.is_none() {
                break;
            }
        }
        Ok(ids)
    }
}

/// Scenes that stories begin with.
impl Story {
    /// A person with one device. Gives the places of both.
    pub async fn person(&mut self, phone: &str) -> Result<(usize, usize), Trouble> {
        let (account, device, register) = self.newcomer(phone).await?;
        self.well(&register).await?;
        Ok((account, device))
    }

    /// A person who has confirmed a number, and the request that registers the device.
    pub async fn newcomer(&mut self, phone: &str) -> Result<(usize, usize, Request), Trouble> {
        let ticket = self.ticket(phone).await?;
        let nobody = AccountId::random(&mut self.service.rng);
        let mut device = Device::new(nobody, DeviceId::MIN, self.prekeys, &mut self.service.rng)?;
        let account = Account::new(phone, &device.published, &mut self.service.rng)?;
        device.device.address.account = account.id;
        let body = json!({
            "account": account.id, "ticket": ticket, "list": account.list, "device": device.published,
        });
        self.accounts.push(account);
        let place = self.add(device);
        Ok((self.accounts.len() - 1, place, post("POST /v1/accounts", body)))
    }

    /// A ticket for a number that was confirmed just now.
    pub async fn ticket(&mut self, phone: &str) -> Result<Ticket, Trouble> {
        self.well(&post("POST /v1/verification", json!({ "phone": phone })))
            .await?;
        let ticket = Ticket::random(&mut self.service.rng);
        let confirm = json!({ "phone": phone, "code": self.code(phone)?, "ticket": ticket });
        self.well(&post("POST /v1/verification/confirm", confirm)).await?;
        Ok(ticket)
    }

    /// The code in the newest text that a phone has got.
    pub fn code(&self, phone: &str) -> Result<String, Trouble> {
        let texts = self.service.cloud.outbox.recent();
        let text = texts.iter().rev().find(|text| text.to == phone);
        Ok(text.ok_or("no text")?.body.chars().take(6).collect())
    }

    /// Adds a device to those whose versions and prekeys are known.
    pub fn add(&mut self, device: Device) -> usize {
        let owner = device.device;
        self.ledger
            .versions
            .push((owner.address.account, published(&device)));
        let prekeys = device.published.one_time_prekeys.iter();
        self.ledger
            .published
            .extend(prekeys.map(|prekey| ((owner, prekey.id), prekey.key)));
        self.devices.push(device);
        self.devices.len() - 1
    }

    /// A second device that has taken up an offer: the requests that answer and that ask again.
    pub async fn candidate(&mut self, account: usize, first: usize) -> Result<Linking, Trouble> {
        let token = LinkToken::random(&mut self.service.rng);
        let id = self.account(account)?.id;
        let number = u64::from(self.device(first)?.device.address.device.get()) + 1;
        let device_id = DeviceId::new(number).map_err(|_| Trouble::from("no device id"))?;
        let device = Device::new(id, device_id, self.prekeys, &mut self.service.rng)?;
        let sealed = waxwing_wire::bytes::to_base64(&[7; 64]);
        let link = json!({ "token": token, "device": device.published, "sealed": sealed });
        let mut devices = self.account(account)?.list.devices.clone();
        devices.push(listed(device_id, &device.published));
        let list = self.account(account)?.next_list(devices)?;
        Ok(Linking {
            offer: authorized(first, "POST /v1/links", json!({ "token": token })),
            link: post("POST /v1/devices", link),
            answer: authorized(
                first,
                "POST /v1/links/answer",
                json!({ "token": token, "list": list }),
            ),
            list,
            place: self.add(device),
        })
    }

    /// Links a second device.
    pub async fn second_device(&mut self, account: usize, first: usize) -> Result<usize, Trouble> {
        let linking = self.candidate(account, first).await?;
        for request in [&linking.offer, &linking.link, &linking.answer, &linking.link] {
            self.well(request).await?;
        }
        self.accounts.get_mut(account).ok_or("no such account")?.list = linking.list;
        Ok(linking.place)
    }

    /// A message of a device to these devices, which it knows, grouped by account.
    pub fn message(&mut self, to: &[RegisteredDevice]) -> OutgoingMessage {
        let id = MessageId::new(
            self.service.now() * 1000 + u64::from(self.requests),
            &mut self.service.rng,
        );
        self.requests += 1;
        let mut recipients = BTreeMap::<AccountId, Vec<RecipientDevice>>::new();
        for (number, device) in to.iter().enumerate() {
            let mut bytes = id.to_bytes().to_vec();
            bytes.push(u8::try_from(number).unwrap_or(u8::MAX));
            let Ok(ciphertext) = Ciphertext::from_vec(bytes) else {
                continue;
            };
            recipients
                .entry(device.address.account)
                .or_default()
                .push(RecipientDevice {
                    device: device.address.device,
                    registration: device.registration,
                    ciphertext,
                });
        }
        OutgoingMessage {
            message: id,
            recipients: recipients
                .into_iter()
                .map(|(account, devices)| Recipient {
                    account,
                    devices,
                    urgent: true,
                })
                .collect(),
        }
    }

    /// A frame that sends messages.
    pub fn send(&mut self, from: usize, messages: Vec<OutgoingMessage>) -> Result<Request, Trouble> {
        let request = self.next_request()?;
        Ok(Request::Frame(
            from,
            ClientFrame::Send(SendRequest { request, messages }),
        ))
    }
}

/// The requests that link a device.
pub struct Linking {
    /// By the first device.
    pub offer: Request,
    /// By the new one, before and after the answer.
    pub link: Request,
    /// By the first.
    pub answer: Request,
    /// The list that the answer brings.
    pub list: DeviceList,
    /// Where the new device is in the story.
    pub place: usize,
}

impl Ledger {
    fn note_sent(&mut self, from: RegisteredDevice, send: &SendRequest) {
        let all = send.messages.iter().flat_map(|message| envelopes(from, message));
        for (key, ciphertext) in all {
            if self.sent.insert(key, ciphertext).is_some() {
                self.repeated.insert(key);
            }
        }
        for message in &send.messages {
            let quiet = OutgoingMessage {
                message: message.message,
                recipients: message
                    .recipients
                    .iter()
                    .filter(|recipient| !recipient.urgent)
                    .cloned()
                    .collect(),
            };
            self.quiet.extend(envelopes(from, &quiet).map(|(key, _)| key));
        }
    }
}

/// What a message puts into whose mailbox.
pub fn envelopes(
    from: RegisteredDevice,
    message: &OutgoingMessage,
) -> impl Iterator<Item = ((RegisteredDevice, EnvelopeId), Ciphertext)> {
    let id = EnvelopeId {
        message: message.message,
        from: from.address,
    };
    message.recipients.iter().flat_map(move |recipient| {
        recipient.devices.iter().map(move |device| {
            let owner = RegisteredDevice {
                address: waxwing_wire::DeviceAddress {
                    account: recipient.account,
                    device: device.device,
                },
                registration: device.registration,
            };
            ((owner, id), device.ciphertext.clone())
        })
    })
}

/// What a device published when it was made.
fn published(device: &Device) -> PublishedDevice {
    PublishedDevice {
        device: device.device.address.device,
        registration: device.device.registration,
        identity: device.published.identity,
        signed_prekey: device.published.signed_prekey.clone(),
    }
}

/// A request without a token.
pub fn post(route: &'static str, body: Value) -> Request {
    Request::Http {
        device: None,
        route,
        path: None,
        body,
    }
}

/// A request with the token of a device.
pub fn authorized(device: usize, route: &'static str, body: Value) -> Request {
    Request::Http {
        device: Some(device),
        route,
        path: None,
        body,
    }
}

fn status(ended: Ended) -> Reply {
    match ended {
        Ended::Answer(answer) => {
            let status = answer.get("statusCode").and_then(Value::as_i64).unwrap_or(502);
            let body = answer.get("body").and_then(Value::as_str);
            let body = body.and_then(|body| serde_json::from_str(body).ok());
            Reply::Status(status, body.unwrap_or_default())
        }
        ended => Reply::None(ended),
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value).map_err(|error| Trouble(error.to_string()))
}
