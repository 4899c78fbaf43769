//! What an ephemeral user of a Linux host may do by sudo.

use std::fmt;
use std::str::FromStr;

use super::conditions::text_form;

/// The most rules of an account.
pub const SUDO_RULES_MAX: usize = 16;
/// The longest rule.
const SUDO_RULE_BYTES_MAX: usize = 512;

/// What follows the user's name on a line of sudoers(5), e.g. `ALL=(root) NOPASSWD: /usr/bin/systemctl restart nginx`.
///
/// It stays on that line, and is about that user alone: printable ASCII, at most 512 bytes, nothing in front that could
/// add another user, no backslash behind that would take the next line in. Whether it means anything, the host's `visudo`
/// says before it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SudoRule(String);

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sudo rule is what follows the user on a line of sudoers, e.g. 'ALL=(root) /usr/bin/id': printable ASCII, at most \
     512 bytes, a letter, a digit, '%', '+' or '!' first, no space or backslash last"
)]
pub struct BadSudoRule;

impl FromStr for SudoRule {
    type Err = BadSudoRule;

    fn from_str(text: &str) -> Result<Self, BadSudoRule> {
        let first = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '+' | '!');
        let printable = |c: char| c.is_ascii_graphic() || c == ' ';
        let fits = text.len() <= SUDO_RULE_BYTES_MAX
            && text.starts_with(first)
            && text.chars().all(printable)
            && !text.ends_with([' ', '\\']);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadSudoRule) }
    }
}

impl fmt::Display for SudoRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(SudoRule, r"^[A-Za-z0-9%+!]([ -~]*[!-\[\]-~])?$", 512);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_stays_on_its_line_and_with_its_user() {
        for good in ["ALL=(ALL) ALL", "ALL=(root) NOPASSWD: /bin/a, /bin/b -x \\, y", "web01, web02 = /bin/id", "%x"] {
            assert!(good.parse::<SudoRule>().is_ok(), "{good}");
        }
        let long = format!("ALL={}", "x".repeat(512));
        for bad in ["", " ALL=ALL", ", root2 ALL=ALL", "ALL=ALL\nx ALL=ALL", "ALL=\\", "=x", "ALL=ä", "ALL= ", &long] {
            assert!(bad.parse::<SudoRule>().is_err(), "{bad:?}");
        }
    }
}
