//! The problem table: everything that can be refused, its HTTP status, the CLI's exit code and whether a retry helps.
//!
//! Errors are `application/problem+json` (RFC 9457) with a stable `type`. `docs/errors.md` is generated from
//! [`TABLE`]; a test keeps it in step.

use serde::{Deserialize, Serialize};

/// Whether, and how, a caller may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request gets the same answer.
    No,
    /// After the stated or a short wait, the same request may succeed.
    Later,
    /// The outcome is not known: repeat with the same `Idempotency-Key`, never with a new one.
    SameKey,
}

/// The exit codes of the command line, stable for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The words of the call are wrong.
    Usage = 2,
    /// Nobody is logged in, or not any more.
    NotAuthenticated = 3,
    /// Not allowed.
    Forbidden = 4,
    /// There is no such thing, or none the caller may know of.
    NotFound = 5,
    /// Held by another, or changed meanwhile.
    Conflict = 6,
    /// Another person must say yes first.
    ApprovalNeeded = 7,
    /// Sealed or unreachable.
    Unavailable = 8,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The problem.
    pub problem: ProblemType,
    /// The last part of its `type`, stable.
    pub code: &'static str,
    /// HTTP status (RFC 9110).
    pub status: u16,
    /// What happened, in a few words.
    pub title: &'static str,
    /// The CLI's exit code.
    pub exit: Exit,
    /// Whether to try again.
    pub retry: Retry,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! problems {
    ($($name:ident $code:literal $status:literal $exit:ident $retry:ident $title:literal $advice:literal;)*) => {
        /// Every kind of refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemType {
            $(#[doc = $title] $name,)*
        }

        /// The whole table, in the order of its codes.
        pub const TABLE: &[Row] = &[$(Row {
            problem: ProblemType::$name,
            code: $code,
            status: $status,
            title: $title,
            exit: Exit::$exit,
            retry: Retry::$retry,
            advice: $advice,
        },)*];

        impl ProblemType {
            /// This problem's row.
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        problem: self,
                        code: $code,
                        status: $status,
                        title: $title,
                        exit: Exit::$exit,
                        retry: Retry::$retry,
                        advice: $advice,
                    },)*
                }
            }
        }
    };
}

