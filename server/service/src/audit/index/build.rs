//! The index is written behind its log: a block when it is full, a segment with its last block.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::record::FieldName::{Actor, Principal};
use claviger_api::{PrincipalId, Scope};
use claviger_store::{
    Batch, CommitError, Expected, FIRST_REVISION, RowId, SealedError, SealedPut, StoreKey, customer_row,
};

use super::{LAST_CHILD, Mark, NewPage, Page, WIDTH, marks_of};
use crate::audit::search::Search;
use crate::audit::time_of;
use crate::error::{Error, Result};
use crate::open::Open;

/// Entries that are looked at in one go.
const ABOUT_MOST: usize = 1000;

impl Open {
    /// Writes the pages of one block, of the first log that has a full one without. Whether there was one.
    pub(crate) async fn index_a_block(&self) -> Result<bool> {
        let _one = self.indexing.lock().await;
        let Some(_here) = self.nodes.claim("index").await else { return Ok(false) };
        let customers = self.keyring().customers().into_iter().map(Scope::Customer);
        for scope in std::iter::once(Scope::Operator).chain(customers) {
            if self.indexed_blocks(scope).await? < self.head(scope).await?.frontier.size() / WIDTH {
                self.index_block(scope).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many blocks of a log have pages: those from the first one on.
    pub(crate) async fn indexed_blocks(&self, scope: Scope) -> Result<u64> {
        if let Some(known) = self.indexed.lock().get(&scope) {
            return Ok(*known);
        }
        let mut least = 0;
        let mut most = self.head(scope).await?.frontier.size() / WIDTH;
        while least < most {
            let middle = least + (most - least) / 2;
            let page = self.sealed().store().get(&RowId::log_index(scope, 0, middle, 0).to_key()).await?;
            if page.is_some() { least = middle + 1 } else { most = middle }
        }
        self.indexed.lock().insert(scope, least);
        Ok(least)
    }

    /// Writes the pages of the next block. It must be full.
    async fn index_block(&self, scope: Scope) -> Result<()> {
        let (block, key) = (self.indexed_blocks(scope).await?, self.key_expected(scope).await?);
        let bytes = self.block_page(scope, block).await?;
        let mut pages = vec![self.sealed_page(&RowId::log_index(scope, 0, block, 0), &bytes)?];
        if (block + 1).is_multiple_of(WIDTH) {
            pages.extend(self.segment_pages(scope, block / WIDTH, &bytes).await?);
        }
        let mut expect: Vec<_> = pages.iter().map(|page| (page.key.clone(), Expected::Absent)).collect();
        expect.extend(key.clone());
        let put = pages.into_iter().map(|page| (page.key, page.row)).collect();
        // No change of the vault's state, and so without an event: what a page says is in the log.
        match self.sealed().store().commit(Batch { expect, put, delete: Vec::new() }).await {
            // The customer's key was changed meanwhile: it is done again.
            Err(CommitError::Conflict(row)) if key.is_some_and(|(key, _)| key == row) => return Ok(()),
            // Another node was faster.
            Ok(()) | Err(CommitError::Conflict(_)) => {}
            Err(failed) => return Err(failed.into()),
        }
        self.indexed.lock().insert(scope, block + 1);
        Ok(())
    }

    /// A page does not go through the journal, which sees to it that nothing is stored under a key that is being replaced: so it expects
    /// that key to be the one that it is sealed under.
    async fn key_expected(&self, scope: Scope) -> Result<Option<(StoreKey, Expected)>> {
        let Scope::Customer(customer) = scope else { return Ok(None) };
        self.keyring().refresh_customer(self.ground().store.as_ref(), customer).await?;
        let revision = self.keyring().customer_revision(customer).ok_or(SealedError::Locked(customer))?;
        Ok(Some((customer_row(customer).to_key(), Expected::Revision(revision))))
    }

    /// The pages that may hold words of a person, and the first block that has to be indexed anew without them: every page that
    /// names an entry about that person, and every segment's with one of those.
    pub(crate) async fn pages_about(&self, scope: Scope, person: PrincipalId) -> Result<(Vec<RowId>, Option<u64>)> {
        let (id, mut blocks) = (person.to_string(), BTreeSet::new());
        let search = Search::of(vec![vec![Mark::field(Actor, &id), Mark::field(Principal, &id)]], None, None, "");
        let mut below = self.head(scope).await?.frontier.size();
        loop {
            let page = self.search(scope, &search, below, ABOUT_MOST).await?;
            blocks.extend(page.items.iter().map(|event| event.index / WIDTH));
            match page.items.last() {
                Some(last) if page.next_cursor.is_some() => below = last.index,
                Some(_) | None => break,
            }
        }
        let indexed = self.indexed_blocks(scope).await?;
        let first = blocks.first().copied().filter(|first| *first < indexed);
        let mut pages: Vec<RowId> = Vec::new();
        for segment in blocks.iter().map(|block| block / WIDTH).collect::<BTreeSet<u64>>() {
            // A segment's page is written with its last block.
            blocks.insert(segment * WIDTH + WIDTH - 1);
            pages.extend((0..=u8::MAX).map(|part| RowId::log_index(scope, 1, segment, part)));
        }
        pages.extend(blocks.iter().map(|block| RowId::log_index(scope, 0, *block, 0)));
        Ok((pages, first))
    }

    /// Whether a page of this log has this word.
    #[cfg(test)]
    pub(crate) async fn has_indexed(&self, scope: Scope, word: &str) -> bool {
        let (term, mut found) = (Mark::Word(word.to_owned()).term(), false);
        for block in 0..self.indexed_blocks(scope).await.unwrap_or(0) {
            for id in [RowId::log_index(scope, 0, block, 0), RowId::log_index(scope, 1, block / WIDTH, term.part())] {
                let stored = self.sealed().read_bytes(self.keyring(), &id).await.ok().flatten();
                let page = stored.as_ref().and_then(|stored| Page::read(&stored.value));
                found |= page.is_some_and(|page| page.children(term) != super::Children::NONE);
            }
        }
        found
    }

    /// From this block on pages may be missing: those that are there are passed over.
    pub(crate) fn index_from(&self, scope: Scope, block: u64) {
        self.indexed.lock().insert(scope, block);
    }

    /// The page of a full block, from its entries.
    async fn block_page(&self, scope: Scope, block: u64) -> Result<Vec<u8>> {
        let mut page = NewPage::default();
        for child in 0..=LAST_CHILD {
            let leaf = self.leaf(scope, block * WIDTH + u64::from(child)).await?;
            let entry = self.entry(scope, &leaf).await?;
            if let Some(time) = time_of(&entry) {
                page.spans(time.as_millisecond(), time.as_millisecond());
            }
            for mark in marks_of(&entry) {
                page.add(mark.term(), child);
            }
        }
        Ok(page.bytes())
    }

    /// The parts of a segment's page, of which the last block is not stored yet.
    async fn segment_pages(&self, scope: Scope, segment: u64, last: &[u8]) -> Result<Vec<SealedPut>> {
        let mut parts: BTreeMap<u8, NewPage> = BTreeMap::new();
        for child in 0..=LAST_CHILD {
            let block = segment * WIDTH + u64::from(child);
            let stored = self.sealed().read_bytes(self.keyring(), &RowId::log_index(scope, 0, block, 0)).await?;
            let bytes = match stored {
                Some(stored) => stored.value.to_vec(),
                None if child == LAST_CHILD => last.to_vec(),
                // It was lost, or taken away and not written again yet.
                None => self.block_page(scope, block).await?,
            };
            let page = Page::read(&bytes).ok_or_else(|| Error::internal("a page of a log's index cannot be read"))?;
            for part in 0..=u8::MAX {
                parts.entry(part).or_default().spans(page.span.0, page.span.1);
            }
            for (term, _) in page.terms() {
                parts.entry(term.part()).or_default().add(term, child);
            }
        }
        let pages = parts
            .iter()
            .map(|(part, page)| self.sealed_page(&RowId::log_index(scope, 1, segment, *part), &page.bytes()));
        pages.collect()
    }

    fn sealed_page(&self, id: &RowId, bytes: &[u8]) -> Result<SealedPut> {
        Ok(self.sealed().put_bytes(self.keyring(), id, FIRST_REVISION, bytes, self.random())?)
    }
}
