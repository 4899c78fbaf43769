//! `/v1/access/inactive`.

use claviger_api::wire::{Inactive, InactiveQuery};
use claviger_core::policy::PrincipalView;
use claviger_service::{Paging, Result};

use super::answer::Listed;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnOperator;
use super::query::Query;

pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::get(
        "/v1/access/inactive",
        "listInactive",
        "Users and service accounts that were not used for some days, and what they could reach.",
        list,
    )]
}

async fn list(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Query(query): Query<InactiveQuery>,
) -> Result<Listed<Inactive>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    session.open.inactive(query.days, &paging, permit).await.map(Listed)
}
