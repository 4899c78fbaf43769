//! How RocksDB is set up, and why.

use rocksdb::{BlockBasedOptions, DBCompressionType, DBRecoveryMode, Options, WriteOptions};

const MIB: usize = 1 << 20;

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // A damaged block is an error, never a guess.
    options.set_paranoid_checks(true);
    // A half-written record at the end of a log is what a crash leaves, and was never acknowledged. Damage anywhere
    // else is refused: the default would silently drop all that was acknowledged after it. (It needs
    // recycle_log_file_num = 0, the default, which has a recovery hole of its own otherwise.)
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // Values are ciphertext.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(64 * MIB);
    options.set_max_total_wal_size(256 << 20);
    // RocksDB's own message log: at most 40 MiB in all.
    options.set_max_log_file_size(8 * MIB);
    options.set_keep_log_file_num(5);
    options.set_max_open_files(512);
    options.set_block_based_table_factory(&point_reads());
    options
}

/// Most reads are of one row: 10 bits a key keep a miss from reading the disk (1 % false positives).
fn point_reads() -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    blocks
}

/// Every commit is flushed to the disk before it is acknowledged.
pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}
