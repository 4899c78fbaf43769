//! Accounts of a real MariaDB, by the command line.

#![expect(clippy::indexing_slicing, reason = "answers as JSON")]

use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, available};
use claviger_tests::mariadb::{ADMINISTRATOR, Mariadb};
use claviger_tests::poll::until;
use claviger_tests::postgres::{HOST, random_text};
use claviger_tests::vault::Vault;

use super::SOON;

/// A standing and an ephemeral account: added, lent to MariaDB's own client, checked in, and of no use afterwards.
#[tokio::test]
async fn accounts_of_a_mariadb_are_lent_and_closed_again() {
    let (mariadb, vault) = (Mariadb::start().await, Vault::start().await);
    add_customer(&vault.administrator(), "acme").await;
    let first = random_text();
    mariadb.create_user("app@127.%", &first);
    mariadb.run_sql("CREATE ROLE readers");
    let ada = vault.people.administrator.terminal(vault.address()).await;
    set_up(&ada, &mariadb, &first).await;

    let tina = vault.people.technician.terminal(vault.address()).await;
    let lend = async |account: &str, query: &str| {
        let words =
            ["exec", account, "--for", "30m", "--reason", "a test", "--", "mariadb", "--skip-column-names", "-e"];
        let done = tina.run(&[&words[..], &[query]].concat()).await;
        assert_eq!(done.code, 0, "{done:?}");
        done.stdout
    };
    assert_eq!(lend("acme/db01/app", "SELECT CURRENT_USER()").await, "app@127.%\n");
    available(&vault.technician(), &"acme/db01/app".parse().unwrap(), SOON).await;
    assert!(!mariadb.can_login("app", &first), "what was lent opens nothing any more");
    let verified = tina.run(&["account", "verify", "acme/db01/app"]).await.json();
    assert_eq!((&verified["result"], &verified["version"]), (&"accepted".into(), &2.into()), "{verified}");

    let seen = lend("acme/db01/dba", "SELECT CURRENT_USER(), CURRENT_ROLE()").await;
    let login = seen.split('\t').next().unwrap().to_owned();
    assert!(login.starts_with("dba_") && login.ends_with("@127.%"), "{login}");
    let (user, _) = login.rsplit_once('@').unwrap();
    until("the login is removed", SOON, async || {
        let left = mariadb.ask(&format!("SELECT 1 FROM mysql.global_priv WHERE User = '{user}'"));
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(seen, format!("{login}\treaders\n"));
    let log = mariadb.query_log();
    assert!(log.contains("SET PASSWORD = '*") && !log.contains("PASSWORD('"), "only hashes were sent");
}

async fn set_up(ada: &Cli, mariadb: &Mariadb, first: &str) {
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), mariadb.ca_certificate()).unwrap();
    let (ca, port) = (ca.path().to_str().unwrap(), mariadb.port().to_string());
    let run = async |words: &[&str], input: &str| {
        let done = ada.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        done
    };
    let add = ["system", "add", "acme/db01", "--kind", "mysql", "--host", HOST, "--port", &port, "--system-ca", ca];
    let system = run(&add, "").await.json();
    assert_eq!((&system["spec"]["kind"], &system["spec"]["tls"]), (&"mysql".into(), &"verify-full".into()));
    let password = mariadb.administrator_secret();
    let manager = ["account", "add", "acme/db01/manager", "--login", ADMINISTRATOR, "--stdin"];
    run(&manager, password.expose()).await;
    run(&["system", "set", "acme/db01", "--management-account", "manager"], "").await;
    run(&["account", "add", "acme/db01/app", "--login", "app@127.%", "--stdin"], first).await;
    let dba =
        ["account", "add", "acme/db01/dba", "--kind", "ephemeral", "--login", "dba@127.%", "--member-of", "readers"];
    run(&dba, "").await;
    let table = run(&["system", "list", "--customer", "acme", "--output", "table"], "").await;
    assert!(table.stdout.contains("mysql") && table.stdout.contains(&format!("{HOST}:{port}")), "{}", table.stdout);
}
