//! Two devices that write to each other over a network that does what the input says.
//!
//! Each step is two bytes, what and which. What arrives is what was sent, once; what was damaged is refused and
//! changes nothing; and whatever happened, both can go on talking.

use std::collections::HashSet;

use rand::rngs::StdRng;
use waxwing_protocol::{
    Message, Session,
    session::{DecryptError, MAX_CHAINS},
};

use crate::fixture::{Device, FIXTURE, NOW, parse, rng};

/// Steps of one input at most: beyond them nothing new happens, only later.
const MAX_STEPS: usize = 200;

/// How far a step moves the clock at most: beyond a post-quantum step that falls due by time.
const HOUR_MILLIS: u64 = 60 * 60 * 1_000;

/// A message under way.
#[derive(Clone)]
struct Sent {
    bytes: Vec<u8>,
    /// What it says; no two messages say the same.
    content: Vec<u8>,
    /// How many chains its sender had begun.
    chain: usize,
}

/// One side.
struct Side {
    device: &'static Device,
    session: Option<Session>,
    /// On their way to this side.
    inbox: Vec<Sent>,
    decrypted: HashSet<Vec<u8>>,
    /// Chains of our own, and whether the other side has written since the last began.
    chains: usize,
    heard: bool,
    /// The latest chain of the other side's that we know.
    newest: usize,
}

struct Conversation {
    sides: [Side; 2],
    rng: StdRng,
    now: u64,
    sent: u32,
}

/// Runs a conversation. Every input is accepted.
pub fn session(data: &[u8]) -> bool {
    let mut conversation = Conversation::new();
    for step in data.chunks_exact(2).take(MAX_STEPS) {
        if let [what, which] = *step {
            conversation.step(what, usize::from(which));
        }
    }
    conversation.go_on();
    true
}

impl Conversation {
    fn new() -> Self {
        let (alice, bob) = (&FIXTURE.alice, &FIXTURE.bob);
        let mut rng = rng(4);
        let session = alice.initiate(&mut rng, bob);
        Self {
            sides: [Side::new(alice, Some(session)), Side::new(bob, None)],
            rng,
            now: NOW,
            sent: 0,
        }
    }

    fn step(&mut self, what: u8, which: usize) {
        let to = usize::from(what & 1);
        match (what >> 1) % 8 {
            0 => self.send(1 - to, which),
            1 => self.deliver(to, which, Network::Once),
            2 => self.deliver(to, which, Network::AndKeepACopy),
            3 => self.lose(to, which),
            4 => self.damage(to, which),
            5 => self.reflect(to, which),
            6 => self.sides[to].store_and_load(),
            _ => self.now += HOUR_MILLIS * which as u64,
        }
    }

    fn send(&mut self, from: usize, length: usize) {
        let side = &mut self.sides[from];
        let Some(session) = &mut side.session else { return };
        // Unlike all others, and now and then of another length.
        let mut content = self.sent.to_be_bytes().to_vec();
        content.resize(4 + 8 * length, 0);
        self.sent += 1;
        let bytes = session
            .encrypt(&mut self.rng, &content, self.now)
            .expect("short content");
        if side.heard || side.chains == 0 {
            side.chains += 1;
            side.heard = false;
        }
        let chain = side.chains;
        self.sides[1 - from].inbox.push(Sent {
            bytes,
            content,
            chain,
        });
    }

    fn deliver(&mut self, to: usize, which: usize, network: Network) {
        let (from, side) = pair(&mut self.sides, to);
        if side.inbox.is_empty() {
            return;
        }
        let at = which % side.inbox.len();
        let sent = match network {
            Network::Once => side.inbox.remove(at),
            Network::AndKeepACopy => side.inbox[at].clone(),
        };
        side.receive(from, &sent);
    }

    fn lose(&mut self, to: usize, which: usize) {
        let inbox = &mut self.sides[to].inbox;
        if !inbox.is_empty() {
            inbox.remove(which % inbox.len());
        }
    }

    /// Flips one bit of a message that stays in the inbox.
    fn damage(&mut self, to: usize, which: usize) {
        let (from, side) = pair(&mut self.sides, to);
        let Some(sent) = side.inbox.last() else { return };
        let mut bytes = sent.bytes.clone();
        // Half of them in the head, where the fields are; the others anywhere.
        let stride = if which.is_multiple_of(2) { 5 } else { 641 };
        let bit = which * stride % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        side.refuse(from, &bytes);
    }

    /// Sends a side's own message back to it.
    fn reflect(&mut self, to: usize, which: usize) {
        let inbox = &self.sides[1 - to].inbox;
        if inbox.is_empty() {
            return;
        }
        let bytes = inbox[which % inbox.len()].bytes.clone();
        let (from, side) = pair(&mut self.sides, to);
        side.refuse(from, &bytes);
    }

    /// Whatever happened, what is written now arrives, both ways.
    fn go_on(&mut self) {
        for from in [0, 1, 0, 1] {
            self.send(from, 0);
            let (sender, side) = pair(&mut self.sides, 1 - from);
            if let Some(sent) = side.inbox.pop() {
                side.receive(sender, &sent);
                assert!(
                    side.decrypted.contains(&sent.content),
                    "the conversation came to a standstill"
                );
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Network {
    Once,
    AndKeepACopy,
}

/// The device at the other side, and this side.
fn pair(sides: &mut [Side; 2], to: usize) -> (&'static Device, &mut Side) {
    (sides[1 - to].device, &mut sides[to])
}

impl Side {
    fn new(device: &'static Device, session: Option<Session>) -> Self {
        Self {
            device,
            session,
            inbox: Vec::new(),
            decrypted: HashSet::new(),
            chains: 0,
            heard: false,
            newest: 0,
        }
    }

    /// A message that nobody touched, though it may be late, early or a copy.
    fn receive(&mut self, from: &Device, sent: &Sent) {
        let known = self.decrypted.contains(&sent.content);
        match self.open(from, &parse(&sent.bytes)) {
            Ok(content) => {
                assert_eq!(content, sent.content);
                assert!(self.decrypted.insert(content), "decrypted twice");
                if sent.chain > self.newest {
                    self.newest = sent.chain;
                    self.heard = true;
                }
            }
            Err(DecryptError::Duplicate) => assert!(known, "a new message taken for an old one"),
            Err(error) => {
                let forgotten = sent.chain + MAX_CHAINS <= self.newest;
                assert!(forgotten || known, "refused: {error}");
            }
        }
    }

    fn refuse(&mut self, from: &Device, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        let before = self.session.as_ref().map(Session::to_bytes);
        assert!(
            self.open(from, &message).is_err(),
            "a damaged message was accepted"
        );
        assert!(
            self.session.as_ref().map(Session::to_bytes) == before,
            "a damaged message changed the session"
        );
    }

    /// Decrypts, or makes the session if there is none. A refused opening makes none.
    fn open(&mut self, from: &Device, message: &Message) -> Result<Vec<u8>, DecryptError> {
        if let Some(session) = &mut self.session {
            return session.decrypt(message);
        }
        match self.device.respond(from, message) {
            Some(Ok((session, content))) => {
                self.session = Some(session);
                Ok(content)
            }
            Some(Err(_)) | None => Err(DecryptError::Authentication),
        }
    }

    fn store_and_load(&mut self) {
        if let Some(session) = &mut self.session {
            let bytes = session.to_bytes();
            *session = Session::from_bytes(&bytes).expect("what was just written");
            assert!(session.to_bytes() == bytes, "a state with two encodings");
        }
    }
}
