//! The key of an emergency kit: an age identity ([age v1](https://age-encryption.org/v1), X25519) that is drawn for one kit and
//! kept nowhere, split among the kit's recipients so that any `threshold` of them bring it back and fewer know nothing.
//!
//! Shares are made as those of the seal key are ([`crate::shares`]), under a prefix of their own. Whoever puts them together
//! has nothing but them: the first says which kit they are of, and the others agree with it.

use bech32::{ToBase32 as _, Variant};
use claviger_api::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::key::Key;
use crate::random::Random;
use crate::recipients::{Identities, Recipient};
use crate::shares::text::{self, Misread, Read, TAG_BYTES, deal, head, recover};
use crate::shares::{BadSplit, Progress, SHARE_PREFIX};

/// What a share of format 1 begins with. A new format has a new prefix.
pub const KIT_SHARE_PREFIX: &str = "cek1-";

/// The head of an identity as age writes it.
const IDENTITY: &str = "age-secret-key-";

/// The key of one kit, in locked memory.
pub struct KitKey(Key);

impl KitKey {
    /// A new one.
    pub fn generate(random: &dyn Random) -> Self {
        Self(Key::generate(random))
    }

    /// The identity, as `age-keygen` writes it: `AGE-SECRET-KEY-1…` (Bech32, BIP 173).
    #[expect(clippy::expect_used, reason = "a constant head and 32 bytes are within what Bech32 writes")]
    pub fn identity(&self) -> Secret {
        let mut digits = self.0.bytes().to_base32();
        let text = bech32::encode(IDENTITY, &digits, Variant::Bech32).map(Zeroizing::new).expect("an identity");
        digits.fill(bech32::u5::default());
        Secret::new(text.to_ascii_uppercase()).expect("an identity")
    }

    /// Whom the kit's body is written for: the public key.
    #[expect(clippy::expect_used, reason = "an identity that was just written")]
    pub fn recipient(&self) -> Recipient {
        Identities::parse(self.identity().expose()).ok().and_then(|own| own.first_public()).expect("an identity")
    }

    /// Splits it into `shares` of this kit, any `threshold` of which bring it back.
    pub fn split(&self, kit: Uuid, shares: u8, threshold: u8, random: &dyn Random) -> Result<Vec<Secret>, BadSplit> {
        if threshold == 0 || threshold > shares {
            return Err(BadSplit { shares, threshold });
        }
        let (tag, dealt) = (self.tag(), deal(&self.0, shares, threshold, random));
        Ok(dealt.iter().map(|share| text::write(KIT_SHARE_PREFIX, kit, tag, threshold, share)).collect())
    }

    /// Names it, without saying anything about it: the head of the SHA-256 of its public key, as age writes that.
    fn tag(&self) -> [u8; TAG_BYTES] {
        head(&Sha256::digest(self.recipient().to_string()).into())
    }
}

/// Why a share is refused at entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKitShare {
    /// It does not begin as one does.
    #[error("not a share of an emergency kit: one begins with {KIT_SHARE_PREFIX}")]
    NotAShare,
    /// It opens a vault, and no kit.
    #[error("this is a share that unseals the vault, not one of an emergency kit: one begins with {KIT_SHARE_PREFIX}")]
    OfTheVault,
    /// A character, the length or the checksum is wrong.
    #[error("the share is incomplete or mistyped; compare it with the text, group by group")]
    Mistyped,
    /// It belongs to another kit.
    #[error("this is a share of another kit ({0}) than those given before")]
    OtherKit(Uuid),
    /// It counts as no share: at index 0 lies the key itself.
    #[error("a share with the number 0 is never handed out")]
    ZeroIndex,
    /// A share of this number was given already.
    #[error("share {index} has been given already; another one is needed")]
    Duplicate {
        /// The share's number.
        index: u8,
    },
    /// It was split for another number of shares, or is of another key.
    #[error("this share is of another split than those given before")]
    OtherSplit,
}

/// Why the shares do not give the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKitShares {
    /// Not enough yet.
    #[error("{held} shares given, {threshold} are needed")]
    TooFew {
        /// How many were given.
        held: u8,
        /// How many are needed; 0 before the first share is given.
        threshold: u8,
    },
    /// One of them was altered together with its checksum, or is of another split of the same key.
    #[error("the shares do not give this kit's key; one of them is wrong: begin again")]
    WrongKey,
}

