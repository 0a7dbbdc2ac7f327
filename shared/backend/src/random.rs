//! The one place randomness comes from: codes for phones, which one-time prekey to try first, how long to back off.
//!
//! Codes are secret, so the source is a cryptographic one, seeded by the operating system. Only tests that replay a
//! run seed it themselves.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rand::{SeedableRng, rngs::StdRng};

/// A source of random numbers that its copies share.
#[derive(Clone)]
pub(crate) struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeded by the operating system.
    pub(crate) fn system() -> Self {
        Self::of(rand::make_rng())
    }

    /// Always the same numbers for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::of(StdRng::seed_from_u64(seed))
    }

    fn of(rng: StdRng) -> Self {
        Self(Arc::new(Mutex::new(rng)))
    }

    /// Draws from the source.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A panic while drawing leaves the generator usable.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}
