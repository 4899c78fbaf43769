//! `/v1/customers`: the hard boundary of keys, grants and audit log.

use serde::{Deserialize, Serialize};

use super::{Conditions, KitRule, RotationPolicy};
use crate::{CustomerId, Part, PrincipalId, Timestamp};

/// `POST /v1/customers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCustomer {
    /// The first part of every path of this customer.
    pub slug: Part,
    /// The customer's name for people; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub display_name: String,
}

/// `PATCH /v1/customers/{customer}`: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomerChange {
    /// The customer's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub display_name: Option<String>,
    /// When secrets are replaced and tried by themselves, in place of what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
    /// Where the customer's clocks are: a name of the IANA database, e.g. `Europe/Vienna`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 64))]
    pub time_zone: Option<String>,
}

/// A customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The first part of every path of this customer.
    pub slug: Part,
    /// The customer's name for people.
    pub display_name: String,
    /// What it wants of everybody who works there, on top of their grants.
    #[serde(default, skip_serializing_if = "CustomerLimits::is_empty")]
    pub limits: CustomerLimits,
    /// When the secrets of its accounts are replaced and tried, unless a system or an account says otherwise.
    #[serde(default, skip_serializing_if = "RotationPolicy::is_empty")]
    pub rotation_policy: RotationPolicy,
    /// Where its clocks are; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// That it is locked, or is being locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<CustomerLock>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A customer that is locked, or is being locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CustomerLock {
    /// How far it is.
    pub state: LockState,
    /// When somebody asked for it.
    pub since: Timestamp,
    /// Who.
    pub by: PrincipalId,
    /// Whether it does not wait for rotations.
    pub at_once: bool,
    /// How many accounts it waits for, when it last looked.
    pub waits_for: u64,
    /// Since when it is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_at: Option<Timestamp>,
}

/// How far a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// What was checked out ends and is rotated; nothing new is checked out.
    Locking,
    /// Its key is not in memory, and nothing of it can be read.
    Locked,
    /// Its key and all that it opens are being destroyed.
    Offboarding,
}

/// `POST /v1/customers/{customer}/actions/offboard`: of a customer that is locked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OffboardCustomer {
    /// Why; 1 to 500 characters, in the operator's log.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
    /// The customer's slug once more: nobody gets it back.
    pub confirm: Part,
    /// Hand nothing over: nobody has the customer's secrets any more. Otherwise what opens its systems is written for the recipients
    /// that it has named, before the key is destroyed.
    #[serde(default)]
    pub without_hand_over: bool,
}

/// What opens a customer's systems, in a file for the customer's own recipients; each of them opens it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandOver {
    /// The moment of which it tells.
    pub moment: Timestamp,
    /// Its file, in the directory of the kits.
    pub file: String,
    /// Bytes of it.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    /// Accounts in it.
    pub accounts: u64,
    /// Secrets in it.
    pub secrets: u64,
}

/// `GET /v1/offboardings`: a customer that was offboarded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offboarding {
    /// The customer's id; its log's checkpoints bear it.
    pub customer: CustomerId,
    /// What it was called.
    pub slug: Part,
    /// When its key was destroyed.
    pub destroyed_at: Timestamp,
    /// Who had it done.
    pub by: PrincipalId,
    /// How many rows were removed.
    pub rows: u64,
    /// What was handed over before; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOver>,
    /// What says so, signed with the key of the operator's log (a C2SP signed note): also, what can still open older copies.
    pub receipt: String,
}

/// `GET /v1/sys/customer-keys/{customer}`: whether a customer's key is being replaced, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRotationStatus {
    /// The replacement that is under way, or the last one; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rotation: Option<KeyRotation>,
}

/// `POST /v1/sys/customer-keys/{customer}/rotate`: the replacement of a customer's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRotation {
    /// The customer.
    pub customer: Part,
    /// How far it is.
    pub state: KeyRotationState,
    /// Who had it done.
    pub begun_by: PrincipalId,
    /// When.
    pub begun_at: Timestamp,
    /// Rows that the customer's key seals, as they were counted.
    pub rows: u64,
    /// Those of them that are under the new key.
    pub rows_done: u64,
    /// Rows that no key opens: the old key is kept until they are set right. The scrub names them.
    #[serde(default)]
    pub unopened_rows: u64,
    /// When the old key was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// How far the replacement of a customer's key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyRotationState {
    /// The new key is stored, and every node takes it into memory.
    Spreading,
    /// What is written is under the new key; what is there is counted.
    Counting,
    /// What is there is sealed under the new key.
    Resealing,
    /// All rows are looked at once more before the old key goes.
    Proving,
    /// The old key is destroyed.
    Ended,
}

/// `POST /v1/customers/{customer}/actions/lock`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LockCustomer {
    /// Why; 1 to 500 characters, in both logs.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
    /// Do not wait for rotations under way: they go on when it is unlocked.
    #[serde(default)]
    pub at_once: bool,
}

/// `POST /v1/customers/{customer}/actions/limit`: what the customer wants of everybody who works there, on top of their
/// grants. What is absent is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CustomerLimits {
    /// No checkout is longer; 60 to 2,592,000 (30 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 2_592_000))]
    pub max_checkout_seconds: Option<u64>,
    /// `approvals`, `fresh_factor`, `ticket`, `networks` and `hours`; the others are for grants.
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// Who opens its emergency kits. Without it none is made, and nothing is handed over when it is offboarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit: Option<KitRule>,
}

impl CustomerLimits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
