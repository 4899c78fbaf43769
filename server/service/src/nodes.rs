//! One node among several on one store.
//!
//! What a node keeps in memory is true only as far as it hears what others write. So a node that works on a store that others
//! work on too asks every [`EVERY`] what is new, and drops what it kept of it; and while it has heard nothing for
//! [`SILENT_MOST`], or its clock is further than [`DRIFT_MOST`] from the store's, it lets nobody in and changes nothing. One that
//! was silent for so long that its membership is over takes up its work with nothing in memory but the keys (`Vault::rejoin`).
//! Which cache stays true by what is said in `docs/adr/0049-nodes.md`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use claviger_api::{CustomerId, PrincipalId, Scope, Timestamp};
use claviger_store::{Member, Purpose, RowId, SealedError, StoreKey, Table, customers_with_keys, key_row_of};
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::CustomerRecord;
use crate::restore::is_pause_row;
use crate::seal::is_seal_row;
use crate::vault::Vault;

/// How often it is asked what is new.
const EVERY: Duration = Duration::from_millis(200);
/// A node that has heard nothing for so long refuses.
const SILENT_MOST: Duration = Duration::from_secs(1);
/// How long whoever asks such a node waits for it to hear something.
const WAIT_MOST: Duration = Duration::from_millis(500);
/// How far a node's clock may be from the store's.
const DRIFT_MOST: SignedDuration = SignedDuration::from_secs(1);

/// This node among the others; nothing where a store is its own.
pub(crate) struct Nodes(Option<Among>);

pub(crate) struct Among {
    member: Arc<dyn Member>,
    begun: Instant,
    /// When it was asked last what is new, of what has been taken in: milliseconds since it began.
    heard: AtomicU64,
    adrift: AtomicBool,
    /// What was heard, and is not taken in yet.
    pending: Mutex<Vec<StoreKey>>,
    again: Notify,
}

/// A piece of work that no other node does meanwhile; given back when it is dropped.
pub(crate) struct Claim {
    member: Option<Arc<dyn Member>>,
    work: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(member) = self.member.take() else { return };
        let work = std::mem::take(&mut self.work);
        // Without a runtime the process ends, and the claim with its membership.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = member.release(&work).await {
                tracing::debug!(%error, work, "a claim could not be given back; it ends with the membership");
            }
        });
    }
}

impl Nodes {
    pub fn of(member: Option<Arc<dyn Member>>) -> Self {
        let among = |member| Among {
            member,
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            adrift: AtomicBool::new(false),
            pending: Mutex::default(),
            again: Notify::new(),
        };
        Self(member.map(among))
    }

    /// The membership, where there are others.
    pub fn member(&self) -> Option<&Arc<dyn Member>> {
        self.0.as_ref().map(|among| &among.member)
    }

    /// Whether what is in memory is as it should be, just now.
    pub fn are_heard(&self) -> bool {
        self.0.as_ref().is_none_or(|among| among.refusal().is_none())
    }

    /// Refuses while what is in memory may be older than a second, or the clock is another one's.
    ///
    /// # Errors
    ///
    /// The store was not heard of, or the clocks differ.
    pub async fn heard(&self) -> Result<()> {
        let Some(among) = &self.0 else { return Ok(()) };
        if among.refusal().is_none() {
            return Ok(());
        }
        let waited = timeout(WAIT_MOST, async {
            loop {
                let again = among.again.notified();
                if among.refusal().is_none() {
                    return;
                }
                again.await;
            }
        });
        // Whether in time or not is asked of the state alone.
        let _ = waited.await;
        among.refusal().map_or(Ok(()), Err)
    }

    /// Takes a piece of work; `None` while another node has it, or nobody can say.
    pub async fn claim(&self, work: &str) -> Option<Claim> {
        let Some(member) = self.member() else { return Some(Claim { member: None, work: String::new() }) };
        match member.claim(work).await {
            Ok(true) => Some(Claim { member: Some(member.clone()), work: work.to_owned() }),
            Ok(false) => None,
            Err(error) => {
                tracing::debug!(%error, work, "a piece of work could not be claimed; it is tried again");
                None
            }
        }
    }

