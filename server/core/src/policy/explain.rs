//! Why, or why not.

use std::collections::BTreeMap;

use cedar_policy::Context;
use claviger_api::GrantId;

use super::decide::{ask, basis, limits, of_place};
use super::{Action, Circumstances, Compiled, Condition, Denied, Policies, Resource, Subject};

/// Why a subject may do something, or why it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision itself: the grant that it rests on, or none where the baseline alone permits.
    pub verdict: Result<Option<GrantId>, Denied>,
    /// The grants that give it, each with its conditions that are not met.
    pub grants: BTreeMap<GrantId, Vec<Condition>>,
    /// What the customer wants of everybody, and is not met.
    pub limits: Vec<Condition>,
    /// The rules of `baseline.cedar` that forbid it, by their `@id`, or that permit it without a grant.
    pub rules: Vec<String>,
}

/// Explains the decision that [`authorize`](super::authorize) makes of the same arguments.
pub fn explain(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Explanation {
    let verdict = super::decide::verdict(policies, compiled, subject, action, resource, around);
    let mut grants = BTreeMap::new();
    let around = &of_place(action, resource, around);
    if let Some(basis) = basis(policies, compiled, subject, action, resource) {
        for link in basis.links.iter().filter(|link| around.now < link.expires_at) {
            grants.insert(link.grant, link.unmet(subject.kind, action, around).collect());
        }
    }
    let reasons = ask(policies, compiled, action, Context::empty(), resource).map(|answer| answer.rules);
    Explanation {
        verdict: verdict.map(|ground| ground.grant),
        grants,
        limits: limits(action, resource, around).map(|own| own.unmet(action, around).collect()).unwrap_or_default(),
        rules: reasons.unwrap_or_default(),
    }
}
