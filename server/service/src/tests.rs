//! The use cases in a world of their own: a memory store that fails on demand, a clock that a test sets, seeded
//! randomness, a simulated system of logins. Work in the background is stepped, never slept for.

mod access;
mod audit;
mod authenticator;
mod break_glass;
mod by_hand;
mod certificates;
mod checkout;
mod conditions;
mod discovery;
mod emergency;
mod ephemeral;
mod exposure;
mod faults;
mod four_eyes;
mod fresh;
mod idempotency;
mod identity;
mod interrupted;
mod invariants;
mod inventory;
mod journal;
mod life;
mod limits;
mod passkeys;
mod programs;
mod reuse;
mod rotation;
mod seal;
mod second_factors;
mod system;
mod tamper;
mod unused;
mod upkeep;
mod what_if;
mod workers;
pub(crate) mod world;
