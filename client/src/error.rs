//! What can go wrong, and the exit code it gives a program.

use std::time::Duration;

use claviger_api::problem::Exit;
use claviger_api::wire::WaitsFor;
use claviger_api::{Problem, ProblemType};

/// The outcome of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call gave no answer, or a refusal. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused, and says why.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Box<Problem>),
    /// No connection: the request was certainly not carried out.
    #[error("cannot reach {address}: {why}")]
    Unreachable {
        /// The server.
        address: String,
        /// What failed.
        why: String,
    },
    /// Whoever answers at the address cannot prove to be the server.
    #[error("no trusted TLS connection to {address}: {why}")]
    Tls {
        /// The server.
        address: String,
        /// What failed.
        why: String,
    },
    /// The connection ended before the whole answer was there: the request may have been carried out.
    #[error("the connection to {address} broke before the answer was complete: {why}")]
    Broken {
        /// The server.
        address: String,
        /// What failed.
        why: String,
    },
    /// No whole answer in time: the request may have been carried out.
    #[error("{address} did not answer within {} s", .after.as_secs())]
    Timeout {
        /// The server.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// An answer that a Claviger server does not give.
    #[error("the answer (status {status}) is not one of a Claviger server: {why}")]
    BadAnswer {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it; never a part of the body.
        why: String,
    },
    /// There are no credentials, or no session any more.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// The kept session cannot be read or written.
    #[error("the kept session cannot be used: {0}")]
    Session(#[source] std::io::Error),
    /// The account's turn did not come within the time that the caller gave.
    #[error("the checkout could not be used within {} s: it waits for {}", .after.as_secs(), waited_for(*.waits_for))]
    WaitEnded {
        /// How long was waited.
        after: Duration,
        /// How many were before it, while it waits for its turn.
        behind: Option<u32>,
        /// What it waits for.
        waits_for: Option<WaitsFor>,
    },
    /// The call itself is wrong.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// The call itself is wrong, and this says how.
    #[expect(clippy::needless_pass_by_value, reason = "so that it fits `map_err`")]
    pub fn usage(what: impl ToString) -> Self {
        Self::Usage(what.to_string())
    }

    /// The row of the problem table, when the server refused with one.
    pub fn problem_type(&self) -> Option<ProblemType> {
        self.problem().and_then(Problem::problem_type)
    }

    /// The problem document, when the server refused with one.
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
    }

    /// Whether the request may have been carried out although it failed.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Timeout { .. } | Self::BadAnswer { .. } => true,
            Self::Problem(_) => {
                matches!(self.problem_type(), Some(ProblemType::OutcomeUnknown | ProblemType::Internal))
            }
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::NotLoggedIn
            | Self::Session(_)
            | Self::WaitEnded { .. }
            | Self::Usage(_) => false,
        }
    }

    /// The exit code of a program that fails with this.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => match problem.problem_type() {
                Some(known) => known.row().exit,
                None => exit_of_status(problem.status),
            },
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Broken { .. } | Self::Timeout { .. } => {
                Exit::Unavailable
            }
            Self::BadAnswer { .. } | Self::Session(_) => Exit::Failed,
            Self::NotLoggedIn => Exit::NotAuthenticated,
            Self::WaitEnded { waits_for: Some(WaitsFor::Approval), .. } => Exit::ApprovalNeeded,
            Self::WaitEnded { waits_for: Some(WaitsFor::Start | WaitsFor::Turn) | None, .. } => Exit::Conflict,
            Self::Usage(_) => Exit::Usage,
        }
    }

    /// Whether a new login may help: the access token is not accepted any more.
    pub(crate) fn session_is_over(&self) -> bool {
        matches!(self.problem_type(), Some(ProblemType::SessionEnded | ProblemType::NotAuthenticated))
    }
}

/// What a checkout waits for, in words.
fn waited_for(waits_for: Option<WaitsFor>) -> &'static str {
    match waits_for {
        Some(WaitsFor::Approval) => "an approval",
        Some(WaitsFor::Start) => "its start",
        Some(WaitsFor::Turn) | None => "its turn",
    }
}

/// The exit code of a problem that only a newer server knows.
fn exit_of_status(status: u16) -> Exit {
    match status {
        400 | 405 | 413 | 415 | 422 => Exit::Usage,
        401 => Exit::NotAuthenticated,
        403 => Exit::Forbidden,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        503 => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::problem::TABLE;

    use super::*;

    #[test]
    fn every_problem_gives_the_exit_code_of_its_row() {
        for row in TABLE {
            let error = Error::Problem(Box::new(Problem::new(row.problem, "")));
            assert_eq!(error.exit(), row.exit, "{}", row.code);
        }
    }

    #[test]
    fn a_problem_from_a_newer_server_gives_the_exit_code_of_its_status() {
        for (status, exit) in
            [(403, Exit::Forbidden), (404, Exit::NotFound), (409, Exit::Conflict), (500, Exit::Failed)]
        {
            let mut problem = Problem::new(ProblemType::Internal, "");
            problem.type_uri = "urn:claviger:problem:of-tomorrow".to_owned();
            problem.status = status;
            assert_eq!(Error::Problem(Box::new(problem)).exit(), exit);
        }
    }
}
