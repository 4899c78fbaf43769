//! `/v1/customers/{customer}/systems`.

use claviger_api::ProblemType::{InUse, NameTaken};
use claviger_api::wire::{NewSystem, PageQuery, RevokedCertificates, System, SystemChange};
use claviger_core::policy::{CustomerView, Resource, SystemCreate, SystemRemove, SystemUpdate, SystemView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::{OnCustomer, OnSystem};
use super::query::Query;

const ALL: &str = "/v1/customers/{customer}/systems";
const ONE: &str = "/v1/customers/{customer}/systems/{system}";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(ALL, "addSystem", "Add a system. Nothing is sent to it yet.", add).fails(&[NameTaken]),
        Endpoint::get(ALL, "listSystems", "A customer's systems.", list),
        Endpoint::get(ONE, "showSystem", "One system.", show),
        Endpoint::patch(ONE, "changeSystem", "Change a system; what is absent stays.", change),
        Endpoint::get(
            "/v1/customers/{customer}/systems/{system}/revoked-certificates",
            "showRevokedCertificates",
            "The certificates of a Linux host whose checkouts ended early, for its sshd's RevokedKeys.",
            revoked,
        ),
        Endpoint::delete(ONE, "removeSystem", "Remove a system without accounts.", remove).fails(&[InUse]),
    ]
}

async fn add(
    session: Session,
    on: OnCustomer<SystemCreate>,
    Body(new): Body<NewSystem>,
    once: Once,
) -> Result<Created<System>> {
    session.open.add_system(on.id, &new, &once, &session.caller, on.permit).await.map(Created)
}

async fn list(session: Session, on: OnCustomer<CustomerView>, Query(page): Query<PageQuery>) -> Result<Listed<System>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    let visible = |system| session.may::<SystemView>(&Resource::System(on.id, system));
    session.open.systems(on.id, &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnSystem<SystemView>) -> Result<Json<System>> {
    session.open.system(on.customer, on.id, on.permit).await.map(Json)
}

async fn change(
    session: Session,
    on: OnSystem<SystemUpdate>,
    Body(change): Body<SystemChange>,
) -> Result<Json<System>> {
    session.open.change_system(on.customer, on.id, &change, &session.caller, on.permit).await.map(Json)
}

async fn revoked(session: Session, on: OnSystem<SystemView>) -> Result<Json<RevokedCertificates>> {
    session.open.revoked_certificates(on.customer, on.id, on.permit).await.map(Json)
}

async fn remove(session: Session, on: OnSystem<SystemRemove>) -> Result<NoContent> {
    session.open.remove_system(on.customer, on.id, &session.caller, on.permit).await?;
    Ok(NoContent)
}
