//! Events as people read them, newest first.

use std::collections::BTreeMap;

use claviger_api::audit::record::{Entry, FieldName, FieldView};
use claviger_api::wire::{AuditEvent, AuditQuery};
use claviger_api::{PrincipalId, Scope, Timestamp};
use claviger_core::policy::{AuditRead, Permit};
use claviger_store::{Range, Table, Versioned};

use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::open::Open;
use crate::page::{Page, Paging, cursor_after};

impl Open {
    /// The events of a log that the query asks for, newest first.
    pub async fn audit_events(
        &self,
        scope: Scope,
        query: &AuditQuery,
        paging: &Paging,
        _permit: Permit<AuditRead>,
    ) -> Result<Page<AuditEvent>> {
        let mut range = paging.within(Range::scope(Table::LogLeaves, scope).reversed())?;
        let mut items = Vec::new();
        loop {
            let rows = self.list::<StoredLeaf>(&range).await?;
            let full = rows.len() == range.limit;
            let last = rows.last().map(|row| row.id.to_key());
            for row in rows {
                if is_older(&row.value, query.since) {
                    return Ok(Page { items, next_cursor: None });
                }
                let entry = self.entry(scope, &row.value).await?;
                if !wanted(&entry, query) {
                    continue;
                }
                items.push(event(&row, &entry)?);
                if items.len() == paging.limit() {
                    return Ok(Page { items, next_cursor: Some(cursor_after(&row.id)) });
                }
            }
            match last {
                Some(last) if full => range = range.after(&last),
                Some(_) | None => return Ok(Page { items, next_cursor: None }),
            }
        }
    }

    /// An entry with its personal fields, where their keys are still there.
    pub(crate) async fn entry(&self, scope: Scope, leaf: &StoredLeaf) -> Result<Entry> {
        let mut keys = Vec::new();
        for subject in leaf.subjects() {
            if let Some(key) = self.subject_key(scope, subject).await? {
                keys.push((subject, key));
            }
        }
        let key = |subject: PrincipalId| keys.iter().find(|(other, _)| *other == subject).map(|(_, key)| key.clone());
        leaf.entry(scope, key)
    }
}

/// Whether an entry is from before a time.
pub(crate) fn is_older(leaf: &StoredLeaf, since: Option<Timestamp>) -> bool {
    let time = leaf.value(FieldName::Time).and_then(|time| time.parse::<Timestamp>().ok());
    since.zip(time).is_some_and(|(since, time)| time < since)
}

fn wanted(entry: &Entry, query: &AuditQuery) -> bool {
    let is = |name, wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| entry.value(name) == Some(wanted));
    let kind = query.kind.as_deref().is_none_or(|kind| {
        let found = entry.value(FieldName::Kind).unwrap_or_default();
        found == kind || (kind.ends_with('.') && found.starts_with(kind))
    });
    let actor = is(FieldName::Actor, &query.actor) || is(FieldName::ActorName, &query.actor);
    let time = entry.value(FieldName::Time).and_then(|time| time.parse::<Timestamp>().ok());
    let before = query.until.zip(time).is_none_or(|(until, time)| time < until);
    kind && actor && before && is(FieldName::Account, &query.account) && is(FieldName::Checkout, &query.checkout)
}

fn event(row: &Versioned<StoredLeaf>, entry: &Entry) -> Result<AuditEvent> {
    let gone = || Error::internal("an entry without its time, kind or number");
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for (name, view) in entry.views() {
        if let FieldView::Open { value, .. } = view {
            fields.insert(name.text().to_owned(), value.clone());
        }
    }
    let mut take = |name: FieldName| fields.remove(name.text()).ok_or_else(gone);
    let time = take(FieldName::Time)?.parse().map_err(Error::internal)?;
    let kind = take(FieldName::Kind)?;
    Ok(AuditEvent { index: row.id.number().ok_or_else(gone)?, time, kind, fields })
}
