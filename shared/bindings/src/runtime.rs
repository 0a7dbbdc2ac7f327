//! Where calls run: on threads of this library, so that neither a database nor cryptography holds up the app's.

use std::{io, sync::LazyLock};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use crate::error::ClientError;

/// Threads that work. A client mostly waits; what computes or touches the disk for long has threads of its own.
const WORKERS: usize = 2;

/// One for all clients of the process, made with the first and never ended: a thread that waits costs next to nothing,
/// and a library does not know when its app ends.
static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("waxwing")
        .enable_all()
        .build()
});

/// Does this off the app's thread. When the app stops waiting, it ends at its next step, as a future does that is dropped.
pub(crate) async fn run<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, ClientError>
where
    T: Send + 'static,
    E: Into<ClientError> + Send + 'static,
{
    let mut task = AbortOnDrop(handle()?.spawn(work));
    ended((&mut task.0).await)
}

/// The same for what must come to its end, also when the app stops waiting.
pub(crate) async fn run_to_the_end<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, ClientError>
where
    T: Send + 'static,
    E: Into<ClientError> + Send + 'static,
{
    ended(handle()?.spawn(work).await)
}

/// The same for what blocks for as long as a disk takes.
pub(crate) async fn look<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ClientError>
where
    T: Send + 'static,
    E: Into<ClientError> + Send + 'static,
{
    ended(handle()?.spawn_blocking(work).await)
}

fn handle() -> Result<&'static Handle, ClientError> {
    match &*RUNTIME {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(ClientError::Internal(format!(
            "the library has no threads: {error}"
        ))),
    }
}

/// A panic ends here: what crosses is an error.
fn ended<T, E: Into<ClientError>>(
    joined: Result<Result<T, E>, tokio::task::JoinError>,
) -> Result<T, ClientError> {
    match joined {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ClientError::Internal(
            "a fault of the library; what was asked for may be done or not".to_owned(),
        )),
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::sync::Notify;

    use super::*;

    fn nobody_expects_it() -> Result<(), ClientError> {
        panic!("for once")
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        let failed = run(async { nobody_expects_it() });
        assert!(matches!(failed.await, Err(ClientError::Internal(_))));
        let failed = look(nobody_expects_it);
        assert!(matches!(failed.await, Err(ClientError::Internal(_))));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_ends_unless_it_must_not() {
        struct Ends(Arc<Notify>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let ended = Arc::new(Notify::new());
        let ends = Ends(ended.clone());
        let endless = run(async move {
            let _ends = ends;
            std::future::pending::<Result<(), ClientError>>().await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), endless)
                .await
                .is_err()
        );
        ended.notified().await;

        let (begun, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (may_go_on, says_done) = (begun.clone(), done.clone());
        let closing = run_to_the_end(async move {
            may_go_on.notified().await;
            says_done.notify_one();
            Ok::<_, ClientError>(())
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), closing)
                .await
                .is_err()
        );
        begun.notify_one();
        done.notified().await;
    }
}
