//! `/v1/customers/{customer}/kits`: what opens a customer's systems when there is no vault any more.

use claviger_api::ProblemType::{FreshFactorNeeded, InUse, KitUnavailable, KitsOff, OutOfHours, Paused, WrongNetwork};
use claviger_api::wire::{Kit, PageQuery, WithReason};
use claviger_core::policy::{AccountRotate, CheckoutRevoke, KitCreate, KitView, Resource};
use claviger_service::{Once, Paging, Result};

use super::answer::{Accepted, File, Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::KitNumbered;
use super::on::OnCustomer;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/customers/{customer}/kits",
            "createKit",
            "Have an emergency kit of a customer made, beside all else.",
            create,
        )
        .fails(&[KitsOff, Paused]),
        Endpoint::get("/v1/customers/{customer}/kits", "listKits", "A customer's kits, the newest first.", list),
        Endpoint::get("/v1/customers/{customer}/kits/{kit}", "showKit", "One kit.", show),
        Endpoint::get(
            "/v1/customers/{customer}/kits/{kit}/file",
            "downloadKit",
            "The file of a kit, encrypted: its recipients open it together.",
            download,
        )
        .fails(&[KitUnavailable]),
        Endpoint::post(
            "/v1/customers/{customer}/kits/{kit}/opened",
            "openedKit",
            "Say that a kit was opened: every standing secret of the customer is replaced. Said again, it is the same.",
            opened,
        )
        .fails(&[InUse, FreshFactorNeeded, OutOfHours, Paused, WrongNetwork]),
    ]
}

async fn create(session: Session, on: OnCustomer<KitCreate>, once: Once) -> Result<Accepted<Kit>> {
    session.open.ask_for_kit(on.id, &once, &session.caller, on.permit).await.map(Accepted)
}

async fn list(session: Session, on: OnCustomer<KitView>, Query(query): Query<PageQuery>) -> Result<Listed<Kit>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.kits(on.id, &paging, on.permit).await.map(Listed)
}

async fn show(session: Session, on: OnCustomer<KitView>, KitNumbered(id): KitNumbered) -> Result<Json<Kit>> {
    session.open.kit(on.id, id, on.permit).await.map(Json)
}

async fn download(session: Session, on: OnCustomer<KitView>, KitNumbered(id): KitNumbered) -> Result<File> {
    session.open.kit_file(on.id, id, &session.caller, on.permit).await.map(File)
}

/// It rotates all accounts of the customer and ends all of its checkouts: whoever says so may do both.
async fn opened(
    session: Session,
    on: OnCustomer<AccountRotate>,
    KitNumbered(id): KitNumbered,
    Body(body): Body<WithReason>,
    once: Once,
) -> Result<Accepted<Kit>> {
    let ends = session.permit::<CheckoutRevoke>(&Resource::Customer(on.id)).await?;
    let permits = (on.permit, ends);
    session.open.kit_was_opened(on.id, id, &body.reason, &once, &session.caller, permits).await.map(Accepted)
}
