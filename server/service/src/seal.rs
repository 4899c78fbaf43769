//! Init, unseal and seal: how the root key comes into memory, and goes.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    InitRequest, InitResponse, PrincipalKind, PrincipalState, SHARES_MAX, SealKind, SealState, SealStatus,
};
use claviger_api::{CustomerId, GrantId, PrincipalId, Scope, Secret, UserName};
use claviger_core::policy::{Permit, SysSeal, founding_grants};
use claviger_crypto::key::RootKey;
use claviger_crypto::{PassphraseSeal, Random, shares};
use claviger_store::{FIRST_REVISION, Keyring, RowId, Table, customers_with_keys};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::new_uuid;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Caller, Open, wrapped_put};
use crate::records::{GrantRecord, NameRecord, PrincipalRecord, ProgramRecord};
use crate::vault::Vault;

/// The signing key of access tokens.
pub(crate) const TOKEN_KEY: Uuid = Uuid::from_u128(1);
/// The signing key of checkpoints.
pub(crate) const LOG_KEY: Uuid = Uuid::from_u128(2);
/// The clear row that says how the vault is opened.
const SEAL_ROW: &str = "seal";
/// The fewest characters in a passphrase that seals a vault.
pub const PASSPHRASE_MIN: usize = 16;

/// How the vault is opened, as it is stored in clear: it opens nothing by itself.
#[derive(Serialize, Deserialize)]
struct SealConfig {
    vault: Uuid,
    check: [u8; 32],
    #[serde(flatten)]
    kind: SealKindConfig,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum SealKindConfig {
    Shamir { shares: u8, threshold: u8 },
    Passphrase { sealed: Vec<u8> },
}

/// The shares given so far. They are forgotten at a restart, and when the vault opens.
#[derive(Default)]
pub struct Progress {
    gathering: Option<shares::Gathering>,
}

impl Vault {
    /// What opens the vault, and how far that is.
    pub async fn seal_status(&self) -> Result<SealStatus> {
        let config = self.seal_config().await?;
        let provided = self.sealing.lock().await.provided();
        let seal = match (&config, self.open()) {
            (None, _) => SealState::NotInitialised,
            (Some(_), Ok(_)) => SealState::Unsealed,
            (Some(_), Err(_)) => SealState::Sealed,
        };
        Ok(config
            .map_or(SealStatus { seal, kind: None, threshold: 0, provided: 0 }, |config| config.status(seal, provided)))
    }

