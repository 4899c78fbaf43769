//! The vault: sealed, it can do nothing but be unsealed; open, it is [`Open`], on which every use case works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AUDIT_RETENTION_DAYS_DEFAULT, SESSION_MOST_SECONDS, SUSPEND_UNUSED_DAYS_DEFAULT};
use claviger_connectors::{Dial, Registry};
use claviger_core::policy::Policies;
use claviger_crypto::Random;
use claviger_crypto::passkey::RelyingParty;
use claviger_store::{Keyring, Sealed, Store};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::audit::anchor::Anchor;
use crate::audit::stream::Stream;
use crate::audit::witness::Witness;
use crate::backup::Backups;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::escrow::Escrow;
use crate::kit::Kits;
use crate::nodes::{Standing, WhySealed};
use crate::open::Open;
use crate::seal::rekey::Sealing;
use crate::seal::{Device, Progress};
use crate::shelf::Shelf;

/// How long a node that opens waits for another one that does.
const UNSEAL_WITHIN: Duration = Duration::from_secs(10);

/// What a vault stands on.
#[derive(Clone)]
pub struct Ground {
    /// Where it keeps its rows.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where keys, ids and salts come from.
    pub random: Arc<dyn Random>,
    /// How it reaches customers' systems.
    pub connectors: Arc<Registry>,
    /// How it reaches issuers of tokens.
    pub dial: Arc<dyn Dial>,
    /// Who may do what.
    pub policies: Arc<Policies>,
    /// Wakes the workers when something is due at once.
    pub wake: Arc<Notify>,
    /// Where checkpoints are kept outside of the store.
    pub anchors: Vec<Arc<dyn Anchor>>,
    /// Where the oldest entries of the logs go; without such a place they stay in the store.
    pub archives: Option<Arc<dyn Shelf>>,
    /// Who is told of the logs.
    pub streams: Vec<Arc<Stream>>,
    /// Who follows the logs, and cosigns them.
    pub witnesses: Vec<Arc<dyn Witness>>,
    /// Where backups go, and for whom they are.
    pub backups: Option<Arc<Backups>>,
    /// Where each secret is written too, before it is stored here.
    pub escrow: Option<Arc<Escrow>>,
    /// Where emergency kits go, and who of the MSP's people holds a share of each.
    pub kits: Option<Arc<Kits>>,
    /// The HSM that may seal the vault.
    pub hsm: Option<Arc<Device>>,
    /// What the operator can set.
    pub settings: Settings,
}

/// What the operator can set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who issues access tokens and signs checkpoints, e.g. `vault.msp.example`.
    pub name: String,
    /// The site that passkeys are bound to; without one there are no passkeys.
    pub site: Option<Arc<RelyingParty>>,
    /// The longest life of a user's session, at most [`SESSION_MOST_SECONDS`].
    pub session_most_seconds: u64,
    /// After so many days without use a user or service account is suspended; never when absent.
    pub suspend_unused_after_days: Option<u32>,
    /// How long entries of the logs stay in the store, at least.
    pub audit_retention_days: u32,
}

impl Settings {
    /// The defaults, under this name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            site: None,
            session_most_seconds: SESSION_MOST_SECONDS,
            suspend_unused_after_days: Some(SUSPEND_UNUSED_DAYS_DEFAULT),
            audit_retention_days: AUDIT_RETENTION_DAYS_DEFAULT,
        }
    }
}

/// A vault in whatever state it is.
pub struct Vault {
    ground: Ground,
    state: RwLock<State>,
    /// How often the workers have looked for what is due.
    turns: AtomicU64,
    /// Whether it was sealed on purpose, or may have been: then no HSM opens it by itself.
    kept_sealed: AtomicBool,
    /// One init or unseal at a time.
    pub(crate) sealing: tokio::sync::Mutex<Progress>,
}

enum State {
    Sealed,
    Open(Arc<Open>),
}

impl Vault {
    /// A sealed vault.
    pub fn new(ground: Ground) -> Self {
        Self {
            ground,
            state: RwLock::new(State::Sealed),
            turns: AtomicU64::new(0),
            kept_sealed: AtomicBool::new(false),
            sealing: tokio::sync::Mutex::default(),
        }
    }

