//! The keys of the hierarchy while the vault is unsealed, and their wrapped rows in the store.
//!
//! ```text
//! root ─┬─ operator, lookup, fingerprint, freshness      one row each, in the operator's scope
//!       └─ customer                                      one row a customer; held only while it is not locked
//!                                                        another one while it is being replaced (`keyring/change.rs`)
//! customer (or operator) ─ subject                       one row a person and scope
//! customer (or operator) ─ archive                       one row an archive of a log
//! customer ─ certificate authority                       one row a system that has one
//! operator ─ signing                                     one row a key: a locked customer's log can still be signed
//! ```
//!
//! A wrapped key is bound to its row: table, scope, purpose, id and revision. The keyring keeps the root key too,
//! because each new customer's key is wrapped under it; dropping the keyring wipes them all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_api::{CustomerId, Scope, SystemId};
use claviger_crypto::envelope::{Aad, OpenError, open, seal};
use claviger_crypto::freshness::Digest;
use claviger_crypto::wrap::{unwrap, wrap};
use claviger_crypto::{
    ArchiveKey, CustomerKey, FingerprintKey, FreshnessKey, Key, LookupKey, OperatorKey, Random, RootKey, SealingKey,
    SigningKey, SubjectKey,
};
use parking_lot::RwLock;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::catalogue::{SealedBy, Table};
use crate::engine::{Range, Row, Store};
use crate::row::RowId;
use crate::sealing::{SealedError, SealedPut};

mod beside;
mod change;

use change::CustomerKeys;
pub use change::{Retired, key_row_of, other_customer_row};

/// The revision of a row that is written for the first time; new wrapped keys are bound to it.
pub const FIRST_REVISION: u64 = 1;

/// A wrapped key and the row it belongs in, at revision [`FIRST_REVISION`] and expected absent.
/// [`SealedPut::from`](crate::SealedPut) makes a put of it.
pub type WrappedKey = (RowId, Vec<u8>);

/// What a wrapped key is for. The tag is part of its row's key: append only.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The operator key.
    Operator = 1,
    /// The lookup key.
    Lookup = 2,
    /// The fingerprint key.
    Fingerprint = 3,
    /// The freshness key.
    Freshness = 4,
    /// A customer's key.
    Customer = 5,
    /// One person's key in one scope, for the personal fields of audit events.
    Subject = 6,
    /// A signing key: checkpoints, access tokens.
    Signing = 7,
    /// The authority of a system's certificates, under its customer's key.
    CertificateAuthority = 8,
    /// What a customer's webhooks are signed by, under the customer's key.
    Webhooks = 9,
    /// What the entries of one archive of a log are sealed under.
    Archive = 10,
    /// A customer's other key while its key is being replaced: it opens, and seals nothing.
    OtherCustomer = 11,
}

impl Purpose {
    /// The byte in the row's key.
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// All of them, in the order of their tags.
    const ALL: [Self; 11] = [
        Self::Operator,
        Self::Lookup,
        Self::Fingerprint,
        Self::Freshness,
        Self::Customer,
        Self::Subject,
        Self::Signing,
        Self::CertificateAuthority,
        Self::Webhooks,
        Self::Archive,
        Self::OtherCustomer,
    ];

    /// The purpose of this tag.
    fn of(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.tag() == tag)
    }
}

/// The unwrapped keys of an unsealed vault.
pub struct Keyring {
    root: RwLock<RootKey>,
    operator: OperatorKey,
    lookup: LookupKey,
    fingerprint: FingerprintKey,
    freshness: FreshnessKey,
    customers: RwLock<HashMap<CustomerId, Arc<CustomerKeys>>>,
    /// How often customers' keys were taken in: what tells a key from the one before it.
    marks: AtomicU64,
}

