//! The open vault: reads, commits and decisions, for the use cases to work with.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{FRESH_FACTOR_SECONDS, PrincipalKind};
use claviger_api::{CustomerId, PrincipalId, RequestId, Scope, SessionId, Timestamp, UserName};
use claviger_core::policy::{Act, Circumstances, Compiled, Condition, Denied, Permit, Resource, Subject, authorize};
use claviger_crypto::{Random, SubjectKey};
use claviger_store::{
    Keyring, Range, Record, Row, RowId, Sealed, SealedBy, SealedError, SealedPut, StoreKey, Versioned, WrappedKey,
    open_record,
};
use jiff::SignedDuration;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::clock::new_uuid;
use crate::error::{Error, Result, of_condition};
use crate::event::Event;
use crate::idempotency::Once;
use crate::identity::Identities;
use crate::inventory::Places;
use crate::journal::{Change, Committed, Journal, Prepared, Watch};
use crate::kept::Kept;
use crate::nodes::Nodes;
use crate::refusals::Told;
use crate::seal::rekey::Sealing;
use crate::seal::{LOG_KEY, TOKEN_KEY};
use crate::upkeep::Seen;
use crate::vault::Ground;

/// Subjects' keys kept at hand.
const SUBJECT_KEYS_KEPT: usize = 4096;
/// How often a decision that lost against another is made again.
const DECISIONS_MOST: u32 = 16;

/// From here on a status says that the server failed, not that it refused (RFC 9110).
const SERVER_FAILED: u16 = 500;

/// A kind of record that one read gives out.
pub trait Kind: Record + Clone + Send + Sync + 'static {}

impl<T: Record + Clone + Send + Sync + 'static> Kind for T {}

/// An unsealed vault.
pub struct Open {
    ground: Ground,
    sealed: Sealed,
    keyring: Arc<Keyring>,
    journal: Journal,
    subjects: Cache<(Scope, PrincipalId), Arc<SubjectKey>>,
    kept: Kept,
    /// Drops what is kept of a row that was written.
    pub(crate) watch: Watch,
    /// The others who work on the store.
    pub(crate) nodes: Nodes,
    /// Sessions, principals and token keys.
    pub(crate) identities: Arc<Identities>,
    /// Where things are, by id.
    pub(crate) places: Arc<Places>,
    /// What wraps the root key, and how that is being changed.
    pub(crate) sealing: Arc<Sealing>,
    /// Of which refusals the log tells already.
    pub(crate) told: Told,
    /// How many secrets were set by hand of late.
    pub(crate) sets: crate::reuse::Sets,
    /// What workers have in hand.
    pub(crate) in_hand: crate::workers::InHand,
    /// The newest checkpoint of each log that witnesses have cosigned, with their lines.
    pub(crate) cosigned: Mutex<HashMap<Scope, String>>,
    /// One at a time takes a customer's key into memory or drops it.
    pub(crate) locking: tokio::sync::Mutex<()>,
    /// One at a time writes an index or takes words out of it.
    pub(crate) indexing: tokio::sync::Mutex<()>,
    /// How many blocks of each log are indexed.
    pub(crate) indexed: Mutex<HashMap<Scope, u64>>,
    /// What was read from an archive last.
    pub(crate) archived_block: Mutex<Option<crate::audit::archive::ReadBlock>>,
    /// How far checkpoints have come.
    pub(crate) published: Mutex<crate::audit::publish::Published>,
    /// What the last look at all accounts saw.
    pub(crate) seen_in_upkeep: Mutex<Option<Seen>>,
    /// What the last look at all customers' kits saw.
    pub(crate) kits_seen: Mutex<Option<crate::kit::KitsSeen>>,
    /// What is known of backups.
    pub(crate) backing_up: Arc<crate::backup::BackingUp>,
    /// What is known of checks of the whole store.
    pub(crate) scrubs: Arc<crate::scrub::Scrubs>,
    /// Whether the vault was restored and acts on no system yet.
    pub(crate) pause: crate::restore::Pause,
    /// Signs checkpoints.
    pub(crate) log_key: claviger_crypto::SigningKey,
}

