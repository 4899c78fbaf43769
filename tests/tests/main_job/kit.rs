//! There is no vault any more: an emergency kit opens what it kept, for enough of its people, by the tools `age` and `tar` and one
//! command of ours that needs no vault. Once there is a vault again, what was in the kit opens nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use claviger_api::Secret;
use claviger_api::wire::{NewRotation, Role};
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::poll::until;
use claviger_tests::server::{Launch, Server, server_program};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::backup::key_file;
use super::{House, SOON};

/// Two people of the customer's and two of the MSP's, three of whom open a kit; and a folder for all.
struct People {
    folder: TempDir,
    own: [(String, String); 2],
    msp: [(String, String); 2],
}

impl People {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let keys = |names: [&str; 2]| names.map(|name| key_file(folder.path(), name));
        Self { own: keys(["boss", "deputy"]), msp: keys(["ceo", "cto"]), folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Where backups and kits go, and for whom they are.
    fn launch(&self) -> Launch {
        let [(_, ceo), (_, cto)] = &self.msp;
        let text = format!(
            "[backup]\ndirectory = '{}'\nrecipients = ['{ceo}']\nevery_hours = 0\n\
             [kits]\ndirectory = '{}'\nrecipients = ['{ceo}', '{cto}']\nevery_hours = 0\n",
            self.at("backups"),
            self.at("kits")
        );
        Launch { audit: text, ..Launch::default() }
    }

    /// Acme's own administrator says who opens its kits.
    async fn named(&self, house: &House) -> Cli {
        let address = house.vault.address();
        let role = Some((Role::CustomerAdministrator, "acme"));
        let ada = &house.vault.people.administrator;
        let cara = ada.adds_user_of(address, "cara", Some("acme"), role).await.terminal(address).await;
        let [(_, boss), (_, deputy)] = &self.own;
        let words =
            ["customer", "limit", "acme", "--kit-recipient", boss, "--kit-recipient", deputy, "--kit-threshold"];
        let alone = cara.run(&[words.as_slice(), &["2"]].concat()).await;
        assert!(alone.code == 2 && alone.stderr.contains("open it alone"), "{alone:?}");
        let named = cara.run(&[words.as_slice(), &["3"]].concat()).await;
        let threshold = named.json().pointer("/limits/kit/threshold").and_then(Value::as_u64);
        assert_eq!(threshold, Some(3), "{named:?}");
        cara
    }

    /// What somebody decrypts with the tool `age`.
    async fn age(&self, identity: &str, file: &str) -> Option<String> {
        let done = Command::new("age").args(["-d", "-i", identity, file]).output().await.unwrap();
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
    }
}

/// `claviger-server combine-kit` with these shares on its standard input: what it writes, and what it says.
async fn combined(shares: &str) -> (i32, String, String) {
    let mut command = Command::new(server_program());
    command.arg("combine-kit").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A home and a working directory that hold nothing of a vault.
    command.env_clear().current_dir("/");
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(shares.as_bytes()).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

/// The secret that a body names first for an account.
fn secret_of(body: &Value, account: &str) -> Secret {
    let accounts = body.pointer("/systems/0/accounts").and_then(Value::as_array).unwrap();
    let path = format!("acme/db01/{account}");
    let found = accounts.iter().find(|one| one.get("path").is_some_and(|found| *found == path)).unwrap();
    let secret = found.pointer("/secrets/0/secret").and_then(Value::as_str).unwrap();
    Secret::new(secret.to_owned()).unwrap()
}

/// Whether any file below a directory holds these bytes.
fn lies_in_clear(directory: &Path, what: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return lies_in_clear(&path, what);
        }
        let bytes = fs::read(path).unwrap();
        bytes.windows(what.len()).any(|window| window == what.as_bytes())
    })
}

