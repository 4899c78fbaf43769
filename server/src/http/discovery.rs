//! `/v1/customers/{customer}/systems/{system}/discovery`, and what is done about it.

use claviger_api::wire::{Discovery, MarkKnown, MarkUnknown};
use claviger_core::policy::{AccessView, AccountCreate, SystemUpdate};
use claviger_service::Result;

use super::answer::Json;
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnSystem;

const ONE: &str = "/v1/customers/{customer}/systems/{system}/discovery";
const DISCOVER: &str = "/v1/customers/{customer}/systems/{system}/actions/discover";
const MARK_KNOWN: &str = "/v1/customers/{customer}/systems/{system}/actions/mark-known";
const MARK_UNKNOWN: &str = "/v1/customers/{customer}/systems/{system}/actions/mark-unknown";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(ONE, "showDiscovery", "The logins that a system had when it was last looked at.", show),
        Endpoint::post(DISCOVER, "discover", "List the logins of a system, by its management account.", discover),
        Endpoint::post(MARK_KNOWN, "markKnown", "Say why a login shall stay outside of the vault.", mark_known),
        Endpoint::post(MARK_UNKNOWN, "markUnknown", "Say that nobody answers for a login any more.", mark_unknown),
    ]
}

async fn show(session: Session, on: OnSystem<AccessView>) -> Result<Json<Discovery>> {
    session.open.discovery(on.customer, on.id, on.permit).await.map(Json)
}

async fn discover(session: Session, on: OnSystem<AccountCreate>) -> Result<Json<Discovery>> {
    session.open.discover_logins(on.customer, on.id, &session.caller, on.permit).await.map(Json)
}

async fn mark_known(
    session: Session,
    on: OnSystem<SystemUpdate>,
    Body(mark): Body<MarkKnown>,
) -> Result<Json<Discovery>> {
    session.open.mark_known(on.customer, on.id, &mark, &session.caller, on.permit).await.map(Json)
}

async fn mark_unknown(
    session: Session,
    on: OnSystem<SystemUpdate>,
    Body(mark): Body<MarkUnknown>,
) -> Result<Json<Discovery>> {
    session.open.mark_unknown(on.customer, on.id, &mark, &session.caller, on.permit).await.map(Json)
}
