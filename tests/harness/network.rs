//! A network between one client and the gateway that loses chosen frames or cuts the connection.
//!
//! It forwards the opening handshake with its token and every message both ways, and asks for a verdict on
//! each. So a story can lose exactly one reply or one ack.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
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
use waxwing_client::Endpoints;

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
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    ToService,
    /// To the client.
    ToClient,
}

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
        let verdict = match &message {
            Message::Text(text) => {
                let frame = serde_json::from_str(text).unwrap_or(Value::Null);
                (judge.lock().unwrap())(way, &frame)
            }
            _ => Verdict::Pass,
        };
        if matches!(verdict, Verdict::Pass | Verdict::PassThenCut) {
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
