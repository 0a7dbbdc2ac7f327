//! The recipient's devices change while a message is on its way: one is linked, one is removed, one registers again.
//!
//! A registration is what mailboxes belong to: 0 is the account's first device, 1 another that is linked, 2 the first
//! device registered anew. Every call to AWS of `send`, and of what follows a change of the list, is a step.

use stateright::{Model, Property};

use super::set::Set;

const FIRST: u8 = 0;
const LINKED: u8 = 1;
const ANEW: u8 = 2;

/// Times that the sender sends the message.
const MAX_ATTEMPTS: u8 = 3;

/// The design as it is, or made wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    AsBuilt,
    /// `send` compares what the sender knows, and not what the directory has.
    TrustTheSender,
    /// A device registered anew has the mailbox of the one before.
    MailboxOfAddress,
    /// A device is told of before the directory has it.
    TellBeforeLinked,
}

impl Variant {
    /// Those that must be caught, each with a promise that it breaks.
    pub(super) const WRONG: [(Self, &'static str); 3] = [
        (Self::TrustTheSender, "I6"),
        (Self::MailboxOfAddress, "I2"),
        (Self::TellBeforeLinked, "I2"),
    ];
}

/// The model.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) variant: Variant,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Devices: the registrations that the account has.
    devices: Set,
    /// Those that it has had.
    ended: Set,
    /// Mailboxes, by registration, that hold the message.
    mailboxes: Set,
    /// What the sender believes the account has.
    known: Set,
    attempts: u8,
    /// The account's devices at the moment the accepted run read them, if the message was accepted.
    accepted_for: Option<Set>,
    /// Devices that acked it.
    acked: Set,
    /// Devices from whose mailbox it was deleted otherwise while they were the account's.
    robbed: Set,
    runs: Vec<Run>,
    crashes: u8,
}

