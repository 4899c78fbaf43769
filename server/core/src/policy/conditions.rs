//! Under which circumstances a grant gives what it gives.

use std::collections::BTreeSet;

use claviger_api::wire::{
    self, APPROVALS_MAX, ApprovalRule, NETWORKS_MAX, Network, REVEALS_PER_HOUR_MAX, Reach, TicketPattern, WeeklyHours,
};
use serde::{Deserialize, Serialize};

use super::Action;

/// The conditions of a grant, as they are stored. Whoever uses the grant must meet them all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Only these verbs of the role; all of the role when empty.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub actions: BTreeSet<Action>,
    /// A checkout needs the yes of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<ApprovalRule>,
    /// Wants a recent second factor.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh_factor: bool,
    /// A checkout names a ticket of this form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketPattern>,
    /// Only from these networks; from everywhere when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Only in these hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<WeeklyHours>,
    /// At most so many reveals in any hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reveals_per_hour: Option<u32>,
    /// Which accounts besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaches: Option<Reach>,
}

/// One condition, by its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// Only some verbs of the role.
    Actions,
    /// The yes of others.
    Approvals,
    /// A recent second factor.
    FreshFactor,
    /// A ticket of some form.
    Ticket,
    /// Only from some networks.
    Networks,
    /// Only in some hours.
    Hours,
    /// At most so many reveals in any hour.
    RevealsPerHour,
    /// No condition of the grant: a sensitive verb wants a recent second factor of every person.
    SensitiveVerb,
    /// The same of a program: the grant names the verb.
    NamedVerb,
    /// Only usual accounts.
    Reaches,
    /// The longest checkout.
    MaxCheckoutSeconds,
    /// The end of a grant.
    End,
}

/// A condition that cannot be accepted, and what a right one looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCondition {
    /// Which.
    pub condition: Condition,
    /// What is wrong.
    pub message: String,
}

impl Condition {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actions | Self::NamedVerb => "actions",
            Self::Approvals => "approvals",
            Self::FreshFactor | Self::SensitiveVerb => "fresh_factor",
            Self::Ticket => "ticket",
            Self::Networks => "networks",
            Self::Hours => "hours",
            Self::RevealsPerHour => "reveals_per_hour",
            Self::Reaches => "reaches",
            Self::MaxCheckoutSeconds => "max_checkout_seconds",
            Self::End => "ttl_seconds",
        }
    }
}

impl Conditions {
    /// Reads what was asked for, for a role that has these verbs.
    pub fn read(wanted: &wire::Conditions, role: &BTreeSet<Action>) -> Result<Self, Vec<BadCondition>> {
        let mut bad = Vec::new();
        let mut refuse = |condition, message: String| bad.push(BadCondition { condition, message });
        let mut actions = BTreeSet::new();
        for name in &wanted.actions {
            match Action::named(name).filter(|action| role.contains(action)) {
                Some(action) => _ = actions.insert(action),
                None => refuse(Condition::Actions, format!("the role has these actions: {}", listed(role))),
            }
        }
        if wanted.approvals.is_some_and(|rule| !(1..=APPROVALS_MAX).contains(&rule.count)) {
            refuse(Condition::Approvals, format!("a checkout needs the yes of 1 to {APPROVALS_MAX} people"));
        }
        if wanted.networks.len() > NETWORKS_MAX {
            refuse(Condition::Networks, format!("at most {NETWORKS_MAX} networks"));
        }
        if wanted.reveals_per_hour.is_some_and(|most| !(1..=REVEALS_PER_HOUR_MAX).contains(&most)) {
            refuse(Condition::RevealsPerHour, format!("1 to {REVEALS_PER_HOUR_MAX} reveals in an hour"));
        }
        if !bad.is_empty() {
            bad.dedup();
            return Err(bad);
        }
        let wire::Conditions { approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches, .. } =
            wanted.clone();
        Ok(Self { actions, approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches })
    }

    /// As readers see them.
    pub fn view(&self) -> wire::Conditions {
        let Self { actions, approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches } =
            self.clone();
        let actions = actions.iter().map(ToString::to_string).collect();
        wire::Conditions { actions, approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches }
    }

    /// What a condition of these wants, in words that follow "wants"; none where there is nothing to say.
    pub fn wants(&self, condition: Condition) -> Option<String> {
        let listed = |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match condition {
            Condition::Ticket => self.ticket.as_ref().map(|form| format!("a ticket of the form {form}")),
            Condition::Networks => Some(format!("an address in {}", listed(&self.networks))),
            Condition::Hours => self.hours.as_ref().map(|hours| format!("the hours {hours}")),
            Condition::RevealsPerHour => {
                self.reveals_per_hour.map(|most| format!("at most {most} reveals in any hour"))
            }
            Condition::Approvals => self.approvals.map(|rule| format!("the yes of {} people", rule.count)),
            Condition::FreshFactor => Some("a second factor of the last five minutes".to_owned()),
            Condition::SensitiveVerb => {
                Some("a second factor of the last five minutes, as every sensitive verb does".to_owned())
            }
            Condition::NamedVerb => {
                Some("to name the verb in its actions, as every sensitive verb of a program does".to_owned())
            }
            Condition::Reaches => {
                Some("to say that it reaches such an account, or to be for that very account".to_owned())
            }
            Condition::Actions | Condition::MaxCheckoutSeconds | Condition::End => None,
        }
    }

    /// The first condition in which these are looser than `outer`; none when whatever these let through, `outer` lets
    /// through, too. What cannot be compared is looser: another ticket pattern, hours of another zone.
    pub fn looser_than(&self, outer: &Self) -> Option<Condition> {
        let actions = outer.actions.is_empty() || !self.actions.is_empty() && self.actions.is_subset(&outer.actions);
        let approvals = outer.approvals.is_none_or(|outer| {
            self.approvals.is_some_and(|own| {
                own.count >= outer.count && (own.by_customer || !outer.by_customer) && (outer.reuse || !own.reuse)
            })
        });
        let networks = outer.networks.is_empty()
            || !self.networks.is_empty() && Network::all_within(&self.networks, &outer.networks);
        let hours = outer.hours.as_ref().is_none_or(|outer| self.hours.as_ref().is_some_and(|own| own.within(outer)));
        let reveals = outer.reveals_per_hour.is_none_or(|outer| self.reveals_per_hour.is_some_and(|own| own <= outer));
        [
            (actions, Condition::Actions),
            (approvals, Condition::Approvals),
            (self.fresh_factor || !outer.fresh_factor, Condition::FreshFactor),
            (outer.ticket.is_none() || self.ticket == outer.ticket, Condition::Ticket),
            (networks, Condition::Networks),
            (hours, Condition::Hours),
            (reveals, Condition::RevealsPerHour),
            (self.reaches <= outer.reaches, Condition::Reaches),
        ]
        .into_iter()
        .find_map(|(within, condition)| (!within).then_some(condition))
    }
}

fn listed(actions: &BTreeSet<Action>) -> String {
    actions.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ")
}
