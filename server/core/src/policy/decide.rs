//! The one decision.

use std::sync::Arc;

use cedar_policy::{Context, Decision, Entities, Request};
use claviger_api::{GrantId, Timestamp};

use super::compile::{Link, Question};
use super::{Act, Action, Compiled, Condition, Conditions, Permit, Policies, Resource, Subject};

/// Why not, as far as the subject may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The subject may not know that the thing exists: answered like an id that does not (404).
    Hidden,
    /// The subject may see the thing, or it is the operator itself, but may not do this (403).
    Forbidden,
    /// What was to be granted goes beyond the subject's own `may_grant`, in this (403).
    Exceeds(Condition),
}

/// Decides whether `subject` may do `A` on `resource` at `now`.
///
/// `compiled` must be of this very subject. A grant that has ended at `now` gives nothing, however old `compiled` is.
/// [`GrantMake`](super::GrantMake) is never permitted here: see [`authorize_grant`](super::authorize_grant).
pub fn authorize<A: Act>(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    resource: &Resource,
    now: Timestamp,
) -> Result<Permit<A>, Denied> {
    verdict(policies, compiled, subject, A::ACTION, resource, now)
        .map(|ground| Permit::new(*subject, *resource, ground))
}

/// The decision, with the verb as a value.
pub(super) fn verdict(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    now: Timestamp,
) -> Result<Ground, Denied> {
    standing(policies, compiled, subject, action, resource, now)
        .ok_or_else(|| denial(policies, compiled, subject, resource, now))
}

/// Hidden or forbidden. Whoever may see a thing gets a 403; nobody else learns that there is one.
pub(super) fn denial(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    resource: &Resource,
    now: Timestamp,
) -> Denied {
    match resource.view() {
        Some(view) if standing(policies, compiled, subject, view, resource, now).is_none() => Denied::Hidden,
        Some(_) | None => Denied::Forbidden,
    }
}

fn standing(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    now: Timestamp,
) -> Option<Ground> {
    if compiled.subject != *subject {
        return None;
    }
    let question = Question::new(subject, action, resource);
    compiled.remembered(question, || decide(policies, compiled, action, Context::empty(), resource))?.ground(now)
}

/// What Cedar permits by: linked grants, whose ends are still to be checked, and perhaps the baseline.
pub(super) struct Basis {
    pub links: Vec<Link>,
    pub baseline: bool,
}

impl Basis {
    /// What is left of it at `now`, if anything.
    pub(super) fn ground(&self, now: Timestamp) -> Option<Ground> {
        let live = self.links.iter().filter(|link| now < link.expires_at);
        let best = live.max_by_key(|link| (link.max_checkout_seconds, link.expires_at, link.grant));
        match best {
            Some(link) => Some(Ground {
                grant: Some(link.grant),
                max_checkout_seconds: link.max_checkout_seconds,
                conditions: link.conditions.clone(),
            }),
            None => self.baseline.then(Ground::default),
        }
    }
}

/// What a permit rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ground {
    pub grant: Option<GrantId>,
    pub max_checkout_seconds: u64,
    pub conditions: Arc<Conditions>,
}

/// Asks Cedar. None unless it permits without a single error: Cedar leaves a rule that fails to evaluate out, and a
/// `forbid` left out is a permit.
pub(super) fn decide(
    policies: &Policies,
    compiled: &Compiled,
    action: Action,
    context: Context,
    resource: &Resource,
) -> Option<Basis> {
    let entity = policies.places.resource(resource).ok()?;
    let action = policies.action(action)?.clone();
    // The schema refuses a verb on a thing that it does not apply to.
    let request = Request::new(compiled.uid.clone(), action, entity.uid(), context, Some(&policies.schema)).ok()?;
    let entities = Entities::from_entities([compiled.entity.clone(), entity], None).ok()?;
    let (rules, links) = compiled.linked(policies, resource).ok()?;
    let response = policies.authorizer.is_authorized(&request, &rules, &entities);
    if response.decision() != Decision::Allow || response.diagnostics().errors().next().is_some() {
        return None;
    }
    let mut basis = Basis { links: Vec::new(), baseline: false };
    for rule in response.diagnostics().reason() {
        match links.get(rule) {
            Some(link) => basis.links.push(link.clone()),
            None => basis.baseline = true,
        }
    }
    Some(basis)
}
