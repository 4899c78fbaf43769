//! Budgets: how much the unauthenticated may ask for, each source address and all together; and the quotas of those who are logged
//! in: each principal, and all of them together at each customer, so that no script and no customer slows the others down.
//!
//! What is for all strangers together is for strangers: a source from which somebody with a session came lately pays its own budget
//! only, so that ten thousand others do not keep it out. Which those are is forgotten with the process.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use claviger_api::{CustomerId, PrincipalId, ProblemType};
use claviger_service::{Error, Result, place_of};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use quick_cache::sync::Cache;
use serde::Deserialize;

/// Source addresses that are counted at once; past it only the budget of all together holds.
const SOURCES_MAX: usize = 100_000;

/// Sources that are known at once.
const KNOWN_MAX: usize = 10_000;

/// So many a second, and so many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// The rates of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Of each source: an IPv4 address, or the /64 network of an IPv6 address.
    pub each_source: Rate,
    /// Of all sources together.
    pub all: Rate,
}

/// What those who are logged in may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Of each user or service account, whatever it asks for.
    pub each_principal: Rate,
    /// Of all of them together, about each customer.
    pub each_customer: Rate,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { each_principal: rate(200, 1000), each_customer: rate(1000, 5000) }
    }
}

/// The rates of all budgets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllRates {
    /// Reading what is public: health, seal status, the API's description.
    pub probe: Rates,
    /// Logging in, enrolling, refreshing.
    pub login: Rates,
    /// Initialising and unsealing.
    pub unseal: Rates,
    /// Whatever is asked for by those who are logged in.
    pub session: Quotas,
}

impl Default for AllRates {
    fn default() -> Self {
        Self {
            probe: Rates { each_source: rate(50, 100), all: rate(500, 1000) },
            login: Rates { each_source: rate(20, 100), all: rate(500, 1000) },
            // 16 shares at once, then one every second.
            unseal: Rates { each_source: rate(1, 20), all: rate(5, 40) },
            session: Quotas::default(),
        }
    }
}

impl AllRates {
    /// Rates that no honest use reaches, for trying out on a machine of one's own.
    pub fn generous() -> Self {
        let most = rate(100_000, 100_000);
        let rates = Rates { each_source: most, all: most };
        let session = Quotas { each_principal: most, each_customer: most };
        Self { probe: rates, login: rates, unseal: rates, session }
    }
}

/// Panics at compile time or in tests if a default were zero.
const fn rate(per_second: u32, burst: u32) -> Rate {
    let (Some(per_second), Some(burst)) = (NonZeroU32::new(per_second), NonZeroU32::new(burst)) else {
        panic!("a default rate is not zero")
    };
    Rate { per_second, burst }
}

/// Which budget a request is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Reading what is public.
    Probe,
    /// Logging in, enrolling, refreshing.
    Login,
    /// Initialising and unsealing.
    Unseal,
}

/// What is left of every budget.
pub struct Budgets<C: Clock + Clone = DefaultClock> {
    known: Cache<IpAddr, ()>,
    probe: Budget<C>,
    login: Budget<C>,
    unseal: Budget<C>,
    principals: Each<PrincipalId, C>,
    customers: Each<CustomerId, C>,
    clock: C,
}

