//! `/v1/customers/{customer}/kits`: what opens a customer's systems when there is no vault any more, for several people together.

use serde::{Deserialize, Serialize};

use crate::{EmergencyId, KitId, Part, Timestamp, UserName};

/// The most recipients that a customer names.
pub const KIT_RECIPIENTS_MOST: usize = 64;

/// Who opens the customer's emergency kits: the customer's own recipients and those of the server's configuration, each with a
/// share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KitRule {
    /// The customer's own: age public keys (`age1…`), 1 to 64.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub recipients: Vec<String>,
    /// How many of all have to come together: more than there are of the MSP's, and no more than there are.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 128))]
    pub threshold: u8,
}

/// How far a kit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KitState {
    /// Somebody asked for it, or it is time; it is being made, or is about to.
    Asked,
    /// It is whole and on its disk.
    Made,
    /// It could not be made: see `trouble`.
    Failed,
    /// It was opened, and this vault knows no more of it: it was made after the backup that the vault was restored from.
    Unknown,
}

/// An emergency kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Kit {
    /// Its id.
    pub id: KitId,
    /// The customer.
    pub customer: Part,
    /// How far it is.
    pub state: KitState,
    /// When somebody asked for it, or it was time.
    pub asked_at: Timestamp,
    /// The moment of which it tells: what was changed later is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Timestamp>,
    /// Its file, in the directory that the server's configuration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Accounts in it.
    pub accounts: u64,
    /// Secrets in it: of an account there can be several of which one opens it.
    pub secrets: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Who holds a share: age public keys, in the order of the shares.
    pub recipients: Vec<String>,
    /// How many of them open it together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u8>,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// That it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<KitOpened>,
}

/// That a kit was opened, and everything in it is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KitOpened {
    /// When somebody said so.
    pub at: Timestamp,
    /// Who.
    pub by: UserName,
    /// The emergency rotation that replaces what was in it.
    pub emergency: EmergencyId,
}
