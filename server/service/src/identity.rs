//! Who asks: sessions, and the short tokens that name them.
//!
//! A login opens a session, a stored row. Its access token is a JWT (RFC 7519, EdDSA) of at most 15 minutes that names
//! the session; every request looks the session up, so that an ended one is refused at once. Verified tokens, sessions
//! and principals are cached, and dropped from the caches by whatever changes them: on one node at once, on
//! others within a second (`nodes.rs`).

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{PrincipalKind, PrincipalState};
use claviger_api::{PrincipalId, RequestId, Scope, Secret, SessionId, Timestamp};
use claviger_core::policy::{Act, Resource, might};
use claviger_crypto::{Random, SigningKey, Token, TokenKind};
use claviger_store::{Range, RowId, Table, Versioned};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::inventory::removed;
use crate::open::{Caller, Open, Powers};
use crate::records::{FormerPrincipalRecord, GrantRecord, PrincipalRecord, SessionRecord, TokenRecord};

mod access;
mod access_token;
mod ceremony;
pub mod certificate;
mod enrol;
mod erase;
mod factors;
mod fetched;
pub mod grants;
mod inactivity;
pub mod issuers;
pub mod login;
mod mfa;
mod passkeys;
mod password;
pub mod place;
pub mod principals;
pub mod program_login;
pub mod providers;
mod re_enrol;
mod review;
pub mod service_accounts;
mod session;
pub mod sign_ons;
mod spanning;
pub mod sso;
pub mod users;
mod what_if;
mod workload;

use access_token::AccessTokens;
pub use certificate::{ClientCertificate, Origin};

/// Tokens, sessions and principals kept at hand.
const KEPT: usize = 10_000;
/// How long an enrolment code may wait to be used.
const ENROLMENT_TTL: jiff::SignedDuration = jiff::SignedDuration::from_hours(72);

/// What authentication keeps at hand.
pub struct Identities {
    tokens: AccessTokens,
    verified: Cache<[u8; 32], access_token::Claims>,
    sessions: Cache<SessionId, Arc<SessionRecord>>,
    known: Cache<PrincipalId, Arc<Known>>,
    /// Of which sessions it was told that their tokens are used from where, or without what, they are bound to.
    told: Cache<SessionId, ()>,
    issuer_keys: workload::IssuerKeyCache,
    sign_ons: sso::SignOns,
    /// Counts the writes that the caches depend on.
    writes: AtomicU64,
}

/// A principal with its powers.
struct Known {
    record: PrincipalRecord,
    /// Of the row that the record was read from.
    revision: u64,
    powers: Arc<Powers>,
}

/// A single-use enrolment code.
pub(crate) struct Enrolment {
    /// Shown once.
    pub secret: Secret,
    /// What is stored of it.
    pub hash: [u8; 32],
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
}

impl Enrolment {
    pub fn new(now: Timestamp, random: &dyn Random) -> Self {
        let secret = Token::generate(TokenKind::Enrolment, random);
        let hash = token_hash(&secret);
        Self { secret, hash, expires_at: now.saturating_add(ENROLMENT_TTL).unwrap_or(Timestamp::MAX) }
    }

    pub fn record(&self, principal: PrincipalId) -> TokenRecord {
        TokenRecord { principal, session: None, expires_at: self.expires_at }
    }
}

impl Identities {
    pub(crate) fn new(key: &SigningKey, issuer: &str, random: &dyn Random) -> Result<Self> {
        Ok(Self {
            tokens: AccessTokens::new(key, issuer)?,
            verified: Cache::new(KEPT),
            sessions: Cache::new(KEPT),
            known: Cache::new(KEPT),
            told: Cache::new(KEPT),
            issuer_keys: workload::IssuerKeyCache::new(),
            sign_ons: sso::SignOns::new(random),
            writes: AtomicU64::new(0),
        })
    }

    /// A row was written, or may have been: what is kept of it is read anew.
    pub(crate) fn written(&self, row: &RowId) {
        let Some(id) = row.uuid().filter(|_| matches!(row.table(), Table::Principals | Table::Sessions)) else {
            return;
        };
        // Before the caches: whoever read before this and keeps what it read after it, sees that the number has moved.
        self.writes.fetch_add(1, Ordering::SeqCst);
        if row.table() == Table::Principals {
            self.known.remove(&PrincipalId::from_uuid(id));
        } else {
            self.sessions.remove(&SessionId::from_uuid(id));
        }
    }

