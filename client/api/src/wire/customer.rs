//! `/v1/customers`: the hard boundary of keys, grants and audit log.

use serde::{Deserialize, Serialize};

use crate::{CustomerId, Part, Timestamp};

/// `POST /v1/customers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCustomer {
    /// The first part of every path of this customer.
    pub slug: Part,
    /// The customer's name for people; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub display_name: String,
}

/// `PATCH /v1/customers/{customer}`: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomerChange {
    /// The customer's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub display_name: Option<String>,
}

/// A customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The first part of every path of this customer.
    pub slug: Part,
    /// The customer's name for people.
    pub display_name: String,
    /// When it was added.
    pub created_at: Timestamp,
}
