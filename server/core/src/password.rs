//! Generated passwords: a policy parsed into rules that can be met, and a password drawn evenly from all that meet them.
//!
//! A candidate is drawn character by character, each with the same probability, and thrown away as a whole unless it
//! meets every rule. So each password that meets the rules is as likely as any other, which placing the required
//! characters first and shuffling would not give. Rules under which a candidate rarely passes are refused when they are
//! parsed; [`Rules::parse`] bounds that probability from below.

mod chances;

use claviger_api::Secret;
use claviger_api::secret::BadSecret;
use claviger_api::wire::PasswordPolicy;
use zeroize::{Zeroize, Zeroizing};

/// The shortest generated password.
pub const LENGTH_MIN: u16 = 8;
/// The longest.
pub const LENGTH_MAX: u16 = 128;
/// The most characters that `exclude` can name.
pub const EXCLUDE_MAX: usize = 256;
/// The least strength: the logarithm of how many passwords meet the rules. 2⁴⁸ guesses are out of reach of any login
/// prompt, for as long as a checkout lasts and far beyond.
pub const ENTROPY_MIN_BITS: f64 = 48.0;
/// The least probability with which a random candidate meets the rules.
pub const ACCEPTANCE_MIN: f64 = 1.0 / 256.0;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// What RFC 3986 §2.3 calls unreserved, besides letters and digits: literal in every part of a URL, within a word of a
/// POSIX shell, cmd or PowerShell, between quotes in SQL, in libpq, ODBC and ADO connection strings, and in `.pgpass`.
/// Each other symbol is a separator, quote, wildcard, comment or escape to one of them. At the start of a word two of
/// these could be taken for an option or a home directory, so a password starts with none: see [`Rules`].
pub const SYMBOLS: &str = "-._~";

/// Draws a password that meets `rules` and differs from `previous` as they say. `random` fills bytes evenly.
pub fn generate(
    rules: &Rules,
    previous: Option<&Secret>,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Secret, PasswordError> {
    let mut dice = Dice::new(random);
    let mut candidate = Zeroizing::new(String::with_capacity(usize::from(rules.length)));
    loop {
        candidate.zeroize();
        for _ in 0..rules.length {
            candidate.push(char::from(dice.pick(&rules.alphabet)?));
        }
        if rules.accept(&candidate, previous) {
            return Secret::new(std::mem::take(&mut *candidate)).map_err(PasswordError::Unusable);
        }
    }
}

/// Why no password was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// [`RANDOM_MAX_BYTES`] held no acceptable password. By [`ACCEPTANCE_MIN`], an even source does that less often than
    /// once in 2¹⁰⁰ times.
    #[error("the random source is broken: nothing in 4 MiB of it is an acceptable password")]
    Exhausted,
    /// The characters make no secret.
    #[error(transparent)]
    Unusable(BadSecret),
}

/// A password policy that can be met. The first character is never a symbol, unless there is nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    length: u16,
    alphabet: Vec<u8>,
    minimums: [Minimum; 4],
    min_differences: u16,
}

/// What is wrong with a password policy, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadRules {
    /// Out of range.
    #[error("a generated password has {LENGTH_MIN} to {LENGTH_MAX} characters: set length within that")]
    Length,
    /// More characters required than there are.
    #[error("the class minimums add up to {sum}, over the length {length}: lower them, or raise length")]
    Minimums {
        /// What they add up to.
        sum: u32,
        /// The length.
        length: u16,
    },
    /// More differences required than characters.
    #[error("min_differences is over the length {length}: lower it, or raise length")]
    Differences {
        /// The length.
        length: u16,
    },
    /// Too many excluded characters.
    #[error("exclude names at most {EXCLUDE_MAX} characters")]
    Exclude,
    /// A class is required of which nothing is left.
    #[error("every one of the {class} is excluded, but {field} requires some: exclude fewer, or set {field} to 0")]
    ClassExcluded {
        /// The class.
        class: &'static str,
        /// The policy's field.
        field: &'static str,
    },
    /// Too easy to guess.
    #[error(
        "these rules leave {bits:.0} bits of entropy, under {ENTROPY_MIN_BITS}: raise length, or exclude fewer characters"
    )]
    Weak {
        /// The estimate.
        bits: f64,
    },
    /// Hardly any candidate would pass.
    #[error("fewer than one random password in 256 would meet these rules: lower the minimums, or raise length")]
    Unlikely,
}

