//! One step of a rotation as one commit: the rotation, the account's versions, the timer, what it settles for others,
//! and the event.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{MeasuredGrace, RevocationState, RotationCause};
use claviger_api::{CheckoutId, Scope, Secret, Timestamp};
use claviger_core::account::{AccountState, Brought, Proving, Running};
use claviger_core::checkout::State;
use claviger_core::rotation::{Action, By, Happened, Rotation, Step, Transition};
use claviger_core::secrets::Version;
use claviger_store::RowId;

use super::by_hand::note_shown;
use super::drive::Turn;
use crate::checkout::move_timer;
use crate::error::Result;
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::journal::{Change, Committed};
use crate::open::{Caller, Open};
use crate::records::{CheckoutRecord, RotationRecord, StateRecord, SystemRecord};
use crate::workers::TimerKind;

/// Who rotates.
const ACTOR: &str = "system/rotation";

/// What comes with a step.
#[derive(Default)]
pub(super) struct Beside<'a> {
    /// The candidate whose secret it brings.
    pub made: Option<(Version, &'a Secret)>,
    /// The event of a person's act, in place of the vault's own.
    pub by_hand: Option<Event>,
    /// What the system said.
    pub said: &'a str,
    /// The sessions that were opened with the old secret have been ended.
    pub sessions_ended: bool,
    /// Who is shown the candidate.
    pub shown: Option<Brought>,
    /// Who tells a secret of their own.
    pub brought: Option<Brought>,
    /// The request that may come again.
    pub once: Option<(&'a Once, &'a Caller)>,
}

impl Open {
    /// Stores a step. Gives the index of its event in the customer's log.
    pub(super) async fn store_transition(
        &self,
        turn: &Turn,
        transition: Transition,
        beside: Beside<'_>,
    ) -> Result<Committed> {
        let Beside { made, by_hand, said, sessions_ended, shown, brought, once } = beside;
        let Transition { rotation, secrets, happened, erase } = transition;
        let (customer, id) = (turn.customer, rotation.id);
        let now = self.now();
        let event = match by_hand {
            Some(event) => event,
            None => self.happened(turn, &rotation, &happened),
        };
        let event = self.of_rotation(event.with(FieldName::Detail, said), customer, &turn.account, id);
        let mut change = self.change(event.await?);
        if let Some((version, secret)) = made {
            change = self.with_secret(change, customer, (&turn.account, &turn.account.login), version, secret)?;
        }
        let mut state = turn.state.value.0.clone();
        let at = (customer, turn.account.id);
        change = self.with_fingerprints(change, at, &state.secrets, &secrets, made).await?;
        state.secrets = secrets;
        if let Happened::Promoted(version) | Happened::Confirmed(version) = happened {
            state.rotated_at = Some(now);
            change = change.copied(self.copied(customer, &turn.account, &turn.account.login, version, None));
            change = self.with_news(change, customer, turn.account.id, version, Some(id)).await?;
        }
        state.brought = brought.or(state.brought);
        note_shown(&mut state, shown);
        for version in note_progress(&mut state, &rotation, erase) {
            change = change.erase(RowId::secret(customer, turn.account.id, version));
        }
        change = self.tell_checkouts(change, turn, &rotation, &happened, sessions_ended).await?;
        change = self.with_measured_grace(change, turn, &happened).await?;
        let asks_again = self.ends_its_grace(turn, &rotation, &state, &happened);
        let timer = due(&rotation, now);
        let row = |due| TimerKind::RotationDue.row(due, customer, id.uuid());
        change = move_timer(change, turn.row.value.timer.map(row), timer.map(row))?;
        change = change.update(&turn.row, &RotationRecord { rotation, timer })?;
        if asks_again {
            let cause = RotationCause::CheckoutEnded;
            let again;
            (change, again) = self.start_rotation(change, customer, &turn.account, &mut state, cause, None).await?;
            let event = self.automatic(Scope::Customer(customer), EventKind::RotationStarted, ACTOR);
            let event = self.of_rotation(event, customer, &turn.account, again).await?;
            change = change.and(event.with(FieldName::Detail, "a second change, which ends the first one's grace"));
        }
        if !state.to_revoke.is_empty() && state.rotation.is_none_or(|running| running.settled) {
            let cause = RotationCause::CheckoutEnded;
            (change, _) = self.start_rotation(change, customer, &turn.account, &mut state, cause, None).await?;
        }
        change = self.hand_on(change, customer, &turn.account, &mut state, None).await?;
        if let Some((once, caller)) = once {
            change = self.remember(change, Scope::Customer(customer), once, caller, turn.account.id.uuid())?;
        }
        self.commit(change.update(&turn.state, &StateRecord(state))?).await
    }

