//! Rotation: started in the commit that calls for it, carried on by whoever finds its timer due, step by durable step.

use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, CandidateView};
use claviger_api::{CustomerId, Login, RotationId, Scope, Secret};
use claviger_core::policy::{Permit, Resource, RotationCancel, RotationView};
use claviger_core::rotation::{Action, NotCancelled, Rotation, Step};
use claviger_store::{Range, RowId, Table};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Caller, Open, deciding};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, RotationRecord, StateRecord, SystemRecord};

mod by_hand;
mod drive;
pub(crate) mod start;
mod store;

/// A rotation that was found by its id. Finding says nothing of who may know of it.
pub struct FoundRotation {
    /// Its customer.
    pub customer: CustomerId,
    /// Its id.
    pub id: RotationId,
    resource: Resource,
}

impl FoundRotation {
    /// The rotated account, for the policy.
    pub fn resource(&self) -> Resource {
        self.resource
    }
}

impl Open {
    /// The rotation of this id.
    pub async fn find_rotation(&self, id: RotationId) -> Result<FoundRotation> {
        let customer = self.customer_of_rotation(id).await?;
        let rotation = self.load::<RotationRecord>(&RowId::rotation(customer, id)).await?.value.rotation;
        Ok(FoundRotation { customer, id, resource: resource(customer, &rotation) })
    }

    /// One rotation with its progress.
    pub async fn rotation(&self, found: &FoundRotation, _permit: Permit<RotationView>) -> Result<wire::Rotation> {
        self.rotation_view(found.customer, found.id).await
    }

    /// A customer's rotations, the newest first.
    pub async fn rotations(
        &self,
        customer: CustomerId,
        unfinished: bool,
        paging: &Paging,
        visible: impl Fn(&Resource) -> bool,
    ) -> Result<Page<wire::Rotation>> {
        let range = Range::scope(Table::Rotations, Scope::Customer(customer)).reversed();
        let wanted = |row: &RotationRecord| {
            !(unfinished && row.rotation.is_over()) && visible(&resource(customer, &row.rotation))
        };
        let rows = self.page::<RotationRecord>(range, paging, wanted).await?;
        rows.try_map(async |row| self.rotation_view(customer, row.value.rotation.id).await).await
    }

    /// Stops a rotation of which no system was told. Nothing is erased.
    pub async fn cancel_rotation(
        &self,
        found: &FoundRotation,
        caller: &Caller,
        _permit: Permit<RotationCancel>,
    ) -> Result<wire::Rotation> {
        let scope = Scope::Customer(found.customer);
        deciding(|| async {
            let turn = self.turn(found.customer, found.id).await?;
            let secrets = turn.state.value.0.secrets.clone();
            let cancelled =
                turn.row.value.rotation.clone().cancel(secrets, self.now()).map_err(|refused| match refused {
                    NotCancelled::Sent | NotCancelled::Revokes => {
                        Error::new(ProblemType::RotationRunning, format!("{refused}."))
                    }
                    NotCancelled::Over => Error::new(ProblemType::Conflict, format!("{refused}.")),
                })?;
            let event = self.event(scope, claviger_api::audit::kind::EventKind::RotationCancelled, caller);
            let beside = store::Beside { by_hand: Some(event), ..store::Beside::default() };
            self.store_transition(&turn, cancelled, beside).await.map(drop)
        })
        .await?;
        self.rotation_view(found.customer, found.id).await
    }

    /// Adds a secret that came to light to a rotation, which is to find out whether it opens the account.
    pub(crate) async fn add_found(
        &self,
        (customer, id): (CustomerId, RotationId),
        secret: &Secret,
        event: Event,
    ) -> Result<()> {
        let turn = self.turn(customer, id).await?;
        let (transition, version) = turn.row.value.rotation.clone().found(turn.state.value.0.secrets.clone());
        let event = event.with(FieldName::Version, version);
        let beside = store::Beside { made: Some((version, secret)), by_hand: Some(event), ..store::Beside::default() };
        self.store_transition(&turn, transition, beside).await.map(drop)
    }

    pub(crate) async fn rotation_view(&self, customer: CustomerId, id: RotationId) -> Result<wire::Rotation> {
        let record = self.load::<RotationRecord>(&RowId::rotation(customer, id)).await?.value;
        let rotation = record.rotation;
        let state = self.read::<StateRecord>(&RowId::account_state(customer, rotation.account)).await?;
        let candidates = state.map(|row| row.value.0.secrets.candidates).unwrap_or_default();
        let finished_at = match rotation.step {
            Step::Done { at } | Step::Cancelled { at } => Some(at),
            Step::Preparing
            | Step::Ready { .. }
            | Step::Asking { .. }
            | Step::Sending { .. }
            | Step::Verifying { .. }
            | Step::Recovering { .. }
            | Step::ProvingOld { .. } => None,
        };
        let refused_after = rotation.promoted_at.zip(rotation.old_refused_at).map(|(from, to)| to.duration_since(from));
        Ok(wire::Rotation {
            id,
            account: self.path_or_removed(customer, rotation.system, rotation.account).await?,
            cause: rotation.cause,
            checkout: rotation.checkouts.first().copied(),
            step: rotation.step_name(),
            unresolved: rotation.unresolved,
            candidates: candidates.iter().map(|c| CandidateView { version: c.version, state: c.state }).collect(),
            new_version: rotation.new_version,
            old_refused_after_milliseconds: refused_after.and_then(|lag| u64::try_from(lag.as_millis()).ok()),
            old_still_accepted: rotation.old_still_accepted,
            started_at: rotation.started_at,
            finished_at,
            next_attempt_at: match rotation.next(self.now()) {
                Action::Wait(until) => Some(until),
                Action::Prepare
                | Action::Ask
                | Action::Remind
                | Action::Send { .. }
                | Action::Recover
                | Action::Probe { .. }
                | Action::Finished => None,
            },
            message: rotation.message,
        })
    }

    /// The login and secret of a system's management account, if it has one with a stored secret.
    pub(crate) async fn management(
        &self,
        customer: CustomerId,
        system: &SystemRecord,
    ) -> Result<Option<(Login, Secret)>> {
        let Some(name) = &system.management_account else { return Ok(None) };
        let account = match self.account_named(customer, system.id, name).await {
            Ok(account) => account,
            Err(error) if error.problem == ProblemType::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let login = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value.login;
        let state = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?.value.0;
        match state.secrets.current {
            Some(version) => Ok(Some((login, self.secret(customer, account, version).await?))),
            None => Ok(None),
        }
    }
}

fn resource(customer: CustomerId, rotation: &Rotation) -> Resource {
    Resource::Account(customer, rotation.system, rotation.account)
}
