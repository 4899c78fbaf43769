//! Logins of users, by password, and then a second factor: `mfa.rs`. Failures are counted, durably, before they are
//! answered. Programs: `program_login.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{LoginAnswer, PrincipalKind, PrincipalState};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_crypto::{Random, password};
use claviger_store::{RowId, Table, Versioned};
use jiff::SignedDuration;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::identity::place::Counted;
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{LoginCounter, NameRecord, PrincipalRecord};

/// After so many failures in a row no login of this name is tried for [`LOCKOUT`].
pub const FAILURES_MOST: u32 = 10;
/// How long that lasts.
pub const LOCKOUT: SignedDuration = SignedDuration::from_mins(15);
/// How exact `last_login_at` is: not every login of a busy program rewrites its record.
pub(super) const LAST_LOGIN_EXACT_TO: SignedDuration = SignedDuration::from_mins(5);
/// Argon2id runs at once for whoever comes from a known place, or has a session.
const HASHES_AT_ONCE: usize = 1;
/// And at once for all others: together they leave requests a processor, and the one never waits for the other.
const STRANGERS_AT_ONCE: usize = 1;
/// Of the others so many may wait; the next is told to come again.
const STRANGERS_WAITING: usize = 64;
/// When.
const STRANGERS_AGAIN_SECONDS: u64 = 5;

static HASHING: Semaphore = Semaphore::const_new(HASHES_AT_ONCE);
static STRANGERS_HASHING: Semaphore = Semaphore::const_new(STRANGERS_AT_ONCE);
static STRANGERS: Semaphore = Semaphore::const_new(STRANGERS_WAITING);

impl Open {
    /// Asks a user for the second factor, or, where there is none yet, opens a session that may do nothing but enrol
    /// one. Unknown, locked and disabled users cost the same and are answered alike.
    pub async fn login_user(&self, name: &UserName, password: &Secret, source: Option<IpAddr>) -> Result<LoginAnswer> {
        let turn = if self.counted(name, source).await?.is_known_place() {
            (HASHING.acquire().await.map_err(Error::internal)?, None)
        } else {
            let waits = STRANGERS.try_acquire().map_err(|_| busy())?;
            (STRANGERS_HASHING.acquire().await.map_err(Error::internal)?, Some(waits))
        };
        // Read when its turn has come: whoever waited for it may have been locked out meanwhile.
        let locked = self.is_locked_out(name, source).await?;
        let found = self.user_named(name).await?;
        let stored = found.as_ref().and_then(|row| row.value.password.clone()).filter(|_| !locked);
        let may_log_in = found.as_ref().is_some_and(|row| row.value.state == PrincipalState::Active);
        let right = right_password(password.duplicate(), stored, self.ground().random.clone()).await?;
        drop(turn);
        if let (Some(user), Some(right)) = (found.filter(|_| may_log_in), right) {
            return deciding(|| self.password_accepted(user.value.id, &right, source)).await;
        }
        deciding(|| self.login_failed(name, source)).await?;
        Err(Error::new(ProblemType::InvalidCredentials, ""))
    }

    async fn password_accepted(
        &self,
        user: PrincipalId,
        right: &RightPassword,
        source: Option<IpAddr>,
    ) -> Result<LoginAnswer> {
        let refused = || Error::new(ProblemType::InvalidCredentials, "");
        let user = self.load::<PrincipalRecord>(&RowId::principal(user)).await?;
        if user.value.state != PrincipalState::Active || user.value.password.as_ref() != Some(&right.stored) {
            return Err(refused());
        }
        let counted = self.counted(&user.value.name, source).await?;
        if self.locks_out(&counted) {
            return Err(refused());
        }
        let hashed = right.upgraded.clone().or_else(|| user.value.password.clone());
        let known = PrincipalRecord { password: hashed, ..user.value.clone() };
        if user.value.has_factors {
            let event = self.login_event(EventKind::LoginPasswordAccepted, source, Some(&user.value));
            return self.challenge(&user, &known, event).await.map(LoginAnswer::SecondFactor);
        }
        let session = self.new_session(&user.value);
        let event = self
            .login_event(EventKind::LoginSucceeded, source, Some(&user.value))
            .with(FieldName::Session, session.record.id);
        let change = Self::with_session(self.change(event), &session)?;
        let change = self.with_login(change, &user, known, counted)?;
        self.commit(change).await?;
        self.tokens(session).map(LoginAnswer::Session)
    }

