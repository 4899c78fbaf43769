//! `/v1/break-glass`, and what it alone reveals.

use claviger_api::ProblemType::{
    AccountHeld, ApprovalNeeded, BreakGlassClosed, Forbidden, FreshFactorNeeded, InUse, NotFound, NotUnresolved,
    NothingToDecide, OutOfHours, ReviewOverdue, WrongNetwork,
};
use claviger_api::wire::{
    BreakGlass, BreakGlassQuery, BreakGlassReview as Verdict, NewBreakGlass, UnresolvedSecrets, WithComment, WithReason,
};
use claviger_core::policy::{
    AccountRevealUnresolved, BreakGlassAgree, BreakGlassClose, BreakGlassOpen, BreakGlassReview, BreakGlassView,
    CustomerView, Resource,
};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::{OnAccount, OnBreakGlass};
use super::query::{Query, customer};

const UNRESOLVED: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/actions/reveal-unresolved";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/break-glass",
            "openBreakGlass",
            "Ask for emergency access. It is open when another has agreed, and everybody who works there sees it.",
            open,
        )
        .fails(&[Forbidden, FreshFactorNeeded, OutOfHours, WrongNetwork, NotFound, InUse, ReviewOverdue]),
        Endpoint::get(
            "/v1/break-glass",
            "listBreakGlass",
            "Emergency access, of one customer or of all one may see, the newest first.",
            list,
        )
        .fails(&[Forbidden, NotFound]),
        Endpoint::get("/v1/break-glass/{glass}", "showBreakGlass", "Emergency access, and what was done by it.", show),
        Endpoint::post(
            "/v1/break-glass/{glass}/agree",
            "agreeBreakGlass",
            "Agree to another's emergency access: with the last yes that is needed it is open, for who asked.",
            agree,
        )
        .fails(&[BreakGlassClosed, NothingToDecide, ReviewOverdue]),
        Endpoint::post(
            "/v1/break-glass/{glass}/close",
            "closeBreakGlass",
            "End emergency access at once, with whatever was checked out under it.",
            close,
        ),
        Endpoint::post(
            "/v1/break-glass/{glass}/review",
            "reviewBreakGlass",
            "Close the review of emergency access that has ended. Nobody reviews what they had a part in.",
            review,
        )
        .fails(&[BreakGlassClosed, InUse]),
        Endpoint::post(
            UNRESOLVED,
            "revealUnresolved",
            "Under an open break-glass: every version that may open an account whose rotation is not settled.",
            reveal_unresolved,
        )
        .fails(&[AccountHeld, ApprovalNeeded, BreakGlassClosed, InUse, NotUnresolved]),
    ]
}

async fn open(session: Session, Body(new): Body<NewBreakGlass>, once: Once) -> Result<Created<BreakGlass>> {
    let scope = session.open.target(&new.scope).await?;
    let permit = session.permit::<BreakGlassOpen>(&scope.into()).await?;
    session.open.open_break_glass(scope, &new, &once, &session.caller, permit).await.map(Created)
}

async fn list(session: Session, Query(query): Query<BreakGlassQuery>) -> Result<Listed<BreakGlass>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = match &query.customer {
        Some(slug) => {
            let id = session.open.customer_named(&customer(slug)?).await?;
            let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
            Some(id)
        }
        None => None,
    };
    let visible = |place: &Resource| session.may::<BreakGlassView>(place);
    session.open.break_glasses(only, query.closed.unwrap_or(false), &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnBreakGlass<BreakGlassView>) -> Result<Json<BreakGlass>> {
    session.open.break_glass(&on.found, on.permit).await.map(Json)
}

async fn agree(
    session: Session,
    on: OnBreakGlass<BreakGlassAgree>,
    Body(body): Body<WithComment>,
    once: Once,
) -> Result<Json<BreakGlass>> {
    session.open.agree_break_glass(&on.found, &body.comment, &once, &session.caller, on.permit).await.map(Json)
}

async fn close(session: Session, on: OnBreakGlass<BreakGlassClose>) -> Result<Json<BreakGlass>> {
    session.open.close_break_glass(&on.found, &session.caller, on.permit).await.map(Json)
}

async fn review(
    session: Session,
    on: OnBreakGlass<BreakGlassReview>,
    Body(body): Body<Verdict>,
    once: Once,
) -> Result<Json<BreakGlass>> {
    session.open.review_break_glass(&on.found, &body.verdict, &once, &session.caller, on.permit).await.map(Json)
}

async fn reveal_unresolved(
    session: Session,
    on: OnAccount<AccountRevealUnresolved>,
    Body(body): Body<WithReason>,
) -> Result<Json<UnresolvedSecrets>> {
    session.open.reveal_unresolved(on.place, &body.reason, &session.caller, on.permit).await.map(Json)
}