/// Who asks: an authenticated principal, in a session, by a request.
#[derive(Clone)]
pub struct Caller {
    /// Who.
    pub id: PrincipalId,
    /// A person or a program.
    pub kind: PrincipalKind,
    /// What it is called.
    pub name: UserName,
    /// The customer whose own user this is.
    pub customer: Option<CustomerId>,
    /// The session.
    pub session: SessionId,
    /// When the session ends.
    pub session_expires_at: Timestamp,
    /// When a second factor was last proven in this session; none for programs, and for a user who has none yet.
    pub second_factor_at: Option<Timestamp>,
    /// The address that the request came from.
    pub source: Option<IpAddr>,
    /// The request.
    pub request: RequestId,
    /// What it may do.
    pub(crate) powers: Arc<Powers>,
}

/// A principal's grants, ready for decisions.
pub struct Powers {
    /// The grants.
    pub(crate) grants: Vec<claviger_core::policy::Grant>,
    /// The same, linked.
    pub(crate) compiled: Compiled,
}

impl Caller {
    /// The caller, for the policy.
    pub fn subject(&self) -> Subject {
        Subject { id: self.id, kind: self.kind, customer: self.customer }
    }

    /// What the policy may know of the request.
    pub fn circumstances(&self, now: Timestamp) -> Circumstances<'static> {
        Circumstances { source: self.source, second_factor_at: self.second_factor_at, ..Circumstances::at(now) }
    }

    /// Whether this is a user without a second factor, who may do nothing but enrol one.
    pub fn may_only_enrol(&self) -> bool {
        match self.kind {
            PrincipalKind::User => self.second_factor_at.is_none(),
            PrincipalKind::ServiceAccount => false,
        }
    }

    /// Refuses such a user.
    pub fn must_have_second_factor(&self) -> Result<()> {
        if self.may_only_enrol() { Err(Error::new(ProblemType::SecondFactorNeeded, "")) } else { Ok(()) }
    }

    /// Whether a second factor was proven within the last five minutes. Never true of a program.
    pub fn has_fresh_factor(&self, now: Timestamp) -> bool {
        let most = SignedDuration::from_secs(i64::try_from(FRESH_FACTOR_SECONDS).unwrap_or(0));
        self.second_factor_at.is_some_and(|proven| now.duration_since(proven) < most)
    }
}

impl Open {
    /// The same vault with nothing in memory but its keys, as another member of those who work on the store.
    pub(crate) async fn anew(&self, ground: Ground) -> Result<Self> {
        let anew = Self::new(ground, self.keyring.clone(), self.sealing.clone()).await?;
        anew.load_pause().await?;
        Ok(Self { backing_up: self.backing_up.clone(), scrubs: self.scrubs.clone(), ..anew })
    }

    /// Joins those who work on the store, starts the journal and loads the signing keys.
    pub(crate) async fn new(mut ground: Ground, keyring: Arc<Keyring>, sealing: Arc<Sealing>) -> Result<Self> {
        let member = ground.store.join().await?;
        if let Some(member) = &member {
            ground.store = member.clone();
        }
        let sealed = Sealed::new(ground.store.clone());
        let store = ground.store.as_ref();
        let token_key = keyring.signing(store, TOKEN_KEY).await?;
        let identities = Arc::new(Identities::new(&token_key, &ground.settings.name, ground.random.as_ref())?);
        let log_key = keyring.signing(store, LOG_KEY).await?.expanded();
        let places = Arc::new(Places::new());
        let kept = (identities.clone(), places.clone());
        let watch: Watch = Arc::new(move |row: &RowId| {
            kept.0.written(row);
            kept.1.written(row);
        });
        let (store, random) = (ground.store.clone(), ground.random.clone());
        let journal = Journal::watched(store, keyring.clone(), random, watch.clone(), member.clone())
            .map_err(|error| Error::unavailable("The vault could not start its journal.", error))?;
        Ok(Self {
            ground,
            sealed,
            keyring,
            journal,
            subjects: Cache::new(SUBJECT_KEYS_KEPT),
            kept: Kept::new(),
            watch,
            nodes: Nodes::of(member),
            identities,
            places,
            sealing,
            told: Told::default(),
            sets: crate::reuse::Sets::default(),
            in_hand: crate::workers::InHand::default(),
            cosigned: Mutex::default(),
            locking: tokio::sync::Mutex::default(),
            indexing: tokio::sync::Mutex::default(),
            indexed: Mutex::default(),
            archived_block: Mutex::default(),
            published: Mutex::default(),
            seen_in_upkeep: Mutex::default(),
            kits_seen: Mutex::default(),
            backing_up: Arc::default(),
            scrubs: Arc::default(),
            pause: crate::restore::Pause::default(),
            log_key,
        })
    }

