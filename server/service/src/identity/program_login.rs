//! Logins of programs: by token, by the client certificate of the connection, or by a signed JWT. None of them runs Argon2id: what they
//! show has more bits than anybody can guess.
//!
//! Whatever is wrong is answered alike, and after the same kind of work: one durable event. So neither the words nor the
//! time of an answer tell a thief that a token would be right elsewhere; the event tells its owner.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{PrincipalKind, PrincipalState, Thumbprint, Tokens};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_crypto::{Token, TokenKind};
use claviger_store::{RowId, Table, Versioned};

use super::Origin;
use super::login::LAST_LOGIN_EXACT_TO;
use super::workload::Outcome;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::records::{NameRecord, PrincipalRecord, TokenRecord};

/// Who may come in, and by what.
struct Admitted {
    account: Versioned<PrincipalRecord>,
    /// What it showed, for the event.
    by: &'static str,
    /// The session is good for nothing without this certificate.
    certificate: Option<Thumbprint>,
    /// The session ends with what opened it.
    until: Timestamp,
    /// More, for the event.
    detail: String,
}

/// Why nobody comes in.
struct Refused {
    /// Whose token or name it was.
    account: Option<Box<PrincipalRecord>>,
    /// For the event, never for the answer.
    cause: &'static str,
}

type Verdict = std::result::Result<Admitted, Refused>;

impl Open {
    /// Opens a session for a service account, by the token it was issued.
    pub async fn login_by_token(&self, token: &Secret, origin: &Origin) -> Result<Tokens> {
        // What is no token at all was mistyped: nobody's log is filled with it.
        let hash = Token::parse(TokenKind::ServiceAccount, token).map_err(|_| refusal())?.to_bytes();
        deciding(|| async { self.conclude(self.by_token(&hash, origin).await?, origin).await }).await
    }

    /// Opens a session for a service account, by the client certificate of the connection.
    pub async fn login_by_certificate(&self, name: &UserName, origin: &Origin) -> Result<Tokens> {
        deciding(|| async { self.conclude(self.by_certificate(name, origin).await?, origin).await }).await
    }

    /// Opens a session for a service account, by a token of an issuer that vouches for it. The token may be shown again
    /// while it lasts: a workload has one at a time, and logs in several times with it.
    pub async fn login_by_jwt(&self, name: &UserName, jwt: &Secret, origin: &Origin) -> Result<Tokens> {
        deciding(|| async { self.conclude(self.by_jwt(name, jwt, origin).await?, origin).await }).await
    }

    async fn by_token(&self, hash: &[u8; 32], origin: &Origin) -> Result<Verdict> {
        let Some(token) = self.read::<TokenRecord>(&RowId::token(hash)).await? else {
            return Ok(Err(Refused::unknown()));
        };
        let Some(account) = self.read::<PrincipalRecord>(&RowId::principal(token.value.principal)).await? else {
            return Ok(Err(Refused::unknown()));
        };
        let cause = if account.value.token != Some(*hash) {
            Some("token")
        } else if token.value.expires_at <= self.now() {
            Some("token_expired")
        } else {
            closed(&account.value, origin)
        };
        Ok(match cause {
            Some(cause) => Err(Refused::of(account, cause)),
            // As ever, a session outlives its token: it is short, and ends when the token is replaced.
            None => {
                Ok(Admitted { account, by: "token", certificate: None, until: Timestamp::MAX, detail: String::new() })
            }
        })
    }

    async fn by_certificate(&self, name: &UserName, origin: &Origin) -> Result<Verdict> {
        let Some(account) = self.program_named(name).await? else { return Ok(Err(Refused::unknown())) };
        let Some(certificate) = &origin.certificate else { return Ok(Err(Refused::of(account, "no_certificate"))) };
        let cause = if !account.value.program.certificates.iter().any(|pin| certificate.fits(pin)) {
            Some("certificate")
        } else if !certificate.is_good(self.now()) {
            Some("certificate_expired")
        } else {
            closed(&account.value, origin)
        };
        if let Some(cause) = cause {
            return Ok(Err(Refused::of(account, cause)));
        }
        let (thumbprint, until) = (Some(certificate.thumbprint), certificate.not_after);
        Ok(Ok(Admitted { account, by: "certificate", certificate: thumbprint, until, detail: String::new() }))
    }

    async fn by_jwt(&self, name: &UserName, jwt: &Secret, origin: &Origin) -> Result<Verdict> {
        let Some(account) = self.program_named(name).await? else { return Ok(Err(Refused::unknown())) };
        let detail = match self.vouched(&account.value.program, jwt.expose()).await? {
            Outcome::Right { detail } => detail,
            Outcome::Wrong(cause) => return Ok(Err(Refused::of(account, cause))),
        };
        if let Some(cause) = closed(&account.value, origin) {
            return Ok(Err(Refused::of(account, cause)));
        }
        Ok(Ok(Admitted { account, by: "jwt", certificate: None, until: Timestamp::MAX, detail }))
    }

    /// One commit: the session with its event, or the event of the refusal.
    async fn conclude(&self, verdict: Verdict, origin: &Origin) -> Result<Tokens> {
        let admitted = match verdict {
            Ok(admitted) => admitted,
            Err(Refused { account, cause }) => {
                let event = self.login_event(EventKind::LoginFailed, origin.source, account.as_deref());
                self.commit(self.change(event.with(FieldName::Cause, cause))).await?;
                return Err(refusal());
            }
        };
        let (account, now) = (&admitted.account, self.now());
        let mut session = self.new_session(&account.value);
        session.record.certificate = admitted.certificate;
        session.record.expires_at = session.record.expires_at.min(admitted.until);
        let event = self
            .login_event(EventKind::LoginSucceeded, origin.source, Some(&account.value))
            .with(FieldName::Session, session.record.id)
            .with(FieldName::Cause, admitted.by)
            .with(FieldName::Detail, &admitted.detail);
        let change = Self::with_session(self.change(event), &session)?;
        let change = if account.value.last_login_at.is_none_or(|last| now.duration_since(last) > LAST_LOGIN_EXACT_TO) {
            change.update(account, &PrincipalRecord { last_login_at: Some(now), ..account.value.clone() })?
        } else {
            // Whoever suspends the account meanwhile wins.
            change.expect(account)
        };
        self.commit(change).await?;
        self.tokens(session)
    }

    async fn program_named(&self, name: &UserName) -> Result<Option<Versioned<PrincipalRecord>>> {
        let row = self.keyring().name(Table::Principals, Scope::Operator, name.as_str());
        let Some(found) = self.read::<NameRecord>(&row).await? else { return Ok(None) };
        let account = self.read::<PrincipalRecord>(&RowId::principal(PrincipalId::from_uuid(found.value.id))).await?;
        Ok(account.filter(|row| row.value.kind == PrincipalKind::ServiceAccount))
    }
}

impl Refused {
    fn unknown() -> Self {
        Self { account: None, cause: "unknown" }
    }

    fn of(account: Versioned<PrincipalRecord>, cause: &'static str) -> Self {
        Self { account: Some(Box::new(account.value)), cause }
    }
}

/// Why this account lets nobody in, or not from there, whatever they show.
fn closed(account: &PrincipalRecord, origin: &Origin) -> Option<&'static str> {
    if account.kind != PrincipalKind::ServiceAccount {
        Some("token")
    } else if account.state != PrincipalState::Active {
        Some("suspended")
    } else if !origin.is_within(&account.program.networks) {
        Some("network")
    } else {
        None
    }
}

fn refusal() -> Error {
    Error::new(ProblemType::InvalidCredentials, "")
}