    /// Makes the root key and the hierarchy below it, the first administrator and its single-use enrolment. The vault
    /// is sealed afterwards: unsealing it proves that the shares or the passphrase were kept.
    pub async fn init(&self, request: InitRequest) -> Result<InitResponse> {
        let _one_at_a_time = self.sealing.lock().await;
        if self.seal_config().await?.is_some() {
            return Err(Error::new(ProblemType::AlreadyInitialised, ""));
        }
        let random = self.ground().random.as_ref();
        let root = RootKey::generate(random);
        let vault = new_uuid(self.ground().clock.now(), random);
        let (config, shares, administrator) = seal_root(&root, vault, request, random)?;
        let (keyring, wrapped) = Keyring::create(root, random);
        let enrolment = crate::identity::Enrolment::new(self.ground().clock.now(), random);
        let principal = first_administrator(&administrator, &enrolment, self.ground().clock.now(), random);

        let sealed = self.sealed_store();
        let event = Event::new(Scope::Operator, EventKind::VaultInitialised, self.ground().clock.now())
            .with(FieldName::Actor, "system/init")
            .with(FieldName::Principal, principal.id);
        let kept = crate::kept::Kept::new();
        let mut change = crate::journal::Change::because(&sealed, &keyring, random, &kept, event);
        let text = serde_json::to_vec(&config).map_err(Error::internal)?;
        change = change.create_sealed(sealed.put_plain(&RowId::meta(SEAL_ROW), FIRST_REVISION, text)?);
        for wrapped in wrapped {
            change = change.create_sealed(wrapped_put(wrapped));
        }
        for id in [TOKEN_KEY, LOG_KEY] {
            change = change.create_sealed(wrapped_put(keyring.new_signing(id, random).1));
        }
        let name = keyring.name(Table::Principals, Scope::Operator, administrator.as_str());
        change = change
            .create(name, &NameRecord { id: principal.id.uuid() })?
            .create(RowId::principal(principal.id), &principal)?
            .create(RowId::token(&enrolment.hash), &enrolment.record(principal.id))?;
        let now = self.ground().clock.now();
        for grant in founding_grants(principal.id, now, || GrantId::from_uuid(new_uuid(now, random))) {
            change = change.create(RowId::grant(Scope::Operator, grant.id), &GrantRecord(grant))?;
        }
        let prepared = change.prepare(|event| event.prepare(|_| None::<Box<claviger_crypto::SubjectKey>>, random))?;
        let keyring = std::sync::Arc::new(keyring);
        let head = self.ground().store.get(&RowId::log_head(Scope::Operator).to_key()).await?;
        let left = head.map(|row| row.revision);
        let (store, random) = (self.ground().store.clone(), self.ground().random.clone());
        let journal = crate::journal::Journal::first(store, keyring, random, left)
            .map_err(|error| Error::unavailable("The vault could not start its journal.", error))?;
        journal.commit(prepared).await?;
        drop(journal);
        Ok(InitResponse {
            shares: shares.into_iter().map(Secret::disclose).collect(),
            enrolment: enrolment.secret.disclose(),
            administrator,
        })
    }

    /// Takes one share, or the passphrase. With the last share that is needed the vault opens; where its store is older than
    /// an anchor, only for a reason, which comes with that share.
    pub async fn unseal(&self, key: &Secret, accept_rollback: Option<&str>) -> Result<SealStatus> {
        let mut progress = self.sealing.lock().await;
        let Some(config) = self.seal_config().await? else {
            return Err(Error::new(ProblemType::NotInitialised, ""));
        };
        if self.open().is_ok() {
            return Ok(config.status(SealState::Unsealed, 0));
        }
        let root = match &config.kind {
            SealKindConfig::Passphrase { sealed } => Some(open_passphrase(sealed, key).await?),
            SealKindConfig::Shamir { .. } => progress.give(&config, key)?,
        };
        let Some(root) = root else {
            return Ok(config.status(SealState::Sealed, progress.provided()));
        };
        let keyring = Keyring::open(self.ground().store.as_ref(), root).await?;
        for customer in customers_with_keys(self.ground().store.as_ref()).await? {
            keyring.unlock_customer(self.ground().store.as_ref(), customer).await?;
        }
        self.open_with(keyring, accept_rollback).await?;
        *progress = Progress::default();
        Ok(config.status(SealState::Unsealed, 0))
    }

    /// Forgets the keys.
    pub async fn seal(&self, open: &Open, caller: &Caller, _permit: Permit<SysSeal>) -> Result<SealStatus> {
        let event = open.event(Scope::Operator, EventKind::VaultSealed, caller);
        open.commit(open.change(event)).await?;
        self.close();
        self.seal_status().await
    }

    /// Which vault this is, among all.
    pub(crate) async fn vault_id(&self) -> Result<Uuid> {
        let config = self.seal_config().await?;
        config.map(|config| config.vault).ok_or_else(|| Error::new(ProblemType::NotInitialised, ""))
    }

