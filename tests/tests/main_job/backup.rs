//! A backup that is taken while people work, restored elsewhere, compared with the world, and resumed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use age::secrecy::ExposeSecret as _;
use claviger_api::wire::NewRotation;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::server::{Launch, Server};

use super::{House, SOON};

#[tokio::test]
async fn a_backup_taken_while_people_work_is_proven_restored_elsewhere_compared_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let (identity, recipient) = key_file(folder.path(), "identity");
    let (other, _) = key_file(folder.path(), "other");
    let backups = folder.path().join("backups");
    let text = format!(
        "[backup]\ndirectory = '{}'\nrecipients = ['{recipient}']\nevery_hours = 0\nkeep = 2\n",
        backups.display()
    );
    let launch = Launch { audit: text, ..Launch::default() };
    let mut house = House::start_with(&launch).await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let lost = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/lost").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let nothing = ada.run(&["operator", "restore", "status"]).await;
    assert_eq!((nothing.code, nothing.json().get("restored")), (0, None), "{nothing:?}");

    let path = account.to_string();
    let words = ["checkout", &path, "--for", "10m", "--reason", "a look", "--show"];
    let (shown, taken) = tokio::join!(tina.run(&words), ada.run(&["operator", "backup"]));
    assert_eq!(shown.code, 0, "{shown:?}");
    let taken = taken.json();
    assert_eq!(taken["state"], "taken", "{taken}");
    let file = backups.join(taken["file"].as_str().unwrap());
    let kept = fs::metadata(&file).unwrap();
    assert_eq!((kept.permissions().mode() & 0o777, kept.len()), (0o600, taken["bytes"].as_u64().unwrap()));
    assert!(ada.run(&["status"]).await.json()["last_backup_at"].is_string());
    assert_eq!(ada.run(&["operator", "backup", "--list"]).await.json().as_array().unwrap().len(), 1);

    // Something happens that is not in it; then the machine is lost, with all that is on it.
    let rotation = NewRotation { account: Some(lost.clone()), customer: None, exposed_to: None, reason: None };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &lost, SOON).await;
    let share = house.vault.people.share.expose().to_owned();
    house.vault.kill().await;

    // A drill needs no vault, the private key and the shares. What is wrong says what to do.
    let file = file.to_str().unwrap();
    let (code, said) = Server::tool(&["check-backup", file, "--identity", &other], "").await;
    assert!(code == 1 && said.contains("written for others"), "{said}");
    let (code, said) = Server::tool(&["check-backup", file, file, "--identity", &identity], "").await;
    assert!(code == 1 && said.contains("is no increment") && said.contains("in the order of their names"), "{said}");
    let (code, said) = Server::tool(&["check-backup", file, "--identity", &identity, "--verify"], "").await;
    assert!(code == 1 && said.contains("is whole") && said.contains("--stdin"), "{said}");
    let proving = ["check-backup", file, "--identity", &identity, "--verify", "--stdin"];
    let (code, said) = Server::tool(&proving, "no share\n").await;
    assert!(code == 1 && !said.contains("proven:"), "{said}");
    let (code, said) = Server::tool(&proving, &share).await;
    assert!(code == 0 && said.contains("proven:") && !said.contains(&share), "{said}");
    fs::set_permissions(&identity, Permissions::from_mode(0o644)).unwrap();
    let (code, said) = Server::tool(&["check-backup", file, "--identity", &identity], "").await;
    assert!(code == 1 && said.contains("chmod go="), "{said}");
    fs::set_permissions(&identity, Permissions::from_mode(0o600)).unwrap();

    // On another machine it becomes a vault, once.
    let mut server = Server::nowhere(&launch).await;
    let config = server.config_file().to_str().unwrap().to_owned();
    let restoring = ["restore", file, "--identity", &identity, "--config", &config, "--verify", "--stdin"];
    let (code, said) = Server::tool(&restoring, &share).await;
    assert!(code == 0 && said.contains("proven:") && said.contains("restored."), "{said}");
    let (code, said) = Server::tool(&restoring, &share).await;
    assert!(code == 1 && said.contains("not empty"), "{said}");
    server.start_again(&launch).await;
    let vault = house.vault.on(server);
    let operator = Cli::at(vault.address());
    assert_eq!(operator.run_with(&["operator", "unseal", "--stdin"], &share).await.code, 0);
    let ada = vault.people.administrator.terminal(vault.address()).await;
    let tina = vault.people.technician.terminal(vault.address()).await;
    let clean = ada.run(&["operator", "scrub"]).await;
    assert_eq!((clean.code, clean.json()["outcome"].as_str()), (0, Some("clean")), "{clean:?}");
    assert!(ada.run(&["status"]).await.json()["restored_from"].is_string());

    let lost = lost.to_string();
    let refused = tina.run(&["rotate", &lost]).await;
    assert!(refused.code == 8 && refused.stderr.contains("restore resume"), "{refused:?}");
    let early = ada.run(&["operator", "restore", "resume", "--reason", "too soon"]).await;
    assert!(early.code == 8 && early.stderr.contains("restore compare"), "{early:?}");
    let compared = ada.run(&["operator", "restore", "compare"]).await;
    assert_eq!(compared.code, 1, "{compared:?}");
    let found: serde_json::Value = serde_json::from_str(&compared.stdout).unwrap();
    let found = &found["restored"]["compared"];
    assert_eq!(found["differing"][0]["account"], lost.as_str(), "{found}");
    assert_eq!((&found["differing"][0]["outcome"], &found["counts"]["refused"]), (&"refused".into(), &1.into()));
    assert!(compared.stderr.contains("rotate those that are refused"), "{compared:?}");

    // Resumed, it finds its way back to what was lost.
    let resumed = ada.run(&["operator", "restore", "resume", "--reason", "compared"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let rotated = tina.run(&["rotate", &lost, "--wait"]).await;
    assert_eq!(rotated.code, 0, "{rotated:?}");
    let words = ["checkout", &lost, "--for", "10m", "--reason", "a look", "--show"];
    let shown = tina.run(&words).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let secret = claviger_api::Secret::new(shown.json()["secret"].as_str().unwrap().to_owned()).unwrap();
    assert!(house.postgres.can_login("lost", secret.expose()).await);
}

/// A file with a new private key, and its public one.
#[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
pub(super) fn key_file(folder: &Path, name: &str) -> (String, String) {
    let identity = age::x25519::Identity::generate();
    let path = folder.join(name);
    fs::write(&path, format!("# for a test\n{}\n", identity.to_string().expose_secret())).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (path.to_str().unwrap().to_owned(), identity.to_public().to_string())
}
