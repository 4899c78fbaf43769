//! `/v1/issuers`: who may vouch for programs.

use claviger_api::ProblemType::{InUse, NameTaken};
use claviger_api::wire::{ChangeIssuer, Issuer, NewIssuer, PageQuery};
use claviger_core::policy::{PrincipalManage, PrincipalView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::Trusted;
use super::on::OnOperator;
use super::query::Query;

const ALL: &str = "/v1/issuers";
const ONE: &str = "/v1/issuers/{issuer}";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(ALL, "addIssuer", "Trust an issuer of tokens that vouch for programs.", add).fails(&[NameTaken]),
        Endpoint::get(ALL, "listIssuers", "All issuers that are trusted.", list),
        Endpoint::get(ONE, "showIssuer", "One issuer.", show),
        Endpoint::patch(ONE, "changeIssuer", "Take an issuer's keys from elsewhere.", change),
        Endpoint::delete(ONE, "removeIssuer", "Trust an issuer no more.", remove).fails(&[InUse]),
    ]
}

async fn add(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Body(new): Body<NewIssuer>,
    once: Once,
) -> Result<Created<Issuer>> {
    session.open.add_issuer(&new, &once, &session.caller, permit).await.map(Created)
}

async fn list(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Query(page): Query<PageQuery>,
) -> Result<Listed<Issuer>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    session.open.issuers(&paging, permit).await.map(Listed)
}

async fn show(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Trusted(name): Trusted,
) -> Result<Json<Issuer>> {
    session.open.issuer(&name, permit).await.map(Json)
}

async fn change(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Trusted(name): Trusted,
    Body(change): Body<ChangeIssuer>,
) -> Result<Json<Issuer>> {
    session.open.change_issuer(&name, &change, &session.caller, permit).await.map(Json)
}

async fn remove(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Trusted(name): Trusted,
) -> Result<NoContent> {
    session.open.remove_issuer(&name, &session.caller, permit).await?;
    Ok(NoContent)
}
