//! When an account's secret is due by its policy, and what trying it tells.
//!
//! Nothing is stored of what is to come: a due time follows from the policy and from what has happened, so that a policy
//! that changes, a restart or a clock that was stopped needs no repair.

use claviger_api::Timestamp;
use claviger_api::wire::{
    OnDrift, POLICY_HOURS_MAX, ProbeResult, ROTATE_EVERY_DAYS_MAX, RotationCause, RotationPolicy,
};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::secrets::Version;

#[cfg(test)]
mod tests;

/// Rotations by policy that are under way at once, on one system and at one customer.
pub const AT_ONCE_PER_SYSTEM: usize = 4;
/// At one customer.
pub const AT_ONCE_PER_CUSTOMER: usize = 16;
/// A system with so many unresolved rotations is silent: no further one is begun there by a policy.
pub const SILENT_AFTER: usize = 3;
/// What was due for so long is overdue.
pub const OVERDUE_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// A login is not tried by itself on a system that locks it after fewer failures: what is left is for people.
pub const LOCKOUT_LEAST: u32 = 3;
/// Accounts that got their secret together are not due together: each a part of the period earlier, at most a day.
const SPREAD_PART: i32 = 10;
const SPREAD_MOST: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A value of a policy that cannot be, and what can.
pub type BadValue = (&'static str, String);

/// What of a policy cannot be.
pub fn check(policy: &RotationPolicy) -> Vec<BadValue> {
    let most = |name, value: Option<u32>, most: u32, what| {
        value.filter(|value| *value > most).map(|_| (name, format!("0 to {most} {what}")))
    };
    let hour = policy.at_hour.filter(|hour| *hour > 23).map(|_| ("at_hour", "0 to 23".to_owned()));
    [
        most("every_days", policy.every_days, ROTATE_EVERY_DAYS_MAX, "days"),
        most("after_exposure_hours", policy.after_exposure_hours, POLICY_HOURS_MAX, "hours"),
        most("heartbeat_hours", policy.heartbeat_hours, POLICY_HOURS_MAX, "hours"),
        hour,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A time zone by its name in the IANA database, e.g. `Europe/Vienna`.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// Each value as the innermost says that says anything: the account's policy first.
pub fn in_force(policies: [&RotationPolicy; 3]) -> RotationPolicy {
    fn first<T: Copy>(policies: [&RotationPolicy; 3], value: impl Fn(&RotationPolicy) -> Option<T>) -> Option<T> {
        policies.into_iter().find_map(value)
    }
    RotationPolicy {
        every_days: first(policies, |policy| policy.every_days),
        after_exposure_hours: first(policies, |policy| policy.after_exposure_hours),
        at_hour: first(policies, |policy| policy.at_hour),
        heartbeat_hours: first(policies, |policy| policy.heartbeat_hours),
        on_drift: first(policies, |policy| policy.on_drift),
    }
}

/// What has happened to an account's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Since when it is the secret.
    pub since: Timestamp,
    /// Since when somebody knows it who does not hold the account now.
    pub exposed_since: Option<Timestamp>,
    /// The account's own place among others: any number, always the same.
    pub spread: u64,
}

/// When a secret is replaced, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Not before.
    pub at: Timestamp,
    /// By its age or by its exposure, whichever comes first.
    pub cause: RotationCause,
}

/// When the secret is due by a policy that is in force; `None` for never.
pub fn due(policy: &RotationPolicy, zone: &TimeZone, facts: &Facts) -> Option<Due> {
    let by_age = span(policy.every_days, DAY).map(|every| {
        let early = part(facts.spread, least(every / SPREAD_PART, SPREAD_MOST));
        Due { at: later(facts.since, every - early), cause: RotationCause::Scheduled }
    });
    let by_exposure = span(policy.after_exposure_hours, HOUR)
        .zip(facts.exposed_since)
        .map(|(after, since)| Due { at: later(since, after), cause: RotationCause::Exposure });
    let due = [by_age, by_exposure].into_iter().flatten().min_by_key(|due| due.at)?;
    Some(match policy.at_hour {
        Some(hour) => Due { at: within_hour(due.at, facts, hour, zone), ..due },
        None => due,
    })
}

/// Within the last such hour that has begun by then; but after the secret came, or every look would find it due again.
fn within_hour(by: Timestamp, facts: &Facts, hour: u8, zone: &TimeZone) -> Timestamp {
    let local = by.to_zoned_datetime(zone.clone());
    let begins = |days: i64| {
        let date = local.date().saturating_add(jiff::Span::new().days(days));
        let time = date.at(i8::try_from(hour).unwrap_or(0), 0, 0, 0);
        // An hour that the clocks leave out begins when they have been put forward.
        time.to_zoned_datetime(zone.clone()).map_or(by, |zoned| zoned.timestamp())
    };
    let begun = [0, -1].into_iter().map(begins).find(|begin| *begin <= by && *begin > facts.since);
    later(begun.unwrap_or_else(|| next_after(by, &begins)), part(facts.spread, HOUR))
}

fn next_after(by: Timestamp, begins: &impl Fn(i64) -> Timestamp) -> Timestamp {
    [0, 1, 2].into_iter().map(begins).find(|begin| *begin >= by).unwrap_or(by)
}

/// What is known of a secret from trying it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// When it was tried last.
    pub tried_at: Timestamp,
    /// Which version.
    pub version: Version,
    /// What came of it; `None` while it is tried, and where a crash took the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ProbeResult>,
    /// When a version was last seen to open the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Since when the system refuses the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted_since: Option<Timestamp>,
}

