//! What went wrong, what to do about it, and the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use claviger_client::api::wire::WaitsFor;
use claviger_client::api::{Problem, ProblemType};
use claviger_client::{Error, Exit};
use serde_json::json;

use crate::output::printable;

/// Why a command ends without having done its work.
#[derive(Debug)]
pub enum Failure {
    /// The server refused, or could not be asked.
    Vault(Error),
    /// The command line's own reason.
    Own { exit: Exit, what: String, help: Option<String> },
    /// A command that `exec` ran ended with this code, or a signal ended us; all was said.
    Code(u8),
}

impl Failure {
    /// The words of the call are wrong.
    pub fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Own { exit: Exit::Usage, what: what.into(), help: Some(help.into()) }
    }

    /// Something on this machine failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Own { exit: Exit::Failed, what: what.into(), help: None }
    }

    /// Says what happened on standard error, and gives the exit code.
    pub fn end(self, json: bool) -> ExitCode {
        let code = self.code();
        let text = match (&self, json) {
            (Self::Code(_), _) => return ExitCode::from(code),
            (_, true) => self.as_json(),
            (_, false) => self.as_text(),
        };
        // Standard error may be closed: nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(code)
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Vault(error) => error.exit() as u8,
            Self::Own { exit, .. } => *exit as u8,
            Self::Code(code) => *code,
        }
    }

    /// `error: what happened`, then `help: what to do`.
    fn as_text(&self) -> String {
        let Self::Vault(Error::Problem(problem)) = self else {
            return with_help(&self.what(), self.help().as_deref());
        };
        let advice = problem.problem_type().map(|known| known.row().advice);
        let detail =
            advice.and_then(|advice| problem.detail.strip_suffix(advice)).unwrap_or(&problem.detail).trim_end();
        let mut what = problem.title.clone();
        if !detail.is_empty() {
            what = format!("{what}: {detail}");
        }
        for error in &problem.errors {
            what = format!("{what}\n  {}: {}", error.at, error.message);
        }
        if let Some(request) = &problem.instance {
            what = format!("{what}\n  (request {request})");
        }
        with_help(&what, advice)
    }

    /// The problem document; failures without one get one of the same form.
    fn as_json(&self) -> String {
        let document = match self {
            Self::Vault(Error::Problem(problem)) => json!(problem),
            Self::Vault(_) | Self::Own { .. } | Self::Code(_) => json!({
                "type": format!("urn:claviger:client:{}", self.kind()),
                "title": self.what(),
                "detail": self.help().unwrap_or_else(|| self.what()),
                "exit_code": self.code(),
            }),
        };
        format!("{document:#}\n")
    }

    fn what(&self) -> String {
        match self {
            Self::Vault(error) => error.to_string(),
            Self::Own { what, .. } => what.clone(),
            Self::Code(code) => format!("ended with {code}"),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Vault(error) => advice(error).map(str::to_owned),
            Self::Own { help, .. } => help.clone(),
            Self::Code(_) => None,
        }
    }

    /// The last part of the type in JSON.
    fn kind(&self) -> &'static str {
        match self {
            Self::Vault(Error::Unreachable { .. }) => "unreachable",
            Self::Vault(Error::Tls { .. }) => "tls",
            Self::Vault(Error::Broken { .. }) => "connection-broken",
            Self::Vault(Error::Timeout { .. }) => "timeout",
            Self::Vault(Error::BadAnswer { .. }) => "bad-answer",
            Self::Vault(Error::NotLoggedIn) => "not-logged-in",
            Self::Vault(Error::WaitEnded { .. }) => "wait-ended",
            Self::Own { exit: Exit::Usage, .. } | Self::Vault(Error::Usage(_)) => "usage",
            Self::Vault(_) | Self::Own { .. } | Self::Code(_) => "failed",
        }
    }
}

