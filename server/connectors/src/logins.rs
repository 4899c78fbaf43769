//! The logins that a system has, whether or not the vault knows them.

use claviger_api::{Secret, Timestamp};

use crate::{Probe, SetOutcome};

/// The most logins that one look brings; those with power come first, so that none of them is cut for others.
pub const LOGINS_MAX: usize = 2000;
/// The most reasons, remarks and further names of one login.
pub const WORDS_MAX: usize = 12;
/// The longest of them, in characters. What a system says is cut, never what a look depends on: names are whole.
pub const WORD_CHARS_MAX: usize = 160;

/// What a look at a system's logins brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// The logins, those with power first, then by name.
    pub found: Vec<FoundLogin>,
    /// Whether the system has more than were brought.
    pub cut: bool,
    /// What the asking account may not see, each in words: nothing is known of it.
    pub unseen: Vec<String>,
}

/// One login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundLogin {
    /// Its name as the system has it, exactly; it may be none that a [`Login`](claviger_api::Login) can be.
    pub name: String,
    /// Other names that mean it, e.g. its entry's distinguished name.
    pub also: Vec<String>,
    /// Whether the system lets it log in at all, with the right secret or key.
    pub may_log_in: bool,
    /// What power it has over the system, each in words; empty where it has none.
    pub privileges: Vec<String>,
    /// What else somebody who judges it wants to know.
    pub notes: Vec<String>,
    /// When it last logged in, where the system tells.
    pub last_login_at: Option<Timestamp>,
    /// Whether it bears the vault's mark of a login for a time. Whoever has power over the system can put one there.
    pub marked: bool,
}

impl Logins {
    /// Those with power first, and not more than there is room for.
    pub(crate) fn of(mut found: Vec<FoundLogin>, cut: bool, unseen: Vec<String>) -> Self {
        found.iter_mut().for_each(FoundLogin::bound);
        found.sort_by(|one, other| one.order().cmp(&other.order()));
        let cut = cut || found.len() > LOGINS_MAX;
        found.truncate(LOGINS_MAX);
        Self { found, cut, unseen: bounded(unseen) }
    }
}

impl Logins {
    /// The same without the secret that the system was given to log in with, should it show it. A name is left as it is where
    /// the secret is so short that this may be chance.
    #[must_use]
    pub fn without(mut self, secret: &Secret) -> Self {
        let hide = |text: &mut String| {
            if text.contains(secret.expose()) {
                *text = text.replace(secret.expose(), "…");
            }
        };
        self.unseen.iter_mut().for_each(hide);
        for found in &mut self.found {
            found.privileges.iter_mut().chain(&mut found.notes).for_each(hide);
            if secret.expose().len() >= NO_CHANCE {
                found.also.iter_mut().chain([&mut found.name]).for_each(hide);
            }
        }
        self
    }
}

/// A secret of so many bytes is in no name by chance.
const NO_CHANCE: usize = 12;

impl FoundLogin {
    fn order(&self) -> (bool, bool, &str) {
        (self.privileges.is_empty(), !self.may_log_in, &self.name)
    }

    fn bound(&mut self) {
        self.privileges = bounded(std::mem::take(&mut self.privileges));
        self.notes = bounded(std::mem::take(&mut self.notes));
        self.also.truncate(WORDS_MAX);
    }
}

fn bounded(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words.dedup();
    if words.len() > WORDS_MAX {
        words.truncate(WORDS_MAX - 1);
        words.push("and more".to_owned());
    }
    let plain = |word: String| word.chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect();
    words.into_iter().map(plain).collect()
}

/// Why a look brought nothing, in the words of a login attempt.
pub(crate) fn not_told(outcome: SetOutcome) -> Probe {
    use claviger_api::wire::ProbeResult;
    match outcome {
        SetOutcome::NotSent { result, detail } => Probe { result, detail },
        SetOutcome::Refused { detail, .. } => Probe { result: ProbeResult::Accepted, detail },
        SetOutcome::Unknown(detail) => Probe { result: ProbeResult::Unknown, detail },
        SetOutcome::Applied => Probe { result: ProbeResult::Unknown, detail: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_power_are_never_cut_for_others_and_no_word_is_endless() {
        let plain = |at: usize| FoundLogin { name: format!("a{at}"), may_log_in: true, ..FoundLogin::default() };
        let mut found: Vec<_> = (0..LOGINS_MAX).map(plain).collect();
        let power: Vec<String> = (0..99).map(|at| format!("{at}\n{}", "x".repeat(999))).collect();
        found.push(FoundLogin { name: "z".to_owned(), privileges: power, ..FoundLogin::default() });
        let logins = Logins::of(found, false, Vec::new());
        let first = logins.found.first().unwrap();
        assert_eq!((first.name.as_str(), logins.found.len(), logins.cut), ("z", LOGINS_MAX, true));
        assert_eq!(first.privileges.len(), WORDS_MAX);
        assert_eq!(first.privileges.last().unwrap(), "and more");
        let short = Secret::new("z".to_owned()).unwrap();
        assert_eq!(logins.clone().without(&short).found.first().unwrap().name, "z", "by chance");
        let long = Secret::new("0".to_owned() + &"x".repeat(99)).unwrap();
        let hidden = logins.clone().without(&long);
        assert!(!hidden.found.first().unwrap().privileges.iter().any(|word| word.contains(long.expose())));
        assert!(first.privileges.iter().all(|word| word.len() <= WORD_CHARS_MAX && !word.contains('\n')));
    }
}
