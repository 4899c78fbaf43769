//! One subject with its grants, made once and cached by the caller.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{Entity, EntityUid, PolicyId, PolicySet, SlotId};
use claviger_api::wire::{GrantKind, PrincipalKind};
use claviger_api::{BreakGlassId, GrantId, Timestamp};

use super::decide::Basis;
use super::rules::{Policies, PolicyError};
use super::{Action, Circumstances, Condition, Conditions, Grant, GrantTarget, Resource, Subject, template};

impl Policies {
    /// Prepares what `subject` may use of its `grants` and has not ended at `now`.
    ///
    /// The result answers for this subject and these grants: cache it, and drop it when a grant is made or revoked or
    /// the subject changes. Ends are checked again at each decision.
    pub fn compile(&self, subject: &Subject, grants: &[Grant], now: Timestamp) -> Result<Compiled, PolicyError> {
        self.prepare(subject, grants, GrantKind::MayUse, now)
    }

    /// Prepares what `subject` may hand on.
    pub(super) fn compile_granting(
        &self,
        subject: &Subject,
        grants: &[Grant],
        now: Timestamp,
    ) -> Result<Compiled, PolicyError> {
        self.prepare(subject, grants, GrantKind::MayGrant, now)
    }

    fn prepare(
        &self,
        subject: &Subject,
        grants: &[Grant],
        kind: GrantKind,
        now: Timestamp,
    ) -> Result<Compiled, PolicyError> {
        if let Some(foreign) = grants.iter().find(|grant| grant.principal != subject.id) {
            return Err(PolicyError::ForeignGrant(foreign.id));
        }
        let entity = self.places.subject(subject)?;
        let mut compiled = Compiled {
            subject: *subject,
            uid: entity.uid(),
            entity,
            within: HashMap::new(),
            on_the_way: HashMap::new(),
            valid_until: None,
            answers: Mutex::default(),
        };
        for grant in grants.iter().filter(|grant| grant.kind == kind && grant.is_live(now)) {
            compiled.take(grant);
        }
        Ok(compiled)
    }
}

/// One subject with its grants, ready for decisions.
///
/// A decision links only the grants that lie on the way to the thing asked about, so that it costs the same however
/// many customers and accounts the subject serves, and what Cedar answered is remembered: rules and grants in here
/// never change, and the only thing that does, time, is left out of the answer.
pub struct Compiled {
    pub(super) subject: Subject,
    pub(super) uid: EntityUid,
    pub(super) entity: Entity,
    /// Links that reach everything within a place.
    within: HashMap<GrantTarget, Vec<Link>>,
    /// Links that show a place itself, since something within was granted.
    on_the_way: HashMap<GrantTarget, Vec<Link>>,
    valid_until: Option<Timestamp>,
    answers: Mutex<HashMap<Question, Option<Arc<Basis>>>>,
}

/// The most answers that are remembered; then all are forgotten.
const ANSWERS_MAX: usize = 4096;

impl Compiled {
    /// Whom it answers for.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The earliest end of a grant in it: from then on it holds some that give nothing any more. None if it holds none.
    pub const fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Every grant in it, by what it reaches.
    pub(super) fn reach(&self) -> impl Iterator<Item = &Link> {
        self.within.values().flatten()
    }

    /// The baseline with the grants that can matter for `resource`, and what each linked rule stands for.
    pub(super) fn linked(
        &self,
        policies: &Policies,
        resource: &Resource,
    ) -> Result<(PolicySet, HashMap<PolicyId, Link>), PolicyError> {
        let mut rules = policies.rules.clone();
        let mut links = HashMap::new();
        let around = resource.way().filter_map(|place| self.within.get(&place)).flatten();
        let here = resource.place().and_then(|place| self.on_the_way.get(&place)).into_iter().flatten();
        for link in around.chain(here) {
            let id = PolicyId::new(format!("{}.{}", link.grant, link.template));
            let place = policies.places.uid(&link.at.into());
            let slots = HashMap::from([(SlotId::principal(), self.uid.clone()), (SlotId::resource(), place)]);
            rules.link(PolicyId::new(link.template), id.clone(), slots)?;
            links.insert(id, link.clone());
        }
        Ok((rules, links))
    }

