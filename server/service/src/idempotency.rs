//! `Idempotency-Key`: what was done once is not done again.
//!
//! The record holds the request's hash, and the id of what it made; never a response. A repeated request is answered
//! anew, under today's authorization.

use claviger_api::Scope;
use claviger_api::problem::ProblemType;
use claviger_store::{RowId, Table};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::journal::Change;
use crate::open::{Caller, Open};
use crate::records::IdempotencyRecord;

/// The longest key.
pub const KEY_MAX: usize = 128;

/// A request's key, if it came with one.
#[derive(Clone, Default)]
pub struct Once(Option<Key>);

#[derive(Clone)]
struct Key {
    key: String,
    request: [u8; 32],
}

impl Once {
    /// A request that may be done as often as it comes.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether it came with a key.
    pub(crate) const fn has_key(&self) -> bool {
        self.0.is_some()
    }

    /// A request with a key of 1 to 128 visible ASCII characters. `request` is what must be the same when it is repeated.
    pub fn new(key: &str, request: &[&[u8]]) -> Result<Self> {
        if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::value("Idempotency-Key", "a key is 1 to 128 visible ASCII characters, e.g. a UUID"));
        }
        let mut hash = Sha256::new();
        for part in request {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Ok(Self(Some(Key { key: key.to_owned(), request: hash.finalize().into() })))
    }
}

impl Once {
    /// The same request's key for one of the many things it does, so that each is done once.
    #[must_use]
    pub(crate) fn for_one(&self, thing: Uuid) -> Self {
        let of = |key: &Key| Key { key: format!("{}/{thing}", key.key), request: key.request };
        Self(self.0.as_ref().map(of))
    }
}

impl Open {
    /// What a repeated request made when it came first.
    pub(crate) async fn done(&self, scope: Scope, once: &Once, caller: &Caller) -> Result<Option<Uuid>> {
        let Some(key) = &once.0 else { return Ok(None) };
        let Some(row) = self.read::<IdempotencyRecord>(&self.once_row(scope, key, caller)).await? else {
            return Ok(None);
        };
        if row.value.request == self.request_hash(scope, key) {
            Ok(Some(row.value.resource))
        } else {
            Err(Error::new(ProblemType::IdempotencyMismatch, ""))
        }
    }

    /// Refuses to repeat a request whose answer held a secret; `again` is the call that issues a new one.
    pub(crate) async fn shown_once(&self, scope: Scope, once: &Once, caller: &Caller, again: &str) -> Result<()> {
        match self.done(scope, once, caller).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ProblemType::AlreadyIssued,
                format!("It was made by the first request, and its secret was shown once. {again} issues a new one."),
            )),
        }
    }

    /// Adds the record of what a request makes to the change that makes it.
    pub(crate) fn remember<'a>(
        &self,
        change: Change<'a>,
        scope: Scope,
        once: &Once,
        caller: &Caller,
        resource: Uuid,
    ) -> Result<Change<'a>> {
        let Some(key) = &once.0 else { return Ok(change) };
        let record = IdempotencyRecord { request: self.request_hash(scope, key), resource, created_at: self.now() };
        change.create(self.once_row(scope, key, caller), &record)
    }

    fn once_row(&self, scope: Scope, key: &Key, caller: &Caller) -> RowId {
        let name = [caller.id.uuid().as_bytes().as_slice(), key.key.as_bytes()].concat();
        RowId::idempotency(scope, &self.keyring().lookup().index(Table::Idempotency.tag(), scope, &name))
    }

    /// Keyed: a request may hold a password that could be guessed from a bare hash.
    fn request_hash(&self, scope: Scope, key: &Key) -> [u8; 32] {
        self.keyring().lookup().index(Table::Idempotency.tag(), scope, &key.request)
    }
}
