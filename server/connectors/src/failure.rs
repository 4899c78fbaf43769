//! Why no session was opened.

use std::io;

use claviger_api::wire::ProbeResult;

/// Why no session was opened, and what that tells about the secret: `Accepted` where it was right and something else
/// was in the way.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: ProbeResult,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        Self { result: ProbeResult::Unknown, detail: detail.into() }
    }

    pub(crate) fn unreachable(detail: impl Into<String>) -> Self {
        Self { result: ProbeResult::Unreachable, detail: detail.into() }
    }

    pub(crate) fn host_mismatch(detail: impl Into<String>) -> Self {
        Self { result: ProbeResult::HostMismatch, detail: detail.into() }
    }

    /// The registry gives each system to the connector of its kind, so that nobody sees this.
    pub(crate) fn another_kind() -> Self {
        Self::unknown("the system is of another kind")
    }

    /// A connection that broke says nothing; one that brought nonsense cannot be read.
    pub(crate) fn io(error: &io::Error) -> Self {
        if is_unreadable(error) {
            Self::unknown(format!("the server's answer cannot be read: {error}"))
        } else {
            Self::unreachable(format!("the connection broke: {error}"))
        }
    }
}

/// Whether an error is about what was read, not about the connection.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other)
}

/// What is shown of a server's words.
const WORDS_CHARS_MAX: usize = 300;

/// A server's words: no line breaks, not too many, and never the secret, should it know it.
pub(crate) fn plain_words(said: &str, secret: &claviger_api::Secret) -> String {
    let said = said.replace('\n', "; ").replace(secret.expose(), "…");
    said.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect()
}