#[tokio::test]
async fn a_kit_opens_what_a_lost_vault_kept_and_nothing_once_it_is_back() {
    let people = People::new();
    let launch = people.launch();
    let mut house = House::start_with(&launch).await;
    let app = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let rotation = NewRotation { account: Some(app.clone()), ..NewRotation::default() };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &app, SOON).await;
    let cara = people.named(&house).await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let mine = people.own[0].1.as_str();
    let lifted = ada.run(&["customer", "limit", "acme", "--kit-recipient", mine, "--kit-threshold", "1"]).await;
    assert_eq!(lifted.code, 4, "nobody of the MSP says whose the keys are: {lifted:?}");
    let backup = ada.run(&["operator", "backup"]).await.json();

    // The customer gets its copy while there is a vault.
    let made = cara.run(&["kit", "create", "acme"]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let kit = made.json();
    assert_eq!((kit["state"].as_str(), kit["threshold"].as_u64()), (Some("made"), Some(3)), "{kit}");
    let (id, file) = (kit["id"].as_str().unwrap().to_owned(), people.at("acme.tar"));
    let got = cara.run(&["kit", "download", "acme", &id, "--to", &file]).await;
    assert_eq!(got.code, 0, "{got:?}");
    let kept = Path::new(&people.at("kits")).join(kit["file"].as_str().unwrap());
    assert_eq!(fs::read(&file).unwrap(), fs::read(&kept).unwrap());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(cara.run(&["kit", "download", "acme", &id, "--to", &file]).await.code, 1, "none is overwritten");
    assert_eq!(ada.run(&["kit", "list", "acme"]).await.json()[0]["id"], id);
    assert_eq!(cara.run(&["kit", "opened", "acme", &id, "--reason", "x"]).await.code, 4, "that is the MSP's to do");

    // Then there is none, nor what it stood on.
    let (share, log) = (house.vault.people.share.expose().to_owned(), house.vault.log());
    house.vault.kill().await;
    house.vault.lose_store().await;

    let unpacked = people.at("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").args(["-xf", &file, "-C", &unpacked]).status().await.unwrap();
    assert!(tar.success());
    let readme = fs::read_to_string(format!("{unpacked}/README.txt")).unwrap();
    assert!(readme.contains(&id) && readme.contains("any 3 of the 4 people"), "{readme}");
    let mut shares = Vec::new();
    for (identity, recipient) in people.own.iter().chain(&people.msp) {
        let number = shares.len() + 1;
        let name = format!("{unpacked}/share-{number}-{}.age", &recipient[..12]);
        shares.push(people.age(identity, &name).await.unwrap());
        assert!(people.age(identity, &format!("{unpacked}/kit.age")).await.is_none(), "nobody opens it alone");
    }
    let of_the_boss = format!("{unpacked}/share-1-{}.age", &people.own[0].1[..12]);
    assert!(people.age(&people.msp[0].0, &of_the_boss).await.is_none(), "nor another's share");

    // Two are not enough. What is mistyped, or given twice, is named and does not count.
    let (code, key, said) = combined(&shares[..2].concat()).await;
    assert!(code == 1 && key.is_empty() && said.contains("2 shares given, 3 are needed"), "{said}");
    let typo = shares[1].replacen("cek1-0", "cek1-1", 1);
    let (code, key, said) = combined(&[&*shares[0], &typo, &shares[0], "hunter2\n", &shares[2]].concat()).await;
    assert!(code == 1 && key.is_empty(), "{said}");
    for named in ["line 4: the share is incomplete or mistyped", "share 1 has been given already", "begins with cek1-"]
    {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert!(!said.contains(shares[0].lines().last().unwrap()), "no share is shown");

    // Three are, whoever they are; and age reads the key from a pipe.
    let (code, key, said) = combined(&[&*shares[3], &shares[0], &shares[2]].concat()).await;
    assert!(code == 0 && key.starts_with("AGE-SECRET-KEY-1") && said.contains(&id), "{said}");
    let line = format!("'{}' combine-kit | age -d -i - '{unpacked}/kit.age'", server_program().display());
    let mut pipe = Command::new("sh");
    pipe.args(["-c", &line]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipe.spawn().unwrap();
    child.stdin.take().unwrap().write_all(shares[1..].concat().as_bytes()).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let body: Value = serde_json::from_slice(&done.stdout).unwrap();
    let secret = secret_of(&body, "app");
    assert_eq!(body["systems"][0]["reached_by"]["port"], house.postgres.port());
    assert!(house.postgres.can_login("app", secret.expose()).await, "it opens what the vault kept");
    assert!(!lies_in_clear(people.folder.path(), secret.expose()) && !log.contains(secret.expose()));

    // A backup from before the kit: the vault that comes of it has never heard of the kit.
    let mut server = Server::nowhere(&launch).await;
    let config = server.config_file().to_str().unwrap().to_owned();
    let file = format!("{}/{}", people.at("backups"), backup["file"].as_str().unwrap());
    let restoring = ["restore", &file, "--identity", &people.msp[0].0, "--config", &config];
    let (code, said) = Server::tool(&restoring, "").await;
    assert_eq!(code, 0, "{said}");
    server.start_again(&launch).await;
    let vault = house.vault.on(server);
    assert_eq!(Cli::at(vault.address()).run_with(&["operator", "unseal", "--stdin"], &share).await.code, 0);
    let ada = vault.people.administrator.terminal(vault.address()).await;
    let words = ["kit", "opened", "acme", &id, "--reason", "the server burned down"];
    let early = ada.run(&words).await;
    assert!(early.code == 8 && early.stderr.contains("restore resume"), "{early:?}");
    assert_eq!(ada.run(&["kit", "create", "acme"]).await.code, 8, "nor does it make any");
    let resumed =
        ada.run(&["operator", "restore", "resume", "--reason", "the server burned down", "--uncompared"]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let opened = ada.run(&words).await;
    assert_eq!((opened.code, opened.json()["state"].as_str()), (0, Some("unknown")), "{opened:?}");
    let emergency = opened.json()["opened"]["emergency"].as_str().unwrap().to_owned();
    let again = ada.run(&words).await.json();
    assert_eq!(again["opened"]["emergency"], emergency);
    until("every secret is replaced", SOON, async || {
        let now = ada.run(&["emergency", "show", "acme", &emergency]).await.json();
        (now["state"] == "done").then_some(())
    })
    .await;
    assert!(!house.postgres.can_login("app", secret.expose()).await, "what was in the kit opens nothing any more");
    let tina = vault.people.technician.terminal(vault.address()).await;
    let shown = tina.run(&["checkout", &app.to_string(), "--for", "10m", "--reason", "a look", "--show"]).await;
    assert!(house.postgres.can_login("app", shown.json()["secret"].as_str().unwrap()).await, "{shown:?}");
}

#[tokio::test]
async fn a_customer_that_leaves_takes_its_secrets_along() {
    let people = People::new();
    for crash in [None, Some("after:customer.handed_over"), Some("before:customer.key_destroyed")] {
        leaves(&people, crash).await;
    }
}

/// Acme is offboarded; on the way the server may crash.
async fn leaves(people: &People, crash: Option<&str>) {
    let launch = Launch { crash: crash.map(str::to_owned), ..people.launch() };
    let mut house = House::start_with(&launch).await;
    let app = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    people.named(&house).await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let shown = tina.run(&["checkout", &app.to_string(), "--for", "10m", "--reason", "a look", "--show"]).await;
    let seen = shown.json().get("secret").and_then(Value::as_str).unwrap().to_owned();
    let acme =
        ada.run(&["customer", "show", "acme"]).await.json().get("id").and_then(Value::as_str).unwrap().to_owned();

    assert_eq!(ada.run(&["customer", "lock", "acme", "--reason", "the contract is over"]).await.code, 0);
    let words = ["customer", "offboard", "acme", "--reason", "the contract is over", "--confirm", "acme"];
    assert_eq!(ada.run(&words).await.code, 6, "its people go first");
    assert_eq!(ada.run(&["user", "remove", "cara"]).await.code, 0);
    let done = ada.run(&words).await;
    assert_eq!(done.code == 0, crash.is_none(), "{done:?}");
    if crash.is_some() {
        house.vault.ended().await;
        house.vault.restart_with(&people.launch()).await;
    }
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let done = until("it is offboarded", SOON, async || {
        let shown = ada.run(&["customer", "offboarded", &acme]).await;
        (shown.code == 0).then(|| shown.json())
    })
    .await;
    let text = |name: &str| done.pointer(name).and_then(Value::as_str).unwrap();
    assert!(text("/receipt").contains(text("/hand_over/sha256")), "{done}");

    let file = people.at(&format!("{}.age", crash.unwrap_or("acme")));
    let got = ada.run(&["customer", "offboarded", &acme, "--hand-over", &file]).await;
    assert_eq!(got.code, 0, "{got:?}");
    let [(boss, _), (deputy, _)] = &people.own;
    let text = people.age(boss, &file).await.unwrap();
    assert_eq!(people.age(deputy, &file).await.as_ref(), Some(&text), "each of them opens it alone");
    let [(ceo, _), _] = &people.msp;
    assert!(people.age(ceo, &file).await.is_none(), "and nobody of the MSP");
    let secret = secret_of(&serde_json::from_str(&text).unwrap(), "app");
    assert!(house.postgres.can_login("app", secret.expose()).await);
    assert!(
        secret.expose() != seen && !house.postgres.can_login("app", &seen).await,
        "what the MSP has seen was rotated"
    );
    assert!(!lies_in_clear(&house.vault.data_directory(), secret.expose()));
    assert!(!house.vault.log().contains(secret.expose()));
    house.vault.stop().await;
}
