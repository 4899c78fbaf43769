//! `/v1/reports`: what somebody should look at.

use claviger_api::CustomerId;
use claviger_api::ProblemType::{ArchiveUnavailable, Forbidden, FreshFactorNeeded, NotFound, OutOfHours, WrongNetwork};
use claviger_api::wire::{
    AccountUpkeep, AuditReport, AuditReportQuery, Discovery, DiscoveryQuery, PageQuery, ReusedSecret, UnusedAccount,
    UnusedQuery, UpkeepQuery,
};
use claviger_core::policy::{AccessView, AuditRead, Resource};
use claviger_service::{Paging, Result};

use super::answer::{Json, Listed};
use super::audit::log;
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
        Endpoint::get("/v1/reports/audit", "reportAudit", "What auditors ask of a log and of what is there.", audit)
            .fails(&[ArchiveUnavailable, Forbidden, FreshFactorNeeded, NotFound, OutOfHours, WrongNetwork]),
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

async fn audit(session: Session, Query(query): Query<AuditReportQuery>) -> Result<Json<AuditReport>> {
    let (scope, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    session.open.audit_report(scope, &query, &session.caller, permit).await.map(Json)
}

/// The one customer that is asked for, whose reports the caller may read.
async fn only(session: &Session, slug: Option<&str>) -> Result<Option<CustomerId>> {
    let Some(slug) = slug else { return Ok(None) };
    let id = session.open.customer_named(&customer(slug)?).await?;
    let _seen = session.permit::<AccessView>(&Resource::Customer(id)).await?;
    Ok(Some(id))
}
