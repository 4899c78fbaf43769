//! What nobody needs any more is erased: once a day, a page of rows a commit, each after its retention. The audit log is
//! never touched, nor what an open checkout, a retry or a login still reads.
//!
//! What changed while it was looked at, and what cannot be read, is left for the next day.

use std::collections::BTreeSet;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{GrantId, Scope, Timestamp};
use claviger_core::rotation::Step;
use claviger_store::{Range, Record, RowId, Table, Versioned};
use jiff::SignedDuration;

use crate::error::Result;
use crate::identity::place::KNOWN_FOR;
use crate::open::Open;
use crate::records::{
    FactorsRecord, GrantRecord, IdempotencyRecord, LoginCounter, PrincipalRecord, RevealsRecord,
    RevokedCertificatesRecord, RotationRecord, SessionRecord, TokenRecord,
};

/// Who erases.
const ACTOR: &str = "system/purge";
/// Rows that are looked at, and erased, at once.
const PAGE: usize = 500;
/// How long a session stays after its end, and a token after it is good for nothing.
const SESSIONS_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long a request with an `Idempotency-Key` can be repeated.
pub const IDEMPOTENCY_KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long failed logins count after the last of them. A lockout is far shorter.
const LOGIN_COUNTERS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the reveals of an hour stay after their grant's end.
const REVEAL_TIMES_KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long a rotation can be looked at after it is over: longer than any checkout that it revoked may have lasted, and a
/// year besides. Its events stay in the log.
const ROTATIONS_KEPT: SignedDuration = SignedDuration::from_hours(400 * 24);

