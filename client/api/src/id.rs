//! The identifiers, each a type of its own. Append only: a prefix, once shipped, is never used for anything else.
//!
//! On the wire an id is its prefix and the 32 hex digits of a UUID version 7 (RFC 9562), e.g.
//! `co_0197a3c2e1f07b1a8c3d4e5f60718293`. An id is never an authority: another customer's id is answered like an id
//! that does not exist.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;
use uuid::fmt::Simple;

/// What is wrong with a string that should be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind: it is written {prefix}_ and 32 hex digits")]
pub struct BadId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix that marks this kind of id on the wire.
            pub const PREFIX: &'static str = $prefix;

            /// The id of these 16 bytes.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID, for store keys and for what is bound into encryption.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        const _: () = assert!($prefix.len() + 1 + Simple::LENGTH == TEXT_BYTES);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(text(&mut [0; TEXT_BYTES], $prefix, self.0))
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                parse(text, $prefix).map(Self).ok_or(BadId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(text(&mut [0; TEXT_BYTES], $prefix, self.0))
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
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-f]{32}$")))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A customer.
    CustomerId = "cu";
    /// A system of a customer.
    SystemId = "sy";
    /// An account on a system.
    AccountId = "ac";
    /// A checkout.
    CheckoutId = "co";
    /// A rotation.
    RotationId = "ro";
    /// A user or a service account.
    PrincipalId = "pr";
    /// A grant.
    GrantId = "gr";
    /// A session: what a login opens, and what a revocation ends.
    SessionId = "se";
    /// An issuer of tokens that is trusted.
    IssuerId = "is";
    /// A user's second factor.
    FactorId = "fa";
    /// A review of who reaches a customer.
    ReviewId = "rv";
    /// A broken glass: emergency access that two people opened.
    BreakGlassId = "bg";
    /// An identity provider that signs people in.
    ProviderId = "ip";
    /// An emergency rotation of a customer.
    EmergencyId = "em";
    /// A backup of the vault.
    BackupId = "bk";
    /// An emergency kit of a customer.
    KitId = "ki";
    /// A change of what opens the vault.
    RekeyId = "rk";
    /// One request, named in problems, logs and audit events.
    RequestId = "rq";
}

/// Whose log, keys and rows: the operator's, or one customer's. The hard boundary of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The operator: users, grants, sessions, the operator log.
    Operator,
    /// One customer.
    Customer(CustomerId),
}

impl Scope {
    /// 16 bytes for store keys and for what is bound into encryption: the customer's UUID, or zeros for the operator.
    pub const fn bytes(self) -> [u8; 16] {
        match self {
            Self::Operator => [0; 16],
            Self::Customer(id) => *id.uuid().as_bytes(),
        }
    }
}

/// Two letters, `_` and 32 digits.
const TEXT_BYTES: usize = 35;

/// The id as text, written in place: each request tells a dozen.
fn text<'a>(place: &'a mut [u8; TEXT_BYTES], prefix: &str, uuid: Uuid) -> &'a str {
    let (head, digits) = place.split_at_mut(TEXT_BYTES - Simple::LENGTH);
    for (place, byte) in head.iter_mut().zip(prefix.bytes().chain([b'_'])) {
        *place = byte;
    }
    uuid.as_simple().encode_lower(digits);
    // Letters and digits are text.
    std::str::from_utf8(place).unwrap_or_default()
}

/// The one accepted form: prefix, underscore, 32 lower-case hex digits.
fn parse(text: &str, prefix: &str) -> Option<Uuid> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?;
    let canonical = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    canonical.then(|| Uuid::try_parse(digits).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself_and_as_no_other_kind() {
        let id = CheckoutId::from_uuid(Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293));
        let text = id.to_string();
        assert_eq!(text, "co_0197a3c2e1f07b1a8c3d4e5f60718293");
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<AccountId>().is_err());
        assert!(text.to_uppercase().parse::<CheckoutId>().is_err(), "one canonical form");
        assert!("co_0197a3c2-e1f0-7b1a-8c3d-4e5f60718293".parse::<CheckoutId>().is_err());
    }
}
