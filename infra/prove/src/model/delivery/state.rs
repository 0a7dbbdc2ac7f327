//! What the model of delivery is made of: two tables, API Gateway, the frames on their way, the clients, and what
//! has happened.

use crate::model::set::Set;

/// Messages, by number.
pub(in crate::model) type Messages = Set;

/// Connections that the recipient's device opens, one after another.
pub(in crate::model) const CONNECTIONS: usize = 2;

/// One connection, numbered in the order in which they were opened (attribute `t` of Devices).
pub(in crate::model) type Connection = u8;

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) struct World {
    /// Mailbox: what waits for the device.
    pub(in crate::model) mailbox: Set,
    /// Devices, the device's record.
    pub(in crate::model) record: Record,
    /// What API Gateway has.
    pub(in crate::model) sockets: [Socket; CONNECTIONS],
    /// Functions at work, in order.
    pub(in crate::model) runs: Vec<Run>,
    /// Frames on their way to the device, in order.
    pub(in crate::model) frames: Vec<Frame>,
    pub(in crate::model) senders: Vec<Sender>,
    pub(in crate::model) phone: Phone,
    /// Faults that may still happen.
    pub(in crate::model) faults: u8,
    pub(in crate::model) past: Past,
}

/// The record's attributes that delivery turns on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) struct Record {
    /// `c` and `t`.
    pub(in crate::model) connection: Option<Connection>,
    /// `p`: something waits for a push, or one was sent since the device last connected.
    pub(in crate::model) is_marked: bool,
}

/// A connection as API Gateway sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) enum Socket {
    /// Not asked for yet.
    Unopened,
    /// `$connect` is running. A post meets 410.
    Opening,
    Open,
    /// The client is gone and API Gateway does not know it. A post is answered well and arrives nowhere.
    Dying,
    /// A post meets 410.
    Closed,
}

/// A function at work, before its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) enum Run {
    Send {
        message: u8,
        step: SendStep,
    },
    Connect {
        connection: Connection,
        step: ConnectStep,
    },
    Disconnect {
        connection: Connection,
        step: DisconnectStep,
    },
    Ack {
        connection: Connection,
        ids: Set,
        left: Set,
    },
}

/// `backend/src/send.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) enum SendStep {
    /// `read_directory`: `Devices::find_all`, strongly consistent.
    Read,
    /// Only a wrong variant: what was read before the put.
    PutAfter(Record),
    /// `announce`: `Sockets::post`, or `Devices::owe_alert_if_away`.
    Announce(Record),
    /// `Devices::replace_connection_with_mark`, its first write.
    ReplaceWithMark(Connection),
    /// Its second, if the first was refused: `Devices::owe_alert_if_away`.
    MarkIfAway,
}

/// `backend/src/connect.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) enum ConnectStep {
    /// `Devices::connect_unless_superseded`.
    Write,
    /// `Sockets::close` of the one before.
    Close(Connection),
    /// Success is on its way to API Gateway, which opens the socket.
    Answer,
}

/// `backend/src/disconnect.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) enum DisconnectStep {
    /// `Mailbox::has_urgent`.
    Look,
    /// `Devices::replace_connection_with_mark` if anything waits, else `Devices::delete_connection_if`.
    Forget { waits: bool },
    /// What follows the first write of `replace_connection_with_mark` if that was refused.
    MarkIfAway,
    /// Only a wrong variant: it looks after it has forgotten.
    LookAfter,
}

/// A frame to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) struct Frame {
    pub(in crate::model) connection: Connection,
    pub(in crate::model) ids: Set,
    pub(in crate::model) kind: FrameKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::model) enum FrameKind {
    Delivery,
    /// The reply to `receive`, and where it goes on.
    Page {
        more_after: Option<u8>,
    },
}

/// A sender of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::model) struct Sender {
    /// It was answered *accepted*.
    pub(in crate::model) is_accepted: bool,
}

