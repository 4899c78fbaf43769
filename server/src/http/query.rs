//! Queries, as strict as bodies.

use actix_web::web;
use claviger_api::{Part, ProblemType};
use claviger_service::{Error, Result};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::body::misfit;
use super::call::Call;
use super::describe::Description;
use super::endpoint::Argument;
use super::refusal::malformed;

/// The parameters behind the `?`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + IntoParams> Argument for Query<T> {
    async fn take(call: &mut Call) -> Result<Self> {
        let query = web::Query::<T>::from_query(call.request.query_string());
        let query = query.map_err(|error| malformed(format!("In the query: {}.", misfit(&inner(&error)))))?;
        Ok(Self(query.into_inner()))
    }

    fn describe(description: &mut Description) {
        description.takes_query::<T>();
        description.fails(&[ProblemType::InvalidValue]);
    }
}

fn inner(error: &actix_web::error::QueryPayloadError) -> String {
    match error {
        actix_web::error::QueryPayloadError::Deserialize(error) => error.to_string(),
        _ => String::new(),
    }
}

/// The customer that a query names.
pub fn customer(text: &str) -> Result<Part> {
    text.parse().map_err(|error: claviger_api::name::BadName| Error::value("customer", error.to_string()))
}
