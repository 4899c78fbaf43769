//! `/v1/sys`: the life of the vault itself.

use std::sync::Arc;

use claviger_api::ProblemType::{
    self, AlreadyInitialised, BackupsOff, CustomerLocked, InUse, NotFound, NotInitialised, NotPaused, Paused, Sealed,
    StoreRolledBack, WrongShare,
};
use claviger_api::wire::{
    Backup, BegunRekey, Health, InitRequest, InitResponse, KeyRotation, KeyRotationStatus, NewSeal, PageQuery,
    RecoverSecrets, Recovered, Rekey, RekeyKey, RekeyStatus, RestoreStatus, Resume, Scrub, SealState, SealStatus,
    Status, UnsealRequest,
};
use claviger_core::policy::{SysBackup, SysRekey, SysRestore, SysScrub, SysSeal, SysStatus};
use claviger_service::{Error, Once, Paging, Result, Vault};

use super::answer::{Accepted, Created, Json, Listed, NoContent};
use super::body::Body;
use super::call::Call;
use super::describe::Description;
use super::door::{Guest, Probe, Session, Unseal};
use super::endpoint::{Argument, Endpoint};
use super::named::{BackupNumbered, Keyed};
use super::on::OnOperator;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/sys/health", "health", "200 only where the vault serves and can write.", health)
            .fails(&[NotInitialised, Sealed]),
        Endpoint::get(
            "/v1/sys/seal-status",
            "sealStatus",
            "Whether the vault is sealed, and how far an unseal is.",
            seal_status,
        ),
        Endpoint::get("/v1/sys/status", "status", "What operators want to know.", status),
        Endpoint::post("/v1/sys/init", "init", "Initialise the vault, once. What it shows is shown once.", init)
            .fails(&[AlreadyInitialised]),
        Endpoint::post("/v1/sys/unseal", "unseal", "Give one share, or the passphrase.", unseal).fails(&[
            NotInitialised,
            StoreRolledBack,
            WrongShare,
        ]),
        Endpoint::post("/v1/sys/seal", "seal", "Wipe the keys from memory.", seal),
        Endpoint::post("/v1/sys/backups", "takeBackup", "Have a backup taken, beside all else.", take_backup)
            .fails(&[BackupsOff]),
        Endpoint::get("/v1/sys/backups", "listBackups", "Backups, the newest first.", list_backups),
        Endpoint::get("/v1/sys/backups/{backup}", "showBackup", "One backup.", show_backup),
        Endpoint::get("/v1/sys/scrub", "showScrub", "What the last check of the whole store found.", show_scrub),
        Endpoint::post(
            "/v1/sys/scrub",
            "scrub",
            "Have the whole store checked against its logs, beside all else.",
            scrub,
        ),
        Endpoint::post("/v1/sys/rekey", "beginRekey", "Show what shall open the vault.", begin_rekey).fails(&[InUse]),
        Endpoint::get("/v1/sys/rekey", "showRekey", "How far a rekey is.", rekey),
        Endpoint::delete("/v1/sys/rekey", "cancelRekey", "Leave what opens the vault as it is.", cancel_rekey)
            .fails(&[NotFound]),
        Endpoint::post("/v1/sys/rekey/keys", "giveRekeyKey", "Give one old or new key of a rekey.", give_rekey_key)
            .fails(&[NotFound, Sealed, WrongShare]),
        Endpoint::get(
            "/v1/sys/restore",
            "showRestored",
            "Whether the vault was restored from a backup, and what comparing it with the world has shown.",
            show_restored,
        ),
        Endpoint::post(
            "/v1/sys/restore/compare",
            "compareRestored",
            "Have each stored secret tried once, beside all else.",
            compare_restored,
        )
        .fails(&[NotPaused]),
        Endpoint::post("/v1/sys/restore/resume", "resumeRestored", "Let a restored vault act again.", resume_restored)
            .fails(&[NotPaused, Paused]),
        Endpoint::post(
            "/v1/sys/restore/secrets",
            "recoverSecrets",
            "Give a restored vault secrets that came after its backup.",
            recover_secrets,
        )
        .fails(&[NotPaused]),
        Endpoint::post("/v1/sys/rotate-root", "rotateRoot", "Wrap all keys under a new root key.", rotate_root),
        Endpoint::post(
            "/v1/sys/customer-keys/{keyed}/rotate",
            "rotateCustomerKey",
            "Have all of a customer sealed under a new key, beside all else. Asked again, it is the one under way.",
            rotate_customer_key,
        )
        .fails(&[CustomerLocked]),
        Endpoint::get(
            "/v1/sys/customer-keys/{keyed}",
            "showKeyRotation",
            "How far the replacement of a customer's key is, or when the last one ended.",
            show_key_rotation,
        ),
    ]
}

/// The vault, in whatever state it is.
pub struct TheVault(pub Arc<Vault>);

impl Argument for TheVault {
    async fn take(call: &mut Call) -> Result<Self> {
        Ok(Self(call.site.vault.clone()))
    }

    fn describe(_: &mut Description) {}
}

/// A load balancer reads the status: whoever cannot serve does not say 200.
async fn health(_: Guest<Probe>, TheVault(vault): TheVault) -> Result<Json<Health>> {
    let health = vault.health().await;
    match (health.seal, health.writable) {
        (SealState::Unsealed, true) => Ok(Json(health)),
        (SealState::Unsealed, false) => {
            Err(Error::new(ProblemType::Unavailable, "The vault cannot write; its log says why."))
        }
        (SealState::Sealed, _) => Err(Error::new(Sealed, sealed_because(&vault).await)),
        (SealState::NotInitialised, _) => Err(Error::new(NotInitialised, "")),
    }
}

