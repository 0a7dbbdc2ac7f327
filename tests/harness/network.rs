//! A network between one client and the gateway that loses chosen frames or cuts the connection.
//!
//! It forwards the opening handshake with its token and every message both ways, and asks for a verdict on
//! each. So a story can lose exactly one reply or one ack.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_hdr_async, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, header::AUTHORIZATION},
    },
};
use waxwing_client::{
    Endpoints,
    wire::{ClientFrame, Envelope, RequestId, ack::AckRequest},
};

/// What happens to a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives.
    Pass,
    /// It is lost; the connection stays.
    Lose,
    /// It is lost and the connection with it.
    Cut,
    /// It arrives, and the connection is cut behind it.
    PassThenCut,
    /// To the client: the envelopes in it are acked in the client's name, and arrive a moment later. So it looks as if the
    /// client acked before it stored.
    AckThenPass,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToService,
    /// To the client.
    ToClient,
}

/// The request of an ack that no client sent. Clients count theirs up from the lowest.
const FORGED: RequestId = RequestId::MAX;

/// How long what was acked takes to arrive.
const BETWEEN_ACK_AND_ARRIVAL: Duration = Duration::from_millis(100);

type Judge = Arc<Mutex<dyn FnMut(Way, &Value) -> Verdict + Send>>;

/// A listening network. Ends when dropped.
pub struct Network {
    url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Network {
    /// Listens, and judges each message by `judge`.
    pub async fn between(
        service: &Endpoints,
        judge: impl FnMut(Way, &Value) -> Verdict + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let path = service.websocket_url.rsplit_once('/').unwrap().1.to_owned();
        let url = format!("ws://{}/{path}", listener.local_addr().unwrap());
        let upstream = service.websocket_url.clone();
        let judge: Judge = Arc::new(Mutex::new(judge));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, upstream.clone(), judge.clone()));
            }
        });
        Self { url, task }
    }

    /// Listens, and judges by `judge` those messages that `is_meant` names, which are counted; the others pass. `judge`
    /// gets how many were meant before.
    pub async fn where_some(
        service: &Endpoints,
        is_meant: impl Fn(Way, &Value) -> bool + Send + 'static,
        judge: impl Fn(usize) -> Verdict + Send + 'static,
    ) -> (Self, Arc<AtomicUsize>) {
        let meant = Arc::new(AtomicUsize::new(0));
        let count = meant.clone();
        let network = Self::between(service, move |way, frame| {
            if is_meant(way, frame) {
                judge(count.fetch_add(1, Ordering::SeqCst))
            } else {
                Verdict::Pass
            }
        });
        (network.await, meant)
    }

    /// The service as reached through this network.
    pub fn endpoints(&self, service: &Endpoints) -> Endpoints {
        Endpoints {
            websocket_url: self.url.clone(),
            ..service.clone()
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(stream: TcpStream, upstream: String, judge: Judge) {
    let mut token = None;
    #[allow(clippy::result_large_err, reason = "the signature is the WebSocket library's")]
    let note_token = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        token = request.headers().get(AUTHORIZATION).cloned();
        Ok(response)
    };
    let Ok(mut client) = accept_hdr_async(stream, note_token).await else {
        return;
    };
    let mut request = upstream.into_client_request().unwrap();
    request
        .headers_mut()
        .insert(AUTHORIZATION, token.unwrap_or(HeaderValue::from_static("none")));
    let Ok((mut service, _)) = connect_async(request).await else {
        return;
    };
    loop {
        let (way, message) = tokio::select! {
            message = client.next() => (Way::ToService, message),
            message = service.next() => (Way::ToClient, message),
        };
        let Some(Ok(message)) = message else { return };
        let frame = match &message {
            Message::Text(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            _ => Value::Null,
        };
        if way == Way::ToClient && frame["request"] == FORGED.get() {
            continue;
        }
        let verdict = match &message {
            Message::Text(_) => (judge.lock().unwrap())(way, &frame),
            _ => Verdict::Pass,
        };
        if let (Verdict::AckThenPass, Some(ack)) = (verdict, ack_of(&frame)) {
            if service.send(ack).await.is_err() {
                return;
            }
            tokio::time::sleep(BETWEEN_ACK_AND_ARRIVAL).await;
        }
        if !matches!(verdict, Verdict::Lose | Verdict::Cut) {
            let carried = match way {
                Way::ToService => service.send(message).await,
                Way::ToClient => client.send(message).await,
            };
            if carried.is_err() {
                return;
            }
        }
        if matches!(verdict, Verdict::Cut | Verdict::PassThenCut) {
            return;
        }
    }
}

/// The ack of the envelopes in a frame, if there are any.
fn ack_of(frame: &Value) -> Option<Message> {
    let envelopes: Vec<Envelope> = serde_json::from_value(frame["envelopes"].clone()).ok()?;
    let ids: Vec<_> = envelopes.into_iter().map(|envelope| envelope.id).collect();
    if ids.is_empty() {
        return None;
    }
    let ack = ClientFrame::Ack(AckRequest { request: FORGED, ids });
    Some(Message::text(serde_json::to_string(&ack).unwrap()))
}
