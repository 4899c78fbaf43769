//! The exhaustive harness: a rotation on every kind of simulated system, with every outcome of every step and a crash
//! between every two durable steps, nested twice. Each reachable state is visited once, and the laws hold in all of them.
//!
//! The laws: some stored secret opens the account; the vault never spends more failed logins than the lockout leaves; a
//! policy that refuses is not asked for ever; who has settled has the right secret; and from every state, a system that
//! answers lets the rotation end.
//!
//! An engine can be given a [`Hole`]: one of the failures that were seen in the field. The harness must find each.

use std::collections::{BTreeSet, HashMap};

use claviger_api::wire::{CandidateState, ProbeResult};

use super::super::*;
use super::{TRAITS, start};

/// Of a crash, one while recovering from it, and one while recovering from that.
const CRASHES_MOST: u8 = 3;
/// A policy's refusals: one more than the engine may ask for without a pause.
const REFUSALS_MOST: u8 = 4;
/// What a system locks after; the vault may spend three of them.
const LOCKS_AFTER: u32 = 5;
const SPENT_MOST: u32 = 3;
/// For so long a lagging system shows logins the old secret: within what the vault knows of it.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// What a look at a part that lags takes.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

/// What the simulated system is like.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "every combination of these is a kind")]
pub struct Kind {
    /// Has a policy: refuses what it had before, and whatever else it does not like.
    pub history: bool,
    /// Looks at the beginning of a secret only: two in a row look the same to it.
    pub truncates: bool,
    /// Logins see a change late.
    pub lags: bool,
    /// Locks the account after five failed logins.
    pub locks: bool,
}

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16_u8).map(|bits| Self {
            history: bits & 1 != 0,
            truncates: bits & 2 != 0,
            lags: bits & 4 != 0,
            locks: bits & 8 != 0,
        })
    }

    fn traits(self) -> SystemTraits {
        SystemTraits { lockout_threshold: self.locks.then_some(LOCKS_AFTER), ..TRAITS }
    }

    /// Whether the system can tell two secrets apart.
    fn same(self, one: Version, other: Version) -> bool {
        if self.truncates { one.div_ceil(2) == other.div_ceil(2) } else { one == other }
    }
}

/// A failure seen in the field, as an engine would have it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hole {
    /// Reply lost: sends the same again, and throws it away when history refuses it.
    LostAck,
    /// Cancelling throws every candidate away.
    CancelErases,
    /// No connection counts as a wrong password.
    UnreachableIsWrong,
    /// What a policy refuses is tried again at once, for ever.
    EndlessRefusal,
    /// A replica that lags makes a good change look failed.
    VerifyLag,
    /// Failed logins are not counted.
    LockoutSpent,
    /// Failed logins are counted after they were tried: a crash forgets them.
    CountedAfter,
    /// The new secret is stored once the system has said yes.
    StoredAfter,
    /// A restart begins anew, with nothing in hand.
    RestartBeginsAnew,
    /// After a crash nobody goes on.
    FailoverStops,
    /// Once a candidate is verified, those that may still arrive are erased.
    LateWriterForgotten,
}

/// A broken law.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Broken {
    /// No stored secret opens the account.
    Lost,
    /// More failed logins than the lockout leaves.
    LockedOut,
    /// A policy was asked again and again without a pause.
    Pestered,
    /// It settled on a secret that does not open the account.
    Wrong,
    /// A system that answers does not let it end.
    Stuck,
}

/// The system's side.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct System {
    kind: Kind,
    /// What is set now.
    set: Version,
    /// What logins may still see, until when.
    before: Option<(Version, Timestamp)>,
    /// Everything that was ever set.
    had: Vec<Version>,
    /// Failed logins, and the last of them.
    failed: u32,
    failed_at: Timestamp,
    /// A change on its way, whose sender has given up on it.
    in_flight: Option<Version>,
    /// A change arrived after its sender had given it up.
    surprised: bool,
    /// Refusals by policy without a pause between them.
    refused_in_a_row: u32,
}

