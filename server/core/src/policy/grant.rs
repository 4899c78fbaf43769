//! What a principal may use or hand on, where, and until when.

use claviger_api::wire::{GRANT_TTL_MAX_SECONDS, GrantKind, Reach, Role, TTL_MAX_SECONDS};
use claviger_api::{AccountId, BreakGlassId, CustomerId, GrantId, PrincipalId, SystemId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Conditions, Resource};

/// A grant, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who got it.
    pub principal: PrincipalId,
    /// To use, or to hand on.
    pub kind: GrantKind,
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: GrantTarget,
    /// The longest checkout under this grant.
    pub max_checkout_seconds: u64,
    /// Under which circumstances.
    #[serde(default)]
    pub conditions: Conditions,
    /// The broken glass whose access this is: the role asleep permits nothing but to ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this instant on it gives nothing.
    pub expires_at: Timestamp,
}

impl Grant {
    /// Whether it has not ended at `now`. The end itself is past the end.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

/// The place a grant is for; it reaches everything within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantTarget {
    /// Everywhere, the operator's own house included.
    Operator,
    /// One customer.
    Customer(CustomerId),
    /// One system.
    System(CustomerId, SystemId),
    /// One account.
    Account(CustomerId, SystemId, AccountId),
}

impl GrantTarget {
    /// The customer it is at or in; none for the operator.
    pub const fn customer(self) -> Option<CustomerId> {
        match self {
            Self::Operator => None,
            Self::Customer(customer) | Self::System(customer, _) | Self::Account(customer, _, _) => Some(customer),
        }
    }

    /// Whether `inner` is this place or within it.
    pub fn encloses(self, inner: Self) -> bool {
        match (self, inner) {
            (Self::Operator, _) => true,
            (Self::Customer(outer), _) => inner.customer() == Some(outer),
            (Self::System(c, s), Self::System(ic, is) | Self::Account(ic, is, _)) => (c, s) == (ic, is),
            (Self::Account(..), Self::Account(..)) => self == inner,
            (Self::System(..) | Self::Account(..), _) => false,
        }
    }
}

impl From<GrantTarget> for Resource {
    fn from(target: GrantTarget) -> Self {
        match target {
            GrantTarget::Operator => Self::Operator,
            GrantTarget::Customer(customer) => Self::Customer(customer),
            GrantTarget::System(customer, system) => Self::System(customer, system),
            GrantTarget::Account(customer, system, account) => Self::Account(customer, system, account),
        }
    }
}

/// What the first administrator gets from the vault's `init`, the only grants that nobody's `may_grant` stands behind:
/// the administrator's role everywhere, and the right to hand on every role everywhere, each for 400 days.
pub fn founding_grants(principal: PrincipalId, now: Timestamp, mut ids: impl FnMut() -> GrantId) -> Vec<Grant> {
    let mut grant = |kind, role| Grant {
        id: ids(),
        principal,
        kind,
        role,
        scope: GrantTarget::Operator,
        max_checkout_seconds: TTL_MAX_SECONDS,
        conditions: match kind {
            GrantKind::MayUse => Conditions::default(),
            GrantKind::MayGrant => Conditions { reaches: Some(Reach::TierZero), ..Conditions::default() },
        },
        break_glass: None,
        created_at: now,
        expires_at: latest_end(now),
    };
    let mut grants = vec![grant(GrantKind::MayUse, Role::Administrator)];
    grants.extend(ROLES.iter().map(|role| grant(GrantKind::MayGrant, *role)));
    grants
}

/// 400 days from `now`, or the end of time when that comes first.
pub(super) fn latest_end(now: Timestamp) -> Timestamp {
    let most = i64::try_from(GRANT_TTL_MAX_SECONDS).unwrap_or(i64::MAX);
    now.saturating_add(SignedDuration::from_secs(most)).unwrap_or(Timestamp::MAX)
}

/// Every role.
pub(super) const ROLES: [Role; 8] = [
    Role::Administrator,
    Role::Technician,
    Role::Automation,
    Role::Approver,
    Role::Auditor,
    Role::CustomerAuditor,
    Role::CustomerAdministrator,
    Role::BreakGlass,
];