    /// Whether a piece of work is this node's, from now on until it goes: what one of them does for all.
    pub async fn keep(&self, work: &str) -> bool {
        let Some(member) = self.member() else { return true };
        member.claim(work).await.unwrap_or_else(|error| {
            tracing::debug!(%error, work, "a piece of work could not be claimed; it is tried again");
            false
        })
    }

    /// Takes a piece of work as soon as whoever has it is done.
    ///
    /// # Errors
    ///
    /// Another node does not get done with it.
    pub async fn claim_soon(&self, work: &str, within: Duration) -> Result<Claim> {
        let begun = Instant::now();
        loop {
            if let Some(claim) = self.claim(work).await {
                return Ok(claim);
            }
            if begun.elapsed() > within {
                let detail = "Another node is at the same work; try again later.";
                return Err(Error::unavailable(detail, format_args!("{work} is claimed")));
            }
            tokio::time::sleep(EVERY / 4).await;
        }
    }
}

impl Among {
    fn refusal(&self) -> Option<Error> {
        let heard = Duration::from_millis(self.heard.load(Ordering::SeqCst));
        if self.begun.elapsed().saturating_sub(heard) > SILENT_MOST {
            let detail =
                "This node has not heard from its database for a second; try again later, or ask another node.";
            return Some(Error::unavailable(detail, "the database is silent"));
        }
        if self.adrift.load(Ordering::SeqCst) {
            let detail =
                "The clocks of this node and of its database differ by more than a second: set both by a time server.";
            return Some(Error::unavailable(detail, "the clocks differ"));
        }
        None
    }

    /// All that was committed before `asked` has been taken in.
    fn has_heard(&self, asked: Instant, adrift: bool) {
        let heard = asked.saturating_duration_since(self.begun).as_millis();
        self.adrift.store(adrift, Ordering::SeqCst);
        self.heard.fetch_max(u64::try_from(heard).unwrap_or(0), Ordering::SeqCst);
        self.again.notify_waiters();
    }
}

/// Follows what other nodes write, until `stop` says so.
pub async fn run(vault: Arc<Vault>, mut stop: watch::Receiver<bool>) {
    let mut member: Option<Arc<dyn Member>> = None;
    loop {
        let open = vault.open().ok();
        match &open {
            Some(open) => {
                follow(&vault, open).await;
                member = vault.open().ok().and_then(|open| open.nodes.member().cloned());
            }
            // It was sealed: what it had claimed is for others.
            None => leave(member.take()).await,
        }
        drop(open);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => return leave(member.take()).await,
        }
    }
}

async fn leave(member: Option<Arc<dyn Member>>) {
    if let Some(member) = member
        && let Err(error) = member.leave().await
    {
        tracing::debug!(%error, "the membership could not be given up; it ends by itself");
    }
}

/// Takes in what is new.
async fn follow(vault: &Vault, open: &Arc<Open>) {
    match open.hear().await {
        Ok(Standing::InStep) => {}
        Ok(Standing::Sealed(why)) => {
            vault.seal_itself(open, why);
        }
        Ok(Standing::Over) => {
            tracing::warn!("this node was not heard of for too long; it joins again");
            if let Err(error) = vault.rejoin(open).await {
                tracing::error!(?error, "this node could not join again; it is tried again");
            }
        }
        Err(error) => tracing::warn!(?error, "the database is not heard of"),
    }
}

/// How a node stands, by what it has heard.
pub(crate) enum Standing {
    /// It knows what there is to know.
    InStep,
    /// It may hold its keys no longer.
    Sealed(WhySealed),
    /// Its membership is over.
    Over,
}

/// Why a node may hold its keys no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhySealed {
    /// Somebody has sealed the vault on another node.
    Sealed,
    /// What opens the vault, or its root key, was changed on another node.
    Rekeyed,
    /// Others have written what it will never hear of: that the vault was sealed may be among it.
    Deaf,
}

impl WhySealed {
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Sealed => "the vault was sealed on another node",
            Self::Rekeyed => "what opens the vault was changed on another node",
            Self::Deaf => "others have written what it will never hear of",
        }
    }
}

