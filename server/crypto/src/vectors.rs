//! What the tests of this crate share: fixed keys and randomness, and the known answers of `docs/formats.md`.

use claviger_api::Secret;

use crate::key::Key;
use crate::random::Random;

const FORMATS: &str = include_str!("../../../docs/formats.md");

/// A key of 32 equal bytes.
pub(crate) fn key_of(byte: u8) -> Key {
    Key::filled(|bytes| bytes.fill(byte))
}

/// A source that counts: 00 01 02 …
pub(crate) struct Counting(std::sync::atomic::AtomicU8);

impl Counting {
    pub(crate) fn new() -> Self {
        Self(0.into())
    }
}

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

/// The frozen answer of this name in `docs/formats.md`, a table row `| name | ``hex`` |`, is this.
pub(crate) fn documented(name: &str, answer: &[u8]) {
    documented_text(name, &hex::encode(answer));
}

pub(crate) fn documented_text(name: &str, answer: &str) {
    let row = format!("| {name} | `{answer}` |");
    assert!(FORMATS.lines().any(|line| line == row), "docs/formats.md has no row\n{row}");
}
