//! Names, parsed at the edge into types that cannot be wrong. One canonical form of each, made here and nowhere else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most characters in one part of a path.
pub const PART_MAX: usize = 63;
/// The most bytes in a login name on a customer's system.
pub const LOGIN_MAX: usize = 256;

/// What is wrong with a name. The message says what a right one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A part outside the grammar.
    #[error("a name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")]
    Part,
    /// Not three parts.
    #[error("a path is customer/system/account, e.g. acme/dc01/administrator")]
    Path,
    /// Not a login name.
    #[error("a login name is 1 to 256 bytes without control characters")]
    Login,
}

/// One part of a path: `[a-z0-9][a-z0-9._-]{0,62}`. A copy is of the reference.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part(Arc<str>);

/// The name of a user or a service account: the same grammar as a path's part, so that case, spaces and Unicode forms
/// cannot make two names of one person.
pub type UserName = Part;

impl Part {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text is in the grammar of a part.
    pub fn fits(text: &str) -> bool {
        let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let rest = |b: u8| first(b) || matches!(b, b'.' | b'_' | b'-');
        let bytes = text.as_bytes();
        bytes.len() <= PART_MAX && bytes.first().copied().is_some_and(first) && bytes.iter().copied().all(rest)
    }
}

impl FromStr for Part {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if Self::fits(text) { Ok(Self(text.into())) } else { Err(BadName::Part) }
    }
}

/// `customer/system/account`, e.g. `acme/dc01/administrator`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountPath {
    /// The customer's slug.
    pub customer: Part,
    /// The system's name.
    pub system: Part,
    /// The account's name in the vault; its login name on the system is an attribute.
    pub account: Part,
}

impl FromStr for AccountPath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let mut parts = text.split('/');
        let (Some(customer), Some(system), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadName::Path);
        };
        Ok(Self { customer: customer.parse()?, system: system.parse()?, account: account.parse()? })
    }
}

/// An account's name on its system: any string of 1 to 256 bytes without control characters. Connectors quote it for
/// their system; nothing here assumes that it is harmless.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login(Arc<str>);

impl Login {
    /// The login name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The login name as a value in a distinguished name (RFC 4514 §2.4): it never ends its own part.
    pub fn in_a_dn(&self) -> String {
        use fmt::Write as _;
        let mut value = String::with_capacity(self.0.len());
        let last = self.0.chars().count().saturating_sub(1);
        for (at, c) in self.0.chars().enumerate() {
            let special = "\",+;<>=\\".contains(c) || (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
            // Writing into a string cannot fail.
            let _ = if special { write!(value, "\\{:02x}", u32::from(c)) } else { write!(value, "{c}") };
        }
        value
    }
}

impl FromStr for Login {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let fits = !text.trim().is_empty() && text.len() <= LOGIN_MAX && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.into())) } else { Err(BadName::Login) }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.customer, self.system, self.account)
    }
}

macro_rules! text_form {
    ($($name:ident, $pattern:expr;)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some($pattern))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

text_form! {
    Part, "^[a-z0-9][a-z0-9._-]{0,62}$";
    AccountPath, "^[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}$";
    Login, r"^[^\x00-\x1f\x7f-\x9f]{1,256}$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anvil_ldap_escape_a_login_never_ends_its_part_of_a_distinguished_name() {
        let value = |text: &str| text.parse::<Login>().unwrap().in_a_dn();
        assert_eq!(value("admin,dc=evil"), "admin\\2cdc\\3devil");
        assert_eq!(value("a+cn=b;<>\"\\"), "a\\2bcn\\3db\\3b\\3c\\3e\\22\\5c");
        assert_eq!(value(" #x "), "\\20#x\\20");
        assert_eq!(value("#x y"), "\\23x y");
        assert_eq!(value("Ädmin*(|)"), "Ädmin*(|)", "what only a filter knows is nothing here");
    }

    #[test]
    fn a_part_has_one_form() {
        for good in ["a", "0", "dc01.corp_x-y", &"a".repeat(PART_MAX)] {
            assert_eq!(good.parse::<Part>().map(|p| p.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "-a", "_a", "A", "a b", "a/b", "ä", "a\0", "a%2f", &"a".repeat(PART_MAX + 1)] {
            assert_eq!(bad.parse::<Part>(), Err(BadName::Part), "{bad:?}");
        }
    }

    #[test]
    fn a_path_has_three_parts() {
        assert!("acme/dc01/administrator".parse::<AccountPath>().is_ok());
        for bad in ["acme", "acme/dc01", "acme/dc01/a/b", "acme//a", "/acme/dc01/a", "acme/../a"] {
            assert!(bad.parse::<AccountPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_login_may_be_hostile_but_not_invisible() {
        assert!("\"; DROP ROLE x; --".parse::<Login>().is_ok());
        assert!("CORP\\Administrator".parse::<Login>().is_ok());
        for bad in ["", " ", "a\nb", "a\0b", &"x".repeat(LOGIN_MAX + 1)] {
            assert!(bad.parse::<Login>().is_err(), "{bad:?}");
        }
    }
}