impl Keyring {
    /// A new hierarchy under this root key, and its wrapped keys to commit.
    pub fn create(root: RootKey, random: &dyn Random) -> (Self, Vec<WrappedKey>) {
        let keyring = Self {
            root: RwLock::new(root),
            operator: OperatorKey::generate(random),
            lookup: LookupKey::generate(random),
            fingerprint: FingerprintKey::generate(random),
            freshness: FreshnessKey::generate(random),
            customers: RwLock::default(),
            marks: AtomicU64::new(0),
        };
        let keys = [
            (Purpose::Operator, keyring.operator.key()),
            (Purpose::Lookup, keyring.lookup.key()),
            (Purpose::Fingerprint, keyring.fingerprint.key()),
            (Purpose::Freshness, keyring.freshness.key()),
        ];
        let root = keyring.root.read();
        let rows = keys.map(|(purpose, key)| wrapped(&*root, operator_row(purpose), key, random));
        drop(root);
        (keyring, rows.into())
    }

    /// The operator's keys, from their rows. Customers' keys are added by [`Keyring::unlock_customer`], so that a
    /// locked customer's is never in memory.
    pub async fn open(store: &dyn Store, root: RootKey) -> Result<Self, SealedError> {
        Ok(Self {
            operator: operator_key(store, &root, Purpose::Operator).await?,
            lookup: operator_key(store, &root, Purpose::Lookup).await?,
            fingerprint: operator_key(store, &root, Purpose::Fingerprint).await?,
            freshness: operator_key(store, &root, Purpose::Freshness).await?,
            customers: RwLock::default(),
            marks: AtomicU64::new(0),
            root: RwLock::new(root),
        })
    }

    /// A new customer's key, held from now on, and its wrapped row to commit with the customer. If that commit fails,
    /// [`Keyring::drop_customer`] forgets it again.
    pub fn new_customer(&self, customer: CustomerId, random: &dyn Random) -> WrappedKey {
        let key = CustomerKey::generate(random);
        let row = wrapped(&*self.root.read(), customer_row(customer), key.key(), random);
        self.take(customer, CustomerKeys::only(key, self.next_mark()));
        row
    }

    /// Reads and holds the key of a customer that is not locked.
    pub async fn unlock_customer(&self, store: &dyn Store, customer: CustomerId) -> Result<(), SealedError> {
        let keys = self.stored_keys(store, customer).await?;
        self.take(customer, keys);
        Ok(())
    }

