//! One log, recomputed from its entries and held against its tiles and its head.

use std::collections::BTreeMap;

use claviger_api::Scope;
use claviger_api::audit::hash::Hash;
use claviger_api::audit::merkle::{Frontier, root_of};
use claviger_api::wire::ScrubFaultKind::{EntriesBeyond, EntriesDiffer, EntriesMissing, TileDiffers};

use super::check::Fault;

/// Leaf hashes in a full tile.
const TILE_WIDTH: u64 = 256;

/// A log, as far as it was read. Of 256 entries it keeps one hash.
#[derive(Default)]
pub(super) struct Log {
    /// The roots of whole tiles, from the entries; `None` of one that has an entry which is gone or does not open.
    tiles: Vec<Option<Hash>>,
    /// The hashes of the entries behind them, as far as they are known.
    tail: Vec<Hash>,
    /// The first entry that is here, if any is.
    first: Option<u64>,
    /// The entry that comes next.
    next: u64,
    /// The roots of the tiles' own rows.
    rows: BTreeMap<u64, Hash>,
}

impl Log {
    /// The next entry that is there, and the log's size by its head.
    pub fn entry(&mut self, scope: Scope, index: u64, hash: Option<Hash>, size: Option<u64>) -> Option<Fault> {
        if size.is_some_and(|size| index >= size) {
            let detail = "the log ends before this entry";
            return Some(Fault::entries(scope, EntriesBeyond, index, index + 1, detail));
        }
        // Those before the first may be in archives, of which the rows come later.
        let gone = (index > self.next && self.first.is_some()).then(|| missing(scope, self.next, index));
        self.first.get_or_insert(index);
        while (self.tiles.len() as u64) < index / TILE_WIDTH {
            self.close_tile();
        }
        self.tail.extend(hash);
        self.next = index + 1;
        gone
    }

    /// A tile's row.
    pub fn tile(&mut self, index: u64, hashes: &[Hash]) {
        // One that is not full is no tile: it has the root of nothing.
        let whole = if hashes.len() as u64 == TILE_WIDTH { hashes } else { &[] };
        self.rows.insert(index, root_of(whole));
    }

    /// The root of what was read; `None` where something of it is missing.
    pub fn root(&self) -> Option<Hash> {
        let (whole, of_tail) = (self.next / TILE_WIDTH, self.next % TILE_WIDTH);
        // A tile that has just become whole is closed by the entry after it.
        let closed = self.tiles.len() as u64;
        let mut tiles = self.tiles.clone();
        let mut tail = self.tail.as_slice();
        if whole == closed + 1 {
            tiles.push((tail.len() as u64 == TILE_WIDTH).then(|| root_of(tail)));
            tail = &[];
        }
        (tail.len() as u64 == of_tail).then(|| edge(&tiles, tail).map(|edge| edge.root()))?
    }

    /// What is wrong with it, and which tiles are worth a second look. Entries before `archived` are in archives; their tiles are
    /// here, and come to the head.
    pub fn finish(mut self, scope: Scope, head: &Frontier, archived: u64) -> (Vec<Fault>, Vec<u64>) {
        let (mut faults, size) = (Vec::new(), head.size());
        let first = self.first.unwrap_or(size);
        if archived < first {
            faults.push(missing(scope, archived, first));
        }
        if self.first.is_some() && self.next < size {
            faults.push(missing(scope, self.next, size));
        }
        while (self.tiles.len() as u64) < size / TILE_WIDTH {
            self.close_tile();
        }
        let differing: Vec<u64> =
            (0..).zip(&self.tiles).filter(|(at, own)| self.differs(*at, **own)).map(|(at, _)| at).collect();
        let beyond: Vec<u64> = self.rows.range(size / TILE_WIDTH..).map(|(at, _)| *at).collect();
        // Of a locked customer no entry opens, and what is behind the last tile is not known.
        let is_known = self.tail.len() as u64 == size % TILE_WIDTH;
        let edge = |tiles: &[Option<Hash>]| if is_known { edge(tiles, &self.tail) } else { None };
        let by_entries = edge(&self.tiles);
        let of_rows: Vec<Option<Hash>> =
            (0..).zip(&self.tiles).map(|(at, own)| self.rows.get(&at).copied().or(*own)).collect();
        let by_rows = edge(&of_rows);
        let whole = |edge: &Option<Frontier>| edge.as_ref() == Some(head);
        for tile in differing.iter().chain(&beyond) {
            let (from, end) = (tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH);
            let (kind, detail) = if whole(&by_rows) && !whole(&by_entries) && !beyond.contains(tile) {
                (EntriesDiffer, "entries of this tile are others than their tile and the log's head say")
            } else {
                (TileDiffers, "the tile is gone, or is not that of its entries")
            };
            faults.push(Fault::entries(scope, kind, from, end, detail));
        }
        if !whole(&by_entries) && !whole(&by_rows) && (by_entries.is_some() || by_rows.is_some()) {
            let known = by_entries.or(by_rows).unwrap_or_default();
            faults.extend(subtrees_that_differ(scope, head, &known));
        }
        (faults, differing)
    }

    fn close_tile(&mut self) {
        let root = (self.tail.len() as u64 == TILE_WIDTH).then(|| root_of(&self.tail));
        self.tiles.push(root);
        self.tail.clear();
    }