impl Watch {
    /// It is about to be tried. This is stored first: what a crash forgets is an answer, never an attempt.
    #[must_use]
    pub fn trying(before: Option<&Self>, version: Version, now: Timestamp) -> Self {
        let same = before.filter(|before| before.version == version);
        Self {
            tried_at: now,
            version,
            result: None,
            verified_at: before.and_then(|before| before.verified_at),
            drifted_since: same.and_then(|before| before.drifted_since),
        }
    }

    /// It was tried. Only a yes or a no says anything of the secret.
    #[must_use]
    pub fn tried(mut self, result: ProbeResult, now: Timestamp) -> Self {
        self.result = Some(result);
        match result {
            ProbeResult::Accepted => {
                self.verified_at = Some(now);
                self.drifted_since = None;
            }
            ProbeResult::Refused => self.drifted_since = self.drifted_since.or(Some(now)),
            ProbeResult::LockedOut | ProbeResult::Unreachable | ProbeResult::HostMismatch | ProbeResult::Unknown => {}
        }
        self
    }

    /// Since when the system refuses the present version.
    pub fn drifted(&self, current: Option<Version>) -> Option<Timestamp> {
        self.drifted_since.filter(|_| current == Some(self.version))
    }
}

/// Whether the secret is to be tried now. One that was refused is not tried again by itself: however long the system
/// counts, it counts one failure a version.
pub fn heartbeat_is_due(
    policy: &RotationPolicy,
    watch: Option<&Watch>,
    current: Version,
    lockout_threshold: Option<u32>,
    spread: u64,
    now: Timestamp,
) -> bool {
    let Some(every) = span(policy.heartbeat_hours, HOUR) else { return false };
    if lockout_threshold.is_some_and(|threshold| threshold < LOCKOUT_LEAST) {
        return false;
    }
    let Some(watch) = watch else { return true };
    let early = part(spread, every / SPREAD_PART);
    watch.drifted(Some(current)).is_none() && now >= later(watch.tried_at, every - early)
}

/// Whether drift is answered by another secret, where somebody else can set it.
pub fn reconciles(policy: &RotationPolicy) -> bool {
    policy.on_drift == Some(OnDrift::Reconcile)
}

/// So many units; 0 is never.
fn span(count: Option<u32>, unit: SignedDuration) -> Option<SignedDuration> {
    count.filter(|count| *count > 0).map(|count| unit * i32::try_from(count).unwrap_or(i32::MAX))
}

/// An account's own part of a span, in whole seconds.
fn part(spread: u64, of: SignedDuration) -> SignedDuration {
    let seconds = u64::try_from(of.as_secs()).unwrap_or(0).max(1);
    SignedDuration::from_secs(i64::try_from(spread % seconds).unwrap_or(0))
}

fn least(one: SignedDuration, other: SignedDuration) -> SignedDuration {
    if one < other { one } else { other }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
