//! Erasing what the record tells of a person who is gone: the name, the addresses, the words.
//!
//! In each log a person's fields are sealed under a key of that person and log. Erasing the keys makes them unreadable for
//! good, here and in whatever store is copied from this one later; the commitments stay, and with them every entry's hash, every
//! proof and every receipt. What a backup from before holds is the backup's to forget.

use std::collections::BTreeSet;
use std::time::Duration;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Erasure, NewErasure};
use claviger_api::{PrincipalId, Scope};
use claviger_core::checkout::State;
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_store::{Purpose, Range, RowId, Table, Versioned};

use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding_once};
use crate::records::{BreakGlassRecord, CheckoutRecord, FormerPrincipalRecord, PrincipalRecord};

/// What stands where a name or a reason was.
const ERASED: &str = "erased";
/// How long it is waited for another node that writes an index.
const INDEX_WITHIN: Duration = Duration::from_secs(10);

impl Open {
    /// Erases a removed principal's name, and its fields in every log. What it did stays, under its id.
    ///
    /// # Errors
    ///
    /// It was not removed yet, or what it held has not ended yet.
    pub async fn erase_principal(
        &self,
        new: &NewErasure,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Erasure> {
        let reason = short_text("reason", &new.reason)?;
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                return Ok(Erasure { principal: PrincipalId::from_uuid(done) });
            }
            let former = self.former_named(&new.principal).await?;
            let id = former.id.uuid().map(PrincipalId::from_uuid).ok_or_else(Error::not_found)?;
            if former.value.name.as_str() == ERASED {
                return Ok(Erasure { principal: id });
            }
            let name = ERASED.parse().map_err(Error::internal)?;
            let nameless = FormerPrincipalRecord { name, ..former.value.clone() };
            let event = |scope| self.event(scope, EventKind::PrincipalErased, caller).with(FieldName::Principal, id);
            let told = event(Scope::Operator).with_personal(caller.id, FieldName::Reason, reason);
            let mut change = self.change(told).update(&former, &nameless)?.erase(key(Scope::Operator, id));
            let mut scopes = vec![Scope::Operator];
            self.none_locked().await?;
            for customer in self.keyring().customers() {
                let scope = Scope::Customer(customer);
                if self.ground().store.get(&key(scope, id).to_key()).await?.is_none() {
                    continue;
                }
                change = change.and(event(scope)).erase(key(scope, id));
                scopes.push(scope);
                for row in self.all::<CheckoutRecord>(&Range::scope(Table::Checkouts, scope)).await? {
                    if row.value.0.principal != id {
                        continue;
                    }
                    if !matches!(row.value.0.state, State::Ended { .. }) {
                        let detail = "What it held has not ended yet; try again in a moment.";
                        return Err(Error::new(ProblemType::InUse, detail));
                    }
                    let mut record = row.value.clone();
                    ERASED.clone_into(&mut record.0.reason);
                    change = change.update(&row, &record)?;
                }
                for row in self.all::<BreakGlassRecord>(&Range::scope(Table::BreakGlasses, scope)).await? {
                    if row.value.0.opener == id {
                        let mut record = row.value.clone();
                        ERASED.clone_into(&mut record.0.reason);
                        change = change.update(&row, &record)?;
                    }
                }
            }
            // A page that is being written would bring the words back.
            let _one = self.indexing.lock().await;
            let _here = self.nodes.claim_soon("index", INDEX_WITHIN).await?;
            let mut first = Vec::new();
            for scope in &scopes {
                let (pages, from) = self.pages_about(*scope, id).await?;
                first.extend(from.map(|from| (*scope, from)));
                change = pages.into_iter().fold(change, Change::erase);
            }
            self.commit(self.remember(change, Scope::Operator, once, caller, id.uuid())?).await?;
            for scope in scopes {
                self.forget_subject(scope, id);
            }
            for (scope, from) in first {
                self.index_from(scope, from);
            }
            Ok(Erasure { principal: id })
        })
        .await
    }

    /// A principal that was removed, by its id or its last name.
    async fn former_named(&self, text: &str) -> Result<Versioned<FormerPrincipalRecord>> {
        if let Ok(id) = text.parse::<PrincipalId>() {
            if self.read::<PrincipalRecord>(&RowId::principal(id)).await?.is_some() {
                return Err(still_here());
            }
            return self.load::<FormerPrincipalRecord>(&RowId::former_principal(id)).await;
        }
        let mut found = Vec::new();
        for row in self.all::<FormerPrincipalRecord>(&Range::scope(Table::FormerPrincipals, Scope::Operator)).await? {
            if row.value.name.as_str() == text {
                found.push(row);
            }
        }
        let ids: BTreeSet<String> =
            found.iter().filter_map(|row| row.id.uuid()).map(|id| PrincipalId::from_uuid(id).to_string()).collect();
        match (found.pop(), ids.len()) {
            (Some(row), 1) => Ok(row),
            (Some(_), _) => {
                let ids: Vec<String> = ids.into_iter().collect();
                Err(Error::value(
                    "principal",
                    format!("several were called so; name one by its id: {}", ids.join(", ")),
                ))
            }
            (None, _) if self.principal_named(&text.parse().map_err(|_| Error::not_found())?).await.is_ok() => {
                Err(still_here())
            }
            (None, _) => Err(Error::not_found()),
        }
    }
}

fn key(scope: Scope, id: PrincipalId) -> RowId {
    RowId::key(scope, Purpose::Subject, id.uuid())
}

fn still_here() -> Error {
    Error::new(ProblemType::InUse, "It was not removed: remove it first.")
}
