//! Waiting for what another process does. The one place in these tests that lets time pass.

use std::time::{Duration, Instant};

const LOOK_PAUSE: Duration = Duration::from_millis(25);

/// Looks until there is something to see, for at most this long; then it fails, and says for what it waited.
///
/// # Panics
/// When the time is over.
pub async fn until<T>(what: &str, at_most: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < at_most, "waited {} s in vain: {what}", at_most.as_secs());
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
