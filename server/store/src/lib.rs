//! Persistence without an engine: the Store trait, the catalogue of tables, the sealing layer, a memory engine, the conformance laws.
