//! What the stories share: a running service, people with devices, devices driven frame by frame, and a
//! network between them that loses what it is told to lose.

pub mod accounts;
pub mod cable;
pub mod household;
pub mod network;
pub mod people;
pub mod raw;
pub mod service;

pub use cable::Cable;
pub use network::{Network, Verdict};
pub use people::Phone;
pub use raw::{RawDevice, RawSocket, send_frame};
pub use service::Service;

use std::time::Duration;

/// How long a story waits for something that must happen. Far beyond what it takes; reached only when the
/// promise is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, and fails the story with `what` when it does not come.
pub async fn within_patience<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Looks again and again until `condition` holds, and fails the story with `what` when it never does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    within_patience(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
