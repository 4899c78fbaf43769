//! The time between one failed connection and the next.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{PAUSE_MAX, PAUSE_MIN};

/// None while the last connection came about.
#[derive(Default)]
pub(crate) struct Pause(Option<Failed>);

struct Failed {
    until: Instant,
    pause: Duration,
    why: String,
}

impl Pause {
    /// Why the last connection failed, while no other is to be tried.
    pub(crate) fn over(&self, now: Instant) -> Result<(), String> {
        match &self.0 {
            Some(failed) if now < failed.until => Err(failed.why.clone()),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn failed(&mut self, now: Instant, why: String) {
        let pause = self.0.as_ref().map_or(PAUSE_MIN, |before| (before.pause * 2).min(PAUSE_MAX));
        self.0 = Some(Failed { until: now + pause, pause, why });
    }

    pub(crate) fn succeeded(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_starts_anew() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        assert_eq!(pause.over(now), Ok(()));
        let mut expected = PAUSE_MIN;
        for _ in 0..10 {
            pause.failed(now, "down".to_owned());
            assert_eq!(pause.over(now + expected / 2), Err("down".to_owned()));
            now += expected;
            assert_eq!(pause.over(now), Ok(()));
            expected = (expected * 2).min(PAUSE_MAX);
        }
        assert_eq!(expected, PAUSE_MAX);
        pause.succeeded();
        pause.failed(now, "down".to_owned());
        assert_eq!(pause.over(now + PAUSE_MIN), Ok(()));
    }
}
