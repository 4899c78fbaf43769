//! Who depends on a secret, by the command line: a service that is told of a new one, and a file on a real Linux host.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;
use claviger_tests::openssh::{HOST, OpenSsh, run};
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use claviger_tests::webhooks::Webhooks;
use serde_json::Value;

use super::{House, SOON};

const APP: &str = "acme/db01/app";

/// A rotation of a PostgreSQL role: the service is told (and told again, since it failed once), then the host's file has
/// the secret that opens the role, and nobody but the file's owner and group can read it.
#[tokio::test]
async fn a_service_is_told_and_a_file_on_a_host_has_the_new_secret() {
    let (house, server, receiver) = (House::start().await, OpenSsh::start(), Webhooks::start().await);
    let account = add_role(&house.vault.administrator(), &house.postgres, APP).await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let app = server.add_user("cvdp", &random_text());
    let manager = host(&ada, &server).await;
    let folder = server.file("app");
    fs::create_dir(&folder).unwrap();
    let (file, ca) = (folder.join("db.secret"), server.file("ca.pem"));
    fs::write(&file, "an old copy").unwrap();
    fs::write(&ca, &receiver.ca).unwrap();

    let done =
        ok(&ada, &["dependents", "add", APP, "--webhook", &receiver.url, "--ca", &ca.display().to_string()]).await;
    let key = done["webhook_key"].as_str().unwrap().to_owned();
    let place = format!("web01:{}", file.display());
    let whose = ["--owner", "root", "--group", &app, "--mode", "0640"];
    let added = ok(&ada, &[&["dependents", "add", APP, "--file", &place][..], &whose].concat()).await;
    assert_eq!(states(&added), ["idle", "idle"]);

    receiver.answers([503]);
    ok(&ada, &["rotate", APP, "--wait=1m"]).await;
    let shown = until("both are up to date", SOON, async || {
        let shown = ok(&ada, &["dependents", "show", APP]).await;
        (states(&shown) == ["updated", "updated"]).then_some(shown)
    })
    .await;
    assert_eq!(shown["version"], 2, "{shown}");
    let secret = fs::read_to_string(&file).unwrap();
    assert!(house.postgres.can_login("app", &secret).await, "the copy opens the role");
    let about = fs::metadata(&file).unwrap();
    assert_eq!((about.uid(), about.permissions().mode() & 0o7777), (0, 0o640));
    assert_eq!(about.gid().to_string(), run("id", &["-g", &app], "").trim(), "its group is the application's");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing lies beside it");

    let told = receiver.received();
    assert_eq!(told.len(), 2, "once more after the 503");
    assert_eq!(told[0].id(), told[1].id(), "a repeat can be told from news");
    let news = told[1].verified(&key).expect("signed by the key that was shown");
    assert_eq!((&news["type"], &news["data"]["account"]), (&"secret.rotated".into(), &APP.into()), "{news}");
    assert_eq!(news["data"]["version"], 2, "{news}");
    assert!(!told[1].text().contains(&secret), "a webhook brings no secret");
    assert!(told[1].verified("whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").is_none());

    // The host's management account may not become root any more; it is seen, and mended by hand.
    server.forbid_sudo(&manager);
    ok(&ada, &["rotate", APP, "--wait=1m"]).await;
    until("the file's trouble is told", SOON, async || {
        let report = ok(&ada, &["report", "rotation", "--attention"]).await;
        let trouble = report[0]["dependents_trouble"].as_str()?.to_owned();
        trouble.contains("sudo").then_some(())
    })
    .await;
    assert_eq!(fs::read_to_string(&file).unwrap(), secret, "it was not touched");
    let skipped = ok(&ada, &["dependents", "skip", APP, "2", "--reason", "the host is retired"]).await;
    assert_eq!(states(&skipped), ["updated", "skipped"]);
    server.add_sudo_rule(&manager, "ALL=(root) NOPASSWD: ALL");
    ok(&ada, &["dependents", "update", APP]).await;
    until("the copy is there", SOON, async || {
        let secret = fs::read_to_string(&file).ok()?;
        house.postgres.can_login(account.account.as_str(), &secret).await.then_some(())
    })
    .await;
    assert_eq!(ok(&ada, &["report", "rotation", "--attention"]).await, Value::Array(Vec::new()));
    let left = ok(&ada, &["dependents", "remove", APP, "1"]).await;
    assert_eq!(left["dependents"].as_array().unwrap().len(), 1);
    assert_eq!(ada.run(&["dependents", "remove", APP, "2"]).await.code, 2, "there is no second one");
}

/// The host `acme/web01` with a management account that sudo lets be root.
async fn host(ada: &Cli, server: &OpenSsh) -> String {
    let password = random_text();
    let manager = server.add_user("cvmg", &password);
    server.add_sudo_rule(&manager, "ALL=(root) NOPASSWD: ALL");
    let (key, port) = (server.host_key().to_string(), server.port().to_string());
    ok(ada, &["system", "add", "acme/web01", "--kind", "linux", "--host", HOST, "--port", &port, "--host-key", &key])
        .await;
    let added =
        ada.run_with(&["account", "add", "acme/web01/manager", "--login", &manager, "--stdin"], &password).await;
    assert_eq!(added.code, 0, "{added:?}");
    ok(ada, &["system", "set", "acme/web01", "--management-account", "manager"]).await;
    manager
}

async fn ok(ada: &Cli, words: &[&str]) -> Value {
    let done = ada.run(words).await;
    assert_eq!(done.code, 0, "{words:?}: {done:?}");
    done.json()
}

fn states(dependents: &Value) -> Vec<&str> {
    dependents["dependents"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect()
}
