//! What is to be stored together, and the events without which it cannot be.

use std::borrow::Borrow;
use std::sync::Arc;

use claviger_crypto::Random;
use claviger_store::{Expected, FIRST_REVISION, Keyring, Row, RowId, Sealed, SealedPut, Versioned};

use crate::error::{Error, Result};
use crate::escrow::Copied;
use crate::event::{Event, PreparedLeaf};
use crate::kept::Kept;
use crate::open::Kind;

/// A change in the making. It begins with an event: there is none without.
pub struct Change<'a> {
    sealed: &'a Sealed,
    keyring: &'a Keyring,
    random: &'a dyn Random,
    kept: &'a Kept,
    events: Vec<Event>,
    expect: Vec<(RowId, Expected)>,
    put: Vec<SealedPut>,
    delete: Vec<RowId>,
    touched: Vec<RowId>,
    copied: Vec<Copied>,
}

/// A change whose rows are sealed and whose events are committed to: ready for the writer.
pub struct Prepared {
    pub(super) leaves: Vec<PreparedLeaf>,
    pub(super) expect: Vec<(RowId, Expected)>,
    pub(super) put: Vec<SealedPut>,
    pub(super) delete: Vec<RowId>,
    pub(super) touched: Vec<RowId>,
    pub(super) resealed: Vec<Resealed>,
}

/// A row that was sealed under another key, and holds what it held.
pub struct Resealed {
    /// The row as it was read.
    pub before: Row,
    /// The same under the key that seals now, at the same revision.
    pub put: SealedPut,
}

impl Prepared {
    /// Rows under another key, and how far that has come. The one way to the writer without an event: no row says anything else than
    /// before. A row that was changed meanwhile is passed over.
    /// `moved` is the timer by which that goes on, from here to there.
    pub fn resealed(rows: Vec<Resealed>, progress: SealedPut, moved: Option<(RowId, SealedPut)>) -> Self {
        let mut expect = vec![(progress.id.clone(), Expected::Revision(progress.row.revision.saturating_sub(1)))];
        let (mut put, mut delete) = (vec![progress], Vec::new());
        if let Some((from, to)) = moved {
            expect.push((to.id.clone(), Expected::Absent));
            put.push(to);
            delete.push(from);
        }
        Self { leaves: Vec::new(), expect, put, delete, touched: Vec::new(), resealed: rows }
    }
}

impl<'a> Change<'a> {
    /// Something happened. What is sealed is kept at hand too, for whoever reads it once it is stored.
    pub fn because(
        sealed: &'a Sealed,
        keyring: &'a Keyring,
        random: &'a dyn Random,
        kept: &'a Kept,
        event: Event,
    ) -> Self {
        let (expect, put, delete) = (Vec::new(), Vec::new(), Vec::new());
        let (touched, copied) = (Vec::new(), Vec::new());
        Self { sealed, keyring, random, kept, events: vec![event], expect, put, delete, touched, copied }
    }

    /// And this happened too.
    #[must_use]
    pub fn and(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// The row must still be as it was read.
    #[must_use]
    pub fn expect<T>(mut self, row: &Versioned<T>) -> Self {
        self.expect.push((row.id.clone(), Expected::Revision(row.revision)));
        self
    }

    /// A row must be at this revision.
    #[must_use]
    pub fn expect_at(mut self, id: RowId, revision: u64) -> Self {
        self.expect.push((id, Expected::Revision(revision)));
        self
    }

    /// A row that must not be there yet.
    pub fn create<T: Kind>(mut self, id: RowId, value: &T) -> Result<Self> {
        self.seal(&id, FIRST_REVISION, value)?;
        self.expect.push((id, Expected::Absent));
        Ok(self)
    }

    /// A row that must still be as it was read.
    pub fn update<T: Kind>(mut self, row: &Versioned<impl Borrow<T>>, value: &T) -> Result<Self> {
        self.seal(&row.id, row.revision + 1, value)?;
        Ok(self.expect(row))
    }

    fn seal<T: Kind>(&mut self, id: &RowId, revision: u64, value: &T) -> Result<()> {
        let put = self.sealed.put(self.keyring, id, revision, value, self.random)?;
        self.kept.keep(id, &put.key, &put.row, || Arc::new(value.clone()));
        self.put.push(put);
        Ok(())
    }

    /// A row that is sealed already, and must not be there yet: a secret, a wrapped key.
    #[must_use]
    pub fn create_sealed(mut self, put: SealedPut) -> Self {
        self.expect.push((put.id.clone(), Expected::Absent));
        self.put.push(put);
        self
    }

    /// A row that is sealed already takes the place of the one before it.
    #[must_use]
    pub fn replace_sealed(mut self, put: SealedPut) -> Self {
        self.expect.push((put.id.clone(), Expected::Revision(put.row.revision.saturating_sub(1))));
        self.put.push(put);
        self
    }

    /// A row that was read goes.
    #[must_use]
    pub fn remove<T>(mut self, row: &Versioned<T>) -> Self {
        self.delete.push(row.id.clone());
        self.expect(row)
    }

    /// A row goes, whatever it holds, if it is there.
    #[must_use]
    pub fn erase(mut self, id: RowId) -> Self {
        self.delete.push(id);
        self
    }

    /// A row that must still be as it was read, and is written again unchanged: whoever decided by it meanwhile, without
    /// changing it, decides anew.
    pub fn rewrite<T: Kind>(self, row: &Versioned<T>) -> Result<Self> {
        self.update(row, &row.value)
    }

    /// What is kept at hand of this row depends on the change, though the row itself is not written.
    #[must_use]
    pub fn touches(mut self, id: RowId) -> Self {
        self.touched.push(id);
        self
    }

    /// What is to be in the escrow stream before the change is committed.
    #[must_use]
    pub fn copied(mut self, copied: Option<Copied>) -> Self {
        self.copied.extend(copied);
        self
    }

    /// The same, for whoever commits it.
    pub fn take_copied(&mut self) -> Vec<Copied> {
        std::mem::take(&mut self.copied)
    }

    /// The events, for their subjects' keys.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Commits to the events. `leaf` makes an event's leaf.
    pub fn prepare(self, leaf: impl Fn(Event) -> Result<PreparedLeaf>) -> Result<Prepared> {
        let Self { events, expect, put, delete, touched, .. } = self;
        let leaves: Vec<PreparedLeaf> = events.into_iter().map(leaf).collect::<Result<_>>()?;
        if leaves.is_empty() {
            return Err(Error::internal("a change without an event"));
        }
        Ok(Prepared { leaves, expect, put, delete, touched, resealed: Vec::new() })
    }
}

#[cfg(feature = "failpoints")]
impl Prepared {
    /// What its events will be stored as.
    pub fn leaves(&self) -> impl Iterator<Item = &crate::event::StoredLeaf> {
        self.leaves.iter().map(|leaf| &leaf.stored)
    }
}
