//! A whole vault on a database: what it is told, it knows after a restart, and after the database's.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use claviger_api::Part;
use claviger_api::wire::NewCustomer;
use claviger_server::{Config, Running, StartError, StoreError, check_files, start};
use claviger_tests::inventory::add_customer;
use claviger_tests::people::{People, unseal};
use claviger_tests::poll::until;
use claviger_tests::postgres::{HOST, Postgres};
use tempfile::TempDir;

use super::{DATABASE, PASSWORD, SOON, USER, admin, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_on_a_database_goes_on_after_restarts_of_both() {
    let mut postgres = server().await;
    let folder = TempDir::with_prefix("claviger-engines-").unwrap();
    let config = config(folder.path(), &postgres);
    assert_eq!(check_files(&config).unwrap().len(), 1, "only the data directory is not there yet");

    let running = start(config.clone()).await.unwrap();
    let people = People::found(&address(&running)).await;
    add_customer(&people.administrator.client(&address(&running)), "acme").await;

    let second = start(Config { data_directory: folder.path().join("second"), ..config.clone() }).await.unwrap();
    unseal(&address(&second), &people.share).await;
    let beside = people.administrator.client(&address(&second));
    assert_eq!(beside.customers().show(&part("acme")).await.unwrap().slug, part("acme"));
    second.stop().await;

    // The database goes and comes: the vault says so, keeps everything, and goes on by itself.
    postgres.stop().await;
    let administrator = people.administrator.client(&address(&running));
    administrator.customers().show(&part("acme")).await.unwrap_err();
    postgres.start_again().await;
    until("it reads again", SOON, async || administrator.customers().show(&part("acme")).await.ok()).await;
    let globex = NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
    until("it takes changes again", SOON, async || administrator.customers().add(&globex).await.ok()).await;
    running.stop().await;

    let running = start(config.clone()).await.unwrap();
    unseal(&address(&running), &people.share).await;
    let administrator = people.administrator.client(&address(&running));
    for customer in ["acme", "globex"] {
        assert_eq!(administrator.customers().show(&part(customer)).await.unwrap().slug, part(customer));
    }
    running.stop().await;

    assert!(!config.data_directory.join("store").exists(), "nothing is kept beside the database");
    let admin = admin(&postgres).await;
    let clear = "SELECT count(*) FROM claviger_rows WHERE position('acme'::bytea in key || value) > 0";
    assert_eq!(admin.query_one(clear, &[]).await.unwrap().get::<_, i64>(0), 0, "no name in clear");
    let rows = admin.query_one("SELECT count(*) FROM claviger_rows", &[]).await.unwrap();
    assert!(rows.get::<_, i64>(0) > 10);
}

#[tokio::test]
async fn anvil_file_modes_a_password_of_the_database_that_others_may_read_is_refused() {
    let postgres = server().await;
    let folder = TempDir::with_prefix("claviger-engines-").unwrap();
    let config = config(folder.path(), &postgres);
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("password"), open).unwrap();
    for error in [check_files(&config).err(), start(config.clone()).await.err()] {
        assert!(matches!(error, Some(StartError::Store(StoreError::Private(_)))), "{error:?}");
    }
}

/// As an operator writes it.
fn config(folder: &Path, postgres: &Postgres) -> Config {
    let (password, ca, data) = (folder.join("password"), folder.join("ca.pem"), folder.join("data"));
    let private = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password);
    std::io::Write::write_all(&mut private.unwrap(), format!("{PASSWORD}\n").as_bytes()).unwrap();
    fs::write(&ca, postgres.ca_certificate()).unwrap();
    let text = format!(
        "name = 'vault.test'\nlisten = '127.0.0.1:0'\ndata_directory = '{data}'\n\
         [store]\nengine = 'postgresql'\nhost = '{HOST}'\nport = {port}\ndatabase = '{DATABASE}'\nuser = '{USER}'\n\
         password_file = '{password}'\ntls = 'verify-full'\nca_certificate = '{ca}'\n",
        data = data.display(),
        port = postgres.port(),
        password = password.display(),
        ca = ca.display(),
    );
    Config::parse(&text).unwrap()
}

fn part(text: &str) -> Part {
    text.parse().unwrap()
}

fn address(running: &Running) -> String {
    format!("http://{}", running.address)
}
