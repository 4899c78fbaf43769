//! The identity of a row, and the keys and ranges made from it: the only maker of keys.

use std::fmt;

use claviger_api::Timestamp;
use claviger_api::{
    AccountId, BackupId, BreakGlassId, CheckoutId, CustomerId, EmergencyId, GrantId, IssuerId, KitId, PrincipalId,
    ProviderId, ReviewId, RotationId, Scope, SessionId, SystemId,
};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::catalogue::{HASH, Layout, NUMBER, Table, UUID};
use crate::engine::{Range, StoreKey, in_place};
use crate::keyring::Purpose;

/// The most rows one scan brings, unless told otherwise.
pub const SCAN_MAX: usize = 1000;

/// Which row: its table, whose it is, and which of theirs. All three are bound into the row's encryption.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RowId {
    table: Table,
    scope: Scope,
    id: SmallVec<[u8; ID_IN_PLACE]>,
}

/// Longer ids are on the heap, as longer keys are.
const ID_IN_PLACE: usize = 40;

/// What a timer's row id says, so that a worker can act before it opens the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When it is due, in whole milliseconds (never earlier than was asked for).
    pub due: Timestamp,
    /// Whose it is.
    pub scope: Scope,
    /// What is to be done; the numbers are the service's.
    pub kind: u8,
    /// To what.
    pub id: Uuid,
}

/// The bytes are no key of a table that this version knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store holds a key that no table of this version has: {0}")]
pub struct BadKey(pub StoreKey);

impl Timer {
    /// Its row.
    pub fn row(&self) -> RowId {
        RowId::timer(self.due, self.scope, self.kind, self.id)
    }
}

impl RowId {
    /// A clear value of the operator's, by its name.
    pub fn meta(name: &str) -> Self {
        Self::new(Table::Meta, Scope::Operator, &[name.as_bytes()])
    }

    /// A wrapped key. `id` tells several of one purpose apart; keys there is one of have the nil UUID.
    pub fn key(scope: Scope, purpose: Purpose, id: Uuid) -> Self {
        Self::new(Table::Keys, scope, &[&[purpose.tag()], id.as_bytes()])
    }

    /// A name, by its lookup index (`LookupKey::index`).
    pub fn name(scope: Scope, index: &[u8; HASH]) -> Self {
        Self::new(Table::Names, scope, &[index])
    }

    /// A customer.
    pub fn customer(customer: CustomerId) -> Self {
        Self::new(Table::Customers, Scope::Customer(customer), &[])
    }

    /// A system.
    pub fn system(customer: CustomerId, system: SystemId) -> Self {
        Self::of(Table::Systems, customer, system.uuid())
    }

    /// An account, as people describe it.
    pub fn account(customer: CustomerId, account: AccountId) -> Self {
        Self::of(Table::Accounts, customer, account.uuid())
    }

    /// What an account is doing.
    pub fn account_state(customer: CustomerId, account: AccountId) -> Self {
        Self::of(Table::AccountStates, customer, account.uuid())
    }

    /// What is known of an account's secret from trying it.
    pub fn watch(customer: CustomerId, account: AccountId) -> Self {
        Self::of(Table::Watches, customer, account.uuid())
    }

    /// What logins a system has.
    pub fn discovery(customer: CustomerId, system: SystemId) -> Self {
        Self::of(Table::Discoveries, customer, system.uuid())
    }

    /// Who depends on an account's secret.
    pub fn follow_up(customer: CustomerId, account: AccountId) -> Self {
        Self::of(Table::FollowUps, customer, account.uuid())
    }

    /// A version of an account's secret.
    pub fn secret(customer: CustomerId, account: AccountId, version: u64) -> Self {
        Self::new(Table::Secrets, Scope::Customer(customer), &[account.uuid().as_bytes(), &version.to_be_bytes()])
    }

    /// A checkout.
    pub fn checkout(customer: CustomerId, checkout: CheckoutId) -> Self {
        Self::of(Table::Checkouts, customer, checkout.uuid())
    }

    /// A rotation.
    pub fn rotation(customer: CustomerId, rotation: RotationId) -> Self {
        Self::of(Table::Rotations, customer, rotation.uuid())
    }

