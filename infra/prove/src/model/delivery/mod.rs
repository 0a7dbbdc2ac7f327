//! Delivery: two senders, one device with two connections, one after the other.
//!
//! Every call to AWS of `send`, `connect`, `disconnect`, `receive` and `ack` is a step of its own, and any of them
//! may be the last of its function. Frames are lost with their connection, arrive twice, and overtake each other; the
//! client loses its memory at any moment; `$disconnect` comes whenever it likes.

mod clients;
mod functions;
mod state;

use stateright::{Model, Property};

use self::state::{Connection, DisconnectStep, Frame, Link, Run, World};
use super::set::Set;

/// The design as it is, or made wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    AsBuilt,
    /// `send` reads who is connected, and puts after.
    ReadBeforePut,
    /// The client acks what it has not stored yet.
    AckBeforeStore,
    /// An ack deletes everything up to the newest id it names.
    CursorAck,
    /// A post that met 410 is taken for one that went well.
    IgnoreGone,
    /// `disconnect` forgets the connection, looks, and marks after.
    ForgetThenMark,
    /// A post that met 410 has the connection forgotten, although it may be opening.
    ForgetOpening,
    /// The record forgets whatever connection it names.
    ForgetAnyConnection,
    /// The client shows what it has shown before.
    ShowAgain,
}

impl Variant {
    /// Those that must be caught, each with a promise that it breaks.
    pub(super) const WRONG: [(Self, &'static str); 8] = [
        (Self::ReadBeforePut, "I10"),
        (Self::AckBeforeStore, "I3"),
        (Self::CursorAck, "I9"),
        (Self::IgnoreGone, "I11"),
        (Self::ForgetThenMark, "I10"),
        (Self::ForgetOpening, "I10"),
        (Self::ForgetAnyConnection, "I11"),
        (Self::ShowAgain, "I3"),
    ];
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) variant: Variant,
    /// Each of a sender of its own: 0 has the older id.
    pub(super) messages: u8,
    /// A function or the client vanishes, an answer is lost or too late, a frame arrives twice. Connections break as often
    /// as there are any, without being counted.
    pub(super) faults: u8,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send {
        message: u8,
    },
    Open(Connection),
    /// The client does not wait for `$connect` any longer.
    GiveUp,
    Ask {
        connection: Connection,
        after: Option<u8>,
    },
    Ack(Connection),
    StoreAtLast,
    /// The client loses its connection, or leaves.
    Cut(Connection),
    /// API Gateway finds out.
    NoticeCut(Connection),
    CrashClient,
    Arrive(Frame),
    ArriveTwice(Frame),
    /// A function makes its next call.
    Step(Run),
    /// A function vanishes before its next call.
    Crash(Run),
    LoseAnswer(Run),
}

impl Model for Delivery {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::start(self.messages, self.faults)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut runs = world.runs.clone();
        runs.dedup();
        for run in runs {
            actions.push(Action::Step(run));
            if world.faults > 0 && may_vanish(world, run) {
                actions.push(Action::Crash(run));
            }
            let is_answered = matches!(run, Run::Send { .. } | Run::Ack { .. });
            if is_answered && world.faults > 0 {
                actions.push(Action::LoseAnswer(run));
            }
        }
        self.client_actions(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.act(&mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::sometimes(
                "delivered: all is accepted, stored and acked",
                |model: &Self, world: &World| {
                    let all = world.accepted();
                    world.is_at_rest()
                        && all == Set::up_to(model.messages - 1)
                        && all.is_part_of(world.phone.stored & world.past.acked)
                        && world.mailbox.is_empty()
                },
            ),
            Property::always(
                "I1: what was accepted is in the mailbox, or was acked",
                |_, world: &World| world.accepted().is_part_of(world.mailbox | world.past.acked),
            ),
            Property::always(
                "I2, I9: nothing leaves the mailbox but by its own device's ack, by name",
                |_, world: &World| world.past.removed.is_empty(),
            ),
            Property::always(
                "I3: what was acked is stored, and nothing is shown twice",
                |_, world: &World| {
                    world.past.acked.is_part_of(world.phone.stored) && world.past.shown_twice.is_empty()
                },
            ),
            Property::always(
                "I10, I11: what waits led to a post that arrives, or to a push",
                |_, world: &World| !world.is_at_rest() || unnoticed(world).is_empty(),
            ),
            Property::always(
                "I11: a connection is forgotten only if it is the one that is gone",
                |_, world: &World| !world.past.forgot_another,
            ),
            Property::always("I14: at rest nothing is left of any run", is_settled),
        ]
    }
}

/// Two things are not among the faults, because no order of calls could help against them; another message, or the
/// device's next connection, does.
///
/// - A `$disconnect` that fails before its one write is one that never came: API Gateway promises none. What was posted
///   into the dying socket waits.
/// - A `$connect` that fails after its write leaves the record with a connection that never opens and never closes. A
///   client that is still there tries again; one that is gone as well is not woken.
fn may_vanish(world: &World, run: Run) -> bool {
    match run {
        Run::Disconnect { step, .. } => {
            matches!(step, DisconnectStep::MarkIfAway | DisconnectStep::LookAfter)
        }
        Run::Connect { connection, .. } => {
            let link = world.phone.link;
            link == Link::Opening(connection) || link == Link::Retrying
        }
        Run::Send { .. } | Run::Ack { .. } => true,
    }
}

/// Accepted, waiting, and nobody's turn: the client is away and was not woken, or is there and was not told.
fn unnoticed(world: &World) -> state::Messages {
    let waiting = (world.accepted() & world.mailbox).without(world.phone.stored);
    match world.phone.link {
        Link::Away => waiting.without(world.past.pushed),
        Link::Live(_) => waiting,
        Link::Retrying | Link::Opening(_) | Link::Reading(..) => state::Messages::default(),
    }
}

/// A client that is there and has nothing left to do has an empty mailbox, but for what a run put again that vanished
/// before it could tell.
fn is_settled(_: &Delivery, world: &World) -> bool {
    let is_there = matches!(world.phone.link, Link::Live(_));
    let left = (world.mailbox & world.phone.stored).without(world.past.half_sent);
    !(world.is_at_rest() && is_there) || left.is_empty()
}
