//! `/v1/sys/restore`: a vault that was restored from a backup is paused until it was compared with the world.

use serde::{Deserialize, Serialize};

use crate::{AccountPath, Timestamp};

/// `GET /v1/sys/restore`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreStatus {
    /// What the vault was restored from; absent where it was not, or was resumed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// A vault that was restored, and acts on no system by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Restored {
    /// The moment of the backup: it knows of nothing that happened later.
    pub moment: Timestamp,
    /// When it was restored.
    pub restored_at: Timestamp,
    /// What comparing it with the world has shown so far; absent before somebody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// What comparing the vault with the world has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Compared {
    /// When it began.
    pub since: Timestamp,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How many accounts are how.
    pub counts: ComparedCounts,
    /// Those that are not known to open with what is stored, the first thousand.
    pub differing: Vec<ComparedAccount>,
    /// How many more there are.
    pub more: u64,
}

/// How many standing accounts are how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComparedCounts {
    /// All of them.
    pub accounts: u64,
    /// The stored secret opens it.
    pub accepted: u64,
    /// The stored secret is refused: it was rotated after the backup.
    pub refused: u64,
    /// The system could not be asked.
    pub not_reached: u64,
    /// Not tried: no secret is stored, its system does not answer, or one more failure would lock it.
    pub not_tried: u64,
    /// A rotation was under way at the moment of the backup; it goes on once the vault is resumed.
    pub unsettled: u64,
    /// Only a person can try it.
    pub by_hand: u64,
}

/// An account that is not known to open with what is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComparedAccount {
    /// The account.
    pub account: AccountPath,
    /// How it is.
    pub outcome: ComparedAs,
}

/// What is known of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ComparedAs {
    /// The stored secret opens it.
    Accepted,
    /// The stored secret is refused.
    Refused,
    /// The system could not be asked.
    NotReached,
    /// Not tried.
    NotTried,
    /// A rotation is not settled.
    Unsettled,
    /// Only a person can try it.
    ByHand,
}

/// `POST /v1/sys/restore/resume`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// Why it may act again; 1 to 500 characters, in the operator's audit log.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
    /// Without having been compared with the world.
    #[serde(default)]
    pub uncompared: bool,
}
