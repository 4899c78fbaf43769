//! `/v1/grants`: who may do what, where, and until when.

use serde::{Deserialize, Serialize};

use super::Conditions;
use crate::{BreakGlassId, GrantId, Timestamp, UserName};

/// The longest grant: 400 days.
pub const GRANT_TTL_MAX_SECONDS: u64 = 400 * 24 * 60 * 60;

/// A built-in role; what each may do stands in `server/core/src/policy/roles.cedar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the vault: customers, systems, accounts, identities, grants. Reveals nothing.
    Administrator,
    /// Checks out, reveals, checks in.
    Technician,
    /// A program that checks out, reveals and rotates.
    Automation,
    /// Reads everything that happened, reveals nothing.
    Auditor,
    /// The customer's own auditor: reads what happened at that customer.
    CustomerAuditor,
    /// Says yes or no to what others ask for, and sees no secret.
    Approver,
    /// The customer's own administrator: manages its users and sets the limits that bind everybody who works there.
    CustomerAdministrator,
    /// Asks for emergency access, and agrees to another's; comes to no secret before two people have acted.
    BreakGlass,
}

/// Where a grant holds: `*` (everywhere), `acme`, `acme/dc01` or `acme/dc01/administrator`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GrantScope {
    /// Everywhere.
    Operator,
    /// One customer.
    Customer(crate::Part),
    /// One system.
    System(crate::Part, crate::Part),
    /// One account.
    Account(crate::AccountPath),
}

/// Whether the grant lets its principal use the role, or hand it to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// The principal acts in the role.
    MayUse,
    /// The principal may grant the role to others within the scope, never to itself.
    MayGrant,
}

/// `POST /v1/grants`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The user or service account.
    pub principal: UserName,
    /// Use, or hand on.
    pub kind: GrantKind,
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: GrantScope,
    /// From now; 60 to 34,560,000 (400 days). There is no grant without an end.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 34_560_000))]
    pub ttl_seconds: u64,
    /// The longest checkout under this grant; 8 hours when absent, 30 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 2_592_000))]
    pub max_checkout_seconds: Option<u64>,
    /// Under which circumstances; always, when absent.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// Says that a service account may act at more than one customer by this grant; refused otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spans_customers: bool,
}

/// `POST /v1/grants/{grant}/actions/renew`: a new end, within what the caller may grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewGrant {
    /// From now; 60 to 34,560,000 (400 days).
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 34_560_000))]
    pub ttl_seconds: u64,
}

/// A grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The user or service account.
    pub principal: UserName,
    /// Use, or hand on.
    pub kind: GrantKind,
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: GrantScope,
    /// The longest checkout under this grant.
    pub max_checkout_seconds: u64,
    /// Under which circumstances.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// The broken glass that this is the access of, as long as it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Which grants to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct GrantQuery {
    /// Only those of this user or service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

mod scope_text {
    //! [`GrantScope`] as text, one canonical form.

    use std::fmt;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::GrantScope;
    use crate::name::BadName;

    impl fmt::Display for GrantScope {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Operator => f.write_str("*"),
                Self::Customer(customer) => write!(f, "{customer}"),
                Self::System(customer, system) => write!(f, "{customer}/{system}"),
                Self::Account(path) => write!(f, "{path}"),
            }
        }
    }

    impl FromStr for GrantScope {
        type Err = BadName;

        fn from_str(text: &str) -> Result<Self, BadName> {
            if text == "*" {
                return Ok(Self::Operator);
            }
            let parts: Vec<&str> = text.split('/').collect();
            match parts.as_slice() {
                [customer] => Ok(Self::Customer(customer.parse()?)),
                [customer, system] => Ok(Self::System(customer.parse()?, system.parse()?)),
                _ => text.parse().map(Self::Account),
            }
        }
    }

    impl Serialize for GrantScope {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for GrantScope {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        }
    }

    #[cfg(feature = "openapi")]
    impl utoipa::PartialSchema for GrantScope {
        fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
            utoipa::openapi::ObjectBuilder::new()
                .schema_type(utoipa::openapi::schema::Type::String)
                .pattern(Some(r"^(\*|[a-z0-9][a-z0-9._-]{0,62}(/[a-z0-9][a-z0-9._-]{0,62}){0,2})$"))
                .into()
        }
    }

    #[cfg(feature = "openapi")]
    impl utoipa::ToSchema for GrantScope {}
}
