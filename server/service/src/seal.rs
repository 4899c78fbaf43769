//! Init, unseal and seal: how the root key comes into memory, and goes.
//!
//! What people keep, a passphrase, or an HSM gives the *seal key*, and that unwraps the root key from a row in clear. So what opens
//! the vault and the root key can each be changed without the other (`seal/rekey.rs`). A vault that an HSM has sealed opens by
//! itself (`seal/automatic.rs`), and by recovery shares of the same key.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    HsmState, HsmStatus, InitRequest, InitResponse, NewSeal, PrincipalKind, PrincipalState, SHARES_MAX, SealKind,
    SealState, SealStatus,
};
use claviger_api::{CustomerId, GrantId, PrincipalId, Scope, Secret, UserName};
use claviger_core::policy::{Permit, SysSeal, founding_grants};
use claviger_crypto::envelope::Aad;
use claviger_crypto::hsm::HsmSeal;
use claviger_crypto::key::{RootKey, SealKey};
use claviger_crypto::wrap::{unwrap, wrap};
use claviger_crypto::{PassphraseSeal, Random, shares};
use claviger_store::{FIRST_REVISION, Keyring, RowId, Sealed, Store, Table, Versioned, customers_with_keys};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base64_bytes;
use crate::clock::new_uuid;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Caller, Open, wrapped_put};
use crate::records::{CustomerRecord, GrantRecord, NameRecord, PrincipalRecord, ProgramRecord};
use crate::vault::{Ground, Vault};

pub mod automatic;
pub(crate) mod customer_key;
mod elsewhere;
mod hsm;
pub mod rekey;

pub use elsewhere::Opening;
use hsm::OwnedKey;
pub use hsm::{Device, HSM_ANSWERS_WITHIN};
use rekey::Sealing;

/// The signing key of access tokens.
pub(crate) const TOKEN_KEY: Uuid = Uuid::from_u128(1);
/// The signing key of checkpoints.
pub(crate) const LOG_KEY: Uuid = Uuid::from_u128(2);
/// The clear row that says how the vault is opened.
const SEAL_ROW: &str = "seal";
/// Whether it is the row that every open vault depends on: one that is written elsewhere ends that.
pub(crate) fn is_seal_row(row: &RowId) -> bool {
    *row == RowId::meta(SEAL_ROW)
}

/// The fewest characters in a passphrase that seals a vault.
pub const PASSPHRASE_MIN: usize = 16;

/// How the vault is opened, as it is stored in clear: it opens nothing by itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SealConfig {
    vault: Uuid,
    /// Of the seal key.
    check: [u8; 32],
    /// The root key, wrapped under the seal key. Where it is empty, the two are the same bytes.
    #[serde(default, with = "base64_bytes", skip_serializing_if = "Vec::is_empty")]
    root: Vec<u8>,
    #[serde(flatten)]
    kind: SealKindConfig,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum SealKindConfig {
    Shamir {
        shares: u8,
        threshold: u8,
    },
    Passphrase {
        sealed: Vec<u8>,
    },
    /// An HSM, and recovery shares of the same key.
    Pkcs11 {
        shares: u8,
        threshold: u8,
        #[serde(with = "base64_bytes")]
        hsm: Vec<u8>,
    },
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
        Ok(match &config {
            Some(config) => self.status_of(&config.value, seal, provided),
            None => SealStatus { seal, kind: None, threshold: 0, provided: 0, hsm: None },
        })
    }

    fn status_of(&self, config: &SealConfig, seal: SealState, provided: u8) -> SealStatus {
        let mut status = config.status(seal, provided);
        if status.kind == Some(SealKind::Pkcs11) {
            let opens_by_itself = !(seal == SealState::Sealed && self.is_kept_sealed());
            let none = HsmStatus { state: HsmState::NotConfigured, asked_at: None, opens_by_itself: false };
            status.hsm = Some(self.ground().hsm.as_ref().map_or(none, |device| device.status(opens_by_itself)));
        }
        status
    }

    /// Makes the root key and the hierarchy below it, the first administrator and its single-use enrolment. The vault
    /// is sealed afterwards: unsealing it proves that the shares or the passphrase were kept.
    pub async fn init(&self, request: InitRequest) -> Result<InitResponse> {
        let _one_at_a_time = self.sealing.lock().await;
        if self.seal_config().await?.is_some() {
            return Err(Error::new(ProblemType::AlreadyInitialised, ""));
        }
        let random = self.ground().random.as_ref();
        let (seal, root) = (SealKey::generate(random), RootKey::generate(random));
        let vault = new_uuid(self.ground().clock.now(), random);
        let (new, administrator) = asked(request);
        let (seal, kind, shares) = seal_with(self.ground(), seal, vault, new, None).await?;
        let config = SealConfig::new(vault, kind, &seal, &root, FIRST_REVISION, random);
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
            return Ok(self.status_of(&config.value, SealState::Unsealed, 0));
        }
        let Some(seal) = progress.take(&config.value, key).await? else {
            return Ok(self.status_of(&config.value, SealState::Sealed, progress.provided()));
        };
        let keyring = keyring_of(self.ground().store.as_ref(), &config, &seal).await?;
        self.unlock_customers(&keyring).await?;
        let by = config.value.kind.given_by();
        self.open_with(keyring, Sealing::by(seal, config.revision), accept_rollback, by).await?;
        *progress = Progress::default();
        Ok(self.status_of(&config.value, SealState::Unsealed, 0))
    }

    /// Takes the keys of all customers into memory, but of those that are locked.
    async fn unlock_customers(&self, keyring: &Keyring) -> Result<()> {
        let (store, sealed) = (self.ground().store.as_ref(), self.sealed_store());
        for customer in customers_with_keys(store).await? {
            let row = sealed.read::<CustomerRecord>(keyring, &RowId::customer(customer)).await?;
            let lock = row.and_then(|row| row.value.lock);
            if lock.is_none_or(|lock| lock.locked_at.is_none()) {
                keyring.unlock_customer(store, customer).await?;
            }
        }
        Ok(())
    }

    /// Forgets the keys. What an HSM has sealed stays sealed too, until the server is started again or recovery shares are given.
    pub async fn seal(&self, open: &Open, caller: &Caller, _permit: Permit<SysSeal>) -> Result<SealStatus> {
        let event = open.event(Scope::Operator, EventKind::VaultSealed, caller);
        // Other nodes hear of this row, and seal themselves.
        open.commit(open.change(event).touches(RowId::meta(SEAL_ROW))).await?;
        self.keep_sealed();
        self.close();
        self.seal_status().await
    }

    /// Which vault this is, among all.
    pub(crate) async fn vault_id(&self) -> Result<Uuid> {
        vault_of(&self.sealed_store()).await
    }

    async fn seal_config(&self) -> Result<Option<Versioned<SealConfig>>> {
        seal_config(&self.sealed_store()).await
    }
}

