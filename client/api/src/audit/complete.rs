//! Completeness: what a log says of its own checkouts and rotations accounts for all of them.
//!
//! A file that [`verify`](super::verify) passes is what was logged. Whether everything was logged is another question, and
//! the log answers it by counting: each reveal has its number within its checkout, each checkout one end, which says how
//! many reveals there were and what is owed, each rotation one end. A server that let a secret out without an event, or
//! left one out, would have to leave a gap in a count or an end without its beginning. What is still under way at the end
//! of the log is listed as such: it is no fault.
//!
//! Ends that were logged before they said their counts are taken as they are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kind::EventKind;
use super::record::{Entry, FieldName};

/// The most faults that are told.
const FAULTS_MAX: usize = 1000;

/// What does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The entry at which it shows.
    pub index: u64,
    /// What it is about: a checkout's or a rotation's id.
    pub about: String,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The first that is said of it is not its beginning.
    #[error("it has no beginning")]
    NoBeginning,
    /// Reveals are missing.
    #[error("the next reveal would be number {expected}, and it is number {found}")]
    Reveal {
        /// The number that comes next.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// The end counts another number of reveals.
    #[error("{told} reveals are in the log, and its end counts {counted}")]
    Count {
        /// By the end.
        counted: u64,
        /// In the log.
        told: u64,
    },
    /// It goes on after its end.
    #[error("it goes on after its end at entry {0}")]
    AfterEnd(u64),
    /// A number cannot be read.
    #[error("it has no number")]
    NoNumber,
}

/// What is not over at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Open {
    /// A checkout's or a rotation's id.
    pub about: String,
    /// The entry with which it began, or since which it owes something.
    pub since: u64,
    /// What is to come.
    pub awaits: Awaits,
}

/// What is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaits {
    /// A checkout's end.
    End,
    /// The proof that what an ended checkout has seen is refused.
    Revocation,
    /// A rotation's end.
    Settlement,
}

/// Whether everything is accounted for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// Checkouts that the log tells of.
    pub checkouts: u64,
    /// Reveals, and certificates signed.
    pub reveals: u64,
    /// Rotations.
    pub rotations: u64,
    /// What does not add up, in the order in which it shows; at most 1000.
    pub faults: Vec<Fault>,
    /// What is under way.
    pub open: Vec<Open>,
}

/// Adds up entries as they come, from the first of a log.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    checkouts: BTreeMap<String, CheckoutLine>,
    rotations: BTreeMap<String, RotationLine>,
    sum: Completeness,
}

#[derive(Debug, Clone)]
struct CheckoutLine {
    since: u64,
    reveals: u64,
    ended: Option<u64>,
    /// The proof that its end promised has still to come.
    owes: bool,
}

#[derive(Debug, Clone)]
struct RotationLine {
    since: u64,
    ended: Option<u64>,
}

impl Ledger {
    /// Adds an entry.
    pub fn add(&mut self, index: u64, entry: &Entry) {
        let Some(kind) = entry.value(FieldName::Kind).and_then(|kind| kind.parse::<EventKind>().ok()) else { return };
        if let Some(rotation) = entry.value(FieldName::Rotation) {
            self.add_rotation(index, kind, rotation, entry);
        }
        if let Some(checkout) = entry.value(FieldName::Checkout) {
            self.add_checkout(index, kind, checkout, entry);
        }
    }

    /// What it adds up to.
    pub fn close(mut self) -> Completeness {
        for (about, line) in self.checkouts {
            let awaits = if line.ended.is_none() { Some(Awaits::End) } else { line.owes.then_some(Awaits::Revocation) };
            if let Some(awaits) = awaits {
                self.sum.open.push(Open { about, since: line.ended.unwrap_or(line.since), awaits });
            }
        }
        for (about, line) in self.rotations {
            if line.ended.is_none() {
                self.sum.open.push(Open { about, since: line.since, awaits: Awaits::Settlement });
            }
        }
        self.sum.open.sort_by_key(|open| open.since);
        self.sum
    }

    fn fault(&mut self, index: u64, about: &str, what: Wrong) {
        if self.sum.faults.len() < FAULTS_MAX {
            self.sum.faults.push(Fault { index, about: about.to_owned(), what });
        }
    }

