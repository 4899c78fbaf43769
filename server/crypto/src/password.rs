//! Users' passwords: kept as Argon2id hashes in the [PHC string format](https://github.com/P-H-C/phc-string-format), each
//! with its own salt and cost, so that the cost can be raised and old hashes still verify.

use argon2::{ARGON2ID_IDENT, Params, PasswordHash};
use claviger_api::Secret;
use data_encoding::BASE64_NOPAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::argon::{Argon, Cost, SALT_BYTES};
use crate::random::Random;

/// Memory of one hash, in KiB: 19 MiB, the OWASP minimum for two passes
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>). About 12 ms here, so that a burst
/// of logins stays affordable; guessing is bounded by lockout, not by this alone.
pub const PASSWORD_MEMORY_KIB: u32 = 19 * 1024;
/// Passes over the memory.
pub const PASSWORD_PASSES: u32 = 2;
/// Lanes.
pub const PASSWORD_LANES: u32 = 1;

const COST: Cost = Cost { memory_kib: PASSWORD_MEMORY_KIB, passes: PASSWORD_PASSES, lanes: PASSWORD_LANES };
/// The version of Argon2 that RFC 9106 describes, as PHC strings write it.
const VERSION: u32 = 0x13;

/// What a password and a stored hash have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the password.
    pub matches: bool,
    /// The hash was made at another cost than today's: hash the password again while it is at hand.
    pub needs_upgrade: bool,
}

/// The stored hash is not one of Argon2id that this vault could have made: the record is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored password hash cannot be read; set a new password")]
pub struct BadHash;

/// Hashes a password at today's cost.
#[expect(clippy::expect_used, reason = "today's cost is a constant, and a test hashes with it")]
pub fn hash(password: &Secret, random: &dyn Random) -> String {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    let hash = derive(COST.check().expect("today's cost"), password, &salt);
    let Cost { memory_kib, passes, lanes } = COST;
    let (salt, hash) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(hash.as_slice()));
    format!("$argon2id$v={VERSION}$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
}

/// Compares a password with a stored hash, in a time that does not depend on how far they agree.
pub fn verify(password: &Secret, phc: &str) -> Result<Verdict, BadHash> {
    let stored = Stored::parse(phc).ok_or(BadHash)?;
    let argon = stored.cost.check().map_err(|_| BadHash)?;
    let matches = derive(argon, password, &stored.salt).ct_eq(&stored.hash).into();
    Ok(Verdict { matches, needs_upgrade: stored.cost != COST })
}

/// Does the work of [`verify`] and forgets the answer: for unknown, locked and disabled users, who must not be told from
/// others by the time that a refusal takes.
#[expect(clippy::expect_used, reason = "today's cost is a constant, and a test hashes with it")]
pub fn dummy_verify(password: &Secret) {
    let hash = derive(COST.check().expect("today's cost"), password, &[0; SALT_BYTES]);
    std::hint::black_box(&*hash);
}

struct Stored {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    hash: [u8; 32],
}

impl Stored {
    fn parse(phc: &str) -> Option<Self> {
        let parsed = PasswordHash::new(phc).ok()?;
        if parsed.algorithm != ARGON2ID_IDENT || parsed.version != Some(VERSION) {
            return None;
        }
        let params = Params::try_from(&parsed).ok()?;
        Some(Self {
            cost: Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() },
            salt: parsed.salt?.as_ref().try_into().ok()?,
            hash: parsed.hash?.as_bytes().try_into().ok()?,
        })
    }
}

fn derive(argon: Argon, password: &Secret, salt: &[u8; SALT_BYTES]) -> Zeroizing<[u8; 32]> {
    let mut hash = Zeroizing::new([0; 32]);
    argon.derive(password, salt, &mut hash);
    hash
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::random::Seeded;
    use crate::vectors::secret;

    #[test]
    fn a_password_verifies_and_another_does_not() {
        let random = Seeded::new(1);
        let phc = hash(&secret("correct horse"), &random);
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, hash(&secret("correct horse"), &random), "a salt of its own");
        assert_eq!(verify(&secret("correct horse"), &phc), Ok(Verdict { matches: true, needs_upgrade: false }));
        assert_eq!(verify(&secret("correct horsf"), &phc), Ok(Verdict { matches: false, needs_upgrade: false }));
    }

    #[test]
    fn a_hash_of_an_older_cost_verifies_and_asks_for_a_new_one() {
        let phc = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$55PWTvddWPUD1GMbKxSff4ASfF85k9ibHJt4HlHQtBM";
        assert_eq!(verify(&secret("password"), phc), Ok(Verdict { matches: true, needs_upgrade: true }));
    }

    #[test]
    fn a_hash_that_is_none_of_ours_is_refused() {
        let good = hash(&secret("password"), &Seeded::new(1));
        for bad in [
            String::new(),
            "password".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("argon2id", "argon2d"),
            good.replace("v=19", "v=16"),
            good.replace("m=19456", "m=4294967295"),
            good.replace("t=2", "t=4294967295"),
            good.rsplit_once('$').unwrap().0.to_owned(),
            good[..good.len() - 8].to_owned(),
        ] {
            assert_eq!(verify(&secret("password"), &bad), Err(BadHash), "{bad}");
        }
    }

    #[test]
    fn anvil_login_timing_a_dummy_takes_as_long_as_a_real_one() {
        let phc = hash(&secret("password"), &Seeded::new(1));
        let timed = |work: &dyn Fn()| {
            let start = Instant::now();
            work();
            start.elapsed()
        };
        // In turns, so that whatever else the machine does meets both; the fastest of each met the least of it.
        let turns = (0..24).map(|_| {
            let real = timed(&|| assert!(!verify(&secret("guess"), &phc).unwrap().matches));
            (real, timed(&|| dummy_verify(&secret("guess"))))
        });
        let (real, dummy) = turns.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap();
        let ratio = dummy.as_secs_f64() / real.as_secs_f64();
        assert!((0.4..2.5).contains(&ratio), "dummy {dummy:?}, real {real:?}");
    }
}
