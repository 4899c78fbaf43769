//! Recovery shares: the seal key split among people so that any `threshold` of them bring it back and fewer know
//! nothing (Shamir, *How to share a secret*, 1979; over GF(256), by the blahaj crate). Layout: `docs/formats.md`.
//!
//! A share is text that people type. Its checksum catches slips at entry; its vault and key tag catch shares of another
//! vault, or from before a rekey, at entry too. Shamir's scheme itself notices nothing of the kind, so what the shares
//! give is compared with the stored [`SealKey::check_value`] before anyone uses it.

use claviger_api::Secret;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::key::{Key, SealKey};
use crate::random::Random;

pub(crate) mod text;

use text::{Misread, Read, TAG_BYTES, deal, head, recover};

/// What a share of format 1 begins with. A new format has a new prefix.
pub const SHARE_PREFIX: &str = "cvk1-";

/// Splits a seal key into `shares`, any `threshold` of which bring it back. `1` of `1` is a plain copy of the key.
pub fn split(
    key: &SealKey,
    vault: Uuid,
    shares: u8,
    threshold: u8,
    random: &dyn Random,
) -> Result<Vec<Secret>, BadSplit> {
    if threshold == 0 || threshold > shares {
        return Err(BadSplit { shares, threshold });
    }
    let tag = key_tag(&key.check_value());
    let dealt = deal(key.key(), shares, threshold, random);
    Ok(dealt.iter().map(|share| text::write(SHARE_PREFIX, vault, tag, threshold, share)).collect())
}

/// The numbers of shares do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot make {shares} shares of which {threshold} are needed; need at least 1, and no more than there are")]
pub struct BadSplit {
    /// How many shares were asked for.
    pub shares: u8,
    /// How many should be needed.
    pub threshold: u8,
}

/// Why a share is refused at entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadShare {
    /// It does not begin as a share does.
    #[error("not a recovery share: it begins with {SHARE_PREFIX}")]
    NotAShare,
    /// A character, the length or the checksum is wrong.
    #[error("the share is incomplete or mistyped; compare it with the paper, group by group")]
    Mistyped,
    /// It belongs to another vault.
    #[error("this is a share of another vault")]
    OtherVault,
    /// It belongs to this vault, and to a seal key of before (or after) a rekey.
    #[error("this share is from before a rekey of this vault, or after it; take the shares of the last rekey")]
    OtherKey,
    /// It counts as no share: at index 0 lies the key itself.
    #[error("a share with the number 0 is never handed out")]
    ZeroIndex,
    /// A share of this number was given already.
    #[error("share {index} has been given already; another one is needed")]
    Duplicate {
        /// The share's number.
        index: u8,
    },
    /// It was split for another number of shares than those given before.
    #[error("this share is of another split than those given before")]
    OtherSplit,
}

/// Why the shares do not give the seal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadShares {
    /// Not enough yet.
    #[error("{held} shares given, {threshold} are needed")]
    TooFew {
        /// How many were given.
        held: u8,
        /// How many are needed; 0 before the first share is given.
        threshold: u8,
    },
    /// One of them was altered together with its checksum, or is of another split of the same key.
    #[error("the shares do not give this vault's key; one of them is wrong: begin again")]
    WrongKey,
}

/// How far the gathering of shares is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Distinct shares given.
    pub held: u8,
    /// How many are needed; 0 before the first is given.
    pub threshold: u8,
}

impl Progress {
    /// Whether the seal key can be put together.
    pub fn is_complete(self) -> bool {
        self.held > 0 && self.held >= self.threshold
    }
}

/// Collects shares until there are enough. The shares lie in locked memory.
pub struct Gathering {
    vault: Uuid,
    check: [u8; 32],
    threshold: u8,
    held: Vec<(u8, Key)>,
}

impl Gathering {
    /// Begins for this vault, whose seal key has this check value.
    pub fn new(vault: Uuid, check: [u8; 32]) -> Self {
        Self { vault, check, threshold: 0, held: Vec::new() }
    }

    /// Takes one more share, or refuses it and stays as it was.
    pub fn add(&mut self, share: &Secret) -> Result<Progress, BadShare> {
        let share = Read::of(SHARE_PREFIX, share)?;
        if share.of != self.vault {
            return Err(BadShare::OtherVault);
        }
        if share.tag != key_tag(&self.check) {
            return Err(BadShare::OtherKey);
        }
        if self.threshold != 0 && share.threshold != self.threshold {
            return Err(BadShare::OtherSplit);
        }
        if self.held.iter().any(|(index, _)| *index == share.index) {
            return Err(BadShare::Duplicate { index: share.index });
        }
        self.threshold = share.threshold;
        self.held.push((share.index, share.data));
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        // Indexes are distinct and not 0, so there are at most 255.
        Progress { held: u8::try_from(self.held.len()).unwrap_or(u8::MAX), threshold: self.threshold }
    }

