//! Login names as a Linux host tells them apart.

use claviger_api::Login;

/// The longest name that Linux keeps (`LOGIN_NAME_MAX` of utmp).
const NAME_BYTES_MAX: usize = 32;

/// The name of a user, or of a group, that means one and nothing else: letters, digits, `_`, `.` and `-`, a letter or `_`
/// first. OpenSSH itself would take what follows a `:` or a `/` for something other than the name, and to every shell
/// such a name is one plain word, and no option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserName<'a>(&'a str);

impl<'a> UserName<'a> {
    /// A login as a user's name, or why it is none.
    pub(super) fn of(login: &'a Login) -> Result<Self, &'static str> {
        let text = login.as_str();
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let later = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if text.len() <= NAME_BYTES_MAX && text.starts_with(first) && text.chars().all(later) {
            Ok(Self(text))
        } else {
            Err("the name of a Linux user or group is 1 to 32 letters, digits, '_', '.' and '-', a letter or '_' first")
        }
    }

    /// The name.
    pub(super) fn as_str(&self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_host_would_read_otherwise_is_refused_as_a_whole() {
        let is_name = |text: &str| UserName::of(&text.parse().unwrap()).is_ok();
        for name in ["root", "_apt", "web-01", "Anna.Muster", &"n".repeat(32)] {
            assert!(is_name(name), "{name}");
        }
        for other in ["root:x", "root/x", "root x", "-oProxy", "$(id)", "a\\b", "0day", "ä", "a*", &"n".repeat(33)] {
            assert!(!is_name(other), "{other}");
        }
    }
}
