//! What clients do: send again what was not answered, connect, ask for the mailbox first, store before they ack.

use super::{
    Action, Delivery, Variant,
    functions::{receive, refuse, unheard},
    state::{CONNECTIONS, ConnectStep, Connection, Frame, FrameKind, Link, Run, Socket, World},
};
use crate::model::set::Set;

impl Delivery {
    /// Everything that clients, and the network between, may do next.
    pub(super) fn client_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (message, sender) in (0..).zip(&world.senders) {
            // What was not answered is sent again under the same id; while the first run is still at work only if the
            // answer takes too long.
            let is_sending = |run: &Run| matches!(run, Run::Send { message: of, .. } if *of == message);
            let is_at_work = world.runs.iter().any(is_sending);
            if !sender.is_accepted && (!is_at_work || world.faults > 0) {
                actions.push(Action::Send { message });
            }
        }
        let phone = &world.phone;
        match phone.link {
            Link::Away | Link::Retrying => actions.extend(next_connection(world).map(Action::Open)),
            Link::Opening(_) if world.faults > 0 => actions.push(Action::GiveUp),
            Link::Reading(connection, after) if !is_asking(world, connection) => {
                actions.push(Action::Ask { connection, after });
            }
            Link::Opening(_) | Link::Reading(..) | Link::Live(_) => {}
        }
        if let Link::Reading(connection, _) | Link::Live(connection) = phone.link {
            actions.push(Action::Cut(connection));
            if !phone.to_ack.is_empty() && !is_acking(world, connection) {
                actions.push(Action::Ack(connection));
            }
        }
        if !phone.held.is_empty() {
            actions.push(Action::StoreAtLast);
        }
        if world.faults > 0 && !matches!(phone.link, Link::Away | Link::Retrying) {
            actions.push(Action::CrashClient);
        }
        for frame in &world.frames {
            actions.push(Action::Arrive(*frame));
            if world.faults > 0 {
                actions.push(Action::ArriveTwice(*frame));
            }
        }
        for connection in (0..).take(CONNECTIONS) {
            if world.socket(connection) == Socket::Dying {
                actions.push(Action::NoticeCut(connection));
            }
        }
    }

    /// One of them, carried out.
    pub(super) fn act(&self, world: &mut World, action: Action) {
        match action {
            Action::Send { message } => {
                let is_sending = |run: &Run| matches!(run, Run::Send { message: of, .. } if *of == message);
                if world.runs.iter().any(is_sending) {
                    world.faults -= 1;
                }
                self.begin_send(world, message);
            }
            Action::Open(connection) => {
                world.set_socket(connection, Socket::Opening);
                world.phone.link = Link::Opening(connection);
                let step = ConnectStep::Write;
                world.start_run(Run::Connect { connection, step });
            }
            Action::GiveUp => {
                world.faults -= 1;
                world.phone.link = Link::Retrying;
            }
            Action::Ask { connection, after } => receive(world, connection, after),
            Action::Ack(connection) => {
                let ids = std::mem::take(&mut world.phone.to_ack);
                let left = ids;
                world.start_run(Run::Ack {
                    connection,
                    ids,
                    left,
                });
            }
            Action::StoreAtLast => self.store(world, world.phone.held),
            Action::Cut(connection) => leave(world, connection),
            Action::CrashClient => {
                world.faults -= 1;
                match world.phone.link {
                    Link::Reading(connection, _) | Link::Live(connection) => leave(world, connection),
                    Link::Away | Link::Retrying | Link::Opening(_) => world.phone.link = Link::Away,
                }
                world.phone.to_ack = Set::default();
                world.phone.held = Set::default();
            }
            Action::NoticeCut(connection) => self.close(world, connection),
            Action::Arrive(frame) => {
                world.end_frame(frame);
                self.take(world, frame);
            }
            Action::ArriveTwice(frame) => {
                world.faults -= 1;
                self.take(world, frame);
            }
            Action::Step(run) => self.step(world, run, true),
            Action::Crash(run) => {
                world.faults -= 1;
                crash(world, run);
            }
            Action::LoseAnswer(run) => {
                world.faults -= 1;
                self.step(world, run, false);
            }
        }
    }

    /// A frame has arrived at the client.
    fn take(&self, world: &mut World, frame: Frame) {
        let Frame {
            connection,
            ids,
            kind,
        } = frame;
        match (world.phone.link, kind) {
            (Link::Reading(current, _), FrameKind::Page { more_after }) if current == connection => {
                world.phone.link = match more_after {
                    Some(after) => Link::Reading(connection, Some(after)),
                    None => Link::Live(connection),
                };
            }
            (Link::Reading(current, _), FrameKind::Delivery) if current == connection => {}
            (Link::Live(current), _) if current == connection => {}
            _ => return,
        }
        if self.variant == Variant::AckBeforeStore {
            world.phone.held.add(ids.without(world.phone.stored));
        } else {
            self.store(world, ids);
        }
        world.phone.to_ack.add(ids);
    }

    /// One transaction of the client's store: each (sender, message) once.
    fn store(&self, world: &mut World, ids: Set) {
        if self.variant == Variant::ShowAgain {
            world.past.shown_twice.add(ids & world.phone.stored);
        }
        world.phone.stored.add(ids);
        world.phone.held.remove(ids);
    }
}

fn next_connection(world: &World) -> Option<Connection> {
    (0..)
        .zip(&world.sockets)
        .find_map(|(connection, socket)| (*socket == Socket::Unopened).then_some(connection))
}

/// The client has asked for a page and not been answered yet.
fn is_asking(world: &World, connection: Connection) -> bool {
    let is_page =
        |frame: &Frame| frame.connection == connection && matches!(frame.kind, FrameKind::Page { .. });
    world.frames.iter().any(is_page)
}

fn is_acking(world: &World, connection: Connection) -> bool {
    let is_ack = |run: &Run| matches!(run, Run::Ack { connection: of, .. } if *of == connection);
    world.runs.iter().any(is_ack)
}

/// The client's end of a connection is gone, and with it every frame on its way. An ack that was not answered is made
/// again.
fn leave(world: &mut World, connection: Connection) {
    let unanswered = world.runs.iter().filter_map(|run| match run {
        Run::Ack {
            connection: of, ids, ..
        } if *of == connection => Some(*ids),
        _ => None,
    });
    let unanswered = unanswered.fold(Set::default(), |all, ids| all | ids);
    world.phone.to_ack.add(unanswered);
    world.set_socket(connection, Socket::Dying);
    world.frames.retain(|frame| frame.connection != connection);
    world.phone.link = Link::Away;
}

/// A function vanishes: whoever called it gets no answer, or an error.
fn crash(world: &mut World, run: Run) {
    world.end_run(run);
    match run {
        Run::Connect { connection, .. } => refuse(world, connection),
        Run::Send { message, .. } => world.past.half_sent.add(Set::of(message)),
        Run::Ack { connection, ids, .. } => unheard(world, connection, ids),
        Run::Disconnect { .. } => {}
    }
}
