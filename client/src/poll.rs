//! Asking again until something has happened.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::Result;

/// The wait after the first look.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The longest wait: as long as the longest checkout.
const AT_MOST: Duration = Duration::from_secs(claviger_api::wire::TTL_MAX_SECONDS);

/// How a wait ended.
pub(crate) enum Waited<T> {
    /// It happened.
    Done(T),
    /// The time was over; this was the last look.
    TimeOver(T),
}

/// Looks until `done`, with growing pauses, for at most this long; the last look is at the very end.
pub(crate) async fn poll<T>(
    at_most: Duration,
    mut look: impl AsyncFnMut() -> Result<T>,
    mut done: impl FnMut(&T) -> bool,
) -> Result<Waited<T>> {
    let end = Instant::now() + at_most.min(AT_MOST);
    let mut wait = FIRST_WAIT;
    loop {
        let seen = look().await?;
        if done(&seen) {
            return Ok(Waited::Done(seen));
        }
        let now = Instant::now();
        if now >= end {
            return Ok(Waited::TimeOver(seen));
        }
        sleep_until((now + wait).min(end)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_looks_until_done_or_until_the_very_end() {
        let start = Instant::now();
        let mut looks = 0;
        let look = async || {
            looks += 1;
            Ok(start.elapsed())
        };
        let Ok(Waited::TimeOver(last)) = poll(Duration::from_mins(1), look, |_| false).await else {
            panic!("nothing happened")
        };
        assert_eq!(last, Duration::from_mins(1));
        assert!((10..30).contains(&looks), "{looks} looks in a minute");

        let look = async || Ok(start.elapsed());
        let Ok(Waited::Done(seen)) =
            poll(Duration::from_mins(1), look, |&elapsed| elapsed > Duration::from_secs(70)).await
        else {
            panic!("it happened")
        };
        assert!(seen < Duration::from_secs(76));
    }
}
