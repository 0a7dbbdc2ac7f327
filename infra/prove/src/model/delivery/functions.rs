//! The service's functions, one call to AWS a step. Each step names what it mirrors in `backend`.

use super::{
    Delivery, Variant,
    state::{
        ConnectStep, Connection, DisconnectStep, Frame, FrameKind, Link, Record, Run, SendStep, Socket, World,
    },
};
use crate::model::set::Set;

/// What a step of `send` led to.
enum Sending {
    GoesOn(SendStep),
    IsAccepted,
    /// The sender is told to repeat it.
    Fails,
}

impl Delivery {
    /// The next call of `run`, carried out. With its last call a run is answered, unless the answer is lost.
    pub(super) fn step(&self, world: &mut World, run: Run, is_heard: bool) {
        world.end_run(run);
        match run {
            Run::Send { message, step } => match self.send(world, Set::of(message), step) {
                Sending::GoesOn(step) => world.start_run(Run::Send { message, step }),
                Sending::IsAccepted if is_heard => accept(world, message),
                Sending::IsAccepted | Sending::Fails => {}
            },
            Run::Connect { connection, step } => self.connect(world, connection, step),
            Run::Disconnect { connection, step } => self.disconnect(world, connection, step),
            Run::Ack {
                connection,
                ids,
                left,
            } => self.ack(world, (connection, ids), left, is_heard),
        }
    }

    /// `backend/src/send.rs`: put, which is its first call (`put_all`, `Mailbox::put_if_absent`).
    pub(super) fn begin_send(&self, world: &mut World, message: u8) {
        let step = match self.variant {
            Variant::ReadBeforePut => SendStep::PutAfter(world.record),
            _ => {
                world.mailbox.add(Set::of(message));
                SendStep::Read
            }
        };
        world.start_run(Run::Send { message, step });
    }

    /// `backend/src/send.rs`: then read and announce.
    fn send(&self, world: &mut World, id: Set, step: SendStep) -> Sending {
        match step {
            SendStep::Read => Sending::GoesOn(SendStep::Announce(world.record)),
            SendStep::PutAfter(read) => {
                world.mailbox.add(id);
                Sending::GoesOn(SendStep::Announce(read))
            }
            SendStep::Announce(Record {
                connection: Some(connection),
                ..
            }) => self.post(world, connection, id),
            SendStep::Announce(Record { is_marked: true, .. }) => {
                // Whoever follows the mark finds the envelope, which was there before the mark was read.
                world.past.pushed.add(id);
                Sending::IsAccepted
            }
            SendStep::Announce(_) | SendStep::MarkIfAway => {
                mark_waiting_if_away(world);
                Sending::IsAccepted
            }
            SendStep::ReplaceWithMark(dead) => self.replace_connection_with_mark(world, dead),
        }
    }

    /// `announce`, `Sockets::post`.
    fn post(&self, world: &mut World, connection: Connection, ids: Set) -> Sending {
        let kind = FrameKind::Delivery;
        match world.socket(connection) {
            Socket::Open => world.start_frame(Frame {
                connection,
                ids,
                kind,
            }),
            Socket::Dying => {}
            _ if self.variant == Variant::IgnoreGone => {}
            // Too young to be given up: it is tried again, by this run for a moment, and then by the sender.
            Socket::Opening if self.variant != Variant::ForgetOpening => return Sending::Fails,
            Socket::Unopened | Socket::Opening | Socket::Closed => {
                return Sending::GoesOn(SendStep::ReplaceWithMark(connection));
            }
        }
        Sending::IsAccepted
    }

    /// `Devices::replace_connection_with_mark`.
    fn replace_connection_with_mark(&self, world: &mut World, dead: Connection) -> Sending {
        if !self.may_forget(world, dead) {
            return Sending::GoesOn(SendStep::MarkIfAway);
        }
        world.record.connection = None;
        mark(world);
        Sending::IsAccepted
    }

    /// The condition `HAS_CONNECTION`.
    fn may_forget(&self, world: &mut World, dead: Connection) -> bool {
        let is_this = world.record.connection == Some(dead);
        if self.variant == Variant::ForgetAnyConnection {
            world.past.forgot_another |= !is_this && world.record.connection.is_some();
            return true;
        }
        is_this
    }

    /// `backend/src/disconnect.rs`: look, and then forget, or forget and mark, in one write.
    fn disconnect(&self, world: &mut World, connection: Connection, step: DisconnectStep) {
        let next = match step {
            DisconnectStep::Look => {
                let waits = !world.mailbox.is_empty();
                Some(DisconnectStep::Forget { waits })
            }
            DisconnectStep::Forget { waits } => {
                let is_this = self.may_forget(world, connection);
                if is_this {
                    world.record.connection = None;
                }
                match (waits, is_this) {
                    (true, true) => {
                        mark(world);
                        None
                    }
                    (true, false) => Some(DisconnectStep::MarkIfAway),
                    (false, _) => {
                        (self.variant == Variant::ForgetThenMark).then_some(DisconnectStep::LookAfter)
                    }
                }
            }
            DisconnectStep::LookAfter => (!world.mailbox.is_empty()).then_some(DisconnectStep::MarkIfAway),
            DisconnectStep::MarkIfAway => {
                mark_waiting_if_away(world);
                None
            }
        };
        if let Some(step) = next {
            world.start_run(Run::Disconnect { connection, step });
        }
    }