/// Why a vault that opens by itself has not.
async fn sealed_because(vault: &Vault) -> String {
    let hsm = vault.seal_status().await.ok().and_then(|status| status.hsm);
    hsm.map_or_else(String::new, |hsm| format!("The vault is sealed: {}.", hsm.in_words()))
}

async fn seal_status(_: Guest<Probe>, TheVault(vault): TheVault) -> Result<Json<SealStatus>> {
    vault.seal_status().await.map(Json)
}

async fn status(
    session: Session,
    TheVault(vault): TheVault,
    OnOperator(permit): OnOperator<SysStatus>,
) -> Result<Json<Status>> {
    session.open.status(&vault, permit).await.map(Json)
}

async fn init(
    _: Guest<Unseal>,
    TheVault(vault): TheVault,
    Body(body): Body<InitRequest>,
) -> Result<Created<InitResponse>> {
    vault.init(body).await.map(Created)
}

async fn unseal(
    _: Guest<Unseal>,
    TheVault(vault): TheVault,
    Body(body): Body<UnsealRequest>,
) -> Result<Json<SealStatus>> {
    vault.unseal(body.key.secret(), body.accept_rollback.as_deref()).await.map(Json)
}

async fn seal(
    session: Session,
    TheVault(vault): TheVault,
    OnOperator(permit): OnOperator<SysSeal>,
) -> Result<Json<SealStatus>> {
    vault.seal(&session.open, &session.caller, permit).await.map(Json)
}

async fn show_scrub(session: Session, OnOperator(permit): OnOperator<SysStatus>) -> Result<Json<Scrub>> {
    Ok(Json(session.open.scrub(permit)))
}

async fn scrub(session: Session, OnOperator(permit): OnOperator<SysScrub>) -> Result<Accepted<Scrub>> {
    Ok(Accepted(session.open.ask_for_scrub(&session.caller, permit)))
}

async fn take_backup(
    session: Session,
    OnOperator(permit): OnOperator<SysBackup>,
    once: Once,
) -> Result<Accepted<Backup>> {
    session.open.ask_for_backup(&once, &session.caller, permit).await.map(Accepted)
}

async fn list_backups(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    Query(query): Query<PageQuery>,
) -> Result<Listed<Backup>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.backups(&paging, permit).await.map(Listed)
}

async fn show_backup(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    BackupNumbered(id): BackupNumbered,
) -> Result<Json<Backup>> {
    session.open.backup(id, permit).await.map(Json)
}

async fn begin_rekey(
    session: Session,
    OnOperator(permit): OnOperator<SysRekey>,
    Body(body): Body<NewSeal>,
) -> Result<Created<BegunRekey>> {
    session.open.begin_rekey(body, &session.caller, permit).await.map(Created)
}

async fn rekey(session: Session, OnOperator(permit): OnOperator<SysStatus>) -> Result<Json<RekeyStatus>> {
    Ok(Json(session.open.rekey(permit).await))
}

async fn cancel_rekey(session: Session, OnOperator(permit): OnOperator<SysRekey>) -> Result<NoContent> {
    session.open.cancel_rekey(&session.caller, permit).await.map(|()| NoContent)
}

/// Whoever holds a share need not have a login: as for an unseal, the share is what counts.
async fn give_rekey_key(
    _: Guest<Unseal>,
    TheVault(vault): TheVault,
    Body(body): Body<RekeyKey>,
) -> Result<Json<Rekey>> {
    vault.open()?.give_rekey_key(body.rekey, body.key.secret()).await.map(Json)
}

async fn rotate_root(session: Session, OnOperator(permit): OnOperator<SysRekey>) -> Result<NoContent> {
    session.open.rotate_root(&session.caller, permit).await.map(|()| NoContent)
}

async fn rotate_customer_key(
    session: Session,
    OnOperator(permit): OnOperator<SysRekey>,
    Keyed(customer): Keyed,
) -> Result<Accepted<KeyRotation>> {
    session.open.rotate_customer_key(&customer, &session.caller, permit).await.map(Accepted)
}

async fn show_key_rotation(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    Keyed(customer): Keyed,
) -> Result<Json<KeyRotationStatus>> {
    session.open.key_rotation(&customer, permit).await.map(Json)
}

async fn show_restored(session: Session, OnOperator(permit): OnOperator<SysStatus>) -> Result<Json<RestoreStatus>> {
    session.open.restored(permit).await.map(Json)
}

async fn compare_restored(
    session: Session,
    OnOperator(permit): OnOperator<SysRestore>,
) -> Result<Accepted<RestoreStatus>> {
    session.open.ask_to_compare(&session.caller, permit).await.map(Accepted)
}

async fn recover_secrets(
    session: Session,
    OnOperator(permit): OnOperator<SysRestore>,
    Body(body): Body<RecoverSecrets>,
) -> Result<Json<Recovered>> {
    session.open.recover_secrets(&body, &session.caller, permit).await.map(Json)
}

async fn resume_restored(
    session: Session,
    OnOperator(permit): OnOperator<SysRestore>,
    Body(body): Body<Resume>,
) -> Result<Json<RestoreStatus>> {
    session.open.resume(&body, &session.caller, permit).await.map(Json)
}
