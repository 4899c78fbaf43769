//! Refused acts, told in the log: who asked for what, where, and what was missing.
//!
//! Only what is refused to somebody who may see the thing. What is hidden is told nowhere: the answer would take longer than
//! that for what does not exist, and so give it away. Nor is it a refusal to be asked for a second factor.
//!
//! Whoever is refused in a loop must not fill the log: the same is told once in an hour, and no more than
//! [`A_PRINCIPAL_MOST`] of one principal. Where the log cannot be written the answer is no other.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::{PrincipalId, Scope, Timestamp};
use claviger_core::policy::{Action, Resource};
use claviger_store::RowId;
use jiff::SignedDuration;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::accounts::of_account;
use crate::inventory::short_text;
use crate::open::{Caller, Open};
use crate::records::SystemRecord;

/// How long the same refusal is told no second time.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(1);
/// The most refusals of one principal that are told in that time.
pub(crate) const A_PRINCIPAL_MOST: usize = 100;
/// The most principals of whom is known what was told.
const PRINCIPALS_MOST: usize = 10_000;

/// What was told lately.
#[derive(Default)]
pub(crate) struct Told(Mutex<HashMap<PrincipalId, Hour>>);

/// What was told of one principal since a time.
struct Hour {
    since: Timestamp,
    told: HashSet<(Action, Resource, ProblemType)>,
}

impl Told {
    /// Whether this is to be told. How many of this principal were told before it, then.
    fn one_more(
        &self,
        principal: PrincipalId,
        refusal: (Action, Resource, ProblemType),
        now: Timestamp,
    ) -> Option<usize> {
        let over = |hour: &Hour| now.duration_since(hour.since) >= TOLD_FOR;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PRINCIPALS_MOST {
            all.retain(|_, hour| !over(hour));
        }
        if all.len() >= PRINCIPALS_MOST {
            all.clear();
        }
        let hour = all.entry(principal).or_insert_with(|| Hour { since: now, told: HashSet::new() });
        if over(hour) {
            *hour = Hour { since: now, told: HashSet::new() };
        }
        let before = hour.told.len();
        (before < A_PRINCIPAL_MOST && hour.told.insert(refusal)).then_some(before)
    }
}

impl Open {
    /// Tells of a refusal, if it is one to be told. Never in the way of the answer.
    pub(crate) async fn tell_refusal(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        ticket: Option<&str>,
        refusal: &Error,
    ) {
        let problem = refusal.problem;
        if !is_told(problem) || action.is_free() {
            return;
        }
        let Some(before) = self.told.one_more(caller.id, (action, *resource, problem), self.now()) else { return };
        let told = async {
            let event = self.refusal_event(caller, action, resource, ticket, problem).await?;
            let event = if before + 1 == A_PRINCIPAL_MOST {
                event.with(FieldName::Detail, "further refusals of this hour are not told")
            } else {
                event
            };
            self.commit(self.change(event)).await
        };
        // A locked customer's log takes no entry.
        if let Err(error) = told.await
            && error.locked.is_none()
        {
            tracing::warn!(?error, "a refusal could not be told in the log");
        }
    }

    async fn refusal_event(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        ticket: Option<&str>,
        problem: ProblemType,
    ) -> Result<Event> {
        let log = resource.customer().map_or(Scope::Operator, Scope::Customer);
        let event = self
            .event(log, EventKind::AccessDenied, caller)
            .with(FieldName::Action, action)
            .with(FieldName::Cause, problem.row().code)
            .with(FieldName::Ticket, ticket.filter(|text| short_text("ticket", text).is_ok()).unwrap_or_default());
        Ok(match *resource {
            Resource::Operator => event,
            Resource::Customer(customer) => event.with(FieldName::Customer, self.slug_of(customer).await?),
            Resource::System(customer, system) => {
                let system = self.load::<SystemRecord>(&RowId::system(customer, system)).await?.value;
                event.with(FieldName::Customer, self.slug_of(customer).await?).with(FieldName::System, system.name)
            }
            Resource::Account(customer, system, account) => {
                of_account(event, &self.path_or_removed(customer, system, account).await?)
            }
            Resource::Checkout { customer, system, account, checkout, .. } => {
                of_account(event, &self.path_or_removed(customer, system, account).await?)
                    .with(FieldName::Checkout, checkout)
            }
        })
    }
}

/// The refusals of the policy, but for the question for a second factor.
fn is_told(problem: ProblemType) -> bool {
    matches!(
        problem,
        ProblemType::Forbidden
            | ProblemType::OutOfHours
            | ProblemType::WrongNetwork
            | ProblemType::TicketNeeded
            | ProblemType::RevealsSpent
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_same_refusal_is_told_once_an_hour_and_a_hundred_of_one_principal() {
        let (told, start) = (Told::default(), "2026-11-24T09:00:00Z".parse::<Timestamp>().unwrap());
        let who = |n| PrincipalId::from_uuid(Uuid::from_u128(n));
        let what = |n| {
            let customer = claviger_api::CustomerId::from_uuid(Uuid::from_u128(n));
            (Action::CustomerUpdate, Resource::Customer(customer), ProblemType::Forbidden)
        };
        assert_eq!(told.one_more(who(1), what(1), start), Some(0));
        assert_eq!(told.one_more(who(1), what(1), start), None);
        assert_eq!(told.one_more(who(2), what(1), start), Some(0), "another's is another");
        for n in 2..=100 {
            assert!(told.one_more(who(1), what(n), start).is_some());
        }
        assert_eq!(told.one_more(who(1), what(101), start), None, "enough of this hour");
        let just_before = start + TOLD_FOR - SignedDuration::from_millis(1);
        assert_eq!(told.one_more(who(1), what(1), just_before), None);
        assert_eq!(told.one_more(who(1), what(1), start + TOLD_FOR), Some(0));
    }

    #[test]
    fn no_more_than_so_many_principals_are_remembered() {
        let (told, now) = (Told::default(), "2026-11-24T09:00:00Z".parse::<Timestamp>().unwrap());
        for n in 0..=u128::try_from(PRINCIPALS_MOST).unwrap() {
            let who = PrincipalId::from_uuid(Uuid::from_u128(n));
            told.one_more(who, (Action::SysSeal, Resource::Operator, ProblemType::Forbidden), now);
        }
        assert!(told.0.lock().unwrap().len() <= PRINCIPALS_MOST);
    }
}