/// Opens the operator's keys of a store.
async fn keyring_of(store: &dyn Store, config: &Versioned<SealConfig>, seal: &SealKey) -> Result<Keyring> {
    Ok(Keyring::open(store, config.value.root(seal, config.revision)?).await?)
}

/// Which vault this store is of, among all.
pub(crate) async fn vault_of(sealed: &Sealed) -> Result<Uuid> {
    let config = seal_config(sealed).await?;
    config.map(|config| config.value.vault).ok_or_else(|| Error::new(ProblemType::NotInitialised, ""))
}

async fn seal_config(sealed: &Sealed) -> Result<Option<Versioned<SealConfig>>> {
    let Some(row) = sealed.read_plain(&RowId::meta(SEAL_ROW)).await? else { return Ok(None) };
    let value = serde_json::from_slice(&row.value).map_err(Error::internal)?;
    Ok(Some(Versioned { id: row.id, revision: row.revision, value }))
}

impl SealConfig {
    /// The root key under this seal key, for the row's revision.
    fn new(
        vault: Uuid,
        kind: SealKindConfig,
        seal: &SealKey,
        root: &RootKey,
        revision: u64,
        random: &dyn Random,
    ) -> Self {
        let wrapped = wrap(seal, &root_place(&vault, revision), root.key(), random);
        Self { vault, check: seal.check_value(), root: wrapped, kind }
    }

    fn root(&self, seal: &SealKey, revision: u64) -> Result<RootKey> {
        if self.root.is_empty() {
            return Ok(seal.as_root());
        }
        let root = unwrap(seal, &root_place(&self.vault, revision), &self.root);
        root.map(RootKey::from).map_err(|error| Error::internal(format_args!("the seal's row was changed: {error}")))
    }

    fn status(&self, seal: SealState, provided: u8) -> SealStatus {
        let (kind, threshold) = self.kind.asks_for();
        let provided = if kind == SealKind::Passphrase { 0 } else { provided };
        SealStatus { seal, kind: Some(kind), threshold, provided, hsm: None }
    }
}

impl SealKindConfig {
    /// What it is, and how many keys it takes.
    const fn asks_for(&self) -> (SealKind, u8) {
        match self {
            Self::Shamir { threshold, .. } => (SealKind::Shamir, *threshold),
            Self::Passphrase { .. } => (SealKind::Passphrase, 1),
            Self::Pkcs11 { threshold, .. } => (SealKind::Pkcs11, *threshold),
        }
    }

    /// What people open it with.
    const fn given_by(&self) -> &'static str {
        match self {
            Self::Shamir { .. } => "by shares",
            Self::Passphrase { .. } => "by a passphrase",
            Self::Pkcs11 { .. } => "by recovery shares",
        }
    }

    /// The id of the HSM's key that has sealed.
    fn hsm_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Shamir { .. } | Self::Passphrase { .. } => None,
            Self::Pkcs11 { hsm, .. } => HsmSeal::from_bytes(hsm).ok().map(|seal| seal.key_id().to_vec()),
        }
    }
}

