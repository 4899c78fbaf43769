//! Rows of a customer, page by page, under the key that seals now.
//!
//! A page goes through the journal, as everything that counts in the sum of a customer's rows, and tells nothing in the log: no row
//! says anything else than before. A row that is changed meanwhile is under the new key by that.

use std::time::Instant;

use claviger_api::{CustomerId, Scope, Timestamp};
use claviger_store::{Layout, Range, Row, RowId, SealedBy, SealedError, SealedPut, StoreKey, Table, Versioned};

use super::{KeyRotationRecord, LOOK_AGAIN, Look, PROVE_AFTER, Pass, Step, timer};
use crate::error::Result;
use crate::journal::{Prepared, Resealed};
use crate::open::Open;
use crate::records::TimerRecord;

/// Rows that are read, and sealed anew, at once: a millisecond or two.
const PAGE: usize = 128;
/// Pages in one go. Between two of them a vault that was sealed meanwhile ends it.
const PAGES_MOST: usize = 16;
/// So many times as long as a page took, nothing is done: whoever is served comes in between.
const REST: u32 = 2;

/// Rows, and where the next page begins; nothing behind the last.
struct Rows {
    rows: Vec<(RowId, Row)>,
    last: Option<StoreKey>,
}

impl Look {
    /// The first of them.
    pub(super) const fn first(due: Timestamp) -> Self {
        Self { pass: Pass::Counting, due, rows: 0, done: 0, resealed: 0, unopened: 0, last: Vec::new() }
    }

    /// The one after this one, where there is one: all rows again.
    fn next(&self, now: Timestamp) -> Option<Self> {
        let (pass, due) = match self.pass {
            Pass::Counting => (Pass::Resealing, self.due),
            Pass::Resealing => (Pass::Proving, now + PROVE_AFTER),
            Pass::Proving if self.resealed > 0 => (Pass::Proving, now + PROVE_AFTER),
            Pass::Proving if self.unopened > 0 => (Pass::Proving, now + LOOK_AGAIN),
            Pass::Proving => return None,
        };
        // Shown until the next look has come to its first row.
        Some(Self { pass, rows: self.done, unopened: self.unopened, ..Self::first(due) })
    }
}

impl Open {
    /// Goes on with a look at all rows of a customer, for some pages.
    pub(super) async fn look_at_rows(
        &self,
        customer: CustomerId,
        mut row: Versioned<KeyRotationRecord>,
        mut look: Look,
    ) -> Result<()> {
        // What opens under neither of its keys would be left behind by the old one's end.
        self.keyring().refresh_customer(self.ground().store.as_ref(), customer).await?;
        if look.last.is_empty() {
            look.unopened = 0;
        }
        for page in 1..=PAGES_MOST {
            let begun = Instant::now();
            let Rows { rows, last } = self.rows_after(customer, &look.last).await?;
            let resealed = self.reseal_page(&mut look, rows)?;
            let Some(last) = last else { return self.end_look(customer, row, look).await };
            look.last = last.as_bytes().to_vec();
            if !resealed.is_empty() || page == PAGES_MOST {
                row = self.store_look(row, look.clone(), resealed, None).await?;
            }
            tokio::time::sleep(begun.elapsed() * REST).await;
        }
        self.ground().wake.notify_waiters();
        Ok(())
    }

    /// What of these rows is under the old key, under the new one.
    fn reseal_page(&self, look: &mut Look, rows: Vec<(RowId, Row)>) -> Result<Vec<Resealed>> {
        let mut resealed = Vec::new();
        look.done += rows.len() as u64;
        if look.pass == Pass::Counting {
            return Ok(resealed);
        }
        for (id, before) in rows {
            match self.keyring().resealed(&id, &before, self.random()) {
                Ok(Some(put)) => resealed.push(Resealed { before, put }),
                Ok(None) => {}
                Err(error @ SealedError::Locked(_)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "a row cannot be sealed anew, and the old key is kept for it");
                    look.unopened += 1;
                }
            }
        }
        look.resealed += resealed.len() as u64;
        Ok(resealed)
    }

    async fn end_look(&self, customer: CustomerId, row: Versioned<KeyRotationRecord>, look: Look) -> Result<()> {
        let Some(next) = look.next(self.now()) else { return self.retire_key(customer, &row, &look).await };
        let moved = if next.due == look.due {
            None
        } else {
            let to = timer(customer, next.due);
            let put = self.sealed().put(
                self.keyring(),
                &to,
                claviger_store::FIRST_REVISION,
                &TimerRecord {},
                self.random(),
            )?;
            Some((timer(customer, look.due), put))
        };
        self.store_look(row, next, Vec::new(), moved).await.map(drop)
    }

    /// Rows under the new key, and how far the look has come, in one commit.
    async fn store_look(
        &self,
        row: Versioned<KeyRotationRecord>,
        look: Look,
        resealed: Vec<Resealed>,
        moved: Option<(RowId, SealedPut)>,
    ) -> Result<Versioned<KeyRotationRecord>> {
        let value = KeyRotationRecord { step: Step::Looking(look), ..row.value };
        let revision = row.revision + 1;
        let progress = self.sealed().put(self.keyring(), &row.id, revision, &value, self.random())?;
        self.commit_prepared(Prepared::resealed(resealed, progress, moved)).await?;
        Ok(Versioned { id: row.id, revision, value })
    }

    /// The next rows that the customer's key seals or wraps, of one table, in the order of their keys.
    async fn rows_after(&self, customer: CustomerId, last: &[u8]) -> Result<Rows> {
        let scope = Scope::Customer(customer);
        let mut last = StoreKey::from_stored(last);
        for range in Table::ALL.into_iter().filter_map(|table| rows_of(table, scope)) {
            while last < range.end {
                let range = range.clone().after(&last).limit(PAGE);
                let found = self.ground().store.scan(&range).await?;
                last = match found.last() {
                    Some((last, _)) if found.len() == PAGE => last.clone(),
                    Some(_) | None => range.end,
                };
                let rows: Vec<(RowId, Row)> = found
                    .into_iter()
                    .map(|(key, row)| Ok((RowId::from_key(&key).map_err(SealedError::from)?, row)))
                    .filter(|row: &Result<(RowId, Row)>| row.as_ref().map_or(true, |(id, _)| id.scope() == scope))
                    .collect::<Result<_>>()?;
                if !rows.is_empty() {
                    return Ok(Rows { rows, last: Some(last) });
                }
            }
        }
        Ok(Rows { rows: Vec::new(), last: None })
    }
}

/// Where a customer's rows of a table are, if its key seals or wraps some of them.
fn rows_of(table: Table, scope: Scope) -> Option<Range> {
    match (table.sealed_by(), table.layout()) {
        (SealedBy::Nobody | SealedBy::Operator, _) => None,
        (SealedBy::Owner | SealedBy::Wrapped, Layout::Scoped(_)) => Some(Range::scope(table, scope)),
        (SealedBy::Owner | SealedBy::Wrapped, Layout::Due | Layout::Name) => Some(Range::table(table)),
    }
}
