//! `/v1/auth` and `/v1/me`: sessions. A user's own second factors are `factors.rs`.

use claviger_api::ProblemType::{
    Conflict, Forbidden, FreshFactorNeeded, InvalidCredentials, NotFound, NotInitialised, Sealed, SecondFactorNeeded,
    SessionEnded,
};
use claviger_api::wire::{
    ChangePassword, EnrolRequest, LoginAnswer, LoginRequest, Me, MfaRequest, RefreshRequest, SecondFactor, SteppedUp,
    Tokens,
};
use claviger_service::{Once, Result};

use super::answer::{Json, NoContent};
use super::body::Body;
use super::door::{AnySession, Guest, Login, Session};
use super::endpoint::Endpoint;
use super::sys::TheVault;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/auth/login",
            "logIn",
            "Open a session by a service account's token, client certificate or issuer's JWT; or by a user's password, and \
             then a second factor.",
            login,
        )
        .fails(&[InvalidCredentials, Sealed, NotInitialised]),
        Endpoint::post("/v1/auth/mfa", "proveSecondFactor", "A user's second factor opens the session.", mfa).fails(&[
            InvalidCredentials,
            Sealed,
            NotInitialised,
        ]),
        Endpoint::post("/v1/auth/step-up", "stepUp", "Prove the second factor again: it is fresh then.", step_up)
            .fails(&[InvalidCredentials, SecondFactorNeeded, Forbidden]),
        Endpoint::post(
            "/v1/auth/enrol",
            "enrol",
            "A user's first login: it sets the password. The session may do nothing but enrol a second factor.",
            enrol,
        )
        .fails(&[InvalidCredentials, Sealed, NotInitialised]),
        Endpoint::post("/v1/auth/refresh", "refresh", "Renew a session; each refresh token is good once.", refresh)
            .fails(&[SessionEnded, Sealed, NotInitialised]),
        Endpoint::post(
            "/v1/auth/password",
            "changePassword",
            "Change the own password; every other session ends.",
            change_password,
        )
        .fails(&[InvalidCredentials, Forbidden, FreshFactorNeeded]),
        Endpoint::post(
            "/v1/auth/re-enrolment/cancel",
            "cancelOwnReEnrolment",
            "Call off the re-enrolment of oneself that waits for another administrator's yes.",
            cancel_own_re_enrol,
        )
        .fails(&[Forbidden, NotFound]),
        Endpoint::post("/v1/auth/logout", "logOut", "End the session.", logout).fails(&[Conflict]),
        Endpoint::get("/v1/me", "me", "Who the caller is, and what it may do.", me),
    ]
}

async fn login(
    guest: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<LoginRequest>,
) -> Result<Json<LoginAnswer>> {
    let open = vault.open()?;
    let answer = match &body {
        LoginRequest::Password { name, password } => {
            open.login_user(name, password.secret(), guest.origin.source).await?
        }
        LoginRequest::Token { token } => {
            LoginAnswer::Session(open.login_by_token(token.secret(), &guest.origin).await?)
        }
        LoginRequest::Certificate { name } => {
            LoginAnswer::Session(open.login_by_certificate(name, &guest.origin).await?)
        }
        LoginRequest::Jwt { name, jwt } => {
            LoginAnswer::Session(open.login_by_jwt(name, jwt.secret(), &guest.origin).await?)
        }
    };
    Ok(Json(answer))
}

async fn mfa(guest: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<MfaRequest>) -> Result<Json<Tokens>> {
    let MfaRequest { challenge, second_factor } = body;
    vault.open()?.login_second_factor(challenge.secret(), &second_factor, guest.origin.source).await.map(Json)
}

async fn step_up(session: AnySession, Body(proof): Body<SecondFactor>) -> Result<Json<SteppedUp>> {
    session.open.step_up(&proof, &session.caller).await.map(Json)
}

async fn enrol(guest: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<EnrolRequest>) -> Result<Json<Tokens>> {
    vault.open()?.enrol(body, guest.origin.source).await.map(Json)
}

async fn refresh(_: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<RefreshRequest>) -> Result<Json<Tokens>> {
    vault.open()?.refresh(body.refresh_token.secret()).await.map(Json)
}

async fn change_password(session: Session, Body(body): Body<ChangePassword>) -> Result<NoContent> {
    session.open.change_password(body, &session.caller).await?;
    Ok(NoContent)
}

async fn cancel_own_re_enrol(session: Session, once: Once) -> Result<NoContent> {
    session.open.cancel_own_re_enrol(&once, &session.caller).await?;
    Ok(NoContent)
}

async fn logout(session: AnySession) -> Result<NoContent> {
    session.open.logout(&session.caller).await?;
    Ok(NoContent)
}

async fn me(session: AnySession) -> Result<Json<Me>> {
    session.open.me(&session.caller).await.map(Json)
}
