//! Logins of users, by password. Failures are counted, durably, before they are answered. Programs: `program_login.rs`.

use std::net::IpAddr;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{PrincipalKind, PrincipalState, Tokens};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_crypto::password;
use claviger_store::{RowId, Table, Versioned};
use jiff::SignedDuration;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{LoginCounter, NameRecord, PrincipalRecord};

/// After so many failures in a row no login of this name is tried for [`LOCKOUT`].
pub const FAILURES_MOST: u32 = 10;
/// How long that lasts.
pub const LOCKOUT: SignedDuration = SignedDuration::from_mins(15);
/// How exact `last_login_at` is: not every login of a busy program rewrites its record.
pub(super) const LAST_LOGIN_EXACT_TO: SignedDuration = SignedDuration::from_mins(5);
/// Argon2id runs at once: the others wait, and requests are not starved.
const HASHES_AT_ONCE: usize = 2;

static HASHING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(HASHES_AT_ONCE);

impl Open {
    /// Opens a session for a user. Unknown, locked and disabled users cost the same and are answered alike.
    pub async fn login_user(&self, name: &UserName, password: &Secret, source: Option<IpAddr>) -> Result<Tokens> {
        let turn = HASHING.acquire().await.map_err(Error::internal)?;
        // Read when its turn has come: whoever waited for it may have been locked out meanwhile.
        let locked = self.is_locked_out(name).await?;
        let found = self.user_named(name).await?;
        let stored = found.as_ref().and_then(|row| row.value.password.clone()).filter(|_| !locked);
        let may_log_in = found.as_ref().is_some_and(|row| row.value.state == PrincipalState::Active);
        let matches = matches_password(password.duplicate(), stored).await?;
        drop(turn);
        if let Some(user) = found.filter(|_| matches && may_log_in) {
            return deciding(|| self.open_session(user.value.id, Some(name), source)).await;
        }
        deciding(|| self.login_failed(name, source)).await?;
        Err(Error::new(ProblemType::InvalidCredentials, ""))
    }

    /// One commit: the session, the event, and the failures forgotten.
    async fn open_session(
        &self,
        id: PrincipalId,
        by_name: Option<&UserName>,
        source: Option<IpAddr>,
    ) -> Result<Tokens> {
        let principal = self.load::<PrincipalRecord>(&RowId::principal(id)).await?;
        if principal.value.state != PrincipalState::Active {
            return Err(Error::new(ProblemType::InvalidCredentials, ""));
        }
        let counter = match by_name {
            Some(name) => self.login_counter(name).await?,
            None => None,
        };
        if counter.as_ref().is_some_and(|row| self.locks_out(&row.value)) {
            return Err(Error::new(ProblemType::InvalidCredentials, ""));
        }
        let session = self.new_session(&principal.value);
        let event = self
            .login_event(EventKind::LoginSucceeded, source, Some(&principal.value))
            .with(FieldName::Session, session.record.id);
        let mut change = Self::with_session(self.change(event), &session)?;
        if let Some(counter) = counter {
            change = change.remove(&counter);
        }
        let now = self.now();
        if principal.value.last_login_at.is_none_or(|last| now.duration_since(last) > LAST_LOGIN_EXACT_TO) {
            let seen = PrincipalRecord { last_login_at: Some(now), ..principal.value.clone() };
            change = change.update(&principal, &seen)?;
        } else {
            // Whoever suspends the account meanwhile wins.
            change = change.expect(&principal);
        }
        self.commit(change).await?;
        self.tokens(session)
    }

