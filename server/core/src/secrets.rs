//! What is known of one standing account's secrets, without the secrets: which version opens it, which may, which did.

use claviger_api::Timestamp;
use claviger_api::wire::CandidateState;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// The number of a secret of one account, from 1.
pub type Version = u64;

/// How long a candidate of an unfinished epoch is kept after a later one was verified: a paused writer may still wake
/// up and set it.
pub const CANDIDATE_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How many replaced versions are kept.
pub const PREVIOUS_KEPT: usize = 5;

/// A secret that was made to replace the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its version.
    pub version: Version,
    /// What is known of it.
    pub state: CandidateState,
    /// The rotation lease under which it was sent, or made.
    pub epoch: u64,
    /// Set once a later candidate was verified: not erased before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<Timestamp>,
}

/// The versions of one account. Empty until a secret is imported or set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSet {
    /// The version last given; the next is one more.
    pub last_version: Version,
    /// The version that opens the account, as far as the vault knows.
    pub current: Option<Version>,
    /// What was current before, newest first.
    pub previous: Vec<Version>,
    /// Made to replace it, oldest first.
    pub candidates: Vec<Candidate>,
}

impl SecretSet {
    /// Takes a secret over that was set elsewhere: it becomes current, and the one before is kept.
    pub fn adopt(&mut self) -> Version {
        self.last_version += 1;
        self.previous.splice(0..0, self.current.replace(self.last_version));
        self.last_version
    }

    /// Appends a candidate that no system was told of.
    pub fn append(&mut self, epoch: u64) -> Version {
        self.last_version += 1;
        self.candidates.push(Candidate {
            version: self.last_version,
            state: CandidateState::NeverSent,
            epoch,
            kept_until: None,
        });
        self.last_version
    }

    /// Records what is known of a candidate; of any other version there is nothing to record.
    pub fn mark(&mut self, version: Version, state: CandidateState) {
        if let Some(candidate) = self.candidates.iter_mut().find(|c| c.version == version) {
            candidate.state = state;
        }
    }

    /// The version was seen to open the account: it is current now, and what was current becomes previous.
    pub fn promote(&mut self, version: Version, now: Timestamp) {
        self.candidates.retain(|c| c.version != version);
        self.previous.retain(|v| *v != version);
        let replaced = self.current.replace(version).filter(|old| *old != version);
        self.previous.splice(0..0, replaced);
        for candidate in &mut self.candidates {
            candidate.kept_until.get_or_insert(now.saturating_add(CANDIDATE_KEPT).unwrap_or(Timestamp::MAX));
        }
    }

    /// Drops what no longer can open the account and returns those versions, for their secrets to be erased.
    ///
    /// Nothing that was ever sent goes before a later version was verified and [`CANDIDATE_KEPT`] has passed.
    pub fn tidy(&mut self, now: Timestamp) -> Vec<Version> {
        let mut erased = Vec::new();
        self.candidates.retain(|c| {
            let over = c.kept_until.is_some_and(|until| until <= now);
            if over {
                erased.push(c.version);
            }
            !over
        });
        erased.extend(self.previous.drain(PREVIOUS_KEPT.min(self.previous.len())..));
        erased
    }

    /// The order in which to find out what is true: sent candidates newest first, refused ones included, then current,
    /// then previous.
    pub fn probe_order(&self) -> Vec<Version> {
        let sent = self.candidates.iter().rev().filter(|c| match c.state {
            CandidateState::SentUnknown | CandidateState::Acknowledged | CandidateState::Refused => true,
            CandidateState::NeverSent => false,
        });
        sent.map(|c| c.version).chain(self.current).chain(self.previous.iter().copied()).collect()
    }

    /// Whether a system may have taken a candidate, now or later, and no later one was verified since.
    pub fn may_be_elsewhere(&self) -> bool {
        self.candidates.iter().any(|c| match c.state {
            CandidateState::SentUnknown | CandidateState::Acknowledged => c.kept_until.is_none(),
            CandidateState::NeverSent | CandidateState::Refused => false,
        })
    }

    /// Every version that may open the account now or soon: what is current, and the candidates.
    pub fn in_use(&self) -> impl Iterator<Item = Version> + '_ {
        self.candidates.iter().map(|c| c.version).chain(self.current)
    }

    /// Every version whose secret is kept.
    pub fn versions(&self) -> impl Iterator<Item = Version> + '_ {
        self.candidates.iter().map(|c| c.version).chain(self.current).chain(self.previous.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: &mut SecretSet, state: CandidateState) -> Version {
        let version = set.append(1);
        set.mark(version, state);
        version
    }

    #[test]
    fn the_probe_order_is_newest_sent_first_then_current_then_previous() {
        let mut set = SecretSet::default();
        set.adopt();
        set.adopt();
        let refused = sent(&mut set, CandidateState::Refused);
        let unknown = sent(&mut set, CandidateState::SentUnknown);
        let never = set.append(1);
        assert_eq!(set.probe_order(), [unknown, refused, 2, 1]);
        assert!(!set.probe_order().contains(&never));
    }

    #[test]
    fn what_was_sent_is_kept_for_a_day_after_a_later_one_was_verified() {
        let mut set = SecretSet::default();
        set.adopt();
        let paused = sent(&mut set, CandidateState::SentUnknown);
        let good = sent(&mut set, CandidateState::Acknowledged);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            set.tidy(now + SignedDuration::from_hours(1000)),
            [] as [Version; 0],
            "not while nothing is verified"
        );
        set.promote(good, now);
        assert_eq!(set.tidy(now + SignedDuration::from_hours(23)), [] as [Version; 0]);
        assert_eq!(set.tidy(now + SignedDuration::from_hours(24)), [paused]);
        assert_eq!((set.current, set.previous.as_slice()), (Some(good), [1].as_slice()));
    }

    #[test]
    fn a_previous_version_that_opens_the_account_becomes_current_again() {
        let mut set = SecretSet::default();
        set.adopt();
        set.adopt();
        set.promote(1, Timestamp::UNIX_EPOCH);
        assert_eq!((set.current, set.previous.as_slice()), (Some(1), [2].as_slice()));
    }
}
