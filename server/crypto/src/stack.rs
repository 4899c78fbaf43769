//! Working on a stack that is wiped afterwards: hash and cipher states are moved by value, and each move leaves bytes
//! of the key behind that no `Drop` reaches.

use std::hint::black_box;

/// Deeper than any call chain of this crate reaches, the unoptimised build included (measured by the memory-image test).
const DEPTH_BYTES: usize = 16 * 1024;

/// Does the work, then overwrites the stack that it used. What it returns is the caller's to wipe.
pub(crate) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let result = deeper(work);
    overwrite();
    result
}

#[inline(never)]
fn deeper<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite() {
    black_box(&mut [0_u8; DEPTH_BYTES]);
}
