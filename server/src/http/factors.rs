//! `/v1/auth/factors`, `/v1/auth/totp`, `/v1/auth/recovery-codes`: the caller's own second factors.

use claviger_api::ProblemType::{
    AlreadyIssued, Forbidden, FreshFactorNeeded, InUse, InvalidValue, NotFound, SecondFactorNeeded,
};
use claviger_api::wire::{ConfirmTotp, ConfirmedFactor, Factors, NewTotp, PendingTotp, RecoveryCodes};
use claviger_service::{Once, Result};

use super::answer::{Created, Json, NoContent};
use super::body::Body;
use super::door::{AnySession, Session};
use super::endpoint::Endpoint;
use super::named::FactorNamed;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/auth/factors", "listFactors", "The caller's own second factors.", list).fails(&[Forbidden]),
        Endpoint::delete(
            "/v1/auth/factors/{factor}",
            "removeFactor",
            "Remove a second factor; never the last.",
            remove,
        )
        .fails(&[Forbidden, FreshFactorNeeded, InUse]),
        Endpoint::post(
            "/v1/auth/totp",
            "offerTotp",
            "A secret for an authenticator app, shown once. It counts once a code of it is confirmed.",
            offer,
        )
        .fails(&[Forbidden, FreshFactorNeeded, InUse]),
        Endpoint::post(
            "/v1/auth/totp/confirm",
            "confirmTotp",
            "The first code of the app. With the first factor come the recovery codes, shown once.",
            confirm,
        )
        .fails(&[Forbidden, FreshFactorNeeded, NotFound, AlreadyIssued, InvalidValue]),
        Endpoint::post(
            "/v1/auth/recovery-codes",
            "makeRecoveryCodes",
            "New recovery codes, shown once; those before are good for nothing.",
            recovery_codes,
        )
        .fails(&[Forbidden, FreshFactorNeeded, SecondFactorNeeded, AlreadyIssued]),
    ]
}

async fn list(session: AnySession) -> Result<Json<Factors>> {
    session.open.factors(&session.caller).await.map(Json)
}

async fn remove(session: Session, FactorNamed(id): FactorNamed) -> Result<NoContent> {
    session.open.remove_factor(id, &session.caller).await?;
    Ok(NoContent)
}

async fn offer(session: AnySession, Body(new): Body<NewTotp>) -> Result<Created<PendingTotp>> {
    session.open.offer_totp(&new, &session.caller).await.map(Created)
}

async fn confirm(session: AnySession, Body(body): Body<ConfirmTotp>, once: Once) -> Result<Json<ConfirmedFactor>> {
    session.open.confirm_totp(body.code.secret(), &once, &session.caller).await.map(Json)
}

async fn recovery_codes(session: Session, once: Once) -> Result<Created<RecoveryCodes>> {
    session.open.new_recovery_codes(&once, &session.caller).await.map(Created)
}