    /// What the vault stands on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.ground.clock.now()
    }

    /// A new id.
    pub(crate) fn new_uuid(&self) -> Uuid {
        new_uuid(self.now(), self.random())
    }

    pub(crate) fn random(&self) -> &dyn Random {
        self.ground.random.as_ref()
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// Decides whether the caller may do this there. Nothing else makes a permit.
    pub async fn permit<A: Act>(&self, caller: &Caller, resource: &Resource) -> Result<Permit<A>> {
        self.permit_around(caller, resource, &caller.circumstances(self.now())).await
    }

    /// The same, where more is known of the circumstances: the ticket, the length of a checkout.
    pub async fn permit_around<A: Act>(
        &self,
        caller: &Caller,
        resource: &Resource,
        around: &Circumstances<'_>,
    ) -> Result<Permit<A>> {
        let decided = self.decide_around(caller, resource, around).await;
        if let Err(refusal) = &decided {
            self.tell_refusal(caller, A::ACTION, resource, around.ticket, refusal).await;
        }
        decided
    }

    /// The decision alone, for whoever goes on to ask in another way, or for many things at once: a refusal is not told in
    /// the log.
    pub async fn permit_untold<A: Act>(&self, caller: &Caller, resource: &Resource) -> Result<Permit<A>> {
        self.decide_around(caller, resource, &caller.circumstances(self.now())).await
    }

    #[tracing::instrument(target = "traces", name = "authorize", skip_all)]
    async fn decide_around<A: Act>(
        &self,
        caller: &Caller,
        resource: &Resource,
        around: &Circumstances<'_>,
    ) -> Result<Permit<A>> {
        let mark = if A::ACTION.asks_for_mark() { self.mark_of(resource).await? } else { around.mark };
        let customer = resource.customer().filter(|_| A::ACTION.heeds_limits());
        let limits = match customer {
            Some(customer) => Some(self.limits_of(customer).await?),
            None => None,
        };
        self.decide(caller, resource, &Circumstances { mark, limits: limits.as_deref(), ..*around })
    }

    /// Whether the caller may look, for the rows of a list. Nothing but time bears on that.
    pub fn may_see<A: Act>(&self, caller: &Caller, resource: &Resource) -> bool {
        A::ACTION.is_free() && self.decide::<A>(caller, resource, &caller.circumstances(self.now())).is_ok()
    }

    /// The decision, where all that bears on it is known.
    pub(crate) fn decide<A: Act>(
        &self,
        caller: &Caller,
        resource: &Resource,
        around: &Circumstances<'_>,
    ) -> Result<Permit<A>> {
        caller.must_have_second_factor()?;
        authorize(&self.ground.policies, &caller.powers.compiled, &caller.subject(), resource, around).map_err(
            |denied| {
                let Denied::Limited(condition) = denied else { return refused(caller, denied) };
                limited(condition, around)
            },
        )
    }

    /// A record, if it is there.
    pub(crate) async fn read<T: Kind>(&self, id: &RowId) -> Result<Option<Versioned<T>>> {
        let Some(Versioned { id, revision, value }) = self.shared::<T>(id).await? else { return Ok(None) };
        Ok(Some(Versioned { id, revision, value: Arc::unwrap_or_clone(value) }))
    }

    /// A record, if it is there, to be read alone: it may be the very one that is kept at hand.
    async fn shared<T: Kind>(&self, id: &RowId) -> Result<Option<Versioned<Arc<T>>>> {
        let key = id.to_key();
        let Some(row) = self.ground.store.get(&key).await? else { return Ok(None) };
        if let Some(value) = self.kept.find::<T>(&key, &row).filter(|_| self.opens(id)) {
            return Ok(Some(Versioned { id: id.clone(), revision: row.revision, value }));
        }
        let (row, opened) = match open_record(&self.keyring, id.clone(), &row) {
            Err(SealedError::Tampered { .. }) => match Box::pin(self.open_again::<T>(id, &key)).await? {
                Some(opened) => opened,
                None => return Ok(None),
            },
            opened => (row, opened?),
        };
        let Versioned { id, revision, value } = opened;
        let value = Arc::new(value);
        self.kept.keep(&id, &key, &row, || value.clone());
        Ok(Some(Versioned { id, revision, value }))
    }

    /// A row that did not open may be under a key that came, or went, since the customer's keys were read: read again, by the keys as
    /// they are stored now.
    async fn open_again<T: Kind>(&self, id: &RowId, key: &StoreKey) -> Result<Option<(Row, Versioned<T>)>> {
        let store = self.ground.store.as_ref();
        if let Scope::Customer(customer) = id.scope() {
            self.keyring.refresh_customer(store, customer).await?;
        }
        let Some(row) = store.get(key).await? else { return Ok(None) };
        let opened = open_record(&self.keyring, id.clone(), &row)?;
        Ok(Some((row, opened)))
    }

    /// Whether the key of this row is in memory. What is kept at hand of a customer that was locked meanwhile is not given out.
    fn opens(&self, id: &RowId) -> bool {
        id.table().sealed_by() != SealedBy::Owner || self.keyring.holds(id.scope())
    }

    /// Drops a customer's key, and all that was opened with it.
    pub(crate) fn drop_key(&self, customer: CustomerId) {
        let scope = Scope::Customer(customer);
        self.keyring.drop_customer(customer);
        self.kept.forget(scope);
        self.subjects.retain(|(of, _), _| *of != scope);
        self.archived_block.lock().take_if(|block| block.scope() == scope);
    }

    /// A record that must be there for whoever may know of it.
    pub(crate) async fn load<T: Kind>(&self, id: &RowId) -> Result<Versioned<T>> {
        self.read(id).await?.ok_or_else(Error::not_found)
    }

    /// The same, to be read alone.
    pub(crate) async fn load_shared<T: Kind>(&self, id: &RowId) -> Result<Versioned<Arc<T>>> {
        self.shared(id).await?.ok_or_else(Error::not_found)
    }

    /// The records of a range; of one across customers, those of locked ones are left out.
    pub(crate) async fn list<T: Record>(&self, range: &Range) -> Result<Vec<Versioned<T>>> {
        Ok(self.piece(range).await?.0)
    }

    /// The same, and where the next piece begins.
    pub(crate) async fn piece<T: Record>(&self, range: &Range) -> Result<(Vec<Versioned<T>>, Option<Range>)> {
        let rows = self.ground.store.scan(range).await?;
        let next = rows.last().filter(|_| rows.len() == range.limit).map(|(last, _)| range.clone().after(last));
        let mut opened = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let id = RowId::from_key(&key).map_err(SealedError::from)?;
            match open_record(&self.keyring, id, &row) {
                Ok(record) => opened.push(record),
                Err(SealedError::Locked(_)) if range.is_across_scopes() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((opened, next))
    }

    /// An event of somebody's doing.
    pub(crate) fn event(&self, scope: Scope, kind: EventKind, caller: &Caller) -> Event {
        let event = Event::new(scope, kind, self.now())
            .with(FieldName::Actor, caller.id)
            .with(FieldName::Request, caller.request)
            .with_personal(caller.id, FieldName::ActorName, &caller.name);
        match caller.source {
            Some(source) => event.with_personal(caller.id, FieldName::Source, source),
            None => event,
        }
    }

    /// An event of the vault's own doing, e.g. by `system/expiry`.
    pub(crate) fn automatic(&self, scope: Scope, kind: EventKind, actor: &'static str) -> Event {
        Event::new(scope, kind, self.now()).with(FieldName::Actor, actor)
    }

    /// Begins a change: something happened.
    pub(crate) fn change(&self, event: Event) -> Change<'_> {
        Change::because(&self.sealed, &self.keyring, self.random(), &self.kept, event)
    }

    /// Commits a change with its events, durably.
    #[tracing::instrument(target = "traces", name = "commit", skip_all)]
    pub(crate) async fn commit(&self, mut change: Change<'_>) -> Result<Committed> {
        self.nodes.heard().await?;
        let copied = change.take_copied();
        if !copied.is_empty() {
            Box::pin(self.copy_elsewhere(copied)).await?;
        }
        let wanted: Vec<(Scope, PrincipalId)> =
            change.events().iter().flat_map(|event| event.subjects().map(|subject| (event.scope(), subject))).collect();
        // Kept here and not only in the cache, which may drop what it likes.
        let mut keys: BTreeMap<(Scope, PrincipalId), Arc<SubjectKey>> = BTreeMap::new();
        for (scope, subject) in wanted {
            if keys.contains_key(&(scope, subject)) {
                continue;
            }
            let key = if let Some(key) = self.subject_key(scope, subject).await? {
                key
            } else {
                let (key, wrapped) = self.keyring.new_subject(scope, subject.uuid(), self.random())?;
                change = change.create_sealed(wrapped_put(wrapped));
                Arc::new(key)
            };
            keys.insert((scope, subject), key);
        }
        let prepared = change.prepare(|event| {
            let scope = event.scope();
            event.prepare(|subject| keys.get(&(scope, subject)).cloned(), self.random())
        })?;
        self.journal.commit(prepared).await
    }

    /// Commits what is prepared already.
    pub(crate) async fn commit_prepared(&self, prepared: Prepared) -> Result<Committed> {
        self.nodes.heard().await?;
        self.journal.commit(prepared).await
    }

    /// A person's key was erased.
    pub(crate) fn forget_subject(&self, scope: Scope, subject: PrincipalId) {
        self.subjects.remove(&(scope, subject));
    }

    /// A person's key in a scope's log, if it was made and not erased.
    pub(crate) async fn subject_key(&self, scope: Scope, subject: PrincipalId) -> Result<Option<Arc<SubjectKey>>> {
        if let Some(key) = self.subjects.get(&(scope, subject)) {
            return Ok(Some(key));
        }
        let key = self.keyring.subject(self.ground.store.as_ref(), scope, subject.uuid()).await?.map(Arc::new);
        if let Some(key) = &key {
            self.subjects.insert((scope, subject), key.clone());
        }
        Ok(key)
    }
}