/// The recipient's client: what it has stored survives a crash, the rest does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) struct Phone {
    pub(in crate::model) stored: Set,
    /// Only a wrong variant has any: acked, and not stored yet.
    pub(in crate::model) held: Set,
    pub(in crate::model) link: Link,
    /// Stored, and their ack not answered yet.
    pub(in crate::model) to_ack: Set,
}

/// What the client does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) enum Link {
    Away,
    /// It was refused, or gave up waiting, and will try again.
    Retrying,
    Opening(Connection),
    /// It reads its mailbox page by page, after this id.
    Reading(Connection, Option<u8>),
    /// It has read its mailbox and waits for deliveries.
    Live(Connection),
}

/// What the promises are about and no table says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::model) struct Past {
    /// Deleted because the device asked for it by name.
    pub(in crate::model) acked: Set,
    /// Deleted otherwise.
    pub(in crate::model) removed: Set,
    /// Shown to the person more than once.
    pub(in crate::model) shown_twice: Set,
    /// A push was due, or had been sent, while the message lay in the mailbox.
    pub(in crate::model) pushed: Set,
    /// A run that sent it vanished half way, perhaps after it was delivered.
    pub(in crate::model) half_sent: Set,
    /// A connection was forgotten on account of another one.
    pub(in crate::model) forgot_another: bool,
}

impl World {
    pub(in crate::model) fn start(messages: u8, faults: u8) -> Self {
        Self {
            mailbox: Set::default(),
            record: Record::default(),
            sockets: [Socket::Unopened; CONNECTIONS],
            runs: Vec::new(),
            frames: Vec::new(),
            senders: vec![Sender::default(); usize::from(messages)],
            phone: Phone {
                stored: Set::default(),
                held: Set::default(),
                link: Link::Away,
                to_ack: Set::default(),
            },
            faults,
            past: Past::default(),
        }
    }

    pub(in crate::model) fn socket(&self, connection: Connection) -> Socket {
        let socket = self.sockets.get(usize::from(connection));
        socket.copied().unwrap_or(Socket::Closed)
    }

    pub(in crate::model) fn set_socket(&mut self, connection: Connection, now: Socket) {
        if let Some(socket) = self.sockets.get_mut(usize::from(connection)) {
            *socket = now;
        }
    }

    pub(in crate::model) fn start_run(&mut self, run: Run) {
        let place = self.runs.partition_point(|other| *other <= run);
        self.runs.insert(place, run);
    }

    pub(in crate::model) fn end_run(&mut self, run: Run) {
        if let Some(place) = self.runs.iter().position(|other| *other == run) {
            self.runs.remove(place);
        }
    }

    /// A frame that is on its way already is not counted twice: duplicates are faults of their own.
    pub(in crate::model) fn start_frame(&mut self, frame: Frame) {
        if let Err(place) = self.frames.binary_search(&frame) {
            self.frames.insert(place, frame);
        }
    }

    pub(in crate::model) fn end_frame(&mut self, frame: Frame) {
        self.frames.retain(|other| *other != frame);
    }

    pub(in crate::model) fn accepted(&self) -> Set {
        let senders = (0..).zip(&self.senders);
        let accepted = senders.filter(|(_, sender)| sender.is_accepted);
        accepted.fold(Set::default(), |set, (message, _)| set | Set::of(message))
    }

    /// Nothing is under way, and no client has anything left to do before something else happens.
    pub(in crate::model) fn is_at_rest(&self) -> bool {
        let is_settled = |socket: &Socket| !matches!(socket, Socket::Opening | Socket::Dying);
        let phone = &self.phone;
        let is_done = match phone.link {
            Link::Away => true,
            Link::Live(_) => phone.to_ack.is_empty(),
            Link::Retrying | Link::Opening(_) | Link::Reading(..) => false,
        };
        self.runs.is_empty() && self.frames.is_empty() && self.sockets.iter().all(is_settled) && is_done
    }
}

/// The connection that a client's link goes over.
impl Link {
    pub(in crate::model) fn connection(self) -> Option<Connection> {
        match self {
            Self::Away | Self::Retrying => None,
            Self::Opening(connection) | Self::Reading(connection, _) | Self::Live(connection) => {
                Some(connection)
            }
        }
    }
}
