//! What the vault does by itself: ends what is over, carries rotations on, removes logins, publishes checkpoints.
//!
//! A timer is a row. Workers look at the rows that are due, so that nothing due is forgotten by a crash, a restart or
//! a seal; what is due first is done first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use claviger_api::{
    AccountId, BreakGlassId, CheckoutId, CustomerId, EmergencyId, KitId, ReviewId, RotationId, Scope, Timestamp,
};
use claviger_store::{Range, RowId, Timer};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::audit::witness::Asked;
use crate::backup::back_up;
use crate::error::Result;
use crate::nodes::Claim;
use crate::open::Open;
use crate::restore::compare;
use crate::scrub::scrub;
use crate::vault::Vault;

/// The longest that something due waits to be noticed.
const TICK: Duration = Duration::from_millis(250);
/// The least between two publications of checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(1);
/// The least between two looks at what policies say of secrets.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// The least between two rounds at systems whose logins are to be listed.
const ROUND_EVERY: Duration = Duration::from_mins(1);
/// The least between two blocks of 256 entries that are indexed: whoever is served comes first. All logs together may grow
/// by 640 entries a second for ever; it takes about a hundredth of a processor.
const INDEX_PAUSE: Duration = Duration::from_millis(400);
/// The least between two looks for entries of the logs that are past their retention.
const ARCHIVE_EVERY: Duration = Duration::from_hours(1);
/// Pieces of work under way at once; each may wait on a customer's system.
const AT_ONCE: usize = 64;

/// What is to be done when a timer is due. The numbers are stored: append only.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// A checkout expires or lapses.
    CheckoutDue = 1,
    /// A rotation goes on.
    RotationDue = 2,
    /// A login that was made for a checkout is removed.
    LoginRemoval = 3,
    /// A principal was suspended or removed: what it holds ends.
    PrincipalGone = 4,
    /// The vault looks after itself.
    DailyLook = 5,
    /// The time of a review is over.
    ReviewDue = 6,
    /// Something is to be done with a broken glass: it is over, its checkouts are to be ended, or its review is late.
    BreakGlassDue = 7,
    /// An emergency rotation goes on.
    EmergencyDue = 8,
    /// A certificate's checkout has ended: the vault tries one of its own that says the same.
    CertificateProof = 9,
    /// Who depends on an account's secret is to be brought up to date.
    FollowUpDue = 11,
    /// A customer is being locked.
    LockDue = 12,
    /// A customer is being offboarded.
    OffboardDue = 13,
    /// The replacement of a customer's key goes on.
    KeyRotationDue = 14,
    /// An emergency kit of a customer is to be made.
    KitDue = 15,
}

/// What is being worked on.
#[derive(Default)]
pub(crate) struct InHand(Mutex<HashSet<(u8, Uuid)>>);

/// Something that is held by whoever does not come by a due timer.
pub(crate) struct Held<'a> {
    _hand: Taken<'a>,
    _claim: Claim,
}

struct Taken<'a> {
    hands: &'a InHand,
    place: (u8, Uuid),
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.hands.0.lock().remove(&self.place);
    }
}

impl InHand {
    fn take(&self, place: (u8, Uuid)) -> Option<Taken<'_>> {
        self.0.lock().insert(place).then(|| Taken { hands: self, place })
    }

    /// Whether nothing is.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// What other nodes know a piece of work by.
fn work_of((kind, id): (u8, Uuid)) -> String {
    format!("timer/{kind}/{id}")
}

impl TimerKind {
    const ALL: [Self; 14] = [
        Self::CheckoutDue,
        Self::RotationDue,
        Self::LoginRemoval,
        Self::PrincipalGone,
        Self::DailyLook,
        Self::ReviewDue,
        Self::BreakGlassDue,
        Self::EmergencyDue,
        Self::CertificateProof,
        Self::FollowUpDue,
        Self::LockDue,
        Self::OffboardDue,
        Self::KeyRotationDue,
        Self::KitDue,
    ];

    /// The timer's row.
    pub(crate) fn row(self, due: Timestamp, customer: CustomerId, id: Uuid) -> RowId {
        RowId::timer(due, Scope::Customer(customer), self as u8, id)
    }

    /// The row of one that is no customer's.
    pub(crate) fn operators_row(self, due: Timestamp, id: Uuid) -> RowId {
        RowId::timer(due, Scope::Operator, self as u8, id)
    }