    /// Adds to a change that a user is in: the failures are forgotten, the place is known, the time is noted.
    pub(super) fn with_login<'a>(
        &self,
        change: Change<'a>,
        user: &Versioned<PrincipalRecord>,
        known: PrincipalRecord,
        counted: Counted,
    ) -> Result<Change<'a>> {
        let change = self.came_in(change, counted)?;
        let now = self.now();
        let noted = user.value.last_login_at.is_some_and(|last| now.duration_since(last) <= LAST_LOGIN_EXACT_TO);
        if noted && known.password == user.value.password {
            // Whoever suspends the user meanwhile wins.
            return Ok(change.expect(user));
        }
        change.update(user, &PrincipalRecord { last_login_at: Some(now), ..known })
    }

    /// Counts a failure and tells of it, in one commit.
    pub(super) async fn login_failed(&self, name: &UserName, source: Option<IpAddr>) -> Result<()> {
        self.commit(self.failed_login(name, source).await?).await.map(drop)
    }

    /// A change that counts a failure and tells of it. Passwords, codes, recovery codes and passkeys share one counter.
    pub(super) async fn failed_login(&self, name: &UserName, source: Option<IpAddr>) -> Result<Change<'_>> {
        let found = self.user_named(name).await?;
        let counted = self.counted(name, source).await?;
        let failures = counted.failures().saturating_add(1);
        let locks = failures >= FAILURES_MOST;
        let until = self.now().saturating_add(LOCKOUT).unwrap_or(Timestamp::MAX);
        let after = LoginCounter {
            failures: if locks { 0 } else { failures },
            locked_until: locks.then_some(until),
            last_failure_at: Some(self.now()),
            came_in_at: counted.came_in_at(),
        };
        let kind = if locks { EventKind::LoginLockedOut } else { EventKind::LoginFailed };
        let event = self.login_event(kind, source, found.as_ref().map(|row| &row.value));
        Ok(match &counted.row {
            // While locked out nothing is counted, and the lockout is not prolonged by whoever keeps knocking.
            Some(row) if self.locks_out(&counted) => self.change(event).expect(row),
            Some(row) => self.change(event).update(row, &after)?,
            None => self.change(event).create(counted.id, &after)?,
        })
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
}

fn busy() -> Error {
    let refusal = Error::new(ProblemType::TooManyRequests, "");
    Error { retry_after_seconds: Some(STRANGERS_AGAIN_SECONDS), ..refusal }
}

/// A password that is the stored one.
struct RightPassword {
    /// The hash that it was compared with.
    stored: String,
    /// The same password's hash at today's cost, where the stored one is of another.
    upgraded: Option<String>,
}

/// A real Argon2id run, whether there is a hash to compare with or not; for whoever has a turn.
async fn right_password(
    password: Secret,
    stored: Option<String>,
    random: Arc<dyn Random>,
) -> Result<Option<RightPassword>> {
    let work = move || argon2id(&password, stored, random.as_ref());
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

fn argon2id(password: &Secret, stored: Option<String>, random: &dyn Random) -> Option<RightPassword> {
    #[cfg(test)]
    RUNS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let Some(stored) = stored else {
        password::dummy_verify(password);
        return None;
    };
    let verdict = password::verify(password, &stored).ok().filter(|verdict| verdict.matches)?;
    let upgraded = verdict.needs_upgrade.then(|| password::hash(password, random));
    Some(RightPassword { stored, upgraded })
}

/// Whether it is the user's password: for one who has a session, in the same bounded pool.
pub(super) async fn is_password(open: &Open, password: &Secret, stored: Option<String>) -> Result<bool> {
    let _turn = HASHING.acquire().await.map_err(Error::internal)?;
    let right = right_password(password.duplicate(), stored, open.ground().random.clone()).await?;
    Ok(right.is_some())
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
