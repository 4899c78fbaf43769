//! The reveals of the last hour under one grant.

use claviger_api::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// When secrets were revealed under a grant that limits it, the oldest first; what is older than an hour is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reveals {
    times: Vec<Timestamp>,
}

impl Reveals {
    /// One more, or from when on there may be one.
    pub fn one_more(mut self, most: u32, now: Timestamp) -> Result<Self, Timestamp> {
        let end = |time: Timestamp| time.saturating_add(HOUR).unwrap_or(Timestamp::MAX);
        self.times.retain(|time| now < end(*time));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        // A grant does not change, so there are never more; were there, the last ones would count.
        if let Some(first) = self.times.len().checked_sub(most) {
            return Err(self.times.get(first).map_or(Timestamp::MAX, |time| end(*time)));
        }
        self.times.push(now);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In no hour are there more than the most, and none is refused that would fit.
        #[test]
        fn no_hour_has_more_than_the_most(most in 1_u32..5, steps in prop::collection::vec(0_i64..1800, 1..60)) {
            let mut now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
            let (mut reveals, mut given) = (Reveals::default(), Vec::<Timestamp>::new());
            for step in steps {
                now += SignedDuration::from_secs(step);
                let recent = given.iter().filter(|time| now.duration_since(**time).as_secs() < 3600).count();
                let fits = recent < usize::try_from(most).unwrap();
                match reveals.clone().one_more(most, now) {
                    Ok(more) => {
                        prop_assert!(fits);
                        reveals = more;
                        given.push(now);
                    }
                    Err(next) => {
                        prop_assert!(!fits && next > now);
                        prop_assert!(reveals.clone().one_more(most, next).is_ok(), "then there is room");
                        prop_assert!(reveals.clone().one_more(most, next - SignedDuration::from_millis(1)).is_err());
                    }
                }
            }
        }
    }
}
