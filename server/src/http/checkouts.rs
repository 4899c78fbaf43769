//! `/v1/checkouts`.

use claviger_api::ProblemType::{
    AccountHeld, AccountUnavailable, ApprovalNeeded, BreakGlassClosed, CheckoutEnded, CheckoutNotReady, CustomerFrozen,
    Forbidden, FreshFactorNeeded, NotFound, NothingStored, NothingToDecide, OutOfHours, Paused, RevealsSpent,
    SystemFailed, TicketNeeded, WrongAccountKind, WrongNetwork,
};
use claviger_api::wire::{
    Checkout, CheckoutQuery, Extend, NewCheckout, PageQuery, Revealed, SignKey, Signed, WithComment, WithReason,
};
use claviger_core::policy::{
    CheckoutApprove, CheckoutCheckin, CheckoutCreate, CheckoutExtend, CheckoutReveal, CheckoutRevoke, CheckoutTakeOver,
    CheckoutView, Circumstances, CustomerView, Resource,
};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnCheckout;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/checkouts/{checkout}/reveal",
            "revealCheckout",
            "The secret. Each reveal is an event.",
            reveal,
        )
        .fails(&[
            ApprovalNeeded,
            CheckoutEnded,
            CheckoutNotReady,
            AccountUnavailable,
            NothingStored,
            RevealsSpent,
            SystemFailed,
            WrongAccountKind,
        ]),
        Endpoint::post(
            "/v1/checkouts/{checkout}/sign",
            "signCertificate",
            "A certificate for the holder's key, good until the checkout's end. Each one is an event.",
            sign,
        )
        .fails(&[ApprovalNeeded, CheckoutEnded, CheckoutNotReady, RevealsSpent, WrongAccountKind]),
        Endpoint::post("/v1/checkouts", "checkOut", "Check an account out, or queue for it.", check_out).fails(&[
            AccountHeld,
            CustomerFrozen,
            AccountUnavailable,
            BreakGlassClosed,
            NothingStored,
            Forbidden,
            FreshFactorNeeded,
            OutOfHours,
            TicketNeeded,
            WrongNetwork,
            NotFound,
            Paused,
            SystemFailed,
        ]),
        Endpoint::post("/v1/checkouts/{checkout}/checkin", "checkIn", "End the use, or withdraw before it.", check_in)
            .fails(&[CheckoutEnded]),
        Endpoint::get("/v1/checkouts/{checkout}", "showCheckout", "One checkout, without its secret.", show),
        Endpoint::get("/v1/checkouts", "listCheckouts", "A customer's checkouts, the newest first.", list)
            .fails(&[Forbidden, NotFound]),
        Endpoint::post("/v1/checkouts/{checkout}/extend", "extendCheckout", "Make the use longer.", extend).fails(&[
            ApprovalNeeded,
            BreakGlassClosed,
            CheckoutEnded,
            CheckoutNotReady,
            SystemFailed,
        ]),
        Endpoint::post("/v1/checkouts/{checkout}/revoke", "revokeCheckout", "End another's checkout.", revoke)
            .fails(&[CheckoutEnded]),
        Endpoint::post(
            "/v1/checkouts/{checkout}/approve",
            "approveCheckout",
            "Say yes to another's request. It is for what was asked, and counts while the approver keeps the right.",
            approve,
        )
        .fails(&[AccountHeld, CheckoutEnded, NothingStored, NothingToDecide]),
        Endpoint::post(
            "/v1/checkouts/{checkout}/deny",
            "denyCheckout",
            "Say no to another's request, or take back what was approved: it ends at once.",
            deny,
        )
        .fails(&[CheckoutEnded, NothingToDecide]),
        Endpoint::get(
            "/v1/approvals",
            "listApprovals",
            "What waits for the caller's yes, the most urgent first.",
            awaiting,
        ),
        Endpoint::post(
            "/v1/checkouts/{checkout}/take-over",
            "takeOverCheckout",
            "End another's checkout and take the account: the answer is the caller's own new checkout.",
            take_over,
        )
        .fails(&[
            AccountHeld,
            CustomerFrozen,
            AccountUnavailable,
            ApprovalNeeded,
            BreakGlassClosed,
            CheckoutEnded,
            CheckoutNotReady,
            NothingStored,
            TicketNeeded,
        ]),
    ]
}

async fn check_out(session: Session, Body(new): Body<NewCheckout>, once: Once) -> Result<Created<Checkout>> {
    let place = session.open.place(&new.account).await?;
    let now = session.open.now();
    let around = Circumstances {
        ticket: new.ticket.as_deref(),
        ttl_seconds: new.ttl_seconds,
        ..session.caller.circumstances(now)
    };
    let permit = session.open.permit_around::<CheckoutCreate>(&session.caller, &place.resource(), &around).await?;
    session.open.check_out(place, &new, &once, &session.caller, permit).await.map(Created)
}

async fn list(session: Session, Query(query): Query<CheckoutQuery>) -> Result<Listed<Checkout>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let id = session.open.customer_named(&customer(&query.customer)?).await?;
    let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
    let visible = |checkout: &Resource| session.may::<CheckoutView>(checkout);
    session.open.checkouts(id, query.state, &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnCheckout<CheckoutView>) -> Result<Json<Checkout>> {
    session.open.checkout(&on.found, on.permit).await.map(Json)
}

async fn reveal(session: Session, on: OnCheckout<CheckoutReveal>) -> Result<Json<Revealed>> {
    session.open.reveal(&on.found, &session.caller, on.permit).await.map(Json)
}

async fn sign(session: Session, on: OnCheckout<CheckoutReveal>, Body(wanted): Body<SignKey>) -> Result<Json<Signed>> {
    session.open.sign_certificate(&on.found, &wanted, &session.caller, on.permit).await.map(Json)
}

async fn extend(session: Session, on: OnCheckout<CheckoutExtend>, Body(body): Body<Extend>) -> Result<Json<Checkout>> {
    session.open.extend(&on.found, body.ttl_seconds, &session.caller, on.permit).await.map(Json)
}

async fn check_in(session: Session, on: OnCheckout<CheckoutCheckin>, once: Once) -> Result<Json<Checkout>> {
    session.open.check_in(&on.found, &once, &session.caller, on.permit).await.map(Json)
}

async fn revoke(
    session: Session,
    on: OnCheckout<CheckoutRevoke>,
    Body(body): Body<WithReason>,
    once: Once,
) -> Result<Json<Checkout>> {
    session.open.revoke(&on.found, &body.reason, &once, &session.caller, on.permit).await.map(Json)
}

async fn approve(
    session: Session,
    on: OnCheckout<CheckoutApprove>,
    Body(body): Body<WithComment>,
    once: Once,
) -> Result<Json<Checkout>> {
    session.open.approve(&on.found, &body.comment, &once, &session.caller, on.permit).await.map(Json)
}

async fn deny(
    session: Session,
    on: OnCheckout<CheckoutApprove>,
    Body(body): Body<WithComment>,
    once: Once,
) -> Result<Json<Checkout>> {
    session.open.deny(&on.found, &body.comment, &once, &session.caller, on.permit).await.map(Json)
}

async fn awaiting(session: Session, Query(query): Query<PageQuery>) -> Result<Listed<Checkout>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.awaiting(&paging, &session.caller).await.map(Listed)
}

async fn take_over(
    session: Session,
    on: OnCheckout<CheckoutTakeOver>,
    Body(body): Body<WithReason>,
    once: Once,
) -> Result<Json<Checkout>> {
    session.open.take_over(&on.found, &body.reason, &once, &session.caller, on.permit).await.map(Json)
}
