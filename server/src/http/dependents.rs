//! `…/accounts/{account}/dependents`: who depends on an account's secret.

use claviger_api::ProblemType::NothingStored;
use claviger_api::wire::{Dependents, DependentsChange, SkipDependent};
use claviger_core::policy::{AccountUpdate, AccountView};
use claviger_service::Result;

use super::answer::Json;
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnAccount;

const ALL: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/dependents";
const UPDATE: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/dependents/actions/update";
const SKIP: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/dependents/actions/skip";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(ALL, "showDependents", "Who depends on an account's secret, and how far they are.", show),
        Endpoint::patch(ALL, "setDependents", "Say who depends on an account's secret, in their order.", set),
        Endpoint::post(
            UPDATE,
            "updateDependents",
            "Try those who are behind now; bring all up to date anew, where nobody is.",
            update,
        )
        .fails(&[NothingStored]),
        Endpoint::post(SKIP, "skipDependent", "Pass a dependent over that waits: it may keep an old secret.", skip),
    ]
}

async fn show(session: Session, on: OnAccount<AccountView>) -> Result<Json<Dependents>> {
    session.open.dependents(on.place, on.permit).await.map(Json)
}

async fn set(
    session: Session,
    on: OnAccount<AccountUpdate>,
    Body(change): Body<DependentsChange>,
) -> Result<Json<Dependents>> {
    session.open.set_dependents(on.place, &change.dependents, &session.caller, on.permit).await.map(Json)
}

async fn update(session: Session, on: OnAccount<AccountUpdate>) -> Result<Json<Dependents>> {
    session.open.hurry_dependents(on.place, &session.caller, on.permit).await.map(Json)
}

async fn skip(
    session: Session,
    on: OnAccount<AccountUpdate>,
    Body(skip): Body<SkipDependent>,
) -> Result<Json<Dependents>> {
    session.open.skip_dependent(on.place, &skip, &session.caller, on.permit).await.map(Json)
}