    /// Keeps at the system for how long it honoured the old secret, where that is known now and was not.
    async fn with_measured_grace<'a>(
        &'a self,
        change: Change<'a>,
        turn: &Turn,
        happened: &Happened,
    ) -> Result<Change<'a>> {
        let now = self.now();
        let (before, secrets) = (&turn.row.value.rotation, &turn.state.value.0.secrets);
        let refused = matches!(happened, Happened::OldRefused(_));
        let Some(measured) = before.measured_grace(secrets, now).filter(|_| refused) else { return Ok(change) };
        let seconds = u64::try_from(measured.as_secs()).unwrap_or_default();
        let row = self.load::<SystemRecord>(&RowId::system(turn.customer, turn.account.system)).await?;
        let known = row.value.measured_grace.map(|known| known.seconds);
        // Most systems refuse at once, and nobody asked.
        let expected = known.unwrap_or_default() == 0 && self.traits(turn).grace.is_zero() && seconds == 0;
        if expected || known == Some(seconds) {
            return Ok(change);
        }
        let mut system = row.value.clone();
        system.measured_grace = Some(MeasuredGrace { seconds, measured_at: now });
        change.update(&row, &system)
    }

    /// Whether the account is changed once more, so that what an ended checkout has seen is refused at once: where the
    /// system is told to, and nobody has begun to use what is current. It is done once, and only by the management account:
    /// a policy may keep an account from changing itself again so soon.
    fn ends_its_grace(&self, turn: &Turn, rotation: &Rotation, state: &AccountState, happened: &Happened) -> bool {
        let spec = &turn.system.spec;
        let first_look = matches!(turn.row.value.rotation.step, Step::ProvingOld { accepted_at: None, .. });
        matches!(happened, Happened::OldStillAccepted(_))
            && first_look
            && !rotation.checkouts.is_empty()
            && rotation.by == By::Management
            && state.seats.is_empty()
            && state.rotation.is_none_or(|running| running.id == rotation.id || running.settled)
            && self.ground().connectors.connector(spec).traits(spec).changes_twice
    }

    /// The event of a step.
    fn happened(&self, turn: &Turn, rotation: &Rotation, happened: &Happened) -> Event {
        let event = |kind| self.automatic(Scope::Customer(turn.customer), kind, ACTOR);
        let of = |kind, version: &Version| event(kind).with(FieldName::Version, version);
        match happened {
            Happened::CandidateStored(version) => of(EventKind::RotationCandidateStored, version),
            Happened::Asked(version) => of(EventKind::RotationAsked, version),
            Happened::Reminded => event(EventKind::RotationReminded),
            // A person's own act, in the caller's name.
            Happened::Shown(version) => of(EventKind::RotationShown, version),
            Happened::Confirmed(version) => of(EventKind::RotationConfirmed, version),
            Happened::Sending(version) => of(EventKind::RotationSent, version),
            Happened::Outcome(version, state) => {
                of(EventKind::RotationOutcome, version).with(FieldName::Outcome, snake_case(state))
            }
            Happened::TakenUp => event(EventKind::RotationUnresolved).with(FieldName::Outcome, "recovering"),
            Happened::Trying(version) => of(EventKind::RotationTrying, version),
            Happened::Waiting => event(EventKind::RotationUnresolved).with(FieldName::Outcome, "waiting"),
            Happened::Probed(version, result) if rotation.unresolved => {
                of(EventKind::RotationUnresolved, version).with(FieldName::Outcome, snake_case(result))
            }
            Happened::Probed(version, result) => {
                of(EventKind::RotationVerified, version).with(FieldName::Outcome, snake_case(result))
            }
            Happened::Promoted(version) => {
                let proves = if rotation.is_over() { "done" } else { "proving_old" };
                of(EventKind::RotationPromoted, version).with(FieldName::Outcome, proves)
            }
            Happened::OldRefused(version) => of(EventKind::RotationOldRefused, version),
            Happened::OldStillAccepted(version) => of(EventKind::RotationOldStillAccepted, version),
            Happened::Cancelled => event(EventKind::RotationCancelled),
        }
    }

    /// Tells the ended checkouts what became of the credential that they have seen.
    async fn tell_checkouts<'a>(
        &'a self,
        mut change: Change<'a>,
        turn: &Turn,
        rotation: &Rotation,
        happened: &Happened,
        sessions_ended: bool,
    ) -> Result<Change<'a>> {
        if sessions_ended {
            for id in &rotation.checkouts {
                let row = self.load::<CheckoutRecord>(&RowId::checkout(turn.customer, *id)).await?;
                let mut checkout = row.value.0.clone();
                if let State::Ended { revocation, .. } = &mut checkout.state {
                    revocation.sessions_may_remain = false;
                }
                change = change.update(&row, &CheckoutRecord(checkout))?;
            }
            return Ok(change);
        }
        let (state, kind) = match happened {
            Happened::OldRefused(_) => (RevocationState::Proven, EventKind::CheckoutRevocationProven),
            Happened::OldStillAccepted(_) => (RevocationState::StillAccepted, EventKind::CheckoutOldStillAccepted),
            Happened::Confirmed(_) => (RevocationState::Told, EventKind::CheckoutRevocationTold),
            Happened::CandidateStored(_)
            | Happened::Asked(_)
            | Happened::Reminded
            | Happened::Shown(_)
            | Happened::Sending(_)
            | Happened::Outcome(..)
            | Happened::TakenUp
            | Happened::Trying(_)
            | Happened::Waiting
            | Happened::Probed(..)
            | Happened::Promoted(_)
            | Happened::Cancelled => return Ok(change),
        };
        for id in &rotation.checkouts {
            change = self.tell_checkout(change, turn, *id, state, kind).await?;
        }
        Ok(change)
    }

    async fn tell_checkout<'a>(
        &'a self,
        change: Change<'a>,
        turn: &Turn,
        id: CheckoutId,
        state: RevocationState,
        kind: EventKind,
    ) -> Result<Change<'a>> {
        let now = self.now();
        let row = self.load::<CheckoutRecord>(&RowId::checkout(turn.customer, id)).await?;
        let mut checkout = row.value.0.clone();
        let State::Ended { at, revocation, .. } = &mut checkout.state else { return Ok(change) };
        revocation.state = state;
        revocation.refused_at = (state == RevocationState::Proven).then_some(now);
        let lag = now.duration_since(*at).as_millis();
        let event = self
            .automatic(Scope::Customer(turn.customer), kind, ACTOR)
            .with(FieldName::Checkout, id)
            .with(FieldName::LagMilliseconds, lag);
        let event = self.of_rotation(event, turn.customer, &turn.account, turn.row.value.rotation.id).await?;
        change.and(event).update(&row, &CheckoutRecord(checkout))
    }
}