impl Open {
    /// Asks what is new, and takes it in.
    pub(crate) async fn hear(&self) -> Result<Standing> {
        let Nodes(Some(among)) = &self.nodes else { return Ok(Standing::InStep) };
        let (asked, before) = (Instant::now(), self.now());
        let heard = among.member.hear().await?;
        let Some(news) = heard.news else {
            return Ok(Standing::Sealed(WhySealed::Deaf));
        };
        if news.iter().filter_map(|key| RowId::from_key(key).ok()).any(|row| is_seal_row(&row)) {
            // A seal leaves the row as it is.
            let changed = self.seal_was_changed().await?;
            return Ok(Standing::Sealed(if changed { WhySealed::Rekeyed } else { WhySealed::Sealed }));
        }
        if !heard.member {
            return Ok(Standing::Over);
        }
        let drift = |than: Timestamp| {
            Timestamp::from_microsecond(heard.at_microseconds).map_or(SignedDuration::MAX, |at| at.duration_since(than))
        };
        let adrift = drift(before) < -DRIFT_MOST || drift(self.now()) > DRIFT_MOST;
        among.pending.lock().extend(news);
        self.take_in(among).await?;
        among.has_heard(asked, adrift);
        Ok(Standing::InStep)
    }

    /// Hears what is new again and again, while something else is done before anybody is let in.
    pub(crate) async fn keep_hearing(&self) -> Infallible {
        loop {
            if self.nodes.0.is_none() {
                std::future::pending::<()>().await;
            }
            if let Err(error) = self.hear().await {
                tracing::warn!(?error, "the database is not heard of");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Holds the keys that are the vault's by now; whoever was away, or has only just joined, has not heard of some. False where the
    /// root key that is held is not the vault's any more.
    pub(crate) async fn hold_all_keys(&self) -> Result<bool> {
        let store = self.ground().store.as_ref();
        if !self.keyring().is_under_root(store).await? {
            return Ok(false);
        }
        let mut customers = customers_with_keys(store).await?;
        customers.extend(self.keyring().customers());
        for customer in customers {
            self.hold_key_of(customer).await?;
        }
        Ok(true)
    }

    /// Holds a customer's key as the store has it by now: not at all, where it has none, or the customer is locked.
    pub(crate) async fn hold_key_of(&self, customer: CustomerId) -> Result<()> {
        let _one_at_a_time = self.locking.lock().await;
        let row = self.read::<CustomerRecord>(&RowId::customer(customer)).await?;
        if row.and_then(|row| row.value.lock).is_some_and(|lock| lock.locked_at.is_some()) {
            self.drop_key(customer);
            return Ok(());
        }
        match self.keyring().unlock_customer(self.ground().store.as_ref(), customer).await {
            Err(SealedError::Missing(_)) => {
                self.drop_key(customer);
                Ok(())
            }
            held => Ok(held?),
        }
    }

    /// Drops or reads anew whatever is kept of the rows that others have written.
    async fn take_in(&self, among: &Among) -> Result<()> {
        let rows: Vec<RowId> = among.pending.lock().iter().filter_map(|key| RowId::from_key(key).ok()).collect();
        let mut customers: Vec<CustomerId> = Vec::new();
        for row in &rows {
            (self.watch)(row);
            if is_pause_row(row) {
                self.load_pause().await?;
            }
            match (row.table(), row.scope()) {
                (Table::Keys, scope) => match (keys_owner(row), scope) {
                    (Some((purpose, person)), _) if purpose == Purpose::Subject.tag() => {
                        self.forget_subject(scope, PrincipalId::from_uuid(person));
                    }
                    (Some(_) | None, _) => customers.extend(key_row_of(row)),
                },
                (Table::Customers, Scope::Customer(customer)) => customers.push(customer),
                (Table::LogIndex, scope) => drop(self.indexed.lock().remove(&scope)),
                (_, _) => {}
            }
        }
        customers.sort_unstable();
        customers.dedup();
        for customer in customers {
            self.hold_key_of(customer).await?;
        }
        // Nobody else puts any in.
        among.pending.lock().clear();
        Ok(())
    }
}

/// What a wrapped key is for, and whose it is.
fn keys_owner(row: &RowId) -> Option<(u8, Uuid)> {
    let (purpose, id) = row.id().split_first()?;
    Some((*purpose, Uuid::from_slice(id).ok()?))
}