problems! {
    AccountHeld "account-held" 409 Conflict Later
        "The account is checked out by another"
        "Wait for its end (on_conflict: wait), ask the holder to check in, or take it over if you may.";
    AccountUnavailable "account-unavailable" 409 Conflict Later
        "The account cannot be checked out now"
        "The detail says why: its secret is being rotated, is not settled yet, or none is stored.";
    AlreadyInitialised "already-initialised" 409 Conflict No
        "The vault is initialised"
        "Unseal it with the shares or the passphrase that initialisation gave.";
    AlreadyIssued "already-issued" 409 Conflict No
        "The secret of this answer was shown once"
        "Issue a new one: the detail names the call.";
    ApprovalNeeded "approval-needed" 409 ApprovalNeeded Later
        "Another person must approve this first"
        "Ask an approver, and wait for the yes; approvals of whoever lost the right since do not count.";
    ArchiveUnavailable "archive-unavailable" 503 Failed No
        "An archive of the log is not in its place, or was changed"
        "The detail names the file: an operator puts it back into the archive directory. Newer entries can be had without it.";
    BackupsOff "backups-off" 409 Failed No
        "This vault takes no backups"
        "Let the operator name a directory and recipients under [backup] in the server's configuration.";
    BodyTooLarge "body-too-large" 413 Usage No
        "The request body is too large"
        "Send less, or in several requests.";
    BreakGlassClosed "break-glass-closed" 409 Conflict No
        "The glass is closed"
        "Get it to see by whom; open another one if it is still needed.";
    CheckoutEnded "checkout-ended" 409 Conflict No
        "The checkout has ended"
        "Check the account out again.";
    CheckoutNotReady "checkout-not-ready" 409 Conflict Later
        "The checkout cannot be used yet"
        "It waits for its turn or an approval; get it to see which.";
    Conflict "conflict" 409 Conflict Later
        "The thing was changed meanwhile"
        "Read it again and repeat the change.";
    CustomerFrozen "customer-frozen" 409 Conflict Later
        "Check-outs of this customer are frozen"
        "Every secret of the customer is being replaced; get the emergency rotation that the detail names to see how far it is.";
    CustomerLocked "customer-locked" 409 Unavailable No
        "The customer is locked"
        "Its key is not in memory, so nothing of it can be read or done; an administrator unlocks it with 'claviger customer unlock'.";
    Forbidden "forbidden" 403 Forbidden No
        "Not allowed"
        "Ask an administrator for a grant that covers it.";
    FreshFactorNeeded "fresh-factor-needed" 403 NotAuthenticated No
        "A second factor proven within the last five minutes is needed"
        "Confirm with your second factor ('claviger mfa step-up', POST /v1/auth/step-up), then repeat the request.";
    IdempotencyMismatch "idempotency-mismatch" 422 Usage No
        "The Idempotency-Key belongs to another request"
        "Use a new key for a new request.";
    InUse "in-use" 409 Conflict Later
        "The thing is in use"
        "End the checkouts, or remove what is below it, first.";
    Internal "internal" 500 Failed SameKey
        "The server failed"
        "Repeat with the same Idempotency-Key; give the operator the request id if it stays.";
    InvalidCredentials "invalid-credentials" 401 NotAuthenticated No
        "The credentials are not right"
        "Check name and password or token; after several failures wait before the next try.";
    InvalidValue "invalid-value" 422 Usage No
        "A value cannot be accepted"
        "The errors name each value and what a right one looks like.";
    KitUnavailable "kit-unavailable" 409 Failed No
        "There is no file of the kit to be had"
        "The detail says why: it is not made yet, could not be made, or its file is not in its place or was altered.";
    KitsOff "kits-off" 409 Failed No
        "No emergency kit is made of this customer"
        "The detail says what is missing: a directory under [kits] in the server's configuration, or the customer's own recipients.";
    MalformedRequest "malformed-request" 400 Usage No
        "The request cannot be read"
        "The detail says where; /openapi.json describes what is expected.";
    MethodNotAllowed "method-not-allowed" 405 Usage No
        "This address does not take that method"
        "The Allow header names those it takes.";
    NameTaken "name-taken" 409 Conflict No
        "The name is taken"
        "Choose another name, or change the one that is there.";
    NotAuthenticated "not-authenticated" 401 NotAuthenticated No
        "Nobody is logged in"
        "Log in and send the access token as a bearer token.";
    NotFound "not-found" 404 NotFound No
        "There is no such thing"
        "Check the name; what you may not know of is answered like this too.";
    NotInitialised "not-initialised" 503 Unavailable Later
        "The vault is not initialised"
        "Run 'claviger operator init' once.";
    NotPaused "not-paused" 409 Conflict No
        "The vault is not paused"
        "Only a vault that was restored from a backup is compared with the world and resumed; this one was not, or is resumed.";
    NotUnresolved "not-unresolved" 409 Conflict No
        "The account's last rotation is not unresolved"
        "Check the account out: the vault knows which secret opens it, or will shortly.";
    NothingStored "nothing-stored" 409 Conflict No
        "No secret is stored for this account"
        "Import its present secret, or rotate it by the system's management account.";
    NothingToDecide "nothing-to-decide" 409 Conflict No
        "The checkout waits for no decision of yours"
        "Get it to see: it needs no approval, is in use already, or you have approved it before.";
    OutOfHours "out-of-hours" 403 Forbidden Later
        "The grant gives this in other hours"
        "Wait for its hours, which the detail names, or ask for another grant.";
    OutcomeUnknown "outcome-unknown" 503 Failed SameKey
        "It is not known whether the change was stored"
        "Repeat with the same Idempotency-Key: the answer then is the truth.";
    PasskeysOff "passkeys-off" 409 Failed No
        "This vault has no passkeys"
        "Use an authenticator app, or let the operator set public_url under [http] in the server's configuration.";
    Paused "paused" 503 Unavailable Later
        "The vault was restored from a backup and acts on no system yet"
        "An operator compares it with the world ('claviger operator restore compare') and resumes it ('claviger operator restore resume').";
    RevealsSpent "reveals-spent" 429 Failed Later
        "The grant's reveals of this hour are spent"
        "Wait as long as Retry-After says.";
    ReviewOverdue "review-overdue" 409 Conflict No
        "A break-glass of yours at this customer was not reviewed in time"
        "Have it reviewed first, by somebody who neither opened nor agreed: the detail names it.";
    RotationRunning "rotation-running" 409 Conflict Later
        "A rotation of this account is under way"
        "Wait for it: get the rotation that the detail names.";
    Sealed "sealed" 503 Unavailable Later
        "The vault is sealed"
        "An operator unseals it with 'claviger operator unseal'.";
    SecondFactorNeeded "second-factor-needed" 403 NotAuthenticated No
        "Until it has a second factor, this session may do nothing but enrol one"
        "Enrol one, by 'claviger mfa enrol' or POST /v1/auth/totp, and confirm it.";
    SessionEnded "session-ended" 401 NotAuthenticated No
        "The session has ended"
        "Log in again.";
    SignOnFailed "sign-on-failed" 401 NotAuthenticated No
        "The sign-on did not succeed"
        "The detail says why; begin again, with 'claviger login --sso PROVIDER'.";
    SignOnNotLinked "sign-on-not-linked" 403 NotAuthenticated No
        "No user who may log in is linked to this sign-on"
        "An administrator links you: the detail names the subject to link, and docs/sign-on.md says how.";
    StoreRolledBack "store-rolled-back" 409 Conflict No
        "The store is older than it was, or has another past"
        "Stop, and put the newest copy in place. If there is none, give the shares again with a reason: \
         'claviger operator unseal --accept-rollback REASON'. Secrets that were rotated since are not in it.";
    SystemFailed "system-failed" 502 Failed Later
        "The customer's system did not do it"
        "The detail says what it answered; nothing was lost, and the vault goes on from what is true.";
    TicketNeeded "ticket-needed" 403 Usage No
        "The grant wants a ticket of its form"
        "Name the ticket that this is for; the detail says what one looks like.";
    TooManyRequests "too-many-requests" 429 Failed Later
        "Too many requests"
        "Wait as long as Retry-After says.";
    Unavailable "unavailable" 503 Unavailable Later
        "The vault cannot serve this now"
        "The detail says why; what was acknowledged is kept.";
    UnsupportedMediaType "unsupported-media-type" 415 Usage No
        "The body is not JSON"
        "Send Content-Type: application/json.";
    WrongAccountKind "wrong-account-kind" 409 Usage No
        "The account is of another kind"
        "The detail names the call for accounts of its kind.";
    WrongNetwork "wrong-network" 403 Forbidden No
        "The grant gives this to other networks"
        "Ask from one of its networks, which the detail names, or for another grant.";
    WrongShare "wrong-share" 422 Failed No
        "The share or passphrase does not open this vault"
        "Check that it belongs to this vault and was copied whole; shares that were given before are kept.";
}