/// What the account shows of its rotation, and which secrets nobody needs any more. A newer rotation is not overwritten
/// by one that only proves its old secret; and what one has still to try on the system is kept until it has.
fn note_progress(state: &mut AccountState, rotation: &Rotation, mut erase: Vec<Version>) -> Vec<Version> {
    let (over, others) = state.proving.iter().partition::<Vec<_>, _>(|proof| proof.rotation == rotation.id);
    state.proving = others;
    match &rotation.step {
        Step::ProvingOld { old, .. } => state.proving.push(Proving { rotation: rotation.id, old: *old }),
        Step::Preparing
        | Step::Ready { .. }
        | Step::Asking { .. }
        | Step::Sending { .. }
        | Step::Verifying { .. }
        | Step::Recovering { .. }
        | Step::Done { .. }
        | Step::Cancelled { .. } => erase.extend(over.iter().map(|proof| proof.old)),
    }
    erase.retain(|version| {
        state.proving.iter().all(|proof| proof.old != *version) && state.secrets.versions().all(|kept| kept != *version)
    });
    if state.rotation.is_some_and(|running| running.id == rotation.id) {
        let running = Running { id: rotation.id, settled: rotation.is_settled(), unresolved: rotation.unresolved };
        state.rotation = (!rotation.is_over()).then_some(running);
    }
    erase
}

/// When the rotation must be carried on, if nobody does before.
fn due(rotation: &Rotation, now: Timestamp) -> Option<Timestamp> {
    match rotation.next(now) {
        Action::Finished => None,
        Action::Wait(until) => Some(until),
        Action::Prepare
        | Action::Ask
        | Action::Remind
        | Action::Send { .. }
        | Action::Recover
        | Action::Probe { .. } => Some(now),
    }
}
