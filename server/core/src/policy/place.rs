//! Who acts and on what, in our words and in Cedar's.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use claviger_api::wire::PrincipalKind;
use claviger_api::{AccountId, CheckoutId, CustomerId, PrincipalId, SystemId};

use super::rules::PolicyError;
use super::{Action, GrantTarget};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The principal.
    pub id: PrincipalId,
    /// A person or a program.
    pub kind: PrincipalKind,
    /// The customer whose own it is; none for the MSP's.
    pub customer: Option<CustomerId>,
}

/// What is asked about, with everything that encloses it, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The MSP's own house.
    Operator,
    /// A customer.
    Customer(CustomerId),
    /// A system of a customer.
    System(CustomerId, SystemId),
    /// An account on a system.
    Account(CustomerId, SystemId, AccountId),
    /// A checkout of an account.
    Checkout {
        /// The customer.
        customer: CustomerId,
        /// The system.
        system: SystemId,
        /// The account.
        account: AccountId,
        /// The checkout itself.
        checkout: CheckoutId,
        /// Whose checkout it is.
        holder: PrincipalId,
    },
}

impl Resource {
    /// The customer it is or belongs to; none for the operator.
    pub const fn customer(&self) -> Option<CustomerId> {
        match self {
            Self::Operator => None,
            Self::Customer(customer)
            | Self::System(customer, _)
            | Self::Account(customer, _, _)
            | Self::Checkout { customer, .. } => Some(*customer),
        }
    }

    /// The place that a grant can be for; none for a checkout.
    pub(super) const fn place(&self) -> Option<GrantTarget> {
        match *self {
            Self::Operator => Some(GrantTarget::Operator),
            Self::Customer(c) => Some(GrantTarget::Customer(c)),
            Self::System(c, s) => Some(GrantTarget::System(c, s)),
            Self::Account(c, s, a) => Some(GrantTarget::Account(c, s, a)),
            Self::Checkout { .. } => None,
        }
    }

    /// The places on the way to it, from the operator down to itself or, for a checkout, to its account.
    pub(super) fn way(&self) -> impl Iterator<Item = GrantTarget> + use<> {
        let (customer, system, account) = match *self {
            Self::Operator => (None, None, None),
            Self::Customer(c) => (Some(c), None, None),
            Self::System(c, s) => (Some(c), Some((c, s)), None),
            Self::Account(c, s, a) | Self::Checkout { customer: c, system: s, account: a, .. } => {
                (Some(c), Some((c, s)), Some((c, s, a)))
            }
        };
        [
            Some(GrantTarget::Operator),
            customer.map(GrantTarget::Customer),
            system.map(|(c, s)| GrantTarget::System(c, s)),
            account.map(|(c, s, a)| GrantTarget::Account(c, s, a)),
        ]
        .into_iter()
        .flatten()
    }

    /// The verb for knowing that it exists; none for the operator, whose existence is no secret.
    pub(super) const fn view(&self) -> Option<Action> {
        match self {
            Self::Operator => None,
            Self::Customer(_) => Some(Action::CustomerView),
            Self::System(..) => Some(Action::SystemView),
            Self::Account(..) => Some(Action::AccountView),
            Self::Checkout { .. } => Some(Action::CheckoutView),
        }
    }
}

/// The entity types of the schema, parsed once.
pub(super) struct Places {
    user: EntityTypeName,
    service_account: EntityTypeName,
    operator: EntityTypeName,
    customer: EntityTypeName,
    system: EntityTypeName,
    account: EntityTypeName,
    checkout: EntityTypeName,
}

impl Places {
    pub(super) fn new() -> Result<Self, PolicyError> {
        Ok(Self {
            user: entity_type("User")?,
            service_account: entity_type("ServiceAccount")?,
            operator: entity_type("Operator")?,
            customer: entity_type("Customer")?,
            system: entity_type("System")?,
            account: entity_type("Account")?,
            checkout: entity_type("Checkout")?,
        })
    }

    /// The principal as an entity with its attributes.
    pub(super) fn subject(&self, subject: &Subject) -> Result<Entity, PolicyError> {
        let kind = match subject.kind {
            PrincipalKind::User => &self.user,
            PrincipalKind::ServiceAccount => &self.service_account,
        };
        let id = subject.id.to_string();
        let mut attributes = HashMap::from([("id".to_owned(), RestrictedExpression::new_string(id.clone()))]);
        if let Some(customer) = subject.customer {
            let customer = RestrictedExpression::new_entity_uid(self.uid(&Resource::Customer(customer)));
            attributes.insert("customer".to_owned(), customer);
        }
        Ok(Entity::new(named(kind, id), attributes, HashSet::new())?)
    }

    /// The resource as an entity, with all that encloses it as its parents.
    pub(super) fn resource(&self, resource: &Resource) -> Result<Entity, PolicyError> {
        let uid = self.uid(resource);
        let around = resource.way().map(Resource::from).filter(|place| place != resource);
        let parents: HashSet<EntityUid> = around.map(|place| self.uid(&place)).collect();
        match resource {
            Resource::Operator | Resource::Customer(_) | Resource::System(..) | Resource::Account(..) => {
                Ok(Entity::new_no_attrs(uid, parents))
            }
            Resource::Checkout { holder, .. } => {
                let holder = RestrictedExpression::new_string(holder.to_string());
                Ok(Entity::new(uid, HashMap::from([("holder".to_owned(), holder)]), parents)?)
            }
        }
    }

    /// The entity id: the whole way to the thing, e.g. `System::"cu_…/sy_…"`.
    pub(super) fn uid(&self, resource: &Resource) -> EntityUid {
        match resource {
            Resource::Operator => named(&self.operator, "operator"),
            Resource::Customer(c) => named(&self.customer, c.to_string()),
            Resource::System(c, s) => named(&self.system, format!("{c}/{s}")),
            Resource::Account(c, s, a) => named(&self.account, format!("{c}/{s}/{a}")),
            Resource::Checkout { customer, system, account, checkout, .. } => {
                named(&self.checkout, format!("{customer}/{system}/{account}/{checkout}"))
            }
        }
    }
}

fn entity_type(name: &str) -> Result<EntityTypeName, PolicyError> {
    EntityTypeName::from_str(name).map_err(|error| PolicyError::Unreadable(error.to_string()))
}

fn named(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_things_id_under_another_customer_is_another_thing() {
        let places = Places::new().unwrap();
        let (system, account) = (SystemId::from_uuid(Uuid::nil()), AccountId::from_uuid(Uuid::nil()));
        let below = |n| {
            let customer = CustomerId::from_uuid(Uuid::from_u128(n));
            let checkout = CheckoutId::from_uuid(Uuid::nil());
            let holder = PrincipalId::from_uuid(Uuid::nil());
            [
                Resource::Customer(customer),
                Resource::System(customer, system),
                Resource::Account(customer, system, account),
                Resource::Checkout { customer, system, account, checkout, holder },
            ]
        };
        for (ours, theirs) in below(1).iter().zip(&below(2)) {
            assert_ne!(places.uid(ours), places.uid(theirs));
        }
    }
}
