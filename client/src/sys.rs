//! `/v1/sys`: the life of the vault itself.

use claviger_api::wire::{Health, InitRequest, InitResponse, SealStatus, Status, UnsealRequest};

use crate::{Client, Result};

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
}