impl Rules {
    /// Parses a policy, or says what is wrong with it.
    ///
    /// With n characters to draw from and d differences, a candidate passes with at least the probability
    ///
    /// ```text
    /// P(minimums met, first character no symbol) − P(Binomial(length, 1/n) > length − d)
    /// ```
    ///
    /// whatever the previous password is: the first is exact, and each position is the same as before with at most 1/n.
    /// Under [`ACCEPTANCE_MIN`] the policy is refused.
    pub fn parse(policy: &PasswordPolicy) -> Result<Self, BadRules> {
        let length = policy.length;
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&length) {
            return Err(BadRules::Length);
        }
        if policy.exclude.chars().count() > EXCLUDE_MAX {
            return Err(BadRules::Exclude);
        }
        let minimums = minimums(policy);
        let sum = minimums.iter().map(|class| u32::from(class.at_least)).sum();
        if sum > u32::from(length) {
            return Err(BadRules::Minimums { sum, length });
        }
        if policy.min_differences > length {
            return Err(BadRules::Differences { length });
        }
        if let Some(empty) = minimums.iter().find(|class| class.at_least > 0 && class.size == 0) {
            return Err(BadRules::ClassExcluded { class: empty.class.name, field: empty.class.field });
        }
        let alphabet = [LOWER, UPPER, DIGITS, SYMBOLS].into_iter().flat_map(|class| left(class, policy)).collect();
        let rules = Self { length, alphabet, minimums, min_differences: policy.min_differences };
        rules.check_chances()?;
        Ok(rules)
    }

    /// How many passwords meet the rules, as a logarithm to the base 2, leaving the previous password aside.
    pub fn entropy_bits(&self) -> f64 {
        self.bits_of_all() + self.chance_of_form().log2()
    }

    fn check_chances(&self) -> Result<(), BadRules> {
        let bits = self.bits_of_all();
        if bits < ENTROPY_MIN_BITS {
            return Err(BadRules::Weak { bits });
        }
        let form = self.chance_of_form();
        let alike = chances::more_than(self.length - self.min_differences, self.length, 1.0 / self.characters());
        if form - alike < ACCEPTANCE_MIN {
            return Err(BadRules::Unlikely);
        }
        let bits = bits + form.log2();
        if bits < ENTROPY_MIN_BITS { Err(BadRules::Weak { bits }) } else { Ok(()) }
    }

    /// Of all strings of the length, form aside.
    fn bits_of_all(&self) -> f64 {
        f64::from(self.length) * self.characters().max(1.0).log2()
    }

    /// That a candidate meets the minimums and starts with no symbol.
    fn chance_of_form(&self) -> f64 {
        let first = |class: &Minimum| class.size > 0 && (self.only_symbols() || class.class.characters != SYMBOLS);
        let starts = self.minimums.iter().enumerate().filter(|(_, class)| first(class));
        starts
            .map(|(place, class)| {
                let mut rest = self.minimums.map(|class| (class.size, class.at_least));
                if let Some((_, at_least)) = rest.get_mut(place) {
                    *at_least = at_least.saturating_sub(1);
                }
                f64::from(class.size) / self.characters() * chances::all_minimums(self.length - 1, &rest)
            })
            .sum()
    }

    fn only_symbols(&self) -> bool {
        self.minimums.iter().all(|class| class.size == 0 || class.class.characters == SYMBOLS)
    }

    fn characters(&self) -> f64 {
        self.minimums.iter().map(|class| f64::from(class.size)).sum()
    }

    fn accept(&self, candidate: &str, previous: Option<&Secret>) -> bool {
        let enough = |minimum: &Minimum| {
            let of_class = candidate.chars().filter(|c| minimum.class.characters.contains(*c));
            of_class.count() >= usize::from(minimum.at_least)
        };
        let starts_well = self.only_symbols() || !candidate.starts_with(|c| SYMBOLS.contains(c));
        let differs =
            previous.is_none_or(|previous| differences(candidate, previous) >= usize::from(self.min_differences));
        starts_well && differs && self.minimums.iter().all(enough)
    }
}