/// What tells two states apart. Times matter relative to each other, and every wait is jumped over.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    set: Version,
    before: Option<(Version, i64)>,
    had: Vec<Version>,
    failed: u32,
    forgotten: bool,
    in_flight: Option<Version>,
    surprised: bool,
    refused_in_a_row: u32,
    rotation: String,
    crashes: u8,
    faults: u8,
    refusals: u8,
}

#[derive(Clone)]
struct State {
    system: System,
    rotation: Rotation,
    secrets: SecretSet,
    now: Timestamp,
    crashes: u8,
    faults: u8,
    /// By policy.
    refusals: u8,
    /// The process is up and has the rotation in hand; a crash takes it away.
    stopped: bool,
    hole: Option<Hole>,
}

/// How many states there were, with at most so many faults: outcomes that a good system would not give, such as no answer
/// or a refusal without reason; or which laws are broken in some of them.
pub fn explore(kind: Kind, hole: Option<Hole>, faults: u8) -> Result<usize, BTreeSet<Broken>> {
    let mut known: HashMap<Place, usize> = HashMap::new();
    // For each state, where an answering system leads; `None` once it has ended.
    let mut honest: Vec<Option<Place>> = Vec::new();
    let mut open = vec![State::new(kind, hole)];
    let mut broken = BTreeSet::new();
    while let Some(state) = open.pop() {
        let place = state.place();
        if known.contains_key(&place) {
            continue;
        }
        if let Err(law) = state.check() {
            broken.insert(law);
            continue;
        }
        let next = state.successors();
        known.insert(place, honest.len());
        honest.push(if state.has_ended() { None } else { next.first().map(State::place) });
        open.extend(next.into_iter().filter(|next| next.is_within_bounds(faults)));
    }
    if broken.is_empty() && !every_path_ends(&known, &honest) {
        broken.insert(Broken::Stuck);
    }
    if broken.is_empty() { Ok(known.len()) } else { Err(broken) }
}

/// Whether every state's own path of good answers comes to an end.
fn every_path_ends(known: &HashMap<Place, usize>, honest: &[Option<Place>]) -> bool {
    let mut ends = vec![false; honest.len()];
    for from in 0..honest.len() {
        let (mut at, mut path) = (from, Vec::new());
        while !ends[at] {
            path.push(at);
            let Some(next) = &honest[at] else { break };
            at = known[next];
            if path.len() > honest.len() {
                return false;
            }
        }
        for passed in path {
            ends[passed] = true;
        }
    }
    true
}

impl State {
    fn new(kind: Kind, hole: Option<Hole>) -> Self {
        let run = start();
        let (set, now) = (run.opens, run.now);
        let system = System {
            kind,
            set,
            before: None,
            had: vec![set],
            failed: 0,
            failed_at: now,
            in_flight: None,
            surprised: false,
            refused_in_a_row: 0,
        };
        let (rotation, secrets) = (run.rotation, run.secrets);
        Self { system, rotation, secrets, now, crashes: 0, faults: 0, refusals: 0, stopped: false, hole }
    }