    /// Keeps what was read when `writes` was what it is given as, unless something was written since.
    fn keep<K: Copy + Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        value: V,
        writes: u64,
    ) {
        cache.insert(key, value);
        if self.writes.load(Ordering::SeqCst) != writes {
            cache.remove(&key);
        }
    }
}

impl Open {
    /// Who sends this access token: a principal that may log in, in a session that has not ended, from where and with
    /// what the session is bound to.
    #[tracing::instrument(target = "traces", name = "authenticate", skip_all)]
    pub async fn authenticate(&self, token: &str, origin: &Origin, request: RequestId) -> Result<Caller> {
        self.nodes.heard().await?;
        let now = self.now();
        let refused = || Error::new(ProblemType::NotAuthenticated, "");
        let ended = || Error::new(ProblemType::SessionEnded, "");
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let claims = if let Some(claims) = self.identities.verified.get(&digest) {
            claims
        } else {
            let claims = self.identities.tokens.verify(token).ok_or_else(refused)?;
            self.identities.verified.insert(digest, claims);
            claims
        };
        if !claims.is_live(now) {
            return Err(ended());
        }
        let (session, known) = self.live(claims.session(), now).await?.ok_or_else(ended)?;
        if let Some(missing) = missing(&known.record, &session, origin) {
            // As if it had ended: whoever has stolen the token learns nothing from the answer, its owner from the log.
            self.tell_of_stolen(&known.record, session.id, missing, origin).await?;
            return Err(ended());
        }
        Ok(self.caller(&session, &known, origin.source, request))
    }

