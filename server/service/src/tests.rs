//! The use cases in a world of their own: a memory store that fails on demand, a clock that a test sets, seeded
//! randomness, a simulated system of logins. Work in the background is stepped, never slept for.

mod checkout;
mod invariants;
mod journal;
mod rotation;
mod system;
mod world;
