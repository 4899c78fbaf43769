//! What the vault still owes on systems: rotations that wait, old secrets that are accepted, ends that nothing has proven.

use std::collections::BTreeSet;

use claviger_api::wire::RevocationState;
use claviger_api::{CheckoutId, CustomerId, Scope, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::checkout::State;
use claviger_store::{Range, RowId, Table};

use crate::error::Result;
use crate::open::Open;
use crate::records::{CheckoutRecord, RotationRecord, StateRecord};

/// What is owed, at all customers together. Each account is looked at, whether or not a policy is about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    /// Accounts with a rotation that waits for its system or a person.
    pub unresolved: u64,
    /// Rotations whose old secret is accepted past the system's grace.
    pub still_accepted: u64,
    /// Ended checkouts of which nobody has seen yet that what they revealed opens nothing any more.
    pub unproven: u64,
    /// When the first of those ended; of one with a certificate, when that did.
    pub unproven_since: Option<Timestamp>,
}

impl Open {
    /// Adds what is owed at one customer.
    pub(super) async fn add_owed(&self, customer: CustomerId, owed: &mut Owed) -> Result<()> {
        let range = Range::scope(Table::AccountStates, Scope::Customer(customer));
        for row in self.all::<StateRecord>(&range).await? {
            let state = row.value.0;
            owed.unresolved += u64::from(state.rotation.is_some_and(|running| running.unresolved));
            let mut ended: BTreeSet<CheckoutId> = state.to_revoke.iter().copied().collect();
            for rotation in rotations(&state) {
                let Some(row) = self.read::<RotationRecord>(&RowId::rotation(customer, rotation)).await? else {
                    continue;
                };
                owed.still_accepted += u64::from(row.value.rotation.old_still_accepted);
                ended.extend(row.value.rotation.checkouts);
            }
            ended.extend(&state.logins);
            for checkout in ended {
                let Some(row) = self.read::<CheckoutRecord>(&RowId::checkout(customer, checkout)).await? else {
                    continue;
                };
                let State::Ended { at, used, revocation, .. } = row.value.0.state else { continue };
                // A certificate that was given back early may open its host until its own end, where the host takes no list.
                let own_end = used.map(|used| used.expires_at).filter(|_| state.logins.contains(&checkout));
                owed.add(own_end.map_or(at, |end| end.max(at)), revocation.state);
            }
        }
        Ok(())
    }
}

/// The rotation under way, and those that have their old secret still to try.
fn rotations(state: &AccountState) -> BTreeSet<claviger_api::RotationId> {
    state
        .rotation
        .map(|running| running.id)
        .into_iter()
        .chain(state.proving.iter().map(|proof| proof.rotation))
        .collect()
}

impl Owed {
    /// Adds a checkout whose credential is dead from `at` on.
    fn add(&mut self, at: Timestamp, state: RevocationState) {
        match state {
            RevocationState::NotNeeded
            | RevocationState::NotRequested
            | RevocationState::Proven
            | RevocationState::Told => {}
            RevocationState::StillAccepted | RevocationState::Pending | RevocationState::Unresolved => {
                self.unproven += 1;
                self.unproven_since = Some(self.unproven_since.map_or(at, |since| since.min(at)));
            }
        }
    }
}
