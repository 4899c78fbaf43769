//! Where a user's failed logins are counted.
//!
//! Everybody can fail in another's name, and ten thousand addresses can do it at once. So failures from a place that the
//! user has come in from are counted apart from those from elsewhere: whoever guesses locks out elsewhere, and the user,
//! at the usual desk, still comes in. A place is an IPv4 address or a /64 network of IPv6, as for budgets.

use std::net::{IpAddr, Ipv6Addr};

use claviger_api::{Scope, Timestamp, UserName};
use claviger_store::{RowId, Table, Versioned};
use jiff::SignedDuration;

use crate::error::Result;
use crate::journal::Change;
use crate::open::Open;
use crate::records::LoginCounter;

/// How exact [`LoginCounter::came_in_at`] is: not every login writes it.
const CAME_IN_EXACT_TO: SignedDuration = SignedDuration::from_hours(24);
/// How long a place is known after the user last came in from it.
pub const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// A counter of failed logins.
pub(crate) struct Counted {
    /// Its row.
    pub id: RowId,
    /// What it holds, if anything was counted.
    pub row: Option<Versioned<LoginCounter>>,
    /// The place that will be known if this login succeeds, and what is left of it from earlier.
    new_place: Option<(RowId, Option<Versioned<LoginCounter>>)>,
}

impl Counted {
    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.row.as_ref().map_or(0, |row| row.value.failures)
    }

    /// Whether the user has come in from there.
    pub fn is_known_place(&self) -> bool {
        self.new_place.is_none() && self.came_in_at().is_some()
    }

    /// When the user last came in from here, if this is a known place.
    pub fn came_in_at(&self) -> Option<Timestamp> {
        self.row.as_ref().and_then(|row| row.value.came_in_at)
    }
}

impl Open {
    /// The counter of logins in this name from there: the place's own if it is known, else the one of all others.
    pub(crate) async fn counted(&self, name: &UserName, source: Option<IpAddr>) -> Result<Counted> {
        let mut new_place = None;
        if let Some(source) = source {
            let id = self.counter_row(name, &place_of(source).to_string());
            let row = self.read::<LoginCounter>(&id).await?;
            if row.as_ref().and_then(|row| row.value.came_in_at).is_some_and(|at| self.is_known(at)) {
                return Ok(Counted { id, row, new_place: None });
            }
            new_place = Some((id, row));
        }
        let id = self.counter_row(name, "");
        let row = self.read(&id).await?;
        Ok(Counted { id, row, new_place })
    }

    fn is_known(&self, came_in_at: Timestamp) -> bool {
        self.now().duration_since(came_in_at) < KNOWN_FOR
    }

    pub(super) async fn is_locked_out(&self, name: &UserName, source: Option<IpAddr>) -> Result<bool> {
        Ok(self.locks_out(&self.counted(name, source).await?))
    }

    pub(super) fn locks_out(&self, counted: &Counted) -> bool {
        let until = counted.row.as_ref().and_then(|row| row.value.locked_until);
        until.is_some_and(|until| self.now() < until)
    }

    /// Adds to a change that the user came in: the failures counted here are forgotten, and the place is known.
    pub(super) fn came_in<'a>(&self, change: Change<'a>, counted: Counted) -> Result<Change<'a>> {
        let now = self.now();
        let known = LoginCounter { failures: 0, locked_until: None, last_failure_at: None, came_in_at: Some(now) };
        let Some((id, left)) = counted.new_place else {
            return match counted.row {
                Some(row) if counted_nothing(&row.value, now) => Ok(change),
                Some(row) if row.value.came_in_at.is_some() => change.update(&row, &known),
                // Nobody knows from where: there is no place to remember.
                Some(row) => Ok(change.remove(&row)),
                None => Ok(change),
            };
        };
        let change = match counted.row {
            Some(row) => change.remove(&row),
            None => change,
        };
        match left {
            Some(left) => change.update(&left, &known),
            None => change.create(id, &known),
        }
    }

    /// No name and no address is to be read from a row's key.
    fn counter_row(&self, name: &UserName, place: &str) -> RowId {
        let of = if place.is_empty() { name.as_str().to_owned() } else { format!("{} {place}", name.as_str()) };
        RowId::login_counter(&self.keyring().lookup().index(Table::LoginCounters.tag(), Scope::Operator, of.as_bytes()))
    }
}

/// Whether a place's counter says already all that this login would make it say.
fn counted_nothing(counter: &LoginCounter, now: Timestamp) -> bool {
    let exact = counter.came_in_at.is_some_and(|at| now.duration_since(at) <= CAME_IN_EXACT_TO);
    exact && counter.failures == 0 && counter.locked_until.is_none()
}

/// The place of an address: one subscriber has a whole /64 of IPv6 (RFC 6177).
pub fn place_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}
