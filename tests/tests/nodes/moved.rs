//! An installation is moved from the embedded store to a database, and back.

use std::path::Path;
use std::process::{Command, Output};

use claviger_tests::database::Database;
use claviger_tests::inventory::{add_customer, add_postgres, add_role, available, part, wanted};
use claviger_tests::people::unseal;
use claviger_tests::postgres::Postgres;
use claviger_tests::server::{Launch, Server, server_program};
use claviger_tests::vault::Vault;

use super::SOON;

fn migrate(from: &Path, to: &Path) -> Output {
    Command::new(server_program()).arg("migrate").arg("--from").arg(from).arg("--to").arg(to).output().unwrap()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("rows were moved"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_moves_to_a_database_and_back_with_all_that_it_has() {
    let system = Postgres::start().await;
    let mut vault = Vault::embedded().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &system).await;
    let account = add_role(&administrator, &system, "acme/db01/app").await;
    let people = vault.people.duplicate();

    // A server that runs on either is in the way.
    let database = Database::start().await;
    let mut other = Server::on(&database, None, &Launch::default()).await;
    let said = refused(&migrate(&vault.config_file(), &other.config_file()));
    assert!(said.contains("lock") || said.contains("in use"), "{said}");
    vault.stop().await;
    let said = refused(&migrate(&vault.config_file(), &other.config_file()));
    assert!(said.contains("stop all of them first"), "{said}");
    other.stop().await;
    // It has written its format: the place is not empty.
    let said = refused(&migrate(&vault.config_file(), &other.config_file()));
    assert!(said.contains("is not empty"), "{said}");
    database.empty().await;

    done(&migrate(&vault.config_file(), &other.config_file()));
    other.start_again(&Launch::default()).await;
    unseal(other.address(), &people.share).await;
    let technician = people.technician.log_in(other.address()).await.client(other.address());
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let secret = technician.checkouts().reveal(held.id).await.unwrap().secret.into_secret();
    assert!(system.can_login("app", secret.expose()).await);
    technician.checkouts().checkin(held.id).await.unwrap();
    available(&technician, &account, SOON).await;
    other.stop().await;

    // And back: what was done meanwhile comes along.
    vault.lose_store().await;
    done(&migrate(&other.config_file(), &vault.config_file()));
    vault.restart().await;
    let technician = people.technician.log_in(vault.address()).await.client(vault.address());
    let again = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let newer = technician.checkouts().reveal(again.id).await.unwrap().secret.into_secret();
    assert!(system.can_login("app", newer.expose()).await && newer.expose() != secret.expose());
    claviger_tests::audit::verified(&vault.administrator(), Some(&part("acme"))).await;
    claviger_tests::audit::verified(&vault.administrator(), None).await;
    let said = refused(&migrate(&vault.config_file(), &vault.config_file()));
    assert!(said.contains("the same store"), "{said}");
}
