//! `/v1/access`.

use claviger_api::ProblemType::{Forbidden, InvalidValue, NotFound};
use claviger_api::wire::{AccessQuery, AccountAccess, ExplainQuery, Explained, WhatIf, WhatIfAnswer};
use claviger_service::{Error, Result};

use super::answer::Json;
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/access", "showAccess", "Who can check an account out, and by which grants.", show)
            .fails(&[Forbidden, NotFound]),
        Endpoint::get(
            "/v1/access/explain",
            "explainAccess",
            "Whether somebody may do something somewhere, and why or why not.",
            explain,
        )
        .fails(&[Forbidden, NotFound]),
        Endpoint::post(
            "/v1/access/what-if",
            "testChange",
            "Which decisions of the last days would have come out differently under a change of grants or limits. Nothing \
             is changed.",
            what_if,
        )
        .fails(&[Forbidden, InvalidValue, NotFound]),
    ]
}

async fn show(session: Session, Query(query): Query<AccessQuery>) -> Result<Json<AccountAccess>> {
    let wrong = |error: claviger_api::name::BadName| Error::value("account", error.to_string());
    let path = query.account.parse().map_err(wrong)?;
    session.open.account_access(&path, &session.caller).await.map(Json)
}

async fn explain(session: Session, Query(query): Query<ExplainQuery>) -> Result<Json<Explained>> {
    session.open.explain_access(&query, &session.caller).await.map(Json)
}

/// What may be asked about depends on the change: the service decides.
async fn what_if(session: Session, Body(asked): Body<WhatIf>) -> Result<Json<WhatIfAnswer>> {
    session.open.what_if(&asked, &session.caller).await.map(Json)
}
