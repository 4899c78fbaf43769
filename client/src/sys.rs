//! `/v1/sys`: the life of the vault itself.

use std::time::Duration;

use claviger_api::wire::{
    Backup, BackupState, BegunRekey, Health, InitRequest, InitResponse, KeyRotation, KeyRotationState,
    KeyRotationStatus, NewSeal, PageQuery, RecoverSecrets, Recovered, Rekey, RekeyKey, RekeyStatus, RestoreStatus,
    Resume, Scrub, SealStatus, Status, UnsealRequest,
};
use claviger_api::{BackupId, Part};

use crate::poll::{Waited, poll};
use crate::{Client, List, Result};

/// The vault itself.
pub struct Sys<'a>(&'a Client);

impl Client {
    /// The vault itself.
    pub fn sys(&self) -> Sys<'_> {
        Sys(self)
    }
}

impl Sys<'_> {
    /// Whether the vault serves and can write. Needs no login.
    pub async fn health(&self) -> Result<Health> {
        self.0.get_openly("/v1/sys/health").await
    }

    /// Whether the vault is sealed, and how far an unseal is. Needs no login.
    pub async fn seal_status(&self) -> Result<SealStatus> {
        self.0.get_openly("/v1/sys/seal-status").await
    }

    /// What operators want to know.
    pub async fn status(&self) -> Result<Status> {
        self.0.get("/v1/sys/status").await
    }

    /// Initialises the vault, once. Shares and enrolment are shown in this answer and never again.
    pub async fn init(&self, request: &InitRequest) -> Result<InitResponse> {
        self.0.post_openly("/v1/sys/init", request).await
    }

    /// Gives one share, or the passphrase.
    pub async fn unseal(&self, request: &UnsealRequest) -> Result<SealStatus> {
        self.0.post_openly("/v1/sys/unseal", request).await
    }

    /// Wipes the root key from the server's memory.
    pub async fn seal(&self) -> Result<SealStatus> {
        self.0.act("/v1/sys/seal").await
    }

    /// Has the whole store checked against its logs, beside all else; [`Sys::scrub`] tells what was found.
    pub async fn ask_for_scrub(&self) -> Result<Scrub> {
        self.0.act("/v1/sys/scrub").await
    }

    /// What the last check of the store found.
    pub async fn scrub(&self) -> Result<Scrub> {
        self.0.get("/v1/sys/scrub").await
    }

    /// Waits, for at most this long, until a check that was asked for is over; what is known then.
    pub async fn wait_for_scrub(&self, asked: &Scrub, at_most: Duration) -> Result<Scrub> {
        let since = asked.asked_at;
        let over =
            |now: &Scrub| now.last.as_ref().is_some_and(|last| since.is_none_or(|since| last.started_at >= since));
        match poll(at_most, async || self.scrub().await, over).await? {
            Waited::Done(scrub) | Waited::TimeOver(scrub) => Ok(scrub),
        }
    }

    /// Has a backup taken, beside all else.
    pub async fn take_backup(&self) -> Result<Backup> {
        self.0.act("/v1/sys/backups").await
    }

    /// Backups, the newest first.
    pub fn backups(&self) -> List<'_, Backup> {
        List::new(self.0, "/v1/sys/backups", PageQuery::default())
    }

    /// One backup.
    pub async fn backup(&self, id: BackupId) -> Result<Backup> {
        self.0.get(format!("/v1/sys/backups/{id}")).await
    }

    /// Waits, for at most this long, until a backup was taken, or could not be.
    pub async fn wait_for_backup(&self, id: BackupId, at_most: Duration) -> Result<Backup> {
        let over = |backup: &Backup| backup.state != BackupState::Asked;
        match poll(at_most, async || self.backup(id).await, over).await? {
            Waited::Done(backup) | Waited::TimeOver(backup) => Ok(backup),
        }
    }

    /// Whether the vault was restored from a backup, and what comparing it with the world has shown.
    pub async fn restored(&self) -> Result<RestoreStatus> {
        self.0.get("/v1/sys/restore").await
    }

    /// Has each stored secret of a restored vault tried once, beside all else.
    pub async fn compare_restored(&self) -> Result<RestoreStatus> {
        self.0.act("/v1/sys/restore/compare").await
    }

    /// Waits, for at most this long, until that is over.
    pub async fn wait_for_comparison(&self, at_most: Duration) -> Result<RestoreStatus> {
        let over = |now: &RestoreStatus| {
            now.restored
                .as_ref()
                .and_then(|restored| restored.compared.as_ref())
                .is_none_or(|c| c.finished_at.is_some())
        };
        match poll(at_most, async || self.restored().await, over).await? {
            Waited::Done(status) | Waited::TimeOver(status) => Ok(status),
        }
    }

    /// Gives a restored vault secrets that came after its backup. It may be repeated.
    pub async fn recover_secrets(&self, secrets: &RecoverSecrets) -> Result<Recovered> {
        self.0.post("/v1/sys/restore/secrets", secrets).await
    }

    /// Lets a restored vault act again.
    pub async fn resume_restored(&self, resume: &Resume) -> Result<RestoreStatus> {
        self.0.post("/v1/sys/restore/resume", resume).await
    }

    /// Makes what shall open the vault. New shares are shown in this answer and never again.
    pub async fn begin_rekey(&self, new: &NewSeal) -> Result<BegunRekey> {
        self.0.post("/v1/sys/rekey", new).await
    }

    /// How far a rekey is.
    pub async fn rekey(&self) -> Result<RekeyStatus> {
        self.0.get("/v1/sys/rekey").await
    }

    /// Gives one key of a rekey, old or new. Needs no login.
    pub async fn give_rekey_key(&self, key: &RekeyKey) -> Result<Rekey> {
        self.0.post_openly("/v1/sys/rekey/keys", key).await
    }

    /// Leaves what opens the vault as it is.
    pub async fn cancel_rekey(&self) -> Result<()> {
        self.0.delete("/v1/sys/rekey").await
    }

    /// Wraps all keys under a new root key; what opens the vault stays as it is.
    pub async fn rotate_root(&self) -> Result<()> {
        self.0.act_silently("/v1/sys/rotate-root").await
    }

    /// Has all of a customer sealed under a new key, beside all else. Asked again, it is the one under way.
    pub async fn rotate_customer_key(&self, customer: &Part) -> Result<KeyRotation> {
        self.0.act(format!("/v1/sys/customer-keys/{customer}/rotate")).await
    }

    /// How far the replacement of a customer's key is, or when the last one ended.
    pub async fn key_rotation(&self, customer: &Part) -> Result<KeyRotationStatus> {
        self.0.get(format!("/v1/sys/customer-keys/{customer}")).await
    }

    /// Waits, for at most this long, until it has ended. `seen` is given each state on the way.
    pub async fn wait_for_key_rotation(
        &self,
        customer: &Part,
        at_most: Duration,
        mut seen: impl FnMut(&KeyRotation),
    ) -> Result<KeyRotationStatus> {
        let over = |now: &KeyRotationStatus| {
            now.key_rotation.iter().for_each(&mut seen);
            now.key_rotation.as_ref().is_none_or(|rotation| rotation.state == KeyRotationState::Ended)
        };
        match poll(at_most, async || self.key_rotation(customer).await, over).await? {
            Waited::Done(rotation) | Waited::TimeOver(rotation) => Ok(rotation),
        }
    }
}
