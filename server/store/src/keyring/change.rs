//! A customer's key, and another one beside it while it is being replaced.
//!
//! ```text
//! spread      the new key is stored beside the old one: whoever works on the store takes it into memory
//! switched    the two change places: the new one seals, and both open
//! retired     the old one's row goes, once no row is sealed under it
//! ```
//!
//! Which of two keys has sealed a row its commitment says ([`claviger_crypto::envelope`]). The row of the key that seals is written
//! at each of the three, so that its revision orders them.

use claviger_api::{CustomerId, Scope};
use claviger_crypto::envelope::{Aad, OpenError, is_under};
use claviger_crypto::{CustomerKey, Random};
use uuid::Uuid;

use super::{
    FIRST_REVISION, HashMap, Keyring, Ordering, Purpose, Sealer, aad, customer_row, purpose_of, unwrapped, wrapped_at,
};
use crate::catalogue::SealedBy;
use crate::engine::{Row, Store};
use crate::row::RowId;
use crate::sealing::{SealedError, SealedPut};

/// What is held of a customer.
pub(crate) struct CustomerKeys {
    pub(super) seals: CustomerKey,
    /// The one after it, then the one before it.
    other: Option<CustomerKey>,
    /// Of the row that it was read from.
    revision: u64,
    pub(super) mark: u64,
}

impl CustomerKeys {
    pub(super) const fn only(seals: CustomerKey, mark: u64) -> Self {
        Self { seals, other: None, revision: FIRST_REVISION, mark }
    }

    /// The key that has sealed these bytes; the one that seals where it was neither, so that what is wrong is said by it.
    pub(super) fn of(&self, aad: &Aad<'_>, row: &Row) -> Result<&CustomerKey, OpenError> {
        match &self.other {
            Some(other) if !is_under(&self.seals, aad, &row.value)? && is_under(other, aad, &row.value)? => Ok(other),
            Some(_) | None => Ok(&self.seals),
        }
    }
}

/// The old key's end: what is written, and the row that goes, at this revision.
pub struct Retired {
    /// The row of the key that stays.
    pub put: SealedPut,
    /// The row that goes.
    pub erase: RowId,
    /// Its revision.
    pub revision: u64,
}

impl Keyring {
    /// Takes a customer's keys as they are stored by now, if they are held.
    ///
    /// # Errors
    ///
    /// They cannot be read; what is held stays.
    pub async fn refresh_customer(&self, store: &dyn Store, customer: CustomerId) -> Result<(), SealedError> {
        let Ok(held) = self.customer(customer) else { return Ok(()) };
        match store.get(&customer_row(customer).to_key()).await? {
            None => self.drop_customer(customer),
            Some(row) if row.revision == held.revision => {}
            Some(_) => {
                let keys = self.stored_keys(store, customer).await?;
                // Not where they were dropped meanwhile.
                if self.holds(Scope::Customer(customer)) {
                    self.take(customer, keys);
                }
            }
        }
        Ok(())
    }

    /// The revision of the row from which a customer's key was read.
    pub fn customer_revision(&self, customer: CustomerId) -> Option<u64> {
        self.customer(customer).ok().map(|keys| keys.revision)
    }

    /// The same of all customers whose keys are held.
    pub fn customer_revisions(&self) -> HashMap<CustomerId, u64> {
        self.customers.read().iter().map(|(customer, keys)| (*customer, keys.revision)).collect()
    }

    /// Whether a row was sealed under the key that seals now, as far as is known without a look at it.
    pub fn is_current(&self, put: &SealedPut) -> bool {
        match put.id.scope() {
            // Where none is held, none is being replaced here.
            Scope::Customer(customer) if is_by_owner(&put.id) => {
                self.customer(customer).map_or(true, |keys| keys.mark == put.mark)
            }
            Scope::Customer(_) | Scope::Operator => true,
        }
    }

    /// A row that is sealed under its customer's other key, sealed under the one that seals now: what it holds and its revision stay.
    /// `None` where it is that already, or is under no customer's key.
    ///
    /// # Errors
    ///
    /// It is under neither, or the customer is locked.
    pub fn resealed(&self, id: &RowId, row: &Row, random: &dyn Random) -> Result<Option<SealedPut>, SealedError> {
        let Scope::Customer(customer) = id.scope() else { return Ok(None) };
        if !is_by_owner(id) {
            return Ok(None);
        }
        let (keys, place) = (self.customer(customer)?, aad(id, row.revision));
        let refused = |error| SealedError::of(id, error);
        if is_under(&keys.seals, &place, &row.value).map_err(refused)? {
            return Ok(None);
        }
        let sealer = Sealer::Customer(keys.clone());
        let put = if id.table().sealed_by() == SealedBy::Wrapped {
            wrapped_at(&keys.seals, id.clone(), row.revision, &sealer.unwrap(id, row)?, random)
        } else {
            let plaintext = sealer.open(id, row).map_err(refused)?;
            let value = sealer.seal(id, row.revision, &plaintext, random);
            SealedPut {
                key: id.to_key(),
                row: Row { revision: row.revision, value: value.into() },
                id: id.clone(),
                mark: 0,
            }
        };
        Ok(Some(SealedPut { mark: keys.mark, ..put }))
    }