    /// `backend/src/connect.rs`: write, close the one before, answer.
    fn connect(&self, world: &mut World, connection: Connection, step: ConnectStep) {
        match step {
            ConnectStep::Write => {
                // `IS_REGISTRATION_AND_NOT_SUPERSEDED`, `CONNECT`.
                let before = world.record.connection;
                if before.is_some_and(|newer| newer > connection) {
                    return refuse(world, connection);
                }
                world.record = Record {
                    connection: Some(connection),
                    is_marked: false,
                };
                let step = match before {
                    Some(older) if older != connection => ConnectStep::Close(older),
                    _ => ConnectStep::Answer,
                };
                world.start_run(Run::Connect { connection, step });
            }
            ConnectStep::Close(older) => {
                self.close(world, older);
                let step = ConnectStep::Answer;
                world.start_run(Run::Connect { connection, step });
            }
            ConnectStep::Answer => open(world, connection),
        }
    }

    /// API Gateway closes a connection, or finds it closed, and says so once.
    pub(super) fn close(&self, world: &mut World, connection: Connection) {
        if !matches!(world.socket(connection), Socket::Open | Socket::Dying) {
            return;
        }
        world.set_socket(connection, Socket::Closed);
        world.frames.retain(|frame| frame.connection != connection);
        if world.phone.link.connection() == Some(connection) {
            world.phone.link = Link::Away;
        }
        let step = match self.variant {
            Variant::ForgetThenMark => DisconnectStep::Forget { waits: false },
            _ => DisconnectStep::Look,
        };
        world.start_run(Run::Disconnect { connection, step });
    }

    /// `backend/src/ack.rs`, `Database::delete_all`: each id on its own, in any batch, with leftovers.
    fn ack(&self, world: &mut World, (connection, ids): (Connection, Set), left: Set, is_heard: bool) {
        if self.variant == Variant::CursorAck {
            let older = ids.last().map(Set::up_to).unwrap_or_default().without(ids);
            world.past.removed.add(world.mailbox & older);
            world.mailbox.remove(older);
        }
        let first = left.iter().next().map(Set::of).unwrap_or_default();
        world.mailbox.remove(first);
        world.past.acked.add(first);
        let left = left.without(first);
        if !left.is_empty() {
            world.start_run(Run::Ack {
                connection,
                ids,
                left,
            });
        } else if !is_heard {
            unheard(world, connection, ids);
        }
    }
}

/// An ack is not answered: its ids are acked again, if the connection has not broken meanwhile, which does the same.
pub(super) fn unheard(world: &mut World, connection: Connection, ids: Set) {
    if world.phone.link.connection() == Some(connection) {
        world.phone.to_ack.add(ids);
    }
}

fn accept(world: &mut World, message: u8) {
    if let Some(sender) = world.senders.get_mut(usize::from(message)) {
        sender.is_accepted = true;
    }
}

/// API Gateway: `$connect` went well.
fn open(world: &mut World, connection: Connection) {
    if world.phone.link == Link::Opening(connection) {
        world.set_socket(connection, Socket::Open);
        world.phone.link = Link::Reading(connection, None);
    } else {
        // The client has given up meanwhile.
        world.set_socket(connection, Socket::Dying);
    }
}

/// API Gateway: `$connect` failed. There will be no `$disconnect` for a connection that never opened.
pub(super) fn refuse(world: &mut World, connection: Connection) {
    world.set_socket(connection, Socket::Closed);
    if world.phone.link == Link::Opening(connection) {
        world.phone.link = Link::Retrying;
    }
}

/// `backend/src/receive.rs`: `Mailbox::read_alive`, a page of one, and the reply.
pub(super) fn receive(world: &mut World, connection: Connection, after: Option<u8>) {
    let there = world
        .mailbox
        .iter()
        .find(|id| after.is_none_or(|after| *id > after));
    let more_after = there.filter(|id| world.mailbox.iter().any(|other| other > *id));
    if world.socket(connection) == Socket::Open {
        world.start_frame(Frame {
            connection,
            ids: there.map(Set::of).unwrap_or_default(),
            kind: FrameKind::Page { more_after },
        });
    }
}

/// `Devices::owe_alert_if_away`.
fn mark_waiting_if_away(world: &mut World) {
    if world.record.connection.is_none() && !world.record.is_marked {
        mark(world);
    }
}

fn mark(world: &mut World) {
    world.record.is_marked = true;
    world.past.pushed.add(world.mailbox);
}
