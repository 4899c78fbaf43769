//! What there is: customers, their systems, the accounts on them; and the way from a name to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_api::problem::ProblemType;
use claviger_api::{AccountId, AccountPath, CheckoutId, CustomerId, Part, RotationId, Scope, SystemId};
use claviger_core::emergency::UnderWay;
use claviger_core::policy::{Limits, Mark, Resource};
use claviger_store::{RowId, Table};
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::{AccountRecord, CustomerRecord, NameRecord, SystemRecord};

pub mod accounts;
pub mod customers;
mod hand_over;
pub mod import;
mod lock;
mod offboard;
pub mod systems;
mod text;
pub(crate) mod upkeep;

pub(crate) use text::short_text;

/// Names and ids kept at hand.
const KEPT: usize = 100_000;

/// Where an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The customer.
    pub customer: CustomerId,
    /// The system.
    pub system: SystemId,
    /// The account.
    pub account: AccountId,
}

impl Place {
    /// The account, for the policy.
    pub fn resource(self) -> Resource {
        Resource::Account(self.customer, self.system, self.account)
    }
}

/// Whether a customer is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// The emergency rotation under way.
    pub emergency: Option<UnderWay>,
    /// Whether it is locked, or being locked.
    pub locks: bool,
    /// Of the customer's row.
    pub revision: u64,
}

/// Where things are, kept at hand. Ids are never used again and names do not change; what is removed is dropped here.
pub struct Places {
    paths: Cache<AccountPath, Place>,
    slugs: Cache<CustomerId, Part>,
    marks: Cache<AccountId, Mark>,
    limits: Cache<CustomerId, Arc<Limits>>,
    standings: Cache<CustomerId, Standing>,
    checkouts: Cache<CheckoutId, CustomerId>,
    rotations: Cache<RotationId, CustomerId>,
    /// Counts the writes that what is kept depends on.
    writes: AtomicU64,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            paths: Cache::new(KEPT),
            slugs: Cache::new(KEPT),
            marks: Cache::new(KEPT),
            limits: Cache::new(KEPT),
            standings: Cache::new(KEPT),
            checkouts: Cache::new(KEPT),
            rotations: Cache::new(KEPT),
            writes: AtomicU64::new(0),
        }
    }

    /// A row was written, or may have been. A name that is given or taken away is rare: all are looked up anew.
    pub(crate) fn written(&self, row: &RowId) {
        if row.table() == Table::Names && row.scope() != Scope::Operator {
            self.writes.fetch_add(1, Ordering::SeqCst);
            self.paths.clear();
        }
        if let (Table::Accounts, Some(account)) = (row.table(), row.uuid()) {
            self.writes.fetch_add(1, Ordering::SeqCst);
            self.marks.remove(&AccountId::from_uuid(account));
        }
        if let (Table::Customers, Scope::Customer(customer)) = (row.table(), row.scope()) {
            self.writes.fetch_add(1, Ordering::SeqCst);
            self.paths.clear();
            self.slugs.remove(&customer);
            self.limits.remove(&customer);
            self.standings.remove(&customer);
        }
    }
}

impl Open {
    /// The customer of this slug.
    pub async fn customer_named(&self, slug: &Part) -> Result<CustomerId> {
        self.id_of(Table::Customers, Scope::Operator, slug.as_str()).await.map(CustomerId::from_uuid)
    }

    /// The system of this name.
    pub async fn system_named(&self, customer: CustomerId, name: &Part) -> Result<SystemId> {
        let id = self.id_of(Table::Systems, Scope::Customer(customer), name.as_str()).await?;
        Ok(SystemId::from_uuid(id))
    }

    /// Where the account of this path is.
    pub async fn place(&self, path: &AccountPath) -> Result<Place> {
        if let Some(place) = self.places.paths.get(path) {
            return Ok(place);
        }
        let writes = self.places.writes.load(Ordering::SeqCst);
        let customer = self.customer_named(&path.customer).await?;
        let system = self.system_named(customer, &path.system).await?;
        let account = self.account_named(customer, system, &path.account).await?;
        let place = Place { customer, system, account };
        self.places.paths.insert(path.clone(), place);
        if self.places.writes.load(Ordering::SeqCst) != writes {
            self.places.paths.remove(path);
        }
        Ok(place)
    }

    /// What a customer wants of everybody who works there; kept at hand like marks.
    pub(crate) async fn limits_of(&self, customer: CustomerId) -> Result<Arc<Limits>> {
        if let Some(limits) = self.places.limits.get(&customer) {
            return Ok(limits);
        }
        let writes = self.places.writes.load(Ordering::SeqCst);
        let limits = Arc::new(self.load::<CustomerRecord>(&RowId::customer(customer)).await?.value.limits);
        self.places.limits.insert(customer, limits.clone());
        if self.places.writes.load(Ordering::SeqCst) != writes {
            self.places.limits.remove(&customer);
        }
        Ok(limits)
    }

    /// Whether the customer is served just now; kept at hand like its limits, so that a check-out reads no row more.
    pub(crate) async fn standing_of(&self, customer: CustomerId) -> Result<Standing> {
        if let Some(known) = self.places.standings.get(&customer) {
            return Ok(known);
        }
        let writes = self.places.writes.load(Ordering::SeqCst);
        let row = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
        let (emergency, locks) = (row.value.emergency, row.value.lock.is_some());
        let standing = Standing { emergency, locks, revision: row.revision };
        self.places.standings.insert(customer, standing);
        if self.places.writes.load(Ordering::SeqCst) != writes {
            self.places.standings.remove(&customer);
        }
        Ok(standing)
    }

