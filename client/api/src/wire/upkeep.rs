//! When secrets are replaced and looked at by themselves: a policy of an account, its system or its customer.

use serde::{Deserialize, Serialize};

use super::{ProbeResult, RotationCause};
use crate::{AccountId, AccountPath, Timestamp};

/// The longest age, in days.
pub const ROTATE_EVERY_DAYS_MAX: u32 = 3650;
/// The longest time after an exposure, and between two looks, in hours: a year.
pub const POLICY_HOURS_MAX: u32 = 8784;

/// When the vault replaces a standing account's secret by itself, and when it looks whether the secret still opens the
/// account. What is absent is as the system says, then as the customer says; what nobody says does not happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RotationPolicy {
    /// No secret is older than so many days; 0 for any age.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 3650))]
    pub every_days: Option<u32>,
    /// A secret that somebody has seen is replaced so many hours later, once nobody holds the account; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 8784))]
    pub after_exposure_hours: Option<u32>,
    /// Only within the hour that begins then, 0 to 23, in the customer's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 23))]
    pub at_hour: Option<u8>,
    /// A fresh login tries the secret every so many hours; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 8784))]
    pub heartbeat_hours: Option<u32>,
    /// What becomes of an account whose secret was changed by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<OnDrift>,
}

impl RotationPolicy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an account whose stored secret a system refuses, without a rotation under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// It is reported. A person tells the new secret (adopts it), or has it rotated.
    #[default]
    Report,
    /// The system's management account sets another at once.
    Reconcile,
}

/// `GET /v1/reports/rotation`: which accounts to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct UpkeepQuery {
    /// Only this customer's; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only those that somebody should look at: overdue, drifted, or with a dependent that could not be brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<bool>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A standing account that a policy is about, that has drifted, or that others depend on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountUpkeep {
    /// The account.
    pub account: AccountPath,
    /// Its id.
    pub account_id: AccountId,
    /// What is in force: the account's own word, else its system's, else its customer's.
    pub policy: RotationPolicy,
    /// Since when it has its present secret, as far as the vault knows.
    pub secret_since: Timestamp,
    /// When it is rotated by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_by: Option<RotationCause>,
    /// It was due a day ago or more.
    pub overdue: bool,
    /// What it waits for, if it is due: `held`, `rotating`, `unresolved`, `silent_system`, `emergency`, `empty`, `turn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Waiting>,
    /// When the vault last tried its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// What came of it; absent too where nobody can know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ProbeResult>,
    /// When it was last seen to open the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Since when the system refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted_since: Option<Timestamp>,
    /// Since when some who depend on it wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependents_behind_since: Option<Timestamp>,
    /// Why, if one of them could not be brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependents_trouble: Option<String>,
}

/// Why what is due is not rotated yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Somebody holds it.
    Held,
    /// It is being rotated.
    Rotating,
    /// A rotation waits for its system, or a person.
    Unresolved,
    /// Several others of its system are unresolved: none is begun until one is settled.
    SilentSystem,
    /// An emergency rotation is under way.
    Emergency,
    /// No secret is stored, and the account itself would have to change it.
    Empty,
    /// Others come first.
    Turn,
}