    fn of(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == tag)
    }

    /// Whether the work may wait on a customer's system.
    fn waits_on_a_system(self) -> bool {
        match self {
            Self::RotationDue | Self::LoginRemoval | Self::CertificateProof | Self::FollowUpDue => true,
            // An emergency rotation has bounds of its own.
            Self::CheckoutDue
            | Self::PrincipalGone
            | Self::DailyLook
            | Self::ReviewDue
            | Self::BreakGlassDue
            | Self::EmergencyDue
            | Self::LockDue
            | Self::OffboardDue
            | Self::KeyRotationDue
            | Self::KitDue => false,
        }
    }
}

/// Works until `stop` says so. While the vault is sealed there is nothing to do; what fell due then is done first.
pub async fn run(vault: Arc<Vault>, mut stop: watch::Receiver<bool>) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let wake = vault.ground().wake.clone();
    let mut checkpoints = tokio::time::interval(CHECKPOINT_EVERY);
    let mut published = std::collections::HashMap::new();
    let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
    let mut look: Option<JoinHandle<()>> = None;
    let mut rounds = tokio::time::interval_at(tokio::time::Instant::now() + ROUND_EVERY, ROUND_EVERY);
    let mut round: Option<JoinHandle<()>> = None;
    let mut indexing: Option<JoinHandle<()>> = None;
    let mut archives = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_EVERY, ARCHIVE_EVERY);
    let mut archiving: Option<JoinHandle<()>> = None;
    let asked = Arc::new(tokio::sync::Mutex::new(Asked::default()));
    let mut asking: Option<JoinHandle<()>> = None;
    let mut scrubbing: Option<JoinHandle<()>> = None;
    let mut backing_up: Option<JoinHandle<()>> = None;
    let mut comparing: Option<JoinHandle<()>> = None;
    loop {
        let woken = wake.notified();
        vault.turn();
        if let Ok(open) = vault.open()
            && let Err(error) = act_on_due(&open, &at_once).await
        {
            tracing::warn!(?error, "timers could not be read");
        }
        if scrubbing.as_ref().is_none_or(JoinHandle::is_finished) && vault.open().is_ok_and(|open| open.scrub_is_due())
        {
            scrubbing = Some(tokio::spawn(scrub_store(vault.clone())));
        }
        if backing_up.as_ref().is_none_or(JoinHandle::is_finished)
            && vault.open().is_ok_and(|open| open.backup_is_due())
        {
            backing_up = Some(tokio::spawn(back_up_store(vault.clone())));
        }
        if comparing.as_ref().is_none_or(JoinHandle::is_finished)
            && vault.open().is_ok_and(|open| open.comparison_is_due())
        {
            comparing = Some(tokio::spawn(compare_store(vault.clone())));
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(TICK) => {}
            _ = checkpoints.tick() => {
                if let Ok(open) = vault.open()
                    && let Err(error) = open.publish_checkpoints(&mut published).await
                {
                    tracing::warn!(?error, "checkpoints could not be published");
                }
                if !vault.ground().witnesses.is_empty() && asking.as_ref().is_none_or(JoinHandle::is_finished) {
                    asking = Some(tokio::spawn(ask_witnesses(vault.clone(), asked.clone())));
                }
                if indexing.as_ref().is_none_or(JoinHandle::is_finished) {
                    indexing = Some(tokio::spawn(index_logs(vault.clone())));
                }
            }
            // One look at a time, however long it waits for systems.
            _ = looks.tick(), if look.as_ref().is_none_or(JoinHandle::is_finished) => {
                look = acting(&vault).map(|open| tokio::spawn(look_after(open)));
            }
            // Beside it: systems that do not answer keep a round waiting, and no secret.
            _ = rounds.tick(), if round.as_ref().is_none_or(JoinHandle::is_finished) => {
                round = acting(&vault).map(|open| tokio::spawn(look_around(open)));
            }
            _ = archives.tick(), if archiving.as_ref().is_none_or(JoinHandle::is_finished) => {
                archiving = Some(tokio::spawn(archive_logs(vault.clone())));
            }
            _ = stop.changed() => {
                [look, round, indexing, asking, archiving, scrubbing, backing_up, comparing].into_iter().flatten().for_each(|work| work.abort());
                // What is kept elsewhere is as new as what is left here.
                if let Ok(open) = vault.open()
                    && let Err(error) = open.publish_checkpoints(&mut published).await
                {
                    tracing::warn!(?error, "checkpoints could not be published at the end");
                }
                return;
            }
        }
    }
}

/// The vault, where it is open and not paused.
fn acting(vault: &Vault) -> Option<Arc<Open>> {
    vault.open().ok().filter(|open| open.paused().is_none())
}

