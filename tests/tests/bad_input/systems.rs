//! Customers' systems that are down, refuse, hang, or close half-way.

use std::net::SocketAddr;

use claviger_api::wire::{
    AccountState, CheckoutQuery, EndCause, NewAccount, NewRotation, NewSystem, ProbeResult, RotationStep, SystemChange,
    SystemSpec, TlsMode,
};
use claviger_api::{AccountPath, ProblemType};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::inventory::{add_ephemeral, available, part, wanted};
use claviger_tests::poll::until;
use claviger_tests::postgres::HOST;

use super::House;

const SOON: std::time::Duration = std::time::Duration::from_secs(90);

/// What is wrong with a system, and what a login attempt there tells.
enum Wrong {
    Down,
    Refuses,
    Hangs,
    ClosesHalfWay,
}

#[tokio::test]
async fn a_system_that_is_down() {
    survives(Wrong::Down).await;
}

#[tokio::test]
async fn a_system_that_refuses() {
    survives(Wrong::Refuses).await;
}

#[tokio::test]
async fn anvil_hostile_system_that_hangs() {
    survives(Wrong::Hangs).await;
}

#[tokio::test]
async fn a_system_that_closes_half_way() {
    survives(Wrong::ClosesHalfWay).await;
}

/// While it is wrong: nothing is concluded, nothing changed, others are served. When it is right again: all goes on.
async fn survives(wrong: Wrong) {
    let house = House::start().await;
    let line = Faulty::before(house.postgres.address()).await;
    let (standing, ephemeral) = behind(&house, line.address()).await;
    match wrong {
        Wrong::Down => move_to(&house, closed_port()).await,
        Wrong::Refuses => line.set(Fault::Refuse),
        Wrong::Hangs => line.set(Fault::Hang),
        Wrong::ClosesHalfWay => line.set(Fault::LoseStatement(Statement::Nth(1))),
    }

    let technician = house.vault.technician();
    let refused = technician.checkouts().create(&wanted(&ephemeral, 60)).await.unwrap_err();
    assert_eq!(refused.problem_type(), Some(ProblemType::SystemFailed), "{refused}");
    assert!(refused.problem().unwrap().detail.starts_with("The login could not be made: "), "{refused}");
    no_half_checkout(&house, &ephemeral).await;

    if matches!(wrong, Wrong::ClosesHalfWay) {
        line.set(Fault::LoseStatement(Statement::Containing("ALTER ROLE".to_owned())));
    } else {
        let tried = technician.accounts().verify(&standing).await.unwrap();
        assert_eq!(tried.result, ProbeResult::Unreachable, "not refused: {}", tried.detail);
        assert!(!tried.detail.is_empty());
    }
    let asked = NewRotation { account: Some(standing.clone()), ..NewRotation::default() };
    let id = technician.rotations().start(&asked).await.unwrap().rotations[0].id;
    if matches!(wrong, Wrong::ClosesHalfWay) {
        until("the change is lost", SOON, async || line.fired().then_some(())).await;
    } else {
        let stuck = technician.rotations().wait(id, SOON, |_| {}).await.unwrap();
        assert!(stuck.unresolved && stuck.step != RotationStep::Done && !stuck.message.is_empty(), "{stuck:?}");
        let shown = technician.accounts().show(&standing).await.unwrap();
        assert_eq!(shown.state, AccountState::Unresolved, "it says why it cannot be offered");
        let held = technician.checkouts().create(&wanted(&standing, 60)).await.unwrap_err();
        assert_eq!(held.problem_type(), Some(ProblemType::AccountUnavailable), "{held}");
    }
    let other = technician.accounts().verify(&house.account).await.unwrap();
    assert_eq!(other.result, ProbeResult::Accepted, "another system's work goes on");

    line.set(Fault::Pass);
    move_to(&house, line.address()).await;
    available(&technician, &standing, SOON).await;
    let held = technician.checkouts().create(&wanted(&standing, 60)).await.unwrap();
    let current = technician.checkouts().reveal(held.id).await.unwrap();
    assert!(house.postgres.can_login("behind", current.secret.secret().expose()).await, "nothing is lost");
    let made = technician.checkouts().create(&wanted(&ephemeral, 60)).await.unwrap();
    technician.checkouts().reveal(made.id).await.unwrap();
}

/// A system of its own behind this address, with an account of each kind.
async fn behind(house: &House, address: SocketAddr) -> (AccountPath, AccountPath) {
    let administrator = house.vault.administrator();
    let (acme, system) = (part("acme"), part("far"));
    let new = NewSystem { name: system.clone(), spec: at(address), management_account: Some(part("superuser")) };
    administrator.systems(&acme).add(&new).await.unwrap();
    let superuser = NewAccount::standing(part("superuser"), Some(house.postgres.superuser_secret()));
    let superuser = NewAccount { login: Some(house.postgres.superuser()), ..superuser };
    administrator.accounts().add(&acme, &system, &superuser).await.unwrap();
    let standing = claviger_tests::inventory::add_role(&administrator, &house.postgres, "acme/far/behind").await;
    (standing, add_ephemeral(&administrator, "acme/far/temp", &[]).await)
}

fn at(address: SocketAddr) -> SystemSpec {
    SystemSpec::Postgresql {
        host: HOST.to_owned(),
        port: address.port(),
        database: "postgres".to_owned(),
        tls: TlsMode::Disable,
        ca_certificate: None,
    }
}

async fn move_to(house: &House, address: SocketAddr) {
    let change = SystemChange { spec: Some(at(address)), ..SystemChange::default() };
    house.vault.administrator().systems(&part("acme")).set(&part("far"), &change).await.unwrap();
}

/// Where nobody listens any more.
fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap()
}

/// The checkout that could not be has ended, the account is free, and no role is left on the system.
async fn no_half_checkout(house: &House, account: &AccountPath) {
    let technician = house.vault.technician();
    let query = CheckoutQuery { customer: "acme".to_owned(), ..CheckoutQuery::default() };
    let all = technician.checkouts().list(query).all().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].end_cause, Some(EndCause::Cancelled), "{:?}", all[0]);
    assert_eq!(technician.accounts().show(account).await.unwrap().state, AccountState::Available);
    let roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'temp%'";
    assert!(house.postgres.admin_client().await.query(roles, &[]).await.unwrap().is_empty(), "no role is left");
}
