//! `/v1/erasures`: what the record tells of a person who is gone.

use serde::{Deserialize, Serialize};

use crate::PrincipalId;

/// `POST /v1/erasures`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewErasure {
    /// The name or the id of a user or service account that was removed.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub principal: String,
    /// Why; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// What was erased.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erasure {
    /// Whose name, addresses and words are gone. The id stays: the record goes on to tell what it did.
    pub principal: PrincipalId,
}