    /// The answer that was given before to the same question, or a new one.
    pub(super) fn remembered(&self, question: Question, ask: impl FnOnce() -> Option<Basis>) -> Option<Arc<Basis>> {
        if let Some(answer) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&question) {
            return answer.clone();
        }
        let answer = ask().map(Arc::new);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(question, answer.clone());
        answer
    }

    fn take(&mut self, grant: &Grant) {
        self.valid_until = Some(self.valid_until.map_or(grant.expires_at, |end| end.min(grant.expires_at)));
        let conditions = Arc::new(grant.conditions.clone());
        let link = |template, at| Link {
            grant: grant.id,
            template,
            at,
            max_checkout_seconds: grant.max_checkout_seconds,
            conditions: conditions.clone(),
            break_glass: grant.break_glass,
            expires_at: grant.expires_at,
        };
        let mut shows = |template, place| self.on_the_way.entry(place).or_default().push(link(template, place));
        match (grant.kind, grant.scope) {
            (GrantKind::MayGrant, _) | (GrantKind::MayUse, GrantTarget::Operator | GrantTarget::Customer(_)) => {}
            (GrantKind::MayUse, GrantTarget::System(customer, _)) => {
                shows(template::THROUGH_CUSTOMER, GrantTarget::Customer(customer));
            }
            (GrantKind::MayUse, GrantTarget::Account(customer, system, _)) => {
                shows(template::THROUGH_CUSTOMER, GrantTarget::Customer(customer));
                shows(template::THROUGH_SYSTEM, GrantTarget::System(customer, system));
            }
        }
        let template = match (grant.kind, grant.break_glass) {
            (GrantKind::MayUse, None) => template::to_use(grant.role),
            (GrantKind::MayUse, Some(_)) => template::OPEN_GLASS,
            (GrantKind::MayGrant, _) => template::to_hand_on(grant.role),
        };
        self.within.entry(grant.scope).or_default().push(link(template, grant.scope));
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("subject", &self.subject)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

/// One linked rule: a template at a place, and the grant it stands for.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub grant: GrantId,
    template: &'static str,
    pub at: GrantTarget,
    pub max_checkout_seconds: u64,
    pub conditions: Arc<Conditions>,
    pub break_glass: Option<BreakGlassId>,
    pub expires_at: Timestamp,
}

impl Link {
    /// What its grant wants and is not there.
    pub fn unmet(
        &self,
        kind: PrincipalKind,
        action: Action,
        around: &Circumstances<'_>,
    ) -> impl Iterator<Item = Condition> {
        // A glass reaches what its opener reached asleep, however narrowly it was opened.
        let names_account = matches!(self.at, GrantTarget::Account(..)) && self.break_glass.is_none();
        self.conditions.unmet(self.grant, names_account, kind, action, around)
    }
}

/// All that an answer depends on, besides the rules and the subject. Of a checkout that is its account and whether the
/// subject holds it: no grant is for a single checkout, and the rules compare its holder with the subject alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question {
    action: Action,
    resource: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Place(GrantTarget),
    CheckoutOf { account: GrantTarget, held: bool },
}

impl Question {
    pub(super) fn new(subject: &Subject, action: Action, resource: &Resource) -> Self {
        let resource = match *resource {
            Resource::Operator => Asked::Place(GrantTarget::Operator),
            Resource::Customer(c) => Asked::Place(GrantTarget::Customer(c)),
            Resource::System(c, s) => Asked::Place(GrantTarget::System(c, s)),
            Resource::Account(c, s, a) => Asked::Place(GrantTarget::Account(c, s, a)),
            Resource::Checkout { customer, system, account, holder, .. } => Asked::CheckoutOf {
                account: GrantTarget::Account(customer, system, account),
                held: holder == subject.id,
            },
        };
        Self { action, resource }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Policies>();
        shared::<Compiled>();
    }
}
