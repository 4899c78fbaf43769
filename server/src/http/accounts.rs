//! `/v1/customers/{customer}/systems/{system}/accounts`, and the accounts of a whole customer.

use claviger_api::ProblemType::{InUse, NameTaken, NothingStored, RotationRunning};
use claviger_api::wire::{Account, AccountChange, NewAccount, PageQuery, SetSecret, Verification};
use claviger_core::policy::{
    AccountCreate, AccountRemove, AccountSetSecret, AccountUpdate, AccountVerify, AccountView, CustomerView, SystemView,
};
use claviger_service::{Once, Paging, Place, Result};

use super::answer::{Created, Json, Listed, NoContent};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::{OnAccount, OnCustomer, OnSystem};
use super::query::Query;

const ALL: &str = "/v1/customers/{customer}/systems/{system}/accounts";
const ONE: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}";
const SET_SECRET: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/actions/set-secret";
const VERIFY: &str = "/v1/customers/{customer}/systems/{system}/accounts/{account}/actions/verify";

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(ALL, "addAccount", "Add an account, with its present secret if it has one.", add)
            .fails(&[NameTaken]),
        Endpoint::get(ALL, "listAccounts", "The accounts of a system.", list),
        Endpoint::get(ONE, "showAccount", "One account, without its secret.", show),
        Endpoint::patch(ONE, "changeAccount", "Change an account's settings; what is absent stays.", change),
        Endpoint::delete(ONE, "removeAccount", "Remove an account that nobody holds.", remove).fails(&[InUse]),
        Endpoint::post(SET_SECRET, "setSecret", "Tell the secret that the account has now.", set_secret)
            .fails(&[RotationRunning]),
        Endpoint::post(VERIFY, "verifyAccount", "Try the stored secret with a fresh login.", verify)
            .fails(&[NothingStored]),
        Endpoint::get(
            "/v1/customers/{customer}/accounts",
            "listAccountsOfCustomer",
            "The accounts of all systems of a customer.",
            list_of_customer,
        ),
    ]
}

async fn add(
    session: Session,
    on: OnSystem<AccountCreate>,
    Body(new): Body<NewAccount>,
    once: Once,
) -> Result<Created<Account>> {
    session.open.add_account(on.customer, on.id, new, &once, &session.caller, on.permit).await.map(Created)
}

async fn list(session: Session, on: OnSystem<SystemView>, Query(page): Query<PageQuery>) -> Result<Listed<Account>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    let visible = |place: Place| session.may::<AccountView>(&place.resource());
    session.open.accounts(on.customer, Some(on.id), &paging, visible).await.map(Listed)
}

async fn list_of_customer(
    session: Session,
    on: OnCustomer<CustomerView>,
    Query(page): Query<PageQuery>,
) -> Result<Listed<Account>> {
    let paging = Paging::new(page.limit, page.cursor.as_deref())?;
    let visible = |place: Place| session.may::<AccountView>(&place.resource());
    session.open.accounts(on.id, None, &paging, visible).await.map(Listed)
}

async fn show(session: Session, on: OnAccount<AccountView>) -> Result<Json<Account>> {
    session.open.account(on.place, on.permit).await.map(Json)
}

async fn change(
    session: Session,
    on: OnAccount<AccountUpdate>,
    Body(change): Body<AccountChange>,
) -> Result<Json<Account>> {
    session.open.change_account(on.place, &change, &session.caller, on.permit).await.map(Json)
}

async fn remove(session: Session, on: OnAccount<AccountRemove>) -> Result<NoContent> {
    session.open.remove_account(on.place, &session.caller, on.permit).await?;
    Ok(NoContent)
}

async fn set_secret(
    session: Session,
    on: OnAccount<AccountSetSecret>,
    Body(body): Body<SetSecret>,
    once: Once,
) -> Result<Json<Account>> {
    session.open.set_secret(on.place, body.secret.secret(), &once, &session.caller, on.permit).await.map(Json)
}

async fn verify(session: Session, on: OnAccount<AccountVerify>) -> Result<Json<Verification>> {
    session.open.verify_account(on.place, &session.caller, on.permit).await.map(Json)
}
