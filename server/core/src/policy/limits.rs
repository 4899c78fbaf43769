//! What a customer wants of everybody who works at it, on top of their grants.

use std::collections::BTreeSet;

use claviger_api::wire::{self, ApprovalRule, KitRule, TTL_MAX_SECONDS, TTL_MIN_SECONDS};
use serde::{Deserialize, Serialize};

use super::{Action, BadCondition, Circumstances, Condition, Conditions};

/// A customer's limits, as they are stored. Whoever works there meets them all, whatever was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// No checkout is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_checkout_seconds: Option<u64>,
    /// What else: approvals, networks, hours, a ticket, a fresh factor.
    pub conditions: Conditions,
    /// Who opens its emergency kits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit: Option<KitRule>,
}

/// Those of a customer that has set none.
pub static NO_LIMITS: Limits = Limits {
    max_checkout_seconds: None,
    conditions: Conditions {
        actions: BTreeSet::new(),
        approvals: None,
        fresh_factor: false,
        ticket: None,
        networks: Vec::new(),
        hours: None,
        reveals_per_hour: None,
        reaches: None,
    },
    kit: None,
};

impl Action {
    /// Whether a customer's limits bind it: whatever reaches into the customer's systems, secrets and inventory. Not what
    /// looks or reads the log, what stops something, what is about people and their rights, nor the limits themselves, or
    /// they could lock out whoever set them.
    pub fn heeds_limits(self) -> bool {
        !self.is_free()
            && !matches!(
                self,
                Self::AuditRead
                    | Self::AuditExport
                    | Self::CheckoutRevoke
                    | Self::BreakGlassClose
                    | Self::BreakGlassReview
                    | Self::RotationCancel
                    | Self::GrantMake
                    | Self::GrantRevoke
                    | Self::PrincipalManage
                    | Self::CustomerLimit
                    // Who opens it is a limit itself.
                    | Self::KitCreate
            )
    }
}

impl Limits {
    /// Reads what was asked for.
    pub fn read(wanted: &wire::CustomerLimits) -> Result<Self, Vec<BadCondition>> {
        let asked = &wanted.conditions;
        let own = wire::Conditions { actions: Vec::new(), reveals_per_hour: None, reaches: None, ..asked.clone() };
        let conditions = Conditions::read(&own, &BTreeSet::new());
        let mut bad = conditions.as_ref().err().cloned().unwrap_or_default();
        let mut refuse = |condition, message: &str| bad.push(BadCondition { condition, message: message.to_owned() });
        if wanted.max_checkout_seconds.is_some_and(|most| !(TTL_MIN_SECONDS..=TTL_MAX_SECONDS).contains(&most)) {
            refuse(Condition::MaxCheckoutSeconds, "a checkout lasts 60 to 2592000 seconds (30 days)");
        }
        let of_a_grant = "is a condition of a grant, not of a customer; leave it out";
        for (given, condition) in [
            (!asked.actions.is_empty(), Condition::Actions),
            (asked.reveals_per_hour.is_some(), Condition::RevealsPerHour),
            (asked.reaches.is_some(), Condition::Reaches),
        ] {
            if given {
                refuse(condition, of_a_grant);
            }
        }
        match conditions {
            Ok(conditions) if bad.is_empty() => {
                Ok(Self { max_checkout_seconds: wanted.max_checkout_seconds, conditions, kit: wanted.kit.clone() })
            }
            Ok(_) | Err(_) => Err(bad),
        }
    }

    /// As readers see them.
    pub fn view(&self) -> wire::CustomerLimits {
        wire::CustomerLimits {
            max_checkout_seconds: self.max_checkout_seconds,
            conditions: self.conditions.view(),
            kit: self.kit.clone(),
        }
    }

    /// What they want and is not there.
    pub(super) fn unmet(&self, action: Action, around: &Circumstances<'_>) -> impl Iterator<Item = Condition> {
        let unmet = self.conditions.outer_unmet(action, around).into_iter();
        unmet.filter_map(|(failed, condition)| failed.then_some(condition))
    }

    /// The longest checkout under them and a grant.
    pub(super) fn most(&self, of_grant: u64) -> u64 {
        self.max_checkout_seconds.map_or(of_grant, |most| most.min(of_grant))
    }

    /// Whose yes a checkout needs under them and a grant.
    pub(super) fn approvals(&self, of_grant: Option<ApprovalRule>) -> Option<ApprovalRule> {
        match (of_grant, self.conditions.approvals) {
            (None, one) | (one, None) => one,
            (Some(one), Some(other)) => Some(ApprovalRule {
                count: one.count.max(other.count),
                by_customer: one.by_customer || other.by_customer,
                reuse: one.reuse && other.reuse,
            }),
        }
    }
}
