//! What a decision takes into account besides who asks for what.

use std::net::IpAddr;

use claviger_api::wire::{FRESH_FACTOR_SECONDS, PrincipalKind};
use claviger_api::{GrantId, Timestamp};
use jiff::SignedDuration;

use super::{Action, Condition, Conditions, Limits, Mark};

/// The circumstances of a request. What is not known is as bad as it can be: no address is in no network, and an account
/// is of tier 0, and a customer whose limits are not known lets nobody in.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// When.
    pub now: Timestamp,
    /// The address that the request came from.
    pub source: Option<IpAddr>,
    /// When the session last proved a second factor. Programs have none.
    pub second_factor_at: Option<Timestamp>,
    /// The ticket that a checkout names.
    pub ticket: Option<&'a str>,
    /// The length that a checkout asks for: of several grants one that allows it is taken.
    pub ttl_seconds: Option<u64>,
    /// What the account is that it is about.
    pub mark: Mark,
    /// What the customer wants whose it is, where it is a customer's.
    pub limits: Option<&'a Limits>,
    /// Grants whose reveals of this hour are spent.
    pub spent: &'a [GrantId],
}

impl Circumstances<'static> {
    /// A time, and nothing else that is known.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            source: None,
            second_factor_at: None,
            ticket: None,
            ttl_seconds: None,
            mark: Mark::TierZero,
            limits: None,
            spent: &[],
        }
    }
}

impl Circumstances<'_> {
    /// Whether a second factor was proven within the last five minutes.
    pub fn fresh_factor(&self) -> bool {
        let most = SignedDuration::from_secs(i64::try_from(FRESH_FACTOR_SECONDS).unwrap_or(0));
        self.second_factor_at.is_some_and(|proven| self.now.duration_since(proven) < most)
    }
}

/// Which conditions a verb has to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// None: it only looks, or gives back. Conditions never hide anything, or a refusal could not say why.
    Free,
    /// Networks, hours, a fresh factor.
    Acts,
    /// Those, and a ticket.
    Takes,
    /// Those of an act, and the budget of reveals.
    Reveals,
}

const fn bound(action: Action) -> Bound {
    use Action as A;
    match action {
        A::SysStatus
        | A::AccessView
        | A::CustomerView
        | A::KitView
        | A::SystemView
        | A::AccountView
        | A::CheckoutView
        | A::CheckoutCheckin
        | A::RotationView
        | A::PrincipalView
        | A::GrantView
        | A::BreakGlassView => Bound::Free,
        A::CheckoutCreate | A::CheckoutTakeOver => Bound::Takes,
        A::CheckoutReveal => Bound::Reveals,
        A::SysSeal
        | A::SysScrub
        | A::SysBackup
        | A::SysRekey
        | A::SysRestore
        | A::CustomerCreate
        | A::CustomerUpdate
        | A::CustomerLimit
        | A::CustomerRemove
        | A::CustomerLock
        | A::CustomerUnlock
        | A::CustomerOffboard
        | A::KitCreate
        | A::SystemCreate
        | A::SystemUpdate
        | A::SystemRemove
        | A::AccountCreate
        | A::AccountUpdate
        | A::AccountRemove
        | A::AccountSetSecret
        | A::AccountVerify
        | A::AccountRotate
        | A::AccountRevealUnresolved
        | A::BreakGlassOpen
        | A::BreakGlassAgree
        | A::BreakGlassClose
        | A::BreakGlassReview
        | A::CheckoutExtend
        | A::CheckoutRevoke
        | A::CheckoutApprove
        | A::RotationCancel
        | A::RotationPerform
        | A::PrincipalManage
        | A::GrantMake
        | A::GrantRevoke
        | A::AuditRead
        | A::AuditExport => Bound::Acts,
    }
}

impl Action {
    /// Whether it only looks at what is there, or gives back: no condition binds it.
    pub fn is_free(self) -> bool {
        bound(self) == Bound::Free
    }
}

impl Conditions {
    /// The conditions of `grant`, which is for one account or for a wider place, that a subject of this kind does not meet, first
    /// those that it cannot mend at once. What a sensitive verb wants is among them.
    pub(super) fn unmet(
        &self,
        grant: GrantId,
        names_account: bool,
        kind: PrincipalKind,
        action: Action,
        around: &Circumstances<'_>,
    ) -> impl Iterator<Item = Condition> {
        let (bound, too_light) = (bound(action), self.too_light(kind, action, around));
        let acts = bound != Bound::Free;
        let [networks, hours, ticket, factor] = self.outer_unmet(action, around);
        let spent = self.reveals_per_hour.is_some() && around.spent.contains(&grant);
        [
            (acts && !self.actions.is_empty() && !self.actions.contains(&action), Condition::Actions),
            (too_light == Some(Condition::NamedVerb), Condition::NamedVerb),
            (!names_account && !self.reach_it(kind, action, around), Condition::Reaches),
            networks,
            hours,
            ticket,
            factor,
            (too_light == Some(Condition::SensitiveVerb), Condition::SensitiveVerb),
            (bound == Bound::Reveals && spent, Condition::RevealsPerHour),
        ]
        .into_iter()
        .filter_map(|(failed, condition)| failed.then_some(condition))
    }

    /// What a customer can want, too: each, and whether it is not met.
    pub(super) fn outer_unmet(&self, action: Action, around: &Circumstances<'_>) -> [(bool, Condition); 4] {
        let bound = bound(action);
        let acts = bound != Bound::Free;
        let ticket = self.ticket.as_ref().is_none_or(|form| around.ticket.is_some_and(|given| form.matches(given)));
        let network = self.networks.is_empty()
            || around.source.is_some_and(|from| self.networks.iter().any(|net| net.contains(from)));
        let hours = self.hours.as_ref().is_none_or(|hours| hours.contain(around.now));
        [
            (acts && !network, Condition::Networks),
            (acts && !hours, Condition::Hours),
            (bound == Bound::Takes && !ticket, Condition::Ticket),
            (acts && self.fresh_factor && !around.fresh_factor(), Condition::FreshFactor),
        ]
    }
}
