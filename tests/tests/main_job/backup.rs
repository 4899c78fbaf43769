//! A backup that is taken while people work, and what can be made of it.

use std::fs::{self, File, Permissions};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt as _;

use age::secrecy::ExposeSecret as _;
use claviger_service::backup::file::Reader;
use claviger_service::crypto::recipients::{Identities, Reading};
use claviger_store::{Batch, Row, StoreKey};
use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;
use claviger_tests::server::Launch;

use super::House;

/// Rows in one commit.
const AT_ONCE: usize = 500;

#[tokio::test]
async fn a_backup_taken_while_people_work_is_a_whole_vault_for_its_recipient() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let identity = age::x25519::Identity::generate();
    let backups = format!(
        "[backup]\ndirectory = '{}'\nrecipients = ['{}']\nevery_hours = 0\nkeep = 2\n",
        folder.path().display(),
        identity.to_public()
    );
    let launch = Launch { audit: backups, ..Launch::default() };
    let mut house = House::start_with(&launch).await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;

    let path = account.to_string();
    let words = ["checkout", &path, "--for", "10m", "--reason", "a look", "--show"];
    let (shown, taken) = tokio::join!(tina.run(&words), ada.run(&["operator", "backup"]));
    assert_eq!(shown.code, 0, "{shown:?}");
    let taken = taken.json();
    assert_eq!(taken["state"], "taken", "{taken}");
    let file = folder.path().join(taken["file"].as_str().unwrap());
    let kept = fs::metadata(&file).unwrap();
    assert_eq!((kept.permissions().mode() & 0o777, kept.len()), (0o600, taken["bytes"].as_u64().unwrap()));
    assert!(ada.run(&["status"]).await.json()["last_backup_at"].is_string());
    assert_eq!(ada.run(&["operator", "backup", "--list"]).await.json().as_array().unwrap().len(), 1);

    // Whoever has the private key reads every row, and has a vault that its shares open.
    let identity = opens(&identity);
    let reading = Reading::begin(&identity, BufReader::new(File::open(&file).unwrap())).unwrap();
    let (head, mut reader) = Reader::begin(reading).unwrap();
    assert_eq!(head.name, "vault.test");
    let mut rows: Vec<(StoreKey, Row)> = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        rows.push(row);
    }
    assert_eq!(rows.len() as u64, taken["rows"].as_u64().unwrap());
    let others = opens(&age::x25519::Identity::generate());
    let refused = Reading::begin(&others, BufReader::new(File::open(&file).unwrap())).err().unwrap();
    assert!(refused.to_string().contains("written for others"), "{refused}");

    house.vault.stop().await;
    house.vault.lose_store().await;
    let store = house.vault.store().await;
    for page in rows.chunks(AT_ONCE) {
        store.commit(Batch { put: page.to_vec(), ..Batch::default() }).await.unwrap();
    }
    drop(store);
    house.vault.start_again(&launch).await;
    let (operator, share) = (Cli::at(house.vault.address()), house.vault.people.share.expose().to_owned());
    let words = ["operator", "unseal", "--stdin", "--accept-rollback", "a backup was put in place"];
    assert_eq!(operator.run_with(&words, &share).await.code, 0);
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let clean = ada.run(&["operator", "scrub"]).await;
    assert_eq!((clean.code, clean.json()["outcome"].as_str()), (0, Some("clean")), "{clean:?}");
    house.vault.stop().await;
}

#[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
fn opens(identity: &age::x25519::Identity) -> Identities {
    Identities::parse(identity.to_string().expose_secret()).unwrap()
}
