//! The network between clients and the service: TCP, carried on, cut or stalled as the plan says.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, RngExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Bytes carried at a time. Frames are longer, so that a cut leaves half of one.
const CHUNK_BYTES: usize = 256;

/// The pause after a socket could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener whose sockets lead to the service. Dropping it ends all of them.
pub(super) struct Proxy {
    address: SocketAddr,
    ways: Arc<Ways>,
    accepting: JoinHandle<()>,
}

/// Every socket that is open, and what is done to it.
#[derive(Default)]
struct Ways {
    open: Mutex<BTreeMap<u64, watch::Sender<State>>>,
    next: AtomicU64,
    cuts: AtomicUsize,
    stalls: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Carries,
    Stalls,
    Cut,
}

impl Proxy {
    /// Listens on a port of its own, in front of the service at `target`.
    ///
    /// # Errors
    /// If there is no port.
    pub(super) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ways = Arc::<Ways>::default();
        Ok(Self {
            address: listener.local_addr()?,
            accepting: tokio::spawn(accept(listener, target, ways.clone())),
            ways,
        })
    }

    /// Where clients connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts each socket with this chance.
    pub(super) fn cut(&self, share: f64, rng: &mut impl Rng) {
        let cut = self.ways.turn(share, State::Cut, rng);
        self.ways.cuts.fetch_add(cut.len(), Ordering::Relaxed);
    }

    /// Lets each socket with this chance carry nothing, for so long or for good.
    pub(super) fn stall(&self, share: f64, lasts: Option<Duration>, rng: &mut impl Rng) {
        let stalled = self.ways.turn(share, State::Stalls, rng);
        self.ways.stalls.fetch_add(stalled.len(), Ordering::Relaxed);
        let Some(lasts) = lasts else {
            return;
        };
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            for way in stalled {
                // One that was cut meanwhile stays cut.
                way.send_if_modified(|state| {
                    let goes_on = *state == State::Stalls;
                    if goes_on {
                        *state = State::Carries;
                    }
                    goes_on
                });
            }
        });
    }

    /// Cuts every socket that stalls: the network is whole again.
    pub(super) fn mend(&self) {
        for way in self.ways.lock().values() {
            if *way.borrow() == State::Stalls {
                way.send_replace(State::Cut);
            }
        }
    }

    /// Sockets cut so far, and sockets stalled.
    pub(super) fn counts(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (read(&self.ways.cuts), read(&self.ways.stalls))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for way in self.ways.lock().values() {
            way.send_replace(State::Cut);
        }
    }
}

impl Ways {
    /// Each socket with this chance. Gives those that were turned.
    fn turn(&self, share: f64, to: State, rng: &mut impl Rng) -> Vec<watch::Sender<State>> {
        let open = self.lock();
        let chosen = open.values().filter(|_| rng.random_bool(share));
        let turned = chosen.filter(|way| {
            way.send_if_modified(|state| {
                let changes = *state != State::Cut && *state != to;
                if changes {
                    *state = to;
                }
                changes
            })
        });
        turned.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, watch::Sender<State>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, ways: Arc<Ways>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (state, turned) = watch::channel(State::Carries);
                let number = ways.next.fetch_add(1, Ordering::Relaxed);
                ways.lock().insert(number, state);
                let ways = ways.clone();
                tokio::spawn(async move {
                    // A service that is away: the client finds its socket closed.
                    if let Err(error) = carry(client, target, turned).await {
                        tracing::debug!(%error, "a socket ended");
                    }
                    ways.lock().remove(&number);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a socket could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Carries bytes both ways until both sides have ended, or the socket is cut.
async fn carry(client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) -> io::Result<()> {
    let service = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_service, to_service) = service.into_split();
    // A side that breaks takes the other with it; one that ends well lets the other finish.
    tokio::try_join!(
        pass(from_client, to_service, state.clone()),
        pass(from_service, to_client, state),
    )?;
    Ok(())
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            () = is_cut(state.clone()) => return Err(cut()),
        };
        let carries = match state.wait_for(|state| *state != State::Stalls).await {
            Ok(state) => *state == State::Carries,
            Err(_) => false,
        };
        if !carries {
            return Err(cut());
        }
        match chunk.get(..read) {
            None | Some([]) => return to.shutdown().await,
            Some(bytes) => tokio::select! {
                written = to.write_all(bytes) => written?,
                () = is_cut(state.clone()) => return Err(cut()),
            },
        }
    }
}

/// Ends when the socket is cut.
async fn is_cut(mut state: watch::Receiver<State>) {
    // An error says that nobody is left who could cut it otherwise.
    let _ = state.wait_for(|state| *state == State::Cut).await;
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// A proxy in front of a listener, a client's socket, and the other end of it.
    async fn through() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (service, _) = listener.accept().await.unwrap();
        (proxy, client, service)
    }

    async fn says(from: &mut TcpStream, to: &mut TcpStream, text: &[u8]) {
        from.write_all(text).await.unwrap();
        let mut heard = vec![0; text.len()];
        to.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, text);
    }

    #[tokio::test]
    async fn what_is_said_arrives_both_ways_until_the_socket_is_cut() {
        let (proxy, mut client, mut service) = through().await;
        says(&mut client, &mut service, &[7; 3 * CHUNK_BYTES]).await;
        says(&mut service, &mut client, b"answer").await;
        proxy.cut(1.0, &mut StdRng::seed_from_u64(1));
        assert!(!matches!(client.read(&mut [0; 8]).await, Ok(1..)));
        assert!(!matches!(service.read(&mut [0; 8]).await, Ok(1..)));
        assert_eq!(proxy.counts(), (1, 0));
    }

    #[tokio::test]
    async fn a_stalled_socket_carries_nothing_until_it_goes_on_and_loses_nothing() {
        let (proxy, mut client, mut service) = through().await;
        says(&mut client, &mut service, b"before").await;
        let lasts = Duration::from_millis(200);
        proxy.stall(1.0, Some(lasts), &mut StdRng::seed_from_u64(1));
        let begun = std::time::Instant::now();
        says(&mut client, &mut service, b"during").await;
        assert!(begun.elapsed() >= lasts / 2);
        assert_eq!(proxy.counts(), (0, 1));
    }

    #[tokio::test]
    async fn mending_cuts_what_would_stall_for_good() {
        let (proxy, mut client, mut service) = through().await;
        says(&mut client, &mut service, b"before").await;
        proxy.stall(1.0, None, &mut StdRng::seed_from_u64(1));
        client.write_all(b"lost").await.unwrap();
        proxy.mend();
        assert!(!matches!(service.read(&mut [0; 8]).await, Ok(1..)));
    }

    #[tokio::test]
    async fn where_nobody_listens_the_client_finds_its_socket_closed() {
        let nowhere = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let proxy = Proxy::start(nowhere).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(!matches!(client.read(&mut [0; 8]).await, Ok(1..)));
    }
}
