//! A log as it grows, for whoever watches it.

use claviger_api::Scope;
use claviger_api::wire::{AuditEvent, AuditQuery};
use claviger_core::policy::{AuditRead, Permit};

use super::search::{Search, event};
use crate::error::{Error, Result};
use crate::open::{Caller, Open};

/// The most entries that are read before somebody is told how far it is.
const STRIDE: u64 = 1000;
/// What the log says of somebody who watches.
const HOW: &str = "follow";

/// What somebody watches: a log, from where on, and what of it.
pub struct Following {
    scope: Scope,
    search: Search,
    next: u64,
}

impl Open {
    /// Begins to watch a log: what happens from now on, or after the entry that was seen last. That is an event of the log,
    /// and is not watched itself.
    ///
    /// # Errors
    ///
    /// The query is no search, or is one of the past (`until`, pages).
    pub async fn begin_following(
        &self,
        scope: Scope,
        query: &AuditQuery,
        seen: Option<u64>,
        caller: &Caller,
        _permit: Permit<AuditRead>,
    ) -> Result<Following> {
        let past =
            [("until", query.until.is_some()), ("limit", query.limit.is_some()), ("cursor", query.cursor.is_some())];
        if let Some((name, _)) = past.into_iter().find(|(_, given)| *given) {
            return Err(Error::value(name, "what is watched has no end and no pages; leave it out"));
        }
        let search = Search::new(query)?;
        let told = self.tell_of_reading(scope, &search, HOW, caller).await?;
        let next = seen.map_or(told + 1, |seen| seen.saturating_add(1).min(told + 1));
        Ok(Following { scope, search, next })
    }

    /// What has come since the last time, the oldest first. Empty is not the end.
    pub async fn follow(&self, following: &mut Following, _permit: Permit<AuditRead>) -> Result<Vec<AuditEvent>> {
        let size = self.head(following.scope).await?.frontier.size();
        let mut events = Vec::new();
        for index in following.next..size.min(following.next.saturating_add(STRIDE)) {
            let entry = self.entry(following.scope, &self.leaf(following.scope, index).await?).await?;
            if following.search.wants(&entry) {
                events.push(event(index, &entry)?);
            }
            following.next = index + 1;
        }
        Ok(events)
    }
}
