//! `/v1/grants`.

use claviger_api::ProblemType::{Forbidden, FreshFactorNeeded, NotFound};
use claviger_api::wire::{Grant, GrantQuery, NewGrant, RenewGrant};
use claviger_core::policy::{GrantRevoke, GrantView};
use claviger_service::{Error, Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::Numbered;
use super::on::OnOperator;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v1/grants", "makeGrant", "Grant a role to somebody else, within one's own may_grant.", make)
            .fails(&[Forbidden, FreshFactorNeeded, NotFound]),
        Endpoint::get("/v1/grants", "listGrants", "Grants, of one principal or of all.", list).fails(&[NotFound]),
        Endpoint::get("/v1/grants/{grant}", "showGrant", "One grant.", show),
        Endpoint::post(
            "/v1/grants/{grant}/actions/renew",
            "renewGrant",
            "Give a grant a new end, within one's own may_grant.",
            renew,
        )
        .fails(&[Forbidden, FreshFactorNeeded, NotFound]),
        Endpoint::delete("/v1/grants/{grant}", "revokeGrant", "End a grant at once.", revoke),
    ]
}

/// Whether the caller may depends on what is granted: the service decides.
async fn make(session: Session, Body(new): Body<NewGrant>, once: Once) -> Result<Created<Grant>> {
    session.open.make_grant(&new, &once, &session.caller).await.map(Created)
}

async fn list(
    session: Session,
    OnOperator(permit): OnOperator<GrantView>,
    Query(query): Query<GrantQuery>,
) -> Result<Listed<Grant>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let wrong = |error: claviger_api::name::BadName| Error::value("principal", error.to_string());
    let principal = query.principal.map(|name| name.parse().map_err(wrong)).transpose()?;
    session.open.grants(principal.as_ref(), &paging, permit).await.map(Listed)
}

async fn show(
    session: Session,
    OnOperator(permit): OnOperator<GrantView>,
    Numbered(id): Numbered,
) -> Result<Json<Grant>> {
    session.open.grant(id, permit).await.map(Json)
}

/// As for making one, the service decides.
async fn renew(
    session: Session,
    Numbered(id): Numbered,
    Body(body): Body<RenewGrant>,
    once: Once,
) -> Result<Json<Grant>> {
    session.open.renew_grant(id, body.ttl_seconds, &once, &session.caller).await.map(Json)
}

async fn revoke(
    session: Session,
    OnOperator(permit): OnOperator<GrantRevoke>,
    Numbered(id): Numbered,
) -> Result<NoContent> {
    session.open.revoke_grant(id, &session.caller, permit).await?;
    Ok(NoContent)
}
