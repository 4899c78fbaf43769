//! The second look, where the first has found a difference: which rows it is.
//!
//! A digest is a sum, and one row more shows in it as exactly that row's term. An older row in the place of a newer one, or one
//! that is gone, does not: for that the newer row would have to be known.

use std::collections::BTreeMap;

use claviger_api::Scope;
use claviger_api::wire::ScrubFaultKind::{DoesNotOpen, EntriesDiffer, RowIsBack};
use claviger_crypto::Digest;
use claviger_store::{Range, RowId, Table, View, open_record, opens};

use super::check::{Fault, Findings, Outcome};
use super::{Pages, Run};
use crate::error::Result;
use crate::event::StoredLeaf;
use crate::journal::head::LogTile;

/// Leaf hashes in a full tile.
const TILE_WIDTH: usize = 256;

/// Names what a second look can name.
pub(super) async fn narrow(run: &Run<'_>, view: &dyn View, outcome: Outcome) -> Result<Findings> {
    let Outcome { mut found, differing, suspect, archives: _ } = outcome;
    if !differing.is_empty() {
        too_many(run, view, &differing, &mut found).await?;
    }
    for (scope, tile) in suspect {
        entries(run, view, scope, tile, &mut found).await?;
    }
    Ok(found)
}

/// Wrapped keys that do not open may be of before a change of the root key that has come meanwhile: then the rows that are there now
/// open.
pub(super) async fn wrapped_again(run: &Run<'_>, found: &mut Findings) -> Result<()> {
    let mut still = Vec::with_capacity(found.faults.len());
    for fault in found.faults.drain(..) {
        let row = fault.row.as_ref().filter(|row| fault.kind == DoesNotOpen && row.table() == Table::Keys);
        let now = match row {
            Some(id) => run.open()?.ground().store.get(&id.to_key()).await?.map(|row| (id.clone(), row)),
            None => None,
        };
        let opens_now = match now {
            Some((id, row)) => opens(run.open()?.keyring(), &id, &row).is_ok(),
            None => false,
        };
        if !opens_now {
            still.push(fault);
        }
    }
    found.faults = still;
    Ok(())
}

/// A row whose term is the whole difference of its scope should not be there.
async fn too_many(
    run: &Run<'_>,
    view: &dyn View,
    differing: &BTreeMap<Scope, Digest>,
    found: &mut Findings,
) -> Result<()> {
    let mut pages = Pages::of(view);
    while let Some(rows) = pages.next(run).await? {
        let open = run.open()?;
        for (key, row) in rows {
            let Ok(id) = RowId::from_key(&key) else { continue };
            let term = open.keyring().freshness_term(&id, &row);
            if term.is_some() && term == differing.get(&id.scope()).copied() {
                found.add(Fault::at(&id, RowIsBack, "without this row the rows are those that the log counts"));
            }
        }
    }
    Ok(())
}

/// The entries of a tile, one by one.
async fn entries(run: &Run<'_>, view: &dyn View, scope: Scope, tile: u64, found: &mut Findings) -> Result<()> {
    let at = |row: &RowId| Range::prefix(row.table(), row.scope(), row.id()).limit(1);
    let row = view.scan(&at(&RowId::log_tile(scope, 0, tile))).await?;
    let open = run.open()?;
    let tile_of = |(key, row)| open_record::<LogTile>(open.keyring(), RowId::from_key(&key).ok()?, &row).ok();
    let Some(hashes) = row.into_iter().next().and_then(tile_of).map(|tile| tile.value.hashes) else { return Ok(()) };
    if hashes.len() != TILE_WIDTH {
        return Ok(());
    }
    for (index, wanted) in (tile * TILE_WIDTH as u64..).zip(hashes) {
        let Some((key, row)) = view.scan(&at(&RowId::log_leaf(scope, index))).await?.into_iter().next() else {
            continue;
        };
        let Ok(id) = RowId::from_key(&key) else { continue };
        let Ok(leaf) = open_record::<StoredLeaf>(open.keyring(), id.clone(), &row) else { continue };
        let entry = leaf.value.entry(scope, |_| None::<Box<claviger_crypto::SubjectKey>>);
        if entry.is_ok_and(|entry| entry.hash() != wanted) {
            let detail = "the entry and its place in its tile differ";
            found.add(Fault { entries: Some((index, index)), ..Fault::at(&id, EntriesDiffer, detail) });
        }
    }
    Ok(())
}
