//! `/v1/reports`: what somebody should look at.

use claviger_api::CustomerId;
use claviger_api::ProblemType::{Forbidden, NotFound};
use claviger_api::wire::{
    AccountUpkeep, Discovery, DiscoveryQuery, PageQuery, ReusedSecret, UnusedAccount, UnusedQuery, UpkeepQuery,
};
use claviger_core::policy::{AccessView, Resource};
use claviger_service::{Paging, Result};

use super::answer::Listed;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnOperator;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/v1/reports/reuse",
            "reportReuse",
            "Accounts that share a secret, across customers. Which secret it is, is not told.",
            reuse,
        ),
        Endpoint::get(
            "/v1/reports/unused",
            "reportUnused",
            "Accounts that were not checked out and used for some days.",
            unused,
        )
        .fails(&[Forbidden, NotFound]),
        Endpoint::get(
            "/v1/reports/rotation",
            "reportRotation",
            "When accounts are rotated by their policies, what is overdue, and what was changed by hand.",
            rotation,
        )
        .fails(&[Forbidden, NotFound]),
        Endpoint::get(
            "/v1/reports/discovery",
            "reportDiscovery",
            "Logins of systems that are outside of the vault, accounts that their systems do not have, and looks that fail.",
            discovery,
        )
        .fails(&[Forbidden, NotFound]),
    ]
}

async fn reuse(
    session: Session,
    OnOperator(permit): OnOperator<AccessView>,
    Query(query): Query<PageQuery>,
) -> Result<Listed<ReusedSecret>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.reused(&paging, permit).await.map(Listed)
}

async fn unused(session: Session, Query(query): Query<UnusedQuery>) -> Result<Listed<UnusedAccount>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = only(&session, query.customer.as_deref()).await?;
    let visible = |id: CustomerId| session.may::<AccessView>(&Resource::Customer(id));
    session.open.unused_accounts(only, query.days, &paging, visible).await.map(Listed)
}

async fn rotation(session: Session, Query(query): Query<UpkeepQuery>) -> Result<Listed<AccountUpkeep>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = only(&session, query.customer.as_deref()).await?;
    let visible = |id: CustomerId| session.may::<AccessView>(&Resource::Customer(id));
    session.open.upkeep(only, query.attention.unwrap_or(false), &paging, visible).await.map(Listed)
}

async fn discovery(session: Session, Query(query): Query<DiscoveryQuery>) -> Result<Listed<Discovery>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let only = only(&session, query.customer.as_deref()).await?;
    let visible = |id: CustomerId| session.may::<AccessView>(&Resource::Customer(id));
    session.open.discoveries(only, query.attention.unwrap_or(false), &paging, visible).await.map(Listed)
}

/// The one customer that is asked for, whose reports the caller may read.
async fn only(session: &Session, slug: Option<&str>) -> Result<Option<CustomerId>> {
    let Some(slug) = slug else { return Ok(None) };
    let id = session.open.customer_named(&customer(slug)?).await?;
    let _seen = session.permit::<AccessView>(&Resource::Customer(id)).await?;
    Ok(Some(id))
}
