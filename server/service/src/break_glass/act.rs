//! What people do with a glass.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, BREAK_GLASS_TTL_DEFAULT_SECONDS, GrantKind, NewBreakGlass, Reach, Role};
use claviger_api::{BreakGlassId, CustomerId, GrantId, PrincipalId, Scope};
use claviger_core::break_glass::{BreakGlass, FellDue, Opened, Refusal, Wanted};
use claviger_core::checkout::Approval;
use claviger_core::policy::{
    BreakGlassAgree, BreakGlassClose, BreakGlassOpen, BreakGlassReview, Conditions, Grant, GrantTarget, Permit,
};
use claviger_store::{Range, RowId, Table};

use super::{By, FoundBreakGlass, retimed};
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{BreakGlassRecord, CustomerRecord, GrantRecord, TimerRecord};
use crate::workers::TimerKind;

impl Open {
    /// Asks for emergency access. It gives nothing before another has agreed.
    pub async fn open_break_glass(
        &self,
        scope: GrantTarget,
        new: &NewBreakGlass,
        once: &Once,
        caller: &Caller,
        permit: Permit<BreakGlassOpen>,
    ) -> Result<wire::BreakGlass> {
        short_text("reason", &new.reason)?;
        let customer = scope.customer().ok_or(Refusal::Everywhere)?;
        let log = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(log, once, caller).await? {
                return Ok(BreakGlassId::from_uuid(done));
            }
            // Written again, so that of two that are asked for at once the second one sees the first.
            let serves = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
            let holder = self.holder(caller.id).await?;
            self.may_take_part(customer, caller.id).await?;
            let wanted = Wanted {
                id: BreakGlassId::from_uuid(self.new_uuid()),
                scope,
                opener: caller.id,
                reason: new.reason.clone(),
                ttl_seconds: new.ttl_seconds.unwrap_or(BREAK_GLASS_TTL_DEFAULT_SECONDS),
                rule: permit.approvals(),
                conditions: asleep(caller, &permit),
                max_checkout_seconds: permit.max_checkout_seconds(),
            };
            let glass = BreakGlass::ask(wanted, self.now())?;
            if let Some(other) = self.glasses_of(customer).await?.iter().find(|other| is_anothers(other, &glass)) {
                let detail = format!("You have the glass {} at this customer; close it first.", other.id);
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let due = glass.due().unwrap_or(glass.asked_at);
            let change = self
                .glass_change(EventKind::BreakGlassAsked, By::Person(caller), &glass, |event| {
                    event
                        .with_personal(caller.id, FieldName::Reason, &glass.reason)
                        .with(FieldName::ExpiresAt, due)
                        .with(FieldName::Approvals, format_args!("0 of {}", glass.rule.count))
                })
                .await?
                .rewrite(&serves)?
                .expect(&holder)
                .create(RowId::break_glass(customer, glass.id), &BreakGlassRecord(glass.clone()))?
                .create(TimerKind::BreakGlassDue.row(due, customer, glass.id.uuid()), &TimerRecord {})?;
            self.commit(self.remember(change, log, once, caller, glass.id.uuid())?).await?;
            tracing::warn!(glass = %glass.id, opener = %glass.opener, "break-glass is asked for");
            Ok(glass.id)
        })
        .await?;
        self.break_glass_view(customer, id).await
    }

    /// Another's yes. The last one that is needed opens it in the same commit: from then on its opener has the access,
    /// if it may still ask for it.
    pub async fn agree_break_glass(
        &self,
        found: &FoundBreakGlass,
        comment: &str,
        once: &Once,
        caller: &Caller,
        _permit: Permit<BreakGlassAgree>,
    ) -> Result<wire::BreakGlass> {
        short_text("comment", comment)?;
        let FoundBreakGlass { customer, id, .. } = *found;
        let log = Scope::Customer(customer);
        deciding_once(once, || async {
            if self.done(log, once, caller).await?.is_some() {
                return Ok(());
            }
            let row = self.load_glass(customer, id).await?;
            let yes = Approval {
                by: caller.id,
                of_customer: caller.customer == Some(customer),
                at: self.now(),
                comment: comment.to_owned(),
            };
            let grant = GrantId::from_uuid(self.new_uuid());
            let glass = row.value.0.clone().agree(yes, grant, self.now())?;
            self.may_take_part(customer, caller.id).await?;
            let opener = self.active(glass.opener).await?;
            let may_still = self.might::<BreakGlassOpen>(glass.opener, &found.resource).await?;
            let (Some(opener), true) = (opener, may_still) else {
                let why = "Whoever asked for it may not ask for it any more; close it.";
                return Err(Error::new(ProblemType::BreakGlassClosed, why));
            };
            let mut change = self
                .glass_change(EventKind::BreakGlassAgreed, By::Person(caller), &glass, |event| {
                    event
                        .with_personal(caller.id, FieldName::Comment, comment)
                        .with(FieldName::Approvals, format_args!("{} of {}", glass.agreed.len(), glass.rule.count))
                })
                .await?
                .expect(&opener);
            if let Some(opened) = glass.open_at(self.now()) {
                change = self.with_access(change, &glass, opened, caller).await?;
            }
            let change = retimed(change, &row.value.0, &glass)?.update(&row, &BreakGlassRecord(glass))?;
            self.commit(self.remember(change, log, once, caller, id.uuid())?).await.map(drop)
        })
        .await?;
        self.break_glass_view(customer, id).await
    }

    /// Ends it at once, with whatever was checked out under it. One that is closed already stays as it is.
    pub async fn close_break_glass(
        &self,
        found: &FoundBreakGlass,
        caller: &Caller,
        _permit: Permit<BreakGlassClose>,
    ) -> Result<wire::BreakGlass> {
        let FoundBreakGlass { customer, id, .. } = *found;
        deciding(|| async {
            match self.closed_glass(customer, id, By::Person(caller)).await {
                Err(refused) if refused.problem == ProblemType::BreakGlassClosed => Ok(()),
                closed => closed,
            }
        })
        .await?;
        self.ground().wake.notify_waiters();
        // The workers would, too; whoever closes it sees it done.
        if let Err(error) = self.break_glass_due(customer, id).await {
            tracing::warn!(?error, glass = %id, "what was checked out under break-glass is not ended yet");
        }
        self.break_glass_view(customer, id).await
    }

    /// Closes its review.
    pub async fn review_break_glass(
        &self,
        found: &FoundBreakGlass,
        verdict: &str,
        once: &Once,
        caller: &Caller,
        _permit: Permit<BreakGlassReview>,
    ) -> Result<wire::BreakGlass> {
        short_text("verdict", verdict)?;
        let FoundBreakGlass { customer, id, .. } = *found;
        let log = Scope::Customer(customer);
        deciding_once(once, || async {
            if self.done(log, once, caller).await?.is_some() {
                return Ok(());
            }
            let row = self.load_glass(customer, id).await?;
            let glass = row.value.0.clone().review(caller.id, verdict.to_owned(), self.now())?;
            let change = self
                .glass_change(EventKind::BreakGlassReviewed, By::Person(caller), &glass, |event| {
                    event.with_personal(caller.id, FieldName::Comment, verdict)
                })
                .await?;
            let change = retimed(change, &row.value.0, &glass)?.update(&row, &BreakGlassRecord(glass))?;
            self.commit(self.remember(change, log, once, caller, id.uuid())?).await.map(drop)
        })
        .await?;
        self.break_glass_view(customer, id).await
    }

    /// The commit that closes it: from here on it gives nothing.
    pub(super) async fn closed_glass(&self, customer: CustomerId, id: BreakGlassId, by: By<'_>) -> Result<()> {
        let row = self.load_glass(customer, id).await?;
        let before = &row.value.0;
        let person = match by {
            By::Person(caller) => Some(caller.id),
            By::Vault => None,
        };
        let glass = before.clone().close(person, self.now())?;
        let outcome = match (glass.opened(), glass.closed().and_then(|closed| closed.by)) {
            (Some(_), Some(_)) => "closed",
            (Some(_), None) => "ended",
            (None, Some(_)) => "withdrawn",
            (None, None) => "lapsed",
        };
        let mut change = self
            .glass_change(EventKind::BreakGlassClosed, by, &glass, |event| event.with(FieldName::Outcome, outcome))
            .await?;
        if let Some(opened) = glass.opened() {
            change = change.erase(RowId::grant(Scope::Operator, opened.grant)).touches(RowId::principal(glass.opener));
        }
        change = retimed(change, before, &glass)?;
        self.commit(change.update(&row, &BreakGlassRecord(glass))?).await?;
        tracing::warn!(glass = %id, outcome, "break-glass is over");
        Ok(())
    }

    /// Adds what an open glass gives: a grant, to its opener alone.
    async fn with_access<'a>(
        &'a self,
        change: Change<'a>,
        glass: &BreakGlass,
        opened: Opened,
        caller: &Caller,
    ) -> Result<Change<'a>> {
        let (own, operators) = self
            .glass_events(EventKind::BreakGlassOpened, By::Person(caller), glass, |event| {
                event.with(FieldName::Grant, opened.grant).with(FieldName::ExpiresAt, opened.ends_at)
            })
            .await?;
        let grant = Grant {
            id: opened.grant,
            principal: glass.opener,
            kind: GrantKind::MayUse,
            role: Role::BreakGlass,
            scope: glass.scope,
            max_checkout_seconds: glass.max_checkout_seconds,
            conditions: glass.conditions.clone(),
            break_glass: Some(glass.id),
            created_at: opened.at,
            expires_at: opened.ends_at,
        };
        tracing::warn!(glass = %glass.id, opener = %glass.opener, until = %opened.ends_at, "break-glass is open");
        change
            .and(own)
            .and(operators)
            .create(RowId::grant(Scope::Operator, grant.id), &GrantRecord(grant))
            .map(|change| change.touches(RowId::principal(glass.opener)))
    }

    /// Whoever had a part in one at this customer that was not reviewed in time has a part in no other there.
    async fn may_take_part(&self, customer: CustomerId, person: PrincipalId) -> Result<()> {
        let now = self.now();
        let overdue = |glass: &BreakGlass| glass.involves(person) && glass.is_overdue(now);
        match self.glasses_of(customer).await?.into_iter().find(overdue) {
            None => Ok(()),
            Some(other) => {
                let detail = format!(
                    "The glass {} waits for its review; somebody who neither opened nor agreed closes it: \
                     claviger break-glass review {} --verdict TEXT.",
                    other.id, other.id
                );
                Err(Error::new(ProblemType::ReviewOverdue, detail))
            }
        }
    }

    async fn glasses_of(&self, customer: CustomerId) -> Result<Vec<BreakGlass>> {
        let rows = self.all::<BreakGlassRecord>(&Range::scope(Table::BreakGlasses, Scope::Customer(customer))).await?;
        Ok(rows.into_iter().map(|row| row.value.0).collect())
    }
}

/// Whether it is another one of the same opener that gives something, or might. One whose time is over gives nothing,
/// though no worker has seen it yet.
fn is_anothers(other: &BreakGlass, new: &BreakGlass) -> bool {
    let over = other.closed().is_some() || other.fell_due(new.asked_at) == Some(FellDue::Close);
    other.opener == new.opener && !over
}

/// The conditions of the grant that the caller asks by. One for a single account reaches that account.
fn asleep(caller: &Caller, permit: &Permit<BreakGlassOpen>) -> Conditions {
    let own = caller.powers.grants.iter().find(|own| Some(own.id) == permit.grant());
    let names_account = own.is_some_and(|own| matches!(own.scope, GrantTarget::Account(..)));
    let reaches = if names_account { Some(Reach::TierZero) } else { permit.conditions().reaches };
    Conditions { reaches, ..permit.conditions().clone() }
}
