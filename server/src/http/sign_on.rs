//! `/v1/auth/oidc`: single sign-on. Two of these are for browsers, which carry what they are given in a cookie that no
//! other browser, and no page of another site, can have set or read.

use actix_web::http::header::COOKIE;
use claviger_api::ProblemType::{
    Forbidden, FreshFactorNeeded, InUse, InvalidCredentials, NotFound, NotInitialised, Sealed, SignOnFailed,
    SignOnNotLinked,
};
use claviger_api::Secret;
use claviger_api::wire::{
    BeginDevice, BeginSignOn, DevicePoll, DeviceSignOn, LoginAnswer, PollDevice, Principal, SIGN_ON_TTL_SECONDS,
    SignOnCallback, SignOnEnrol, SignOnLink, SignOnLogin, Tokens,
};
use claviger_service::Result;
use claviger_service::identity::sso::Begun;
use zeroize::Zeroizing;

use super::answer::{Json, SeeOther};
use super::body::Body;
use super::call::Call;
use super::describe::Description;
use super::door::{Guest, Login, Session};
use super::endpoint::{Argument, Endpoint};
use super::query::Query;
use super::sys::TheVault;

/// The prefix binds it to this very host, over HTTPS (RFC 6265bis §4.1.3.2).
const NAME: &str = "__Host-claviger-sign-on";
/// Sent when the provider's page leads back here, and with no other request of another site.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/auth/oidc/begin", "beginSignOn", "For a browser: on to the identity provider.", begin)
            .fails(&[NotFound, SignOnFailed, Sealed, NotInitialised]),
        Endpoint::get(
            "/v1/auth/oidc/callback",
            "endSignOn",
            "For a browser: back from the identity provider, on to whoever began the sign-on.",
            callback,
        )
        .fails(&[SignOnFailed, Sealed, NotInitialised]),
        Endpoint::post(
            "/v1/auth/oidc/login",
            "logInBySignOn",
            "What came of a sign-on opens a session, or asks for the second factor first.",
            login,
        )
        .fails(&[NotFound, SignOnFailed, SignOnNotLinked, Sealed, NotInitialised]),
        Endpoint::post(
            "/v1/auth/oidc/enrol",
            "enrolBySignOn",
            "A user's first login by a sign-on instead of a password: links the two.",
            enrol,
        )
        .fails(&[InvalidCredentials, NotFound, InUse, SignOnFailed, Sealed, NotInitialised]),
        Endpoint::post(
            "/v1/auth/oidc/link",
            "linkSignOn",
            "Link the own user to what came of a sign-on, by an administrator's invitation.",
            link,
        )
        .fails(&[InvalidCredentials, NotFound, InUse, SignOnFailed, Forbidden, FreshFactorNeeded]),
        Endpoint::post(
            "/v1/auth/oidc/device",
            "beginDeviceSignOn",
            "Begin a sign-on by device code, for a machine without a browser.",
            device,
        )
        .fails(&[NotFound, SignOnFailed, Sealed, NotInitialised]),
        Endpoint::post("/v1/auth/oidc/device/poll", "pollDeviceSignOn", "How far a sign-on by device code is.", poll)
            .fails(&[NotFound, SignOnFailed, Sealed, NotInitialised]),
    ]
}

async fn begin(_: Guest<Login>, TheVault(vault): TheVault, Query(begin): Query<BeginSignOn>) -> Result<SeeOther> {
    let Begun { location, flow } = vault.open()?.begin_sign_on(&begin).await?;
    Ok(SeeOther { location, cookie: cookie(flow.expose(), SIGN_ON_TTL_SECONDS) })
}

async fn callback(
    _: Guest<Login>,
    TheVault(vault): TheVault,
    Query(callback): Query<SignOnCallback>,
    Carries(flow): Carries,
) -> Result<SeeOther> {
    let location = vault.open()?.end_sign_on(&callback, flow.as_ref()).await?;
    Ok(SeeOther { location, cookie: cookie("", 0) })
}

async fn login(
    guest: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<SignOnLogin>,
) -> Result<Json<LoginAnswer>> {
    vault.open()?.login_by_sign_on(&body, guest.origin.source).await.map(Json)
}

async fn enrol(guest: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<SignOnEnrol>) -> Result<Json<Tokens>> {
    vault.open()?.enrol_by_sign_on(&body, guest.origin.source).await.map(Json)
}

async fn link(session: Session, Body(body): Body<SignOnLink>) -> Result<Json<Principal>> {
    session.open.link_sign_on(&body, &session.caller).await.map(Json)
}

async fn device(
    _: Guest<Login>,
    TheVault(vault): TheVault,
    Body(body): Body<BeginDevice>,
) -> Result<Json<DeviceSignOn>> {
    vault.open()?.begin_device(&body).await.map(Json)
}

async fn poll(_: Guest<Login>, TheVault(vault): TheVault, Body(body): Body<PollDevice>) -> Result<Json<DevicePoll>> {
    vault.open()?.poll_device(&body).await.map(Json)
}

/// What the browser carries, if it is there once.
struct Carries(Option<Secret>);

impl Argument for Carries {
    async fn take(call: &mut Call) -> Result<Self> {
        let lines = call.request.headers().get_all(COOKIE).filter_map(|line| line.to_str().ok());
        let mut found = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == NAME).then_some(value)
        });
        let (first, second) = (found.next(), found.next());
        Ok(Self(first.filter(|_| second.is_none()).and_then(|value| Secret::new(value.to_owned()).ok())))
    }

    fn describe(_: &mut Description) {}
}

fn cookie(value: &str, max_age_seconds: u64) -> Zeroizing<String> {
    Zeroizing::new(format!("{NAME}={value}; Max-Age={max_age_seconds}; {ATTRIBUTES}"))
}
