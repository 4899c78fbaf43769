//! What a person is asked to do on a system that no program reaches: to see the candidate, set it there, and say what came
//! of it. A task is no row of its own: it is the rotation that waits for a person.
//!
//! Nothing here is proven: no login can be tried there. What the record says is what a person said.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, CandidateState, ShownTask, SystemSpec, Task};
use claviger_api::{CustomerId, Scope, Secret};
use claviger_core::account::{AccountState, Brought};
use claviger_core::policy::{Permit, Resource, RotationPerform};
use claviger_core::rotation::{NotAsked, Step};
use claviger_store::{Range, Table};
use jiff::SignedDuration;

use super::drive::Turn;
use super::store::Beside;
use super::{FoundRotation, resource};
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, RotationRecord};

/// How long a person has where the system does not say.
const DUE_DAYS: u32 = 7;

impl Open {
    /// What people are asked to do at a customer, the newest first.
    pub async fn tasks(
        &self,
        customer: CustomerId,
        overdue: bool,
        paging: &Paging,
        visible: impl Fn(&Resource) -> bool,
    ) -> Result<Page<Task>> {
        let now = self.now();
        let range = Range::scope(Table::Rotations, Scope::Customer(customer)).reversed();
        let wanted = |row: &RotationRecord| match row.rotation.step {
            Step::Asking { due_at, .. } => (!overdue || due_at <= now) && visible(&resource(customer, &row.rotation)),
            Step::Preparing
            | Step::Ready { .. }
            | Step::Sending { .. }
            | Step::Verifying { .. }
            | Step::Recovering { .. }
            | Step::ProvingOld { .. }
            | Step::Done { .. }
            | Step::Cancelled { .. } => false,
        };
        let rows = self.page::<RotationRecord>(range, paging, wanted).await?;
        rows.try_map(async |row| self.task_of(&self.turn(customer, row.value.rotation.id).await?).await).await
    }

    /// Shows the candidate to whoever sets it. From then on the system may have it, and they are known to have seen it.
    pub async fn show_task(
        &self,
        found: &FoundRotation,
        caller: &Caller,
        permit: Permit<RotationPerform>,
    ) -> Result<ShownTask> {
        if permit.approvals().is_some() || permit.conditions().reveals_per_hour.is_some() {
            return Err(Error::new(ProblemType::Forbidden, BOUND));
        }
        deciding(|| async {
            let turn = self.turn(found.customer, found.id).await?;
            let (transition, version) =
                turn.row.value.rotation.clone().shown(turn.state.value.0.secrets.clone()).map_err(not_asked)?;
            let secret = self.secret(turn.customer, turn.account.id, version).await?;
            let event = self.event(Scope::Customer(turn.customer), EventKind::RotationShown, caller);
            let event = event.with(FieldName::Version, version);
            let shown = Some(Brought { version, by: caller.id, at: self.now() });
            let beside = Beside { by_hand: Some(event), shown, ..Beside::default() };
            let committed = self.store_transition(&turn, transition, beside).await?;
            let task = self.task_of(&self.turn(found.customer, found.id).await?).await?;
            let (event_index, receipt) = (committed.index(), Some(self.receipt(&committed)?));
            Ok(ShownTask { task, secret: secret.disclose(), event_index, receipt })
        })
        .await
    }

    /// Somebody says that the candidate is set. Twice is once.
    pub async fn confirm_task(
        &self,
        found: &FoundRotation,
        caller: &Caller,
        _permit: Permit<RotationPerform>,
    ) -> Result<wire::Rotation> {
        deciding(|| async {
            let turn = self.turn(found.customer, found.id).await?;
            if by_hand_already(&turn) {
                return Ok(());
            }
            let transition = turn.row.value.rotation.clone();
            let transition = transition.confirmed(turn.state.value.0.secrets.clone(), self.now()).map_err(not_asked)?;
            let version = transition.rotation.new_version.unwrap_or_default();
            let event = self.event(Scope::Customer(turn.customer), EventKind::RotationConfirmed, caller);
            let beside = Beside { by_hand: Some(event.with(FieldName::Version, version)), ..Beside::default() };
            self.store_transition(&turn, transition, beside).await.map(drop)
        })
        .await?;
        self.rotation_view(found.customer, found.id).await
    }

    /// Somebody set a secret of their own instead, and tells it.
    pub async fn set_task(
        &self,
        found: &FoundRotation,
        secret: &Secret,
        once: &Once,
        caller: &Caller,
        _permit: Permit<RotationPerform>,
    ) -> Result<wire::Rotation> {
        let scope = Scope::Customer(found.customer);
        if self.done(scope, once, caller).await?.is_none() {
            self.spend_set(caller)?;
        }
        deciding_once(once, || async {
            if self.done(scope, once, caller).await?.is_some() {
                return Ok(());
            }
            let turn = self.turn(found.customer, found.id).await?;
            self.set_by_hand(&turn, secret, once, caller).await
        })
        .await?;
        self.rotation_view(found.customer, found.id).await
    }

