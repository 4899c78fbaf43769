//! How long a system may take for what.

use std::time::Duration;

/// How long a server may take for what. The sum bounds every call.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From dialling to an open session.
    pub login: Duration,
    /// All statements of one call together.
    pub work: Duration,
    /// After which the server itself gives a statement up, so that none takes effect when nobody waits any more.
    pub statement: Duration,
}

impl Deadlines {
    /// What a system on a slow line needs.
    pub const STANDARD: Self =
        Self { login: Duration::from_secs(8), work: Duration::from_secs(14), statement: Duration::from_secs(8) };

    /// After so long no call is still at work, neither here nor on the system.
    pub(crate) fn total(&self) -> Duration {
        self.login + self.work + self.statement
    }
}