async fn compare_store(vault: Arc<Vault>) {
    let Ok(open) = vault.open() else { return };
    if !open.nodes.keep("compare").await {
        return tokio::time::sleep(TICK).await;
    }
    drop(open);
    if let Err(error) = compare(&vault).await {
        tracing::warn!(?error, "the vault could not be compared with the world to the end; it goes on");
        // A failure that comes back at once must not spin.
        tokio::time::sleep(TICK).await;
    }
}

async fn look_after(open: Arc<Open>) {
    if !open.nodes.keep("look").await {
        return;
    }
    if let Err(error) = open.ask_for_kits_due().await {
        tracing::warn!(?error, "emergency kits that are due could not be asked for; it is looked at again");
    }
    if let Err(error) = open.look_after_secrets().await {
        tracing::warn!(?error, "what policies say of secrets could not be done; it is looked at again");
    }
}

async fn look_around(open: Arc<Open>) {
    if !open.nodes.keep("round").await {
        return;
    }
    open.look_for_logins().await;
}

async fn ask_witnesses(vault: Arc<Vault>, asked: Arc<tokio::sync::Mutex<Asked>>) {
    let Ok(open) = vault.open() else { return };
    let its = open.nodes.keep("witnesses").await;
    drop(open);
    if its && let Err(error) = vault.ask_witnesses(&mut *asked.lock().await).await {
        tracing::warn!(?error, "witnesses could not be asked; they are asked again");
    }
}

async fn back_up_store(vault: Arc<Vault>) {
    let Ok(open) = vault.open() else { return };
    let claim = open.nodes.claim("backup").await;
    drop(open);
    if claim.is_none() {
        return tokio::time::sleep(TICK).await;
    }
    if let Err(error) = back_up(&vault).await {
        tracing::warn!(?error, "a backup was not taken");
        // A failure that comes back at once must not spin.
        tokio::time::sleep(TICK).await;
    }
}

async fn scrub_store(vault: Arc<Vault>) {
    if let Err(error) = scrub(&vault).await {
        tracing::info!(?error, "the check of the store ended before its end");
    }
}

/// Block by block, while the vault is open: no key is held for it in between.
async fn index_logs(vault: Arc<Vault>) {
    while let Ok(open) = vault.open() {
        match open.index_a_block().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(?error, "a log could not be indexed; it is tried again"),
        }
        drop(open);
        tokio::time::sleep(INDEX_PAUSE).await;
    }
}

/// Piece by piece, like the index.
async fn archive_logs(vault: Arc<Vault>) {
    while let Some(open) = acting(&vault) {
        if !open.nodes.keep("archive").await {
            return;
        }
        match open.archive_a_piece().await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(?error, "a log could not be archived; it is tried again"),
        }
        drop(open);
        tokio::time::sleep(INDEX_PAUSE).await;
    }
}

/// Starts everything that is due and not in hand. What waits on a customer's system needs a turn, and is left for later
/// when there is none: what ends a right never stands behind a system that hangs.
pub(crate) async fn act_on_due(open: &Arc<Open>, at_once: &Arc<Semaphore>) -> Result<()> {
    for timer in open.due().await? {
        let Some(hand) = Hand::take(open, &timer) else { continue };
        let turn = at_once.clone().try_acquire_owned().ok();
        if turn.is_none() && TimerKind::of(timer.kind).is_some_and(TimerKind::waits_on_a_system) {
            continue;
        }
        tokio::spawn(async move {
            // Another node has it: it is looked at again.
            let Some(_claim) = hand.open.nodes.claim(&work_of(hand.place)).await else {
                return tokio::time::sleep(TICK).await;
            };
            if let Err(error) = Box::pin(hand.open.act_if_there(timer)).await {
                tracing::warn!(?error, kind = timer.kind, "what was due could not be done; it is tried again");
                // A failure that comes back at once must not spin.
                tokio::time::sleep(TICK).await;
            }
            drop(turn);
        });
    }
    Ok(())
}

/// A piece of work under way; dropped when it is done, or broke.
struct Hand {
    open: Arc<Open>,
    place: (u8, Uuid),
}

impl Hand {
    /// `None` while somebody has it in hand.
    fn take(open: &Arc<Open>, timer: &Timer) -> Option<Self> {
        let place = (timer.kind, timer.id);
        open.in_hand.0.lock().insert(place).then(|| Self { open: open.clone(), place })
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.open.in_hand.0.lock().remove(&self.place);
    }
}

impl Open {
    /// Every timer that is due, the earliest first; none while the vault is paused.
    pub(crate) async fn due(&self) -> Result<Vec<Timer>> {
        if self.paused().is_some() {
            return Ok(Vec::new());
        }
        self.timers(Range::timers_due(self.now())).await
    }