    /// Everything that the root key wraps, wrapped under a new one: each row at its next revision, to be committed together
    /// with whatever wraps the new root key. Locked customers' keys are wrapped too, and not held. Nothing of it counts before
    /// [`Keyring::take_root`].
    pub async fn rewrapped(
        &self,
        store: &dyn Store,
        new: &RootKey,
        random: &dyn Random,
    ) -> Result<Vec<SealedPut>, SealedError> {
        let operators = [Purpose::Operator, Purpose::Lookup, Purpose::Fingerprint, Purpose::Freshness];
        let customers = customers_with_keys(store).await?;
        let others = customers.clone().into_iter().map(other_customer_row);
        let mut rows = Vec::new();
        for id in operators.map(operator_row).into_iter().chain(customers.into_iter().map(customer_row)) {
            let row = store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))?;
            rows.push(self.rewrapped_one(new, id, &row, random)?);
        }
        for id in others {
            if let Some(row) = store.get(&id.to_key()).await? {
                rows.push(self.rewrapped_one(new, id, &row, random)?);
            }
        }
        Ok(rows)
    }

    fn rewrapped_one(
        &self,
        new: &RootKey,
        id: RowId,
        row: &Row,
        random: &dyn Random,
    ) -> Result<SealedPut, SealedError> {
        let key = unwrapped(&*self.root.read(), &id, row)?;
        Ok(wrapped_at(new, id, row.revision + 1, &key, random))
    }

    /// Whether the root key that is held is still the one above the stored keys.
    pub async fn is_under_root(&self, store: &dyn Store) -> Result<bool, SealedError> {
        let id = operator_row(Purpose::Operator);
        let row = store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))?;
        Ok(self.unwraps(&id, &row).is_ok())
    }

    /// The new root key counts from now on: what it wraps is stored.
    pub fn take_root(&self, new: RootKey) {
        *self.root.write() = new;
    }

    /// Forgets a customer's key. It is wiped when the calls under way have ended.
    pub fn drop_customer(&self, customer: CustomerId) {
        self.customers.write().remove(&customer);
    }

    /// Whether the key of this scope's rows is held.
    pub fn holds(&self, scope: Scope) -> bool {
        match scope {
            Scope::Operator => true,
            Scope::Customer(customer) => self.customers.read().contains_key(&customer),
        }
    }

    /// The customers whose keys are held.
    pub fn customers(&self) -> Vec<CustomerId> {
        self.customers.read().keys().copied().collect()
    }

    /// A customer's keys; [`SealedError::Locked`] while they are not held.
    pub(crate) fn customer(&self, customer: CustomerId) -> Result<Arc<CustomerKeys>, SealedError> {
        self.customers.read().get(&customer).cloned().ok_or(SealedError::Locked(customer))
    }

    /// A new key for one person's personal fields in one scope's log, and its wrapped row. The keyring does not hold
    /// it: it is good for nothing before its row is committed.
    pub fn new_subject(
        &self,
        scope: Scope,
        person: Uuid,
        random: &dyn Random,
    ) -> Result<(SubjectKey, WrappedKey), SealedError> {
        let key = SubjectKey::generate(random);
        let row = self.wrapped_by_owner(RowId::key(scope, Purpose::Subject, person), key.key(), random)?;
        Ok((key, row))
    }

    /// A new key for one archive of a scope's log, and its wrapped row.
    pub fn new_archive(
        &self,
        scope: Scope,
        archive: Uuid,
        random: &dyn Random,
    ) -> Result<(ArchiveKey, WrappedKey), SealedError> {
        let key = ArchiveKey::generate(random);
        let row = self.wrapped_by_owner(RowId::key(scope, Purpose::Archive, archive), key.key(), random)?;
        Ok((key, row))
    }

    /// The key of one archive.
    pub async fn archive(&self, store: &dyn Store, scope: Scope, archive: Uuid) -> Result<ArchiveKey, SealedError> {
        let id = RowId::key(scope, Purpose::Archive, archive);
        let key = self.unwrapped_by_owner(store, &id).await?;
        Ok(ArchiveKey::from(key.ok_or(SealedError::Missing(id))?))
    }

    /// One person's key in one scope; `None` where it was never made, or was erased.
    pub async fn subject(
        &self,
        store: &dyn Store,
        scope: Scope,
        person: Uuid,
    ) -> Result<Option<SubjectKey>, SealedError> {
        let key = self.unwrapped_by_owner(store, &RowId::key(scope, Purpose::Subject, person)).await?;
        Ok(key.map(SubjectKey::from))
    }

    /// A new signing key of the vault's own, and its wrapped row. `id` tells several apart.
    pub fn new_signing(&self, id: Uuid, random: &dyn Random) -> (SigningKey, WrappedKey) {
        let seed = Key::generate(random);
        let row = wrapped(&self.operator, RowId::key(Scope::Operator, Purpose::Signing, id), &seed, random);
        (SigningKey::from_seed(seed), row)
    }

    /// One of the vault's signing keys.
    pub async fn signing(&self, store: &dyn Store, id: Uuid) -> Result<SigningKey, SealedError> {
        let id = RowId::key(Scope::Operator, Purpose::Signing, id);
        let row = store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))?;
        Ok(SigningKey::from_seed(unwrapped(&self.operator, &id, &row)?))
    }

    /// A new authority for a system's certificates, and its wrapped row.
    pub fn new_authority(
        &self,
        customer: CustomerId,
        system: SystemId,
        random: &dyn Random,
    ) -> Result<(SigningKey, WrappedKey), SealedError> {
        let seed = Key::generate(random);
        let row = self.wrapped_by_owner(authority_row(customer, system), &seed, random)?;
        Ok((SigningKey::from_seed(seed), row))
    }

    /// The authority of a system's certificates.
    pub async fn authority(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        system: SystemId,
    ) -> Result<SigningKey, SealedError> {
        let id = authority_row(customer, system);
        let seed = self.unwrapped_by_owner(store, &id).await?;
        Ok(SigningKey::from_seed(seed.ok_or(SealedError::Missing(id))?))
    }

    /// A new key that signs a customer's webhooks, and its wrapped row.
    pub fn new_webhook_key(
        &self,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<(SigningKey, WrappedKey), SealedError> {
        let seed = Key::generate(random);
        let row = self.wrapped_by_owner(webhook_row(customer), &seed, random)?;
        Ok((SigningKey::from_seed(seed), row))
    }

    /// The key that signs a customer's webhooks, if the customer has any.
    pub async fn webhook_key(
        &self,
        store: &dyn Store,
        customer: CustomerId,
    ) -> Result<Option<SigningKey>, SealedError> {
        let seed = self.unwrapped_by_owner(store, &webhook_row(customer)).await?;
        Ok(seed.map(SigningKey::from_seed))
    }

    /// The operator key.
    pub const fn operator(&self) -> &OperatorKey {
        &self.operator
    }

    /// The key that makes index keys of names.
    pub const fn lookup(&self) -> &LookupKey {
        &self.lookup
    }

    /// The key that makes fingerprints of secrets.
    pub const fn fingerprint(&self) -> &FingerprintKey {
        &self.fingerprint
    }

    /// The key of the freshness digest.
    pub const fn freshness(&self) -> &FreshnessKey {
        &self.freshness
    }

    /// The row's name in its table: `HMAC(lookup key, …)`, for [`RowId::name`]. `table` is what the name is of
    /// (customers, systems, …), so that a user and a customer may share a name.
    pub fn name(&self, table: Table, scope: Scope, name: &str) -> RowId {
        RowId::name(scope, &self.lookup.index(table.tag(), scope, name.as_bytes()))
    }

    /// What a row adds to the freshness digest of its scope; `None` of a table that does not count.
    pub fn freshness_term(&self, id: &RowId, row: &Row) -> Option<Digest> {
        let counts = id.table().counts_in_freshness();
        counts.then(|| self.freshness.term(id.table().tag(), id.to_key().as_bytes(), row.revision, &row.value))
    }

    /// Whether a wrapped key's row opens under the key above it.
    pub(crate) fn unwraps(&self, id: &RowId, row: &Row) -> Result<(), SealedError> {
        let opened = match purpose_of(id)? {
            Purpose::Operator
            | Purpose::Lookup
            | Purpose::Fingerprint
            | Purpose::Freshness
            | Purpose::Customer
            | Purpose::OtherCustomer => unwrapped(&*self.root.read(), id, row),
            Purpose::Signing => unwrapped(&self.operator, id, row),
            Purpose::Subject | Purpose::CertificateAuthority | Purpose::Webhooks | Purpose::Archive => {
                self.owner(id.scope())?.unwrap(id, row)
            }
        };
        opened.map(drop)
    }

    /// What seals the rows of this row's kind.
    pub(crate) fn sealer(&self, id: &RowId) -> Result<Sealer<'_>, SealedError> {
        match id.table().sealed_by() {
            SealedBy::Operator => Ok(Sealer::Operator(&self.operator)),
            SealedBy::Owner => self.owner(id.scope()),
            SealedBy::Wrapped | SealedBy::Nobody => Err(SealedError::NotSealed(id.clone())),
        }
    }

    fn wrapped_by_owner(&self, id: RowId, key: &Key, random: &dyn Random) -> Result<WrappedKey, SealedError> {
        Ok(match self.owner(id.scope())? {
            Sealer::Operator(operator) => wrapped(operator, id, key, random),
            Sealer::Customer(customer) => wrapped(&customer.seals, id, key, random),
        })
    }

    async fn unwrapped_by_owner(&self, store: &dyn Store, id: &RowId) -> Result<Option<Key>, SealedError> {
        let Some(row) = store.get(&id.to_key()).await? else { return Ok(None) };
        self.owner(id.scope())?.unwrap(id, &row).map(Some)
    }

    fn owner(&self, scope: Scope) -> Result<Sealer<'_>, SealedError> {
        match scope {
            Scope::Operator => Ok(Sealer::Operator(&self.operator)),
            Scope::Customer(customer) => self.customer(customer).map(Sealer::Customer),
        }
    }
}

