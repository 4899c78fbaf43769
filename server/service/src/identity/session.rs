//! Sessions: opened by a login, renewed by a refresh, ended by a logout or by whoever may.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    ENROL_TTL_SECONDS, PrincipalKind, PrincipalState, REFRESH_TTL_SECONDS, SESSION_MOST_SECONDS, Tokens,
};
use claviger_api::{PrincipalId, Scope, Secret, SessionId, Timestamp};
use claviger_crypto::{Token, TokenKind};
use claviger_store::{Range, RowId, Table};
use jiff::SignedDuration;

use super::token_hash;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding};
use crate::records::{PrincipalRecord, SessionRecord, TokenRecord};

/// A session that is about to be stored, and the tokens that its owner gets once it is.
pub(super) struct NewSession {
    pub record: SessionRecord,
    refresh: Option<Secret>,
}

impl NewSession {
    /// A second factor was proven: it is a full session.
    #[must_use]
    pub fn with_second_factor(self, now: Timestamp) -> Self {
        Self { record: self.record.proven(now), ..self }
    }
}

impl SessionRecord {
    /// The session, once a second factor was proven in it.
    #[must_use]
    pub(super) fn proven(self, now: Timestamp) -> Self {
        let expires_at = match self.second_factor_at {
            Some(_) => self.expires_at,
            None => after(now, REFRESH_TTL_SECONDS).min(after(self.created_at, SESSION_MOST_SECONDS)),
        };
        Self { second_factor_at: Some(now), expires_at, ..self }
    }

    /// When it ends if it is not refreshed, under the longest life that sessions have today.
    pub(super) fn ends_at(&self, most_seconds: u64) -> Timestamp {
        self.expires_at.min(after(self.created_at, most_seconds))
    }
}

impl Open {
    /// A session of this principal. A service account's has no refresh token: it logs in again, at no cost. A user's
    /// may do nothing but enrol a second factor, until [one was proven](NewSession::with_second_factor).
    pub(super) fn new_session(&self, principal: &PrincipalRecord) -> NewSession {
        let now = self.now();
        let (refresh, ttl) = match principal.kind {
            PrincipalKind::User => (Some(Token::generate(TokenKind::Refresh, self.random())), ENROL_TTL_SECONDS),
            PrincipalKind::ServiceAccount => (None, claviger_api::wire::ACCESS_TTL_SECONDS),
        };
        let record = SessionRecord {
            id: SessionId::from_uuid(self.new_uuid()),
            principal: principal.id,
            created_at: now,
            expires_at: after(now, ttl.min(self.session_most_seconds())),
            refresh: refresh.as_ref().map(token_hash),
            refresh_before: None,
            generation: principal.generation,
            second_factor_at: None,
            certificate: None,
        };
        NewSession { record, refresh }
    }

