//! `/v1/sys/restore`: a vault that was restored from a backup is paused until it was compared with the world.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::{AccountId, AccountPath, CustomerId, Login, Timestamp};

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

/// So many secrets are taken at once.
pub const RECOVERED_AT_ONCE: usize = 50;

/// `POST /v1/sys/restore/secrets`: what the escrow stream holds that came after the backup.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoverSecrets {
    /// 1 to 50 of them, each account's in the order of their versions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 50))]
    pub secrets: Vec<RecoverSecret>,
}

/// A secret that may open its account, as `claviger-server open-escrow` writes it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecoverSecret {
    /// The customer.
    pub customer: CustomerId,
    /// The account.
    pub account: AccountId,
    /// What the account was called.
    pub path: AccountPath,
    /// What it logged in by.
    pub login: Login,
    /// Which version it was.
    pub version: u64,
    /// When it was made, or set.
    pub at: Timestamp,
    /// Whether the account was seen to open with it.
    #[serde(default)]
    pub opened: bool,
    /// The secret.
    pub secret: Disclosed,
}

/// What became of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recovered {
    /// Each, in the order in which they were given.
    pub secrets: Vec<RecoveredSecret>,
}

/// What became of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveredSecret {
    /// What the account was called.
    pub account: AccountPath,
    /// What it logged in by.
    pub login: Login,
    /// Which version it was.
    pub version: u64,
    /// What became of it.
    pub outcome: RecoveredAs,
}

/// What became of a secret that was given to a restored vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecoveredAs {
    /// The account has it now, and finds out whether it opens with it once the vault is resumed.
    Added,
    /// It was there already.
    Known,
    /// The account came after the backup, or its customer is locked or gone: the secret is nowhere but in the stream.
    NoAccount,
    /// A login that was made for one checkout: it may remain on the system, and nobody ends it.
    Lent,
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
