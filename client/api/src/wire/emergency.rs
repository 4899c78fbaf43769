//! `/v1/customers/{customer}/emergencies`: every standing secret of a customer is replaced, now.

use serde::{Deserialize, Serialize};

use super::Tier;
use crate::{AccountPath, EmergencyId, Part, RotationId, Timestamp, UserName};

/// `POST …/emergencies`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewEmergency {
    /// Why; 1 to 500 characters, in the customer's audit log and the operator's.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// How far an emergency rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmergencyState {
    /// New check-outs are frozen, and the running ones are being ended.
    Ending,
    /// The accounts are being rotated, tier by tier.
    Rotating,
    /// Each account is rotated, passed over, or known to be unresolved.
    Done,
}

/// What became of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmergencyResult {
    /// Its turn has not come.
    Waiting,
    /// It is being rotated.
    Rotating,
    /// The new secret was verified and the old one seen refused, or there was no old one.
    Rotated,
    /// The new secret was verified; the old one was not seen refused yet.
    OldNotRefused,
    /// Which secret opens it is not settled: it cannot be checked out, and the vault goes on.
    Unresolved,
    /// There was nothing to rotate, or it is not the vault's to rotate.
    Skipped,
}

/// How many accounts are how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyCounts {
    /// All of them.
    pub accounts: u64,
    /// Their turn has not come.
    pub waiting: u64,
    /// Being rotated.
    pub rotating: u64,
    /// The new secret verified, the old one refused.
    pub rotated: u64,
    /// The new secret verified, the old one not seen refused yet.
    pub old_not_refused: u64,
    /// Not settled.
    pub unresolved: u64,
    /// Passed over.
    pub skipped: u64,
}

impl EmergencyCounts {
    /// Counts one more.
    pub fn add(&mut self, result: EmergencyResult) {
        self.accounts += 1;
        *match result {
            EmergencyResult::Waiting => &mut self.waiting,
            EmergencyResult::Rotating => &mut self.rotating,
            EmergencyResult::Rotated => &mut self.rotated,
            EmergencyResult::OldNotRefused => &mut self.old_not_refused,
            EmergencyResult::Unresolved => &mut self.unresolved,
            EmergencyResult::Skipped => &mut self.skipped,
        } += 1;
    }
}

/// An emergency rotation with its progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Emergency {
    /// Its id.
    pub id: EmergencyId,
    /// The customer.
    pub customer: Part,
    /// How far it is.
    pub state: EmergencyState,
    /// Who started it.
    pub started_by: UserName,
    /// When.
    pub started_at: Timestamp,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether check-outs of the customer are refused because of it.
    pub frozen: bool,
    /// Who let check-outs go on before it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed_by: Option<UserName>,
    /// How many accounts are how far.
    pub counts: EmergencyCounts,
}

/// `GET …/emergency-plan`: what an emergency rotation would do now. Nothing is changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyPlan {
    /// The customer.
    pub customer: Part,
    /// Check-outs that would be ended, waiting ones included.
    pub checkouts: u64,
    /// Rotations at once, at most.
    pub at_once: u64,
    /// Rotations at once on one system, at most.
    pub at_once_per_system: u64,
    /// Each standing account, in the order in which its turn would come.
    pub steps: Vec<EmergencyStep>,
}

/// One account of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmergencyStep {
    /// The account.
    pub account: AccountPath,
    /// Its tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>, maximum = 2))]
    pub tier: Option<Tier>,
    /// What would be done.
    pub act: EmergencyAct,
    /// Why it would be passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What would be done with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EmergencyAct {
    /// Rotate it.
    Rotate,
    /// A rotation is under way whose new secret nobody has seen: that one counts.
    Await,
    /// Pass it over.
    Skip,
}

/// One line of the report: one account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmergencyLine {
    /// The account.
    pub account: AccountPath,
    /// Its tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// What became of it.
    pub result: EmergencyResult,
    /// Whether a fresh login with the new secret was seen to work.
    pub verified: bool,
    /// Whether the old secret was seen refused.
    pub old_refused: bool,
    /// The rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationId>,
    /// Why it is unresolved or was passed over, or what happened last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
