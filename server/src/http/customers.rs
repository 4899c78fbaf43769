//! `/v1/customers`.

use claviger_api::ProblemType::{InUse, NameTaken, NotFound};
use claviger_api::wire::{Customer, CustomerChange, CustomerLimits, ImportRequest, Imported, NewCustomer, PageQuery};
use claviger_core::policy::{
    AccountCreate, CustomerCreate, CustomerLimit, CustomerRemove, CustomerUpdate, CustomerView,
};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::{OnCustomer, OnOperator};
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/v1/customers", "addCustomer", "Add a customer, with keys and a log of its own.", add)
            .fails(&[NameTaken, NotFound]),
        Endpoint::get("/v1/customers", "listCustomers", "The customers that the caller may know of.", list),
        Endpoint::get("/v1/customers/{customer}", "showCustomer", "One customer.", show),
        Endpoint::patch(
            "/v1/customers/{customer}",
            "changeCustomer",
            "Change a customer; what is absent stays.",
            change,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/actions/limit",
            "limitCustomer",
            "Set what the customer wants of everybody who works there, in place of what it wanted before. For the customer's \
             own administrator.",
            limit,
        ),
        Endpoint::delete("/v1/customers/{customer}", "removeCustomer", "Remove a customer without systems.", remove)
            .fails(&[InUse]),
        Endpoint::post(
            "/v1/customers/{customer}/imports",
            "importAccounts",
            "Add many standing accounts with their present secrets: all of them, or none.",
            import,
        )
        .fails(&[NameTaken]),
    ]
}

async fn add(
    session: Session,
    OnOperator(permit): OnOperator<CustomerCreate>,
    Body(new): Body<NewCustomer>,
    once: Once,
) -> Result<Created<Customer>> {
    session.open.add_customer(&new, &once, &session.caller, permit).await.map(Created)
}

async fn list(session: Session, Query(page): Query<PageQuery>) -> Result<Listed<Customer>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    session.open.customers(&paging, &session.caller).await.map(Listed)
}

async fn show(session: Session, on: OnCustomer<CustomerView>) -> Result<Json<Customer>> {
    session.open.customer(on.id, on.permit).await.map(Json)
}

async fn change(
    session: Session,
    on: OnCustomer<CustomerUpdate>,
    Body(change): Body<CustomerChange>,
) -> Result<Json<Customer>> {
    session.open.change_customer(on.id, &change, &session.caller, on.permit).await.map(Json)
}

async fn limit(
    session: Session,
    on: OnCustomer<CustomerLimit>,
    Body(limits): Body<CustomerLimits>,
) -> Result<Json<Customer>> {
    session.open.limit_customer(on.id, &limits, &session.caller, on.permit).await.map(Json)
}

async fn remove(session: Session, on: OnCustomer<CustomerRemove>) -> Result<NoContent> {
    session.open.remove_customer(on.id, &session.caller, on.permit).await?;
    Ok(NoContent)
}

async fn import(
    session: Session,
    on: OnCustomer<AccountCreate>,
    Body(rows): Body<ImportRequest>,
    once: Once,
) -> Result<Json<Imported>> {
    session.open.import(on.id, &rows, &once, &session.caller, on.permit).await.map(Json)
}