    fn place(&self) -> Place {
        let s = &self.system;
        let before = s.before.map(|(version, until)| (version, self.until(until)));
        let over = |since: Timestamp| later(since, TRAITS.lockout_window) <= self.now;
        let step = match &self.rotation.step {
            Step::Sending { candidate, lease_until } => format!("sending {candidate} {}", *lease_until > self.now),
            Step::Verifying { candidate, until } => format!("verifying {candidate} {}", self.until(*until)),
            Step::ProvingOld { old, grace_until, .. } => format!("proving {old} {}", *grace_until > self.now),
            Step::Done { .. } => String::from("done"),
            Step::Cancelled { .. } => String::from("cancelled"),
            other @ (Step::Preparing | Step::Ready { .. } | Step::Asking { .. } | Step::Recovering { .. }) => {
                format!("{other:?}")
            }
        };
        let waits = match self.rotation.next(self.now) {
            Action::Wait(until) => self.until(until),
            Action::Prepare
            | Action::Ask
            | Action::Remind
            | Action::Send { .. }
            | Action::Recover
            | Action::Probe { .. }
            | Action::Finished => 0,
        };
        let candidates: Vec<_> =
            self.secrets.candidates.iter().map(|c| (c.version, c.state, c.kept_until.is_some())).collect();
        let rotation = &self.rotation;
        let (budget, by) = (rotation.failed_logins.count_at(&self.system.kind.traits(), self.now), rotation.by);
        let (policy, stopped) = (rotation.policy_refusals.min(POLICY_REFUSALS_MOST), self.stopped);
        let old = rotation.old_still_accepted;
        Place {
            set: s.set,
            before,
            had: if s.kind.history { s.had.clone() } else { vec![] },
            failed: if s.kind.locks { s.failed } else { 0 },
            forgotten: s.failed > 0 && s.kind.locks && over(s.failed_at),
            in_flight: s.in_flight,
            surprised: s.surprised,
            refused_in_a_row: s.refused_in_a_row,
            rotation: format!(
                "{step} {by:?} {waits} {budget} {policy} {stopped} {old} {:?} {:?} {candidates:?}",
                self.secrets.current, self.secrets.previous
            ),
            crashes: self.crashes,
            faults: self.faults,
            refusals: self.refusals,
        }
    }

    /// Seconds from now.
    fn until(&self, then: Timestamp) -> i64 {
        then.duration_since(self.now).as_secs().max(0)
    }

    fn is_within_bounds(&self, faults: u8) -> bool {
        self.crashes <= CRASHES_MOST && self.faults <= faults && self.refusals <= REFUSALS_MOST
    }

    fn check(&self) -> Result<(), Broken> {
        let System { kind, set, failed, surprised, refused_in_a_row, .. } = self.system;
        if !self.secrets.versions().any(|version| kind.same(version, set)) {
            return Err(Broken::Lost);
        }
        if kind.locks && failed > SPENT_MOST {
            return Err(Broken::LockedOut);
        }
        if refused_in_a_row > POLICY_REFUSALS_MOST {
            return Err(Broken::Pestered);
        }
        let current_opens = self.secrets.current.is_some_and(|current| kind.same(current, set));
        if self.rotation.is_settled() && !surprised && self.system.in_flight.is_none() && !current_opens {
            return Err(Broken::Wrong);
        }
        Ok(())
    }

    /// Over; or all but over, on a system to which the old secret looks like the new one: that alarm stays.
    fn has_ended(&self) -> bool {
        self.rotation.is_over() || (self.rotation.is_settled() && self.rotation.old_still_accepted)
    }

    /// Everything that can happen next; the first is what a system that answers does.
    fn successors(&self) -> Vec<Self> {
        if self.stopped {
            return vec![self.clone()]; // nobody goes on: its path never ends
        }
        let mut next = match self.rotation.next(self.now) {
            // Of what people do by hand: by_hand.rs.
            Action::Finished | Action::Ask | Action::Remind => vec![],
            Action::Wait(until) => vec![self.waited(until)],
            Action::Prepare => vec![self.prepares()],
            Action::Recover => vec![self.recovers()],
            Action::Send { candidate, by } => self.sends(candidate, by),
            Action::Probe { version } => self.tries(version),
        };
        if let Some(late) = self.system.in_flight {
            let mut landed = self.clone();
            landed.system.in_flight = None;
            landed.system.surprised = true;
            landed.system.change(late, self.now);
            next.push(landed);
        }
        next.extend(self.cancelled());
        next
    }

    fn waited(&self, until: Timestamp) -> Self {
        let mut waited = Self { now: until, ..self.clone() };
        if waited.system.failed > 0 && later(waited.system.failed_at, TRAITS.lockout_window) <= until {
            waited.system.failed = 0;
        }
        if until.duration_since(self.now) >= WAIT_MOST {
            waited.system.refused_in_a_row = 0;
        }
        waited
    }

    /// Stores a step.
    fn store(&self, transition: Transition) -> Self {
        let Transition { rotation, secrets, .. } = transition;
        Self { rotation, secrets, ..self.clone() }
    }