/// A function at work, before its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Run {
    /// `backend/src/send.rs`.
    Send { listed: Set, step: SendStep },
    /// `backend/src/answer.rs`: what comes before the transaction, and it.
    Link,
    /// `backend/src/ended.rs`, `Mailbox::delete_page`.
    Empty { registration: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SendStep {
    /// `put_all`, one envelope after another.
    Put { left: Set },
    /// `read_directory`, strongly consistent.
    Read,
    /// `take_back`, one envelope after another.
    TakeBack { left: Set, read: Set },
    /// The outcome is on its way.
    Answer { read: Set },
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send,
    Step(Run),
    Crash(Run),
    /// The answer of a run is lost.
    LoseAnswer(Run),
    /// The account's owner begins to link another device.
    BeginLink,
    /// The list leaves one out: `backend/src/revoke.rs`, its transaction.
    Revoke(u8),
    /// The number is registered anew: `backend/src/register.rs`, its transaction.
    TakeOver,
    /// A device stores the message and acks it.
    Ack(u8),
}

impl Model for Directory {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            devices: Set::of(FIRST),
            ended: Set::default(),
            mailboxes: Set::default(),
            known: Set::of(FIRST),
            attempts: 0,
            accepted_for: None,
            acked: Set::default(),
            robbed: Set::default(),
            runs: Vec::new(),
            crashes: 1,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.accepted_for.is_none() && world.attempts < MAX_ATTEMPTS && !world.known.is_empty() {
            actions.push(Action::Send);
        }
        let ever = world.devices | world.ended;
        if !ever.contains(LINKED) && !world.runs.contains(&Run::Link) && world.devices.contains(FIRST) {
            actions.push(Action::BeginLink);
        }
        if world.devices.contains(LINKED) {
            actions.push(Action::Revoke(LINKED));
        }
        if !ever.contains(ANEW) {
            actions.push(Action::TakeOver);
        }
        let waiting = world.mailboxes & world.devices;
        actions.extend(waiting.iter().map(Action::Ack));
        let mut runs = world.runs.clone();
        runs.dedup();
        for run in runs {
            actions.push(Action::Step(run));
            if world.crashes > 0 {
                actions.push(Action::Crash(run));
                if matches!(
                    run,
                    Run::Send {
                        step: SendStep::Answer { .. },
                        ..
                    }
                ) {
                    actions.push(Action::LoseAnswer(run));
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let world = &mut next;
        match action {
            Action::Send => {
                world.attempts += 1;
                let listed = world.known;
                let step = SendStep::Put { left: listed };
                world.start_run(Run::Send { listed, step });
            }
            Action::Step(run) => {
                world.end_run(run);
                match run {
                    Run::Send { listed, step } => self.send(world, listed, step),
                    Run::Link => link(world),
                    Run::Empty { registration } => self.empty(world, registration),
                }
            }
            Action::Crash(run) | Action::LoseAnswer(run) => {
                world.crashes -= 1;
                world.end_run(run);
            }
            Action::BeginLink => {
                if self.variant == Variant::TellBeforeLinked {
                    world.known.add(Set::of(LINKED));
                }
                world.start_run(Run::Link);
            }
            Action::Revoke(registration) => world.end_devices(Set::of(registration)),
            Action::TakeOver => {
                world.end_devices(world.devices);
                world.devices = Set::of(ANEW);
            }
            Action::Ack(registration) => {
                world.mailboxes.remove(Set::of(registration));
                world.acked.add(Set::of(registration));
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::sometimes(
                "delivered: accepted for two devices, acked by both",
                |_, world: &World| {
                    let accepted = world.accepted_for.unwrap_or_default();
                    accepted.iter().count() == 2 && accepted.is_part_of(world.acked)
                },
            ),
            Property::always(
                "I1, I6: what was accepted is in the mailbox of every device on the list, or was acked, or the device ended",
                |_, world: &World| {
                    let accepted = world.accepted_for.unwrap_or_default();
                    accepted.is_part_of(world.mailboxes | world.acked | world.ended)
                },
            ),
            Property::always(
                "I2: nothing leaves a device's mailbox but by its ack",
                |_, world: &World| world.robbed.is_empty(),
            ),
        ]
    }
}

impl Directory {
    fn send(&self, world: &mut World, listed: Set, step: SendStep) {
        let next = |step| Run::Send { listed, step };
        let compare = |read: Set| match listed.without(read) {
            gone if gone.is_empty() => SendStep::Answer { read },
            gone => SendStep::TakeBack { left: gone, read },
        };
        match step {
            SendStep::Put { left } => {
                let first = left.iter().next().map(Set::of).unwrap_or_default();
                world.mailboxes.add(first);
                let left = left.without(first);
                let step = match left.is_empty() {
                    true => SendStep::Read,
                    false => SendStep::Put { left },
                };
                world.start_run(next(step));
            }
            SendStep::Read => world.start_run(next(compare(world.devices))),
            SendStep::TakeBack { left, read } => {
                let first = left.iter().next().map(Set::of).unwrap_or_default();
                world.delete(first);
                let left = left.without(first);
                let step = match left.is_empty() {
                    true => SendStep::Answer { read },
                    false => SendStep::TakeBack { left, read },
                };
                world.start_run(next(step));
            }
            SendStep::Answer { read } => {
                // `compare_account`: nothing missing, nothing gone, nothing registered anew.
                if listed == read || self.variant == Variant::TrustTheSender {
                    world.accepted_for.get_or_insert(read);
                } else {
                    world.known = read;
                }
            }
        }
    }

    /// A registration that has ended has a mailbox of its own.
    fn empty(&self, world: &mut World, registration: u8) {
        world.mailboxes.remove(Set::of(registration));
        if self.variant == Variant::MailboxOfAddress && registration == FIRST {
            world.delete(Set::of(ANEW));
        }
    }
}

fn link(world: &mut World) {
    if world.devices.contains(FIRST) {
        world.devices.add(Set::of(LINKED));
    }
}

impl World {
    /// Deletes what nobody acked.
    fn delete(&mut self, registrations: Set) {
        self.robbed.add(self.mailboxes & registrations & self.devices);
        self.mailboxes.remove(registrations);
    }

    fn end_devices(&mut self, ended: Set) {
        self.devices.remove(ended);
        self.ended.add(ended);
        for registration in ended.iter() {
            self.start_run(Run::Empty { registration });
        }
    }

    fn start_run(&mut self, run: Run) {
        let place = self.runs.partition_point(|other| *other <= run);
        self.runs.insert(place, run);
    }

    fn end_run(&mut self, run: Run) {
        if let Some(place) = self.runs.iter().position(|other| *other == run) {
            self.runs.remove(place);
        }
    }
}
