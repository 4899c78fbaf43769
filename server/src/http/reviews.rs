//! `/v1/reviews` and `/v1/customers/{customer}/reviews`.

use claviger_api::CustomerId;
use claviger_api::ProblemType::{Forbidden, InUse, NotFound};
use claviger_api::wire::{NewReview, PageQuery, Review, ReviewLine, ReviewQuery, WithReason};
use claviger_core::policy::{AccessView, GrantRevoke, Resource};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::{Line, Reviewed};
use super::on::OnCustomer;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/v1/customers/{customer}/reviews",
            "startReview",
            "Start a review of whoever reaches a customer: a line a grant.",
            start,
        )
        .fails(&[InUse]),
        Endpoint::get("/v1/reviews", "listReviews", "Reviews, of one customer or of all one may see.", list)
            .fails(&[Forbidden, NotFound]),
        Endpoint::get("/v1/customers/{customer}/reviews/{review}", "showReview", "One review.", show),
        Endpoint::get(
            "/v1/customers/{customer}/reviews/{review}/lines",
            "listReviewLines",
            "The lines of a review.",
            lines,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/reviews/{review}/lines/{grant}/confirm",
            "confirmReviewLine",
            "A grant is right, and stays. Nobody confirms their own.",
            confirm,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/reviews/{review}/lines/{grant}/cut",
            "cutReviewLine",
            "A grant goes at once.",
            cut,
        ),
        Endpoint::post(
            "/v1/customers/{customer}/reviews/{review}/close",
            "closeReview",
            "Close a review of which every line is decided.",
            close,
        )
        .fails(&[InUse]),
    ]
}

async fn start(
    session: Session,
    on: OnCustomer<GrantRevoke>,
    Body(new): Body<NewReview>,
    once: Once,
) -> Result<Created<Review>> {
    session.open.start_review(on.id, new.ttl_seconds, &once, &session.caller, on.permit).await.map(Created)
}

async fn list(session: Session, Query(query): Query<ReviewQuery>) -> Result<Listed<Review>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = match &query.customer {
        Some(slug) => {
            let id = session.open.customer_named(&customer(slug)?).await?;
            let _seen = session.permit::<AccessView>(&Resource::Customer(id)).await?;
            Some(id)
        }
        None => None,
    };
    let visible = |id: CustomerId| session.may::<AccessView>(&Resource::Customer(id));
    session.open.reviews(only, query.closed.unwrap_or(false), &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnCustomer<AccessView>, Reviewed(id): Reviewed) -> Result<Json<Review>> {
    session.open.review(on.id, id, on.permit).await.map(Json)
}

async fn lines(
    session: Session,
    on: OnCustomer<AccessView>,
    Reviewed(id): Reviewed,
    Query(query): Query<PageQuery>,
) -> Result<Listed<ReviewLine>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.review_lines(on.id, id, &paging, on.permit).await.map(Listed)
}

async fn confirm(session: Session, on: OnCustomer<GrantRevoke>, line: Line) -> Result<Json<ReviewLine>> {
    session.open.confirm_line(on.id, line.review, line.grant, &session.caller, on.permit).await.map(Json)
}

async fn cut(
    session: Session,
    on: OnCustomer<GrantRevoke>,
    line: Line,
    Body(body): Body<WithReason>,
) -> Result<Json<ReviewLine>> {
    let Line { review, grant } = line;
    session.open.cut_line(on.id, review, grant, &body.reason, &session.caller, on.permit).await.map(Json)
}

async fn close(session: Session, on: OnCustomer<GrantRevoke>, Reviewed(id): Reviewed) -> Result<Json<Review>> {
    session.open.close_review(on.id, id, &session.caller, on.permit).await.map(Json)
}