impl From<Misread> for BadKitShare {
    fn from(misread: Misread) -> Self {
        match misread {
            Misread::NotAShare => Self::NotAShare,
            Misread::Mistyped => Self::Mistyped,
            Misread::ZeroIndex => Self::ZeroIndex,
        }
    }
}

/// Collects shares of one kit until there are enough. They lie in locked memory.
#[derive(Default)]
pub struct KitShares {
    of: Option<Of>,
    held: Vec<(u8, Key)>,
}

/// What the first share says.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Of {
    kit: Uuid,
    tag: [u8; TAG_BYTES],
    threshold: u8,
}

impl KitShares {
    /// Takes one more share, or refuses it and stays as it was.
    pub fn add(&mut self, share: &Secret) -> Result<Progress, BadKitShare> {
        if Read::of(SHARE_PREFIX, share).is_ok() {
            return Err(BadKitShare::OfTheVault);
        }
        let share = Read::of(KIT_SHARE_PREFIX, share)?;
        let of = Of { kit: share.of, tag: share.tag, threshold: share.threshold };
        if let Some(first) = self.of {
            if first.kit != of.kit {
                return Err(BadKitShare::OtherKit(of.kit));
            }
            if first != of {
                return Err(BadKitShare::OtherSplit);
            }
        }
        if self.held.iter().any(|(index, _)| *index == share.index) {
            return Err(BadKitShare::Duplicate { index: share.index });
        }
        self.of = Some(of);
        self.held.push((share.index, share.data));
        Ok(self.progress())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        // Indexes are distinct and not 0, so there are at most 255.
        let held = u8::try_from(self.held.len()).unwrap_or(u8::MAX);
        Progress { held, threshold: self.of.map_or(0, |of| of.threshold) }
    }

    /// The kit that the shares are of.
    pub fn kit(&self) -> Option<Uuid> {
        self.of.map(|of| of.kit)
    }