/// Where the root key is wrapped: in the row that says how the vault is opened.
fn root_place(vault: &Uuid, revision: u64) -> Aad<'_> {
    Aad { scope: Scope::Operator, table: Table::Meta.tag(), record: vault.as_bytes(), version: revision }
}

fn asked(request: InitRequest) -> (NewSeal, UserName) {
    match request {
        InitRequest::Shamir { shares, threshold, administrator } => {
            (NewSeal::Shamir { shares, threshold }, administrator)
        }
        InitRequest::Passphrase { passphrase, administrator } => (NewSeal::Passphrase { passphrase }, administrator),
        InitRequest::Pkcs11 { shares, threshold, administrator } => {
            (NewSeal::Pkcs11 { shares, threshold, new_key: false }, administrator)
        }
    }
}

/// Splits or seals a new seal key as asked, and says how it is put together again. The same key of an HSM may go on sealing.
async fn seal_with(
    ground: &Ground,
    seal: SealKey,
    vault: Uuid,
    new: NewSeal,
    now: Option<&SealKindConfig>,
) -> Result<(SealKey, SealKindConfig, Vec<Secret>)> {
    let random = ground.random.as_ref();
    match new {
        NewSeal::Shamir { shares, threshold } => {
            let dealt = deal(&seal, vault, shares, threshold, random)?;
            Ok((seal, SealKindConfig::Shamir { shares, threshold }, dealt))
        }
        NewSeal::Passphrase { passphrase } => {
            let passphrase = passphrase.into_secret();
            if passphrase.expose().chars().count() < PASSPHRASE_MIN {
                return Err(Error::value("passphrase", "a passphrase has at least 16 characters"));
            }
            let sealed = PassphraseSeal::new(&seal, &passphrase, random).to_bytes();
            Ok((seal, SealKindConfig::Passphrase { sealed }, Vec::new()))
        }
        NewSeal::Pkcs11 { shares, threshold, new_key } => {
            let Some(device) = &ground.hsm else {
                let none = "this server's configuration names no HSM: set [seal.pkcs11], and start it again";
                return Err(Error::value("seal", none));
            };
            let dealt = deal(&seal, vault, shares, threshold, random)?;
            let which = if new_key { OwnedKey::New } else { OwnedKey::Labelled(now.and_then(SealKindConfig::hsm_key)) };
            let sealed = device.seal(seal, vault, which, ground.random.clone(), ground.clock.now()).await;
            let (seal, hsm) = sealed.map_err(|error| {
                let detail = "The HSM did not seal, and nothing has changed. The server's log says why.";
                Error::unavailable(detail, error)
            })?;
            Ok((seal, SealKindConfig::Pkcs11 { shares, threshold, hsm: hsm.to_bytes() }, dealt))
        }
    }
}

fn deal(seal: &SealKey, vault: Uuid, shares: u8, threshold: u8, random: &dyn Random) -> Result<Vec<Secret>> {
    if shares > SHARES_MAX || (threshold == 1 && shares > 1) {
        return Err(Error::value(
            "threshold",
            "at most 16 shares, of which at least 2 are needed; 1 only where there is 1 share",
        ));
    }
    shares::split(seal, vault, shares, threshold, random).map_err(|error| Error::value("threshold", error.to_string()))
}

/// Runs Argon2id beside the requests, not in their way.
async fn open_passphrase(sealed: &[u8], passphrase: &Secret) -> Result<SealKey> {
    let seal = PassphraseSeal::from_bytes(sealed).map_err(Error::internal)?;
    let passphrase = passphrase.duplicate();
    let opened = tokio::task::spawn_blocking(move || seal.open(&passphrase)).await.map_err(Error::internal)?;
    opened.map_err(|error| Error::new(ProblemType::WrongShare, error.to_string()))
}

impl Progress {
    fn provided(&self) -> u8 {
        self.gathering.as_ref().map_or(0, |gathering| gathering.progress().held)
    }

    /// Takes one share, or the passphrase; with the last one that is needed the seal key.
    async fn take(&mut self, config: &SealConfig, key: &Secret) -> Result<Option<SealKey>> {
        match &config.kind {
            SealKindConfig::Passphrase { sealed } => open_passphrase(sealed, key).await.map(Some),
            SealKindConfig::Shamir { .. } | SealKindConfig::Pkcs11 { .. } => self.give(config, key),
        }
    }

    /// Takes one share; with the last one the seal key. A set that does not fit is forgotten: one of it is wrong.
    fn give(&mut self, config: &SealConfig, share: &Secret) -> Result<Option<SealKey>> {
        let gathering = self.gathering.get_or_insert_with(|| shares::Gathering::new(config.vault, config.check));
        let wrong = |error: &dyn std::fmt::Display| Error::new(ProblemType::WrongShare, error.to_string());
        if !gathering.add(share).map_err(|error| wrong(&error))?.is_complete() {
            return Ok(None);
        }
        let seal = gathering.combine().map_err(|error| wrong(&error));
        self.gathering = None;
        seal.map(Some)
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
