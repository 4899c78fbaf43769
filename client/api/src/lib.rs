//! The public contract: what server, client library, command line and auditors must agree on.
//!
//! Ids and names, the secret type, wire types, the problem table, and the audit record with its proofs and offline
//! verifier. Nothing here does I/O, reads a clock or draws a random number.

pub mod audit;
pub mod emergency;
pub mod id;
pub mod name;
pub mod problem;
pub mod secret;
pub mod wire;

pub use id::*;
pub use jiff::Timestamp;
pub use name::{AccountPath, Login, Part, UserName};
pub use problem::{Problem, ProblemType};
pub use secret::Secret;