    /// Since when the first of the timers that are due has waited; nothing where none is due.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn due_since(&self) -> Result<Option<Timestamp>> {
        Ok(self.due().await?.first().map(|timer| timer.due))
    }

    /// Every timer of a range, in order. Those of locked customers wait.
    pub(crate) async fn timers(&self, mut range: Range) -> Result<Vec<Timer>> {
        let mut timers = Vec::new();
        loop {
            let rows = self.ground().store.scan(&range).await?;
            let found = rows.iter().filter_map(|(key, _)| RowId::from_key(key).ok()?.as_timer());
            timers.extend(found.filter(|timer| self.keyring().holds(timer.scope)));
            match rows.last() {
                Some((last, _)) if rows.len() == range.limit => range = range.after(last),
                Some(_) | None => return Ok(timers),
            }
        }
    }

    /// Holds something that nobody has in hand, here or on another node, so that no worker takes it up.
    pub(crate) async fn hold(&self, kind: TimerKind, id: Uuid) -> Option<Held<'_>> {
        let place = (kind as u8, id);
        let hand = self.in_hand.take(place)?;
        let claim = self.nodes.claim(&work_of(place)).await?;
        Some(Held { _hand: hand, _claim: claim })
    }

    /// Does what a due timer is for, unless another node has done it before this one took it in hand.
    async fn act_if_there(&self, timer: Timer) -> Result<()> {
        let among_others = self.nodes.member().is_some();
        if among_others && self.ground().store.get(&timer.row().to_key()).await?.is_none() {
            return Ok(());
        }
        Box::pin(self.act(timer)).await
    }

    /// Does what a due timer is for.
    #[tracing::instrument(target = "traces", name = "due", skip_all, fields(kind = timer.kind))]
    pub(crate) async fn act(&self, timer: Timer) -> Result<()> {
        let Some(kind) = TimerKind::of(timer.kind) else { return Ok(()) };
        match (kind, timer.scope) {
            (TimerKind::CheckoutDue, Scope::Customer(customer)) => {
                self.expire(customer, CheckoutId::from_uuid(timer.id)).await
            }
            (TimerKind::RotationDue, Scope::Customer(customer)) => {
                self.drive(customer, RotationId::from_uuid(timer.id)).await
            }
            (TimerKind::LoginRemoval, Scope::Customer(customer)) => {
                self.remove_login(customer, CheckoutId::from_uuid(timer.id), timer.due).await
            }
            (TimerKind::CertificateProof, Scope::Customer(customer)) => {
                self.prove_certificates(customer, CheckoutId::from_uuid(timer.id), timer.due).await
            }
            (TimerKind::FollowUpDue, Scope::Customer(customer)) => {
                self.follow_up(customer, AccountId::from_uuid(timer.id)).await
            }
            (TimerKind::ReviewDue, Scope::Customer(customer)) => {
                self.review_due(customer, ReviewId::from_uuid(timer.id)).await
            }
            (TimerKind::BreakGlassDue, Scope::Customer(customer)) => {
                self.break_glass_due(customer, BreakGlassId::from_uuid(timer.id)).await
            }
            (TimerKind::EmergencyDue, Scope::Customer(customer)) => {
                self.emergency_due(customer, EmergencyId::from_uuid(timer.id)).await
            }
            (TimerKind::LockDue, Scope::Customer(customer)) => self.lock_due(customer).await,
            (TimerKind::KeyRotationDue, Scope::Customer(customer)) => self.key_rotation_due(customer).await,
            (TimerKind::KitDue, Scope::Customer(customer)) => self.kit_due(customer, KitId::from_uuid(timer.id)).await,
            (TimerKind::OffboardDue, Scope::Operator) => self.offboard_due(CustomerId::from_uuid(timer.id)).await,
            (TimerKind::PrincipalGone, Scope::Operator) => self.cut(&timer).await,
            (TimerKind::DailyLook, Scope::Operator) => self.look_daily(&timer).await,
            (
                TimerKind::CheckoutDue
                | TimerKind::RotationDue
                | TimerKind::LoginRemoval
                | TimerKind::CertificateProof
                | TimerKind::FollowUpDue
                | TimerKind::LockDue
                | TimerKind::KeyRotationDue
                | TimerKind::KitDue
                | TimerKind::ReviewDue
                | TimerKind::BreakGlassDue
                | TimerKind::EmergencyDue,
                Scope::Operator,
            )
            | (TimerKind::PrincipalGone | TimerKind::DailyLook | TimerKind::OffboardDue, Scope::Customer(_)) => Ok(()),
        }
    }
}
