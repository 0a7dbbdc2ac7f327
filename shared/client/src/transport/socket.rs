//! The WebSocket: opened with a token, driven until it ends, closed cleanly.

use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::{net::TcpStream, sync::mpsc, time::Instant};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Bytes, ClientRequestBuilder, Error, Message, Utf8Bytes,
        http::{HeaderMap, Uri},
        protocol::{
            WebSocketConfig,
            frame::{
                CloseFrame, Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};
use waxwing_wire::{
    ServiceFrame,
    limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES},
};

use super::{
    endpoints::Service,
    last_time::LastTime,
    requests::{News, Replies},
    service_time::{ServiceTime, date},
    tls,
    token::{Credentials, is_in_time},
};
use crate::{clock, config::Timings, events::DisconnectReason};

/// An open socket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bytes of one fragment: what API Gateway takes as a frame, without the longest header of one (RFC 6455,
/// section 5.2), in case that counts.
const FRAGMENT_BYTES: usize = MAX_FRAME_BYTES - 14;

/// Bytes read from the socket at a time. Messages may be longer; the buffer belongs to each idle connection.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// How long the service has to answer our close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Opens the socket.
///
/// # Errors
/// [`DisconnectReason`]: `Unauthorized`, `WrongClock`, `TimedOut` or `Unreachable`.
pub(crate) async fn connect(
    service: &Service,
    credentials: &Credentials,
    timings: &Timings,
    time: &ServiceTime,
) -> Result<Socket, DisconnectReason> {
    // What is told of a refused token is by the time that was in it.
    let made_at = time.now_millis();
    let connecting = async {
        let uri: Uri = service.websocket_url.as_str().parse().map_err(Error::from)?;
        let request =
            ClientRequestBuilder::new(uri).with_header("Authorization", credentials.bearer(made_at));
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        config.write_buffer_size = 0;
        config.max_message_size = Some(MAX_MESSAGE_BYTES);
        config.max_frame_size = Some(MAX_MESSAGE_BYTES);
        let connector = match service.websocket_url.scheme() {
            "wss" => tls::config()
                .map(Connector::Rustls)
                .map_err(|error| Error::Io(std::io::Error::other(error)))?,
            _ => Connector::Plain,
        };
        connect_async_tls_with_config(request, Some(config), true, Some(connector)).await
    };
    match tokio::time::timeout(timings.connect_timeout, connecting).await {
        Ok(Ok((socket, response))) => {
            time.learn(response.headers(), clock::now_millis());
            Ok(socket)
        }
        // The authorizer's refusal: 401 without a token it could read, 403 for one it denies.
        Ok(Err(Error::Http(response))) if matches!(response.status().as_u16(), 401 | 403) => {
            time.learn(response.headers(), clock::now_millis());
            Err(refused(response.headers(), made_at))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "no connection");
            Err(DisconnectReason::Unreachable)
        }
        Err(_) => Err(DisconnectReason::TimedOut),
    }
}

/// What it means that a token was refused which was made just now. Without a word of the service about its time the
/// clock may be the reason, too.
fn refused(headers: &HeaderMap, now_millis: u64) -> DisconnectReason {
    match date(headers) {
        Some(theirs) if !is_in_time(now_millis / 1000, theirs) => DisconnectReason::WrongClock,
        _ => DisconnectReason::Unauthorized,
    }
}

/// Drives a socket until it ends: writes what comes from `outgoing`, hands replies to `replies` and news to
/// `news`, notes in `messages` when either was carried, pings when it is silent. When all senders of `outgoing` are
/// dropped it closes the socket and ends with `Requested`.
pub(crate) async fn drive<S>(
    socket: S,
    mut outgoing: mpsc::Receiver<String>,
    replies: Replies,
    news: impl FnMut(News),
    messages: &LastTime,
    ping_after: Duration,
) -> DisconnectReason
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error>,
{
    let (mut sink, stream) = socket.split();
    let heard = LastTime::now();
    let reading = read(stream, &replies, news, &heard, messages);
    tokio::pin!(reading);
    let written = tokio::select! {
        reason = &mut reading => Some(reason),
        reason = write(&mut sink, &mut outgoing, &heard, messages, ping_after) => reason,
    };
    let reason = match written {
        Some(reason) => reason,
        None => {
            let goodbye = async {
                let frame = CloseFrame {
                    code: CloseCode::Normal,
                    reason: Utf8Bytes::default(),
                };
                let _unsent = sink.send(Message::Close(Some(frame))).await;
                (&mut reading).await
            };
            let _answer = tokio::time::timeout(CLOSE_WAIT, goodbye).await;
            DisconnectReason::Requested
        }
    };
    replies.close();
    reason
}

