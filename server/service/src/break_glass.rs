//! Break-glass: emergency access, from its asking to its review.
//!
//! ```text
//! act.rs         ask, agree, close, review: each one commit of the glass, its timer, its grant and its events
//! under.rs       what is checked out under it: noted in it, and approved by those who agreed
//! unresolved.rs  the versions of an account whose rotation is not settled
//! end.rs         its timer: its end, the end of its checkouts, the reminder of its review
//! ```
//!
//! Every event of it is told in the customer's log and in the operator's.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire;
use claviger_api::{BreakGlassId, CustomerId, Scope};
use claviger_core::break_glass::{BreakGlass, Refusal, State};
use claviger_core::policy::{BreakGlassView, Permit, Resource};
use claviger_store::{Range, RowId, Table, Versioned};

use crate::checkout::move_timer;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::Change;
use crate::open::{Caller, Open};
use crate::page::{Page, Paging};
use crate::records::BreakGlassRecord;
use crate::workers::TimerKind;

mod act;
mod end;
mod under;
mod unresolved;

pub(crate) use under::Glass;

/// A glass that was found by its id. Finding says nothing of who may know of it.
pub struct FoundBreakGlass {
    /// Its customer.
    pub customer: CustomerId,
    /// Its id.
    pub id: BreakGlassId,
    resource: Resource,
}

impl FoundBreakGlass {
    /// The place that it is for, for the policy.
    pub fn resource(&self) -> Resource {
        self.resource
    }
}

impl Open {
    /// The glass of this id.
    pub async fn find_break_glass(&self, id: BreakGlassId) -> Result<FoundBreakGlass> {
        let customer = self.owner(|customer| RowId::break_glass(customer, id)).await?;
        let glass = self.load_glass(customer, id).await?.value.0;
        Ok(FoundBreakGlass { customer, id, resource: glass.scope.into() })
    }

    /// One glass.
    pub async fn break_glass(
        &self,
        found: &FoundBreakGlass,
        _permit: Permit<BreakGlassView>,
    ) -> Result<wire::BreakGlass> {
        self.break_glass_view(found.customer, found.id).await
    }

    /// Glasses, those with which somebody has something to do or all, the newest first: of one customer, or of every
    /// one.
    pub async fn break_glasses(
        &self,
        customer: Option<CustomerId>,
        closed: bool,
        paging: &Paging,
        visible: impl Fn(&Resource) -> bool,
    ) -> Result<Page<wire::BreakGlass>> {
        let range = match customer {
            Some(customer) => Range::scope(Table::BreakGlasses, Scope::Customer(customer)),
            None => Range::table(Table::BreakGlasses),
        };
        let wanted = |row: &BreakGlassRecord| (closed || row.0.is_pending()) && visible(&row.0.scope.into());
        let rows = self.page::<BreakGlassRecord>(range.reversed(), paging, wanted).await?;
        rows.try_map(async |row| self.view_glass(row.value.0).await).await
    }

    pub(crate) async fn load_glass(
        &self,
        customer: CustomerId,
        id: BreakGlassId,
    ) -> Result<Versioned<BreakGlassRecord>> {
        self.load(&RowId::break_glass(customer, id)).await
    }

    async fn break_glass_view(&self, customer: CustomerId, id: BreakGlassId) -> Result<wire::BreakGlass> {
        self.view_glass(self.load_glass(customer, id).await?.value.0).await
    }

