//! Failed logins are spent, never squandered: the vault does not lock out the account it guards.

use claviger_api::Timestamp;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{SystemTraits, later};

/// How many of the system's allowed failures are left for people.
const LEFT_FOR_PEOPLE: u32 = 2;

/// The failed logins of the present window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLogins {
    count: u32,
    since: Option<Timestamp>,
}

impl FailedLogins {
    /// A login with this version was refused just now.
    pub(super) fn spend(&mut self, traits: &SystemTraits, now: Timestamp) {
        if self.since.is_none_or(|since| later(since, traits.lockout_window) <= now) {
            *self = Self { count: 0, since: Some(now) };
        }
        self.count = self.count.saturating_add(1);
    }

    /// Until when nothing may be tried, if the next refusal could lock the account.
    pub(super) fn wait_before(&self, traits: &SystemTraits, now: Timestamp) -> Option<Timestamp> {
        let allowed = traits.lockout_threshold?.saturating_sub(LEFT_FOR_PEOPLE).max(1);
        let until = later(self.since?, traits.lockout_window.saturating_add(SignedDuration::from_secs(1)));
        (self.count >= allowed && until > now).then_some(until)
    }
}
