//! When a request is tried again, and after how long. Pure: the random number is an argument.

use std::time::Duration;

use claviger_api::ProblemType;

use crate::Error;

/// The longest `Retry-After` that is waited for; a longer one is the caller's to decide.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often and how fast a request is tried again.
///
/// The wait before attempt *n* is a random time between nothing and `first_wait` · 2ⁿ⁻², at most `longest_wait`
/// ("full jitter"), after the server's `Retry-After` if it named one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The most attempts at one request, the first included.
    pub attempts: u32,
    /// The most to wait before the second attempt.
    pub first_wait: Duration,
    /// The most to wait before any attempt.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 5, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(10) }
    }
}

/// Whether a request may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Yes: it changes nothing, or carries an idempotency key.
    Safe,
    /// No: only when it was certainly not carried out.
    IfNotDone,
}

/// What a failure says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chance {
    /// The same request gets the same answer.
    None,
    /// It was not carried out, and may be later.
    NotDone,
    /// It may have been carried out.
    Unknown,
}

impl Retries {
    /// How long to wait before the next attempt; `None` gives up. `attempt` counts from 1; `random` is uniform.
    pub(crate) fn wait_after(&self, attempt: u32, error: &Error, repeat: Repeat, random: u64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        match (chance(error), repeat) {
            (Chance::None, _) | (Chance::Unknown, Repeat::IfNotDone) => return None,
            (Chance::NotDone, _) | (Chance::Unknown, Repeat::Safe) => {}
        }
        let asked = asked_wait(error);
        (asked <= RETRY_AFTER_MAX).then(|| asked + self.jitter(attempt, random))
    }

    /// A random time between nothing and the ceiling of this attempt.
    fn jitter(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.first_wait.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        let ceiling = u64::try_from(doubled.min(self.longest_wait).as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(random % (ceiling + 1))
    }
}

/// Only what passes by itself and soon: a held account or a sealed vault does not.
fn chance(error: &Error) -> Chance {
    match error {
        Error::Unreachable { .. } => Chance::NotDone,
        // 502 to 504 without a problem document: a gateway before the server.
        Error::Broken { .. } | Error::Timeout { .. } | Error::BadAnswer { status: 502..=504, .. } => Chance::Unknown,
        Error::Problem(_) => match error.problem_type() {
            Some(ProblemType::TooManyRequests | ProblemType::Unavailable) => Chance::NotDone,
            Some(ProblemType::OutcomeUnknown | ProblemType::Internal) => Chance::Unknown,
            Some(_) | None => Chance::None,
        },
        Error::BadAnswer { .. }
        | Error::Tls { .. }
        | Error::NotLoggedIn
        | Error::Session(_)
        | Error::WaitEnded { .. }
        | Error::Usage(_) => Chance::None,
    }
}

/// What the server asked for: `Retry-After`, which the transport puts into the problem.
fn asked_wait(error: &Error) -> Duration {
    Duration::from_secs(error.problem().and_then(|problem| problem.retry_after_seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use claviger_api::Problem;
    use claviger_api::problem::TABLE;
    use proptest::prelude::*;

    use super::*;

    fn problem(of: ProblemType, retry_after_seconds: Option<u64>) -> Error {
        let mut problem = Problem::new(of, "");
        problem.retry_after_seconds = retry_after_seconds;
        Error::Problem(Box::new(problem))
    }

    fn unreachable() -> Error {
        Error::Unreachable { address: String::new(), why: String::new() }
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        let retried: Vec<&str> = TABLE
            .iter()
            .filter(|row| Retries::default().wait_after(1, &problem(row.problem, None), Repeat::Safe, 0).is_some())
            .map(|row| row.code)
            .collect();
        assert_eq!(retried, ["internal", "outcome-unknown", "too-many-requests", "unavailable"]);
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_that_is_safe() {
        let broken = Error::Broken { address: String::new(), why: String::new() };
        for error in [broken, problem(ProblemType::OutcomeUnknown, None), problem(ProblemType::Internal, None)] {
            assert!(Retries::default().wait_after(1, &error, Repeat::Safe, 0).is_some(), "{error}");
            assert!(Retries::default().wait_after(1, &error, Repeat::IfNotDone, 0).is_none(), "{error}");
        }
        assert!(Retries::default().wait_after(1, &unreachable(), Repeat::IfNotDone, 0).is_some());
    }

    #[test]
    fn a_long_retry_after_is_the_callers_to_decide() {
        let asked = |seconds| problem(ProblemType::TooManyRequests, Some(seconds));
        let wait = Retries::default().wait_after(1, &asked(30), Repeat::Safe, 0);
        assert_eq!(wait, Some(Duration::from_secs(30)), "the server's wish is the least wait");
        assert_eq!(Retries::default().wait_after(1, &asked(31), Repeat::Safe, 0), None);
    }

    proptest! {
        #[test]
        fn waits_are_bounded_and_attempts_end(attempt in 1_u32..100, random: u64) {
            let retries = Retries::default();
            let wait = retries.wait_after(attempt, &unreachable(), Repeat::Safe, random);
            prop_assert_eq!(wait.is_some(), attempt < retries.attempts);
            if let Some(wait) = wait {
                prop_assert!(wait <= retries.longest_wait.min(retries.first_wait * 2_u32.pow(attempt - 1)));
            }
        }
    }
}