/// A refusal. What a condition of the caller's own grant wants is told.
pub(crate) fn refused(caller: &Caller, denied: Denied) -> Error {
    let Denied::Unmet { condition, grant } = denied else { return denied.into() };
    if condition == Condition::SensitiveVerb {
        return denied.into();
    }
    let wants = caller.powers.grants.iter().find(|own| own.id == grant).map(|own| own.conditions.wants(condition));
    let problem = of_condition(condition);
    match wants.flatten() {
        Some(wants) => Error::new(problem, format!("The grant {grant} wants {wants}. {}", problem.row().advice)),
        None => Error::new(problem, ""),
    }
}

/// A refusal by what the customer wants of everybody.
fn limited(condition: Condition, around: &Circumstances<'_>) -> Error {
    let problem = of_condition(condition);
    match around.limits.and_then(|limits| limits.conditions.wants(condition)) {
        Some(wants) => Error::new(problem, format!("The customer wants {wants}. {}", problem.row().advice)),
        None => Error::new(problem, ""),
    }
}

/// A wrapped key as a row that must not be there yet.
pub(crate) fn wrapped_put(wrapped: WrappedKey) -> SealedPut {
    SealedPut::from(wrapped)
}

/// Makes a decision again while it loses against others: what it read is read anew each time.
pub(crate) async fn deciding<T, F: Future<Output = Result<T>>>(mut decide: impl FnMut() -> F) -> Result<T> {
    for _ in 1..DECISIONS_MOST {
        match decide().await {
            Err(error) if error.is_conflict() => {}
            decided => return decided,
        }
    }
    decide().await
}

/// The same for a request that may be a repeat. What refuses it may be what the same request did a moment ago, when it
/// came first: then the answer is that.
pub(crate) async fn deciding_once<T, F: Future<Output = Result<T>>>(
    once: &Once,
    mut decide: impl FnMut() -> F,
) -> Result<T> {
    match deciding(&mut decide).await {
        Err(refused) if once.has_key() && refused.problem.row().status < SERVER_FAILED => deciding(decide).await,
        decided => decided,
    }
}
