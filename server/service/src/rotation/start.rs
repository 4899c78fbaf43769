//! The start of a rotation, by a person, a program, or the end of a checkout.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, AccountKind, RotateBy, RotationCause, RotationsStarted, Skipped, SystemSpec};
use claviger_api::{CheckoutId, CustomerId, PrincipalId, RotationId, Scope, Timestamp};
use claviger_core::account::{AccountState, Running};
use claviger_core::checkout::State;
use claviger_core::policy::{AccountRotate, Permit};
use claviger_core::rotation::{By, Rotation};
use claviger_core::secrets::Version;
use claviger_store::{Range, RowId, Table};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::inventory::{Place, accounts::of_account, short_text};
use crate::journal::Change;
use crate::open::{Caller, Open, deciding_once};
use crate::records::{AccountRecord, CheckoutRecord, RotationRecord, StateRecord, SystemRecord, TimerRecord};
use crate::workers::TimerKind;

/// How a rotation begins.
pub(crate) struct Begin {
    /// Its id.
    pub id: RotationId,
    /// Why.
    pub cause: RotationCause,
    /// The ended checkout whose row the caller writes in the same change.
    pub in_hand: Option<CheckoutId>,
    /// Not at once.
    pub later: Option<Later>,
}

/// A rotation that begins later: until then it is unresolved.
#[derive(Clone, Copy)]
pub(crate) struct Later {
    /// When.
    pub until: Timestamp,
    /// Why not at once.
    pub why: &'static str,
}

/// Why somebody has a secret rotated.
#[derive(Default)]
pub(crate) struct Why<'a> {
    /// In the caller's words.
    pub reason: Option<&'a str>,
    /// Whoever has seen it, in which version.
    pub exposed: Option<(PrincipalId, &'a [Version])>,
}

