//! A principal that is suspended or removed loses whatever it holds, asked for or waits for.
//!
//! The commit that suspends or removes it stores a timer that is due at once, so that it is done even if the server dies
//! half-way. Nothing new comes meanwhile: whoever checks out expects the own principal to be as it was when it was seen
//! active ([`Open::holder`]).

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CheckoutState, EndCause};
use claviger_api::{CheckoutId, CustomerId, PrincipalId, Scope};
use claviger_core::checkout::Checkout;
use claviger_store::{Range, RowId, Table, Timer, Versioned};
use futures::stream::{self, StreamExt as _};

use super::Case;
use crate::error::{Error, Result};
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{PrincipalRecord, TimerRecord};
use crate::workers::TimerKind;

/// Who ends it.
const ACTOR: &str = "system/suspension";
/// Checkouts that are ended at once: their commits share flushes.
const AT_ONCE: usize = 32;
/// Timers that one scan brings. A scan is of one moment: no timer that moves meanwhile is missed within it.
const LOOK_MOST: usize = 200_000;

impl Open {
    /// Adds to a change that suspends or removes a principal the timer that ends what it holds.
    pub(crate) async fn with_cut<'a>(&self, change: Change<'a>, principal: PrincipalId) -> Result<Change<'a>> {
        let row = TimerKind::PrincipalGone.operators_row(self.now(), principal.uuid());
        match self.read::<TimerRecord>(&row).await? {
            Some(pending) => Ok(change.expect(&pending)),
            None => change.create(row, &TimerRecord {}),
        }
    }

    /// Ends whatever a suspended or removed principal has open, then tells that nothing is left. One that cannot be ended
    /// keeps none of the others; the timer stays until all are.
    pub(crate) async fn cut(&self, timer: &Timer) -> Result<()> {
        let (id, principal) = (timer.row(), PrincipalId::from_uuid(timer.id));
        let gone = self.read::<PrincipalRecord>(&RowId::principal(principal)).await?.is_none();
        let why = if gone { "principal removed" } else { "principal suspended" };
        while let Some(pending) = self.read::<TimerRecord>(&id).await? {
            let open = self.open_checkouts(|_, checkout| checkout.principal == principal).await?;
            if open.is_empty() {
                break;
            }
            let ends = open.into_iter().map(|(customer, checkout)| self.cut_one(customer, checkout, &pending, why));
            let ended: Vec<Result<()>> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
            self.ground().wake.notify_waiters();
            ended.into_iter().collect::<Result<()>>()?;
        }
        deciding(|| async {
            let Some(pending) = self.read::<TimerRecord>(&id).await? else { return Ok(()) };
            let event = self
                .automatic(Scope::Operator, EventKind::PrincipalCheckoutsEnded, ACTOR)
                .with(FieldName::Principal, principal)
                .with(FieldName::Cause, why);
            self.commit(self.change(event).remove(&pending)).await.map(drop)
        })
        .await
    }

    /// Does at once what a suspension has left to do: before its principal is let in again.
    pub(crate) async fn cut_now(&self, principal: PrincipalId) -> Result<()> {
        let all = self.timers(Range::table(Table::Timers).limit(LOOK_MOST)).await?;
        let gone = |timer: &&Timer| timer.kind == TimerKind::PrincipalGone as u8 && timer.id == principal.uuid();
        for timer in all.iter().filter(gone) {
            self.cut(timer).await?;
        }
        Ok(())
    }

    /// The principal of a checkout that is about to be made, expected to stay as it is: whoever suspends it meanwhile wins.
    pub(crate) async fn holder(&self, principal: PrincipalId) -> Result<Versioned<()>> {
        self.active(principal).await?.ok_or_else(|| Error::new(ProblemType::SessionEnded, ""))
    }

    async fn cut_one(
        &self,
        customer: CustomerId,
        id: CheckoutId,
        pending: &Versioned<TimerRecord>,
        why: &str,
    ) -> Result<()> {
        deciding(|| async {
            // Whoever was let in again meanwhile loses nothing new.
            if self.read::<TimerRecord>(&pending.id).await?.is_none() {
                return Ok(());
            }
            let case = self.case(customer, id).await?;
            let Some(change) = self.end_cut(&case, ACTOR, why).await? else { return Ok(()) };
            self.commit(change.expect(pending)).await.map(drop)
        })
        .await
    }

    /// Ends whatever is checked out, asked for or waited for at a customer. How many checkouts it were.
    pub(crate) async fn end_all_at(&self, customer: CustomerId, actor: &'static str, why: &str) -> Result<usize> {
        let mut ended = 0;
        loop {
            let open = self.open_checkouts(|at, _| at == customer).await?;
            if open.is_empty() {
                return Ok(ended);
            }
            let ends = open.into_iter().map(|(_, checkout)| self.end_one(customer, checkout, actor, why));
            let done: Vec<Result<()>> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
            self.ground().wake.notify_waiters();
            ended += done.len();
            done.into_iter().collect::<Result<()>>()?;
        }
    }

    /// Ends one of them.
    pub(crate) async fn end_one(
        &self,
        customer: CustomerId,
        id: CheckoutId,
        actor: &'static str,
        why: &str,
    ) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let Some(change) = self.end_cut(&case, actor, why).await? else { return Ok(()) };
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// Ends a checkout whose holder's right to it has gone; nothing is to be done where it has ended.
    pub(crate) async fn end_cut(&self, case: &Case, actor: &'static str, why: &str) -> Result<Option<Change<'_>>> {
        let checkout = &case.checkout.value.0;
        if checkout.state_name() == CheckoutState::Ended {
            return Ok(None);
        }
        let ends_as = checkout.overdue(self.now()).unwrap_or(EndCause::Revoked);
        let event = self
            .automatic(Scope::Customer(case.customer), EventKind::CheckoutEnded, actor)
            .with(FieldName::Principal, checkout.principal)
            .with(FieldName::Detail, why);
        self.ended(case, ends_as, event, None).await.map(Some)
    }

    /// The checkouts that have not ended and are wanted, by the timers of their ends and starts.
    pub(crate) async fn open_checkouts(
        &self,
        wanted: impl Fn(CustomerId, &Checkout) -> bool,
    ) -> Result<Vec<(CustomerId, CheckoutId)>> {
        let mut found = Vec::new();
        for timer in self.timers(Range::table(Table::Timers).limit(LOOK_MOST)).await? {
            if let Some((customer, checkout)) = self.checkout_of(&timer).await?
                && wanted(customer, &checkout)
                && checkout.state_name() != CheckoutState::Ended
            {
                found.push((customer, checkout.id));
            }
        }
        Ok(found)
    }
}
