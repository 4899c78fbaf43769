//! Texts with placeholders: read once, filled at each call. A text is a list of pieces, never a string in which something
//! is replaced, so that what a placeholder stands for is not looked at for placeholders.

use std::borrow::Cow;

use claviger_api::wire::HTTP_TEXT_MAX;
use claviger_api::{Login, Secret, Timestamp};
use zeroize::Zeroizing;

/// What may stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Login,
    Secret,
    NewSecret,
    Manager,
    ManagerSecret,
    Session,
    Mark,
    Groups,
    ValidUntil,
    ValidUntilUnix,
}

impl Slot {
    const ALL: [Self; 10] = [
        Self::Login,
        Self::Secret,
        Self::NewSecret,
        Self::Manager,
        Self::ManagerSecret,
        Self::Session,
        Self::Mark,
        Self::Groups,
        Self::ValidUntil,
        Self::ValidUntilUnix,
    ];

    /// As it is written between braces.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Secret => "secret",
            Self::NewSecret => "new_secret",
            Self::Manager => "manager",
            Self::ManagerSecret => "manager_secret",
            Self::Session => "session",
            Self::Mark => "mark",
            Self::Groups => "groups",
            Self::ValidUntil => "valid_until",
            Self::ValidUntilUnix => "valid_until_unix",
        }
    }

    /// Whether it stands for what opens something: never in an address, which is logged on its way.
    pub(super) fn is_secret(self) -> bool {
        match self {
            Self::Secret | Self::NewSecret | Self::ManagerSecret | Self::Session => true,
            Self::Login | Self::Manager | Self::Mark | Self::Groups | Self::ValidUntil | Self::ValidUntilUnix => false,
        }
    }
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As it is.
    Literal(String),
    /// What it stands for at a call.
    Slot(Slot),
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(pub(super) Vec<Piece>);

impl Template {
    /// Reads one, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > HTTP_TEXT_MAX {
            return Err(format!("at most {HTTP_TEXT_MAX} bytes"));
        }
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(c) = rest.chars().next() {
            let next = rest.split_at(c.len_utf8()).1;
            if let ('{' | '}', true) = (c, next.starts_with(c)) {
                literal.push(c);
                rest = next.split_at(1).1;
            } else if c == '{' {
                let (name, after) = next.split_once('}').ok_or_else(|| UNBALANCED.to_owned())?;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Slot(slot(name)?));
                rest = after;
            } else if c == '}' {
                return Err(UNBALANCED.to_owned());
            } else {
                literal.push(c);
                rest = next;
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Its placeholders.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(*slot),
            Piece::Literal(_) => None,
        })
    }

    /// Its literal parts.
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot(_) => None,
            Piece::Literal(text) => Some(text.as_str()),
        })
    }

    /// The placeholder that it is and nothing else.
    pub(super) fn only(&self) -> Option<Slot> {
        match self.0.as_slice() {
            [Piece::Slot(slot)] => Some(*slot),
            _ => None,
        }
    }

    /// The whole text, each placeholder's text passed through `check`.
    pub(super) fn fill(
        &self,
        values: &Values<'_>,
        check: impl Fn(Slot, &str) -> Result<(), Unfit>,
    ) -> Result<Zeroizing<String>, Unfit> {
        let mut parts = Vec::with_capacity(self.0.len());
        for piece in &self.0 {
            parts.push(match piece {
                Piece::Literal(text) => Cow::Borrowed(text.as_str()),
                Piece::Slot(slot) => {
                    let text = values.text(*slot)?;
                    check(*slot, &text)?;
                    text
                }
            });
        }
        // One exact allocation, so that no copy of a secret is left behind by a text that grows.
        let mut filled = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            filled.push_str(&part);
        }
        Ok(filled)
    }
}

const UNBALANCED: &str = "a brace alone: a placeholder is a name in braces, and {{ or }} is a brace";

