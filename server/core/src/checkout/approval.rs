//! Four eyes: another person's yes, bound to what was asked.

use claviger_api::wire::ApprovalRule;
use claviger_api::{AccountId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Checkout, Refusal};

/// The most yeses that are kept with one request.
pub const APPROVALS_MOST: usize = 16;

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Whose.
    pub by: PrincipalId,
    /// The approver is the customer's own user.
    pub of_customer: bool,
    /// When.
    pub at: Timestamp,
    /// In the approver's words.
    pub comment: String,
}

/// What an approver says yes to. It is kept apart from the checkout's own fields: a checkout that is not what was asked
/// has no approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The account.
    pub account: AccountId,
    /// Who asks.
    pub principal: PrincipalId,
    /// Why.
    pub reason: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// How long the use may last.
    pub ttl_seconds: u64,
    /// When the use may start.
    pub not_before: Option<Timestamp>,
}

/// The approvals of one checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// How many, and whose.
    pub rule: ApprovalRule,
    /// For what.
    pub asked: Asked,
    /// Those given so far, each by another person.
    pub given: Vec<Approval>,
    /// Set by the first reveal: what was approved ends then, however often the account is given back in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_until: Option<Timestamp>,
}

impl Approvals {
    /// Whether those that still count are enough.
    pub fn suffice(&self, counts: impl Fn(&Approval) -> bool) -> bool {
        let counted = || self.given.iter().filter(|yes| yes.by != self.asked.principal && counts(yes));
        counted().count() >= usize::from(self.rule.count)
            && (!self.rule.by_customer || counted().any(|yes| yes.of_customer))
    }

    /// Whether the checkout is what was approved, or less of it.
    pub(super) fn cover(&self, checkout: &Checkout) -> bool {
        let asked = &self.asked;
        let start = self.good_until.is_some() || asked.not_before == checkout.not_before;
        (asked.account, asked.principal) == (checkout.account, checkout.principal)
            && (&asked.reason, &asked.ticket) == (&checkout.reason, &checkout.ticket)
            && checkout.ttl_seconds <= asked.ttl_seconds
            && start
    }

    /// The latest end of a use.
    pub(super) fn bound(&self, end: Timestamp) -> Timestamp {
        self.good_until.map_or(end, |until| until.min(end))
    }

    pub(super) fn add(&mut self, yes: Approval) -> Result<(), Refusal> {
        if yes.by == self.asked.principal {
            return Err(Refusal::OwnRequest);
        }
        if self.given.iter().any(|given| given.by == yes.by) || self.given.len() >= APPROVALS_MOST {
            return Err(Refusal::NothingToDecide);
        }
        self.given.push(yes);
        Ok(())
    }
}
