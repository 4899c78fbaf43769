//! `/v1/exposures`.

use claviger_api::CustomerId;
use claviger_api::ProblemType::{Forbidden, NotFound};
use claviger_api::wire::{Exposure, ExposureQuery};
use claviger_core::policy::{AccessView, Resource};
use claviger_service::{Paging, Result};

use super::answer::Listed;
use super::door::Session;
use super::endpoint::Endpoint;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/v1/exposures",
            "listExposures",
            "The accounts whose secret somebody has seen that still works, and who it was.",
            list,
        )
        .fails(&[Forbidden, NotFound]),
    ]
}

async fn list(session: Session, Query(query): Query<ExposureQuery>) -> Result<Listed<Exposure>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = match &query.customer {
        Some(slug) => {
            let id = session.open.customer_named(&customer(slug)?).await?;
            let _seen = session.permit::<AccessView>(&Resource::Customer(id)).await?;
            Some(id)
        }
        None => None,
    };
    let visible = |id: CustomerId| session.may::<AccessView>(&Resource::Customer(id));
    let principal = query.principal.as_deref();
    session.open.exposures(only, principal, &paging, &session.caller, visible).await.map(Listed)
}
