//! Another root key, and another way to open the vault.
//!
//! A rekey makes a new seal key, shows its shares, and takes effect when two things were given: enough of what opens the vault
//! now (whoever holds it agrees), and enough of what shall (it was kept, and works). Until then nothing has changed, so that a
//! lost answer or a torn paper never leaves a vault that nobody can open. With the new seal key comes a new root key: a copy of
//! the store from before opens with neither.
//!
//! What is under way is in memory alone: a seal, a restart or an hour ends it, and it is begun again.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{BegunRekey, KeysGiven, NewSeal, Rekey, RekeyStatus, SealKind};
use claviger_api::{PrincipalId, RekeyId, Scope, Secret, Timestamp};
use claviger_core::policy::{Permit, SysRekey, SysStatus};
use claviger_crypto::key::{RootKey, SealKey};
use claviger_crypto::shares::{BadShare, Gathering};
use claviger_store::{RowId, Versioned};
use jiff::SignedDuration;
use tokio::sync::{Mutex, RwLock};

use super::{SEAL_ROW, SealConfig, SealKindConfig, open_passphrase, seal_config, seal_with};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::Change;
use crate::open::{Caller, Open};

/// Who finishes it: those who give the last keys need not be known.
const ACTOR: &str = "system/rekey";
/// How long the holders of keys have to come together.
const REKEY_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// What wraps the root key of an open vault, and how that is being changed.
pub(crate) struct Sealing {
    /// Held for reading by whoever wraps a key under the root key, until that is stored; for writing by whoever changes it.
    pub top: RwLock<Top>,
    rekey: Mutex<Option<UnderWay>>,
}

/// The seal key, and which revision of its row wraps the root key that is in memory.
pub(crate) struct Top {
    seal: SealKey,
    revision: u64,
}

impl Sealing {
    pub fn by(seal: SealKey, revision: u64) -> Self {
        Self { top: RwLock::new(Top { seal, revision }), rekey: Mutex::default() }
    }
}

impl Top {
    /// A change that has wrapped something under the root key in memory: it counts only while that is the stored one.
    pub fn holds_for<'a>(&self, change: Change<'a>) -> Change<'a> {
        change.expect_at(RowId::meta(SEAL_ROW), self.revision)
    }
}

/// A rekey that was begun.
struct UnderWay {
    id: RekeyId,
    begun_by: PrincipalId,
    expires_at: Timestamp,
    /// What shall open the vault; none, once it does.
    seal: Option<SealKey>,
    kind: SealKindConfig,
    old: Given,
    new: Given,
}

/// The keys of one seal, as they are given.
enum Given {
    Shares { gathering: Gathering, kind: SealKind, threshold: u8 },
    Passphrase { sealed: Vec<u8>, opened: bool },
}

impl Given {
    fn of(config: &SealConfig, check: [u8; 32], kind: &SealKindConfig) -> Self {
        match kind {
            SealKindConfig::Shamir { .. } | SealKindConfig::Pkcs11 { .. } => {
                let (kind, threshold) = kind.asks_for();
                Self::Shares { gathering: Gathering::new(config.vault, check), kind, threshold }
            }
            SealKindConfig::Passphrase { sealed } => Self::Passphrase { sealed: sealed.clone(), opened: false },
        }
    }

