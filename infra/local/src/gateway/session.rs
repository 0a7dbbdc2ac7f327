//! An open connection, from the end of its handshake to its `$disconnect`.
//!
//! Reading, writing and waiting for the end run side by side in one task: a client that does not read does not keep
//! the gateway from hearing it, and stalls nobody else. Every message is answered in a task of its own, so
//! the functions of one connection run concurrently and may finish in any order, as in AWS.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, sink},
    sync::{Semaphore, mpsc},
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{
    Shared, WebSocketApi,
    connections::{Connection, Outgoing},
    events::Moment,
    ids,
    limits::{
        CLOSE_GRACE, Lifetimes, MAX_DISCARDED_BYTES, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES,
        MAX_MESSAGES_IN_FLIGHT, MAX_WRITE_BUFFER_BYTES, READ_BUFFER_BYTES,
    },
    messages,
};
use crate::meter::Direction;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a connection came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    /// The client sent a close frame.
    ByClient { code: u16, reason: String },
    /// The gateway closes it, with this frame.
    ByGateway { code: CloseCode, reason: &'static str },
    /// The client is not there any more.
    Lost,
}

impl Ending {
    const GOING_AWAY: Self = Self::ByGateway {
        code: CloseCode::Away,
        reason: "Going away",
    };
    const DELETED: Self = Self::ByGateway {
        code: CloseCode::Normal,
        reason: "Connection closed normally",
    };
    const TOO_BIG: Self = Self::ByGateway {
        code: CloseCode::Size,
        reason: "Message too big",
    };
    const BINARY: Self = Self::ByGateway {
        code: CloseCode::Unsupported,
        reason: "Binary frames are not supported",
    };
    const NOT_TEXT: Self = Self::ByGateway {
        code: CloseCode::Invalid,
        reason: "Text is not UTF-8",
    };
    const VIOLATION: Self = Self::ByGateway {
        code: CloseCode::Protocol,
        reason: "Protocol violation",
    };

    fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TOO_BIG,
            Error::Utf8(_) => Self::NOT_TEXT,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Lost,
            Error::Protocol(_) => Self::VIOLATION,
            _ => Self::Lost,
        }
    }

    /// What `$disconnect` is told (RFC 6455, section 7.4.1, for the codes that no frame carries).
    fn code_and_reason(&self) -> (u16, Cow<'_, str>) {
        match self {
            Self::ByClient { code, reason } => (*code, reason.as_str().into()),
            Self::ByGateway { code, reason } => ((*code).into(), (*reason).into()),
            Self::Lost => (1006, "Connection closed abnormally".into()),
        }
    }
}

/// A connection and what its tasks need.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) api: Arc<WebSocketApi>,
    pub(super) connection: Arc<Connection>,
}

impl Session {
    /// Serves the connection until it ends, then runs `$disconnect`.
    pub(super) async fn run(self, upgraded: Upgraded, mut posted: mpsc::Receiver<Outgoing>) {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .max_message_size(Some(MAX_MESSAGE_BYTES));
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let (mut writer, mut reader) = socket.split();
        let ending = tokio::select! {
            ending = self.read(&mut reader) => ending,
            ending = self.write(&mut writer, &mut posted) => ending,
            ending = self.wait() => ending,
        };
        self.shared
            .connections
            .forget(&self.connection.caller.connection_id);
        if matches!(ending, Ending::DELETED | Ending::GOING_AWAY) {
            let last = self.write_posted(&mut writer, &mut posted);
            let _ = timeout(CLOSE_GRACE, last).await;
        }
        drop(posted);
        let closing = async {
            if let Ok(socket) = writer.reunite(reader) {
                close(socket, &ending).await;
            }
        };
        // A client that is slow to close its side holds up nobody who waits for the news.
        tokio::join!(closing, self.disconnect(&ending));
    }

    /// Ends a connection that never opened: the client went away during the handshake.
    pub(super) async fn abandon(self) {
        self.shared
            .connections
            .forget(&self.connection.caller.connection_id);
        self.disconnect(&Ending::Lost).await;
    }

