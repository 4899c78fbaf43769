//! What a backup holds, piece by piece: enough to tell, later, which pieces are other ones by then.
//!
//! Rows in the order of their keys are cut into pieces where a key's own hash says so, so that a row that comes or goes moves no border
//! but its own. Of a piece its digest is remembered: 32 bytes for about [`ROWS`] rows.

use std::collections::HashSet;
use std::io::{self, Write};

use claviger_store::{Row, StoreKey};
use sha2::{Digest as _, Sha256};

use super::file::{Ended, Keys, Writer};

/// About how many rows a piece has; a power of two.
const ROWS: u8 = 16;

/// The digests of a backup's pieces.
#[derive(Default)]
pub(super) struct Index(HashSet<[u8; 32]>);

/// Writes rows piece by piece: all of them, or those that are not in an older backup's index.
pub(super) struct Pieces<'i, W: Write> {
    writer: Writer<W>,
    base: Option<&'i Index>,
    index: Index,
    from: StoreKey,
    rows: Vec<(StoreKey, Row)>,
}

impl<'i, W: Write> Pieces<'i, W> {
    /// Begins, over what was there before, or with nothing.
    pub fn begin(writer: Writer<W>, base: Option<&'i Index>) -> Self {
        let from = StoreKey::from_stored(Vec::new());
        Self { writer, base, index: Index::default(), from, rows: Vec::new() }
    }

    /// The next row.
    pub fn row(&mut self, key: StoreKey, row: Row) -> io::Result<()> {
        if is_border(&key) {
            self.piece(Some(key.clone()))?;
        }
        self.rows.push((key, row));
        Ok(())
    }

    /// All rows were given. What the file comes to, where it was written to, and what is in it.
    pub fn finish(mut self) -> io::Result<(Ended, W, Index)> {
        self.piece(None)?;
        let (ended, to) = self.writer.finish()?;
        Ok((ended, to, self.index))
    }

    fn piece(&mut self, to: Option<StoreKey>) -> io::Result<()> {
        let next = to.clone().unwrap_or_else(|| self.from.clone());
        let keys = Keys { from: std::mem::replace(&mut self.from, next), to };
        let rows = std::mem::take(&mut self.rows);
        let digest = digest(&keys, &rows);
        if self.base.is_some_and(|base| !base.0.contains(&digest)) {
            self.writer.range(&keys)?;
        }
        if self.base.is_none_or(|base| !base.0.contains(&digest)) {
            for (key, row) in &rows {
                self.writer.row(key, row)?;
            }
        }
        self.index.0.insert(digest);
        Ok(())
    }
}

fn is_border(key: &StoreKey) -> bool {
    let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let [first, ..] = hash;
    first & (ROWS - 1) == 0
}

fn digest(keys: &Keys, rows: &[(StoreKey, Row)]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(keys.from.as_bytes());
    part(keys.to.as_ref().map_or(&[], StoreKey::as_bytes));
    for (key, row) in rows {
        part(key.as_bytes());
        part(&row.revision.to_be_bytes());
        part(&row.value);
    }
    hash.finalize().into()
}