    async fn view_glass(&self, glass: BreakGlass) -> Result<wire::BreakGlass> {
        let mut agreed = Vec::with_capacity(glass.agreed.len());
        for yes in &glass.agreed {
            let by = self.name_of(yes.by).await?;
            agreed.push(wire::Approval { by, by_id: yes.by, at: yes.at, comment: yes.comment.clone() });
        }
        let (opened, closed) = (glass.opened(), glass.closed());
        let closed_by = match closed.and_then(|closed| closed.by) {
            Some(by) => Some(self.name_of(by).await?),
            None => None,
        };
        let (agree_until, review_due_at, review) = match &glass.state {
            State::Asked { until } => (Some(*until), None, None),
            State::InReview { due, .. } => (None, Some(*due), None),
            State::Reviewed { review, .. } => (None, None, Some(review)),
            State::Open(_) | State::Ending { .. } | State::Withdrawn(_) => (None, None, None),
        };
        let reviewed_by = match review {
            Some(review) => Some(self.name_of(review.by).await?),
            None => None,
        };
        Ok(wire::BreakGlass {
            id: glass.id,
            scope: self.scope_view(glass.scope).await?,
            state: glass.state_name(),
            opener: self.name_of(glass.opener).await?,
            opener_id: glass.opener,
            reason: glass.reason.clone(),
            ttl_seconds: glass.ttl_seconds,
            needed: glass.rule.count,
            by_customer: glass.rule.by_customer,
            agreed,
            asked_at: glass.asked_at,
            agree_until,
            opened_at: opened.map(|opened| opened.at),
            ends_at: opened.map(|opened| opened.ends_at),
            grant: opened.map(|opened| opened.grant),
            checkouts: glass.checkouts.clone(),
            closed_at: closed.map(|closed| closed.at),
            closed_by,
            review_due_at,
            review_overdue: glass.is_overdue(self.now()),
            reviewed_by,
            reviewed_at: review.map(|review| review.at),
            verdict: review.map(|review| review.verdict.clone()),
        })
    }

    /// The events of one step, in the customer's log and in the operator's, each as `say` completes it.
    async fn glass_change<'a>(
        &'a self,
        kind: EventKind,
        by: By<'_>,
        glass: &BreakGlass,
        say: impl Fn(Event) -> Event,
    ) -> Result<Change<'a>> {
        let (own, operators) = self.glass_events(kind, by, glass, say).await?;
        Ok(self.change(own).and(operators))
    }

    async fn glass_events(
        &self,
        kind: EventKind,
        by: By<'_>,
        glass: &BreakGlass,
        say: impl Fn(Event) -> Event,
    ) -> Result<(Event, Event)> {
        let place = self.scope_view(glass.scope).await?;
        let customer = glass.scope.customer().ok_or_else(|| Error::internal("a glass of nobody's"))?;
        let event = |scope| {
            let event = match by {
                By::Person(caller) => self.event(scope, kind, caller),
                By::Vault => self.automatic(scope, kind, ACTOR),
            };
            let event = event.with(FieldName::BreakGlass, glass.id).with(FieldName::Principal, glass.opener);
            say(event.with(FieldName::Detail, format_args!("at {place}")))
        };
        Ok((event(Scope::Customer(customer)), event(Scope::Operator)))
    }
}

/// Who ends what is over, and reminds.
const ACTOR: &str = "system/break-glass";

/// Whose doing a step is.
#[derive(Clone, Copy)]
enum By<'c> {
    Person(&'c Caller),
    Vault,
}

/// Moves a glass's timer in the commit that changes it.
fn retimed<'a>(change: Change<'a>, before: &BreakGlass, after: &BreakGlass) -> Result<Change<'a>> {
    let row =
        |glass: &BreakGlass| Some(TimerKind::BreakGlassDue.row(glass.due()?, glass.scope.customer()?, glass.id.uuid()));
    move_timer(change, row(before), row(after))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        use claviger_api::problem::ProblemType as P;
        let because = |problem, what: &str| Self::new(problem, what);
        match refusal {
            Refusal::Ttl => Self::value("ttl_seconds", refusal.to_string()),
            Refusal::Everywhere => Self::value("scope", refusal.to_string()),
            Refusal::Own => {
                because(P::Forbidden, "Nobody agrees to what they asked for; another holder of the role can.")
            }
            Refusal::NothingToAgree => because(P::NothingToDecide, "It is open already, or you have agreed before."),
            Refusal::Closed => Self::new(P::BreakGlassClosed, ""),
            Refusal::NotEnded => because(
                P::InUse,
                "It has not ended, or what was checked out under it is still being ended; close it first.",
            ),
            Refusal::Involved => because(
                P::Forbidden,
                "Nobody reviews what they opened or agreed to; somebody who had no part in it can.",
            ),
            Refusal::CheckoutsFull => {
                because(P::InUse, "Too many checkouts were made under this glass; open another one.")
            }
        }
    }
}
