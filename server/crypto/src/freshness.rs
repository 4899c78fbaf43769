//! The freshness digest: a keyed additive multiset hash of a customer's live rows. It changes with each row in one
//! addition or subtraction, and any old row put back, or row deleted, makes it differ from the one in the log head.
//!
//! ```text
//! term(row) = HMAC-SHA-256(freshness key, table ‖ key ‖ revision ‖ SHA-256(sealed))    each length-prefixed
//! digest    = Σ term(row) mod 2²⁵⁶
//! ```
//!
//! The construction is MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh (ASIACRYPT 2003): multiset-collision
//! resistant under a secret key. The key keeps an attacker from finding rows whose terms cancel out.

use std::iter::zip;

use sha2::{Digest as _, Sha256};

use crate::frame::mac;
use crate::key::FreshnessKey;

/// A number mod 2²⁵⁶, big-endian: the sum of some rows' terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of no rows.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of these 32 bytes, big-endian.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 32 bytes, big-endian.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// With a row's term: `self + term mod 2²⁵⁶`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a row is added; callers need no operator and no import")]
    pub fn add(self, term: Self) -> Self {
        let mut sum = self.0;
        let mut carry = false;
        for (byte, more) in zip(&mut sum, term.0).rev() {
            let (with_more, over) = byte.overflowing_add(more);
            let (with_carry, again) = with_more.overflowing_add(u8::from(carry));
            (*byte, carry) = (with_carry, over || again);
        }
        Self(sum)
    }

    /// Without a row's term: `self − term mod 2²⁵⁶`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a row is taken out; callers need no operator and no import")]
    pub fn sub(self, term: Self) -> Self {
        let mut rest = self.0;
        let mut borrow = false;
        for (byte, less) in zip(&mut rest, term.0).rev() {
            let (without, under) = byte.overflowing_sub(less);
            let (without_borrow, again) = without.overflowing_sub(u8::from(borrow));
            (*byte, borrow) = (without_borrow, under || again);
        }
        Self(rest)
    }
}

impl FreshnessKey {
    /// The term of one row, as it lies in the store.
    pub fn term(&self, table: u8, key: &[u8], revision: u64, sealed: &[u8]) -> Digest {
        let content: [u8; 32] = Sha256::digest(sealed).into();
        Digest(mac(self.key(), &[&[table], key, &revision.to_be_bytes(), &content]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors::{documented, key_of};

    fn digests() -> impl Strategy<Value = Vec<Digest>> {
        // Long runs of 0xff and 0x00 are where carries go wrong.
        let byte = prop_oneof![Just(0_u8), Just(0xff), any::<u8>()];
        prop::collection::vec(prop::array::uniform32(byte).prop_map(Digest), 0..12)
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(rows in digests().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))) {
            let sum = |rows: &[Digest]| rows.iter().fold(Digest::ZERO, |sum, row| sum.add(*row));
            prop_assert_eq!(sum(&rows.0), sum(&rows.1));
        }

        #[test]
        fn a_row_added_and_taken_out_leaves_nothing(rows in digests(), start in prop::array::uniform32(any::<u8>())) {
            let start = Digest(start);
            let full = rows.iter().fold(start, |sum, row| sum.add(*row));
            prop_assert_eq!(rows.iter().fold(full, |sum, row| sum.sub(*row)), start);
        }

        #[test]
        fn addition_is_that_of_256_bit_numbers(a in any::<[u128; 2]>(), b in any::<[u128; 2]>()) {
            let (low, carry) = a[1].overflowing_add(b[1]);
            let high = a[0].wrapping_add(b[0]).wrapping_add(u128::from(carry));
            prop_assert_eq!(number(a).add(number(b)), number([high, low]));
        }
    }

    fn number([high, low]: [u128; 2]) -> Digest {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&high.to_be_bytes());
        bytes[16..].copy_from_slice(&low.to_be_bytes());
        Digest(bytes)
    }

    #[test]
    fn a_sum_wraps_at_two_to_the_256() {
        let one = number([0, 1]);
        assert_eq!(Digest([0xff; 32]).add(one), Digest::ZERO);
        assert_eq!(Digest::ZERO.sub(one), Digest([0xff; 32]));
    }

    #[test]
    fn anvil_tamper_every_part_of_a_row_changes_its_term() {
        let key = FreshnessKey::from(key_of(1));
        let term = key.term(3, b"row", 7, b"sealed");
        for other in [
            key.term(4, b"row", 7, b"sealed"),
            key.term(3, b"rox", 7, b"sealed"),
            key.term(3, b"row", 6, b"sealed"),
            key.term(3, b"row", 7, b"sealee"),
            FreshnessKey::from(key_of(2)).term(3, b"row", 7, b"sealed"),
        ] {
            assert_ne!(term, other);
        }
    }

    #[test]
    fn the_term_of_a_row_is_frozen() {
        let key = FreshnessKey::from(key_of(0x01));
        let (a, b) = (key.term(3, b"row", 7, b"sealed"), key.term(3, b"other row", 1, b""));
        documented("term of the first row", &a.to_bytes());
        documented("term of the second row", &b.to_bytes());
        documented("digest of both rows", &a.add(b).to_bytes());
    }
}
