//! The one decision.

use std::cmp::Reverse;
use std::sync::Arc;

use cedar_policy::{Context, Decision, Entities, Request};
use claviger_api::wire::{ApprovalRule, PrincipalKind};
use claviger_api::{BreakGlassId, GrantId, Timestamp};

use super::compile::{Link, Question};
use super::{
    Act, Action, Circumstances, Compiled, Condition, Conditions, Limits, Mark, NO_LIMITS, Permit, Policies, Resource,
    Subject,
};

/// Why not, as far as the subject may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The subject may not know that the thing exists: answered like an id that does not (404).
    Hidden,
    /// The subject may see the thing, or it is the operator itself, but may not do this (403).
    Forbidden,
    /// What was to be granted goes beyond the subject's own `may_grant`, in this (403).
    Exceeds(Condition),
    /// The subject may see the thing and do this, but for what the customer wants of everybody (403).
    Limited(Condition),
    /// The subject may see the thing and do this, but for a condition of the grant (403).
    Unmet {
        /// The first that is not met.
        condition: Condition,
        /// Whose condition it is: of several grants, the one that would be taken if all were met.
        grant: GrantId,
    },
}

/// Decides whether `subject` may do `A` on `resource` under these circumstances.
///
/// `compiled` must be of this very subject. A grant that has ended gives nothing, however old `compiled` is; a permit
/// rests on one grant whose conditions are all met.
/// [`GrantMake`](super::GrantMake) is never permitted here: see [`authorize_grant`](super::authorize_grant).
pub fn authorize<A: Act>(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Permit<A>, Denied> {
    verdict(policies, compiled, subject, A::ACTION, resource, around)
        .map(|ground| Permit::new(*subject, *resource, ground))
}

/// Whether `subject`, who is perhaps not here, has at `now` a grant of `A` on `resource`. It permits nothing: it is for
/// what was done before, and counts only while the right to it lasts. The circumstances of then are not asked again.
pub fn might<A: Act>(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    resource: &Resource,
    now: Timestamp,
) -> bool {
    let gives = |link: &Link| {
        let actions = &link.conditions.actions;
        now < link.expires_at && (actions.is_empty() || actions.contains(&A::ACTION))
    };
    basis(policies, compiled, subject, A::ACTION, resource)
        .is_some_and(|basis| basis.baseline || basis.links.iter().any(gives))
}

/// The decision, with the verb as a value.
pub(super) fn verdict(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Ground, Denied> {
    standing(policies, compiled, subject, action, resource, around).map_err(|unmet| {
        let denied = denial(policies, compiled, subject, resource, around.now);
        match (denied, unmet) {
            (Denied::Forbidden, Some(Unmet::OfGrant(condition, grant))) => Denied::Unmet { condition, grant },
            (Denied::Forbidden, Some(Unmet::OfCustomer(condition))) => Denied::Limited(condition),
            (denied, _) => denied,
        }
    })
}

/// Hidden or forbidden. Whoever may see a thing gets a 403; nobody else learns that there is one. Conditions bind no
/// look, so that this is the same under all circumstances but time.
pub(super) fn denial(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    resource: &Resource,
    now: Timestamp,
) -> Denied {
    let around = Circumstances::at(now);
    match resource.view() {
        Some(view) if standing(policies, compiled, subject, view, resource, &around).is_err() => Denied::Hidden,
        Some(_) | None => Denied::Forbidden,
    }
}

fn standing(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Ground, Option<Unmet>> {
    let basis = basis(policies, compiled, subject, action, resource).ok_or(None)?;
    let limits = limits(action, resource, around).ok_or(None)?;
    basis.ground(subject.kind, action, &of_place(action, resource, around), limits)
}

/// To break glass for more than one account names none: which of them it reaches is asked when one is checked out.
pub(super) fn of_place<'a>(action: Action, resource: &Resource, around: &Circumstances<'a>) -> Circumstances<'a> {
    let wide = matches!(resource, Resource::Customer(_) | Resource::System(..));
    if action == Action::BreakGlassOpen && wide { Circumstances { mark: Mark::Usual, ..*around } } else { *around }
}

/// What the customer wants, where the verb heeds it and the thing is a customer's. None if that is not known.
pub(super) fn limits<'a>(action: Action, resource: &Resource, around: &Circumstances<'a>) -> Option<&'a Limits> {
    if action.heeds_limits() && resource.customer().is_some() { around.limits } else { Some(&NO_LIMITS) }
}

/// What Cedar permits by, asked once.
pub(super) fn basis(
    policies: &Policies,
    compiled: &Compiled,
    subject: &Subject,
    action: Action,
    resource: &Resource,
) -> Option<Arc<Basis>> {
    if compiled.subject != *subject {
        return None;
    }
    let question = Question::new(subject, action, resource);
    compiled.remembered(question, || decide(policies, compiled, action, Context::empty(), resource))
}

/// What Cedar permits by: linked grants, whose ends and conditions are still to be checked, and perhaps the baseline.
pub(super) struct Basis {
    pub links: Vec<Link>,
    pub baseline: bool,
}

/// A condition that stands between a subject and what its grant would give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmet {
    /// The grant's own.
    OfGrant(Condition, GrantId),
    /// The customer's.
    OfCustomer(Condition),
}

