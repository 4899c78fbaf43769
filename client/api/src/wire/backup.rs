//! `/v1/sys/backups`: copies of the whole store, for whoever has the recipients' private keys.

use serde::{Deserialize, Serialize};

use crate::{BackupId, Timestamp};

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// Somebody asked for it; it is being taken, or is about to.
    Asked,
    /// It is whole and on its disk.
    Taken,
    /// It could not be taken: see `trouble`.
    Failed,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// How far it is.
    pub state: BackupState,
    /// When somebody asked for it, or it began by itself.
    pub asked_at: Timestamp,
    /// The moment of which it tells: what was written later is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Timestamp>,
    /// Its file, in the directory that the server's configuration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The file that it goes upon, where it says only what has changed since: that one is needed with it, and what it goes upon in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upon: Option<String>,
    /// Why it could not be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
