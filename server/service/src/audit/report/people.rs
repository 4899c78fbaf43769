//! People: who said yes and no, who could not log in, and who has a second factor.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{AuditEvent, PrincipalKind, PrincipalState};
use claviger_api::{CustomerId, PrincipalId, Scope};
use claviger_core::policy::Grant;
use claviger_store::{Range, RowId, Table};

use super::{Draft, Of, Row, actor, field};
use crate::error::Result;
use crate::open::Open;
use crate::records::{FactorsRecord, PrincipalRecord};

/// What tells of a decision that somebody made about another's access.
const DECISIONS: [&str; 4] =
    [EventKind::CheckoutApprovalGiven.text(), EventKind::CheckoutDenied.text(), "break_glass.", "review."];
/// What tells of somebody who was not let in.
const REFUSALS: [&str; 4] = [
    EventKind::LoginFailed.text(),
    EventKind::LoginLockedOut.text(),
    EventKind::SessionRefused.text(),
    EventKind::FactorCloneSuspected.text(),
];

/// A user, and what it can log in with beside its password.
pub(super) struct Person {
    pub record: PrincipalRecord,
    pub apps: usize,
    pub passkeys: usize,
}

impl Person {
    pub fn has_second_factor(&self) -> bool {
        self.apps + self.passkeys > 0
    }
}

impl Open {
    pub(super) async fn approvals_and_reviews(&self, of: Of) -> Result<Draft> {
        let columns = &["at", "what", "who", "about", "account", "detail", "entries"];
        let mut draft = Draft::of(columns);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for customer in self.customers_of(of) {
            for event in self.told_of(Scope::Customer(customer), &DECISIONS, of.since, of.until).await? {
                *counts.entry(event.kind.clone()).or_default() += 1;
                let about = [FieldName::Checkout, FieldName::BreakGlass, FieldName::Review, FieldName::Grant];
                let about = about.into_iter().find_map(|name| field(&event, name));
                let said = [FieldName::Comment, FieldName::Reason, FieldName::Detail];
                let said = said.into_iter().find_map(|name| field(&event, name));
                let row = Row::default().text("at", event.time).text("what", &event.kind).text("who", actor(&event));
                let row = row.maybe("about", about).maybe("account", field(&event, FieldName::Account));
                draft.rows.push(row.maybe("detail", said).entries(vec![event.index]));
            }
        }
        for (kind, count) in counts {
            draft.count(&kind, count);
        }
        Ok(draft)
    }

    pub(super) async fn failed_logins(&self, of: Of) -> Result<Draft> {
        let columns = &["day", "what", "principal", "source", "times", "entries"];
        let mut draft = Draft::of(columns);
        let mut lines: BTreeMap<(String, String, String, String), Vec<u64>> = BTreeMap::new();
        let mut counts: BTreeMap<&str, usize> = REFUSALS.iter().map(|kind| (*kind, 0)).collect();
        for event in self.refused_logins(of).await? {
            if let Some(count) = counts.get_mut(event.kind.as_str()) {
                *count += 1;
            }
            let owned = |name| field(&event, name).unwrap_or_default().to_owned();
            let who = match of.scope {
                Scope::Operator => owned(FieldName::Source),
                Scope::Customer(_) => String::new(),
            };
            let day = event.time.strftime("%Y-%m-%d").to_string();
            lines.entry((day, event.kind.clone(), name_of(&event), who)).or_default().push(event.index);
        }
        for ((day, what, principal, source), entries) in lines {
            let row = Row::default().text("day", day).text("what", what).text("principal", principal);
            let row = row.text("source", source).number("times", u64::try_from(entries.len()).unwrap_or(0));
            // They are entries of the operator's log, which is not the log that a customer's report is of.
            draft.rows.push(if of.scope == Scope::Operator { row.entries(entries) } else { row });
        }
        for (kind, count) in counts {
            draft.count(kind, count);
        }
        Ok(draft)
    }

