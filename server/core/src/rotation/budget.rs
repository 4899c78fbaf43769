//! Failed logins are spent, never squandered: the vault does not lock out the account it guards.

use claviger_api::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{SystemTraits, later};

/// How many of the system's allowed failures are left for people.
const LEFT_FOR_PEOPLE: u32 = 2;

/// The logins that failed, or may have, since the system's counter was last empty. Each is counted before it is tried:
/// what a crash forgets is an outcome, never an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLogins {
    count: u32,
    /// When the last of them was counted: the system's window begins anew with each.
    since: Option<Timestamp>,
}

impl FailedLogins {
    /// A login is about to be tried. An error says until when it must not be: its failure could lock the account.
    pub(super) fn reserve(&mut self, traits: &SystemTraits, now: Timestamp) -> Result<(), Timestamp> {
        let Some(threshold) = traits.lockout_threshold else { return Ok(()) };
        let most = threshold.saturating_sub(LEFT_FOR_PEOPLE).max(1);
        if traits.failed_logins >= most {
            return Err(forgotten(now, traits));
        }
        match self.since.map(|last| forgotten(last, traits)) {
            Some(until) if until > now && self.count >= most => return Err(until),
            Some(until) if until > now => self.count = self.count.saturating_add(1),
            Some(_) | None => self.count = 1,
        }
        self.since = Some(now);
        Ok(())
    }

    /// The login did not fail, or was never tried.
    pub(super) fn give_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// How many count now.
    #[cfg(test)]
    pub(super) fn count_at(&self, traits: &SystemTraits, now: Timestamp) -> u32 {
        if self.since.is_none_or(|last| forgotten(last, traits) <= now) { 0 } else { self.count }
    }
}

/// From then on the system does not count a failure of this time any more.
fn forgotten(last: Timestamp, traits: &SystemTraits) -> Timestamp {
    later(last, traits.lockout_window.saturating_add(SignedDuration::from_secs(1)))
}
