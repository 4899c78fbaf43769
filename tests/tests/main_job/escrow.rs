//! A disk is lost, with all that was changed on it since the last backup: the escrow stream has it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use claviger_api::Secret;
use claviger_api::wire::NewRotation;
use claviger_tests::cli::Cli;
use claviger_tests::database::ENGINE;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::server::{Launch, Server};
use serde_json::Value;

use super::backup::key_file;
use super::{House, SOON};

/// A volume in memory, which is not that of the store.
const ANOTHER_VOLUME: &str = "/dev/shm";

#[tokio::test]
async fn a_lost_disk_loses_no_password() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let elsewhere = tempfile::tempdir_in(ANOTHER_VOLUME).unwrap();
    fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o700)).unwrap();
    let (identity, recipient) = key_file(folder.path(), "identity");
    let (other, _) = key_file(folder.path(), "other");
    let section =
        |name: &str, directory: &str| format!("[{name}]\ndirectory = '{directory}'\nrecipients = ['{recipient}']\n");
    let backups = folder.path().join("backups").display().to_string();
    let text = section("backup", &backups) + &section("escrow", &elsewhere.path().display().to_string());
    let launch = Launch { audit: text, ..Launch::default() };
    let mut house = House::start_with(&launch).await;
    let lost = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/lost").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let status = ada.run(&["status"]).await.json();
    assert_eq!(status["single_copy"], false, "{status}");
    assert!(status["escrow"]["last_at"].is_string() && status["escrow"].get("trouble").is_none(), "{status}");
    let backup = ada.run(&["operator", "backup"]).await.json();

    // What is rotated and added after the backup is nowhere but there, once the machine is lost.
    for _ in 0..2 {
        let rotation = NewRotation { account: Some(lost.clone()), customer: None, exposed_to: None, reason: None };
        house.vault.technician().rotations().start(&rotation).await.unwrap();
        available(&house.vault.technician(), &lost, SOON).await;
    }
    let late = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/late").await;
    let share = house.vault.people.share.expose().to_owned();
    house.vault.kill().await;

    // The stream is for whoever has the private key, and nobody else.
    let files: Vec<String> =
        fs::read_dir(elsewhere.path()).unwrap().map(|file| file.unwrap().path().display().to_string()).collect();
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let opening = |identity: &str, more: &[&str]| {
        let mut words = vec!["open-escrow".to_owned()];
        words.extend(files.clone());
        words.extend(["--identity", identity].map(str::to_owned));
        words.extend(more.iter().map(|word| (*word).to_owned()));
        words
    };
    let (code, said) = tool(&opening(&other, &[])).await;
    assert!(code == 1 && said.contains("written for others"), "{said}");
    let (code, shown) = tool(&opening(&identity, &["--account", &late.to_string()])).await;
    assert_eq!(code, 0);
    let [only] = entries(&shown).try_into().unwrap();
    assert!(house.postgres.can_login("late", opened(&only).expose()).await, "what was never backed up opens");
    let (code, all) = tool(&opening(&identity, &[])).await;
    assert_eq!(code, 0);
    let newest = entries(&all).into_iter().rfind(|entry| entry["path"] == lost.to_string()).unwrap();
    assert!(newest["opened"] == true && house.postgres.can_login("lost", opened(&newest).expose()).await);

    // The backup and the stream together are the vault as it was.
    let mut server = Server::nowhere(&launch).await;
    let config = server.config_file().to_str().unwrap().to_owned();
    let file = format!("{backups}/{}", backup["file"].as_str().unwrap());
    let (code, said) = Server::tool(&["restore", &file, "--identity", &identity, "--config", &config], "").await;
    assert_eq!(code, 0, "{said}");
    server.start_again(&launch).await;
    let vault = house.vault.on(server);
    assert_eq!(Cli::at(vault.address()).run_with(&["operator", "unseal", "--stdin"], &share).await.code, 0);
    let ada = vault.people.administrator.terminal(vault.address()).await;
    let lines: Vec<String> = entries(&all).iter().map(Value::to_string).collect();
    let adding = ["operator", "restore", "add-secrets", "-"];
    let added = ada.run_with(&adding, &lines.join("\n")).await;
    assert!(added.code == 1 && added.stderr.contains("1 secrets belong to no account"), "{added:?}");
    let outcomes: Value = serde_json::from_str(&added.stdout).unwrap();
    let of = |outcome: &str| outcomes.as_array().unwrap().iter().filter(|one| one["outcome"] == outcome).count();
    // A candidate whose commit lost against another is there too: it opens nothing, and is tried.
    assert!(of("added") >= 2 && of("no_account") == 1, "{outcomes}");
    let broken = ada.run_with(&adding, "no json\n").await;
    assert!(
        broken.code == 2 && broken.stderr.contains("line 1") && broken.stderr.contains("open-escrow"),
        "{broken:?}"
    );
    assert!(!added.stdout.contains(opened(&newest).expose()), "what it was given is not shown");

    let resumed = ada.run(&["operator", "restore", "resume", "--reason", "the disk died", "--uncompared"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    available(&vault.technician(), &lost, SOON).await;
    let tina = vault.people.technician.terminal(vault.address()).await;
    let path = lost.to_string();
    let shown = tina.run(&["checkout", &path, "--for", "10m", "--reason", "a look", "--show"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(shown.json()["secret"], newest["secret"], "nobody had to set it again");
    let rotations = ada.run(&["rotations", "--customer", "acme"]).await.json();
    assert_eq!(rotations[0]["cause"], "recovery", "{rotations}");
}

#[tokio::test]
async fn a_stream_on_the_disk_of_the_store_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let (_, recipient) = key_file(folder.path(), "identity");
    let here = folder.path().join("escrow");
    let text = format!("[escrow]\ndirectory = '{}'\nrecipients = ['{recipient}']\n", here.display());
    let server = Server::nowhere(&Launch { audit: text, ..Launch::default() }).await;
    let config = server.config_file().to_str().unwrap().to_owned();
    // A database is somewhere else.
    if std::env::var(ENGINE).as_deref() != Ok("postgresql") {
        let (code, said) = Server::tool(&["run", "--config", &config], "").await;
        assert!(code == 1 && said.contains("same volume"), "{said}");
    }
}

async fn tool(words: &[String]) -> (i32, String) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Server::tool(&words, "").await
}

/// The lines that are JSON; what else was said is for people.
fn entries(said: &str) -> Vec<Value> {
    said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn opened(entry: &Value) -> Secret {
    Secret::new(entry["secret"].as_str().unwrap().to_owned()).unwrap()
}
