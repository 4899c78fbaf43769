//! Which customers a list may look into.

use std::collections::BTreeSet;

use claviger_api::{CustomerId, Timestamp};

use super::Compiled;

/// The customers of which a subject may see anything at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every customer.
    All,
    /// These, and no other.
    Some(BTreeSet<CustomerId>),
}

impl Visible {
    /// Whether the customer is among them.
    pub fn contains(&self, customer: CustomerId) -> bool {
        match self {
            Self::All => true,
            Self::Some(customers) => customers.contains(&customer),
        }
    }
}

/// The customers that a list may show to the subject at `now`: exactly those for which
/// [`CustomerView`](super::CustomerView) is permitted. It bounds a search; every row within still needs its own
/// decision, since a grant may be for one account only.
pub fn visible_customers(compiled: &Compiled, now: Timestamp) -> Visible {
    let scopes = || compiled.reach().filter(|link| now < link.expires_at).map(|link| link.at);
    let everywhere = scopes().any(|scope| scope.customer().is_none());
    match compiled.subject.customer {
        None if everywhere => Visible::All,
        None => Visible::Some(scopes().filter_map(super::GrantTarget::customer).collect()),
        Some(own) if everywhere || scopes().any(|scope| scope.customer() == Some(own)) => {
            Visible::Some(BTreeSet::from([own]))
        }
        Some(_) => Visible::Some(BTreeSet::new()),
    }
}