async fn read(
    mut stream: impl Stream<Item = Result<Message, Error>> + Unpin,
    replies: &Replies,
    mut news: impl FnMut(News),
    heard: &LastTime,
    messages: &LastTime,
) -> DisconnectReason {
    while let Some(message) = stream.next().await {
        heard.note();
        match message {
            Ok(Message::Text(text)) => {
                messages.note();
                match serde_json::from_str::<ServiceFrame>(&text) {
                    Ok(frame) => replies.take(frame).into_iter().for_each(&mut news),
                    Err(_) => replies.take_foreign(&text),
                }
            }
            Ok(Message::Close(frame)) => return closed(frame.as_ref()),
            // Pings are answered below us; the service sends no binary.
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the connection broke");
                return DisconnectReason::Broken;
            }
        }
    }
    DisconnectReason::Broken
}

/// What the service's close frame says. It closes normally only when another socket of this device was
/// opened (`DeleteConnection`); API Gateway's own codes are 1001 after its idle and life limits, 1003, 1009.
fn closed(frame: Option<&CloseFrame>) -> DisconnectReason {
    match frame {
        Some(frame) if frame.code == CloseCode::Normal => DisconnectReason::TakenOver,
        Some(frame) => DisconnectReason::Closed(frame.code.into()),
        None => DisconnectReason::Broken,
    }
}

/// Writes until the connection ends, or, then `None`, until there is nobody left who would.
async fn write(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    outgoing: &mut mpsc::Receiver<String>,
    heard: &LastTime,
    messages: &LastTime,
    ping_after: Duration,
) -> Option<DisconnectReason> {
    let mut pinged = None;
    loop {
        let last = heard.get();
        // A ping is answered at once; silence as long again after it means that nobody is there.
        let silence_ends = match pinged {
            Some(at) if at > last => at + ping_after,
            _ => last + ping_after,
        };
        tokio::select! {
            text = outgoing.recv() => {
                if send(sink, text?).await.is_err() {
                    return Some(DisconnectReason::Broken);
                }
                messages.note();
            }
            () = tokio::time::sleep_until(silence_ends) => {
                let last = heard.get();
                if pinged.is_some_and(|at| at > last) {
                    return Some(DisconnectReason::TimedOut);
                }
                if last + ping_after <= Instant::now() {
                    pinged = Some(Instant::now());
                    if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        return Some(DisconnectReason::Broken);
                    }
                }
            }
        }
    }
}

/// Sends a text, in fragments if it is longer than a frame may be. Never as a binary message.
async fn send(sink: &mut (impl Sink<Message, Error = Error> + Unpin), text: String) -> Result<(), Error> {
    if text.len() <= FRAGMENT_BYTES {
        return sink.send(Message::Text(text.into())).await;
    }
    for fragment in fragments(text.into()) {
        sink.feed(Message::Frame(fragment)).await?;
    }
    sink.flush().await
}

/// Cuts a text into the frames of one fragmented message (RFC 6455, section 5.4).
fn fragments(mut text: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut opcode = Data::Text;
    while !text.is_empty() {
        let fragment = text.split_to(text.len().min(FRAGMENT_BYTES));
        frames.push(Frame::message(fragment, OpCode::Data(opcode), text.is_empty()));
        opcode = Data::Continue;
    }
    frames
}

#[cfg(test)]
mod tests {
    use tokio::{io::DuplexStream, net::TcpListener, task::JoinHandle};
    use tokio_tungstenite::tungstenite::protocol::Role;
    use waxwing_wire::{ClientFrame, frame::PrekeysLow, receive::Page};