/// The prefix of every problem `type`.
pub const TYPE_PREFIX: &str = "urn:claviger:problem:";

impl ProblemType {
    /// The problem of a code, e.g. `account-held`.
    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.code == code).map(|row| row.problem)
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:claviger:problem:` and the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// What happened, the same for every problem of this type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, then what to do.
    pub detail: String,
    /// The request, as `rq_…`, to give to an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// One entry a wrong value or import line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ValueError>,
    /// Whole seconds to wait before the next try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
}

/// One value that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValueError {
    /// The field, or `line 7` of an import.
    pub at: String,
    /// What is wrong and what a right value looks like. Never the value of a secret.
    pub message: String,
}

impl Problem {
    /// A problem with its own detail; an empty detail gives the table's advice.
    pub fn new(problem: ProblemType, detail: impl Into<String>) -> Self {
        let row = problem.row();
        let detail = detail.into();
        Self {
            type_uri: format!("{TYPE_PREFIX}{}", row.code),
            title: row.title.to_owned(),
            status: row.status,
            detail: if detail.is_empty() { row.advice.to_owned() } else { detail },
            instance: None,
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// Which row of the table this is; `None` for one from a newer server.
    pub fn problem_type(&self) -> Option<ProblemType> {
        self.type_uri.strip_prefix(TYPE_PREFIX).and_then(ProblemType::from_code)
    }
}

/// `docs/errors.md`, made from [`TABLE`].
pub fn errors_page() -> String {
    use std::fmt::Write as _;

    let mut page = String::from(
        "# Errors\n\nGenerated from `client/api/src/problem.rs` by `make docs`. Every refusal is an \
         `application/problem+json` document\n(RFC 9457) whose `type` is `urn:claviger:problem:` and a code of this \
         table.\n\n| code | status | exit | retry | what happened | what to do |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for row in TABLE {
        let retry = match row.retry {
            Retry::No => "no",
            Retry::Later => "later",
            Retry::SameKey => "same key",
        };
        let exit = row.exit as u8;
        // Writing to a String cannot fail.
        let _ =
            writeln!(page, "| `{}` | {} | {exit} | {retry} | {} | {} |", row.code, row.status, row.title, row.advice);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_codes_are_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn a_problem_reads_back_by_its_type() {
        for row in TABLE {
            assert_eq!(Problem::new(row.problem, "").problem_type(), Some(row.problem));
        }
    }

    /// `make docs` writes the page; this keeps it in step.
    #[test]
    fn the_errors_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, errors_page()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), errors_page(), "run 'make docs'");
    }
}
