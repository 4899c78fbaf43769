//! How long each log is: looked at once for all streams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use claviger_api::Scope;
use claviger_store::{Range, RowId, StoreKey, Table, open_record};
use tokio::sync::watch;

use crate::error::Result;
use crate::journal::LogHead;
use crate::open::Open;
use crate::vault::Vault;

/// How often the heads are looked at: one scan of a row a customer.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The number of entries of each log; none at all while the vault is sealed.
pub type Heads = Arc<BTreeMap<Scope, u64>>;

/// Looks, and tells of what has grown.
pub async fn look(vault: Arc<Vault>, heads: watch::Sender<Heads>) {
    let mut known = Known::default();
    loop {
        let seen = match vault.open() {
            Ok(open) => known.look(&open).await,
            Err(_) => Ok(BTreeMap::new()),
        };
        match seen {
            Ok(seen) => drop(heads.send_if_modified(|heads| {
                let grown = **heads != seen;
                if grown {
                    *heads = Arc::new(seen);
                }
                grown
            })),
            Err(error) => tracing::warn!(?error, "the heads of the logs cannot be read; streams wait"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What was seen of each head, so that only those that were written since are opened.
#[derive(Default)]
struct Known(HashMap<StoreKey, (u64, u64)>);

impl Known {
    async fn look(&mut self, open: &Open) -> Result<BTreeMap<Scope, u64>> {
        let (mut seen, mut range) = (BTreeMap::new(), Range::table(Table::LogHeads));
        loop {
            let rows = open.ground().store.scan(&range).await?;
            for (key, row) in &rows {
                let id = RowId::from_key(key).map_err(claviger_store::SealedError::from)?;
                let scope = id.scope();
                // Nothing of it can be read, for now or for good.
                if !open.keyring().holds(scope) {
                    continue;
                }
                let size = match self.0.get(key) {
                    Some((revision, size)) if *revision == row.revision => *size,
                    Some(_) | None => open_record::<LogHead>(open.keyring(), id, row)?.value.frontier.size(),
                };
                self.0.insert(key.clone(), (row.revision, size));
                seen.insert(scope, size);
            }
            match rows.last() {
                Some((last, _)) if rows.len() == range.limit => range = range.after(last),
                Some(_) | None => return Ok(seen),
            }
        }
    }
}
