//! What the vault stores of kits and hand-overs. A field that is added later has a `#[serde(default)]`.

use claviger_api::{EmergencyId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// An emergency kit of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitRecord {
    /// When somebody asked for it, or it was time; its timer's time.
    pub asked_at: Timestamp,
    /// How far it is.
    pub state: KitStep,
    /// That it was opened.
    #[serde(default)]
    pub opened: Option<KitOpenedRecord>,
}

/// That a kit was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitOpenedRecord {
    /// When somebody said so.
    pub at: Timestamp,
    /// Who.
    pub by: PrincipalId,
    /// The emergency rotation that replaces what was in it.
    pub emergency: EmergencyId,
}

/// How far a kit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KitStep {
    /// It is to be made.
    Asked,
    /// It is whole and on its disk.
    Made {
        /// The moment of which it tells.
        moment: Timestamp,
        /// The name of its file.
        file: String,
        /// Accounts in it.
        accounts: u64,
        /// Secrets in it.
        secrets: u64,
        /// Bytes of the file.
        bytes: u64,
        /// SHA-256 of the file, in hex.
        sha256: String,
        /// Who holds a share, in the order of the shares.
        recipients: Vec<String>,
        /// How many of them open it together.
        threshold: u8,
    },
    /// It could not be made.
    Failed {
        /// Why.
        trouble: String,
    },
    /// It was opened, and made after the backup that this vault was restored from.
    Unknown,
}

/// What was handed over to a customer that was offboarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOverRecord {
    /// The moment of which it tells.
    pub moment: Timestamp,
    /// Its file.
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

/// How far a hand-over is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandOverStep {
    /// Nothing is handed over.
    #[default]
    Without,
    /// It is to be written before the key goes.
    Wanted,
    /// It is on its disk. The name of its file follows from the moment.
    Written {
        /// The moment of which it tells.
        moment: Timestamp,
        /// Bytes of the file.
        bytes: u64,
        /// Its SHA-256.
        sha256: [u8; 32],
        /// Accounts in it.
        accounts: u64,
        /// Secrets in it.
        secrets: u64,
    },
}
