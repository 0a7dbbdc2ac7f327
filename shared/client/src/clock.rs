//! The one place where the client reads the clock and the system's randomness. Everything below takes values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::CryptoRng;

/// Milliseconds of Unix time. 0 on a device whose clock stands before 1970.
#[allow(
    clippy::disallowed_methods,
    reason = "the clock module of the client; everything below takes the time as a value"
)]
pub(crate) fn now_millis() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// A cryptographic random source, seeded by the system. Not `Send`: made where it is used.
pub(crate) fn rng() -> impl CryptoRng {
    rand::rng()
}
