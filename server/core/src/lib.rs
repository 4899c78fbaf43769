//! Decisions: check-out, rotation, policy and password rules. Pure and synchronous: no clock, no randomness, no I/O.

pub mod account;
pub mod break_glass;
pub mod checkout;
pub mod discovery;
pub mod emergency;
pub mod follow_up;
pub mod password;
pub mod policy;
pub mod rotation;
pub mod secrets;
pub mod upkeep;
