//! Backups, as the configuration has them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::backup::Backups;
use claviger_service::crypto::recipients::Recipient;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

use crate::private::{self, PrivateError};
use crate::shelf::Directory;

/// Another backup is taken when the last is as old.
const EVERY_HOURS: u32 = 24;
/// So many whole ones are kept.
const KEEP: u32 = 14;

/// Backups, as the configuration writes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// Where they go: a directory of the server's alone, on another disk than the store's.
    pub directory: PathBuf,
    /// For whom they are: age public keys (`age1…`).
    #[serde(deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
    /// How old the last may be before another is taken; 0 for never.
    #[serde(default = "every_hours")]
    pub every_hours: u32,
    /// How many increments follow a whole one before the next whole one; 0 for whole ones alone.
    #[serde(default)]
    pub increments: u32,
    /// How many whole ones are kept, each with the increments upon it.
    #[serde(default = "keep")]
    pub keep: u32,
}

/// What is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBackups {
    /// They go with the store.
    #[error("directory is within the data directory, and would be lost with the store: name one on another disk")]
    WithTheStore,
    /// They are for nobody.
    #[error("recipients is empty: name the age public key (age1…) of somebody who keeps its private key elsewhere")]
    ForNobody,
    /// The last one would go.
    #[error("keep is 1 or more")]
    KeepNone,
}

impl BackupSettings {
    /// Says what is wrong with them.
    pub fn check(&self, data_directory: &Path) -> Result<(), BadBackups> {
        if self.directory.starts_with(data_directory) {
            return Err(BadBackups::WithTheStore);
        }
        if self.recipients.is_empty() {
            return Err(BadBackups::ForNobody);
        }
        if self.keep == 0 { Err(BadBackups::KeepNone) } else { Ok(()) }
    }

    /// The directory, which is made where it is not there, and what is done there.
    pub fn backups(&self) -> Result<Arc<Backups>, PrivateError> {
        Ok(Arc::new(Backups {
            shelf: Directory::within(&self.directory)?,
            recipients: self.recipients.clone(),
            every: (self.every_hours > 0).then(|| SignedDuration::from_hours(self.every_hours.into())),
            increments: self.increments as usize,
            keep: self.keep as usize,
        }))
    }

    /// Looks at the directory, where it is there.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), PrivateError> {
        private::closed_or_made_later(&self.directory, notes)
    }
}

fn every_hours() -> u32 {
    EVERY_HOURS
}

fn keep() -> u32 {
    KEEP
}

/// Reads a list of age public keys.
pub(crate) fn recipients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Recipient>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(|error| de::Error::custom(format!("{text:?} is {error}")))).collect()
}
