//! Which account a login means, and how it is written in a statement.

use std::fmt;

use claviger_api::Login;

use super::sql::quoted;
use crate::SetOutcome;

/// The longest name of a user, and of a role, in characters (`USERNAME_CHAR_LENGTH` in the server's source).
pub(super) const NAME_CHARS_MAX: usize = 128;
/// The longest host part (`HOSTNAME_LENGTH` there).
const HOST_MAX: usize = 255;
/// What MariaDB takes for the host of an account that names none.
const ANY_HOST: &str = "%";

/// An account: a user, and the hosts it may come from. Two accounts of the same user are different accounts, with
/// different secrets. A login writes it as `CURRENT_USER()` does: the host is what follows the last `@`, and without
/// one it is `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: String,
    /// In lower case, as MariaDB keeps it.
    pub(super) host: String,
}

impl Account {
    /// The account, unless MariaDB could not hold its name exactly.
    pub(super) fn of(login: &Login) -> Result<Self, SetOutcome> {
        let (user, host) = login.as_str().rsplit_once('@').unwrap_or((login.as_str(), ANY_HOST));
        let host_fits = !host.is_empty()
            && host.len() <= HOST_MAX
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "._-:%/".contains(c));
        if !host_fits {
            return Err(refused(format!("{login}: what follows the last @ is no host part; user@% admits every host")));
        }
        check_name(user)?;
        Ok(Self { user: user.to_owned(), host: host.to_ascii_lowercase() })
    }

    /// For a statement.
    pub(super) fn quoted(&self) -> String {
        format!("{}@{}", quoted(&self.user), quoted(&self.host))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

/// A role's name, for a statement.
pub(super) fn role(login: &Login) -> Result<String, SetOutcome> {
    check_name(login.as_str())?;
    Ok(quoted(login.as_str()))
}

/// MariaDB keeps names in columns of the type `CHAR`, in three-byte UTF-8: it would cut spaces off their end, and put
/// question marks for characters beyond U+FFFF, and so touch another account without a word.
fn check_name(name: &str) -> Result<(), SetOutcome> {
    if name.is_empty() {
        return Err(refused("MariaDB's account without a user name is nobody's".to_owned()));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(refused(format!("MariaDB has no names over {NAME_CHARS_MAX} characters")));
    }
    if name.ends_with(' ') || name.chars().any(|c| c > '\u{ffff}') {
        let why = "MariaDB cannot hold this name exactly: it ends in a space, or has a character beyond U+FFFF";
        return Err(refused(why.to_owned()));
    }
    Ok(())
}

fn refused(detail: String) -> SetOutcome {
    SetOutcome::Refused { detail, by_policy: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> Result<(String, String), SetOutcome> {
        Account::of(&text.parse().unwrap()).map(|it| (it.user, it.host))
    }

    #[test]
    fn a_login_is_read_as_current_user_writes_it() {
        for (text, user, host) in [
            ("app", "app", "%"),
            ("app@localhost", "app", "localhost"),
            ("app@10.%", "app", "10.%"),
            ("app@192.168.0.0/255.255.0.0", "app", "192.168.0.0/255.255.0.0"),
            ("app@fe80::1", "app", "fe80::1"),
            ("app@DB.Example", "app", "db.example"),
            ("anna@example.com@%", "anna@example.com", "%"),
            ("\"; DROP USER x; --", "\"; DROP USER x; --", "%"),
            (" in front", " in front", "%"),
        ] {
            assert_eq!(account(text).unwrap(), (user.to_owned(), host.to_owned()), "{text}");
        }
    }

    #[test]
    fn anvil_sql_names_that_mariadb_would_change_are_refused() {
        let longest = "ä".repeat(NAME_CHARS_MAX);
        assert!(account(&longest).is_ok());
        for text in
            ["n".repeat(129), "in the end ".to_owned(), "beyond 💣".to_owned(), "@%".to_owned(), "app@".to_owned()]
        {
            assert!(matches!(account(&text), Err(SetOutcome::Refused { by_policy: false, .. })), "{text}");
        }
        for host in ["' OR 1", "a b", "hôst", "a'b", "a\\b", &"h".repeat(256)] {
            let text = format!("app@{host}");
            let Ok(login) = text.parse::<Login>() else { continue };
            assert!(Account::of(&login).is_err(), "{text}");
        }
    }
}
