//! Where a test has the process end: at one of the store's writes. Not compiled but for tests.

use std::sync::{Arc, Mutex};

/// On which side of a commit the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing of the transaction is stored.
    Before,
    /// All of it is stored, and nobody learned that it is.
    After,
}

/// When the process ends. Shared by all clones of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crash(Arc<Mutex<Plan>>);

#[derive(Clone, Copy, Debug, Default)]
enum Plan {
    #[default]
    Never,
    /// After as many writes as this.
    In(usize, Side),
    /// It has ended: nothing is stored any more.
    Ended,
}

impl Crash {
    /// Ends the process at a write: the next one for 0.
    pub(crate) fn plan(&self, writes: usize, side: Side) {
        *self.0.lock().unwrap() = Plan::In(writes, side);
    }

    /// A write begins: on which side of its commit the process ends, if it does.
    pub(super) fn due(&self) -> Option<Side> {
        let mut plan = self.0.lock().unwrap();
        match *plan {
            Plan::Never => None,
            Plan::In(0, side) => {
                *plan = Plan::Ended;
                Some(side)
            }
            Plan::In(writes, side) => {
                *plan = Plan::In(writes - 1, side);
                None
            }
            Plan::Ended => Some(Side::Before),
        }
    }
}