    /// What the account is that this is, or is a checkout of; kept at hand, so that a reveal reads no row more. What is
    /// not there is as weighty as can be.
    pub(crate) async fn mark_of(&self, resource: &Resource) -> Result<Mark> {
        let (Resource::Account(customer, _, account) | Resource::Checkout { customer, account, .. }) = *resource else {
            return Ok(Mark::TierZero);
        };
        if let Some(mark) = self.places.marks.get(&account) {
            return Ok(mark);
        }
        let writes = self.places.writes.load(Ordering::SeqCst);
        let Some(row) = self.read::<AccountRecord>(&RowId::account(customer, account)).await? else {
            return Ok(Mark::TierZero);
        };
        let mark = Mark::from(&row.value.settings);
        self.places.marks.insert(account, mark);
        if self.places.writes.load(Ordering::SeqCst) != writes {
            self.places.marks.remove(&account);
        }
        Ok(mark)
    }

    /// The account of this name on this system.
    pub(crate) async fn account_named(&self, customer: CustomerId, system: SystemId, name: &Part) -> Result<AccountId> {
        let id = self.id_of(Table::Accounts, Scope::Customer(customer), &account_name(system, name)).await?;
        Ok(AccountId::from_uuid(id))
    }

    /// The slug of a customer.
    pub(crate) async fn slug_of(&self, customer: CustomerId) -> Result<Part> {
        if let Some(slug) = self.places.slugs.get(&customer) {
            return Ok(slug);
        }
        let writes = self.places.writes.load(Ordering::SeqCst);
        let slug = self.load::<CustomerRecord>(&RowId::customer(customer)).await?.value.slug;
        self.places.slugs.insert(customer, slug.clone());
        if self.places.writes.load(Ordering::SeqCst) != writes {
            self.places.slugs.remove(&customer);
        }
        Ok(slug)
    }

    /// The slug of a customer, for answers; what was removed keeps its id.
    pub(crate) async fn slug_or_removed(&self, customer: CustomerId) -> Result<Part> {
        or_removed(self.slug_of(customer).await)
    }

    /// The path of an account by its ids, for the history of what may have been removed since.
    pub(crate) async fn path_or_removed(
        &self,
        customer: CustomerId,
        system: SystemId,
        account: AccountId,
    ) -> Result<AccountPath> {
        let system = self.read::<SystemRecord>(&RowId::system(customer, system)).await?;
        let account = self.read::<AccountRecord>(&RowId::account(customer, account)).await?;
        Ok(AccountPath {
            customer: self.slug_or_removed(customer).await?,
            system: system.map_or_else(removed, |row| Ok(row.value.name))?,
            account: account.map_or_else(removed, |row| Ok(row.value.name))?,
        })
    }

    /// The path of an account.
    pub(crate) async fn path_of(&self, customer: CustomerId, account: &AccountRecord) -> Result<AccountPath> {
        let system = self.load::<SystemRecord>(&RowId::system(customer, account.system)).await?.value;
        Ok(AccountPath { customer: self.slug_of(customer).await?, system: system.name, account: account.name.clone() })
    }

    /// Which customer's checkout this is. An id says nothing by itself, so each customer is asked, once.
    pub(crate) async fn customer_of_checkout(&self, id: CheckoutId) -> Result<CustomerId> {
        let known = &self.places.checkouts;
        if let Some(customer) = known.get(&id) {
            return Ok(customer);
        }
        let customer = self.owner(|customer| RowId::checkout(customer, id)).await?;
        known.insert(id, customer);
        Ok(customer)
    }

    /// Which customer's rotation this is.
    pub(crate) async fn customer_of_rotation(&self, id: RotationId) -> Result<CustomerId> {
        let known = &self.places.rotations;
        if let Some(customer) = known.get(&id) {
            return Ok(customer);
        }
        let customer = self.owner(|customer| RowId::rotation(customer, id)).await?;
        known.insert(id, customer);
        Ok(customer)
    }

    pub(crate) async fn owner(&self, row: impl Fn(CustomerId) -> RowId) -> Result<CustomerId> {
        for customer in self.keyring().customers() {
            if self.ground().store.get(&row(customer).to_key()).await?.is_some() {
                return Ok(customer);
            }
        }
        Err(Error::not_found())
    }

    async fn id_of(&self, table: Table, scope: Scope, name: &str) -> Result<Uuid> {
        Ok(self.load::<NameRecord>(&self.keyring().name(table, scope, name)).await?.value.id)
    }
}

/// What stands for the name of what was removed.
pub(crate) fn removed() -> Result<Part> {
    "removed".parse().map_err(Error::internal)
}

fn or_removed(name: Result<Part>) -> Result<Part> {
    match name {
        Err(error) if error.problem == ProblemType::NotFound => removed(),
        name => name,
    }
}

/// An account's name is its system's own: `id/name`.
pub(crate) fn account_name(system: SystemId, name: &Part) -> String {
    format!("{system}/{name}")
}