/// What to do about a failure that no problem document explains.
fn advice(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Unreachable { .. } => "check CLAVIGER_ADDR, and that the server runs and can be reached from here",
        Error::Tls { .. } => "set CLAVIGER_CACERT to the CA certificate of the vault, and use the name it was made for",
        Error::Broken { .. } | Error::Timeout { .. } => {
            "the vault may have done it: look before you repeat it (claviger status, checkouts, rotations)"
        }
        Error::BadAnswer { .. } => "check that CLAVIGER_ADDR is a Claviger server of this version",
        Error::NotLoggedIn => "claviger login, or set CLAVIGER_TOKEN",
        Error::WaitEnded { waits_for: Some(WaitsFor::Approval), .. } => "ask an approver, or wait longer (--wait)",
        Error::WaitEnded { waits_for: Some(WaitsFor::Start), .. } => {
            "come back when it starts, or wait longer (--wait)"
        }
        Error::WaitEnded { .. } => "wait longer (--wait), or ask the holder to check in",
        Error::Problem(_) | Error::Session(_) | Error::Usage(_) | _ => return None,
    })
}

fn with_help(what: &str, help: Option<&str>) -> String {
    let lines = |text: &str| text.lines().map(printable).collect::<Vec<_>>().join("\n");
    match help {
        Some(help) => format!("error: {}\nhelp: {}\n", lines(what), lines(help)),
        None => format!("error: {}\n", lines(what)),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Vault(error)
    }
}

/// A refusal with one entry a wrong value, as the server would give it.
pub fn wrong_values(detail: String, errors: Vec<claviger_client::api::problem::ValueError>) -> Failure {
    let mut problem = Problem::new(ProblemType::InvalidValue, detail);
    problem.errors = errors;
    Failure::Vault(Error::Problem(Box::new(problem)))
}

#[cfg(test)]
mod tests {
    use claviger_client::api::problem::{TABLE, ValueError};

    use super::*;

    fn problem(of: ProblemType, detail: &str) -> Failure {
        Failure::Vault(Error::Problem(Box::new(Problem::new(of, detail))))
    }

    #[test]
    fn each_problem_ends_with_the_exit_code_of_the_table() {
        for row in TABLE {
            assert_eq!(problem(row.problem, "").code(), row.exit as u8, "{}", row.code);
        }
    }

    #[test]
    fn a_failure_says_what_happened_then_what_to_do() {
        let advice = ProblemType::AccountHeld.row().advice;
        let held = problem(ProblemType::AccountHeld, &format!("anna holds it until 12:30. {advice}"));
        insta::assert_snapshot!(held.as_text(), @r"
        error: The account is checked out by another: anna holds it until 12:30.
        help: Wait for its end (on_conflict: wait), ask the holder to check in, or take it over if you may.
        ");
        let wrong = wrong_values(
            "2 of 9 rows cannot be imported.".to_owned(),
            vec![ValueError { at: "line 3".to_owned(), message: "no secret".to_owned() }],
        );
        insta::assert_snapshot!(wrong.as_text(), @r"
        error: A value cannot be accepted: 2 of 9 rows cannot be imported.
          line 3: no secret
        help: The errors name each value and what a right one looks like.
        ");
        insta::assert_snapshot!(Failure::Vault(Error::NotLoggedIn).as_text(), @r"
        error: nobody is logged in
        help: claviger login, or set CLAVIGER_TOKEN
        ");
    }

    #[test]
    fn in_json_the_problem_document_is_the_error() {
        let document: serde_json::Value = serde_json::from_str(&problem(ProblemType::Sealed, "").as_json()).unwrap();
        assert_eq!(document["type"], "urn:claviger:problem:sealed");
        let own: serde_json::Value = serde_json::from_str(&Failure::usage("no", "do").as_json()).unwrap();
        assert_eq!(own["type"], "urn:claviger:client:usage");
        assert_eq!(own["exit_code"], 2);
    }

    #[test]
    fn a_hostile_detail_cannot_write_to_the_terminal() {
        let hostile = problem(ProblemType::SystemFailed, "\u{1b}]52;c;aGk=\u{7}\u{1b}[2J");
        assert!(!hostile.as_text().contains('\u{1b}'), "{}", hostile.as_text());
    }
}
