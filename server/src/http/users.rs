//! `/v1/users`: people.

use claviger_api::ProblemType::{
    AlreadyIssued, ArchiveUnavailable, Forbidden, FreshFactorNeeded, InUse, NameTaken, NotFound, OutOfHours,
    WrongNetwork,
};
use claviger_api::wire::{
    Enrolment, Erasure, InviteSignOn, NewErasure, NewSignOn, NewUser, PageQuery, Principal, PrincipalKind,
    SignOnInvitation,
};
use claviger_core::policy::{PrincipalManage, PrincipalView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::{Named, ProviderNamed};
use super::on::OnOperator;
use super::on::OnUser;
use super::query::Query;

const USER: PrincipalKind = PrincipalKind::User;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/erasures",
            "erasePrincipal",
            "Erase what the record tells of a person who was removed; what they did stays, under an id.",
            erase,
        )
        .fails(&[ArchiveUnavailable, FreshFactorNeeded, InUse, NotFound, OutOfHours, WrongNetwork]),
        Endpoint::post("/v1/users", "addUser", "Add a user; the enrolment code is shown once.", add).fails(&[
            AlreadyIssued,
            Forbidden,
            FreshFactorNeeded,
            NameTaken,
            NotFound,
            OutOfHours,
            WrongNetwork,
        ]),
        Endpoint::get("/v1/users", "listUsers", "All users, or those of the caller's own customer.", list)
            .fails(&[Forbidden]),
        Endpoint::get("/v1/users/{name}", "showUser", "One user.", show),
        Endpoint::delete("/v1/users/{name}", "removeUser", "Remove a user; every session ends.", remove)
            .fails(&[InUse]),
        Endpoint::post(
            "/v1/users/{name}/actions/suspend",
            "suspendUser",
            "Let no login pass; end every session.",
            suspend,
        )
        .fails(&[InUse]),
        Endpoint::post("/v1/users/{name}/actions/resume", "resumeUser", "Let a suspended user log in again.", resume),
        Endpoint::post(
            "/v1/users/{name}/actions/re-enrol",
            "reEnrolUser",
            "Ask for a new enrolment; its code is shown once. A user who has a second factor keeps everything until \
             another administrator confirms.",
            re_enrol,
        )
        .fails(&[InUse]),
        Endpoint::post(
            "/v1/users/{name}/actions/confirm-re-enrol",
            "confirmReEnrolUser",
            "Confirm another's re-enrolment: password and second factors go; the second code is shown once.",
            confirm_re_enrol,
        )
        .fails(&[AlreadyIssued]),
        Endpoint::post(
            "/v1/users/{name}/sign-ons",
            "linkUser",
            "Link a user who was never enrolled to an identity provider's subject.",
            link,
        )
        .fails(&[InUse]),
        Endpoint::delete(
            "/v1/users/{name}/sign-ons/{provider}",
            "unlinkUser",
            "Let a user sign on by this identity provider no more; every session ends.",
            unlink,
        ),
        Endpoint::post(
            "/v1/users/{name}/actions/invite-sign-on",
            "inviteSignOn",
            "Invite a user to be linked to an identity provider; the code is shown once.",
            invite,
        )
        .fails(&[AlreadyIssued, InUse]),
        Endpoint::post(
            "/v1/users/{name}/actions/cancel-re-enrol",
            "cancelReEnrolUser",
            "Call off a re-enrolment that waits for another administrator's yes.",
            cancel_re_enrol,
        ),
    ]
}

/// Who may depends on whose the user is to be.
async fn add(session: Session, Body(new): Body<NewUser>, once: Once) -> Result<Created<Enrolment>> {
    let customer = match &new.customer {
        Some(slug) => session.open.customer_named(slug).await.ok(),
        None => None,
    };
    let permit = session.open.permit_for_users(customer, &session.caller).await?;
    session.open.add_user(&new, &once, &session.caller, permit).await.map(Created)
}

/// All, or those of the caller's own customer.
async fn list(session: Session, Query(page): Query<PageQuery>) -> Result<Listed<Principal>> {
    let permit = session.open.permit_for_users(session.caller.customer, &session.caller).await?;
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    session.open.principals(USER, &paging, permit).await.map(Listed)
}

async fn show(session: Session, OnUser { name, permit }: OnUser<PrincipalView>) -> Result<Json<Principal>> {
    session.open.principal(&name, USER, permit).await.map(Json)
}

async fn remove(session: Session, OnUser { name, permit }: OnUser<PrincipalManage>) -> Result<NoContent> {
    session.open.remove_principal(&name, USER, &session.caller, permit).await?;
    Ok(NoContent)
}

async fn erase(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    once: Once,
    Body(new): Body<NewErasure>,
) -> Result<Json<Erasure>> {
    session.open.erase_principal(&new, &once, &session.caller, permit).await.map(Json)
}

async fn suspend(session: Session, OnUser { name, permit }: OnUser<PrincipalManage>) -> Result<Json<Principal>> {
    session.open.suspend(&name, USER, true, &session.caller, permit).await.map(Json)
}

async fn resume(session: Session, OnUser { name, permit }: OnUser<PrincipalManage>) -> Result<Json<Principal>> {
    session.open.suspend(&name, USER, false, &session.caller, permit).await.map(Json)
}

async fn re_enrol(session: Session, OnUser { name, permit }: OnUser<PrincipalManage>) -> Result<Json<Enrolment>> {
    session.open.re_enrol(&name, &session.caller, permit).await.map(Json)
}

async fn confirm_re_enrol(
    session: Session,
    OnUser { name, permit }: OnUser<PrincipalManage>,
    once: Once,
) -> Result<Json<Enrolment>> {
    session.open.confirm_re_enrol(&name, &once, &session.caller, permit).await.map(Json)
}

async fn link(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
    Body(new): Body<NewSignOn>,
    once: Once,
) -> Result<Created<Principal>> {
    session.open.link_user(&name, &new, &once, &session.caller, permit).await.map(Created)
}

async fn unlink(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
    ProviderNamed(provider): ProviderNamed,
) -> Result<NoContent> {
    session.open.unlink_user(&name, &provider, &session.caller, permit).await?;
    Ok(NoContent)
}

async fn invite(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Named(name): Named,
    Body(request): Body<InviteSignOn>,
    once: Once,
) -> Result<Created<SignOnInvitation>> {
    session.open.invite_sign_on(&name, &request, &once, &session.caller, permit).await.map(Created)
}

async fn cancel_re_enrol(
    session: Session,
    OnUser { name, permit }: OnUser<PrincipalManage>,
    once: Once,
) -> Result<NoContent> {
    session.open.cancel_re_enrol(&name, &once, &session.caller, permit).await?;
    Ok(NoContent)
}
