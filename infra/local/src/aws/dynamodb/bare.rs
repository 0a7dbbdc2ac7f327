//! The same puts, reads and deletes as functions made, done again straight against the engine: no SDK, no HTTP, no
//! function, no thread in between. What the way costs beyond its database is the difference. The same engine is an HTTP
//! client of the SDK as well, so that what the SDK costs can be told apart from what Waxwing adds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use dynoxide::storage_backend::SystemClock;

use super::operations::Call;
use super::storage::{Opened, Storage};
use super::{answered, tables};
use crate::aws::connector::{received, returned};
use crate::aws::front;
use crate::cloud::CloudError;
use crate::template::TableSpec;

/// Calls that are kept: about 150 MB of them.
const MOST_CALLS: usize = 100_000;

/// Calls to the database, oldest first.
#[derive(Default)]
pub struct Recorded {
    calls: Vec<(Call, Bytes)>,
    /// How many calls there were after the last that is kept.
    left_out: u64,
}

impl Recorded {
    /// How many calls are kept.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Those that are kept: the operation's name, and its request in JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.calls.iter().map(|(call, body)| (call.name(), body.as_ref()))
    }

    /// How many calls there were, kept or not.
    pub fn made(&self) -> u64 {
        self.left_out + u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }
}

/// Keeps calls while it is told to.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Option<Recorded>>);

impl Recorder {
    pub(super) fn begin(&self) {
        self.lock().get_or_insert_default();
    }

    pub(super) fn end(&self) -> Recorded {
        self.lock().take().unwrap_or_default()
    }

    pub(super) fn keep(&self, call: Call, body: &Bytes) {
        if let Some(recorded) = &mut *self.lock() {
            if recorded.calls.len() < MOST_CALLS {
                recorded.calls.push((call, body.clone()));
            } else {
                recorded.left_out += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine in memory with a template's tables, and nothing around it. Cheap to clone: all clones are the same one.
#[derive(Clone)]
pub struct Bare(Arc<Opened>);

impl Bare {
    /// Opens it. Blocks.
    ///
    /// # Errors
    /// As [`Cloud::open`](crate::cloud::Cloud::open).
    pub fn open<'a>(tables: impl IntoIterator<Item = &'a TableSpec>) -> Result<Self, CloudError> {
        let opened = Storage::Memory.open(SystemClock::arc())?;
        for table in tables {
            tables::make(&opened.database, table)?;
        }
        Ok(Self(Arc::new(opened)))
    }

    /// Does the calls again, one after the other. Blocks. Their outcomes are those they had, and are dropped.
    pub fn run(&self, recorded: &Recorded) {
        for (call, body) in &recorded.calls {
            let _ = call.run(&self.0.database, body);
        }
    }
}

impl HttpClient for Bare {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Bare {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let request = received(request).await?;
            let call = front::operation(request.headers()).and_then(Call::named);
            let call = call.ok_or_else(|| ConnectorError::user("this is no operation of DynamoDB".into()))?;
            let (outcome, _) = call.run(&this.0.database, request.body());
            returned(answered(outcome))
        })
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}