    async fn seal_config(&self) -> Result<Option<SealConfig>> {
        let row = self.sealed_store().read_plain(&RowId::meta(SEAL_ROW)).await?;
        row.map(|row| serde_json::from_slice(&row.value).map_err(Error::internal)).transpose()
    }
}

impl SealConfig {
    fn status(&self, seal: SealState, provided: u8) -> SealStatus {
        match self.kind {
            SealKindConfig::Shamir { threshold, .. } => {
                SealStatus { seal, kind: Some(SealKind::Shamir), threshold, provided }
            }
            SealKindConfig::Passphrase { .. } => {
                SealStatus { seal, kind: Some(SealKind::Passphrase), threshold: 1, provided: 0 }
            }
        }
    }
}

/// Splits or seals a new root key as asked, and says how it is opened again.
fn seal_root(
    root: &RootKey,
    vault: Uuid,
    request: InitRequest,
    random: &dyn Random,
) -> Result<(SealConfig, Vec<Secret>, UserName)> {
    let (kind, dealt, administrator) = match request {
        InitRequest::Shamir { shares, threshold, administrator } => {
            if shares > SHARES_MAX || (threshold == 1 && shares > 1) {
                return Err(Error::value(
                    "threshold",
                    "at most 16 shares, of which at least 2 are needed; 1 only where there is 1 share",
                ));
            }
            let dealt = shares::split(root, vault, shares, threshold, random)
                .map_err(|error| Error::value("threshold", error.to_string()))?;
            (SealKindConfig::Shamir { shares, threshold }, dealt, administrator)
        }
        InitRequest::Passphrase { passphrase, administrator } => {
            let passphrase = passphrase.into_secret();
            if passphrase.expose().chars().count() < PASSPHRASE_MIN {
                return Err(Error::value("passphrase", "a passphrase has at least 16 characters"));
            }
            let sealed = PassphraseSeal::new(root, &passphrase, random).to_bytes();
            (SealKindConfig::Passphrase { sealed }, Vec::new(), administrator)
        }
    };
    Ok((SealConfig { vault, check: root.check_value(), kind }, dealt, administrator))
}

/// Runs Argon2id beside the requests, not in their way.
async fn open_passphrase(sealed: &[u8], passphrase: &Secret) -> Result<RootKey> {
    let seal = PassphraseSeal::from_bytes(sealed).map_err(Error::internal)?;
    let passphrase = passphrase.duplicate();
    let opened = tokio::task::spawn_blocking(move || seal.open(&passphrase)).await.map_err(Error::internal)?;
    opened.map_err(|error| Error::new(ProblemType::WrongShare, error.to_string()))
}

impl Progress {
    fn provided(&self) -> u8 {
        self.gathering.as_ref().map_or(0, |gathering| gathering.progress().held)
    }

    /// Takes one share; with the last one the root key. A set that does not fit is forgotten: one of it is wrong.
    fn give(&mut self, config: &SealConfig, share: &Secret) -> Result<Option<RootKey>> {
        let gathering = self.gathering.get_or_insert_with(|| shares::Gathering::new(config.vault, config.check));
        let wrong = |error: &dyn std::fmt::Display| Error::new(ProblemType::WrongShare, error.to_string());
        if !gathering.add(share).map_err(|error| wrong(&error))?.is_complete() {
            return Ok(None);
        }
        let root = gathering.combine().map_err(|error| wrong(&error));
        self.gathering = None;
        root.map(Some)
    }
}

fn first_administrator(
    name: &UserName,
    enrolment: &crate::identity::Enrolment,
    now: claviger_api::Timestamp,
    random: &dyn Random,
) -> PrincipalRecord {
    PrincipalRecord {
        id: PrincipalId::from_uuid(new_uuid(now, random)),
        kind: PrincipalKind::User,
        name: name.clone(),
        customer: None::<CustomerId>,
        state: PrincipalState::Invited,
        password: None,
        token: Some(enrolment.hash),
        created_at: now,
        last_login_at: None,
        generation: 0,
        program: ProgramRecord::default(),
        has_factors: false,
        confirmation: None,
        re_enrolment: None,
        factors_reset: None,
        sign_ons: Vec::new(),
        invitation: None,
        vouched: false,
    }
}
