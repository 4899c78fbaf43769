//! The client library of Claviger: async, typed errors, retries, idempotency keys; one file a resource.
//!
//! ```no_run
//! # async fn example() -> Result<(), claviger_client::Error> {
//! use claviger_client::{Client, Credentials, NewCheckout, api::Secret};
//!
//! # fn token() -> Secret { unimplemented!() }
//! let client = Client::builder()
//!     .address("https://vault.example.com:8200")
//!     .credentials(Credentials::Token(token()))
//!     .build()?;
//!
//! let held = client.checkouts().hold(&NewCheckout {
//!     account: "acme/db01/postgres".parse().map_err(claviger_client::Error::usage)?,
//!     ttl_seconds: Some(30 * 60),
//!     reason: "apply migration 42".to_owned(),
//!     ticket: None,
//!     claim: Default::default(),
//!     on_conflict: Default::default(),
//!     not_before: None,
//! }).await?;
//! let revealed = held.reveal().await?;
//! // ... log in as revealed.login with revealed.secret ...
//! held.checkin().await?;
//! # Ok(()) }
//! ```
//!
//! **Sessions.** The client logs in when the first call needs it, renews its session before it ends, and once more
//! when the server says that it has ended. See [`Credentials`].
//!
//! **Retries.** A request that certainly was not carried out, or may be repeated, is repeated a few times with full
//! jitter: see [`Retries`]. Every POST carries an `Idempotency-Key` that stays the same over its retries, so that a
//! lost answer never does a thing twice.
//!
//! **Secrets.** They are [`api::Secret`]: without `Debug`, `Clone` or `Serialize`, and wiped when dropped. Request and
//! answer bodies are wiped as well; what the TLS and HTTP libraries hold in their own buffers is not.

mod access;
mod accounts;
mod address;
mod audit;
mod auth;
mod break_glass;
mod builder;
mod checkouts;
mod client;
mod credentials;
mod customers;
mod dependents;
mod emergencies;
mod error;
mod exposures;
mod follow;
mod grants;
mod held;
mod identity_providers;
mod issuers;
mod kits;
mod list;
mod poll;
mod reports;
mod retry;
mod reviews;
mod rotations;
mod service_accounts;
mod session;
mod sign_on;
mod sys;
mod systems;
mod tasks;
mod transport;
mod users;

/// The public contract: ids, names, wire types, problems, the offline verifier.
pub use claviger_api as api;
pub use claviger_api::problem::Exit;
pub use claviger_api::wire::{NewCheckout, NewRotation};

pub use access::Access;
pub use accounts::Accounts;
pub use audit::{Audit, Export};
pub use auth::Auth;
pub use break_glass::BreakGlass;
pub use builder::{ATTEMPT_TIMEOUT, Builder, CONNECT_TIMEOUT};
pub use checkouts::Checkouts;
pub use client::Client;
pub use credentials::{AskSecondFactor, Credentials, Given, KeptSession, OpenSession, SessionKeeper};
pub use customers::Customers;
pub use emergencies::Emergencies;
pub use error::{Error, Result};
pub use exposures::Exposures;
pub use follow::Follow;
pub use grants::Grants;
pub use held::Held;
pub use identity_providers::IdentityProviders;
pub use issuers::Issuers;
pub use kits::Kits;
pub use list::{List, Paged};
pub use reports::Reports;
pub use retry::Retries;
pub use reviews::Reviews;
pub use rotations::Rotations;
pub use service_accounts::ServiceAccounts;
pub use sign_on::{ProofKey, SignOns};
pub use sys::Sys;
pub use systems::Systems;
pub use tasks::Tasks;
pub use transport::{ANSWER_MAX, USER_AGENT};
pub use users::Users;