    /// Puts the seal key together, and compares it with the check value before giving it out.
    pub fn combine(&self) -> Result<SealKey, BadShares> {
        let progress = self.progress();
        if !progress.is_complete() {
            return Err(BadShares::TooFew { held: progress.held, threshold: progress.threshold });
        }
        let key = SealKey::from(recover(&self.held, self.threshold).ok_or(BadShares::WrongKey)?);
        let right = bool::from(key.check_value().ct_eq(&self.check));
        if right { Ok(key) } else { Err(BadShares::WrongKey) }
    }
}

impl From<Misread> for BadShare {
    fn from(misread: Misread) -> Self {
        match misread {
            Misread::NotAShare => Self::NotAShare,
            Misread::Mistyped => Self::Mistyped,
            Misread::ZeroIndex => Self::ZeroIndex,
        }
    }
}

/// Names the seal key that a share is of, without saying anything about it: the head of its check value.
fn key_tag(check: &[u8; 32]) -> [u8; TAG_BYTES] {
    head(check)
}

#[cfg(test)]
mod tests {
    use blahaj::Share;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::text::{BODY_BYTES, forged as forged_of, write};
    use super::*;
    use crate::random::Seeded;
    use crate::vectors::{documented_text, key_of, secret};

    const VAULT: Uuid = Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293);

    fn key(seed: u64) -> SealKey {
        SealKey::generate(&Seeded::new(seed))
    }

    fn gathering(key: &SealKey) -> Gathering {
        Gathering::new(VAULT, key.check_value())
    }

    fn forged(alter: impl FnOnce(&mut [u8]), share: &Secret) -> Secret {
        forged_of(SHARE_PREFIX, alter, share)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_threshold_of_the_shares_bring_the_key_back_and_fewer_do_not(
            (shares, threshold, chosen) in (1_u8..12).prop_flat_map(|n| (Just(n), 1..=n)).prop_flat_map(|(n, k)| {
                let all = (0..usize::from(n)).collect::<Vec<_>>();
                (Just(n), Just(k), subsequence(all, usize::from(k)).prop_shuffle())
            }),
            seed in any::<u64>(),
        ) {
            let key = key(seed);
            let dealt = split(&key, VAULT, shares, threshold, &Seeded::new(seed ^ 1)).unwrap();
            prop_assert_eq!(dealt.len(), usize::from(shares));
            let mut gathering = gathering(&key);
            for (n, share) in chosen.iter().enumerate() {
                let held = u8::try_from(n).unwrap();
                let known = if held == 0 { 0 } else { threshold };
                prop_assert_eq!(gathering.combine().err(), Some(BadShares::TooFew { held, threshold: known }));
                let progress = gathering.add(&dealt[*share]).unwrap();
                prop_assert_eq!(progress, Progress { held: held + 1, threshold });
            }
            let combined = gathering.combine().ok().unwrap();
            prop_assert!(combined.key().bytes() == key.key().bytes());
        }
    }

    #[test]
    fn one_of_one_works_and_impossible_splits_are_refused() {
        let key = key(1);
        let dealt = split(&key, VAULT, 1, 1, &Seeded::new(2)).unwrap();
        let mut gathering = gathering(&key);
        assert!(gathering.add(&dealt[0]).unwrap().is_complete());
        assert!(gathering.combine().ok().unwrap().key().bytes() == key.key().bytes());

        for (shares, threshold) in [(0, 0), (1, 0), (0, 1), (2, 3)] {
            let refused = split(&key, VAULT, shares, threshold, &Seeded::new(2)).err();
            assert_eq!(refused, Some(BadSplit { shares, threshold }));
        }
        assert_eq!(split(&key, VAULT, 255, 255, &Seeded::new(2)).unwrap().len(), 255);
    }

    #[test]
    fn anvil_shamir_wrong_duplicate_and_zero_shares_are_refused_at_entry() {
        let (key, random) = (key(1), Seeded::new(2));
        let dealt = split(&key, VAULT, 5, 3, &random).unwrap();
        let mut gathering = gathering(&key);
        gathering.add(&dealt[0]).unwrap();

        let other_vault = split(&key, Uuid::from_u128(1), 5, 3, &random).unwrap();
        let other_key = split(&SealKey::generate(&random), VAULT, 5, 3, &random).unwrap();
        let other_split = split(&key, VAULT, 5, 2, &random).unwrap();
        for (share, why) in [
            (&dealt[0], BadShare::Duplicate { index: 1 }),
            (&forged(|b| b[BODY_BYTES - 1] ^= 1, &dealt[0]), BadShare::Duplicate { index: 1 }),
            (&forged(|b| b[21] = 0, &dealt[1]), BadShare::ZeroIndex),
            (&forged(|b| b[20] = 0, &dealt[1]), BadShare::NotAShare),
            (&other_vault[1], BadShare::OtherVault),
            (&other_key[1], BadShare::OtherKey),
            (&other_split[1], BadShare::OtherSplit),
            (&secret("cvk2-00000000"), BadShare::NotAShare),
            (&secret("hunter2"), BadShare::NotAShare),
            (&secret("é"), BadShare::NotAShare),
            (&secret("cvk1-"), BadShare::Mistyped),
            (&secret("cvk1-00000000"), BadShare::Mistyped),
            (&secret(&format!("{}0", dealt[1].expose())), BadShare::Mistyped),
            (&secret(&dealt[1].expose()[..dealt[1].expose().len() - 1]), BadShare::Mistyped),
        ] {
            assert_eq!(gathering.add(share), Err(why));
            assert_eq!(gathering.progress().held, 1, "a refused share does not count");
        }
        gathering.add(&dealt[3]).unwrap();
        gathering.add(&dealt[4]).unwrap();
        assert!(gathering.combine().is_ok());
    }

    #[test]
    fn anvil_shamir_an_altered_share_with_a_right_checksum_gives_no_key() {
        let (key, random) = (key(1), Seeded::new(2));
        let dealt = split(&key, VAULT, 3, 2, &random).unwrap();
        let again = split(&key, VAULT, 3, 2, &random).unwrap();
        let forged_byte = forged(|b| b[BODY_BYTES - 1] ^= 1, &dealt[1]);
        let forged_index = forged(|b| b[21] = 9, &dealt[1]);
        for wrong in [&forged_byte, &forged_index, &again[1]] {
            let mut gathering = gathering(&key);
            gathering.add(&dealt[0]).unwrap();
            gathering.add(wrong).unwrap();
            assert_eq!(gathering.combine().err(), Some(BadShares::WrongKey));
        }
    }

    #[test]
    fn every_single_slip_of_the_finger_is_caught_and_harmless_ones_are_read() {
        let key = key(1);
        let share = &split(&key, VAULT, 1, 1, &Seeded::new(2)).unwrap()[0];
        let text = share.expose();
        for (at, char) in text.char_indices().skip(SHARE_PREFIX.len()).filter(|(_, char)| *char != '-') {
            for typed in "0123456789ABCDEFGHJKMNPQRSTVWXYZU".chars().filter(|typed| *typed != char) {
                let mut wrong = text.to_owned();
                wrong.replace_range(at..=at, &typed.to_string());
                assert_eq!(gathering(&key).add(&secret(&wrong)), Err(BadShare::Mistyped), "{typed} at {at}");
            }
        }
        for same in [
            text.to_lowercase(),
            text.replace('0', "O").replace('1', "l").replace("cvkl-", "cvk1-"),
            format!("  {}\n", text.replace('-', " ").replacen(' ', "-", 1)),
        ] {
            assert!(gathering(&key).add(&secret(&same)).is_ok(), "{same}");
        }
    }

    /// RUSTSEC-2024-0398: `sharks` never drew a zero coefficient, so that k−1 shares ruled out one value of each byte of
    /// the secret, and enough splits of the same secret gave it away.
    #[test]
    fn anvil_shamir_fewer_shares_are_consistent_with_every_secret_alike() {
        const SPLITS: u32 = 2_000;
        let key = key(1);
        let random = Seeded::new(2);
        for threshold in [2, 3] {
            // With k = 2 the first is the one coefficient there is; with k = 3 they are sums of the two.
            let mut share_and_key = [0_u32; 256];
            let mut two_shares = [0_u32; 256];
            for _ in 0..SPLITS {
                let dealt = split(&key, VAULT, 3, threshold, &random).unwrap();
                let [first, second] =
                    [&dealt[0], &dealt[1]].map(|share| Read::of(SHARE_PREFIX, share).ok().unwrap().data);
                for ((a, b), s) in first.bytes().iter().zip(second.bytes()).zip(key.key().bytes()) {
                    share_and_key[usize::from(a ^ s)] += 1;
                    two_shares[usize::from(a ^ b)] += 1;
                }
            }
            for (name, seen) in [("share and key", share_and_key), ("two shares", two_shares)] {
                let expected = f64::from(SPLITS * 32) / 256.0;
                let chi_squared: f64 = seen.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
                assert!(chi_squared < 360.0, "{name}, {threshold} needed: {chi_squared} at 255 degrees of freedom");
            }
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let key = SealKey::from(key_of(0x01));
        let mut gathering = gathering(&key);
        for (index, name) in [(1, "share 1, 2 needed"), (2, "share 2, 2 needed")] {
            // f(1) and f(2) of 1 + c·x, for c = 00 … 1f.
            let point = [index].into_iter().chain((0..32_u8).map(|c| 1 ^ (c * index))).collect::<Vec<_>>();
            let share = Share::try_from(point.as_slice()).unwrap();
            let text = write(SHARE_PREFIX, VAULT, key_tag(&key.check_value()), 2, &share);
            documented_text(name, text.expose());
            gathering.add(&text).unwrap();
        }
        assert!(gathering.combine().ok().unwrap().key().bytes() == key.key().bytes());
    }
}
