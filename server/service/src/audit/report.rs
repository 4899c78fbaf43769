//! What auditors ask, answered from the log and from what is there now. Each row that tells of something that happened names
//! the entries that say so, so that an exported log proves the report.

use std::collections::BTreeMap;

use claviger_api::audit::record::FieldName;
use claviger_api::wire::{
    AuditEvent, AuditReport, AuditReportQuery, REPORT_ROWS_MAX, ReportCell, ReportFigure, ReportKind,
};
use claviger_api::{CustomerId, PrincipalId, Scope, Timestamp};
use claviger_core::policy::{AuditRead, Permit};
use claviger_store::{Range, Table};
use jiff::SignedDuration;

use super::index::Mark;
use super::search::Search;
use crate::error::{Error, Result};
use crate::open::{Caller, Open};
use crate::records::{FormerPrincipalRecord, PrincipalRecord};

mod accounts;
mod advisory;
mod held;
mod people;

/// What a report is of, unless it is asked for otherwise.
const DAYS: i64 = 30;
/// The most events that a report is made of; more is more than somebody reads.
const EVENTS_MAX: usize = 100_000;
/// What the log says of whoever asks for a report.
const HOW: &str = "report";

/// A report in the making.
struct Draft {
    columns: &'static [&'static str],
    rows: Vec<Row>,
    summary: Vec<ReportFigure>,
}

/// A row in the making: cells by the names of their columns.
#[derive(Default)]
struct Row(BTreeMap<String, ReportCell>);

/// What a report is of.
#[derive(Clone, Copy)]
struct Of {
    scope: Scope,
    since: Timestamp,
    until: Timestamp,
}

impl Open {
    /// A report of a customer, or of the whole house. That somebody asked is an event of that log.
    pub async fn audit_report(
        &self,
        scope: Scope,
        query: &AuditReportQuery,
        caller: &Caller,
        permit: Permit<AuditRead>,
    ) -> Result<AuditReport> {
        let now = self.now();
        let before = SignedDuration::from_hours(24 * DAYS);
        let until = query.until.unwrap_or(now);
        let since = query.since.unwrap_or(until.saturating_sub(before).unwrap_or(Timestamp::MIN));
        if since >= until {
            return Err(Error::value("since", "a report is of a time that begins before it ends"));
        }
        let asked = Search::of(Vec::new(), None, None, query.report.text());
        self.tell_of_reading(scope, &asked, HOW, caller).await?;
        // What happened at this very moment has happened.
        let until_then = query.until.unwrap_or(now + SignedDuration::from_millis(1));
        let of = Of { scope, since, until: until_then };
        let draft = match query.report {
            ReportKind::Timeline => self.timeline(of).await?,
            ReportKind::Irregular => self.irregular(of).await?,
            ReportKind::Revocations => self.revocations(of).await?,
            ReportKind::Accounts => self.accounts_and_ages(of).await?,
            ReportKind::Approvals => self.approvals_and_reviews(of).await?,
            ReportKind::Logins => self.failed_logins(of).await?,
            ReportKind::Mfa => self.second_factors(of).await?,
            ReportKind::Advisory => self.advisory(of).await?,
        };
        let log = self.checkpoint(scope, permit).await?;
        let more = draft.rows.len() > REPORT_ROWS_MAX;
        let customer = match scope {
            Scope::Operator => None,
            Scope::Customer(customer) => Some(self.slug_of(customer).await?.to_string()),
        };
        Ok(AuditReport {
            report: query.report,
            customer,
            since,
            until,
            made_at: now,
            log,
            summary: draft.summary,
            columns: draft.columns.iter().map(ToString::to_string).collect(),
            rows: draft.rows.into_iter().take(REPORT_ROWS_MAX).map(|row| row.0).collect(),
            more,
        })
    }

    /// The customers that a report is of: one, or every one that is open.
    fn customers_of(&self, of: Of) -> Vec<CustomerId> {
        match of.scope {
            Scope::Operator => self.keyring().customers(),
            Scope::Customer(customer) => vec![customer],
        }
    }

    /// What a log tells of these kinds in that time, the oldest first.
    async fn told_of(
        &self,
        scope: Scope,
        kinds: &[&str],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<AuditEvent>> {
        let mark = |kind: &&str| {
            if kind.ends_with('.') { Mark::Kinds((*kind).to_owned()) } else { Mark::field(FieldName::Kind, kind) }
        };
        let search = Search::of(vec![kinds.iter().map(mark).collect()], Some(since), Some(until), "");
        let size = self.head(scope).await?.frontier.size();
        let page = self.search(scope, &search, size, EVENTS_MAX).await?;
        if page.next_cursor.is_some() {
            return Err(Error::value("since", format!("more than {EVENTS_MAX} events are of that time; ask for less")));
        }
        let mut events = page.items;
        events.reverse();
        Ok(events)
    }

    /// What principals are called, or were.
    async fn names(&self) -> Result<BTreeMap<PrincipalId, String>> {
        let mut names = BTreeMap::new();
        for row in self.all::<FormerPrincipalRecord>(&Range::scope(Table::FormerPrincipals, Scope::Operator)).await? {
            names.extend(row.id.uuid().map(|id| (PrincipalId::from_uuid(id), row.value.name.to_string())));
        }
        for row in self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await? {
            names.insert(row.value.id, row.value.name.to_string());
        }
        Ok(names)
    }
}

impl Draft {
    fn of(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new(), summary: Vec::new() }
    }

    fn count(&mut self, name: &str, number: usize) {
        self.figure(name, ReportCell::Number(u64::try_from(number).unwrap_or(u64::MAX)));
    }

    fn figure(&mut self, name: &str, value: ReportCell) {
        self.summary.push(ReportFigure { name: name.to_owned(), value });
    }
}

impl Row {
    /// A text; an empty one is left out.
    #[expect(clippy::needless_pass_by_value, reason = "names, times and words are written alike")]
    fn text(mut self, column: &str, text: impl ToString) -> Self {
        let text = text.to_string();
        if !text.is_empty() {
            self.0.insert(column.to_owned(), ReportCell::Text(text));
        }
        self
    }

    fn maybe(self, column: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.text(column, text),
            None => self,
        }
    }

    fn number(mut self, column: &str, number: u64) -> Self {
        self.0.insert(column.to_owned(), ReportCell::Number(number));
        self
    }

    fn entries(mut self, entries: Vec<u64>) -> Self {
        if !entries.is_empty() {
            self.0.insert("entries".to_owned(), ReportCell::Entries(entries));
        }
        self
    }
}

/// A field of an event.
fn field(event: &AuditEvent, name: FieldName) -> Option<&str> {
    event.fields.get(name.text()).map(String::as_str)
}

/// Who did it, by name where there is one.
fn actor(event: &AuditEvent) -> &str {
    field(event, FieldName::ActorName).or(field(event, FieldName::Actor)).unwrap_or_default()
}

/// Whole days between two moments.
fn days(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_hours() / 24).unwrap_or(0)
}
