//! Authorization: every request is one decision by [`authorize`] (or, to hand rights on, [`authorize_grant`]), and what
//! a decision gives is a [`Permit`], which services take and nothing else can make.
//!
//! The rules themselves are three files that a reviewer can read, in Cedar (<https://docs.cedarpolicy.com>):
//! `policy/roles.cedar` (what each role may do), `policy/baseline.cedar` (what holds for everybody) and
//! `policy/claviger.cedarschema` (the words). The code here turns ids into Cedar's entities, links one template a
//! grant, and holds what Cedar cannot compare: the times and the conditions of grants (`circumstances.rs`).
//!
//! ```text
//! Policies::built_in ─ once ──────────────────────────┐
//! Policies::compile(subject, its grants) ─ cached ─┐  │
//!                                    authorize::<CheckoutReveal>(…) ─→ Permit<CheckoutReveal> | Hidden | Forbidden
//! ```
//!
//! Ids, never names or paths, are authorized; where an id came from does not matter. It fails closed: a rule that
//! cannot be evaluated, a verb on a thing it does not apply to, or a set compiled for another subject permits nothing.

mod action;
mod circumstances;
mod compile;
mod conditions;
mod decide;
mod explain;
mod foresee;
mod grant;
mod granting;
mod limits;
mod permit;
mod place;
mod reveals;
mod rules;
mod template;
#[cfg(test)]
mod tests;
mod visible;
mod weight;

pub use action::*;
pub use circumstances::Circumstances;
pub use compile::Compiled;
pub use conditions::{BadCondition, Condition, Conditions};
pub use decide::{Denied, authorize, might};
pub use explain::{Explanation, explain};
pub use foresee::{Foreseen, foresee};
pub use grant::{Grant, GrantTarget, founding_grants};
pub use granting::{WantedGrant, authorize_grant};
pub use limits::{Limits, NO_LIMITS};
pub use permit::Permit;
pub use place::{Resource, Subject};
pub use reveals::Reveals;
pub use rules::{Policies, PolicyError};
pub use visible::{Visible, visible_customers};
pub use weight::{Mark, Weight};