fn minimums(policy: &PasswordPolicy) -> [Minimum; 4] {
    let [lower, upper, digits, symbols] = &CLASSES;
    let minimum = |class: &'static Class, at_least| {
        let size = u16::try_from(left(class.characters, policy).count()).unwrap_or(0);
        Minimum { class, size, at_least }
    };
    [
        minimum(lower, policy.min_lower),
        minimum(upper, policy.min_upper),
        minimum(digits, policy.min_digits),
        minimum(symbols, policy.min_symbols),
    ]
}

/// What the policy leaves of a class.
fn left<'a>(class: &'a str, policy: &'a PasswordPolicy) -> impl Iterator<Item = u8> + 'a {
    class.bytes().filter(|byte| !policy.exclude.contains(char::from(*byte)))
}

/// Positions at which the two differ; those that only one of them has do.
fn differences(candidate: &str, previous: &Secret) -> usize {
    let (mut ours, mut theirs) = (candidate.chars(), previous.expose().chars());
    let mut count = 0;
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return count,
            (ours, theirs) => count += usize::from(ours != theirs),
        }
    }
}

/// A class of characters and the policy's field for it.
#[derive(Debug, PartialEq, Eq)]
struct Class {
    name: &'static str,
    field: &'static str,
    characters: &'static str,
}

static CLASSES: [Class; 4] = [
    Class { name: "lower-case letters", field: "min_lower", characters: LOWER },
    Class { name: "upper-case letters", field: "min_upper", characters: UPPER },
    Class { name: "digits", field: "min_digits", characters: DIGITS },
    Class { name: "symbols", field: "min_symbols", characters: SYMBOLS },
];

/// How many of a class are left to draw from, and how many there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Minimum {
    class: &'static Class,
    size: u16,
    at_least: u16,
}

/// Even choices from random bytes, by rejection: a byte at or past the last whole multiple of the number of choices is
/// thrown away, so that no choice has more bytes than another.
struct Dice<'a> {
    random: &'a mut dyn FnMut(&mut [u8]),
    block: Zeroizing<[u8; 64]>,
    used: usize,
    blocks_left: usize,
}

/// The most random bytes that one password may take.
pub const RANDOM_MAX_BYTES: usize = 4 * 1024 * 1024;

impl<'a> Dice<'a> {
    fn new(random: &'a mut dyn FnMut(&mut [u8])) -> Self {
        let block = Zeroizing::new([0; 64]);
        Self { random, used: block.len(), blocks_left: RANDOM_MAX_BYTES / block.len(), block }
    }

    fn pick(&mut self, choices: &[u8]) -> Result<u8, PasswordError> {
        let Some(usable) = 256_usize.checked_rem(choices.len()).map(|rest| 256 - rest) else {
            return Err(PasswordError::Exhausted);
        };
        loop {
            let byte = usize::from(self.byte()?);
            if byte < usable
                && let Some(choice) = choices.get(byte % choices.len())
            {
                return Ok(*choice);
            }
        }
    }

    fn byte(&mut self) -> Result<u8, PasswordError> {
        if self.used == self.block.len() {
            self.blocks_left = self.blocks_left.checked_sub(1).ok_or(PasswordError::Exhausted)?;
            (self.random)(self.block.as_mut_slice());
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().ok_or(PasswordError::Exhausted)?;
        self.used += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests;
