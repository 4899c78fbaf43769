//! How a login is named: to log in with, and to be looked for. The form tells which, and none is guessed.

use claviger_api::Login;
use ldap3_proto::proto::LdapFilter;

/// The longest name of an account that Windows takes (`sAMAccountName` of a user).
const ACCOUNT_CHARS_MAX: usize = 20;
/// What no such name may hold.
const NEVER_IN_ACCOUNT: &str = "\"/\\[]:;|=,+*?<>@";

/// A login, read by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// `anna`: the account's own name in its domain (`sAMAccountName`).
    Account(&'a str),
    /// `anna@corp.example`: what an administrator set as its `userPrincipalName`.
    Principal(&'a str),
    /// `dn:CN=Anna,OU=…`: the entry itself.
    Entry(&'a str),
}

impl<'a> Name<'a> {
    /// What the login means; an error says why no account can have that name.
    pub(super) fn of(login: &'a Login) -> Result<Self, String> {
        let text = login.as_str();
        if let Some(dn) = text.strip_prefix("dn:") {
            return if dn.contains('=') {
                Ok(Self::Entry(dn))
            } else {
                Err(format!("{login} is no distinguished name"))
            };
        }
        if let Some((name, suffix)) = text.rsplit_once('@') {
            let whole = !name.is_empty() && !suffix.is_empty() && !text.contains(['\\', ' ']);
            return if whole { Ok(Self::Principal(text)) } else { Err(format!("{login} is no userPrincipalName")) };
        }
        let fits = text.chars().count() <= ACCOUNT_CHARS_MAX
            && !text.contains(|c| NEVER_IN_ACCOUNT.contains(c))
            && text.trim() == text
            && !text.ends_with('.');
        if fits {
            Ok(Self::Account(text))
        } else {
            Err(format!(
                "no account can be named {login}: at most {ACCOUNT_CHARS_MAX} characters, none of {NEVER_IN_ACCOUNT}, and \
                 no space or dot at the end"
            ))
        }
    }

    /// What a simple bind takes for it ([MS-ADTS] §5.1.1.1.1).
    pub(super) fn to_log_in(self, domain: &str) -> String {
        match self {
            Self::Account(name) => format!("{domain}\\{name}"),
            Self::Principal(name) => name.to_owned(),
            Self::Entry(dn) => dn.to_owned(),
        }
    }

    /// Which entry it is, by a value of the protocol; of a distinguished name nothing is looked for.
    pub(super) fn filter(self) -> Option<LdapFilter> {
        let (attribute, value) = self.attribute()?;
        let of_user = LdapFilter::Equality("objectClass".to_owned(), "user".to_owned());
        Some(LdapFilter::And(vec![of_user, LdapFilter::Equality(attribute.to_owned(), value.to_owned())]))
    }

    /// The attribute that holds the name, and the name.
    pub(super) fn attribute(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Account(name) => Some(("sAMAccountName", name)),
            Self::Principal(name) => Some(("userPrincipalName", name)),
            Self::Entry(_) => None,
        }
    }
}

/// Whether two names are one to a directory; it lets more pass for equal (accents), and that is not meant.
pub(super) fn is_same(found: &[u8], meant: &str) -> bool {
    std::str::from_utf8(found).is_ok_and(|found| found.to_lowercase() == meant.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<String, String> {
        let login: Login = text.parse().unwrap();
        Name::of(&login).map(|name| name.to_log_in("CORP"))
    }

    #[test]
    fn anvil_ldap_escape_a_login_is_one_form_of_a_name_or_none() {
        assert_eq!(name("anna").unwrap(), "CORP\\anna");
        assert_eq!(name("o'neill (x) $").unwrap(), "CORP\\o'neill (x) $");
        assert_eq!(name("anna@corp.example").unwrap(), "anna@corp.example");
        assert_eq!(name("dn:CN=Anna,DC=corp").unwrap(), "CN=Anna,DC=corp");
        for never in [
            "OTHER\\anna",
            "a/b",
            "anna*",
            "corp.example/Users/anna",
            "dn:anna",
            "@corp",
            "anna@",
            "CORP\\anna@corp",
            " anna",
            "anna ",
            "anna.",
            "a234567890123456789012",
        ] {
            assert!(name(never).is_err(), "{never}");
        }
    }

    #[test]
    fn an_accent_makes_another_name_and_case_does_not() {
        assert!(is_same(b"Administrator", "administrator"));
        assert!(!is_same("Ädministrator".as_bytes(), "administrator"));
        assert!(!is_same(b"\xff", "\u{fffd}"));
    }
}
