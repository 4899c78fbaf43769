//! The keys of a store that no vault serves from: a copy that is being looked at.

use claviger_api::Secret;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{SealState, SealStatus};
use claviger_store::{Keyring, Sealed, Versioned, customers_with_keys};

use super::{Progress, SealConfig, keyring_of, seal_config};
use crate::error::{Error, Result};

/// Shares, or the passphrase, as they are given for a copy.
pub struct Opening {
    copy: Sealed,
    config: Versioned<SealConfig>,
    progress: Progress,
}

impl Opening {
    /// Of what opened the vault when the copy was made.
    ///
    /// # Errors
    ///
    /// The vault was not initialised then.
    pub async fn of(copy: Sealed) -> Result<Self> {
        let config = seal_config(&copy).await?.ok_or_else(|| Error::new(ProblemType::NotInitialised, ""))?;
        Ok(Self { copy, config, progress: Progress::default() })
    }

    /// What is asked for, and how much of it was given.
    pub fn status(&self) -> SealStatus {
        self.config.value.status(SealState::Sealed, self.progress.provided())
    }

    /// Takes one share, or the passphrase; with the last one that is needed the keys, every customer's.
    ///
    /// # Errors
    ///
    /// It is not one that opens this copy.
    pub async fn give(&mut self, key: &Secret) -> Result<Option<Keyring>> {
        let Some(seal) = self.progress.take(&self.config.value, key).await? else { return Ok(None) };
        let store = self.copy.store().as_ref();
        let keyring = keyring_of(store, &self.config, &seal).await?;
        for customer in customers_with_keys(store).await? {
            keyring.unlock_customer(store, customer).await?;
        }
        Ok(Some(keyring))
    }
}