fn slot(name: &str) -> Result<Slot, String> {
    Slot::ALL.into_iter().find(|slot| slot.name() == name).ok_or_else(|| {
        let known: Vec<String> = Slot::ALL.iter().map(|slot| format!("{{{}}}", slot.name())).collect();
        format!("no placeholder of this name; there are {}", known.join(", "))
    })
}

/// What every login that the vault makes says of itself: only such logins are extended and removed.
pub(super) const MARK: &str = "claviger: ephemeral login";

/// What placeholders stand for at one call; what is not known there is absent.
#[derive(Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) login: Option<&'a Login>,
    pub(super) secret: Option<&'a Secret>,
    pub(super) new_secret: Option<&'a Secret>,
    pub(super) manager: Option<&'a Login>,
    pub(super) manager_secret: Option<&'a Secret>,
    pub(super) session: Option<&'a Secret>,
    pub(super) groups: &'a [Login],
    pub(super) valid_until: Option<Timestamp>,
}

/// What cannot be said by a call as it is described. Nothing of the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) slot: Slot,
    pub(super) why: &'static str,
}

impl Unfit {
    pub(super) fn words(&self) -> String {
        format!("{{{}}} cannot be said in this call: {}", self.slot.name(), self.why)
    }
}

impl<'a> Values<'a> {
    /// The text of a placeholder.
    pub(super) fn text(&self, slot: Slot) -> Result<Cow<'a, str>, Unfit> {
        let borrowed = match slot {
            Slot::Login => self.login.map(Login::as_str),
            Slot::Manager => self.manager.map(Login::as_str),
            Slot::Secret => self.secret.map(Secret::expose),
            Slot::NewSecret => self.new_secret.map(Secret::expose),
            Slot::ManagerSecret => self.manager_secret.map(Secret::expose),
            Slot::Session => self.session.map(Secret::expose),
            Slot::Mark => Some(MARK),
            Slot::Groups => None,
            Slot::ValidUntil => {
                let text = self.valid_until.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
                return text.map(Cow::Owned).ok_or_else(|| absent(slot));
            }
            Slot::ValidUntilUnix => {
                let text = self.valid_until.map(|at| at.as_second().to_string());
                return text.map(Cow::Owned).ok_or_else(|| absent(slot));
            }
        };
        borrowed.map(Cow::Borrowed).ok_or_else(|| absent(slot))
    }

    /// The secrets, so that nobody's words show them.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &'a Secret> + use<'a> {
        [self.secret, self.new_secret, self.manager_secret, self.session].into_iter().flatten()
    }
}

fn absent(slot: Slot) -> Unfit {
    Unfit { slot, why: "whoever asks does not know it" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_doubled_and_names_are_known() {
        let parsed = Template::parse("a{{b}}-{login}-{new_secret}").unwrap();
        let [Piece::Literal(first), Piece::Slot(Slot::Login), Piece::Literal(dash), Piece::Slot(Slot::NewSecret)] =
            parsed.0.as_slice()
        else {
            panic!("{parsed:?}")
        };
        assert_eq!((first.as_str(), dash.as_str()), ("a{b}-", "-"));
        for bad in ["{", "}", "{login", "login}", "{Login}", "{}", "{ login }", "{new secret}", "{{login}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse(&"x".repeat(HTTP_TEXT_MAX + 1)).is_err());
    }

    #[test]
    fn what_a_placeholder_stands_for_is_not_read_again() {
        let login: Login = "{manager}{{}}".parse().unwrap();
        let values = Values { login: Some(&login), ..Values::default() };
        let filled = Template::parse("{login}").unwrap().fill(&values, |_, _| Ok(())).unwrap();
        assert_eq!(*filled, "{manager}{{}}");
        let unknown = Template::parse("{manager}").unwrap().fill(&values, |_, _| Ok(()));
        assert_eq!(unknown.unwrap_err().slot, Slot::Manager);
    }
}