    /// Takes a key, if it is one of this seal's.
    async fn give(&mut self, key: &Secret) -> Result<bool> {
        match self {
            Self::Shares { gathering, .. } => match gathering.add(key) {
                Ok(_) => Ok(true),
                Err(BadShare::OtherKey | BadShare::NotAShare) => Ok(false),
                Err(wrong) => Err(Error::new(ProblemType::WrongShare, wrong.to_string())),
            },
            Self::Passphrase { sealed, opened } => match open_passphrase(sealed, key).await {
                Ok(_) => {
                    *opened = true;
                    Ok(true)
                }
                Err(error) if error.problem == ProblemType::WrongShare => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    fn count(&self) -> KeysGiven {
        match self {
            Self::Shares { gathering, kind, threshold } => {
                KeysGiven { kind: *kind, needed: *threshold, given: gathering.progress().held }
            }
            Self::Passphrase { opened, .. } => {
                KeysGiven { kind: SealKind::Passphrase, needed: 1, given: u8::from(*opened) }
            }
        }
    }

    /// Whether enough were given. Shares that do not give the key are forgotten: one of them is wrong.
    fn is_enough(&mut self, config: &SealConfig, check: [u8; 32]) -> Result<bool> {
        let Self::Shares { gathering, .. } = self else { return Ok(self.count().given == 1) };
        if !gathering.progress().is_complete() {
            return Ok(false);
        }
        gathering.combine().map(|_| true).map_err(|wrong| {
            *gathering = Gathering::new(config.vault, check);
            Error::new(ProblemType::WrongShare, wrong.to_string())
        })
    }
}

impl UnderWay {
    fn shown(&self) -> Rekey {
        Rekey {
            id: self.id,
            done: self.is_done(),
            begun_by: self.begun_by,
            expires_at: self.expires_at,
            old: self.old.count(),
            new: self.new.count(),
        }
    }

    const fn is_done(&self) -> bool {
        self.seal.is_none()
    }

    /// Whether it waits for keys.
    fn waits(&self, now: Timestamp) -> bool {
        !self.is_done() && now < self.expires_at
    }
}

impl Open {
    /// Makes what shall open the vault, and shows it.
    ///
    /// # Errors
    ///
    /// Another rekey is under way.
    pub async fn begin_rekey(&self, new: NewSeal, caller: &Caller, _permit: Permit<SysRekey>) -> Result<BegunRekey> {
        let mut rekey = self.sealing.rekey.lock().await;
        if let Some(other) = rekey.as_ref().filter(|other| other.waits(self.now())) {
            let detail = format!("The rekey {} is under way: finish it, or cancel it first.", other.id);
            return Err(Error::new(ProblemType::InUse, detail));
        }
        let config = self.seal_row().await?.value;
        let seal = SealKey::generate(self.random());
        let (seal, kind, shares) = seal_with(self.ground(), seal, config.vault, new, Some(&config.kind)).await?;
        let under_way = UnderWay {
            id: RekeyId::from_uuid(self.new_uuid()),
            begun_by: caller.id,
            expires_at: self.now() + REKEY_WITHIN,
            old: Given::of(&config, config.check, &config.kind),
            new: Given::of(&config, seal.check_value(), &kind),
            seal: Some(seal),
            kind,
        };
        let event = self.event(Scope::Operator, EventKind::VaultRekeyBegun, caller);
        self.commit(self.change(event.with(FieldName::Detail, in_words(&under_way.kind)))).await?;
        let shown = under_way.shown();
        *rekey = Some(under_way);
        Ok(BegunRekey { shares: shares.into_iter().map(Secret::disclose).collect(), rekey: shown })
    }

    /// How far a rekey is.
    pub async fn rekey(&self, _permit: Permit<SysStatus>) -> RekeyStatus {
        let rekey = self.sealing.rekey.lock().await;
        let rekey = rekey.as_ref().filter(|rekey| rekey.is_done() || rekey.waits(self.now()));
        RekeyStatus { rekey: rekey.map(UnderWay::shown) }
    }

    /// Takes one key, of what opens the vault or of what shall. With the last one that is needed, the vault has another seal and
    /// another root key.
    pub async fn give_rekey_key(&self, id: RekeyId, key: &Secret) -> Result<Rekey> {
        let mut rekey = self.sealing.rekey.lock().await;
        let known = rekey.as_mut().filter(|rekey| rekey.id == id && (rekey.is_done() || rekey.waits(self.now())));
        let under_way = known.ok_or_else(Error::not_found)?;
        let Some(new_check) = under_way.seal.as_ref().map(SealKey::check_value) else { return Ok(under_way.shown()) };
        // The same passphrase may be both.
        let (of_old, of_new) = (under_way.old.give(key).await?, under_way.new.give(key).await?);
        if !of_old && !of_new {
            let detail = "This is neither of what opens the vault now nor of what this rekey has shown.";
            return Err(Error::new(ProblemType::WrongShare, detail));
        }
        let config = self.seal_row().await?.value;
        let agreed = under_way.old.is_enough(&config, config.check)?;
        let kept = under_way.new.is_enough(&config, new_check)?;
        if agreed && kept {
            self.take_seal(under_way).await?;
        }
        Ok(under_way.shown())
    }

    /// What opens the vault stays as it is.
    pub async fn cancel_rekey(&self, caller: &Caller, _permit: Permit<SysRekey>) -> Result<()> {
        let mut rekey = self.sealing.rekey.lock().await;
        if !rekey.as_ref().is_some_and(|rekey| rekey.waits(self.now())) {
            return Err(Error::not_found());
        }
        let event = self.event(Scope::Operator, EventKind::VaultRekeyCancelled, caller);
        self.commit(self.change(event)).await?;
        *rekey = None;
        Ok(())
    }

    /// Another root key; what opens the vault stays as it is.
    pub async fn rotate_root(&self, caller: &Caller, _permit: Permit<SysRekey>) -> Result<()> {
        self.replace_root(self.event(Scope::Operator, EventKind::VaultRootRotated, caller)).await
    }

    /// What opens the vault now, in words.
    pub(crate) async fn opened_by(&self) -> Result<String> {
        Ok(in_words(&self.seal_row().await?.value.kind))
    }

    /// The same, for a reason of the vault's own.
    pub(crate) async fn replace_root(&self, event: Event) -> Result<()> {
        let mut top = self.sealing.top.write().await;
        let kind = self.seal_row().await?.value.kind;
        let revision = self.with_new_root(event, &top, &top.seal, kind).await?;
        top.revision = revision;
        Ok(())
    }

    async fn take_seal(&self, rekey: &mut UnderWay) -> Result<()> {
        let mut top = self.sealing.top.write().await;
        let Some(seal) = rekey.seal.take() else { return Ok(()) };
        let event = self
            .automatic(Scope::Operator, EventKind::VaultRekeyed, ACTOR)
            .with(FieldName::Principal, rekey.begun_by)
            .with(FieldName::Detail, in_words(&rekey.kind));
        match self.with_new_root(event, &top, &seal, rekey.kind.clone()).await {
            Ok(revision) => {
                *top = Top { seal, revision };
                Ok(())
            }
            Err(error) => {
                rekey.seal = Some(seal);
                Err(error)
            }
        }
    }

    /// One commit: everything that the root key wraps under a new one, and that one under the seal key. The revision of the row
    /// that says so.
    async fn with_new_root(&self, event: Event, top: &Top, seal: &SealKey, kind: SealKindConfig) -> Result<u64> {
        let (root, revision) = (RootKey::generate(self.random()), top.revision + 1);
        let vault = self.seal_row().await?.value.vault;
        let config = SealConfig::new(vault, kind, seal, &root, revision, self.random());
        let text = serde_json::to_vec(&config).map_err(Error::internal)?;
        let rewrapped = self.keyring().rewrapped(self.ground().store.as_ref(), &root, self.random()).await?;
        let put = self.sealed().put_plain(&RowId::meta(SEAL_ROW), revision, text)?;
        let change = self.change(event).replace_sealed(put);
        let committed = self.commit(rewrapped.into_iter().fold(change, Change::replace_sealed)).await;
        if let Err(error) = committed {
            // Nobody knows whether it is stored: whoever reads the row does.
            let is_stored = error.problem == ProblemType::OutcomeUnknown && self.seal_row().await?.revision == revision;
            if !is_stored {
                return Err(error);
            }
        }
        self.keyring().take_root(root);
        Ok(revision)
    }

    /// Whether the stored seal is known to be another one than the one that this vault was opened by.
    pub(crate) async fn seal_was_changed(&self) -> Result<bool> {
        // Whoever changes it here waits for its commit, which may wait for whoever asks this.
        let held = self.sealing.top.try_read().ok().map(|top| top.revision);
        Ok(held.is_some() && held != Some(self.seal_row().await?.revision))
    }

    async fn seal_row(&self) -> Result<Versioned<SealConfig>> {
        seal_config(self.sealed()).await?.ok_or_else(|| Error::internal("the seal's row is gone"))
    }
}

fn in_words(kind: &SealKindConfig) -> String {
    match kind {
        SealKindConfig::Shamir { shares, threshold } => format!("{threshold} of {shares} shares"),
        SealKindConfig::Passphrase { .. } => "a passphrase".to_owned(),
        SealKindConfig::Pkcs11 { shares, threshold, .. } => {
            format!("an HSM, and {threshold} of {shares} recovery shares")
        }
    }
}