    /// Puts the key together, and compares it with what the shares say of it before giving it out.
    pub fn combine(&self) -> Result<KitKey, BadKitShares> {
        let progress = self.progress();
        let Some(of) = self.of.filter(|_| progress.is_complete()) else {
            return Err(BadKitShares::TooFew { held: progress.held, threshold: progress.threshold });
        };
        let key = KitKey(recover(&self.held, of.threshold).ok_or(BadKitShares::WrongKey)?);
        let right = bool::from(key.tag().ct_eq(&of.tag));
        if right { Ok(key) } else { Err(BadKitShares::WrongKey) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use blahaj::Share;

    use super::*;
    use crate::key::SealKey;
    use crate::random::Seeded;
    use crate::recipients::{Reading, Writing};
    use crate::shares;
    use crate::shares::text::{BODY_BYTES, forged, write};
    use crate::vectors::{documented_text, key_of, secret};

    const KIT: Uuid = Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293);

    fn dealt(key: &KitKey, shares: u8, threshold: u8) -> Vec<Secret> {
        key.split(KIT, shares, threshold, &Seeded::new(2)).unwrap()
    }

    fn gathered(shares: &[&Secret]) -> KitShares {
        let mut gathering = KitShares::default();
        for share in shares {
            gathering.add(share).unwrap();
        }
        gathering
    }

    #[test]
    fn any_two_of_three_open_what_was_written_for_it_and_one_does_not() {
        let key = KitKey::generate(&Seeded::new(1));
        let mut file = Writing::begin(&[key.recipient()], Vec::new()).unwrap();
        file.write_all(b"the way in").unwrap();
        let file = file.finish().unwrap();
        let shares = dealt(&key, 3, 2);
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let combined = gathered(&pair.map(|at| &shares[at])).combine().ok().unwrap();
            let identities = Identities::parse(combined.identity().expose()).unwrap();
            let mut text = String::new();
            Reading::begin(&identities, file.as_slice()).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "the way in");
        }
        let alone = gathered(&[&shares[0]]);
        assert_eq!(alone.combine().err(), Some(BadKitShares::TooFew { held: 1, threshold: 2 }));
        assert_eq!(alone.kit(), Some(KIT));
        assert_eq!(KitShares::default().combine().err(), Some(BadKitShares::TooFew { held: 0, threshold: 0 }));
        for (shares, threshold) in [(0, 0), (1, 0), (2, 3)] {
            let refused = key.split(KIT, shares, threshold, &Seeded::new(2)).err();
            assert_eq!(refused, Some(BadSplit { shares, threshold }));
        }
    }

    #[test]
    fn anvil_shamir_wrong_duplicate_and_zero_shares_of_a_kit_are_refused_at_entry() {
        let (key, random) = (KitKey::generate(&Seeded::new(1)), Seeded::new(3));
        let shares = dealt(&key, 4, 3);
        let mut gathering = gathered(&[&shares[0]]);
        let other = Uuid::from_u128(1);
        let other_kit = key.split(other, 4, 3, &random).unwrap();
        let other_key = KitKey::generate(&random).split(KIT, 4, 3, &random).unwrap();
        let other_split = key.split(KIT, 4, 2, &random).unwrap();
        let of_the_vault = shares::split(&SealKey::generate(&random), KIT, 4, 3, &random).unwrap();
        let disguised = secret(&of_the_vault[1].expose().replacen(SHARE_PREFIX, KIT_SHARE_PREFIX, 1));
        for (share, why) in [
            (&shares[0], BadKitShare::Duplicate { index: 1 }),
            (&forged(KIT_SHARE_PREFIX, |b| b[BODY_BYTES - 1] ^= 1, &shares[0]), BadKitShare::Duplicate { index: 1 }),
            (&forged(KIT_SHARE_PREFIX, |b| b[21] = 0, &shares[1]), BadKitShare::ZeroIndex),
            (&forged(KIT_SHARE_PREFIX, |b| b[20] = 0, &shares[1]), BadKitShare::NotAShare),
            (&other_kit[1], BadKitShare::OtherKit(other)),
            (&other_key[1], BadKitShare::OtherSplit),
            (&other_split[1], BadKitShare::OtherSplit),
            (&of_the_vault[1], BadKitShare::OfTheVault),
            (&disguised, BadKitShare::Mistyped),
            (&secret("hunter2"), BadKitShare::NotAShare),
            (&secret("cek1-00000000"), BadKitShare::Mistyped),
            (&secret(&format!("{}0", shares[1].expose())), BadKitShare::Mistyped),
            (&secret(&format!("{}U{}", &shares[1].expose()[..41], &shares[1].expose()[42..])), BadKitShare::Mistyped),
        ] {
            assert_eq!(gathering.add(share), Err(why));
            assert_eq!(gathering.progress().held, 1, "a refused share does not count");
        }
        gathering.add(&shares[2]).unwrap();
        gathering
            .add(&secret(&format!(" {}\n", shares[3].expose().to_lowercase().replace('-', " ").replacen(' ', "-", 1))))
            .unwrap();
        assert!(gathering.combine().is_ok());
    }

    #[test]
    fn anvil_shamir_an_altered_share_of_a_kit_with_a_right_checksum_gives_no_key() {
        let key = KitKey::generate(&Seeded::new(1));
        let shares = dealt(&key, 3, 2);
        let again = key.split(KIT, 3, 2, &Seeded::new(9)).unwrap();
        let forged_byte = forged(KIT_SHARE_PREFIX, |b| b[BODY_BYTES - 1] ^= 1, &shares[1]);
        let forged_index = forged(KIT_SHARE_PREFIX, |b| b[21] = 9, &shares[1]);
        for wrong in [&forged_byte, &forged_index, &again[1]] {
            assert_eq!(gathered(&[&shares[0], wrong]).combine().err(), Some(BadKitShares::WrongKey));
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let key = KitKey(key_of(0x01));
        documented_text("kit identity", key.identity().expose());
        documented_text("kit recipient", &key.recipient().to_string());
        let mut gathering = KitShares::default();
        for (index, name) in [(1, "kit share 1, 2 needed"), (2, "kit share 2, 2 needed")] {
            // f(1) and f(2) of 1 + c·x, for c = 00 … 1f.
            let point = [index].into_iter().chain((0..32_u8).map(|c| 1 ^ (c * index))).collect::<Vec<_>>();
            let share = Share::try_from(point.as_slice()).unwrap();
            let text = write(KIT_SHARE_PREFIX, KIT, key.tag(), 2, &share);
            documented_text(name, text.expose());
            gathering.add(&text).unwrap();
        }
        assert!(gathering.combine().ok().unwrap().0.bytes() == key.0.bytes());
    }
}