    /// The open vault; refused while it is sealed.
    pub fn open(&self) -> Result<Arc<Open>> {
        match &*self.state.read() {
            State::Open(open) => Ok(open.clone()),
            State::Sealed => Err(Error::new(ProblemType::Sealed, "")),
        }
    }

    /// What it stands on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// How often the workers have looked for what is due since the start, sealed or not: a number that stands still is that of
    /// workers that do.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The workers look once more.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the keys in, and serves once the event that says so is durable. A store that is older than an anchor is opened
    /// only for a reason.
    pub(crate) async fn open_with(
        &self,
        keyring: Keyring,
        sealing: Sealing,
        accept_rollback: Option<&str>,
        by: &str,
    ) -> Result<()> {
        let open = Arc::new(Open::new(self.ground.clone(), Arc::new(keyring), Arc::new(sealing)).await?);
        let opened = async {
            open.hold_against_anchors(accept_rollback).await?;
            let _alone = open.nodes.claim_soon("unseal", UNSEAL_WITHIN).await?;
            // What others have added since the keys were read, and before this node began to hear of it.
            if open.nodes.member().is_some() && !open.hold_all_keys().await? {
                return Err(Error::unavailable(
                    "What opens the vault was changed meanwhile: unseal it again.",
                    "another root key",
                ));
            }
            let event = open.automatic(Scope::Operator, EventKind::VaultUnsealed, "system/unseal");
            let event = event.with(FieldName::Detail, by);
            let change = open.tell_restored(open.change(event)).await?;
            open.commit(open.with_daily_look(change).await?).await
        };
        tokio::select! {
            biased;
            opened = opened => drop(opened?),
            never = open.keep_hearing() => match never {},
        }
        self.kept_sealed.store(false, Ordering::Relaxed);
        *self.state.write() = State::Open(open);
        self.ground.wake.notify_waiters();
        Ok(())
    }

    /// From now on no HSM opens it by itself.
    pub(crate) fn keep_sealed(&self) {
        self.kept_sealed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_kept_sealed(&self) -> bool {
        self.kept_sealed.load(Ordering::Relaxed)
    }

    /// Forgets the keys: they are wiped when the calls under way have ended.
    pub(crate) fn close(&self) {
        *self.state.write() = State::Sealed;
    }

    /// The same, if it is still open as it was.
    pub(crate) fn close_if(&self, open: &Arc<Open>) {
        let mut state = self.state.write();
        if matches!(&*state, State::Open(now) if Arc::ptr_eq(now, open)) {
            *state = State::Sealed;
        }
    }

    /// Does as another node did. Its HSM opens it again, unless that was a seal.
    pub(crate) fn seal_itself(&self, open: &Arc<Open>, why: WhySealed) {
        tracing::warn!(why = why.in_words(), "this node seals itself");
        if why != WhySealed::Rekeyed {
            self.keep_sealed();
        }
        self.close_if(open);
    }

    /// Takes up work as another member of those who work on the store, where the membership is over: nothing that was in memory
    /// counts but the keys, and those only if nobody has sealed the vault or changed its root key meanwhile.
    pub(crate) async fn rejoin(&self, before: &Arc<Open>) -> Result<()> {
        let open = Arc::new(before.anew(self.ground.clone()).await?);
        // From here on it hears for itself; what was said until now the one before still hears.
        if let Standing::Sealed(why) = before.hear().await? {
            self.seal_itself(before, why);
            return Ok(());
        }
        let against = open.contradiction().await?;
        if against.is_some() || !open.hold_all_keys().await? {
            tracing::error!(?against, "the store is not the one that this node has worked on; it seals itself");
            if against.is_some() {
                self.keep_sealed();
            }
            self.close_if(before);
            return Ok(());
        }
        let mut state = self.state.write();
        if matches!(&*state, State::Open(now) if Arc::ptr_eq(now, before)) {
            *state = State::Open(open);
        }
        drop(state);
        self.ground.wake.notify_waiters();
        Ok(())
    }

    pub(crate) fn sealed_store(&self) -> Sealed {
        Sealed::new(self.ground.store.clone())
    }
}
