//! `/v1/rotations`: the replacement of a standing account's secret on the system itself.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::wire::LogReceipt;
use crate::{AccountPath, CheckoutId, Login, Part, RotationId, Timestamp};

/// Why a rotation was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RotationCause {
    /// Somebody asked for it.
    Requested,
    /// A checkout ended.
    CheckoutEnded,
    /// Somebody has seen the secret who should not know it any more.
    Exposure,
    /// Every secret of the customer is replaced.
    Emergency,
    /// The secret that was imported is in use elsewhere.
    Reuse,
    /// Its policy says that it is old enough.
    Scheduled,
    /// It was changed by hand on the system.
    Drift,
    /// A restored vault was given a secret that came after its backup, and finds out what opens the account.
    Recovery,
}

/// Where a rotation is. The names say what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RotationStep {
    /// Find out which stored secret opens the account.
    Recovering,
    /// Make and store a candidate.
    Preparing,
    /// Tell the system.
    Sending,
    /// Log in with the candidate.
    Verifying,
    /// Try the old secret, which must be refused.
    ProvingOld,
    /// Verified, and the old secret seen refused (or there was none).
    Done,
    /// Given up before anything was sent, because it was cancelled.
    Cancelled,
    /// A person is asked to set the candidate on the system, and to say so.
    AwaitingPerson,
}

/// What a person is asked to do by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Task {
    /// The rotation that asks; the task has its id.
    pub id: RotationId,
    /// The account.
    pub account: AccountPath,
    /// What the account is called on the system.
    pub login: Login,
    /// Where the system is, in words.
    pub address: String,
    /// What is to be done there, in words.
    pub instructions: String,
    /// Why it was started.
    pub cause: RotationCause,
    /// The version that is to be set.
    pub version: u64,
    /// Whether somebody has seen it: the system may have it.
    pub shown: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// By when it should be done.
    pub due_at: Timestamp,
    /// Whether that is over.
    pub overdue: bool,
}

/// The secret that a person is asked to set.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShownTask {
    /// The task.
    pub task: Task,
    /// The secret to set. Nothing has proven yet that it opens the account.
    pub secret: Disclosed,
    /// The index of the event that says that it was shown, in the customer's log.
    pub event_index: u64,
    /// The proof of that, to be kept; older servers give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<LogReceipt>,
}

/// `POST /v1/tasks/{task}/refuse`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TaskRefusal {
    /// What the system said; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct TaskQuery {
    /// The customer.
    pub customer: String,
    /// Only what is overdue.
    #[serde(default)]
    pub overdue: bool,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What is known of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CandidateState {
    /// Stored; no system was told.
    NeverSent,
    /// A system was, or may have been, told.
    SentUnknown,
    /// The system said that it took it.
    Acknowledged,
    /// The system refused it at the first send.
    Refused,
}

/// One candidate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CandidateView {
    /// The version.
    pub version: u64,
    /// What is known of it.
    pub state: CandidateState,
}

/// `POST /v1/rotations`: exactly one of account, customer and `exposed_to`; the customer may narrow what somebody has seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRotation {
    /// One account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountPath>,
    /// Every standing account of one customer that nobody holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
    /// Every account whose secret this user or service account has seen and that was not rotated since: a name, of one
    /// that was removed too, or an id. With a customer, only its accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed_to: Option<String>,
    /// Why; 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: Option<String>,
}

/// What was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotationsStarted {
    /// One a rotated account.
    pub rotations: Vec<Rotation>,
    /// Accounts that were passed over, and why.
    pub skipped: Vec<Skipped>,
}

/// An account that was passed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Skipped {
    /// The account.
    pub account: AccountPath,
    /// Why.
    pub why: String,
}

/// A rotation with its progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rotation {
    /// Its id.
    pub id: RotationId,
    /// The account.
    pub account: AccountPath,
    /// Why it was started.
    pub cause: RotationCause,
    /// The checkout whose end started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<CheckoutId>,
    /// What happens next.
    pub step: RotationStep,
    /// Whether the account cannot be offered until somebody or something changes: the vault goes on trying.
    pub unresolved: bool,
    /// What happened last, in words.
    pub message: String,
    /// The candidates that are kept.
    pub candidates: Vec<CandidateView>,
    /// The version that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_version: Option<u64>,
    /// Milliseconds from the promotion to the refusal of the old secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_refused_after_milliseconds: Option<u64>,
    /// The old secret was tried and still accepted.
    pub old_still_accepted: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When the vault tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// Which rotations to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct RotationQuery {
    /// The customer.
    pub customer: String,
    /// Only those not done.
    #[serde(default)]
    pub unfinished: bool,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