    use super::*;
    use crate::{
        config::Endpoints,
        testing::{Party, account},
        transport::requests::{Link, RequestError},
    };

    const PING_AFTER: Duration = Duration::from_secs(60);

    /// A driven socket, and the service's end of it.
    struct Driven {
        link: Link,
        news: mpsc::UnboundedReceiver<News>,
        driving: JoinHandle<DisconnectReason>,
        service: WebSocketStream<DuplexStream>,
    }

    async fn driven() -> Driven {
        let (ours, theirs) = tokio::io::duplex(4 * MAX_MESSAGE_BYTES);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let limits = WebSocketConfig::default().max_frame_size(Some(MAX_FRAME_BYTES));
        let service = WebSocketStream::from_raw_socket(theirs, Role::Server, Some(limits)).await;
        let (outgoing, frames) = mpsc::channel(4);
        let (told, news) = mpsc::unbounded_channel();
        let replies = Replies::default();
        let link = Link::new(outgoing, replies.clone(), PING_AFTER * 10);
        let hear = move |news| drop(told.send(news));
        let driving = tokio::spawn(async move {
            let messages = LastTime::now();
            drive(socket, frames, replies, hear, &messages, PING_AFTER).await
        });
        Driven {
            link,
            news,
            driving,
            service,
        }
    }

    fn text(frame: &ServiceFrame) -> Message {
        Message::Text(serde_json::to_string(frame).unwrap().into())
    }

    #[tokio::test]
    async fn a_request_travels_and_its_reply_and_news_come_back() {
        let mut driven = driven().await;
        let asked = tokio::spawn({
            let link = driven.link.clone();
            async move { link.receive(None).await }
        });
        let Some(Ok(Message::Text(frame))) = driven.service.next().await else {
            panic!("no frame")
        };
        let Ok(ClientFrame::Receive(receive)) = ClientFrame::parse(&frame) else {
            panic!("{frame}")
        };
        let low = ServiceFrame::PrekeysLow(PrekeysLow { remaining: 3 });
        let page = ServiceFrame::Page(Page {
            request: receive.request,
            envelopes: Vec::new(),
            more_after: None,
        });
        driven.service.send(text(&low)).await.unwrap();
        driven.service.send(text(&page)).await.unwrap();
        assert!(asked.await.unwrap().is_ok());
        assert_eq!(driven.news.recv().await, Some(News::PrekeysLow(3)));
    }

