//! What would come of a request, for whoever weighs grants or limits before they are made.

use claviger_api::GrantId;
use claviger_api::wire::ApprovalRule;

use super::decide::verdict;
use super::{Action, Circumstances, Compiled, Denied, Policies, Resource, Subject};

/// What a permit would rest on. It permits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen {
    /// The grant; none where the baseline alone permits.
    pub grant: Option<GrantId>,
    /// The longest checkout under it and the customer's limits; 0 without a grant.
    pub max_checkout_seconds: u64,
    /// Whose yes a checkout would need.
    pub approvals: Option<ApprovalRule>,
}

/// The decision that [`authorize`](super::authorize) would make of the same arguments, with the verb as a value.
pub fn foresee(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Foreseen, Denied> {
    verdict(policies, compiled, subject, action, resource, around).map(|ground| Foreseen {
        grant: ground.grant,
        max_checkout_seconds: ground.max_checkout_seconds,
        approvals: ground.approvals,
    })
}