/// The customers that have a key in the store, held or not, in the order of their ids.
pub async fn customers_with_keys(store: &dyn Store) -> Result<Vec<CustomerId>, SealedError> {
    let mut customers = Vec::new();
    let mut range = Range::table(Table::Keys);
    loop {
        let rows = store.scan(&range).await?;
        for (key, _) in &rows {
            let id = RowId::from_key(key)?;
            if let Scope::Customer(customer) = id.scope()
                && id == customer_row(customer)
            {
                customers.push(customer);
            }
        }
        match rows.last() {
            Some((last, _)) if rows.len() == range.limit => range = range.after(last),
            Some(_) | None => return Ok(customers),
        }
    }
}

/// The key that seals a row; of a customer whose key is being replaced, the keys that open it too.
pub(crate) enum Sealer<'a> {
    Operator(&'a OperatorKey),
    Customer(Arc<CustomerKeys>),
}

impl Sealer<'_> {
    pub(crate) fn seal(&self, id: &RowId, revision: u64, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
        let aad = aad(id, revision);
        match self {
            Self::Operator(key) => seal(*key, &aad, plaintext, random),
            Self::Customer(keys) => seal(&keys.seals, &aad, plaintext, random),
        }
    }

    pub(crate) fn open(&self, id: &RowId, row: &Row) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let aad = aad(id, row.revision);
        match self {
            Self::Operator(key) => open(*key, &aad, &row.value),
            Self::Customer(keys) => open(keys.of(&aad, row)?, &aad, &row.value),
        }
    }

    fn unwrap(&self, id: &RowId, row: &Row) -> Result<Key, SealedError> {
        match self {
            Self::Operator(key) => unwrapped(*key, id, row),
            Self::Customer(keys) => {
                let key = keys.of(&aad(id, row.revision), row).map_err(|error| SealedError::of(id, error))?;
                unwrapped(key, id, row)
            }
        }
    }

    /// What tells the key that seals from those before it ([`SealedPut::mark`]).
    pub(crate) fn mark(&self) -> u64 {
        match self {
            Self::Operator(_) => 0,
            Self::Customer(keys) => keys.mark,
        }
    }
}

