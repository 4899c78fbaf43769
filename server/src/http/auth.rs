//! `/v1/auth` and `/v1/me`: sessions.

use claviger_api::ProblemType::{Conflict, InvalidCredentials, NotInitialised, Sealed, SessionEnded};
use claviger_api::wire::{EnrolRequest, LoginRequest, Me, RefreshRequest, Tokens};
use claviger_service::Result;

use super::answer::{Json, NoContent};
use super::body::Body;
use super::door::{Guest, Login, Session};
use super::endpoint::Endpoint;
use super::sys::TheVault;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/auth/login",
            "logIn",
            "Open a session: a user by password; a service account by token, client certificate or an issuer's JWT.",
            login,
        )
        .fails(&[InvalidCredentials, Sealed, NotInitialised]),
        Endpoint::post("/v1/auth/enrol", "enrol", "A user's first login: it sets the password.", enrol).fails(&[
            InvalidCredentials,
            Sealed,
            NotInitialised,
        ]),
        Endpoint::post("/v1/auth/refresh", "refresh", "Renew a session; each refresh token is good once.", refresh)
            .fails(&[SessionEnded, Sealed, NotInitialised]),
        Endpoint::post("/v1/auth/logout", "logOut", "End the session.", logout).fails(&[Conflict]),
        Endpoint::get("/v1/me", "me", "Who the caller is, and what it may do.", me),
    ]
}

async fn login(guest: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<LoginRequest>) -> Result<Json<Tokens>> {
    let open = vault.open()?;
    let tokens = match &body {
        LoginRequest::Password { name, password } => {
            open.login_user(name, password.secret(), guest.origin.source).await
        }
        LoginRequest::Token { token } => open.login_by_token(token.secret(), &guest.origin).await,
        LoginRequest::Jwt { name, jwt } => open.login_by_jwt(name, jwt.secret(), &guest.origin).await,
        LoginRequest::Certificate { name } => open.login_by_certificate(name, &guest.origin).await,
    };
    tokens.map(Json)
}

async fn enrol(guest: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<EnrolRequest>) -> Result<Json<Tokens>> {
    let password = body.password.into_secret();
    vault.open()?.enrol(&body.name, body.enrolment.secret(), password, guest.origin.source).await.map(Json)
}

async fn refresh(_: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<RefreshRequest>) -> Result<Json<Tokens>> {
    vault.open()?.refresh(body.refresh_token.secret()).await.map(Json)
}

async fn logout(session: Session) -> Result<NoContent> {
    session.open.logout(&session.caller).await?;
    Ok(NoContent)
}

async fn me(session: Session) -> Result<Json<Me>> {
    session.open.me(&session.caller).await.map(Json)
}
