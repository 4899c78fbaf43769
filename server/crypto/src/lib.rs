//! Sealing: the key hierarchy, the record envelope, shares, passphrases and locked memory. The only crate that names
//! aes-gcm and argon2.
//!
//! ```text
//! Shamir shares (k of n) | passphrase (Argon2id) | HSM            shares.rs, passphrase.rs, hsm.rs
//!   └─ root key             only in memory: locked pages           key.rs, memory.rs
//!       ├─ operator, lookup, fingerprint, freshness keys            wrap.rs; lookup.rs, fingerprint.rs, freshness.rs
//!       └─ customer keys ─┬─ subject keys
//!                         └─ record keys, one message each          envelope.rs
//! ```
//!
//! The byte layouts are frozen in `docs/formats.md`, with known answers that the tests here assert.
//! Randomness is a parameter ([`Random`]); nothing here reads a clock or does I/O.

mod argon;
pub mod envelope;
pub mod fingerprint;
mod frame;
pub mod freshness;
pub mod hsm;
pub mod key;
pub mod kit;
pub mod lookup;
pub mod memory;
pub mod passkey;
pub mod passphrase;
pub mod password;
pub mod random;
pub mod recipients;
pub mod recovery;
pub mod salt;
pub mod shares;
pub mod signing;
pub mod ssh;
mod stack;
pub mod token;
pub mod totp;
pub mod wrap;

pub use envelope::{Aad, OpenError};
pub use freshness::Digest;
pub use hsm::{Hsm, HsmError, HsmKey, HsmSeal};
pub use key::{
    ArchiveKey, CustomerKey, FingerprintKey, FreshnessKey, Key, LookupKey, OperatorKey, RootKey, SealKey, SealingKey,
    SignOnKey, SubjectKey,
};
pub use passphrase::PassphraseSeal;
pub use random::{OsRandom, Random, Seeded};
pub use signing::SigningKey;
pub use token::{Token, TokenHash, TokenKind};

#[cfg(test)]
mod vectors;
