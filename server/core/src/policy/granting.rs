//! Handing rights on.

use std::collections::HashMap;

use cedar_policy::{Context, RestrictedExpression};
use claviger_api::wire::{GrantKind, Role};
use claviger_api::{PrincipalId, Timestamp};

use super::compile::Link;
use super::decide::{decide, denial};
use super::grant::latest_end;
use super::{
    Action, Circumstances, Condition, Conditions, Denied, Grant, GrantMake, GrantTarget, Permit, Policies, Resource,
    Subject, template,
};

/// A grant that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGrant {
    /// Who would get it.
    pub principal: PrincipalId,
    /// To use, or to hand on.
    pub kind: GrantKind,
    /// The role.
    pub role: Role,
    /// Where.
    pub target: GrantTarget,
    /// The longest checkout under it.
    pub max_checkout_seconds: u64,
    /// Under which circumstances it would give anything.
    pub conditions: Conditions,
    /// When it would end.
    pub expires_at: Timestamp,
}

/// Decides whether `subject` may make the `wanted` grant under these circumstances.
///
/// It needs one `may_grant` of the same role in `own_grants` that has not ended, encloses the wanted place, ends no
/// earlier, allows checkouts no shorter, and has no condition that the wanted grant is looser in; the same for handing
/// on as for use. Nobody grants to
/// themselves, a customer's own people grant within their customer, and no grant lasts more than 400 days. It is a
/// sensitive verb, for which a person proves a second factor, and a program makes none.
/// The permit's [`grant`](Permit::grant) is the `may_grant` it rests on.
pub fn authorize_grant(
    policies: &Policies,
    subject: &Subject,
    own_grants: &[Grant],
    wanted: &WantedGrant,
    around: &Circumstances<'_>,
) -> Result<Permit<GrantMake>, Denied> {
    let now = around.now;
    let lasts = wanted.expires_at > now && wanted.expires_at <= latest_end(now);
    let within = if lasts { within_own(policies, subject, own_grants, wanted, around) } else { None };
    within.unwrap_or_else(|| Err(refusal(policies, subject, own_grants, wanted.target, now)))
}

/// The permit, or in what the wanted grant goes beyond each `may_grant` that would else stand behind it. None if there is
/// none at all.
fn within_own(
    policies: &Policies,
    subject: &Subject,
    own_grants: &[Grant],
    wanted: &WantedGrant,
    around: &Circumstances<'_>,
) -> Option<Result<Permit<GrantMake>, Denied>> {
    let resource = Resource::from(wanted.target);
    let compiled = policies.compile_granting(subject, own_grants, around.now).ok()?;
    let mut basis = decide(policies, &compiled, Action::GrantMake, context(wanted)?, &resource)?;
    let beyond: Vec<Condition> = basis.links.iter().filter_map(|own| exceeded(own, wanted)).collect();
    basis.links.retain(|own| exceeded(own, wanted).is_none());
    match basis.to_hand_on(around.now) {
        Some(ground) => Some(match Conditions::default().too_light(subject.kind, Action::GrantMake, around) {
            None => Ok(Permit::new(*subject, resource, ground)),
            Some(condition) => Err(ground.grant.map_or(Denied::Forbidden, |grant| Denied::Unmet { condition, grant })),
        }),
        None => beyond.first().map(|condition| Err(Denied::Exceeds(*condition))),
    }
}

/// Whoever may hand on anything at a place, or see it, knows that it is there.
fn refusal(
    policies: &Policies,
    subject: &Subject,
    own_grants: &[Grant],
    target: GrantTarget,
    now: Timestamp,
) -> Denied {
    let at_home = subject.customer.is_none() || subject.customer == target.customer();
    let hands_on = |own: &Grant| {
        own.principal == subject.id && own.kind == GrantKind::MayGrant && own.is_live(now) && own.scope.encloses(target)
    };
    if target == GrantTarget::Operator || at_home && own_grants.iter().any(hands_on) {
        return Denied::Forbidden;
    }
    policies
        .compile(subject, own_grants, now)
        .map_or(Denied::Hidden, |compiled| denial(policies, &compiled, subject, &target.into(), now))
}

/// In what the wanted grant would give more than `own` has to hand on.
fn exceeded(own: &Link, wanted: &WantedGrant) -> Option<Condition> {
    if own.expires_at < wanted.expires_at {
        return Some(Condition::End);
    }
    if own.max_checkout_seconds < wanted.max_checkout_seconds {
        return Some(Condition::MaxCheckoutSeconds);
    }
    wanted.conditions.looser_than(&own.conditions)
}

fn context(wanted: &WantedGrant) -> Option<Context> {
    let words = HashMap::from([
        ("kind", template::kind(wanted.kind).to_owned()),
        ("role", template::to_use(wanted.role).to_owned()),
        ("recipient", wanted.principal.to_string()),
    ]);
    let word = |(name, value): (&str, String)| (name.to_owned(), RestrictedExpression::new_string(value));
    Context::from_pairs(words.into_iter().map(word)).ok()
}
