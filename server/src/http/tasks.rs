//! `/v1/tasks`: what people are asked to do by hand. A task has the id of the rotation that asks.

use claviger_api::ProblemType::{Conflict, Forbidden, NotFound};
use claviger_api::wire::{Rotation, SetSecret, ShownTask, Task, TaskQuery, TaskRefusal};
use claviger_core::policy::{CustomerView, Resource, RotationPerform, RotationView};
use claviger_service::{Once, Paging, Result};

use super::answer::{Json, Listed};
use super::body::Body;
use super::door::Session;
use super::endpoint::Endpoint;
use super::on::OnRotation;
use super::query::{Query, customer};

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/v1/tasks", "listTasks", "What people are asked to do by hand at a customer.", list)
            .fails(&[Forbidden, NotFound]),
        Endpoint::post(
            "/v1/tasks/{rotation}/reveal",
            "revealTask",
            "Show the secret that a person is asked to set.",
            reveal,
        )
        .fails(&[Conflict]),
        Endpoint::post(
            "/v1/tasks/{rotation}/confirm",
            "confirmTask",
            "Say that the secret is set: it is current from then on.",
            confirm,
        )
        .fails(&[Conflict]),
        Endpoint::post(
            "/v1/tasks/{rotation}/set",
            "setTask",
            "Tell another secret that was set instead: it is current from then on.",
            set,
        )
        .fails(&[Conflict]),
        Endpoint::post(
            "/v1/tasks/{rotation}/refuse",
            "refuseTask",
            "Say that the system does not take the secret: another one is made.",
            refuse,
        )
        .fails(&[Conflict]),
    ]
}

async fn list(session: Session, Query(query): Query<TaskQuery>) -> Result<Listed<Task>> {
    let paging = Paging::new(query.limit, query.cursor.as_deref())?;
    let id = session.open.customer_named(&customer(&query.customer)?).await?;
    let _seen = session.permit::<CustomerView>(&Resource::Customer(id)).await?;
    let visible = |account: &Resource| session.may::<RotationView>(account);
    session.open.tasks(id, query.overdue, &paging, visible).await.map(Listed)
}

async fn reveal(session: Session, on: OnRotation<RotationPerform>) -> Result<Json<ShownTask>> {
    session.open.show_task(&on.found, &session.caller, on.permit).await.map(Json)
}

async fn confirm(session: Session, on: OnRotation<RotationPerform>) -> Result<Json<Rotation>> {
    session.open.confirm_task(&on.found, &session.caller, on.permit).await.map(Json)
}

async fn set(
    session: Session,
    on: OnRotation<RotationPerform>,
    Body(body): Body<SetSecret>,
    once: Once,
) -> Result<Json<Rotation>> {
    session.open.set_task(&on.found, body.secret.secret(), &once, &session.caller, on.permit).await.map(Json)
}

async fn refuse(
    session: Session,
    on: OnRotation<RotationPerform>,
    Body(body): Body<TaskRefusal>,
) -> Result<Json<Rotation>> {
    session.open.refuse_task(&on.found, &body.reason, &session.caller, on.permit).await.map(Json)
}
