//! A locked customer's key for a moment, apart from the others.

use std::sync::atomic::AtomicU64;

use claviger_api::CustomerId;
use claviger_crypto::{Key, Random, RootKey};
use parking_lot::RwLock;

use super::{Keyring, Purpose, operator_row, unwrapped};
use crate::engine::Store;
use crate::sealing::SealedError;

impl Keyring {
    /// A keyring beside this one, with the key of one customer, locked or not, and of no other: nothing that goes on with this one sees
    /// it. It opens rows and wraps nothing that lasts: its root key is one of its own.
    pub async fn beside(
        &self,
        store: &dyn Store,
        customer: CustomerId,
        random: &dyn Random,
    ) -> Result<Self, SealedError> {
        let beside = Self {
            root: RwLock::new(RootKey::generate(random)),
            operator: self.operators(store, Purpose::Operator).await?,
            lookup: self.operators(store, Purpose::Lookup).await?,
            fingerprint: self.operators(store, Purpose::Fingerprint).await?,
            freshness: self.operators(store, Purpose::Freshness).await?,
            customers: RwLock::default(),
            marks: AtomicU64::new(0),
        };
        beside.take(customer, self.stored_keys(store, customer).await?);
        Ok(beside)
    }

    async fn operators<K: From<Key>>(&self, store: &dyn Store, purpose: Purpose) -> Result<K, SealedError> {
        let id = operator_row(purpose);
        let row = store.get(&id.to_key()).await?.ok_or_else(|| SealedError::Missing(id.clone()))?;
        Ok(K::from(unwrapped(&*self.root.read(), &id, &row)?))
    }
}
