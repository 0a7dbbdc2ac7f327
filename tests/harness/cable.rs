//! A cable between clients and the gateway: bytes and not frames, so that handshakes are the gateway's own. It can go dead
//! without a word to either end, as a phone's network does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use waxwing_client::Endpoints;

/// A listening cable. Ends when dropped.
pub struct Cable {
    address: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    /// Connections up to this one carry nothing any more.
    dead: watch::Sender<usize>,
    refuses: AtomicBool,
    opened: AtomicUsize,
    open: AtomicUsize,
    /// The smallest number open at the end of one.
    fewest: AtomicUsize,
}

impl Cable {
    /// To the WebSocket API of a service.
    pub async fn to(service: &Endpoints) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gateway = host(service).to_owned();
        let state = Arc::new(State {
            dead: watch::Sender::new(0),
            refuses: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            fewest: AtomicUsize::new(usize::MAX),
        });
        let accepting = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(carry(client, gateway.clone(), accepting.clone()));
            }
        });
        Self { address, state, task }
    }

    /// The service as reached through this cable.
    pub fn endpoints(&self, service: &Endpoints) -> Endpoints {
        Endpoints {
            websocket_url: service.websocket_url.replace(host(service), &self.address),
            ..service.clone()
        }
    }

    /// From now on the connections there are carry nothing, and neither end is told. Later ones work.
    pub fn go_dead(&self) {
        self.state.dead.send_replace(self.opened());
    }

    /// Whether new connections are refused.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Connections that clients opened so far.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }

    /// Connections that clients hold open.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// The smallest number that was open at any time after the first.
    pub fn fewest(&self) -> usize {
        self.state.fewest.load(Ordering::SeqCst).min(self.open())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn host(service: &Endpoints) -> &str {
    service.websocket_url.split('/').nth(2).unwrap()
}

async fn carry(mut client: TcpStream, gateway: String, state: Arc<State>) {
    let number = state.opened.fetch_add(1, Ordering::SeqCst) + 1;
    state.open.fetch_add(1, Ordering::SeqCst);
    if let Ok(mut service) = TcpStream::connect(gateway).await {
        let mut dead = state.dead.subscribe();
        let gone_dead = async { drop(dead.wait_for(|dead| number <= *dead).await) };
        tokio::select! {
            _ended = copy_bidirectional(&mut client, &mut service) => {}
            () = gone_dead => {
                // The service keeps its end and hears nothing; the client hears nothing and gives up some day.
                let _given_up = tokio::io::copy(&mut client, &mut sink()).await;
                tokio::spawn(async move { service.read_u8().await });
            }
        }
    }
    let open = state.open.fetch_sub(1, Ordering::SeqCst) - 1;
    state.fewest.fetch_min(open, Ordering::SeqCst);
}
