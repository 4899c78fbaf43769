//! Service accounts: programs. How each may log in, and from where it may act.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AddedServiceAccount, CLAIMS_MAX, CertificatePin, ChangeServiceAccount, GRANT_TTL_MAX_SECONDS, Logins, NETWORKS_MAX,
    Network, NewServiceAccount, PINS_MAX, Principal, PrincipalKind, PrincipalState, ServiceToken, Workload,
};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_crypto::{Token, TokenKind};
use claviger_store::{RowId, Versioned};

use super::issuers::check_text;
use super::session::after;
use super::token_hash;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{IssuerRecord, PrincipalRecord, ProgramRecord, TokenRecord, WorkloadRecord};

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
        if token_expires_at.is_none() && program.certificates.is_empty() && new.workloads.is_empty() {
            let advice = "name a way to log in: a token's life, certificates or workloads";
            return Err(Error::value("token_ttl_seconds", advice));
        }
        deciding_once(once, || async {
            if let Some(view) = self.added_before(new, once, caller).await? {
                return Ok(view);
            }
            self.name_is_free(&new.name).await?;
            let (workloads, issuers) = self.workloads(&new.workloads).await?;
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
                program: ProgramRecord { workloads, ..program.clone() },
                has_factors: false,
                confirmation: None,
                re_enrolment: None,
                factors_reset: None,
                sign_ons: Vec::new(),
                invitation: None,
                vouched: false,
            };
            let event = self.program_event(EventKind::ServiceAccountAdded, caller, &account);
            let mut change = expecting(self.new_principal(event, &account)?, &issuers);
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
            let (workloads, issuers) = match &change.workloads {
                Some(workloads) => self.workloads(workloads).await?,
                None => (before.workloads.clone(), Vec::new()),
            };
            let account = PrincipalRecord { program: ProgramRecord { workloads, ..program }, ..row.value.clone() };
            let account = account.without_sessions();
            let event = self.program_event(EventKind::ServiceAccountChanged, caller, &account);
            let change = expecting(self.change(event).update(&row, &account)?, &issuers);
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

    /// Whose tokens let a service account in, and the issuers, which must stay while it is said.
    async fn workloads(&self, wanted: &[Workload]) -> Result<(Vec<WorkloadRecord>, Vec<Versioned<IssuerRecord>>)> {
        if wanted.len() > PINS_MAX {
            return Err(Error::value("workloads", "a service account has at most 20 workloads"));
        }
        let (mut workloads, mut issuers) = (Vec::new(), Vec::new());
        for workload in wanted {
            check_workload(workload)?;
            let issuer = self.issuer_named(&workload.issuer).await.map_err(|error| {
                if error.problem == ProblemType::NotFound {
                    Error::value("workloads.issuer", "no issuer of this name is trusted; add it first")
                } else {
                    error
                }
            })?;
            let Workload { subject, claims, .. } = workload;
            workloads.push(WorkloadRecord {
                issuer: issuer.value.id,
                subject: subject.clone(),
                claims: claims.clone(),
            });
            issuers.push(issuer);
        }
        Ok((workloads, issuers))
    }

    /// As its owner sees it.
    pub(super) async fn logins_view(&self, program: &ProgramRecord) -> Result<Logins> {
        let mut workloads = Vec::new();
        for WorkloadRecord { issuer, subject, claims } in &program.workloads {
            let issuer = self.issuer_name(*issuer).await?;
            workloads.push(Workload { issuer, subject: subject.clone(), claims: claims.clone() });
        }
        Ok(Logins {
            token_expires_at: program.token_expires_at,
            networks: program.networks.clone(),
            certificates: program.certificates.clone(),
            workloads,
        })
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
    let (networks, certificates) = (networks.to_vec(), certificates.to_vec());
    Ok(ProgramRecord { token_expires_at, networks, certificates, workloads: Vec::new() })
}

/// An issuer that is removed meanwhile is not bound to.
fn expecting<'a>(change: Change<'a>, issuers: &[Versioned<IssuerRecord>]) -> Change<'a> {
    issuers.iter().fold(change, Change::expect)
}

/// One that says whose tokens it is about, not merely which issuer's.
fn check_workload(workload: &Workload) -> Result<()> {
    if workload.subject.is_none() && workload.claims.is_empty() {
        return Err(Error::value(
            "workloads",
            "a workload names its subject or a claim: an issuer alone lets everybody in",
        ));
    }
    if workload.claims.len() > CLAIMS_MAX {
        return Err(Error::value("workloads.claims", "a workload has at most 20 claims"));
    }
    let claims = workload.claims.iter().flat_map(|(name, value)| [name, value]);
    let mut texts = workload
        .subject
        .iter()
        .map(|subject| ("workloads.subject", subject))
        .chain(claims.map(|text| ("workloads.claims", text)));
    texts.try_for_each(|(field, text)| check_text(field, text))
}

impl ProgramRecord {
    /// For the audit log.
    fn in_words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.networks.iter().map(|network| format!("network {network}")));
        words.extend(self.certificates.iter().map(|pin| match pin {
            CertificatePin::Thumbprint(thumbprint) => format!("certificate {thumbprint}"),
            CertificatePin::Dns(name) => format!("certificate of DNS name {name}"),
            CertificatePin::Uri(uri) => format!("certificate of URI {uri}"),
        }));
        words.extend(self.workloads.iter().map(|workload| {
            let subject = workload.subject.iter().map(|subject| format!("sub {subject}"));
            let claims = workload.claims.iter().map(|(name, value)| format!("{name} {value}"));
            let says: Vec<String> = subject.chain(claims).collect();
            format!("token of {} with {}", workload.issuer, says.join(" and "))
        }));
        words.join(", ")
    }
}
