//! Use cases: load, ask core, commit through the journal, act.
//!
//! [`Vault`] is sealed or open; every use case is a method of [`Open`], in the folder of the thing it is about, and
//! takes the `Permit` that the policy made. What it changes goes through the [`journal`] with its event, or not at all.

pub mod audit;
pub mod backup;
mod base64_bytes;
pub mod break_glass;
pub mod checkout;
pub mod clock;
mod daily;
pub mod dependents;
mod discovery;
pub mod emergency;
pub mod error;
pub mod escrow;
mod event;
pub mod exposure;
#[cfg(feature = "failpoints")]
mod failpoint;
pub mod idempotency;
pub mod identity;
pub mod inventory;
pub mod journal;
mod kept;
pub mod kit;
pub mod nodes;
pub mod open;
pub mod page;
mod purge;
mod records;
mod refusals;
pub mod restore;
pub mod reuse;
pub mod rotation;
pub mod scrub;
pub mod seal;
pub mod shelf;
pub mod status;
pub mod unused;
pub mod upkeep;
pub mod vault;
pub mod workers;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, Result};
pub use idempotency::Once;
pub use identity::place::place_of;
pub use identity::{ClientCertificate, Origin};
pub use inventory::Place;
pub use open::{Caller, Open};
pub use page::{Page, Paging};
pub use vault::{Ground, Settings, Vault};

/// What a server needs of the sealing crate.
pub mod crypto {
    pub use claviger_crypto::memory::{HardenError, harden_process, locked};
    pub use claviger_crypto::{OsRandom, Random, kit, passkey, recipients, totp};
}

#[cfg(test)]
mod tests;
