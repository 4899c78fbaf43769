//! `/v1/rotations`.

use claviger_api::Part;
use claviger_api::ProblemType::{
    AccountHeld, AccountUnavailable, Forbidden, FreshFactorNeeded, InUse, NotFound, NothingStored, OutOfHours, Paused,
    RotationRunning, WrongNetwork,
};
use claviger_api::wire::{NewRotation, Rotation, RotationQuery, RotationsStarted};
use claviger_core::policy::{AccountRotate, CustomerView, Resource, RotationCancel, RotationView};
use claviger_service::{Error, Once, Paging, Place, Result};

use super::answer::{Accepted, Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnRotation;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/rotations",
            "startRotations",
            "Rotate one account, a customer's free ones, or what somebody has seen.",
            start,
        )
        .fails(&[
            AccountHeld,
            AccountUnavailable,
            Forbidden,
            FreshFactorNeeded,
            InUse,
            Paused,
            NotFound,
            NothingStored,
            OutOfHours,
            RotationRunning,
            WrongNetwork,
        ]),
        Endpoint::get("/v1/rotations", "listRotations", "A customer's rotations, the newest first.", list)
            .fails(&[Forbidden, NotFound]),
        Endpoint::get("/v1/rotations/{rotation}", "showRotation", "One rotation, with its progress.", show),
        Endpoint::post(
            "/v1/rotations/{rotation}/cancel",
            "cancelRotation",
            "Give up a rotation of which no system was told. Nothing is erased.",
            cancel,
        )
        .fails(&[RotationRunning, InUse]),
    ]
}

async fn start(session: Session, Body(new): Body<NewRotation>, once: Once) -> Result<Accepted<RotationsStarted>> {
    let reason = new.reason.as_deref();
    let started = match (&new.account, &new.customer) {
        (Some(account), None) if new.exposed_to.is_none() => {
            let place = session.open.place(account).await?;
            let permit = session.permit::<AccountRotate>(&place.resource()).await?;
            let rotation = session.open.rotate(place, reason, &once, &session.caller, permit).await?;
            RotationsStarted { rotations: vec![rotation], skipped: Vec::new() }
        }
        (None, None) if new.exposed_to.is_some() => exposed(&session, &new, None, &once).await?,
        (None, Some(slug)) if new.exposed_to.is_some() => exposed(&session, &new, Some(slug), &once).await?,
        (None, Some(slug)) => {
            let id = session.open.customer_named(slug).await?;
            let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
            let permit = async |place: Place| {
                session.open.permit_untold::<AccountRotate>(&session.caller, &place.resource()).await.ok()
            };
            session.open.rotate_customer(id, reason, &once, &session.caller, permit).await?
        }
        (Some(_), Some(_) | None) | (None, None) => {
            return Err(Error::value("account", "exactly one of account, customer and exposed_to"));
        }
    };
    Ok(Accepted(started))
}

/// What somebody has seen, of one customer or of every one where the caller may rotate.
async fn exposed(
    session: &Session,
    new: &NewRotation,
    customer: Option<&Part>,
    once: &Once,
) -> Result<RotationsStarted> {
    let only = match customer {
        Some(slug) => {
            let id = session.open.customer_named(slug).await?;
            let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
            Some(id)
        }
        None => None,
    };
    let permit =
        async |place: Place| session.open.permit_untold::<AccountRotate>(&session.caller, &place.resource()).await.ok();
    let to = new.exposed_to.as_deref().unwrap_or_default();
    session.open.rotate_exposed(to, only, new.reason.as_deref(), once, &session.caller, permit).await
}

async fn list(session: Session, Query(query): Query<RotationQuery>) -> Result<Listed<Rotation>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let id = session.open.customer_named(&customer(&query.customer)?).await?;
    let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
    let visible = |account: &Resource| session.may::<RotationView>(account);
    session.open.rotations(id, query.unfinished, &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnRotation<RotationView>) -> Result<Json<Rotation>> {
    session.open.rotation(&on.found, on.permit).await.map(Json)
}

async fn cancel(session: Session, on: OnRotation<RotationCancel>) -> Result<Json<Rotation>> {
    session.open.cancel_rotation(&on.found, &session.caller, on.permit).await.map(Json)
}
