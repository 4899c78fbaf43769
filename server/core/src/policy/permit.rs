//! The proof of a decision.

use std::marker::PhantomData;

use claviger_api::wire::ApprovalRule;
use claviger_api::{BreakGlassId, CustomerId, GrantId};

use super::decide::Ground;
use super::{Act, Conditions, Resource, Subject};

/// A decision that was made, for one verb `A`, one subject and one resource. Services take it by value or reference
/// instead of asking again; it cannot be copied, kept in a store, or made by anything but
/// [`authorize`](super::authorize) and [`authorize_grant`](super::authorize_grant).
///
/// ```
/// use claviger_core::policy::{CheckoutReveal, Permit, Resource};
/// fn where_to(permit: &Permit<CheckoutReveal>) -> Resource {
///     *permit.resource()
/// }
/// ```
/// A permit for another verb does not fit:
/// ```compile_fail,E0308
/// use claviger_core::policy::{CheckoutReveal, CheckoutView, Permit, Resource};
/// fn where_to(permit: &Permit<CheckoutReveal>) -> Resource {
///     *permit.resource()
/// }
/// fn misuse(permit: &Permit<CheckoutView>) {
///     where_to(permit);
/// }
/// ```
/// It cannot be made elsewhere:
/// ```compile_fail,E0451
/// use claviger_core::policy::{CheckoutReveal, Permit, Resource, Subject};
/// fn forge(subject: Subject, resource: Resource) -> Permit<CheckoutReveal> {
///     Permit { subject, resource, ground: todo!(), action: std::marker::PhantomData }
/// }
/// ```
/// ```compile_fail,E0624
/// use claviger_core::policy::{CheckoutReveal, Permit, Resource, Subject};
/// fn forge(subject: Subject, resource: Resource) -> Permit<CheckoutReveal> {
///     Permit::new(subject, resource, todo!())
/// }
/// ```
/// Nor turned into another, nor doubled:
/// ```compile_fail,E0277
/// fn doubles<T: Clone>() {}
/// doubles::<claviger_core::policy::Permit<claviger_core::policy::CheckoutReveal>>();
/// ```
#[derive(Debug)]
#[must_use = "a decision was made for something to be done"]
pub struct Permit<A: Act> {
    subject: Subject,
    resource: Resource,
    ground: Ground,
    action: PhantomData<fn() -> A>,
}

impl<A: Act> Permit<A> {
    pub(super) const fn new(subject: Subject, resource: Resource, ground: Ground) -> Self {
        Self { subject, resource, ground, action: PhantomData }
    }

    /// Who may.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// On what.
    pub const fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The customer it is about; none for the operator.
    pub const fn customer(&self) -> Option<CustomerId> {
        self.resource.customer()
    }

    /// The grant it rests on: of several, the one with the longest checkouts, then the one that ends last. None where
    /// the baseline alone permits, as for a check-in by the holder.
    pub const fn grant(&self) -> Option<GrantId> {
        self.ground.grant
    }

    /// The longest checkout that [`grant`](Self::grant) and the customer allow; 0 without a grant.
    pub const fn max_checkout_seconds(&self) -> u64 {
        self.ground.max_checkout_seconds
    }

    /// The conditions of [`grant`](Self::grant); none without a grant.
    pub fn conditions(&self) -> &Conditions {
        &self.ground.conditions
    }

    /// The broken glass whose access the grant is.
    pub const fn break_glass(&self) -> Option<BreakGlassId> {
        self.ground.break_glass
    }

    /// Whose yes a checkout needs, by the grant and by the customer.
    pub const fn approvals(&self) -> Option<ApprovalRule> {
        self.ground.approvals
    }
}