    /// The process stops here, and another takes up what is stored.
    fn crashed(&self) -> Self {
        let mut after = Self { crashes: self.crashes + 1, ..self.clone() };
        match self.hole {
            Some(Hole::RestartBeginsAnew) => {
                after.rotation.step = Step::Preparing;
                after.rotation.not_before = None;
                after.secrets.candidates.clear();
            }
            Some(Hole::FailoverStops) => after.stopped = true,
            _ => {}
        }
        after
    }

    fn faulty(&self) -> Self {
        Self { faults: self.faults + 1, ..self.clone() }
    }

    fn prepares(&self) -> Self {
        self.store(self.rotation.clone().prepared(self.secrets.clone()).0)
    }

    fn recovers(&self) -> Self {
        self.store(self.rotation.clone().interrupted(self.secrets.clone()))
    }

    fn cancelled(&self) -> Option<Self> {
        if self.hole == Some(Hole::CancelErases) && !self.rotation.is_settled() {
            let mut cancelled = self.clone();
            cancelled.rotation.step = Step::Cancelled { at: self.now };
            cancelled.secrets.candidates.clear();
            return Some(cancelled);
        }
        self.rotation.clone().cancel(self.secrets.clone(), self.now).ok().map(|transition| self.store(transition))
    }

    fn sends(&self, candidate: Version, by: By) -> Vec<Self> {
        let traits = self.system.kind.traits();
        let mut told = self.store(self.rotation.clone().sending(self.secrets.clone(), &traits, self.now));
        if !matches!(told.rotation.step, Step::Sending { .. }) {
            return vec![told];
        }
        if self.hole == Some(Hole::StoredAfter) {
            told.secrets.candidates.retain(|c| c.version != candidate);
        }
        if by == By::Itself {
            let current = self.secrets.current;
            let opens = |seen: Version| current.is_some_and(|current| self.system.kind.same(current, seen));
            let (mut into, mut out) = (Vec::new(), Vec::new());
            for (seen, at) in self.system.seen(self.now) {
                let mut tried = Self { now: at, ..told.clone() };
                if opens(seen) {
                    into.push(tried);
                } else {
                    tried.system.fail(at);
                    out.push(tried.answered(Sent::NotSent(ProbeResult::Refused)));
                    out.push(tried.crashed());
                }
            }
            let Some(told) = into.into_iter().next() else { return out };
            return told.changes(candidate).into_iter().chain(out).chain([told.crashed()]).collect();
        }
        told.changes(candidate).into_iter().chain([told.crashed()]).collect()
    }

    /// Who sends is logged in: what can become of the change.
    fn changes(&self, candidate: Version) -> Vec<Self> {
        let mut refused = Self { refusals: self.refusals + 1, ..self.clone() };
        refused.system.refused_in_a_row += 1;
        let refused_by_policy = refused.answered(Sent::Refused { by_policy: true });
        let lost = Self { system: System { in_flight: Some(candidate), ..self.system.clone() }, ..self.faulty() };
        let mut all = Vec::new();
        if self.system.kind.history && self.system.had.contains(&candidate) {
            all.push(refused_by_policy);
        } else {
            let mut applied = self.clone();
            applied.system.change(candidate, self.now);
            all.extend([applied.answered(Sent::Applied), applied.faulty().answered(Sent::Unknown), applied.crashed()]);
            all.extend(self.system.kind.history.then_some(refused_by_policy));
        }
        all.extend([
            self.faulty().answered(Sent::Refused { by_policy: false }),
            self.faulty().answered(Sent::NotSent(ProbeResult::Unreachable)),
            self.faulty().answered(Sent::Unknown),
            lost.answered(Sent::Unknown),
            lost.crashed(),
        ]);
        all
    }