/// A budget for each of many.
type Each<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Budget<C: Clock + Clone> {
    each_source: Each<IpAddr, C>,
    all: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl<C: Clock + Clone> Budgets<C> {
    /// Full budgets.
    pub fn new(rates: &AllRates, clock: &C) -> Self {
        Self {
            known: Cache::new(KNOWN_MAX),
            probe: Budget::new(&rates.probe, clock),
            login: Budget::new(&rates.login, clock),
            unseal: Budget::new(&rates.unseal, clock),
            principals: each(rates.session.each_principal, clock),
            customers: each(rates.session.each_customer, clock),
            clock: clock.clone(),
        }
    }

    /// Somebody with a session comes from there.
    pub fn know(&self, source: IpAddr) {
        let source = place_of(source);
        if self.known.get(&source).is_none() {
            self.known.insert(source, ());
        }
    }

    /// Charges one request. Its own source pays first, so that nobody spends what is for all.
    pub fn charge(&self, purpose: Purpose, source: IpAddr) -> Result<()> {
        let budget = match purpose {
            Purpose::Probe => &self.probe,
            Purpose::Login => &self.login,
            Purpose::Unseal => &self.unseal,
        };
        let source = place_of(source);
        budget.charge(source, self.known.get(&source).is_some())
    }

    /// Charges one request of somebody who is logged in.
    pub fn charge_principal(&self, principal: PrincipalId) -> Result<()> {
        self.principals.check_key(&principal).map_err(|until| spent(&until, &self.clock, YOURS))
    }

    /// Charges one request about a customer.
    pub fn charge_customer(&self, customer: CustomerId) -> Result<()> {
        self.customers.check_key(&customer).map_err(|until| spent(&until, &self.clock, OF_THE_CUSTOMER))
    }

    /// Forgets those that have their full budget again. To be called now and then.
    pub fn forget_rested(&self) {
        self.principals.retain_recent();
        self.principals.shrink_to_fit();
        self.customers.retain_recent();
        self.customers.shrink_to_fit();
        for budget in [&self.probe, &self.login, &self.unseal] {
            budget.each_source.retain_recent();
            budget.each_source.shrink_to_fit();
        }
    }
}

impl<C: Clock + Clone> Budget<C> {
    fn new(rates: &Rates, clock: &C) -> Self {
        Self {
            each_source: each(rates.each_source, clock),
            all: RateLimiter::direct_with_clock(quota(rates.all), clock.clone()),
            clock: clock.clone(),
        }
    }

    fn charge(&self, source: IpAddr, known: bool) -> Result<()> {
        let spent = |until: NotUntil<C::Instant>| spent(&until, &self.clock, "");
        if known || self.each_source.len() < SOURCES_MAX {
            self.each_source.check_key(&source).map_err(spent)?;
        }
        if known { Ok(()) } else { self.all.check().map_err(spent) }
    }
}

/// Who has spent what is theirs, and who else's is spent.
const YOURS: &str = "This user or service account asks more often than the server's [budgets.session] lets each.";
const OF_THE_CUSTOMER: &str =
    "More is asked about this customer than the server's [budgets.session] lets all who work there.";

fn spent<C: Clock>(until: &NotUntil<C::Instant>, clock: &C, detail: &str) -> Error {
    let seconds = until.wait_time_from(clock.now()).as_secs().saturating_add(1);
    Error { retry_after_seconds: Some(seconds), ..Error::new(ProblemType::TooManyRequests, detail) }
}

fn each<K: Clone + Hash + Eq, C: Clock + Clone>(rate: Rate, clock: &C) -> Each<K, C> {
    RateLimiter::new(quota(rate), DefaultKeyedStateStore::default(), clock.clone())
}

fn quota(rate: Rate) -> Quota {
    Quota::per_second(rate.per_second).allow_burst(rate.burst)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    type Standing = Budgets<FakeRelativeClock>;

    fn scarce() -> (Standing, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let unseal = Rates { each_source: rate(1, 3), all: rate(1, 5) };
        (Budgets::new(&AllRates { unseal, ..AllRates::default() }, &clock), clock)
    }

    fn charge(budgets: &Standing, source: &str) -> bool {
        budgets.charge(Purpose::Unseal, source.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_source_that_has_spent_its_own_leaves_the_others_theirs() {
        let (budgets, clock) = scarce();
        let spent: Vec<bool> = (0..4).map(|_| charge(&budgets, "192.0.2.1")).collect();
        assert_eq!(spent, [true, true, true, false]);
        assert!(charge(&budgets, "192.0.2.2"), "what was refused cost the others nothing");
        let error = budgets.charge(Purpose::Unseal, "192.0.2.1".parse().unwrap()).unwrap_err();
        assert_eq!(error.problem, ProblemType::TooManyRequests);
        clock.advance(Duration::from_secs(error.retry_after_seconds.unwrap()));
        assert!(charge(&budgets, "192.0.2.1"), "whoever waits as told is served");
    }

    #[test]
    fn all_together_have_a_budget_too() {
        let (budgets, _) = scarce();
        let granted = (1..=9).filter(|n| charge(&budgets, &format!("192.0.2.{n}"))).count();
        assert_eq!(granted, 5);
        assert!(budgets.charge(Purpose::Login, "192.0.2.9".parse().unwrap()).is_ok(), "another budget is another");
    }

    #[test]
    fn a_known_source_is_not_kept_out_by_strangers_and_pays_its_own() {
        let (budgets, _) = scarce();
        budgets.know("192.0.2.200".parse().unwrap());
        let granted = (0..10_000).filter(|n| charge(&budgets, &format!("10.{}.{}.1", n / 256, n % 256))).count();
        assert_eq!(granted, 5, "ten thousand sources share one budget");
        let spent: Vec<bool> = (0..4).map(|_| charge(&budgets, "192.0.2.200")).collect();
        assert_eq!(spent, [true, true, true, false]);
    }

    #[test]
    fn a_network_of_one_subscriber_is_one_source() {
        let (budgets, _) = scarce();
        let spent: Vec<bool> = (1..=4).map(|n| charge(&budgets, &format!("2001:db8::{n}"))).collect();
        assert_eq!(spent, [true, true, true, false]);
        assert!(charge(&budgets, "2001:db8:0:1::1"));
        assert!(charge(&budgets, "::ffff:192.0.2.1"), "and not all of IPv4 is one");
    }

    #[test]
    fn each_principal_and_each_customer_has_a_quota_of_its_own() {
        let clock = FakeRelativeClock::default();
        let session = Quotas { each_principal: rate(1, 2), each_customer: rate(1, 3) };
        let budgets = Budgets::new(&AllRates { session, ..AllRates::default() }, &clock);
        let of =
            |number| (PrincipalId::from_uuid(Uuid::from_u128(number)), CustomerId::from_uuid(Uuid::from_u128(number)));
        let ((script, acme), (person, globex)) = (of(1), of(2));
        let asked: Vec<bool> = (0..3).map(|_| budgets.charge_principal(script).is_ok()).collect();
        assert_eq!(asked, [true, true, false]);
        assert!(budgets.charge_principal(person).is_ok(), "a script slows nobody else down");
        let asked: Vec<bool> = (0..4).map(|_| budgets.charge_customer(acme).is_ok()).collect();
        assert_eq!(asked, [true, true, true, false]);
        assert!(budgets.charge_customer(globex).is_ok());
        let refused = budgets.charge_principal(script).unwrap_err();
        assert_eq!(refused.problem, ProblemType::TooManyRequests);
        assert!(refused.detail.contains("[budgets.session]"), "{}", refused.detail);
        clock.advance(Duration::from_secs(refused.retry_after_seconds.unwrap()));
        assert!(budgets.charge_principal(script).is_ok(), "whoever waits as told is served");
        clock.advance(Duration::from_mins(1));
        budgets.forget_rested();
        assert!(budgets.principals.is_empty() && budgets.customers.is_empty());
    }

    #[test]
    fn rested_sources_are_forgotten_and_spent_ones_are_not() {
        let (budgets, clock) = scarce();
        charge(&budgets, "192.0.2.2");
        clock.advance(Duration::from_secs(2));
        for _ in 0..3 {
            charge(&budgets, "192.0.2.1");
        }
        budgets.forget_rested();
        assert_eq!(budgets.unseal.each_source.len(), 1);
        assert!(!charge(&budgets, "192.0.2.1"));
    }
}