/// How long a certificate stays on its revocation list after its end: a host's clock may be slow.
const REVOKED_KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Open {
    /// Erases what is past its retention. How many rows it were.
    pub(crate) async fn purge(&self) -> usize {
        let mut erased = 0;
        for (what, done) in [
            ("sessions", self.purge_sessions().await),
            ("tokens", self.purge_tokens().await),
            ("idempotency keys", self.purge_idempotency().await),
            ("revoked certificates", self.purge_revoked_certificates().await),
            ("rotations", self.purge_rotations().await),
            ("login counters", self.purge_login_counters().await),
            ("reveal times", self.purge_reveal_times().await),
        ] {
            match done {
                Ok(rows) => erased += rows,
                Err(error) => tracing::warn!(?error, what, "not everything old could be erased; tomorrow again"),
            }
        }
        erased
    }

    async fn purge_sessions(&self) -> Result<usize> {
        let now = self.now();
        let over = |_: &RowId, session: &SessionRecord| is_past(session.expires_at, SESSIONS_KEPT, now);
        let tokens = |session: &SessionRecord| {
            let hashes = [session.refresh, session.refresh_before].into_iter().flatten();
            hashes.map(|hash| RowId::token(&hash)).collect()
        };
        self.erase(Range::table(Table::Sessions), "sessions", over, tokens).await
    }

    /// Tokens that nothing refers to: no session, no challenge, no principal as its own.
    async fn purge_tokens(&self) -> Result<usize> {
        let mut used: BTreeSet<[u8; 32]> = BTreeSet::new();
        for row in self.all::<PrincipalRecord>(&Range::table(Table::Principals)).await? {
            used.extend(row.value.token);
        }
        for row in self.all::<SessionRecord>(&Range::table(Table::Sessions)).await? {
            used.extend([row.value.refresh, row.value.refresh_before].into_iter().flatten());
        }
        for row in self.all::<FactorsRecord>(&Range::table(Table::Factors)).await? {
            used.extend(row.value.challenges.iter().map(|challenge| challenge.hash));
        }
        let now = self.now();
        let over = |id: &RowId, token: &TokenRecord| {
            let unused = id.id().try_into().is_ok_and(|hash: [u8; 32]| !used.contains(&hash));
            unused && is_past(token.expires_at, SESSIONS_KEPT, now)
        };
        self.erase(Range::table(Table::Tokens), "tokens", over, |_| Vec::new()).await
    }

    async fn purge_idempotency(&self) -> Result<usize> {
        let now = self.now();
        let over = |_: &RowId, done: &IdempotencyRecord| is_past(done.created_at, IDEMPOTENCY_KEPT, now);
        self.erase(Range::table(Table::Idempotency), "idempotency keys", over, |_| Vec::new()).await
    }

    async fn purge_rotations(&self) -> Result<usize> {
        let now = self.now();
        let over = |_: &RowId, record: &RotationRecord| match record.rotation.step {
            Step::Done { at } | Step::Cancelled { at } => is_past(at, ROTATIONS_KEPT, now),
            Step::Preparing
            | Step::Ready { .. }
            | Step::Asking { .. }
            | Step::Sending { .. }
            | Step::Verifying { .. }
            | Step::Recovering { .. }
            | Step::ProvingOld { .. } => false,
        };
        self.erase(Range::table(Table::Rotations), "rotations", over, |_| Vec::new()).await
    }

    async fn purge_revoked_certificates(&self) -> Result<usize> {
        let now = self.now();
        let over = |_: &RowId, revoked: &RevokedCertificatesRecord| is_past(revoked.valid_before, REVOKED_KEPT, now);
        self.erase(Range::table(Table::RevokedCertificates), "revoked certificates", over, |_| Vec::new()).await
    }

    async fn purge_login_counters(&self) -> Result<usize> {
        let now = self.now();
        // Of one from before the time was kept, only the end of a lockout is known.
        let over = |_: &RowId, counter: &LoginCounter| {
            let known = counter.came_in_at.is_some_and(|at| !is_past(at, KNOWN_FOR, now));
            let last = counter.last_failure_at.or(counter.locked_until).or(counter.came_in_at);
            !known && last.is_some_and(|last| is_past(last, LOGIN_COUNTERS_KEPT, now))
        };
        self.erase(Range::table(Table::LoginCounters), "login counters", over, |_| Vec::new()).await
    }

    async fn purge_reveal_times(&self) -> Result<usize> {
        let now = self.now();
        let mut live: BTreeSet<GrantId> = BTreeSet::new();
        for row in self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await? {
            if !is_past(row.value.0.expires_at, REVEAL_TIMES_KEPT, now) {
                live.insert(row.value.0.id);
            }
        }
        let over =
            |id: &RowId, _: &RevealsRecord| id.uuid().is_some_and(|grant| !live.contains(&GrantId::from_uuid(grant)));
        self.erase(Range::table(Table::RevealTimes), "reveal times", over, |_| Vec::new()).await
    }

    /// Erases the rows of a range that are over, with those beside them.
    async fn erase<T: Record + Send + Sync>(
        &self,
        range: Range,
        what: &str,
        over: impl Fn(&RowId, &T) -> bool,
        beside: impl Fn(&T) -> Vec<RowId>,
    ) -> Result<usize> {
        let (mut range, mut erased) = (range.limit(PAGE), 0);
        loop {
            let (rows, next) = self.piece::<T>(&range).await?;
            let old: Vec<Versioned<T>> = rows.into_iter().filter(|row| over(&row.id, &row.value)).collect();
            if !old.is_empty() {
                erased += self.erase_page(&old, what, &beside).await?;
            }
            match next {
                Some(next) => range = next,
                None => return Ok(erased),
            }
        }
    }

    async fn erase_page<T: Record>(
        &self,
        old: &[Versioned<T>],
        what: &str,
        beside: &impl Fn(&T) -> Vec<RowId>,
    ) -> Result<usize> {
        let event = self
            .automatic(Scope::Operator, EventKind::StorePurged, ACTOR)
            .with(FieldName::Detail, format_args!("{} {what}", old.len()));
        let mut change = self.change(event);
        for row in old {
            change = change.remove(row);
            for other in beside(&row.value) {
                change = change.erase(other);
            }
        }
        match self.commit(change).await {
            Ok(_) => Ok(old.len()),
            // One of them is in use after all.
            Err(error) if error.is_conflict() => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Whether a time and the retention after it are over.
fn is_past(time: Timestamp, kept: SignedDuration, now: Timestamp) -> bool {
    time.saturating_add(kept).is_ok_and(|until| until <= now)
}