/// The full identity of a row at a revision: what binds sealed bytes to their place.
fn aad(id: &RowId, revision: u64) -> Aad<'_> {
    Aad { scope: id.scope(), table: id.table().tag(), record: id.id(), version: revision }
}

fn wrapped(outer: &impl SealingKey, id: RowId, key: &Key, random: &dyn Random) -> WrappedKey {
    let bytes = wrap(outer, &aad(&id, FIRST_REVISION), key, random);
    (id, bytes)
}

fn wrapped_at(outer: &impl SealingKey, id: RowId, revision: u64, key: &Key, random: &dyn Random) -> SealedPut {
    let value = wrap(outer, &aad(&id, revision), key, random);
    SealedPut { key: id.to_key(), row: Row { revision, value: value.into() }, id, mark: 0 }
}

fn purpose_of(id: &RowId) -> Result<Purpose, SealedError> {
    let purpose = id.id().first().and_then(|tag| Purpose::of(*tag));
    purpose.ok_or_else(|| SealedError::Malformed(id.clone()))
}

fn unwrapped(outer: &impl SealingKey, id: &RowId, row: &Row) -> Result<Key, SealedError> {
    unwrap(outer, &aad(id, row.revision), &row.value).map_err(|error| SealedError::of(id, error))
}

async fn operator_key<K: From<Key>>(store: &dyn Store, root: &RootKey, purpose: Purpose) -> Result<K, SealedError> {
    let id = operator_row(purpose);
    let row = store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))?;
    Ok(K::from(unwrapped(root, &id, &row)?))
}

fn operator_row(purpose: Purpose) -> RowId {
    RowId::key(Scope::Operator, purpose, Uuid::nil())
}

/// Where the authority of a system's certificates is, for whoever removes the system.
pub fn authority_row(customer: CustomerId, system: SystemId) -> RowId {
    RowId::key(Scope::Customer(customer), Purpose::CertificateAuthority, system.uuid())
}

fn webhook_row(customer: CustomerId) -> RowId {
    RowId::key(Scope::Customer(customer), Purpose::Webhooks, Uuid::nil())
}

/// Where a customer's key is, for whoever destroys it.
pub fn customer_row(customer: CustomerId) -> RowId {
    RowId::key(Scope::Customer(customer), Purpose::Customer, Uuid::nil())
}

#[cfg(test)]
mod tests;