impl Basis {
    /// The `may_grant` it rests on at `now`. Its conditions bind what is made from it, and not the making.
    pub(super) fn to_hand_on(&self, now: Timestamp) -> Option<Ground> {
        let live = self.links.iter().filter(|link| now < link.expires_at);
        best(live, &Circumstances::at(now), &NO_LIMITS).map(|link| Ground::of(link, &NO_LIMITS))
    }

    /// What is left of it under these circumstances. If nothing is, and only for a condition, that one.
    pub(super) fn ground(
        &self,
        kind: PrincipalKind,
        action: Action,
        around: &Circumstances<'_>,
        limits: &Limits,
    ) -> Result<Ground, Option<Unmet>> {
        let of_customer = limits.unmet(action, around).next();
        let first_unmet = |link: &Link| {
            let of_grant = link.unmet(kind, action, around).next().map(|one| Unmet::OfGrant(one, link.grant));
            of_grant.or_else(|| of_customer.map(Unmet::OfCustomer))
        };
        let live = || self.links.iter().filter(|link| around.now < link.expires_at);
        if let Some(link) = best(live().filter(|link| first_unmet(link).is_none()), around, limits) {
            return Ok(Ground::of(link, limits));
        }
        if self.baseline {
            return Ok(Ground::default());
        }
        // A grant that does not give the verb is no grant of it: there is nothing to wait for.
        let leaves_out = |link: &&Link| matches!(first_unmet(link), Some(Unmet::OfGrant(Condition::Actions, _)));
        Err(best(live().filter(|link| !leaves_out(link)), around, limits).and_then(first_unmet))
    }
}

/// Of several grants, as the customer's limits leave them: one that allows the length that is asked for, then the one
/// that needs the fewest approvals, then one that is no broken glass, then the one with the longest checkouts, then the
/// one that reaches furthest, then the one that ends last. Those who agreed to a glass have said their yes: what the customer wants of that is asked of them.
fn best<'l>(links: impl Iterator<Item = &'l Link>, around: &Circumstances<'_>, limits: &Limits) -> Option<&'l Link> {
    links.max_by_key(|link| {
        let most = limits.most(link.max_checkout_seconds);
        let allows = around.ttl_seconds.is_none_or(|wanted| wanted <= most);
        let glass = link.break_glass.is_some();
        let rule = limits.approvals(link.conditions.approvals).filter(|_| !glass);
        let approvals = rule.map_or((0, false), |rule| (rule.count, rule.by_customer));
        (allows, Reverse(approvals), Reverse(glass), most, link.conditions.reaches, link.expires_at, link.grant)
    })
}

/// What a permit rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ground {
    pub grant: Option<GrantId>,
    pub max_checkout_seconds: u64,
    pub approvals: Option<ApprovalRule>,
    pub conditions: Arc<Conditions>,
    pub break_glass: Option<BreakGlassId>,
}

impl Ground {
    fn of(link: &Link, limits: &Limits) -> Self {
        Self {
            grant: Some(link.grant),
            max_checkout_seconds: limits.most(link.max_checkout_seconds),
            approvals: limits.approvals(link.conditions.approvals),
            conditions: link.conditions.clone(),
            break_glass: link.break_glass,
        }
    }
}

/// What Cedar permits by; none if it does not.
pub(super) fn decide(
    policies: &Policies,
    compiled: &Compiled,
    action: Action,
    context: Context,
    resource: &Resource,
) -> Option<Basis> {
    let Answer { permits, links, rules } = ask(policies, compiled, action, context, resource)?;
    permits.then_some(Basis { links, baseline: !rules.is_empty() })
}

/// What Cedar said.
pub(super) struct Answer {
    permits: bool,
    /// The linked grants that it permits by.
    links: Vec<Link>,
    /// The rules of the baseline that it permits or forbids by.
    pub rules: Vec<String>,
}

/// Asks Cedar. None if there was a single error: Cedar leaves a rule that fails to evaluate out, and a `forbid` left out
/// is a permit.
pub(super) fn ask(
    policies: &Policies,
    compiled: &Compiled,
    action: Action,
    context: Context,
    resource: &Resource,
) -> Option<Answer> {
    let entity = policies.places.resource(resource).ok()?;
    let action = policies.action(action)?.clone();
    // The schema refuses a verb on a thing that it does not apply to.
    let request = Request::new(compiled.uid.clone(), action, entity.uid(), context, Some(&policies.schema)).ok()?;
    let entities = Entities::from_entities([compiled.entity.clone(), entity], None).ok()?;
    let (rules, links) = compiled.linked(policies, resource).ok()?;
    let response = policies.authorizer.is_authorized(&request, &rules, &entities);
    if response.diagnostics().errors().next().is_some() {
        return None;
    }
    let permits = response.decision() == Decision::Allow;
    let mut answer = Answer { permits, links: Vec::new(), rules: Vec::new() };
    for rule in response.diagnostics().reason() {
        match links.get(rule) {
            Some(link) => answer.links.push(link.clone()),
            None => answer.rules.push(rule.to_string()),
        }
    }
    Some(answer)
}
