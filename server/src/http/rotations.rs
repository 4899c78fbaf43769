//! `/v1/rotations`.

use claviger_api::ProblemType::{
    AccountHeld, AccountUnavailable, Forbidden, FreshFactorNeeded, InUse, NotFound, NothingStored, OutOfHours,
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
        Endpoint::post("/v1/rotations", "startRotations", "Rotate one account, or a customer's free ones.", start)
            .fails(&[
                AccountHeld,
                AccountUnavailable,
                Forbidden,
                FreshFactorNeeded,
                InUse,
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
        (Some(account), None) => {
            let place = session.open.place(account).await?;
            let permit = session.permit::<AccountRotate>(&place.resource()).await?;
            let rotation = session.open.rotate(place, reason, &once, &session.caller, permit).await?;
            RotationsStarted { rotations: vec![rotation], skipped: Vec::new() }
        }
        (None, Some(slug)) => {
            let id = session.open.customer_named(slug).await?;
            let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
            let permit = async |place: Place| {
                session.open.permit_untold::<AccountRotate>(&session.caller, &place.resource()).await.ok()
            };
            session.open.rotate_customer(id, reason, &once, &session.caller, permit).await?
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Error::value("account", "exactly one of account and customer"));
        }
    };
    Ok(Accepted(started))
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