impl Why<'_> {
    fn cause(&self) -> RotationCause {
        if self.exposed.is_some() { RotationCause::Exposure } else { RotationCause::Requested }
    }

    /// What was seen may have been replaced meanwhile.
    fn still_holds(&self, state: &AccountState) -> Result<()> {
        match self.exposed {
            Some((_, versions)) if !versions.iter().any(|version| state.still_works(*version)) => Err(Error::new(
                ProblemType::Conflict,
                "It was rotated meanwhile; what was seen does not work any more.",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn told(&self, event: Event, caller: &Caller) -> Event {
        let event = event.with_personal(caller.id, FieldName::Reason, self.reason.unwrap_or_default());
        match self.exposed {
            Some((principal, _)) => event.with(FieldName::Cause, "exposure").with(FieldName::Principal, principal),
            None => event,
        }
    }
}

impl Open {
    /// Starts the rotation of one account that nobody holds. It is carried on in the background.
    pub async fn rotate(
        &self,
        place: Place,
        reason: Option<&str>,
        once: &Once,
        caller: &Caller,
        permit: Permit<AccountRotate>,
    ) -> Result<wire::Rotation> {
        self.rotate_because(place, &Why { reason, ..Why::default() }, once, caller, permit).await
    }

    /// The same, for a cause of its own.
    pub(crate) async fn rotate_because(
        &self,
        place: Place,
        why: &Why<'_>,
        once: &Once,
        caller: &Caller,
        _permit: Permit<AccountRotate>,
    ) -> Result<wire::Rotation> {
        self.must_act()?;
        if let Some(reason) = why.reason {
            short_text("reason", reason)?;
        }
        let Place { customer, account, .. } = place;
        let scope = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return Ok(RotationId::from_uuid(done));
            }
            let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?;
            let row = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
            let mut state = row.value.0.clone();
            why.still_holds(&state)?;
            may_rotate(&record.value, &state)?;
            let id = RotationId::from_uuid(self.new_uuid());
            let event = why.told(self.event(scope, EventKind::RotationStarted, caller), caller);
            let change = self.change(self.of_rotation(event, customer, &record.value, id).await?).expect(&record);
            let begin = Begin { id, cause: why.cause(), in_hand: None, later: None };
            let change = self.begin_rotation(change, customer, &record.value, &mut state, begin).await?;
            let change = change.update(&row, &StateRecord(state))?;
            self.commit(self.remember(change, scope, once, caller, id.uuid())?).await?;
            Ok(id)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.rotation_view(customer, id).await
    }

    /// Starts the rotation of every standing account of a customer that nobody holds; `permit` decides for each.
    pub async fn rotate_customer(
        &self,
        customer: CustomerId,
        reason: Option<&str>,
        once: &Once,
        caller: &Caller,
        permit: impl AsyncFn(Place) -> Option<Permit<AccountRotate>>,
    ) -> Result<RotationsStarted> {
        self.must_act()?;
        let mut started = RotationsStarted { rotations: Vec::new(), skipped: Vec::new() };
        for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await? {
            let place = Place { customer, system: row.value.system, account: row.value.id };
            let Some(permit) = permit(place).await else { continue };
            if row.value.kind != AccountKind::Standing {
                continue;
            }
            match self.rotate(place, reason, &once.for_one(row.value.id.uuid()), caller, permit).await {
                Ok(rotation) => started.rotations.push(rotation),
                Err(error) => started.skipped.push(self.skipped(customer, &row.value, error).await?),
            }
        }
        Ok(started)
    }

    /// An account that was passed over, and why.
    pub(crate) async fn skipped(&self, customer: CustomerId, account: &AccountRecord, why: Error) -> Result<Skipped> {
        Ok(Skipped {
            account: self.path_of(customer, account).await?,
            why: if why.detail.is_empty() { why.problem.row().title.to_owned() } else { why.detail },
        })
    }

    /// Adds the start of a rotation to a change: its row, its timer, and the account's state. It takes every ended
    /// checkout that waits for one; `in_hand` is the one whose row the caller writes in the same change.
    pub(crate) async fn start_rotation<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        state: &mut AccountState,
        cause: RotationCause,
        in_hand: Option<CheckoutId>,
    ) -> Result<(Change<'a>, RotationId)> {
        let id = RotationId::from_uuid(self.new_uuid());
        let begin = Begin { id, cause, in_hand, later: None };
        Ok((self.begin_rotation(change, customer, account, state, begin).await?, id))
    }

    /// The same, for whoever says which id it has and whether it begins at once.
    pub(crate) async fn begin_rotation<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        state: &mut AccountState,
        begin: Begin,
    ) -> Result<Change<'a>> {
        let Begin { id, cause, in_hand, later } = begin;
        let now = self.now();
        let by = self.whose_right(customer, account).await?;
        let checkouts = std::mem::take(&mut state.to_revoke);
        let mut change = change;
        for checkout in checkouts.iter().filter(|checkout| Some(**checkout) != in_hand) {
            let row = self.load::<CheckoutRecord>(&RowId::checkout(customer, *checkout)).await?;
            let mut revoked = row.value.0.clone();
            if let State::Ended { revocation, .. } = &mut revoked.state {
                revocation.rotation = Some(id);
            }
            change = change.update(&row, &CheckoutRecord(revoked))?;
        }
        // Each of them is told, so that whoever reads the log can account for all.
        for checkout in &checkouts {
            let event = self.automatic(Scope::Customer(customer), EventKind::RotationStarted, "system/check-in");
            change =
                change.and(self.of_rotation(event, customer, account, id).await?.with(FieldName::Checkout, checkout));
        }
        let mut rotation = Rotation::start(id, (account.system, account.id), cause, by, checkouts, now);
        if let Some(Later { until, why }) = later {
            rotation.put_off(until, why);
            let event = self.automatic(Scope::Customer(customer), EventKind::RotationUnresolved, "system/rotation");
            let event = self.of_rotation(event, customer, account, id).await?;
            change = change.and(event.with(FieldName::Outcome, "put_off").with(FieldName::Detail, why));
        }
        state.rotation = Some(Running { id, settled: false, unresolved: rotation.unresolved });
        state.last_rotation = Some(id);
        let due = later.map_or(now, |later| later.until);
        change
            .create(RowId::rotation(customer, id), &RotationRecord { rotation, timer: Some(due) })?
            .create(TimerKind::RotationDue.row(due, customer, id.uuid()), &TimerRecord {})
    }

    /// Adds which rotation, of which account, an event is about.
    pub(crate) async fn of_rotation(
        &self,
        event: Event,
        customer: CustomerId,
        account: &AccountRecord,
        id: RotationId,
    ) -> Result<Event> {
        Ok(of_account(event, &self.path_of(customer, account).await?).with(FieldName::Rotation, id))
    }

    /// A person's, where no program reaches the system; the management account's, where the account asks for that and it is not the management account itself.
    async fn whose_right(&self, customer: CustomerId, account: &AccountRecord) -> Result<By> {
        let system = self.load::<SystemRecord>(&RowId::system(customer, account.system)).await?.value;
        if matches!(system.spec, SystemSpec::Manual { .. }) {
            return Ok(By::Person);
        }
        let other = system.management_account.is_some_and(|name| name != account.name);
        Ok(if account.settings.rotate_by == RotateBy::Management && other { By::Management } else { By::Itself })
    }
}

/// Whether a rotation may begin now.
pub(crate) fn may_rotate(account: &AccountRecord, state: &AccountState) -> Result<()> {
    let refuse = |problem, why: &str| Err(Error::new(problem, why));
    match account.kind {
        AccountKind::Standing => {}
        AccountKind::Ephemeral => {
            return refuse(ProblemType::InvalidValue, "An ephemeral account has no secret of its own to rotate.");
        }
        AccountKind::Certificate => {
            return refuse(ProblemType::InvalidValue, "A certificate account has no secret to rotate.");
        }
    }
    if let Some(running) = state.rotation.filter(|running| !running.settled) {
        return Err(Error::new(ProblemType::RotationRunning, format!("The rotation is {}.", running.id)));
    }
    if !state.seats.is_empty() {
        return refuse(
            ProblemType::InUse,
            "The account is checked out; its end will rotate it, or revoke the checkout.",
        );
    }
    if state.secrets.current.is_none() && account.settings.rotate_by == RotateBy::Itself {
        return refuse(ProblemType::NothingStored, "");
    }
    Ok(())
}
