//! Opened records kept at hand.
//!
//! Opening a row costs a key derivation and a decryption, and the same few rows are read again and again: the account
//! that is checked out, its system. What is kept is given out only for the very bytes it was opened from or sealed as, so a
//! row that was changed, moved or put back in the store is opened, and refused, as ever; and what was sealed and never
//! stored is never given out. No secret, hash or token is kept.

use std::any::Any;
use std::sync::Arc;

use claviger_api::Scope;
use claviger_store::{Row, RowId, StoreKey, Table};
use quick_cache::sync::Cache;

/// The most records kept.
const KEPT_MOST: usize = 20_000;

/// Opened records, by their row.
pub struct Kept(Cache<StoreKey, One>);

#[derive(Clone)]
struct One {
    row: Row,
    record: Arc<dyn Any + Send + Sync>,
}

impl Kept {
    pub fn new() -> Self {
        Self(Cache::new(KEPT_MOST))
    }

    /// The record that was opened from exactly these bytes.
    pub fn find<T: Send + Sync + 'static>(&self, key: &StoreKey, row: &Row) -> Option<Arc<T>> {
        self.0.get(key).filter(|one| same(&one.row, row))?.record.downcast::<T>().ok()
    }

    /// Forgets what is kept of a scope.
    pub fn forget(&self, scope: Scope) {
        self.0.retain(|key, _| RowId::from_key(key).is_ok_and(|id| id.scope() != scope));
    }

    /// Keeps what was opened or is to be stored, if it is of a table that may be kept.
    pub fn keep<T, R>(&self, id: &RowId, key: &StoreKey, row: &Row, record: R)
    where
        T: Send + Sync + 'static,
        R: FnOnce() -> Arc<T>,
    {
        if may_be_kept(id.table()) {
            self.0.insert(key.clone(), One { row: row.clone(), record: record() });
        }
    }
}

/// An engine that has the row at hand hands out the same bytes again; only others need to be looked through.
fn same(kept: &Row, read: &Row) -> bool {
    let (one, other) = (&kept.value, &read.value);
    kept.revision == read.revision && (one.as_ptr_range() == other.as_ptr_range() || one == other)
}

fn may_be_kept(table: Table) -> bool {
    match table {
        Table::Names
        | Table::Customers
        | Table::Systems
        | Table::Accounts
        | Table::Issuers
        | Table::AccountStates
        | Table::Checkouts
        | Table::RevealTimes
        | Table::Rotations => true,
        Table::Meta
        | Table::Keys
        | Table::Secrets
        | Table::Exposures
        | Table::Fingerprints
        | Table::Emergencies
        | Table::EmergencyLines
        | Table::RevokedCertificates
        | Table::Watches
        | Table::Discoveries
        | Table::FollowUps
        | Table::Principals
        | Table::FormerPrincipals
        | Table::Reviews
        | Table::ReviewLines
        | Table::Grants
        | Table::Sessions
        | Table::Tokens
        | Table::LoginCounters
        | Table::Factors
        | Table::IdentityProviders
        | Table::BreakGlasses
        | Table::StreamCursors
        | Table::Backups
        | Table::Offboardings
        | Table::Timers
        | Table::Idempotency
        | Table::LogHeads
        | Table::LogLeaves
        | Table::LogTiles
        | Table::LogIndex
        | Table::LogArchives
        | Table::KeyRotations
        | Table::Kits => false,
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::{AccountId, CheckoutId, CustomerId};
    use uuid::Uuid;

    use super::*;

    fn row(revision: u64, value: &'static [u8]) -> Row {
        Row { revision, value: value.into() }
    }

    #[test]
    fn what_was_sealed_is_found_by_its_own_bytes_and_by_no_others() {
        let kept = Kept::new();
        let id = RowId::checkout(CustomerId::from_uuid(Uuid::from_u128(1)), CheckoutId::from_uuid(Uuid::from_u128(2)));
        kept.keep(&id, &id.to_key(), &row(2, b"sealed, and lost against another"), || Arc::new("mine".to_owned()));
        let find = |row: Row| kept.find::<String>(&id.to_key(), &row);
        assert_eq!(find(row(2, b"sealed, and lost against another")).as_deref().map(String::as_str), Some("mine"));
        assert_eq!(find(row(2, b"what another has sealed and stored")), None);
        assert_eq!(find(row(3, b"sealed, and lost against another")), None);
    }

    #[test]
    fn no_secret_is_kept() {
        let kept = Kept::new();
        let (customer, account) = (CustomerId::from_uuid(Uuid::from_u128(1)), AccountId::from_uuid(Uuid::from_u128(2)));
        let id = RowId::secret(customer, account, 1);
        kept.keep(&id, &id.to_key(), &row(1, b"sealed"), || Arc::new(()));
        assert_eq!(kept.find::<()>(&id.to_key(), &row(1, b"sealed")), None);
    }
}
