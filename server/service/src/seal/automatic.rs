//! A vault that an HSM has sealed opens by itself.
//!
//! It is tried at the start, and again as long as the HSM is not there; recovery shares open the vault meanwhile. Where an operator
//! has sealed the vault it stays sealed until the server is started again, or shares are given: nobody is known to a sealed vault,
//! so that whoever reached its address could undo the seal.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::wire::HsmState;
use claviger_crypto::hsm::HsmSeal;
use claviger_crypto::key::SealKey;
use claviger_store::Versioned;
use jiff::SignedDuration;
use tokio::sync::watch;

use super::rekey::Sealing;
use super::{Progress, SealConfig, SealKindConfig, keyring_of};
use crate::error::{Error, Result};
use crate::vault::Vault;

/// The pause between two tries to open.
pub const RETRY_EVERY: Duration = Duration::from_secs(5);
/// The least between two questions to the HSM of an open vault, whether it would open it: that it would not is better known
/// before the next start.
pub const PROBE_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Who opens it.
const BY_HSM: &str = "by its HSM";

/// Opens the vault whenever its HSM does, until `stop` says so.
pub async fn run(vault: Arc<Vault>, mut stop: watch::Receiver<bool>) {
    loop {
        let answer = tokio::select! {
            answer = vault.ask_hsm() => answer,
            _ = stop.changed() => return,
        };
        vault.take_answer(answer).await;
        tokio::select! {
            () = tokio::time::sleep(RETRY_EVERY) => {}
            _ = stop.changed() => return,
        }
    }
}

/// The seal key, and the row that it is of.
pub(crate) type Answer = Option<(SealKey, Versioned<SealConfig>)>;

impl Vault {
    /// Asks the HSM, where it has sealed the vault and is to be asked: while that is sealed, and now and then while it is open.
    pub(crate) async fn ask_hsm(&self) -> Result<Answer> {
        let Some(device) = &self.ground().hsm else { return Ok(None) };
        let Some(config) = self.seal_config().await? else { return Ok(None) };
        let SealKindConfig::Pkcs11 { hsm, .. } = &config.value.kind else { return Ok(None) };
        let (is_open, now) = (self.open().is_ok(), self.ground().clock.now());
        if device.state() == HsmState::PinRefused
            || (is_open && device.was_asked_since(now - PROBE_EVERY))
            || (!is_open && self.is_kept_sealed())
        {
            return Ok(None);
        }
        let opened = match HsmSeal::from_bytes(hsm) {
            // What it does not do is known by now, and was said.
            Ok(sealed) => device.open(sealed, config.value.vault, now).await.ok(),
            Err(error) => {
                device.learn(HsmState::Refused, &error.to_string(), now);
                None
            }
        };
        let Some(seal) = opened else { return Ok(None) };
        if seal.check_value() != config.value.check {
            let said =
                "what the HSM opens is not the seal key of this vault: restore the vault's seal record from a backup";
            device.learn(HsmState::Refused, said, now);
            return Ok(None);
        }
        Ok(Some((seal, config)))
    }

    /// Opens the vault with what the HSM has given, if nobody has done or hindered it meanwhile.
    pub(crate) async fn take_answer(&self, answer: Result<Answer>) {
        let opened = match answer {
            Ok(None) => return,
            Ok(Some((seal, config))) => self.open_by_hsm(seal, &config).await,
            Err(error) => Err(error),
        };
        let Err(error) = opened else { return };
        if let Some(device) = &self.ground().hsm {
            let note = error.operator.as_ref().map_or("", |note| note.for_the_log());
            let said = format!("{} {} {note}", error.problem.row().title, error.detail);
            device.learn(HsmState::NotOpened, said.trim(), self.ground().clock.now());
        }
    }

    async fn open_by_hsm(&self, seal: SealKey, config: &Versioned<SealConfig>) -> Result<()> {
        let mut progress = self.sealing.lock().await;
        if self.open().is_ok() || self.is_kept_sealed() {
            return Ok(());
        }
        let now = self.seal_config().await?;
        if now.is_none_or(|now| now.revision != config.revision) {
            return Err(Error::unavailable("What opens the vault was changed meanwhile.", "another revision"));
        }
        let keyring = keyring_of(self.ground().store.as_ref(), config, &seal).await?;
        self.unlock_customers(&keyring).await?;
        self.open_with(keyring, Sealing::by(seal, config.revision), None, BY_HSM).await?;
        *progress = Progress::default();
        Ok(())
    }
}
