//! Rows between the store's words and SQL's.

use claviger_store::{Row, StoreKey};

use crate::failure::Failure;

/// A revision as `bigint` keeps it.
pub(crate) fn stored(revision: u64) -> i64 {
    revision.cast_signed()
}

/// A revision as it was given.
pub(crate) fn given(stored: i64) -> u64 {
    stored.cast_unsigned()
}

/// The columns `revision, value`, from this one on.
pub(crate) fn row(found: &tokio_postgres::Row, from: usize) -> Result<Row, Failure> {
    Ok(Row { revision: given(found.try_get(from)?), value: found.try_get::<_, Vec<u8>>(from + 1)?.into() })
}

/// The columns `key, revision, value`.
pub(crate) fn keyed_row(found: &tokio_postgres::Row) -> Result<(StoreKey, Row), Failure> {
    Ok((StoreKey::from_stored(found.try_get::<_, &[u8]>(0)?), row(found, 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_kept_bit_by_bit() {
        for (revision, kept) in [(0, 0), (1, 1), (1 << 63, i64::MIN), (u64::MAX, -1)] {
            assert_eq!((stored(revision), given(kept)), (kept, revision));
        }
    }
}