    /// Who was not let in: of a customer, those who reach it.
    pub(super) async fn refused_logins(&self, of: Of) -> Result<Vec<AuditEvent>> {
        let mut events = self.told_of(Scope::Operator, &REFUSALS, of.since, of.until).await?;
        if let Scope::Customer(customer) = of.scope {
            let reach: BTreeSet<String> = self.who_reaches(customer).await?.iter().map(ToString::to_string).collect();
            let who = |event: &AuditEvent| {
                [FieldName::Principal, FieldName::Actor]
                    .into_iter()
                    .any(|name| field(event, name).is_some_and(|id| reach.contains(id)))
            };
            events.retain(who);
        }
        Ok(events)
    }

    pub(super) async fn second_factors(&self, of: Of) -> Result<Draft> {
        let columns = &["principal", "customer", "state", "authenticator_apps", "passkeys", "last_login", "covered"];
        let mut draft = Draft::of(columns);
        let people = self.people(of).await?;
        let covered = people.iter().filter(|person| person.has_second_factor()).count();
        draft.count("people", people.len());
        draft.count("with a second factor", covered);
        draft.count("with a passkey", people.iter().filter(|person| person.passkeys > 0).count());
        for person in people {
            let has = if person.has_second_factor() { "yes" } else { "no" };
            let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            let row = Row::default().text("principal", &person.record.name);
            let row = match person.record.customer {
                Some(customer) => row.text("customer", self.slug_of(customer).await?),
                None => row,
            };
            let row = row.text("state", crate::event::snake_case(&person.record.state));
            let row = row.number("authenticator_apps", number(person.apps)).number("passkeys", number(person.passkeys));
            draft.rows.push(row.maybe("last_login", person.record.last_login_at).text("covered", has));
        }
        Ok(draft)
    }

    /// The users who may log in: of a customer, those who reach it.
    pub(super) async fn people(&self, of: Of) -> Result<Vec<Person>> {
        let reach = match of.scope {
            Scope::Operator => None,
            Scope::Customer(customer) => Some(self.who_reaches(customer).await?),
        };
        let mut people = Vec::new();
        for row in self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await? {
            let record = row.value;
            let wanted = record.kind == PrincipalKind::User
                && record.state != PrincipalState::Suspended
                && reach.as_ref().is_none_or(|reach| reach.contains(&record.id));
            if !wanted {
                continue;
            }
            let factors = self.read::<FactorsRecord>(&RowId::factors(record.id)).await?;
            let (apps, passkeys) = factors.map_or((0, 0), |row| (row.value.totp.len(), row.value.passkeys.len()));
            people.push(Person { record, apps, passkeys });
        }
        people.sort_by(|a, b| a.record.name.as_str().cmp(b.record.name.as_str()));
        Ok(people)
    }

    /// Whose grants reach a customer now, and its own users.
    pub(super) async fn who_reaches(&self, customer: CustomerId) -> Result<BTreeSet<PrincipalId>> {
        let grants = self.grants_that_reach(customer).await?;
        let mut reach: BTreeSet<PrincipalId> = grants.iter().map(|grant| grant.principal).collect();
        for row in self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await? {
            if row.value.customer == Some(customer) {
                reach.insert(row.value.id);
            }
        }
        Ok(reach)
    }

    /// The grants that have not ended and hold at a customer, or everywhere.
    pub(super) async fn grants_that_reach(&self, customer: CustomerId) -> Result<Vec<Grant>> {
        let grants = self.grants_by_principal(self.now()).await?.into_values().flatten();
        let here = |grant: &Grant| grant.scope.customer().is_none_or(|of| of == customer);
        Ok(grants.map(|row| row.value.0).filter(here).collect())
    }
}

fn name_of(event: &AuditEvent) -> String {
    let names = [FieldName::PrincipalName, FieldName::ActorName, FieldName::Principal, FieldName::Actor];
    names.into_iter().find_map(|name| field(event, name)).unwrap_or_default().to_owned()
}
