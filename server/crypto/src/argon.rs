//! Argon2id ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)), whose working memory is wiped afterwards: the argon2
//! crate does not do so by itself, and the blocks say what the password was to who can try candidates.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use claviger_api::Secret;
use zeroize::Zeroize as _;

use crate::stack;

/// The most that a stored cost may ask for: a damaged store cannot exhaust the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 16;

/// What one guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Memory, in KiB.
    pub(crate) memory_kib: u32,
    /// Passes over the memory.
    pub(crate) passes: u32,
    /// Lanes: the parallelism that an attacker may use as well.
    pub(crate) lanes: u32,
}

/// A cost outside of what RFC 9106 allows or this vault is willing to spend.
#[derive(Debug)]
pub(crate) struct BadCost;

impl Cost {
    pub(crate) fn check(self) -> Result<Argon, BadCost> {
        if self.memory_kib > MEMORY_KIB_MAX || self.passes > PASSES_MAX || self.lanes > LANES_MAX {
            return Err(BadCost);
        }
        Params::new(self.memory_kib, self.passes, self.lanes, None).map(Argon).map_err(|_| BadCost)
    }
}

/// Argon2id at a cost that was checked.
pub(crate) struct Argon(Params);

impl Argon {
    /// Derives 32 bytes.
    #[expect(
        clippy::expect_used,
        reason = "the cost was checked, salts are 16 bytes, secrets bounded, output 32 bytes"
    )]
    pub(crate) fn derive(self, password: &Secret, salt: &[u8; SALT_BYTES], output: &mut [u8; 32]) {
        let mut blocks = Blocks(vec![Block::new(); self.0.block_count()].into_boxed_slice());
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.0);
        stack::wiped(|| {
            argon
                .hash_password_into_with_memory(password.expose().as_bytes(), salt, output, &mut blocks.0)
                .expect("checked parameters");
        });
    }
}

/// 128 bits, as RFC 9106 section 3.1 recommends.
pub(crate) const SALT_BYTES: usize = 16;

/// Working memory that is wiped, also when the derivation panics.
struct Blocks(Box<[Block]>);

impl Blocks {
    fn wipe(&mut self) {
        for block in &mut self.0 {
            block.as_mut().zeroize();
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::secret;

    #[test]
    fn it_is_the_argon2id_of_the_others() {
        // From OpenSSL, by way of Python's `cryptography`.
        let mut output = [0; 32];
        let cost = Cost { memory_kib: 64, passes: 2, lanes: 2 };
        cost.check().unwrap().derive(&secret("password"), b"somesaltsomesalt", &mut output);
        assert_eq!(hex::encode(output), "c263317d002f84b5342fa66fa169e4bce6a356a13f19193346322ef3522e0702");
    }

    #[test]
    fn the_working_memory_is_wiped_block_by_block() {
        let mut blocks = Blocks(vec![Block::new(); 64].into_boxed_slice());
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        argon.fill_memory(b"password", b"somesaltsomesalt", &mut blocks.0).unwrap();
        assert!(blocks.0.iter().all(|block| block.as_ref() != [0; 128]));
        blocks.wipe();
        assert!(blocks.0.iter().all(|block| block.as_ref() == [0; 128]));
    }

    #[test]
    fn a_cost_beyond_all_measure_is_refused_before_it_is_spent() {
        for cost in [
            Cost { memory_kib: u32::MAX, passes: 1, lanes: 1 },
            Cost { memory_kib: 64, passes: u32::MAX, lanes: 1 },
            Cost { memory_kib: 1024, passes: 1, lanes: u32::MAX },
            Cost { memory_kib: 64, passes: 0, lanes: 1 },
            Cost { memory_kib: 64, passes: 1, lanes: 0 },
            Cost { memory_kib: 0, passes: 1, lanes: 1 },
        ] {
            assert!(cost.check().is_err(), "{cost:?}");
        }
    }
}
