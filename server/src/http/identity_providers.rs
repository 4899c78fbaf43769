//! `/v1/identity-providers`: who may sign people in.

use claviger_api::ProblemType::{InUse, NameTaken, NotFound};
use claviger_api::wire::{ChangeIdentityProvider, IdentityProvider, NewIdentityProvider, PageQuery};
use claviger_core::policy::{PrincipalManage, PrincipalView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::named::ProviderNamed;
use super::on::OnOperator;
use super::query::Query;

const ALL: &str = "/v1/identity-providers";
const ONE: &str = "/v1/identity-providers/{provider}";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(ALL, "addIdentityProvider", "Let an identity provider sign people in.", add)
            .fails(&[NameTaken, NotFound]),
        Endpoint::get(ALL, "listIdentityProviders", "All identity providers.", list),
        Endpoint::get(ONE, "showIdentityProvider", "One identity provider.", show),
        Endpoint::patch(
            ONE,
            "changeIdentityProvider",
            "Change an identity provider; one that is disabled ends the sessions of everybody linked to it.",
            change,
        ),
        Endpoint::delete(ONE, "removeIdentityProvider", "Let an identity provider sign nobody in any more.", remove)
            .fails(&[InUse]),
    ]
}

async fn add(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    Body(new): Body<NewIdentityProvider>,
    once: Once,
) -> Result<Created<IdentityProvider>> {
    session.open.add_identity_provider(&new, &once, &session.caller, permit).await.map(Created)
}

async fn list(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    Query(page): Query<PageQuery>,
) -> Result<Listed<IdentityProvider>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    session.open.identity_providers(&paging, permit).await.map(Listed)
}

async fn show(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalView>,
    ProviderNamed(name): ProviderNamed,
) -> Result<Json<IdentityProvider>> {
    session.open.identity_provider(&name, permit).await.map(Json)
}

async fn change(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    ProviderNamed(name): ProviderNamed,
    Body(change): Body<ChangeIdentityProvider>,
) -> Result<Json<IdentityProvider>> {
    session.open.change_identity_provider(&name, &change, &session.caller, permit).await.map(Json)
}

async fn remove(
    session: Session,
    OnOperator(permit): OnOperator<PrincipalManage>,
    ProviderNamed(name): ProviderNamed,
) -> Result<NoContent> {
    session.open.remove_identity_provider(&name, &session.caller, permit).await?;
    Ok(NoContent)
}
