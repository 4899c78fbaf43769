//! `/v1/audit`.

use claviger_api::ProblemType::{ArchiveUnavailable, Forbidden, FreshFactorNeeded, NotFound, OutOfHours, WrongNetwork};
use claviger_api::Scope;
use claviger_api::wire::{
    ArchiveQuery, AuditEvent, AuditQuery, CheckpointResponse, ExportQuery, LogArchive, LogQuery, Proof, ProofQuery,
};
use claviger_core::policy::{Act, AuditExport, AuditRead, Permit, Resource};
use claviger_service::{Paging, Result};

use super::answer::{Json, Lines, Listed};
use super::door::Session;
use super::endpoint::Endpoint;
use super::live::{Live, Message, Seen, TheSite};
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    [
        Endpoint::get("/v1/audit/events", "listEvents", "What happened, the newest first.", events),
        Endpoint::get("/v1/audit/events/follow", "followEvents", "What happens, as it happens.", follow),
        Endpoint::get("/v1/audit/checkpoint", "showCheckpoint", "A log's newest signed tree head.", checkpoint),
        Endpoint::get("/v1/audit/proof", "proveLog", "A proof of inclusion or consistency (RFC 6962).", proof),
        Endpoint::get("/v1/audit/archives", "listArchives", "Where a log's oldest entries are.", archives),
        Endpoint::get("/v1/audit/export", "exportLog", "A log, for the offline verifier.", export),
    ]
    .map(|endpoint| {
        endpoint.fails(&[ArchiveUnavailable, Forbidden, FreshFactorNeeded, NotFound, OutOfHours, WrongNetwork])
    })
    .into()
}

async fn events(session: Session, Query(query): Query<AuditQuery>) -> Result<Listed<AuditEvent>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let (log, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    session.open.audit_events(log, &query, &paging, &session.caller, permit).await.map(Listed)
}

/// The vault is taken anew each time, and so is the decision: see [`Live`].
async fn follow(session: Session, site: TheSite, Seen(seen): Seen, Query(query): Query<AuditQuery>) -> Result<Live> {
    let (log, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    let turn = site.watch()?;
    let mut following = session.open.begin_following(log, &query, seen, &session.caller, permit).await?;
    let caller = session.caller.clone();
    Ok(Live::of(async move || {
        let _turn = &turn;
        let open = site.open()?;
        let caller = open.again(&caller).await?;
        let permit = open.permit_untold(&caller, &home(log)).await?;
        let events = open.follow(&mut following, permit).await?;
        events.iter().map(|event| Message::new(event.index, &event.kind, event)).collect()
    }))
}

async fn checkpoint(session: Session, Query(query): Query<LogQuery>) -> Result<Json<CheckpointResponse>> {
    let (log, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    session.open.checkpoint(log, permit).await.map(Json)
}

async fn proof(session: Session, Query(query): Query<ProofQuery>) -> Result<Json<Proof>> {
    let (log, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    session.open.proof(log, &query, permit).await.map(Json)
}

async fn archives(session: Session, Query(query): Query<ArchiveQuery>) -> Result<Listed<LogArchive>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let (log, permit) = log::<AuditRead>(&session, query.customer.as_deref()).await?;
    session.open.log_archives(log, &paging, permit).await.map(Listed)
}

async fn export(session: Session, Query(query): Query<ExportQuery>) -> Result<Lines> {
    let (log, permit) = log::<AuditExport>(&session, query.customer.as_deref()).await?;
    session.open.export(log, query.from.unwrap_or(0), &session.caller, permit).await.map(Lines)
}

/// Whose log it is.
fn home(log: Scope) -> Resource {
    match log {
        Scope::Operator => Resource::Operator,
        Scope::Customer(customer) => Resource::Customer(customer),
    }
}

/// The log of a customer, or the operator's, and the permission to do this with it.
pub(super) async fn log<A: Act>(session: &Session, of: Option<&str>) -> Result<(Scope, Permit<A>)> {
    let Some(slug) = of else { return Ok((Scope::Operator, session.permit(&Resource::Operator).await?)) };
    let id = session.open.customer_named(&customer(slug)?).await?;
    Ok((Scope::Customer(id), session.permit(&Resource::Customer(id)).await?))
}