    fn add_checkout(&mut self, index: u64, kind: EventKind, checkout: &str, entry: &Entry) {
        if !self.checkouts.contains_key(checkout) {
            if !begins_checkout(kind) {
                self.fault(index, checkout, Wrong::NoBeginning);
            }
            self.sum.checkouts += 1;
            let line = CheckoutLine { since: index, reveals: 0, ended: None, owes: false };
            self.checkouts.insert(checkout.to_owned(), line);
        }
        let Some(line) = self.checkouts.get_mut(checkout) else { return };
        if let Some(end) = line.ended.filter(|_| uses_checkout(kind)) {
            return self.fault(index, checkout, Wrong::AfterEnd(end));
        }
        let number = |name| entry.value(name).and_then(|text| text.parse::<u64>().ok());
        let mut wrong = None;
        if reveals(kind) {
            self.sum.reveals += 1;
            let expected = line.reveals + 1;
            line.reveals = number(FieldName::RevealNumber).unwrap_or(expected);
            wrong = match number(FieldName::RevealNumber) {
                Some(found) => (found != expected).then_some(Wrong::Reveal { expected, found }),
                None => Some(Wrong::NoNumber),
            };
        } else if kind == EventKind::CheckoutEnded {
            line.ended = Some(index);
            line.owes = entry.value(FieldName::Outcome) == Some("pending");
            let (told, counted) = (line.reveals, number(FieldName::Reveals));
            wrong = counted.filter(|counted| *counted != told).map(|counted| Wrong::Count { counted, told });
        } else if matches!(kind, EventKind::CheckoutRevocationProven | EventKind::CheckoutRevocationTold) {
            line.owes = false;
        }
        if let Some(wrong) = wrong {
            self.fault(index, checkout, wrong);
        }
    }

    fn add_rotation(&mut self, index: u64, kind: EventKind, rotation: &str, entry: &Entry) {
        if !self.rotations.contains_key(rotation) {
            // One that is put off at once says so before whoever asked for it does.
            if !matches!(kind, EventKind::RotationStarted | EventKind::RotationUnresolved) {
                self.fault(index, rotation, Wrong::NoBeginning);
            }
            self.sum.rotations += 1;
            self.rotations.insert(rotation.to_owned(), RotationLine { since: index, ended: None });
        }
        let Some(line) = self.rotations.get_mut(rotation) else { return };
        if let Some(end) = line.ended.filter(|_| moves_rotation(kind)) {
            return self.fault(index, rotation, Wrong::AfterEnd(end));
        }
        let promoted_and_done = kind == EventKind::RotationPromoted && entry.value(FieldName::Outcome) == Some("done");
        let ends =
            matches!(kind, EventKind::RotationOldRefused | EventKind::RotationConfirmed | EventKind::RotationCancelled);
        if promoted_and_done || ends {
            line.ended = Some(index);
        }
    }
}

/// Whether this can be the first that is said of a checkout.
fn begins_checkout(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::CheckoutRequested
            | EventKind::CheckoutScheduled
            | EventKind::CheckoutApproved
            | EventKind::CheckoutActivated
            | EventKind::BreakGlassUnresolvedRevealed
    )
}

/// Whether something leaves the vault by it.
fn reveals(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::CheckoutRevealed | EventKind::CheckoutCertificateSigned | EventKind::BreakGlassUnresolvedRevealed
    )
}

/// Whether this can only be of a checkout that has not ended.
fn uses_checkout(kind: EventKind) -> bool {
    begins_checkout(kind)
        || reveals(kind)
        || matches!(kind, EventKind::CheckoutExtended | EventKind::CheckoutEnded | EventKind::CheckoutQueued)
}

/// Whether this can only be of a rotation that is not over.
fn moves_rotation(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::RotationCandidateStored
            | EventKind::RotationSent
            | EventKind::RotationOutcome
            | EventKind::RotationPromoted
            | EventKind::RotationOldRefused
            | EventKind::RotationConfirmed
            | EventKind::RotationCancelled
    )
}

#[cfg(test)]
mod tests;
