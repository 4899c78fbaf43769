//! A checkout of an account whose rotation is not settled, under break-glass: nobody knows which of its versions opens
//! it, so all that may are shown.

use claviger_api::Timestamp;

use super::{Checkout, Decision, Refusal, State, Wanted, allowed_ttl};
use crate::account::{AccountState, Availability};

/// Decides such a request: a seat until the glass ends, or the caller's own. What is then shown is
/// [`SecretSet::probe_order`](crate::secrets::SecretSet::probe_order).
pub fn request_unresolved(
    wanted: Wanted,
    account: &mut AccountState,
    max_holders: u32,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    if account.availability(max_holders, true) != Availability::Unresolved {
        return Err(Refusal::NotUnresolved);
    }
    if let Some(seat) = account.seats.iter().find(|seat| seat.principal == wanted.principal) {
        return Ok(Decision::Reuse(seat.checkout));
    }
    if account.seats.len() >= usize::try_from(max_holders).unwrap_or(usize::MAX) {
        return Err(Refusal::Held);
    }
    let ttl_seconds = allowed_ttl(wanted.ttl_seconds, wanted.most_seconds)?;
    let mut checkout = wanted.checkout(ttl_seconds, None, State::Pending { until: now }, now);
    checkout.state = State::Active(checkout.used_from(now));
    account.note(&checkout);
    Ok(Decision::New(Box::new(checkout)))
}

impl Checkout {
    /// Its holder sees these versions, of which one may open the account. Refused at and after the end.
    pub fn reveal_unresolved(
        mut self,
        account: &AccountState,
        now: Timestamp,
    ) -> Result<(Self, Vec<crate::secrets::Version>), Refusal> {
        match self.state {
            State::Active(used) if now < used.expires_at => {}
            State::Pending { .. }
            | State::Scheduled { .. }
            | State::Requested { .. }
            | State::Approved { .. }
            | State::Active(_)
            | State::Ended { .. } => return Err(Refusal::Ended),
        }
        let shown = account.secrets.probe_order();
        self.reveals += 1;
        self.seen.extend(shown.iter().filter(|version| !self.seen.contains(version)).copied().collect::<Vec<_>>());
        Ok((self, shown))
    }
}
