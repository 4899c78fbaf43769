//! `/v1/customers/{customer}/emergencies`: every standing secret of a customer is replaced, now.

use claviger_api::ProblemType::{FreshFactorNeeded, InUse, OutOfHours, Paused, WrongNetwork};
use claviger_api::wire::{Emergency, EmergencyPlan, NewEmergency, PageQuery, WithReason};
use claviger_core::policy::{AccountRotate, CheckoutRevoke, Resource, RotationView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Accepted, Json, Lines, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::EmergencyNumbered;
use super::on::OnCustomer;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/customers/{customer}/emergencies",
            "startEmergency",
            "Freeze a customer's check-outs, end the running ones, and replace every standing secret, tier by tier.",
            start,
        )
        .fails(&[InUse, FreshFactorNeeded, OutOfHours, Paused, WrongNetwork]),
        Endpoint::get(
            "/v1/customers/{customer}/emergencies",
            "listEmergencies",
            "A customer's, the newest first.",
            list,
        ),
        Endpoint::get(
            "/v1/customers/{customer}/emergency-plan",
            "planEmergency",
            "What an emergency rotation would do now. Nothing is changed.",
            plan,
        ),
        Endpoint::get(
            "/v1/customers/{customer}/emergencies/{emergency}",
            "showEmergency",
            "One emergency rotation, with its progress.",
            show,
        ),
        Endpoint::get(
            "/v1/customers/{customer}/emergencies/{emergency}/report",
            "reportEmergency",
            "What became of each account, signed, for the offline verifier.",
            report,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/emergencies/{emergency}/thaw",
            "thawEmergency",
            "Let check-outs go on before it is done. The rotation goes on.",
            thaw,
        )
        .fails(&[FreshFactorNeeded, OutOfHours, WrongNetwork]),
    ]
}

/// It rotates all accounts of the customer and ends all of its checkouts: whoever starts it may do both.
async fn start(
    session: Session,
    on: OnCustomer<AccountRotate>,
    Body(new): Body<NewEmergency>,
    once: Once,
) -> Result<Accepted<Emergency>> {
    let ends = session.permit::<CheckoutRevoke>(&Resource::Customer(on.id)).await?;
    let permits = (on.permit, ends);
    session.open.start_emergency(on.id, &new.reason, &once, &session.caller, permits).await.map(Accepted)
}

async fn list(
    session: Session,
    on: OnCustomer<RotationView>,
    Query(query): Query<PageQuery>,
) -> Result<Listed<Emergency>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.emergencies(on.id, &paging, on.permit).await.map(Listed)
}

async fn plan(session: Session, on: OnCustomer<RotationView>) -> Result<Json<EmergencyPlan>> {
    session.open.emergency_plan(on.id, on.permit).await.map(Json)
}

async fn show(
    session: Session,
    on: OnCustomer<RotationView>,
    EmergencyNumbered(id): EmergencyNumbered,
) -> Result<Json<Emergency>> {
    session.open.emergency(on.id, id, on.permit).await.map(Json)
}

async fn report(
    session: Session,
    on: OnCustomer<RotationView>,
    EmergencyNumbered(id): EmergencyNumbered,
) -> Result<Lines> {
    session.open.emergency_report(on.id, id, on.permit).await.map(Lines)
}

async fn thaw(
    session: Session,
    on: OnCustomer<AccountRotate>,
    EmergencyNumbered(id): EmergencyNumbered,
    Body(body): Body<WithReason>,
) -> Result<Json<Emergency>> {
    let ends = session.permit::<CheckoutRevoke>(&Resource::Customer(on.id)).await?;
    session.open.thaw(on.id, id, &body.reason, &session.caller, (on.permit, ends)).await.map(Json)
}