    /// The same, for whoever has the turn.
    pub(crate) async fn set_by_hand(&self, turn: &Turn, secret: &Secret, once: &Once, caller: &Caller) -> Result<()> {
        let rotation = turn.row.value.rotation.clone();
        let (transition, version) =
            rotation.set_by_hand(turn.state.value.0.secrets.clone(), self.now()).map_err(not_asked)?;
        let event = self.event(Scope::Customer(turn.customer), EventKind::RotationConfirmed, caller);
        let event = event.with(FieldName::Version, version).with(FieldName::Outcome, "set_by_hand");
        let beside = Beside {
            by_hand: Some(event),
            made: Some((version, secret)),
            brought: Some(Brought { version, by: caller.id, at: self.now() }),
            once: Some((once, caller)),
            ..Beside::default()
        };
        self.store_transition(turn, transition, beside).await.map(drop)
    }

    /// The system does not take the candidate, somebody says: another one is made, and they are asked again.
    pub async fn refuse_task(
        &self,
        found: &FoundRotation,
        reason: &str,
        caller: &Caller,
        _permit: Permit<RotationPerform>,
    ) -> Result<wire::Rotation> {
        short_text("reason", reason)?;
        deciding(|| async {
            let turn = self.turn(found.customer, found.id).await?;
            let rotation = turn.row.value.rotation.clone();
            let transition = rotation.refused_by_hand(turn.state.value.0.secrets.clone()).map_err(not_asked)?;
            let event = self.event(Scope::Customer(turn.customer), EventKind::RotationRefusedByHand, caller);
            let event = event.with_personal(caller.id, FieldName::Reason, reason);
            let beside = Beside { by_hand: Some(event), ..Beside::default() };
            self.store_transition(&turn, transition, beside).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.rotation_view(found.customer, found.id).await
    }

    /// Asks a person, in the name of the vault.
    pub(super) async fn ask_person(&self, turn: &Turn) -> Result<()> {
        let days = match &turn.system.spec {
            SystemSpec::Manual { due_days, .. } => *due_days,
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. } => DUE_DAYS,
        };
        let within = SignedDuration::from_hours(24) * i32::try_from(days).unwrap_or(i32::MAX);
        let rotation = turn.row.value.rotation.clone();
        let transition = rotation.asked(turn.state.value.0.secrets.clone(), within, self.now());
        self.store_transition(turn, transition, Beside::default()).await.map(drop)
    }

    /// Says again that a person is asked.
    pub(super) async fn remind(&self, turn: &Turn) -> Result<()> {
        let transition = turn.row.value.rotation.clone().reminded(turn.state.value.0.secrets.clone(), self.now());
        self.store_transition(turn, transition, Beside::default()).await.map(drop)
    }

    async fn task_of(&self, turn: &Turn) -> Result<Task> {
        let (rotation, now) = (&turn.row.value.rotation, self.now());
        let (version, due_at) = match rotation.step {
            Step::Asking { candidate, due_at } => (candidate, due_at),
            Step::Preparing
            | Step::Ready { .. }
            | Step::Sending { .. }
            | Step::Verifying { .. }
            | Step::Recovering { .. }
            | Step::ProvingOld { .. }
            | Step::Done { .. }
            | Step::Cancelled { .. } => return Err(not_asked(NotAsked)),
        };
        let instructions = match &turn.system.spec {
            SystemSpec::Manual { instructions, .. } => instructions.clone(),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. } => String::new(),
        };
        let shown = |candidate: &claviger_core::secrets::Candidate| match candidate.state {
            CandidateState::NeverSent => false,
            CandidateState::SentUnknown | CandidateState::Acknowledged | CandidateState::Refused => {
                candidate.version == version
            }
        };
        Ok(Task {
            id: rotation.id,
            account: self.path_of(turn.customer, &turn.account).await?,
            login: turn.account.login.clone(),
            address: turn.system.spec.host().to_owned(),
            instructions,
            cause: rotation.cause,
            version,
            shown: turn.state.value.0.secrets.candidates.iter().any(shown),
            started_at: rotation.started_at,
            due_at,
            overdue: due_at <= now,
        })
    }

    /// The rotation of an account that waits for a person, if one does.
    pub(crate) async fn asking_turn(
        &self,
        customer: CustomerId,
        account: &AccountRecord,
        state: &AccountState,
    ) -> Result<Option<Turn>> {
        let Some(running) = state.rotation.filter(|running| !running.settled) else { return Ok(None) };
        let turn = self.turn(customer, running.id).await?;
        Ok((turn.account.id == account.id && turn.row.value.rotation.asked_for().is_some()).then_some(turn))
    }
}

/// A second yes to the same: the first has done it.
fn by_hand_already(turn: &Turn) -> bool {
    let rotation = &turn.row.value.rotation;
    rotation.is_by_hand() && matches!(rotation.step, Step::Done { .. })
}

fn not_asked(_: NotAsked) -> Error {
    Error::new(ProblemType::Conflict, "Nobody is asked to change this account by hand now.")
}

/// Those who have seen a candidate that may still be set, and no others.
pub(super) fn note_shown(state: &mut AccountState, shown: Option<Brought>) {
    if let Some(shown) = shown
        && !state.shown.iter().any(|other| (other.version, other.by) == (shown.version, shown.by))
    {
        state.shown.push(shown);
    }
    let those = std::mem::take(&mut state.shown);
    state.shown = those.into_iter().filter(|it| state.still_works(it.version)).collect();
}

/// Why a grant under such conditions shows no candidate.
const BOUND: &str = "Your grant, or the customer, wants approvals or counts reveals, which a task has none of. Set a secret of \
                     your own and tell it (claviger task set).";