    #[tokio::test]
    async fn x82_a_long_request_arrives_whole_and_a_frame_of_it_is_never_too_long() {
        let mut driven = driven().await;
        let mut party = Party::new(account(1), 1, 11);
        let to: Vec<_> = (2..=6)
            .map(|device| Party::new(account(1), device, device).bundle())
            .collect();
        party.claim(account(1), &to);
        party.write_to(account(1), &"x".repeat(crate::MAX_TEXT_BYTES));
        let outgoing = party
            .prepare(crate::under_way::UnderWay::default())
            .outgoing
            .remove(0);
        let link = driven.link.clone();
        let sent = outgoing.clone();
        let sending = tokio::spawn(async move { link.send(vec![sent.message]).await });
        let Some(Ok(Message::Text(frame))) = driven.service.next().await else {
            panic!("no text")
        };
        assert!(frame.len() > MAX_FRAME_BYTES);
        let Ok(ClientFrame::Send(send)) = ClientFrame::parse(&frame) else {
            panic!("not a send")
        };
        assert_eq!(send.messages, [outgoing.message]);
        sending.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_pinged_and_given_up_if_it_stays_silent() {
        // Nobody reads the service's end, so no pong comes back.
        let driven = driven().await;
        let begun = Instant::now();
        assert_eq!(driven.driving.await.unwrap(), DisconnectReason::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 2 * PING_AFTER.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_answers_pings_lives_on() {
        let mut driven = driven().await;
        let service = tokio::spawn(async move {
            let mut pings = 0;
            while pings < 5 {
                if let Some(Ok(Message::Ping(_))) = driven.service.next().await {
                    driven.service.flush().await.unwrap();
                    pings += 1;
                }
            }
            driven.service
        });
        let _service = service.await.unwrap();
        assert!(!driven.driving.is_finished());
    }

    #[tokio::test]
    async fn dropping_the_last_link_closes_the_socket_normally() {
        let mut driven = driven().await;
        drop(driven.link);
        let Some(Ok(Message::Close(Some(frame)))) = driven.service.next().await else {
            panic!("no close")
        };
        assert_eq!(frame.code, CloseCode::Normal);
        driven.service.flush().await.unwrap();
        drop(driven.service);
        assert_eq!(driven.driving.await.unwrap(), DisconnectReason::Requested);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_fails_what_waits_on_it() {
        let driven = driven().await;
        let asked = tokio::spawn({
            let link = driven.link.clone();
            async move { link.receive(None).await }
        });
        drop(driven.service);
        assert_eq!(asked.await.unwrap(), Err(RequestError::Closed));
        assert_eq!(driven.driving.await.unwrap(), DisconnectReason::Broken);
    }

    #[test]
    fn a_refused_token_is_laid_to_the_clock_only_if_the_service_s_is_another() {
        // 2027-01-15 08:00:00 UTC
        const NOW_SECONDS: u64 = 1_800_000_000;
        let mut headers = HeaderMap::new();
        let now = NOW_SECONDS * 1000;
        assert_eq!(refused(&headers, now), DisconnectReason::Unauthorized);
        headers.insert("date", "yesterday".parse().unwrap());
        assert_eq!(refused(&headers, now), DisconnectReason::Unauthorized);
        headers.insert("date", "Fri, 15 Jan 2027 08:00:00 GMT".parse().unwrap());
        for (seconds, reason) in [
            (NOW_SECONDS, DisconnectReason::Unauthorized),
            (NOW_SECONDS + 60, DisconnectReason::Unauthorized),
            (NOW_SECONDS + 61, DisconnectReason::WrongClock),
            (NOW_SECONDS - 359, DisconnectReason::Unauthorized),
            (NOW_SECONDS - 360, DisconnectReason::WrongClock),
        ] {
            assert_eq!(refused(&headers, seconds * 1000), reason, "{seconds}");
        }
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_or_speaks_no_tls_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move { drop(listener.accept().await) });
        let party = Party::new(account(1), 1, 11);
        for scheme in ["wss", "ws"] {
            let service = Service::parse(&Endpoints {
                websocket_url: format!("{scheme}://{address}/prod"),
                http_url: "http://127.0.0.1".to_owned(),
                audience: "test".to_owned(),
            });
            let refused = connect(
                &service.unwrap(),
                &party.me.credentials,
                &Timings::default(),
                &ServiceTime::default(),
            )
            .await;
            assert_eq!(refused.err(), Some(DisconnectReason::Unreachable), "{scheme}");
        }
        accepting.await.unwrap();
    }

    #[test]
    fn x82_a_message_longer_than_a_frame_leaves_as_fragments_of_one_text() {
        let text = "é".repeat(FRAGMENT_BYTES) + "!";
        let frames = fragments(text.clone().into());
        assert_eq!(frames.len(), 3);
        let mut whole = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            assert!(frame.payload().len() <= FRAGMENT_BYTES);
            let opcode = if index == 0 { Data::Text } else { Data::Continue };
            assert_eq!(frame.header().opcode, OpCode::Data(opcode));
            assert_eq!(frame.header().is_final, index == frames.len() - 1);
            whole.extend_from_slice(frame.payload());
        }
        assert_eq!(whole, text.as_bytes());
    }

    #[test]
    fn x70_only_a_normal_close_by_the_service_means_that_another_socket_took_over() {
        let frame = |code| CloseFrame {
            code,
            reason: Utf8Bytes::default(),
        };
        assert_eq!(
            closed(Some(&frame(CloseCode::Normal))),
            DisconnectReason::TakenOver
        );
        assert_eq!(
            closed(Some(&frame(CloseCode::Away))),
            DisconnectReason::Closed(1001)
        );
        assert_eq!(
            closed(Some(&frame(CloseCode::Size))),
            DisconnectReason::Closed(1009)
        );
        assert_eq!(closed(None), DisconnectReason::Broken);
    }
}