    async fn login_failed(&self, name: &UserName, source: Option<IpAddr>) -> Result<()> {
        let found = self.user_named(name).await?;
        let before = self.login_counter(name).await?;
        let failures = before.as_ref().map_or(0, |row| row.value.failures).saturating_add(1);
        let locks = failures >= FAILURES_MOST;
        let until = self.now().saturating_add(LOCKOUT).unwrap_or(Timestamp::MAX);
        let counter = LoginCounter { failures: if locks { 0 } else { failures }, locked_until: locks.then_some(until) };
        let kind = if locks { EventKind::LoginLockedOut } else { EventKind::LoginFailed };
        let event = self.login_event(kind, source, found.as_ref().map(|row| &row.value));
        let change: Change<'_> = match &before {
            // While locked out nothing is counted, and the lockout is not prolonged by whoever keeps knocking.
            Some(row) if self.locks_out(&row.value) => self.change(event).expect(row),
            Some(row) => self.change(event).update(row, &counter)?,
            None => self.change(event).create(self.counter_row(name), &counter)?,
        };
        self.commit(change).await.map(drop)
    }

    /// Unknown names are not written into the log: people type passwords there.
    pub(super) fn login_event(
        &self,
        kind: EventKind,
        source: Option<IpAddr>,
        principal: Option<&PrincipalRecord>,
    ) -> Event {
        let event = Event::new(Scope::Operator, kind, self.now());
        match (principal, source) {
            (Some(principal), Some(source)) => event
                .with(FieldName::Actor, principal.id)
                .with_personal(principal.id, FieldName::ActorName, &principal.name)
                .with_personal(principal.id, FieldName::Source, source),
            (Some(principal), None) => event.with(FieldName::Actor, principal.id).with_personal(
                principal.id,
                FieldName::ActorName,
                &principal.name,
            ),
            (None, Some(source)) => {
                event.with(FieldName::Actor, "unknown").with(FieldName::Detail, format_args!("from {source}"))
            }
            (None, None) => event.with(FieldName::Actor, "unknown"),
        }
    }

    async fn user_named(&self, name: &UserName) -> Result<Option<Versioned<PrincipalRecord>>> {
        let row = self.keyring().name(Table::Principals, Scope::Operator, name.as_str());
        let Some(found) = self.read::<NameRecord>(&row).await? else { return Ok(None) };
        let principal = self.read::<PrincipalRecord>(&RowId::principal(PrincipalId::from_uuid(found.value.id))).await?;
        Ok(principal.filter(|row| row.value.kind == PrincipalKind::User))
    }

    async fn is_locked_out(&self, name: &UserName) -> Result<bool> {
        Ok(self.login_counter(name).await?.is_some_and(|row| self.locks_out(&row.value)))
    }

    fn locks_out(&self, counter: &LoginCounter) -> bool {
        counter.locked_until.is_some_and(|until| self.now() < until)
    }

    async fn login_counter(&self, name: &UserName) -> Result<Option<Versioned<LoginCounter>>> {
        self.read(&self.counter_row(name)).await
    }

    fn counter_row(&self, name: &UserName) -> RowId {
        let index =
            self.keyring().lookup().index(Table::LoginCounters.tag(), Scope::Operator, name.as_str().as_bytes());
        RowId::login_counter(&index)
    }
}

/// A real Argon2id run, whether there is a hash to compare with or not; for whoever has a turn.
async fn matches_password(password: Secret, stored: Option<String>) -> Result<bool> {
    tokio::task::spawn_blocking(move || argon2id(&password, stored.as_deref())).await.map_err(Error::internal)
}

fn argon2id(password: &Secret, stored: Option<&str>) -> bool {
    #[cfg(test)]
    RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let Some(phc) = stored else {
        password::dummy_verify(password);
        return false;
    };
    password::verify(password, phc).is_ok_and(|verdict| verdict.matches)
}

#[cfg(test)]
static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// How often a login ran Argon2id.
#[cfg(test)]
pub(crate) fn runs() -> u32 {
    RUNS.load(std::sync::atomic::Ordering::SeqCst)
}

/// Hashes a new password, in the same bounded pool.
pub(super) async fn hash_password(open: &Open, password: Secret) -> Result<String> {
    let _turn = HASHING.acquire().await.map_err(Error::internal)?;
    let random = open.ground().random.clone();
    tokio::task::spawn_blocking(move || password::hash(&password, random.as_ref())).await.map_err(Error::internal)
}
