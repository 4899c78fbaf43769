//! Persistence without an engine: the Store trait, the catalogue of tables, the sealing layer, a memory engine, the
//! conformance laws.
//!
//! ```text
//! service ─→ Sealed (sealing.rs) ─→ Store (engine.rs) ─→ RocksDB, PostgreSQL, memory
//!              │    └ RowId (row.rs) ─ Table (catalogue.rs)
//!              └ Keyring (keyring.rs)
//! ```
//!
//! An engine never sees what is sealed; nothing here names an engine other than the memory one for tests.

pub mod catalogue;
pub mod conformance;
pub mod engine;
pub mod format;
pub mod keyring;
pub mod load;
pub mod memory;
pub mod row;
pub mod sealing;

pub use catalogue::{Layout, SealedBy, Table};
pub use engine::{Batch, CommitError, Expected, Heard, Member, Range, ReadError, Row, Store, StoreKey, Turn, View};
pub use format::{FORMAT, FormatError, open_or_create};
pub use keyring::{
    FIRST_REVISION, Keyring, Purpose, Retired, WrappedKey, customer_row, customers_with_keys, key_row_of,
    other_customer_row,
};
pub use load::{FillError, Filling};
pub use memory::MemoryStore;
pub use row::{BadKey, RowId, SCAN_MAX, Timer};
pub use sealing::{Record, Sealed, SealedError, SealedPut, Versioned, open_record, open_secret, opens};

#[cfg(test)]
mod fixtures;
