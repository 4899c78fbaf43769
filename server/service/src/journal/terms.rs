//! The freshness terms of rows that this writer has written of late. A row's next writing takes its term out of the digest again,
//! which need not be computed a second time.

use claviger_crypto::freshness::Digest;
use claviger_store::{Keyring, Row, RowId, StoreKey};
use quick_cache::sync::Cache;

/// The most terms kept.
const KEPT_MOST: usize = 10_000;

/// Terms, each with the very row that it is of: for any other bytes it is computed.
pub(super) struct Terms(Cache<StoreKey, (Row, Digest)>);

impl Terms {
    pub fn new() -> Self {
        Self(Cache::new(KEPT_MOST))
    }

    /// The term of a row that is about to be written.
    pub fn of_new(&self, keyring: &Keyring, id: &RowId, key: &StoreKey, row: &Row) -> Option<Digest> {
        let term = keyring.freshness_term(id, row)?;
        self.0.insert(key.clone(), (row.clone(), term));
        Some(term)
    }

    /// The term of a row that is there.
    pub fn of_old(&self, keyring: &Keyring, id: &RowId, key: &StoreKey, row: &Row) -> Option<Digest> {
        let kept = self.0.get(key).filter(|(kept, _)| kept == row);
        kept.map(|(_, term)| term).or_else(|| keyring.freshness_term(id, row))
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::CustomerId;
    use claviger_crypto::{RootKey, Seeded};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_term_is_of_the_very_row_that_is_there() {
        let random = Seeded::new(1);
        let (keyring, _) = Keyring::create(RootKey::generate(&random), &random);
        let id = RowId::customer(CustomerId::from_uuid(Uuid::from_u128(1)));
        let (key, row) = (id.to_key(), |revision, value: &'static [u8]| Row { revision, value: value.into() });
        let terms = Terms::new();
        let written = terms.of_new(&keyring, &id, &key, &row(2, b"written"));
        assert!(written.is_some());
        // The same again, another's at the same revision, and the same bytes at another.
        for there in [row(2, b"written"), row(2, b"another"), row(3, b"written")] {
            assert_eq!(terms.of_old(&keyring, &id, &key, &there), keyring.freshness_term(&id, &there));
        }
        assert_ne!(terms.of_old(&keyring, &id, &key, &row(2, b"another")), written);
    }
}