    /// That a principal has seen a version of an account's secret.
    pub fn exposure(customer: CustomerId, account: AccountId, version: u64, principal: PrincipalId) -> Self {
        let (account, principal) = (account.uuid(), principal.uuid());
        let id: [&[u8]; 3] = [account.as_bytes(), &version.to_be_bytes(), principal.as_bytes()];
        Self::new(Table::Exposures, Scope::Customer(customer), &id)
    }

    /// That an account's secret has this fingerprint.
    pub fn fingerprint(scope: Scope, fingerprint: &[u8; HASH], account: AccountId) -> Self {
        Self::new(Table::Fingerprints, scope, &[fingerprint, account.uuid().as_bytes()])
    }

    /// Certificates of an ended checkout that still have time.
    pub fn revoked_certificates(customer: CustomerId, system: SystemId, checkout: CheckoutId) -> Self {
        let (system, checkout) = (system.uuid(), checkout.uuid());
        let id: [&[u8]; 2] = [system.as_bytes(), checkout.as_bytes()];
        Self::new(Table::RevokedCertificates, Scope::Customer(customer), &id)
    }

    /// A user or service account. All are the operator's rows: a login comes before the customer is known.
    pub fn principal(principal: PrincipalId) -> Self {
        Self::new(Table::Principals, Scope::Operator, &[principal.uuid().as_bytes()])
    }

    /// What is left of a principal that was removed.
    pub fn former_principal(principal: PrincipalId) -> Self {
        Self::new(Table::FormerPrincipals, Scope::Operator, &[principal.uuid().as_bytes()])
    }

    /// A review of who reaches a customer.
    pub fn review(customer: CustomerId, review: ReviewId) -> Self {
        Self::of(Table::Reviews, customer, review.uuid())
    }

    /// A line of a review: a grant.
    pub fn review_line(customer: CustomerId, review: ReviewId, grant: GrantId) -> Self {
        let (review, grant) = (review.uuid(), grant.uuid());
        let id: [&[u8]; 2] = [review.as_bytes(), grant.as_bytes()];
        Self::new(Table::ReviewLines, Scope::Customer(customer), &id)
    }

    /// A broken glass.
    pub fn break_glass(customer: CustomerId, glass: BreakGlassId) -> Self {
        Self::of(Table::BreakGlasses, customer, glass.uuid())
    }

    /// An emergency rotation of a customer.
    pub fn emergency(customer: CustomerId, emergency: EmergencyId) -> Self {
        Self::of(Table::Emergencies, customer, emergency.uuid())
    }

    /// A line of one: an account.
    pub fn emergency_line(customer: CustomerId, emergency: EmergencyId, account: AccountId) -> Self {
        let (emergency, account) = (emergency.uuid(), account.uuid());
        let id: [&[u8]; 2] = [emergency.as_bytes(), account.as_bytes()];
        Self::new(Table::EmergencyLines, Scope::Customer(customer), &id)
    }

    /// An emergency kit of a customer.
    pub fn kit(customer: CustomerId, kit: KitId) -> Self {
        Self::of(Table::Kits, customer, kit.uuid())
    }

    /// A grant, at a customer or at the operator.
    pub fn grant(scope: Scope, grant: GrantId) -> Self {
        Self::new(Table::Grants, scope, &[grant.uuid().as_bytes()])
    }

    /// An issuer of tokens.
    pub fn issuer(issuer: IssuerId) -> Self {
        Self::new(Table::Issuers, Scope::Operator, &[issuer.uuid().as_bytes()])
    }

    /// An identity provider.
    pub fn identity_provider(provider: ProviderId) -> Self {
        Self::new(Table::IdentityProviders, Scope::Operator, &[provider.uuid().as_bytes()])
    }

    /// How far a stream has come in a log, by the lookup index of the stream's name.
    pub fn stream_cursor(log: Scope, index: &[u8; HASH]) -> Self {
        Self::new(Table::StreamCursors, log, &[index])
    }

    /// A backup.
    pub fn backup(backup: BackupId) -> Self {
        Self::new(Table::Backups, Scope::Operator, &[backup.uuid().as_bytes()])
    }

    /// A customer that was offboarded.
    pub fn offboarding(customer: CustomerId) -> Self {
        Self::new(Table::Offboardings, Scope::Operator, &[customer.uuid().as_bytes()])
    }

    /// A session.
    pub fn session(session: SessionId) -> Self {
        Self::new(Table::Sessions, Scope::Operator, &[session.uuid().as_bytes()])
    }

