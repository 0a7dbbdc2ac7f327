//! What is interleaved: in one scene, what its people may ask for at the same moment.
//!
//! Bob's first device is what all of it is about. Alice has sent it a message that it has not acked yet; his second device
//! is linked and away; of each device few one-time prekeys are left. What needs preparing (a ticket, an offer) is prepared
//! before anything is interleaved.

use serde::Serialize;
use serde_json::{Value, json};
use waxwing_wire::{
    ClientFrame, DeviceId, EnvelopeId,
    ack::AckRequest,
    bytes::SealedEphemeral,
    claim::ClaimRequest,
    ephemeral::{EphemeralDevice, EphemeralRequest},
    keys::OneTimePrekey,
    receive::ReceiveRequest,
};

use crate::{
    Trouble,
    controls::Control,
    devices::{Device, listed, one_time_prekeys_from},
    scenarios::revocation,
    story::{Linking, Request, Story, authorized, post},
};

/// Numbers of Alice, Bob and Carol.
const PHONES: [&str; 3] = ["+4915200000001", "+4915200000002", "+4915200000003"];

/// Bob's place among the accounts.
const BOB: usize = 1;

/// One-time prekeys of every device: so few that two claims meet.
const PREKEYS: u64 = 2;

/// Seconds between two codes to a number.
const PAUSE_BETWEEN_CODES: u64 = 3600;

/// What holds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scene {
    /// Bob's first device is connected, and has asked for its mailbox.
    Connected,
    /// It is away, and marked for push.
    Away,
}

impl Scene {
    /// Every scene.
    pub const ALL: [Self; 2] = [Self::Connected, Self::Away];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Away => "away",
        }
    }
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Alice or Carol sends to both devices of Bob.
    Send,
    /// Alice repeats the message that waits.
    Resend,
    /// Bob's first device connects and asks for its mailbox.
    Connect,
    /// It asks once more.
    Receive,
    /// It acks the message that waits.
    Ack,
    /// Its connection breaks off.
    Disconnect,
    /// Alice or Carol claims its prekeys.
    Claim,
    /// It publishes a new signed prekey, the one-time prekeys of before and two more.
    Upload,
    /// Bob's second device removes the first.
    Revoke,
    /// A new device takes over Bob's number.
    Register,
    /// Bob's second device accepts a third, which fills its pool.
    Answer,
    /// Carol says something ephemeral to Bob's devices.
    Ephemeral,
}

impl Function {
    /// Every function, in the order in which pairs are tried.
    pub const ALL: [Self; 12] = [
        Self::Send,
        Self::Resend,
        Self::Connect,
        Self::Receive,
        Self::Ack,
        Self::Disconnect,
        Self::Claim,
        Self::Upload,
        Self::Revoke,
        Self::Register,
        Self::Answer,
        Self::Ephemeral,
    ];

    /// In a word: the verb.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Resend => "resend",
            Self::Connect => "connect",
            Self::Receive => "receive",
            Self::Ack => "ack",
            Self::Disconnect => "disconnect",
            Self::Claim => "claim",
            Self::Upload => "upload",
            Self::Revoke => "revoke",
            Self::Register => "register",
            Self::Answer => "answer",
            Self::Ephemeral => "ephemeral",
        }
    }

    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Whether somebody may ask for it here.
    pub fn fits(self, scene: Scene) -> bool {
        let needs_connection = matches!(self, Self::Receive | Self::Ack | Self::Disconnect);
        scene == Scene::Connected || !needs_connection
    }
}

/// Places of the devices.
struct Cast {
    alice: usize,
    bob: usize,
    second: usize,
    carol: usize,
    waiting: Request,
    ids: Vec<EnvelopeId>,
}