    /// Somebody who was let in before, as their session and grants are by now.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub async fn again(&self, caller: &Caller) -> Result<Caller> {
        self.nodes.heard().await?;
        let live = self.live(caller.session, self.now()).await?;
        let (session, known) = live.ok_or_else(|| Error::new(ProblemType::SessionEnded, ""))?;
        Ok(self.caller(&session, &known, caller.source, caller.request))
    }

    /// A session that has not ended, and whose it is.
    async fn live(&self, session: SessionId, now: Timestamp) -> Result<Option<(Arc<SessionRecord>, Arc<Known>)>> {
        let most = self.session_most_seconds();
        let session = self.session(session).await?.filter(|session| now < session.ends_at(most));
        let Some(session) = session else { return Ok(None) };
        let Some(known) = self.known(session.principal, now).await? else { return Ok(None) };
        let is_good = known.record.state == PrincipalState::Active && session.generation == known.record.generation;
        Ok(is_good.then_some((session, known)))
    }

    fn caller(&self, session: &SessionRecord, known: &Known, source: Option<IpAddr>, request: RequestId) -> Caller {
        Caller {
            id: known.record.id,
            kind: known.record.kind,
            name: known.record.name.clone(),
            customer: known.record.customer,
            session: session.id,
            session_expires_at: session.ends_at(self.session_most_seconds()),
            second_factor_at: session.second_factor_at,
            source,
            request,
            powers: known.powers.clone(),
        }
    }

    /// One event a session, however often its token is tried.
    async fn tell_of_stolen(
        &self,
        owner: &PrincipalRecord,
        session: SessionId,
        missing: &'static str,
        origin: &Origin,
    ) -> Result<()> {
        let mut first = false;
        self.identities.told.get_or_insert_with(&session, || {
            first = true;
            Ok::<_, Error>(())
        })?;
        if !first {
            return Ok(());
        }
        let event = self.login_event(EventKind::SessionRefused, origin.source, Some(owner));
        let event = event.with(FieldName::Session, session).with(FieldName::Cause, missing);
        let told = self.commit(self.change(event)).await.map(drop);
        if told.is_err() {
            self.identities.told.remove(&session);
        }
        told
    }

    async fn session(&self, id: SessionId) -> Result<Option<Arc<SessionRecord>>> {
        if let Some(session) = self.identities.sessions.get(&id) {
            return Ok(Some(session));
        }
        let writes = self.identities.writes.load(Ordering::SeqCst);
        let session = self.read::<SessionRecord>(&RowId::session(id)).await?.map(|row| Arc::new(row.value));
        if let Some(session) = &session {
            self.identities.keep(&self.identities.sessions, id, session.clone(), writes);
        }
        Ok(session)
    }

    /// A principal with its grants linked; linked anew when one of them has ended.
    async fn known(&self, id: PrincipalId, now: Timestamp) -> Result<Option<Arc<Known>>> {
        let fresh = |known: &Arc<Known>| known.powers.compiled.valid_until().is_none_or(|until| now < until);
        if let Some(known) = self.identities.known.get(&id).filter(fresh) {
            return Ok(Some(known));
        }
        let writes = self.identities.writes.load(Ordering::SeqCst);
        let Some(record) = self.read::<PrincipalRecord>(&RowId::principal(id)).await? else { return Ok(None) };
        let grants = self.grants_of(id).await?;
        let subject = claviger_core::policy::Subject { id, kind: record.value.kind, customer: record.value.customer };
        let compiled = self.ground().policies.compile(&subject, &grants, now).map_err(Error::internal)?;
        let revision = record.revision;
        let known = Arc::new(Known { record: record.value, revision, powers: Arc::new(Powers { grants, compiled }) });
        self.identities.keep(&self.identities.known, id, known.clone(), writes);
        Ok(Some(known))
    }

    /// A principal that may log in, for a change that expects it to stay so. Nothing is read that was read before.
    pub(crate) async fn active(&self, id: PrincipalId) -> Result<Option<Versioned<()>>> {
        let known = self.known(id, self.now()).await?.filter(|known| known.record.state == PrincipalState::Active);
        Ok(known.map(|known| Versioned { id: RowId::principal(id), revision: known.revision, value: () }))
    }

    async fn grants_of(&self, principal: PrincipalId) -> Result<Vec<claviger_core::policy::Grant>> {
        let rows = self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await?;
        Ok(rows.into_iter().map(|row| row.value.0).filter(|grant| grant.principal == principal).collect())
    }

    /// Whether somebody who is not here, and did something before, might do it today.
    pub(crate) async fn might<A: Act>(&self, who: PrincipalId, resource: &Resource) -> Result<bool> {
        let now = self.now();
        let Some(known) = self.known(who, now).await? else { return Ok(false) };
        let subject = *known.powers.compiled.subject();
        let active = known.record.state == PrincipalState::Active;
        Ok(active && might::<A>(&self.ground().policies, &known.powers.compiled, &subject, resource, now))
    }

    /// A principal's name, for answers; one that was removed keeps it.
    pub(crate) async fn name_of(&self, id: PrincipalId) -> Result<claviger_api::UserName> {
        if let Some(known) = self.identities.known.get(&id) {
            return Ok(known.record.name.clone());
        }
        if let Some(row) = self.read::<PrincipalRecord>(&RowId::principal(id)).await? {
            return Ok(row.value.name);
        }
        let former = self.read::<FormerPrincipalRecord>(&RowId::former_principal(id)).await?;
        former.map_or_else(removed, |row| Ok(row.value.name))
    }

    /// The principal of this name, of any kind.
    pub(crate) async fn principal_named(&self, name: &claviger_api::UserName) -> Result<Versioned<PrincipalRecord>> {
        let row = self.keyring().name(Table::Principals, Scope::Operator, name.as_str());
        let id = self.load::<crate::records::NameRecord>(&row).await?.value.id;
        self.load(&RowId::principal(PrincipalId::from_uuid(id))).await
    }

    /// The principal of this name, if it is of this kind.
    pub(crate) async fn principal_of_kind(
        &self,
        name: &claviger_api::UserName,
        kind: PrincipalKind,
    ) -> Result<Versioned<PrincipalRecord>> {
        let found = self.principal_named(name).await?;
        if found.value.kind == kind { Ok(found) } else { Err(Error::not_found()) }
    }
}

/// What a session is bound to and this request does not come with: the program's networks, or the certificate that
/// opened it.
fn missing(principal: &PrincipalRecord, session: &SessionRecord, origin: &Origin) -> Option<&'static str> {
    let shown = origin.certificate.as_ref().map(|certificate| certificate.thumbprint);
    if session.certificate.is_some() && session.certificate != shown {
        Some("certificate")
    } else if !origin.is_within(&principal.program.networks) {
        Some("network")
    } else {
        None
    }
}

/// What is stored of a token.
pub(crate) fn token_hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}

#[cfg(test)]
impl Open {
    /// Whoever bears this name, as if authenticated just now: tests of what people do need no tokens.
    pub(crate) async fn acting(&self, name: &str) -> Caller {
        let record = self.principal_named(&name.parse().unwrap()).await.unwrap().value;
        let known = self.known(record.id, self.now()).await.unwrap().unwrap();
        Caller {
            id: record.id,
            kind: record.kind,
            name: record.name,
            customer: record.customer,
            session: SessionId::from_uuid(uuid::Uuid::from_u128(1)),
            session_expires_at: Timestamp::MAX,
            second_factor_at: (record.kind == PrincipalKind::User).then(|| self.now()),
            source: None,
            request: RequestId::from_uuid(uuid::Uuid::from_u128(1)),
            powers: known.powers.clone(),
        }
    }
}
