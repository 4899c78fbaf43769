//! The clock of this machine, for what is kept on it.

use claviger_client::api::Timestamp;

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "the one place of the command line that asks")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