/// The scene, and what is asked for in it: for each function its requests, one after the other.
pub(super) async fn prepare(
    scene: Scene,
    functions: &[Function],
    seed: u64,
    control: Option<Control>,
) -> Result<(Story, Vec<Vec<Request>>), Trouble> {
    let mut story = Story::open(seed, control).await?;
    story.prekeys = PREKEYS;
    let (_, alice) = story.person(PHONES[0]).await?;
    let (_, bob) = story.person(PHONES[BOB]).await?;
    let (_, carol) = story.person(PHONES[2]).await?;
    let second = story.second_device(BOB, bob).await?;
    let mut tickets = Vec::new();
    for _ in functions.iter().filter(|one| **one == Function::Register) {
        story.service.pass(PAUSE_BETWEEN_CODES);
        tickets.push(story.ticket(PHONES[BOB]).await?);
    }
    for place in [alice, bob, carol] {
        story.come(place).await?;
    }
    if scene == Scene::Away {
        story.well(&Request::Disconnect(bob)).await?;
        story.devices.get_mut(bob).ok_or("no such device")?.socket = None;
    }
    let message = story.message(&[story.device(bob)?.device, story.device(second)?.device]);
    let waiting = story.send(alice, vec![message])?;
    story.well(&waiting).await?;
    // A device acks only what it has heard of.
    story.listen()?;
    let owner = story.device(bob)?.device;
    let accepted = story.ledger.accepted.keys();
    let ids = accepted.filter(|(device, _)| *device == owner).map(|(_, id)| *id);
    let cast = Cast {
        ids: ids.collect(),
        alice,
        bob,
        second,
        carol,
        waiting,
    };
    let mut programs = Vec::new();
    for (place, function) in functions.iter().enumerate() {
        programs.push(match function {
            Function::Register => vec![register(&mut story, tickets.pop().ok_or("no ticket")?)?],
            Function::Answer => answer(&mut story, &cast).await?,
            function => requests(&mut story, *function, place, &cast)?,
        });
    }
    Ok((story, programs))
}

fn requests(
    story: &mut Story,
    function: Function,
    place: usize,
    cast: &Cast,
) -> Result<Vec<Request>, Trouble> {
    let Cast { bob, second, .. } = *cast;
    let other = if place.is_multiple_of(2) {
        cast.carol
    } else {
        cast.alice
    };
    let to = [story.device(bob)?.device, story.device(second)?.device];
    Ok(vec![match function {
        Function::Send => {
            let message = story.message(&to);
            story.send(other, vec![message])?
        }
        Function::Resend => cast.waiting.clone(),
        Function::Connect => return Ok(vec![Request::Connect(bob), receive(story, bob)?]),
        Function::Receive => receive(story, bob)?,
        Function::Ack => {
            let (request, ids) = (story.next_request()?, cast.ids.clone());
            Request::Frame(bob, ClientFrame::Ack(AckRequest { request, ids }))
        }
        Function::Disconnect => Request::Disconnect(bob),
        Function::Claim => {
            let claim = ClaimRequest {
                request: story.next_request()?,
                account: story.account(BOB)?.id,
                devices: Some(vec![to[0].address.device]),
            };
            Request::Frame(other, ClientFrame::Claim(claim))
        }
        Function::Upload => upload(story, bob)?,
        Function::Revoke => revocation(story, BOB, second)?,
        Function::Ephemeral => {
            let devices = to.map(|device| EphemeralDevice {
                device: device.address.device,
                registration: device.registration,
                sealed: SealedEphemeral::new([7; SealedEphemeral::BYTES]),
            });
            let request = EphemeralRequest {
                account: story.account(BOB)?.id,
                devices: devices.to_vec(),
            };
            Request::Frame(cast.carol, ClientFrame::Ephemeral(request))
        }
        Function::Register | Function::Answer => return Err(Trouble::from("it is prepared elsewhere")),
    }])
}

fn receive(story: &mut Story, place: usize) -> Result<Request, Trouble> {
    let request = story.next_request()?;
    let receive = ReceiveRequest { request, after: None };
    Ok(Request::Frame(place, ClientFrame::Receive(receive)))
}

/// The same keys each time: an upload beside another is its repetition.
fn upload(story: &mut Story, place: usize) -> Result<Request, Trouble> {
    let mut rng = rand::SeedableRng::seed_from_u64(0);
    let device = story.device(place)?;
    let mut prekeys: Vec<OneTimePrekey> = device.published.one_time_prekeys.clone();
    prekeys.extend(one_time_prekeys_from(PREKEYS + 1, 2, &mut rng)?);
    let signed = device.next_signed_prekey(2, &mut rng)?;
    let body = json!({ "signed_prekey": signed, "one_time_prekeys": prekeys });
    Ok(authorized(place, "POST /v1/keys", body))
}

fn register(story: &mut Story, ticket: waxwing_wire::secret::Ticket) -> Result<Request, Trouble> {
    let id = story.account(BOB)?.id;
    let fresh = Device::new(id, DeviceId::MIN, PREKEYS, &mut story.service.rng)?;
    let list = story
        .account(BOB)?
        .next_list(vec![listed(DeviceId::MIN, &fresh.published)])?;
    let body: Value = json!({ "account": id, "ticket": ticket, "list": list, "device": fresh.published });
    story.add(fresh);
    Ok(post("POST /v1/accounts", body))
}

async fn answer(story: &mut Story, cast: &Cast) -> Result<Vec<Request>, Trouble> {
    let Linking {
        offer, link, answer, ..
    } = story.candidate(BOB, cast.second).await?;
    story.well(&offer).await?;
    story.well(&link).await?;
    Ok(vec![answer, link])
}
