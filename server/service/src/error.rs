//! What a use case answers when it does not do what was asked.

use std::fmt;

use claviger_api::CustomerId;
use claviger_api::problem::{ProblemType, ValueError};
use claviger_core::checkout::Refusal;
use claviger_core::policy::{Condition, Denied};
use claviger_store::{CommitError, ReadError, SealedError};

/// A refusal or a failure: what the client may read, and apart from it what only an operator may.
#[derive(Debug)]
pub struct Error {
    /// Which row of the problem table.
    pub problem: ProblemType,
    /// What happened this time, then what to do. Empty for the table's own advice.
    pub detail: String,
    /// One entry a wrong value.
    pub errors: Vec<ValueError>,
    /// Whole seconds to wait before the next try.
    pub retry_after_seconds: Option<u64>,
    /// The customer that is locked, where that is why: whoever may not know of the customer is told that there is none.
    pub locked: Option<CustomerId>,
    /// For the log alone. It never holds a secret, and never reaches a client.
    pub operator: Option<OperatorNote>,
}

/// What an operator may read. It has no `Display`, so that it does not slip into an answer.
pub struct OperatorNote(pub(crate) String);

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal with its own detail.
    pub fn new(problem: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            locked: None,
            operator: None,
        }
    }

    /// There is no such thing, or none the caller may know of.
    pub fn not_found() -> Self {
        Self::new(ProblemType::NotFound, "")
    }

    /// Its key is not in memory.
    pub fn locked(customer: CustomerId) -> Self {
        Self { locked: Some(customer), ..Self::new(ProblemType::CustomerLocked, "") }
    }

    /// One value that cannot be accepted.
    pub fn value(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self::values(vec![ValueError { at: at.into(), message: message.into() }])
    }

    /// Values that cannot be accepted.
    pub fn values(errors: Vec<ValueError>) -> Self {
        Self { errors, ..Self::new(ProblemType::InvalidValue, "") }
    }

    /// A failure that is the server's: the client gets the request id, the operator this text.
    pub fn internal(note: impl fmt::Display) -> Self {
        Self::new(ProblemType::Internal, "").with_note(note)
    }

    /// A failure of what the vault stands on.
    pub fn unavailable(detail: impl Into<String>, note: impl fmt::Display) -> Self {
        Self::new(ProblemType::Unavailable, detail).with_note(note)
    }

    /// Adds what an operator may read.
    #[must_use]
    pub fn with_note(mut self, note: impl fmt::Display) -> Self {
        self.operator = Some(OperatorNote(note.to_string()));
        self
    }

    /// Whether the change lost against another and may be decided again.
    pub fn is_conflict(&self) -> bool {
        self.problem == ProblemType::Conflict
    }
}

impl OperatorNote {
    /// The text, for the log.
    pub fn for_the_log(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match &error {
            CommitError::Conflict(_) => Self::new(ProblemType::Conflict, ""),
            CommitError::Refused(_) => {
                Self::unavailable("The store took nothing of the change; try again later.", error)
            }
            CommitError::OutcomeUnknown(_) => Self::new(ProblemType::OutcomeUnknown, "").with_note(error),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::unavailable("The store cannot be read; try again later.", error)
    }
}

impl From<SealedError> for Error {
    fn from(error: SealedError) -> Self {
        if let SealedError::Locked(customer) = error {
            return Self::locked(customer);
        }
        Self::unavailable("A record cannot be opened; the operator's log names it.", error)
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Hidden => Self::not_found(),
            Denied::Forbidden => Self::new(ProblemType::Forbidden, ""),
            Denied::Exceeds(condition) => {
                let name = condition.as_str();
                let detail =
                    format!("What you may hand on is bound in `{name}`, and this grant would be looser there.");
                Self::new(ProblemType::Forbidden, detail)
            }
            Denied::Limited(condition) | Denied::Unmet { condition, .. } => Self::new(of_condition(condition), ""),
        }
    }
}

/// What a condition that is not met is called.
pub(crate) fn of_condition(condition: Condition) -> ProblemType {
    match condition {
        Condition::FreshFactor | Condition::SensitiveVerb => ProblemType::FreshFactorNeeded,
        Condition::Ticket => ProblemType::TicketNeeded,
        Condition::Networks => ProblemType::WrongNetwork,
        Condition::Hours => ProblemType::OutOfHours,
        Condition::RevealsPerHour => ProblemType::RevealsSpent,
        Condition::Approvals => ProblemType::ApprovalNeeded,
        Condition::Actions
        | Condition::NamedVerb
        | Condition::Reaches
        | Condition::MaxCheckoutSeconds
        | Condition::End => ProblemType::Forbidden,
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        use claviger_core::account::Availability;
        let because = |problem, detail: &str| Self::new(problem, detail);
        match refusal {
            Refusal::Ttl { .. } | Refusal::BeyondGlass => Self::value("ttl_seconds", refusal.to_string()),
            Refusal::Held => Self::new(ProblemType::AccountHeld, ""),
            Refusal::QueueFull | Refusal::AskingFull => Self::new(ProblemType::AccountHeld, refusal.to_string()),
            Refusal::NotReady => Self::new(ProblemType::CheckoutNotReady, ""),
            Refusal::Start => Self::value("not_before", refusal.to_string()),
            Refusal::NotApproved => Self::new(ProblemType::ApprovalNeeded, ""),
            Refusal::OwnRequest => Self::new(ProblemType::Forbidden, "Nobody decides on their own request."),
            Refusal::NothingToDecide => Self::new(ProblemType::NothingToDecide, ""),
            Refusal::BeyondApproval => because(
                ProblemType::ApprovalNeeded,
                "An approval is for what was asked and no longer: check the account out again for more time.",
            ),
            Refusal::Ended => Self::new(ProblemType::CheckoutEnded, ""),
            Refusal::NotUnresolved => Self::new(ProblemType::NotUnresolved, ""),
            Refusal::NotAvailable(Availability::Empty) => Self::new(ProblemType::NothingStored, ""),
            Refusal::NotAvailable(Availability::Unresolved) => because(
                ProblemType::AccountUnavailable,
                "Its last rotation is not settled: the vault goes on finding out which stored secret opens it.",
            ),
            Refusal::NotAvailable(Availability::Rotating | Availability::Held | Availability::Free) => because(
                ProblemType::AccountUnavailable,
                "Its secret is being rotated; try again shortly, or wait with on_conflict: wait.",
            ),
        }
    }
}
