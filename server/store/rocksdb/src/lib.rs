//! The embedded engine: RocksDB with synced writes.
