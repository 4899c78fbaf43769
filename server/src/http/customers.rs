//! `/v1/customers`.

use claviger_api::ProblemType::{InUse, KitUnavailable, KitsOff, NameTaken, NotFound};
use claviger_api::wire::{
    Customer, CustomerChange, CustomerLimits, ImportRequest, Imported, LockCustomer, NewCustomer, OffboardCustomer,
    Offboarding, PageQuery, WithReason,
};
use claviger_core::policy::{
    AccountCreate, CustomerCreate, CustomerLimit, CustomerLock, CustomerOffboard, CustomerRemove, CustomerUnlock,
    CustomerUpdate, CustomerView, SysStatus,
};
use claviger_service::{Once, Paging, Result};

use super::answer::{Accepted, Created, File, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::FormerCustomer;
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
        Endpoint::post(
            "/v1/customers/{customer}/actions/lock",
            "lockCustomer",
            "End what is checked out at a customer, rotate it, and drop the customer's key from memory.",
            lock,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/actions/unlock",
            "unlockCustomer",
            "Take a locked customer's key into memory again; what fell due meanwhile is done first.",
            unlock,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/actions/offboard",
            "offboardCustomer",
            "Destroy a locked customer's key, and remove all that it opened. Nobody gets it back.",
            offboard,
        )
        .fails(&[InUse, KitsOff]),
        Endpoint::get(
            "/v1/offboardings",
            "listOffboardings",
            "Customers that were offboarded, the last first.",
            offboardings,
        ),
        Endpoint::get(
            "/v1/offboardings/{former}",
            "showOffboarding",
            "One of them, by the customer's id, with its signed receipt.",
            offboarding,
        ),
        Endpoint::get(
            "/v1/offboardings/{former}/hand-over",
            "downloadHandOver",
            "The file that was handed over, encrypted: each of the customer's recipients opens it.",
            hand_over,
        )
        .fails(&[KitUnavailable]),
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

async fn lock(
    session: Session,
    on: OnCustomer<CustomerLock>,
    Body(lock): Body<LockCustomer>,
) -> Result<Accepted<Customer>> {
    session.open.lock_customer(on.id, &lock, &session.caller, on.permit).await.map(Accepted)
}

async fn unlock(
    session: Session,
    on: OnCustomer<CustomerUnlock>,
    Body(why): Body<WithReason>,
) -> Result<Json<Customer>> {
    session.open.unlock_customer(on.id, &why.reason, &session.caller, on.permit).await.map(Json)
}

async fn offboard(
    session: Session,
    on: OnCustomer<CustomerOffboard>,
    Body(offboard): Body<OffboardCustomer>,
) -> Result<Accepted<Customer>> {
    session.open.offboard_customer(on.id, &offboard, &session.caller, on.permit).await.map(Accepted)
}

async fn offboardings(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    Query(page): Query<PageQuery>,
) -> Result<Listed<Offboarding>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    session.open.offboardings(&paging, permit).await.map(Listed)
}

async fn offboarding(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    FormerCustomer(id): FormerCustomer,
) -> Result<Json<Offboarding>> {
    session.open.offboarding(id, permit).await.map(Json)
}

async fn hand_over(
    session: Session,
    OnOperator(permit): OnOperator<SysStatus>,
    FormerCustomer(id): FormerCustomer,
) -> Result<File> {
    session.open.hand_over_file(id, &session.caller, permit).await.map(File)
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