    /// A token, by its hash.
    pub fn token(hash: &[u8; HASH]) -> Self {
        Self::new(Table::Tokens, Scope::Operator, &[hash])
    }

    /// The failed logins of a name, known or not, by its lookup index.
    pub fn login_counter(index: &[u8; HASH]) -> Self {
        Self::new(Table::LoginCounters, Scope::Operator, &[index])
    }

    /// The reveals of the last hour under a grant.
    pub fn reveal_times(grant: GrantId) -> Self {
        Self::new(Table::RevealTimes, Scope::Operator, &[grant.uuid().as_bytes()])
    }

    /// A user's second factors.
    pub fn factors(principal: PrincipalId) -> Self {
        Self::new(Table::Factors, Scope::Operator, &[principal.uuid().as_bytes()])
    }

    /// A timer. `due` is rounded up to a whole millisecond, so that it never fires early.
    pub fn timer(due: Timestamp, scope: Scope, kind: u8, id: Uuid) -> Self {
        Self::new(Table::Timers, scope, &[&due_milliseconds(due).to_be_bytes(), &[kind], id.as_bytes()])
    }

    /// The request that an Idempotency-Key belongs to, by the hash of principal and key.
    pub fn idempotency(scope: Scope, hash: &[u8; HASH]) -> Self {
        Self::new(Table::Idempotency, scope, &[hash])
    }

    /// The head of a log.
    pub fn log_head(scope: Scope) -> Self {
        Self::new(Table::LogHeads, scope, &[])
    }

    /// An entry of a log.
    pub fn log_leaf(scope: Scope, index: u64) -> Self {
        Self::new(Table::LogLeaves, scope, &[&index.to_be_bytes()])
    }

    /// A hash tile of a log.
    pub fn log_tile(scope: Scope, level: u8, index: u64) -> Self {
        Self::new(Table::LogTiles, scope, &[&[level], &index.to_be_bytes()])
    }

    /// A page of a log's index.
    pub fn log_index(scope: Scope, level: u8, place: u64, part: u8) -> Self {
        Self::new(Table::LogIndex, scope, &[&[level], &place.to_be_bytes(), &[part]])
    }

    /// Where a log's entries from this one on are, outside of the store.
    pub fn log_archive(scope: Scope, from: u64) -> Self {
        Self::new(Table::LogArchives, scope, &[&from.to_be_bytes()])
    }

    /// How far the replacement of a customer's key is.
    pub fn key_rotation(customer: CustomerId) -> Self {
        Self::new(Table::KeyRotations, Scope::Customer(customer), &[])
    }

    /// Its table.
    pub const fn table(&self) -> Table {
        self.table
    }

    /// Whose it is.
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Which of its scope's rows in the table: the key without tag and scope.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The UUID its id begins with, where the table's ids do: the system's, account's, checkout's, …
    pub fn uuid(&self) -> Option<Uuid> {
        self.id.first_chunk().copied().map(Uuid::from_bytes)
    }

    /// The number its id ends with, where the table's ids do: a secret's version, a log entry's index.
    pub fn number(&self) -> Option<u64> {
        self.id.last_chunk().copied().map(u64::from_be_bytes)
    }

    /// What it says as a timer; `None` of another table's row.
    pub fn as_timer(&self) -> Option<Timer> {
        if self.table != Table::Timers {
            return None;
        }
        let (due, rest) = self.id.split_first_chunk::<NUMBER>()?;
        let (kind, id) = rest.split_first()?;
        Some(Timer {
            due: Timestamp::from_millisecond(i64::try_from(u64::from_be_bytes(*due)).ok()?).ok()?,
            scope: self.scope,
            kind: *kind,
            id: Uuid::from_slice(id).ok()?,
        })
    }

    /// The key the row is stored under.
    pub fn to_key(&self) -> StoreKey {
        let tag = [self.table.tag()];
        let scope = self.scope.bytes();
        match self.table.layout() {
            Layout::Name => StoreKey::of(&[&tag, &self.id]),
            Layout::Scoped(_) => StoreKey::of(&[&tag, &scope, &self.id]),
            Layout::Due => {
                let (due, rest) = self.id.split_at_checked(NUMBER).unwrap_or((&self.id, &[]));
                StoreKey::of(&[&tag, due, &scope, rest])
            }
        }
    }

