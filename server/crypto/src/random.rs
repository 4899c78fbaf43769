//! Randomness, as a parameter: whoever makes a key, a salt or a token is handed its source.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng as _, SeedableRng as _, TryCryptoRng, TryRng};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills the whole slice.
    fn fill(&self, bytes: &mut [u8]);

    /// Fills the whole slice with what will be public: salts, ids. It must never repeat, and is no secret, so that it
    /// may come from bytes drawn ahead.
    fn fill_public(&self, bytes: &mut [u8]) {
        self.fill(bytes);
    }
}

/// The operating system's source, `getrandom(2)`. The one place that opens it.
pub struct OsRandom;

impl Random for OsRandom {
    #[expect(
        clippy::expect_used,
        reason = "a vault without randomness must not go on; nothing a caller sends leads here"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("the operating system gives no random bytes");
    }

    fn fill_public(&self, bytes: &mut [u8]) {
        AHEAD.with_borrow_mut(|ahead| ahead.fill(bytes));
    }
}

/// Bytes that a thread draws ahead: sealing one change takes half a dozen salts, and each draw of its own is a call to the
/// operating system.
const AHEAD_BYTES: usize = 512;

thread_local! {
    static AHEAD: RefCell<Ahead> = const { RefCell::new(Ahead { drawn: [0; AHEAD_BYTES], left: 0 }) };
}

struct Ahead {
    drawn: [u8; AHEAD_BYTES],
    left: usize,
}

impl Ahead {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() > AHEAD_BYTES {
            return OsRandom.fill(bytes);
        }
        if self.left < bytes.len() {
            OsRandom.fill(&mut self.drawn);
            self.left = AHEAD_BYTES;
        }
        self.left -= bytes.len();
        if let Some(given) = self.drawn.get(self.left..self.left + bytes.len()) {
            bytes.copy_from_slice(given);
        }
    }
}

/// A deterministic source, for tests and simulations only: whoever knows the seed knows every key made from it.
/// ChaCha20, so that a seed means the same bytes in every release.
pub struct Seeded(Mutex<ChaCha20Rng>);

impl Seeded {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

/// A [`Random`] where the rand crates want a generator.
pub(crate) struct Generator<'a>(pub(crate) &'a dyn Random);

impl TryRng for Generator<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Generator<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(random: &dyn Random) -> [u8; 32] {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_drawn_ahead_is_given_once() {
        let mut seen = std::collections::HashSet::new();
        for length in (8..=40).cycle().take(1000) {
            let mut bytes = vec![0; length];
            OsRandom.fill_public(&mut bytes);
            assert!(seen.insert(bytes[..8].to_vec()), "eight bytes came twice");
        }
        let mut much = [0; 2 * AHEAD_BYTES];
        OsRandom.fill_public(&mut much);
        assert!(much.chunks(8).all(|chunk| seen.insert(chunk.to_vec())));
    }

    #[test]
    fn a_seed_repeats_itself_and_the_system_never_does() {
        let (a, b) = (Seeded::new(7), Seeded::new(7));
        assert_eq!(draw(&a), draw(&b));
        assert_ne!(draw(&a), draw(&Seeded::new(8)));
        assert_ne!(draw(&OsRandom), draw(&OsRandom));
    }
}
