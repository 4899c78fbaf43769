//! Under which circumstances a grant gives what it gives. All of them are optional; all that are there must hold.

use serde::{Deserialize, Serialize};

mod hours;
mod network;
mod ticket;

pub use hours::{BadHours, Minutes, WeeklyHours};
pub use network::{BadNetwork, Network};
pub use ticket::{BadTicketPattern, TicketPattern};

/// The most people that one checkout can need the yes of.
pub const APPROVALS_MAX: u8 = 3;
/// The most networks of one grant.
pub const NETWORKS_MAX: usize = 50;
/// The most reveals an hour that a grant can be limited to.
pub const REVEALS_PER_HOUR_MAX: u32 = 1000;

/// The conditions of a grant. A condition binds what changes or shows something, never a look at what is there: whoever
/// may see an account goes on seeing it outside the hours, and is told why it cannot be checked out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Only these verbs of the role, e.g. `checkout.create`; all of the role when empty. What the role may see stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub actions: Vec<String>,
    /// A checkout needs the yes of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalRule>,
    /// Wants a second factor of the last five minutes. A program has none, and cannot use such a grant.
    #[serde(skip_serializing_if = "is_false")]
    pub fresh_factor: bool,
    /// A checkout names a ticket of this form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketPattern>,
    /// Only from these networks; from everywhere when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub networks: Vec<Network>,
    /// Only in these hours of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<WeeklyHours>,
    /// At most so many reveals in any hour, 1 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    pub reveals_per_hour: Option<u32>,
    /// Which accounts it reaches besides the usual ones. A grant for one account reaches that account, whatever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Reach>,
}

/// The weightiest accounts that a grant for a wider place reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// A program is shown the secrets of sensitive accounts, too. To a person they are shown anyway, after a second
    /// factor of the last five minutes.
    Sensitive,
    /// Accounts of tier 0 can be checked out, too.
    TierZero,
}

/// Whose yes a checkout needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// How many people, 1 to 3.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 3))]
    pub count: u8,
    /// One of them is the customer's own user.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_customer: bool,
    /// Given back early, what was approved may be had again with `on_conflict: reuse`, for the same reason and ticket and
    /// up to the same end, without asking anew.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reuse: bool,
}

impl Conditions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A type whose values are texts of one form: how it is read and written as JSON, and described.
macro_rules! text_form {
    ($name:ident, $pattern:literal, $max:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some($pattern))
                    .min_length(Some(1))
                    .max_length(Some($max))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}
pub(super) use text_form;
