//! Service accounts: programs. How each may log in, and from where it may act.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{
    AddedServiceAccount, CertificatePin, ChangeServiceAccount, GRANT_TTL_MAX_SECONDS, Logins, NETWORKS_MAX, Network,
    NewServiceAccount, PINS_MAX, Principal, PrincipalKind, PrincipalState, ServiceToken,
};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_crypto::{Token, TokenKind};
use claviger_store::RowId;

use super::session::after;
use super::token_hash;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{PrincipalRecord, ProgramRecord, TokenRecord};

/// The shortest life of a service account's token.
const TOKEN_TTL_MIN_SECONDS: u64 = 60;

impl Open {
    /// Adds a service account, and shows its token, if it is to have one, once.
    pub async fn add_service_account(
        &self,
        new: &NewServiceAccount,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<AddedServiceAccount> {
        let token_expires_at = new.token_ttl_seconds.map(|ttl| self.token_end(ttl)).transpose()?;
        let program = program(token_expires_at, &new.networks, &new.certificates)?;
        if token_expires_at.is_none() && program.certificates.is_empty() {
            return Err(Error::value("token_ttl_seconds", "name a way to log in: a token's life, or certificates"));
        }
        deciding_once(once, || async {
            if let Some(view) = self.added_before(new, once, caller).await? {
                return Ok(view);
            }
            self.name_is_free(&new.name).await?;
            let token = token_expires_at.map(|_| Token::generate(TokenKind::ServiceAccount, self.random()));
            let account = PrincipalRecord {
                id: PrincipalId::from_uuid(self.new_uuid()),
                kind: PrincipalKind::ServiceAccount,
                name: new.name.clone(),
                customer: None,
                state: PrincipalState::Active,
                password: None,
                token: token.as_ref().map(token_hash),
                created_at: self.now(),
                last_login_at: None,
                generation: 0,
                program: program.clone(),
            };
            let event = self.program_event(EventKind::ServiceAccountAdded, caller, &account);
            let mut change = self.new_principal(event, &account)?;
            if let (Some(hash), Some(expires_at)) = (account.token, token_expires_at) {
                let record = TokenRecord { principal: account.id, session: None, expires_at };
                change = change.create(RowId::token(&hash), &record)?;
            }
            self.commit(self.remember(change, Scope::Operator, once, caller, account.id.uuid())?).await?;
            Ok(AddedServiceAccount {
                service_account: self.principal_view(&account).await?,
                token: token.map(Secret::disclose),
                token_expires_at,
            })
        })
        .await
    }

    /// What a repeated request added when it came first. A token was shown once.
    async fn added_before(
        &self,
        new: &NewServiceAccount,
        once: &Once,
        caller: &Caller,
    ) -> Result<Option<AddedServiceAccount>> {
        if new.token_ttl_seconds.is_some() {
            let again = "POST /v1/service-accounts/{name}/actions/replace-token";
            self.shown_once(Scope::Operator, once, caller, again).await?;
            return Ok(None);
        }
        let Some(done) = self.done(Scope::Operator, once, caller).await? else { return Ok(None) };
        let account = self.load::<PrincipalRecord>(&RowId::principal(PrincipalId::from_uuid(done))).await?;
        let service_account = self.principal_view(&account.value).await?;
        Ok(Some(AddedServiceAccount { service_account, token: None, token_expires_at: None }))
    }

    /// Changes how it may log in and from where it may act. Every session ends: none outlives what let it in.
    pub async fn change_service_account(
        &self,
        name: &UserName,
        change: &ChangeServiceAccount,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Principal> {
        deciding(|| async {
            let row = self.principal_of_kind(name, PrincipalKind::ServiceAccount).await?;
            let before = &row.value.program;
            let program = program(
                before.token_expires_at,
                change.networks.as_ref().unwrap_or(&before.networks),
                change.certificates.as_ref().unwrap_or(&before.certificates),
            )?;
            let account = PrincipalRecord { program, ..row.value.clone() }.without_sessions();
            let event = self.program_event(EventKind::ServiceAccountChanged, caller, &account);
            let change = self.change(event).update(&row, &account)?;
            self.commit(self.end_sessions_of(change, account.id).await?).await?;
            self.principal_view(&account).await
        })
        .await
    }

    /// Gives a new token. The old one stops at once, and so do the sessions it opened.
    pub async fn replace_token(
        &self,
        name: &UserName,
        token_ttl_seconds: u64,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<ServiceToken> {
        let expires_at = self.token_end(token_ttl_seconds)?;
        deciding(|| async {
            let row = self.principal_of_kind(name, PrincipalKind::ServiceAccount).await?;
            let token = Token::generate(TokenKind::ServiceAccount, self.random());
            let program = ProgramRecord { token_expires_at: Some(expires_at), ..row.value.program.clone() };
            let account = PrincipalRecord { token: Some(token_hash(&token)), program, ..row.value.clone() };
            let account = account.without_sessions();
            let event = self.principal_event(EventKind::ServiceAccountTokenReplaced, caller, &account);
            let mut change = self.change(event).update(&row, &account)?.create(
                RowId::token(&token_hash(&token)),
                &TokenRecord { principal: account.id, session: None, expires_at },
            )?;
            if let Some(before) = row.value.token {
                change = change.erase(RowId::token(&before));
            }
            self.commit(self.end_sessions_of(change, account.id).await?).await?;
            self.token_view(&account, token, expires_at).await
        })
        .await
    }

    fn token_end(&self, ttl_seconds: u64) -> Result<Timestamp> {
        if (TOKEN_TTL_MIN_SECONDS..=GRANT_TTL_MAX_SECONDS).contains(&ttl_seconds) {
            Ok(after(self.now(), ttl_seconds))
        } else {
            Err(Error::value("token_ttl_seconds", "a token lives 60 to 34560000 seconds (400 days)"))
        }
    }

    /// What is done to a service account, with its ways to log in, as they are from now on.
    fn program_event(&self, kind: EventKind, caller: &Caller, account: &PrincipalRecord) -> Event {
        self.principal_event(kind, caller, account).with(FieldName::Detail, account.program.in_words())
    }

    async fn token_view(
        &self,
        account: &PrincipalRecord,
        token: Secret,
        expires_at: Timestamp,
    ) -> Result<ServiceToken> {
        Ok(ServiceToken {
            service_account: self.principal_view(account).await?,
            token: token.disclose(),
            token_expires_at: expires_at,
        })
    }
}

/// The ways to log in, if there are not too many.
fn program(
    token_expires_at: Option<Timestamp>,
    networks: &[Network],
    certificates: &[CertificatePin],
) -> Result<ProgramRecord> {
    if networks.len() > NETWORKS_MAX {
        return Err(Error::value("networks", "a service account has at most 50 networks"));
    }
    if certificates.len() > PINS_MAX {
        return Err(Error::value("certificates", "a service account has at most 20 certificates"));
    }
    Ok(ProgramRecord { token_expires_at, networks: networks.to_vec(), certificates: certificates.to_vec() })
}

impl ProgramRecord {
    /// As its owner sees it.
    pub fn view(&self) -> Logins {
        Logins {
            token_expires_at: self.token_expires_at,
            networks: self.networks.clone(),
            certificates: self.certificates.clone(),
        }
    }

    /// For the audit log.
    fn in_words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.networks.iter().map(|network| format!("network {network}")));
        words.extend(self.certificates.iter().map(|pin| match pin {
            CertificatePin::Thumbprint(thumbprint) => format!("certificate {thumbprint}"),
            CertificatePin::Dns(name) => format!("certificate of DNS name {name}"),
            CertificatePin::Uri(uri) => format!("certificate of URI {uri}"),
        }));
        words.join(", ")
    }
}
