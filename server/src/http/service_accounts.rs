//! `/v1/service-accounts`: programs.

use claviger_api::ProblemType::{AlreadyIssued, InUse, NameTaken};
use claviger_api::wire::{
    AddedServiceAccount, ChangeServiceAccount, NewServiceAccount, Principal, PrincipalKind, ReplaceToken,
    ServiceAccountQuery, ServiceToken,
};
use claviger_core::policy::{PrincipalManage, PrincipalView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::Named;
use super::on::OnOperator;
use super::query::Query;

const PROGRAM: PrincipalKind = PrincipalKind::ServiceAccount;
const ALL: &str = "/v1/service-accounts";
const ONE: &str = "/v1/service-accounts/{name}";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(ALL, "addServiceAccount", "Add a service account; its token, if any, is shown once.", add)
            .fails(&[AlreadyIssued, NameTaken]),
        Endpoint::get(
            ALL,
            "listServiceAccounts",
            "All service accounts, or those that may act at more than one customer.",
            list,
        ),
        Endpoint::get(ONE, "showServiceAccount", "One service account.", show),
        Endpoint::patch(
            ONE,
            "changeServiceAccount",
            "Change how a service account may log in, and from where it may act; every session ends.",
            change,
        ),
        Endpoint::delete(ONE, "removeServiceAccount", "Remove a service account; its token stops.", remove)
            .fails(&[InUse]),
        Endpoint::post(
            "/v1/service-accounts/{name}/actions/suspend",
            "suspendServiceAccount",
            "Let no login pass; end every session.",
            suspend,
        )
        .fails(&[InUse]),
        Endpoint::post(
            "/v1/service-accounts/{name}/actions/resume",
            "resumeServiceAccount",
            "Let a suspended service account work again.",
            resume,
        ),
        Endpoint::post(
            "/v1/service-accounts/{name}/actions/replace-token",
            "replaceToken",
            "Issue a new token, shown once; the old one stops at once.",
            replace_token,
        ),
    ]
}

async fn add(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Body(new): Body<NewServiceAccount>,
    once: Once,
) -> Result<Created<AddedServiceAccount>> {
    session.open.add_service_account(&new, &once, &session.caller, permit).await.map(Created)
}

async fn list(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Query(query): Query<ServiceAccountQuery>,
) -> Result<Listed<Principal>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let rows = match query.spanning {
        Some(spanning) => session.open.service_accounts_by_reach(spanning, &paging, permit).await,
        None => session.open.principals(PROGRAM, &paging, permit).await,
    };
    rows.map(Listed)
}

async fn show(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Named(name): Named,
) -> Result<Json<Principal>> {
    session.open.principal(&name, PROGRAM, permit).await.map(Json)
}

async fn change(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
    Body(change): Body<ChangeServiceAccount>,
) -> Result<Json<Principal>> {
    session.open.change_service_account(&name, &change, &session.caller, permit).await.map(Json)
}

async fn remove(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
) -> Result<NoContent> {
    session.open.remove_principal(&name, PROGRAM, &session.caller, permit).await?;
    Ok(NoContent)
}

async fn suspend(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
) -> Result<Json<Principal>> {
    session.open.suspend(&name, PROGRAM, true, &session.caller, permit).await.map(Json)
}

async fn resume(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
) -> Result<Json<Principal>> {
    session.open.suspend(&name, PROGRAM, false, &session.caller, permit).await.map(Json)
}

async fn replace_token(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
    Body(body): Body<ReplaceToken>,
) -> Result<Json<ServiceToken>> {
    session.open.replace_token(&name, body.token_ttl_seconds, &session.caller, permit).await.map(Json)
}
