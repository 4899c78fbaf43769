//! What an error tells: the server said no, or nobody knows what it did.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// What is shown of a server's words.
const WORDS_MAX: usize = 300;

/// A statement that was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server said no, has undone the statement, and takes others on the same session.
    Said {
        /// The SQLSTATE.
        code: String,
        /// Its words.
        words: String,
    },
    /// The session is of no use any more: it was ended, broke, was too slow, or said what leaves a doubt.
    Lost(String),
}

impl Failure {
    /// Whether the server undid the transaction to keep others in order, and would take it once more:
    /// serialization_failure, deadlock_detected.
    pub(crate) fn is_about_order(&self) -> bool {
        match self {
            Self::Said { code, .. } => matches!(code.as_str(), "40001" | "40P01"),
            Self::Lost(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { code, words } => write!(f, "{words} ({code})"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Lost(described(&error)) };
        let (code, words) = (said.code().code().to_owned(), words(said));
        if is_plain_error(said) && !leaves_doubt(&code) {
            Self::Said { code, words }
        } else {
            Self::Lost(format!("{words} ({code})"))
        }
    }
}

/// Waits for an answer, but not for ever.
pub(crate) async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::Lost(format!("no answer within {} s", limit.as_secs()));
    timeout(limit, answer).await.map_err(late)?
}

/// ERROR, and not FATAL or PANIC. The plain name is in the protocol since PostgreSQL 9.6, but not everybody's who
/// speaks it; those do not translate the other one.
fn is_plain_error(said: &DbError) -> bool {
    said.parsed_severity().map_or(said.severity() == "ERROR", |severity| severity == Severity::Error)
}

/// Classes 08 (connection), 57 (operator intervention) and XX (internal), and "statement completion unknown".
fn leaves_doubt(code: &str) -> bool {
    code == "40003" || ["08", "57", "XX"].iter().any(|class| code.starts_with(class))
}

fn words(said: &DbError) -> String {
    let message = said.message().replace('\n', "; ");
    message.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

fn described(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str) -> Failure {
        Failure::Said { code: code.to_owned(), words: "no".to_owned() }
    }

    #[test]
    fn what_is_undone_for_the_order_is_tried_again() {
        assert!(said("40001").is_about_order() && said("40P01").is_about_order());
        assert!(!said("23505").is_about_order() && !Failure::Lost("40001".to_owned()).is_about_order());
    }

    #[test]
    fn an_internal_error_or_an_operators_leaves_a_doubt() {
        for code in ["57P01", "57014", "08006", "XX000", "40003"] {
            assert!(leaves_doubt(code), "{code}");
        }
        for code in ["40001", "40P01", "53100", "55P03", "42501", "P0001"] {
            assert!(!leaves_doubt(code), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let never = std::future::pending::<Result<(), Failure>>();
        let late = within(Duration::from_secs(7), never).await;
        assert_eq!(late, Err(Failure::Lost("no answer within 7 s".to_owned())));
    }
}
