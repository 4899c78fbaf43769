//! When a system's logins are looked at, and what is new in what was found.
//!
//! As with rotation by policy nothing is stored of what is to come: a look is due because a day has begun for the system
//! since the last one.

use claviger_api::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Systems that are looked at beside each other.
pub const LOOKS_AT_ONCE: usize = 4;
/// Systems that one round looks at; the others have their turn in the next.
pub const LOOKS_A_ROUND: usize = 32;
/// A system that did not answer is asked again after so long, and not only a day later.
pub const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// The most logins that one look tells of, an event each; the others are told of by the next looks.
pub const TOLD_AT_ONCE: usize = 50;
const SECONDS_OF_A_DAY: i64 = 86_400;

/// The last try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// When.
    pub at: Timestamp,
    /// Whether the system answered, whatever it said: a refused login is not repeated before its day.
    pub answered: bool,
}

/// Whether a system is to be looked at: once in each of its own days, which begin as its `spread` says, so that systems that
/// were added together are not looked at together.
pub fn is_due(added_at: Timestamp, last: Option<Tried>, spread: u64, now: Timestamp) -> bool {
    let early = i64::try_from(spread % SECONDS_OF_A_DAY.unsigned_abs()).unwrap_or(0);
    let day = |at: Timestamp| at.as_second().saturating_sub(early).div_euclid(SECONDS_OF_A_DAY);
    match last {
        None => day(added_at) < day(now),
        Some(tried) if day(tried.at) < day(now) => true,
        Some(tried) => !tried.answered && now.duration_since(tried.at) >= AGAIN_AFTER,
    }
}

/// Whether what somebody knows of a login covers the power that it has: more than was there then is news.
pub fn covers(known: &[String], privileges: &[String]) -> bool {
    privileges.iter().all(|privilege| known.contains(privilege))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn tried(text: &str, answered: bool) -> Tried {
        Tried { at: at(text), answered }
    }

    #[test]
    fn a_system_is_due_once_in_each_of_its_own_days() {
        let (added, three) = (at("2026-11-24T09:00:00Z"), 3 * 3600);
        assert!(!is_due(added, None, three, at("2026-11-25T02:59:59Z")));
        assert!(is_due(added, None, three, at("2026-11-25T03:00:00Z")));
        let last = Some(tried("2026-11-25T03:00:20Z", true));
        assert!(!is_due(added, last, three, at("2026-11-26T02:59:59Z")));
        assert!(is_due(added, last, three, at("2026-11-26T03:00:00Z")));
        assert!(is_due(added, last, three, at("2027-01-01T00:00:00Z")), "after a long stop, at once");
        // Another system of the same time has another hour.
        assert!(!is_due(added, Some(tried("2026-11-25T10:00:00Z", true)), 10 * 3600, at("2026-11-26T03:00:00Z")));
    }

    #[test]
    fn who_did_not_answer_is_asked_again_and_who_refused_is_not() {
        let added = at("2026-11-24T09:00:00Z");
        let (before, later) = (at("2026-11-25T06:59:59Z"), at("2026-11-25T07:00:00Z"));
        assert!(!is_due(added, Some(tried("2026-11-25T01:00:00Z", false)), 0, before));
        assert!(is_due(added, Some(tried("2026-11-25T01:00:00Z", false)), 0, later));
        assert!(!is_due(added, Some(tried("2026-11-25T01:00:00Z", true)), 0, later));
    }

    #[test]
    fn power_that_was_not_there_is_not_covered() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(covers(&words(&["CREATEROLE", "superuser"]), &words(&["superuser"])));
        assert!(covers(&[], &[]));
        assert!(!covers(&words(&["CREATEROLE"]), &words(&["CREATEROLE", "superuser"])));
    }
}
