//! What must not come out: secrets in anything but the answer that reveals them, names in the store's files, memory,
//! files and processes open to others.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "leaks/at_rest.rs"]
mod at_rest;
#[path = "leaks/canaries.rs"]
mod canaries;
#[path = "leaks/image.rs"]
mod image;
#[path = "leaks/process.rs"]
mod process;
#[path = "leaks/search.rs"]
mod search;
