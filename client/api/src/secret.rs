//! The value that opens an account, and the one door through which it leaves.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, Zeroizing};

/// The most bytes in a secret: room for a 4096-bit private key in PEM.
pub const SECRET_MAX: usize = 8 * 1024;

/// What is wrong with a value that should be a secret. It never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Empty or blank: some systems take it for an anonymous login.
    #[error("a secret is not empty or blank")]
    Blank,
    /// A NUL byte: some systems cut the value there.
    #[error("a secret has no NUL byte")]
    Nul,
    /// Over [`SECRET_MAX`].
    #[error("a secret is at most 8192 bytes")]
    TooLong,
}

/// A password, token, recovery share or key, as UTF-8 text; wiped when dropped.
///
/// It has no `Debug`, `Display`, `Serialize`, `Clone` or `PartialEq`:
///
/// ```compile_fail
/// fn shows<T: std::fmt::Debug>() {}
/// shows::<claviger_api::Secret>();
/// ```
/// ```compile_fail
/// fn prints<T: std::fmt::Display>() {}
/// prints::<claviger_api::Secret>();
/// ```
/// ```compile_fail
/// fn writes<T: serde::Serialize>() {}
/// writes::<claviger_api::Secret>();
/// ```
/// ```compile_fail
/// fn copies<T: Clone>() {}
/// copies::<claviger_api::Secret>();
/// ```
/// ```compile_fail
/// fn compares<T: PartialEq>() {}
/// compares::<claviger_api::Secret>();
/// ```
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over and refuses what no system can be trusted to handle. The text is wiped either way.
    pub fn new(text: String) -> Result<Self, BadSecret> {
        let text = Zeroizing::new(text);
        if text.trim().is_empty() {
            return Err(BadSecret::Blank);
        }
        if text.contains('\0') {
            return Err(BadSecret::Nul);
        }
        if text.len() > SECRET_MAX {
            return Err(BadSecret::TooLong);
        }
        // One exact allocation: `into_boxed_str` of a String with spare room would leave a copy behind.
        Ok(Self(SecretString::from(Box::<str>::from(text.as_str()))))
    }

    /// The value, for the code that must hand it to a system, a hash or a terminal.
    pub fn expose(&self) -> &str {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that opens secrecy's box; callers are listed by `expose`"
        )]
        self.0.expose_secret()
    }

    /// The one door to the wire: only what this returns can be serialized.
    pub fn disclose(self) -> Disclosed {
        Disclosed(self)
    }

    /// A second owner of the value, where a task of its own must hold it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(SecretString::from(Box::<str>::from(self.expose())))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).map_err(de::Error::custom)
    }
}

/// A secret on its way out, in a request or response body. Made by [`Secret::disclose`] alone.
pub struct Disclosed(Secret);

impl Disclosed {
    /// The secret, where it is read in place on the receiving side.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// Takes the secret back, on the receiving side.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl Serialize for Disclosed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Disclosed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::KnownFormat, schema::SchemaFormat, schema::Type};

    fn password() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .min_length(Some(1))
            .max_length(Some(super::SECRET_MAX))
            .into()
    }

    impl utoipa::PartialSchema for super::Secret {
        fn schema() -> RefOr<Schema> {
            password()
        }
    }
    impl utoipa::ToSchema for super::Secret {}
    impl utoipa::PartialSchema for super::Disclosed {
        fn schema() -> RefOr<Schema> {
            password()
        }
    }
    impl utoipa::ToSchema for super::Disclosed {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_and_nul_are_refused_before_any_system_sees_them() {
        for (text, why) in [("", BadSecret::Blank), (" \t", BadSecret::Blank), ("a\0b", BadSecret::Nul)] {
            assert_eq!(Secret::new(text.to_owned()).err(), Some(why));
        }
        assert_eq!(Secret::new("x".repeat(SECRET_MAX + 1)).err(), Some(BadSecret::TooLong));
        assert_eq!(Secret::new(" inner space ok ".to_owned()).map(|s| s.expose().len()).ok(), Some(16));
    }
}
