//! The table of outcomes: what can become of each step of a rotation, against a real PostgreSQL. No password is lost,
//! and the vault goes on to the end by itself. The same table finds the loss in a naive rotation.
//!
//! | step | applied, said so | reply lost | not applied | unreachable | hangs | closed half-way |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | log in to change | | | | | | |
//! | change | | | | | | |
//! | verify | | | | | | |
//! | prove the old one dead | | | | | | |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "outcomes/door.rs"]
mod door;
#[path = "outcomes/line.rs"]
mod line;
#[path = "outcomes/naive.rs"]
mod naive;

use std::sync::Arc;
use std::time::Duration;

use claviger_api::AccountPath;
use claviger_api::wire::{NewAccount, NewRotation, RotationQuery, RotationStep};
use claviger_client::Client;
use claviger_tests::in_process::InProcess;
use claviger_tests::inventory::{add_customer, add_system, part, secret, wanted};
use claviger_tests::poll::until;
use claviger_tests::postgres::Postgres;

use futures::{StreamExt as _, stream};

use crate::line::{Case, Line, Lines, Outcome, Step};

const SOON: Duration = Duration::from_secs(90);
/// The vault's time goes so much at each look: what waits for minutes is done in seconds.
const A_WHILE: i64 = 1;
/// Naive rotations at once: none of them shall be slow because of the others.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outcome_of_any_step_loses_a_password() {
    let postgres = Postgres::start_with(&[("max_connections", "200")]).await;
    let lines = Lines::one_a_case(&postgres).await;
    let vault = InProcess::start_with(|connectors| connectors.wrapped(|_| Arc::new(lines.connector()))).await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    for line in lines.all() {
        add(&administrator, line).await;
    }

    let technician = vault.technician();
    for line in lines.all() {
        let asked = NewRotation { account: Some(path(line)), ..NewRotation::default() };
        technician.rotations().start(&asked).await.unwrap();
    }
    until("every rotation is done", SOON, async || {
        vault.advance_seconds(A_WHILE);
        let query = RotationQuery { customer: "acme".to_owned(), unfinished: true, ..RotationQuery::default() };
        technician.rotations().list(query).all().await.unwrap().is_empty().then_some(())
    })
    .await;

    let query = RotationQuery { customer: "acme".to_owned(), ..RotationQuery::default() };
    let rotations = technician.rotations().list(query).all().await.unwrap();
    assert!(rotations.iter().all(|rotation| rotation.step == RotationStep::Done), "{rotations:?}");
    let mut lost = Vec::new();
    for line in lines.all() {
        assert!(line.fired(), "{:?} never came to pass", line.case);
        let held = technician.checkouts().create(&wanted(&path(line), 60)).await.unwrap();
        let current = technician.checkouts().reveal(held.id).await.unwrap();
        if !postgres.can_login(line.login.as_str(), current.secret.secret().expose()).await {
            lost.push(line.case);
        }
        assert!(!postgres.can_login(line.login.as_str(), &line.first_secret).await, "{:?}: the old one", line.case);
    }
    assert_eq!(lost, [], "of {} cases", rotations.len());
    vault.stop().await;
}

/// The table is worth something: it finds what is wrong with the rotation that everybody writes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_table_finds_the_loss_in_a_naive_rotation() {
    let postgres = Postgres::start_with(&[("max_connections", "200")]).await;
    let lines = Lines::one_a_case(&postgres).await;
    let connector = lines.connector();
    let rotated = stream::iter(lines.all()).map(|line| naive::rotate(&connector, line));
    let kept: Vec<String> = rotated.buffered(AT_ONCE).collect().await;
    let mut lost = Vec::new();
    for (line, kept) in lines.all().zip(kept) {
        assert!(line.fired(), "{:?} never came to pass", line.case);
        if !postgres.can_login(line.login.as_str(), &kept).await {
            lost.push(line.case);
        }
    }
    let changed_and_not_told = [Outcome::ReplyLost, Outcome::Hangs, Outcome::ClosedHalfWay];
    assert_eq!(lost, changed_and_not_told.map(|outcome| Case { step: Step::Change, outcome }));
}

/// A system and an account behind the case's own line, with nobody who could repair it.
async fn add(administrator: &Client, line: &Line) {
    let (acme, system) = (part("acme"), line.login.to_string());
    add_system(administrator, "acme", &system, line.spec()).await;
    let new = NewAccount::standing(part("admin"), Some(secret(&line.first_secret)));
    let new = NewAccount { login: Some(line.login.clone()), ..new };
    administrator.accounts().add(&acme, &part(&system), &new).await.unwrap();
}

fn path(line: &Line) -> AccountPath {
    format!("acme/{}/admin", line.login).parse().unwrap()
}
