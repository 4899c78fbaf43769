//! Working on a stack that is wiped afterwards: hash and cipher states are moved by value, and each move can leave bytes
//! of a key behind that no `Drop` reaches.

use std::hint::black_box;

/// More than sealing and signing use: measured, they fit into a stack of 16 KiB when optimised and of 32 KiB when not.
const DEPTH_BYTES: usize = if cfg!(debug_assertions) { 32 * 1024 } else { 16 * 1024 };

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
#[cfg_attr(debug_assertions, expect(clippy::large_stack_arrays, reason = "overwriting the stack is the purpose"))]
fn overwrite() {
    black_box(&mut [0_u8; DEPTH_BYTES]);
}