    /// The row stored under this key.
    pub fn from_key(key: &StoreKey) -> Result<Self, BadKey> {
        Self::parse(key.as_bytes()).ok_or_else(|| BadKey(key.clone()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let table = Table::from_tag(*tag)?;
        match table.layout() {
            Layout::Name => std::str::from_utf8(rest).ok().map(Self::meta),
            Layout::Scoped(length) => {
                let (scope, id) = rest.split_first_chunk::<UUID>()?;
                (id.len() == length).then(|| Self::new(table, scope_of(*scope), &[id]))
            }
            Layout::Due => {
                let (due, rest) = rest.split_first_chunk::<NUMBER>()?;
                let (scope, rest) = rest.split_first_chunk::<UUID>()?;
                let row = Self::new(table, scope_of(*scope), &[due, rest]);
                row.as_timer().is_some().then_some(row)
            }
        }
    }

    fn of(table: Table, customer: CustomerId, id: Uuid) -> Self {
        Self::new(table, Scope::Customer(customer), &[id.as_bytes()])
    }

    fn new(table: Table, scope: Scope, parts: &[&[u8]]) -> Self {
        Self { table, scope, id: in_place(parts) }
    }
}

/// The table, and the key in hex: ids and keyed hashes, never a clear name of a customer's.
impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.table, self.to_key())
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowId({self})")
    }
}

impl Range {
    /// All rows of all tables.
    pub fn everything() -> Self {
        let (start, end) = (StoreKey::of(&[]), StoreKey::of(&[&[u8::MAX]]));
        Self { start, end, limit: SCAN_MAX, reverse: false }
    }

    /// All rows of a table, whoever's they are.
    pub fn table(table: Table) -> Self {
        Self::below(vec![table.tag()])
    }

    /// The rows of a scope in a table. (Timers are ordered by time, not by scope: see [`Range::timers_due`].)
    pub fn scope(table: Table, scope: Scope) -> Self {
        Self::prefix(table, scope, &[])
    }

    /// The rows of a scope in a table whose id begins with `prefix`: the versions of one account's secret, say.
    pub fn prefix(table: Table, scope: Scope, prefix: &[u8]) -> Self {
        Self::below([&[table.tag()], scope.bytes().as_slice(), prefix].concat())
    }

    /// The timers due at `until` or before, whoever's they are, the earliest first.
    pub fn timers_due(until: Timestamp) -> Self {
        let after = u64::try_from(until.as_millisecond()).map_or(0, |milliseconds| milliseconds + 1);
        let mut range = Self::table(Table::Timers);
        range.end = StoreKey::of(&[&[Table::Timers.tag()], &after.to_be_bytes()]);
        range
    }

    /// Whether it may hold rows of several scopes: a whole table's, or a piece of it.
    pub fn is_across_scopes(&self) -> bool {
        self.start.as_bytes().len() <= 1 || self.end.as_bytes().len() <= 1
    }

    /// At most this many rows.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// From the last row to the first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = !self.reverse;
        self
    }

    /// Goes on after this row, in the range's direction: the next page. Call it after [`Range::reversed`].
    #[must_use]
    pub fn after(mut self, last: &StoreKey) -> Self {
        if self.reverse {
            self.end = last.clone().min(self.end);
        } else {
            // The least key above another is that key and a zero byte.
            let next = StoreKey::of(&[last.as_bytes(), &[0]]);
            self.start = next.max(self.start);
        }
        self
    }

    fn below(prefix: Vec<u8>) -> Self {
        let end = StoreKey::from_stored(after_prefix(prefix.clone()));
        Self { start: StoreKey::from_stored(prefix), end, limit: SCAN_MAX, reverse: false }
    }
}

/// The least bytes above all that begin with `prefix`. A tag is never 0xff, so there is always an answer.
fn after_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            break;
        }
    }
    prefix
}

/// Milliseconds since 1970, rounded up; what lies before 1970 is due at once.
fn due_milliseconds(due: Timestamp) -> u64 {
    let whole = due.as_millisecond();
    let part = due.as_nanosecond() > i128::from(whole) * 1_000_000;
    u64::try_from(whole).map_or(0, |whole| whole + u64::from(part))
}

fn scope_of(bytes: [u8; UUID]) -> Scope {
    if bytes == Scope::Operator.bytes() {
        Scope::Operator
    } else {
        Scope::Customer(CustomerId::from_uuid(Uuid::from_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests;