    async fn read(&self, reader: &mut SplitStream<Socket>) -> Ending {
        let in_flight = Arc::new(Semaphore::new(MAX_MESSAGES_IN_FLIGHT));
        loop {
            let text = match reader.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Binary(_))) => return Ending::BINARY,
                // The library answers pings by itself. Control frames are no messages and count as nothing.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => return by_client(frame),
                Some(Err(error)) => return Ending::of_error(&error),
                None => return Ending::Lost,
            };
            // Counted once it is let in.
            self.note(Direction::In, text.as_bytes());
            let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else {
                return Ending::Lost;
            };
            let (shared, api) = (Arc::clone(&self.shared), Arc::clone(&self.api));
            let connection = Arc::clone(&self.connection);
            self.shared.tasks.spawn(async move {
                messages::answer(shared, api, connection, text).await;
                drop(permit);
            });
        }
    }

    async fn write(
        &self,
        writer: &mut SplitSink<Socket, Message>,
        posted: &mut mpsc::Receiver<Outgoing>,
    ) -> Ending {
        while let Some(message) = posted.recv().await {
            if let Err(error) = self.send(writer, message).await {
                return Ending::of_error(&error);
            }
        }
        Ending::Lost
    }

    async fn write_posted(
        &self,
        writer: &mut SplitSink<Socket, Message>,
        posted: &mut mpsc::Receiver<Outgoing>,
    ) -> Result<(), Error> {
        while let Ok(message) = posted.try_recv() {
            self.send(writer, message).await?;
        }
        Ok(())
    }

    /// Sends a message in frames of at most [`MAX_FRAME_BYTES`], a quota that holds in both directions.
    async fn send(&self, writer: &mut SplitSink<Socket, Message>, message: Outgoing) -> Result<(), Error> {
        let (mut kind, mut rest): (Data, Bytes) = match message {
            Outgoing::Text(text) => (Data::Text, text.into()),
            Outgoing::Binary(data) => (Data::Binary, data),
        };
        self.shared.meter.record_message(Direction::Out, rest.len());
        self.note(Direction::Out, &rest);
        loop {
            let chunk = rest.split_to(rest.len().min(MAX_FRAME_BYTES));
            let is_last = rest.is_empty();
            writer
                .send(Message::Frame(Frame::message(chunk, OpCode::Data(kind), is_last)))
                .await?;
            if is_last {
                return Ok(());
            }
            kind = Data::Continue;
        }
    }

    /// Ends when the connection has to, whatever it does: it was deleted, the gateway ends, or its time is up.
    async fn wait(&self) -> Ending {
        tokio::select! {
            () = self.connection.deleted.cancelled() => Ending::DELETED,
            () = self.connection.lost.cancelled() => Ending::Lost,
            () = self.shared.ending.cancelled() => Ending::GOING_AWAY,
            () = expired(&self.connection, self.shared.lifetimes) => Ending::GOING_AWAY,
        }
    }

    fn note(&self, direction: Direction, message: &[u8]) {
        self.connection.touch();
        let id = &self.connection.caller.connection_id;
        self.shared.observer.show(direction, id, message);
    }

    async fn disconnect(&self, ending: &Ending) {
        self.shared.meter.record_disconnect();
        let Some(route) = self.api.spec.routes.get("$disconnect") else {
            return;
        };
        let (code, reason) = ending.code_and_reason();
        let moment = Moment {
            api: &self.api.api,
            caller: &self.connection.caller,
            at: self.shared.now(),
            request_id: &ids::fresh(),
        };
        // Best effort: nobody is left to be told how it went.
        let invocation = self
            .shared
            .lambda
            .invoke(&route.function, moment.disconnect(code, &reason));
        let _ = timeout(route.timeout, invocation).await;
    }
}

fn by_client(frame: Option<CloseFrame>) -> Ending {
    match frame {
        Some(CloseFrame { code, reason }) => Ending::ByClient {
            code: code.into(),
            reason: reason.to_string(),
        },
        None => Ending::ByClient {
            code: 1005,
            reason: "Client-side close frame status not set".to_owned(),
        },
    }
}

/// Ends when a connection was idle for too long, or has lived for too long.
async fn expired(connection: &Connection, lifetimes: Lifetimes) {
    loop {
        let active_after = connection.active_after();
        let lives = (active_after + lifetimes.idle).min(lifetimes.connection);
        sleep_until(connection.opened + lives).await;
        let still_idle = connection.active_after() == active_after;
        if still_idle || connection.opened.elapsed() >= lifetimes.connection {
            return;
        }
    }
}

/// Ends the WebSocket as RFC 6455, section 7.1 wants it, and lets the client get the close frame even if it
/// has more under way: a socket closed over unread bytes would take the frame back.
async fn close(mut socket: Socket, ending: &Ending) {
    match ending {
        Ending::Lost => {}
        Ending::ByClient { .. } => {
            let answered = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = timeout(CLOSE_GRACE, answered).await;
        }
        Ending::ByGateway { code, reason } => {
            let frame = CloseFrame {
                code: *code,
                reason: (*reason).into(),
            };
            let _ = timeout(CLOSE_GRACE, linger(socket, frame)).await;
        }
    }
}

async fn linger(mut socket: Socket, frame: CloseFrame) -> Result<(), Error> {
    socket.close(Some(frame)).await?;
    let stream = socket.get_mut();
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_DISCARDED_BYTES), &mut sink()).await?;
    Ok(())
}