    /// Whether a tile's row is not what its entries come to.
    fn differs(&self, at: u64, own: Option<Hash>) -> bool {
        match (self.rows.get(&at), own) {
            (Some(row), Some(own)) => *row != own,
            (None, _) => true,
            // Its entries are noted.
            (Some(_), None) => false,
        }
    }
}

fn missing(scope: Scope, from: u64, end: u64) -> Fault {
    Fault::entries(scope, EntriesMissing, from, end, "these entries are gone")
}

/// The right edge of a log of whole tiles and a tail. A tile is a whole subtree, so the log's edge is that of the tree of its
/// tiles, and behind it that of its tail.
fn edge(tiles: &[Option<Hash>], tail: &[Hash]) -> Option<Frontier> {
    let (mut upper, mut lower) = (Frontier::new(), Frontier::new());
    for tile in tiles {
        upper.push((*tile)?);
    }
    for leaf in tail {
        lower.push(*leaf);
    }
    let hashes = [upper.hashes(), lower.hashes()].concat();
    Frontier::from_parts(upper.size() * TILE_WIDTH + lower.size(), hashes).ok()
}

/// The head has a hash for each subtree that the log consists of: those that differ are named, and no more.
fn subtrees_that_differ(scope: Scope, head: &Frontier, known: &Frontier) -> Vec<Fault> {
    let detail = "these entries do not come to what the log's head says";
    let (mut faults, mut from) = (Vec::new(), 0);
    let heights = (0..u64::BITS).rev().filter(|height| head.size() >> height & 1 == 1);
    for (at, height) in heights.enumerate() {
        let end = from + (1 << height);
        if head.size() != known.size() || head.hashes().get(at) != known.hashes().get(at) {
            faults.push(Fault::entries(scope, EntriesDiffer, from, end, detail));
        }
        from = end;
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u64) -> Hash {
        claviger_api::audit::hash::leaf_hash(&n.to_be_bytes())
    }

    fn read(size: u64, leaf_of: impl Fn(u64) -> Option<Hash>) -> (Log, Frontier, Vec<Fault>) {
        let (mut log, mut head, mut faults) = (Log::default(), Frontier::new(), Vec::new());
        for index in 0..size {
            head.push(leaf(index));
        }
        for index in 0..size {
            faults.extend(log.entry(Scope::Operator, index, leaf_of(index), Some(size)));
        }
        for tile in 0..size / TILE_WIDTH {
            let hashes: Vec<Hash> = (tile * TILE_WIDTH..(tile + 1) * TILE_WIDTH).map(leaf).collect();
            log.tile(tile, &hashes);
        }
        (log, head, faults)
    }

    #[test]
    fn a_log_of_any_size_comes_to_its_head_and_to_its_root() {
        for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 768, 1000, 1024, 1500] {
            let (log, head, _) = read(size, |index| Some(leaf(index)));
            assert_eq!(log.root(), Some(head.root()), "{size}");
            assert_eq!(log.finish(Scope::Operator, &head, 0), (vec![], vec![]), "{size}");
        }
    }

    #[test]
    fn an_entry_that_differs_is_named_by_its_tile_or_by_the_smallest_subtree() {
        for (size, wrong, wanted) in
            [(600, 300, (256, 511)), (600, 599, (592, 599)), (601, 600, (600, 600)), (3, 2, (2, 2))]
        {
            let (log, head, _) = read(size, |index| Some(if index == wrong { leaf(9999) } else { leaf(index) }));
            let (faults, tiles) = log.finish(Scope::Operator, &head, 0);
            let named: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.entries)).collect();
            assert_eq!(named, [(EntriesDiffer, Some(wanted))], "{size}, {wrong}");
            assert_eq!(tiles.len(), usize::from(wrong < size / TILE_WIDTH * TILE_WIDTH));
        }
    }

    #[test]
    fn a_tile_that_differs_is_told_from_entries_that_do() {
        let (mut log, head, _) = read(600, |index| Some(leaf(index)));
        log.tile(1, &[leaf(7); 256]);
        let (faults, _) = log.finish(Scope::Operator, &head, 0);
        assert_eq!((faults[0].kind, faults[0].entries, faults.len()), (TileDiffers, Some((256, 511)), 1));
        let (mut log, head, _) = read(600, |index| Some(leaf(index)));
        log.rows.remove(&0);
        log.tile(2, &[leaf(7); 256]);
        let (faults, _) = log.finish(Scope::Operator, &head, 0);
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [TileDiffers, TileDiffers]);
    }

    #[test]
    fn entries_that_are_gone_or_too_many_are_named() {
        let (mut log, mut head) = (Log::default(), Frontier::new());
        for index in 0..600 {
            head.push(leaf(index));
        }
        let mut faults = Vec::new();
        for index in (0..600).filter(|index| !(255..300).contains(index) && *index < 590).chain([700]) {
            faults.extend(log.entry(Scope::Operator, index, Some(leaf(index)), Some(600)));
        }
        for tile in 0..2 {
            log.tile(tile, &(tile * TILE_WIDTH..(tile + 1) * TILE_WIDTH).map(leaf).collect::<Vec<_>>());
        }
        faults.extend(log.finish(Scope::Operator, &head, 0).0);
        let named: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.entries.unwrap())).collect();
        let wanted = [(EntriesMissing, (255, 299)), (EntriesBeyond, (700, 700)), (EntriesMissing, (590, 599))];
        assert_eq!(named.get(..3).unwrap(), wanted, "{named:?}");
    }
}
