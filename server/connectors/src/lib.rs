//! One file a kind of system: how its logins are probed, changed, created and removed; and the laws each must keep.
//!
//! A connector decides nothing: it does one thing on one system and says exactly what is known afterwards. Outcomes
//! are never collapsed ("cannot connect" is not "wrong password", "no answer" is not "not done"), every call ends by
//! itself within [`Traits::deadline`], and nothing a system says, or leaves unsaid, costs more than that call's own
//! budget. Every connector passes [`laws`].

pub mod active_directory;
pub mod connector;
pub mod dial;
mod directory;
mod exchange;
mod failure;
pub mod http;
pub mod https;
pub mod laws;
pub mod ldap;
pub mod linux;
pub mod logins;
pub mod manual;
pub mod mysql;
pub mod postgresql;
pub mod reach;
pub mod registry;
mod tls;
pub mod trust;

pub use active_directory::ActiveDirectory;
pub use connector::{CertifiedKey, Connector, Credential, FileCopy, Lockout, NewLogin, Probe, SetOutcome, Traits};
pub use dial::{Dial, DialError, Direct, IpNet, Stream};
pub use http::Http;
pub use ldap::Ldap;
pub use linux::Linux;
pub use logins::{FoundLogin, Logins};
pub use manual::Manual;
pub use mysql::Mysql;
pub use postgresql::Postgresql;
pub use reach::{Deadlines, Reach};
pub use registry::Registry;