    /// Whether a customer's key is being replaced.
    pub async fn has_other_key(&self, store: &dyn Store, customer: CustomerId) -> Result<bool, SealedError> {
        Ok(store.get(&other_customer_row(customer).to_key()).await?.is_some())
    }

    /// A new key beside the one that seals: the rows to be written, of which the first must not be there.
    pub async fn spread_key(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<(SealedPut, SealedPut), SealedError> {
        let next = CustomerKey::generate(random);
        let next = wrapped_at(&*self.root.read(), other_customer_row(customer), FIRST_REVISION, next.key(), random);
        Ok((next, self.rewritten(store, customer, random).await?))
    }

    /// The two keys in each other's place: both rows, at their next revisions.
    pub async fn switched_keys(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<[SealedPut; 2], SealedError> {
        let (seals, other) = (customer_row(customer), other_customer_row(customer));
        let (first, second) = (read(store, &seals).await?, read(store, &other).await?);
        let root = self.root.read();
        let (old, new) = (unwrapped(&*root, &seals, &first)?, unwrapped(&*root, &other, &second)?);
        Ok([
            wrapped_at(&*root, seals, first.revision + 1, &new, random),
            wrapped_at(&*root, other, second.revision + 1, &old, random),
        ])
    }

    /// The end of the other key.
    pub async fn retired_key(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<Retired, SealedError> {
        let erase = other_customer_row(customer);
        let revision = read(store, &erase).await?.revision;
        Ok(Retired { put: self.rewritten(store, customer, random).await?, erase, revision })
    }

    async fn rewritten(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<SealedPut, SealedError> {
        let id = customer_row(customer);
        let row = read(store, &id).await?;
        let root = self.root.read();
        let key = unwrapped(&*root, &id, &row)?;
        Ok(wrapped_at(&*root, id, row.revision + 1, &key, random))
    }

    /// A customer's keys as they are stored, both as of one moment.
    pub(super) async fn stored_keys(
        &self,
        store: &dyn Store,
        customer: CustomerId,
    ) -> Result<CustomerKeys, SealedError> {
        let (seals, other) = (customer_row(customer), other_customer_row(customer));
        let mut row = read(store, &seals).await?;
        loop {
            let beside = store.get(&other.to_key()).await?;
            let again = read(store, &seals).await?;
            if again.revision == row.revision {
                let root = self.root.read();
                let beside = beside.map(|row| unwrapped(&*root, &other, &row)).transpose()?;
                return Ok(CustomerKeys {
                    seals: CustomerKey::from(unwrapped(&*root, &seals, &row)?),
                    other: beside.map(CustomerKey::from),
                    revision: row.revision,
                    mark: self.next_mark(),
                });
            }
            row = again;
        }
    }

    /// Holds a customer's keys, unless later ones are held.
    pub(super) fn take(&self, customer: CustomerId, keys: CustomerKeys) {
        let mut customers = self.customers.write();
        if customers.get(&customer).is_none_or(|held| held.revision <= keys.revision) {
            customers.insert(customer, keys.into());
        }
    }

    pub(super) fn next_mark(&self) -> u64 {
        self.marks.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Where a customer's other key is while its key is being replaced.
pub fn other_customer_row(customer: CustomerId) -> RowId {
    RowId::key(Scope::Customer(customer), Purpose::OtherCustomer, Uuid::nil())
}

/// Whose key, or other key, is in this row.
pub fn key_row_of(row: &RowId) -> Option<CustomerId> {
    let Scope::Customer(customer) = row.scope() else { return None };
    (*row == customer_row(customer) || *row == other_customer_row(customer)).then_some(customer)
}

/// Whether the key of its scope seals or wraps a row.
fn is_by_owner(id: &RowId) -> bool {
    match id.table().sealed_by() {
        SealedBy::Owner => true,
        SealedBy::Operator | SealedBy::Nobody => false,
        SealedBy::Wrapped => purpose_of(id).is_ok_and(|purpose| match purpose {
            Purpose::Subject | Purpose::CertificateAuthority | Purpose::Webhooks | Purpose::Archive => true,
            Purpose::Operator
            | Purpose::Lookup
            | Purpose::Fingerprint
            | Purpose::Freshness
            | Purpose::Customer
            | Purpose::Signing
            | Purpose::OtherCustomer => false,
        }),
    }
}

async fn read(store: &dyn Store, id: &RowId) -> Result<Row, SealedError> {
    store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))
}