    /// Stores what came of a send.
    fn answered(&self, sent: Sent) -> Self {
        let Step::Sending { candidate, .. } = self.rotation.step else { return self.clone() };
        let traits = self.system.kind.traits();
        let mut after = self.store(self.rotation.clone().sent(self.secrets.clone(), sent, "said", &traits, self.now));
        match (self.hole, sent) {
            (Some(Hole::LostAck), Sent::Unknown) => {
                after.rotation.step = Step::Ready { candidate };
            }
            (Some(Hole::LostAck), Sent::Refused { .. }) => after.secrets.candidates.retain(|c| c.version != candidate),
            (Some(Hole::EndlessRefusal), Sent::Refused { by_policy: true }) => {
                after.rotation.policy_refusals = 0;
                after.rotation.not_before = None;
            }
            (Some(Hole::StoredAfter), Sent::Applied) => {
                let (state, epoch) = (CandidateState::Acknowledged, after.rotation.epoch);
                let stored = crate::secrets::Candidate { version: candidate, state, epoch, kept_until: None };
                after.secrets.candidates.push(stored);
            }
            _ => {}
        }
        after
    }

    fn tries(&self, version: Version) -> Vec<Self> {
        let traits = self.system.kind.traits();
        let counted = match self.rotation.clone().trying(self.secrets.clone(), version, &traits, self.now) {
            Some(_) if matches!(self.hole, Some(Hole::LockoutSpent | Hole::CountedAfter)) => self.clone(),
            Some(counted) => self.store(counted),
            None => self.clone(),
        };
        if counted.rotation.next(self.now) != (Action::Probe { version }) {
            return vec![counted];
        }
        let mut all = Vec::new();
        for (seen, at) in self.system.seen(self.now) {
            let mut tried = Self { now: at, ..counted.clone() };
            let result = if self.system.kind.same(version, seen) {
                ProbeResult::Accepted
            } else {
                tried.system.fail(at);
                ProbeResult::Refused
            };
            all.push(tried.told(version, result));
            all.push(tried.crashed());
        }
        all.push(counted.faulty().told(version, ProbeResult::Unreachable));
        all.push(counted.faulty().told(version, ProbeResult::Unknown));
        all
    }

    /// Stores what a login told.
    fn told(&self, version: Version, result: ProbeResult) -> Self {
        let traits = self.system.kind.traits();
        let thrown_away = matches!(self.rotation.step, Step::Verifying { .. })
            && match self.hole {
                Some(Hole::UnreachableIsWrong) => result == ProbeResult::Unreachable,
                Some(Hole::VerifyLag) => result == ProbeResult::Refused,
                _ => false,
            };
        if thrown_away {
            let mut failed = self.clone();
            failed.secrets.candidates.retain(|c| c.version != version);
            failed.rotation.step = Step::Done { at: self.now };
            return failed;
        }
        let counts = self.hole == Some(Hole::CountedAfter) && result == ProbeResult::Refused;
        let mut rotation = self.rotation.clone();
        if counts && let Some(counted) = rotation.clone().trying(self.secrets.clone(), version, &traits, self.now) {
            rotation = counted.rotation;
        }
        let until = rotation.not_before;
        let mut after = self.store(rotation.probed(self.secrets.clone(), result, &traits, self.now));
        if counts {
            after.rotation.not_before = after.rotation.not_before.max(until);
        }
        if self.hole == Some(Hole::LateWriterForgotten) && after.secrets.current == Some(version) {
            after.secrets.candidates.clear();
        }
        after
    }
}

impl System {
    /// Sets it.
    fn change(&mut self, version: Version, now: Timestamp) {
        let until = later(now, LAG);
        self.before = (self.kind.lags && self.set != version).then_some((self.set, until));
        self.set = version;
        self.refused_in_a_row = 0;
        if !self.had.contains(&version) {
            self.had.push(version);
            self.had.sort_unstable();
        }
    }

    /// What a login may be compared with, and when: what is set, and while it lags also what was set before. To see that
    /// takes time, so that nobody sees it for ever.
    fn seen(&self, now: Timestamp) -> Vec<(Version, Timestamp)> {
        let before = self.before.filter(|(_, until)| *until > now).map(|(version, _)| (version, later(now, LOOK)));
        [(self.set, now)].into_iter().chain(before).collect()
    }

    fn fail(&mut self, now: Timestamp) {
        self.failed = if later(self.failed_at, TRAITS.lockout_window) <= now { 1 } else { self.failed + 1 };
        self.failed_at = now;
    }
}
