//! Time and ids, as parameters.

use std::sync::atomic::{AtomicI64, Ordering};

use claviger_api::Timestamp;
use claviger_crypto::Random;
use uuid::Uuid;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present time, to the microsecond.
    fn now(&self) -> Timestamp;
}

/// The machine's clock. It never goes back: where the machine's does, it stands still until that has caught up, so
/// that no end comes later than it was promised to.
#[derive(Default)]
pub struct SystemClock {
    newest_microsecond: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let now = Timestamp::now().as_microsecond();
        let newest = self.newest_microsecond.fetch_max(now, Ordering::Relaxed).max(now);
        Timestamp::from_microsecond(newest).unwrap_or(Timestamp::MAX)
    }
}

/// A clock that a test sets.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at this time.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_microsecond()))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: jiff::SignedDuration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }
}

/// A new UUID version 7 (RFC 9562): the time first, so that ids sort as they were made.
pub fn new_uuid(now: Timestamp, random: &dyn Random) -> Uuid {
    let mut bytes = [0; 10];
    random.fill_public(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(now.as_millisecond()).unwrap_or(0), &bytes).into_uuid()
}
