//! Randomness, as a parameter: whoever makes a key, a salt or a token is handed its source.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use rand::rngs::{ChaCha20Rng, SysRng};
use rand::{Rng as _, SeedableRng as _, TryCryptoRng, TryRng};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills the whole slice.
    fn fill(&self, bytes: &mut [u8]);
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
    fn a_seed_repeats_itself_and_the_system_never_does() {
        let (a, b) = (Seeded::new(7), Seeded::new(7));
        assert_eq!(draw(&a), draw(&b));
        assert_ne!(draw(&a), draw(&Seeded::new(8)));
        assert_ne!(draw(&OsRandom), draw(&OsRandom));
    }
}