    /// Adds a new session to a change.
    pub(super) fn with_session<'a>(change: Change<'a>, session: &NewSession) -> Result<Change<'a>> {
        let change = change.create(RowId::session(session.record.id), &session.record)?;
        match session.record.refresh {
            Some(hash) => change.create(RowId::token(&hash), &refresh_record(&session.record)),
            None => Ok(change),
        }
    }

    /// The tokens of a session that is stored.
    pub(super) fn tokens(&self, session: NewSession) -> Result<Tokens> {
        let record = &session.record;
        let subject = record.principal.to_string();
        let (access, expires_in_seconds) =
            self.identities.tokens.issue(&subject, record.id, record.expires_at, record.certificate, self.now())?;
        Ok(Tokens {
            access_token: access.disclose(),
            expires_in_seconds,
            // Programs have no second factor, and no refresh token.
            may_only_enrol: session.refresh.is_some() && session.record.second_factor_at.is_none(),
            refresh_token: session.refresh.map(Secret::disclose),
            session: session.record.id,
        })
    }

    /// Renews a session, never past its longest life. Each refresh token is good once: whoever shows one a second time ends the session.
    pub async fn refresh(&self, token: &Secret) -> Result<Tokens> {
        let hash =
            Token::parse(TokenKind::Refresh, token).map_err(|_| Error::new(ProblemType::SessionEnded, ""))?.to_bytes();
        deciding(|| self.refresh_once(hash)).await
    }

    async fn refresh_once(&self, hash: [u8; 32]) -> Result<Tokens> {
        let ended = || Error::new(ProblemType::SessionEnded, "");
        let now = self.now();
        let found = self.read::<TokenRecord>(&RowId::token(&hash)).await?.ok_or_else(ended)?;
        let session = RowId::session(found.value.session.ok_or_else(ended)?);
        let session = self.read::<SessionRecord>(&session).await?.ok_or_else(ended)?;
        let principal = self.load::<PrincipalRecord>(&RowId::principal(session.value.principal)).await?;
        if session.value.refresh != Some(hash) {
            let event =
                self.session_event(EventKind::SessionEnded, &session.value).with(FieldName::Cause, "refresh_reused");
            self.end_session(self.change(event), &session).await?;
            return Err(ended());
        }
        let most = self.session_most_seconds();
        let live = now < session.value.ends_at(most) && session.value.generation == principal.value.generation;
        if !live || principal.value.state != PrincipalState::Active {
            return Err(ended());
        }
        let refresh = Token::generate(TokenKind::Refresh, self.random());
        // Who has no second factor has an hour to enrol one.
        let renewed = session.value.second_factor_at.map(|_| after(now, REFRESH_TTL_SECONDS));
        // However often it is refreshed, it ends.
        let record = SessionRecord {
            expires_at: renewed.unwrap_or(session.value.expires_at).min(after(session.value.created_at, most)),
            refresh: Some(token_hash(&refresh)),
            refresh_before: Some(hash),
            ..session.value
        };
        let event = self.session_event(EventKind::SessionRefreshed, &record);
        let mut change = self
            .change(event)
            .update(&session, &record)?
            .create(RowId::token(&token_hash(&refresh)), &refresh_record(&record))?;
        if let Some(older) = session.value.refresh_before {
            change = change.erase(RowId::token(&older));
        }
        self.commit(change).await?;
        self.tokens(NewSession { record, refresh: Some(refresh) })
    }

    /// The longest life of a session.
    pub(super) fn session_most_seconds(&self) -> u64 {
        self.ground().settings.session_most_seconds
    }

    /// Ends the caller's own session.
    pub async fn logout(&self, caller: &Caller) -> Result<()> {
        deciding(|| async {
            let Some(session) = self.read::<SessionRecord>(&RowId::session(caller.session)).await? else {
                return Ok(());
            };
            let event =
                self.event(Scope::Operator, EventKind::SessionEnded, caller).with(FieldName::Session, caller.session);
            self.end_session(self.change(event), &session).await
        })
        .await
    }

    /// Adds the end of every session of a principal to a change. One that is opened meanwhile is of the generation before,
    /// and good for nothing.
    pub(super) async fn end_sessions_of<'a>(&self, change: Change<'a>, principal: PrincipalId) -> Result<Change<'a>> {
        self.end_sessions_but(change, principal, None).await
    }

    /// The same for all but one.
    pub(super) async fn end_sessions_but<'a>(
        &self,
        mut change: Change<'a>,
        principal: PrincipalId,
        kept: Option<SessionId>,
    ) -> Result<Change<'a>> {
        for row in self.all::<SessionRecord>(&Range::scope(Table::Sessions, Scope::Operator)).await? {
            if row.value.principal == principal && kept != Some(row.value.id) {
                for hash in [row.value.refresh, row.value.refresh_before].into_iter().flatten() {
                    change = change.erase(RowId::token(&hash));
                }
                change = change.erase(row.id.clone());
            }
        }
        Ok(change)
    }

    async fn end_session(&self, change: Change<'_>, session: &claviger_store::Versioned<SessionRecord>) -> Result<()> {
        let mut change = change.remove(session);
        for hash in [session.value.refresh, session.value.refresh_before].into_iter().flatten() {
            change = change.erase(RowId::token(&hash));
        }
        self.commit(change).await.map(drop)
    }

    fn session_event(&self, kind: EventKind, session: &SessionRecord) -> Event {
        Event::new(Scope::Operator, kind, self.now())
            .with(FieldName::Actor, session.principal)
            .with(FieldName::Session, session.id)
    }
}

/// What a refresh token's hash stands for, while its session lives.
fn refresh_record(session: &SessionRecord) -> TokenRecord {
    TokenRecord { principal: session.principal, session: Some(session.id), expires_at: session.expires_at }
}

pub(super) fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let by = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
