//! A witness of the customer's own: a program beside the vault, that has seen its log.

use std::path::Path;
use std::process::Stdio;

use claviger_api::audit::{Checkpoint, CosignerKey, VerifierKey};
use claviger_api::wire::NewRotation;
use claviger_client::Client;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, add_role, available};
use claviger_tests::poll::until;
use claviger_tests::server::{Launch, free_port};
use claviger_tests::vault::Vault;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use super::{House, SOON};

/// The witness, on the customer's machine.
struct Witness {
    folder: TempDir,
    cli: Cli,
    key: CosignerKey,
    port: u16,
    child: Option<Child>,
}

impl Witness {
    async fn new() -> Self {
        let (folder, cli) = (TempDir::with_prefix("claviger-witness-").unwrap(), Cli::at("http://127.0.0.1:1"));
        let state = folder.path().to_str().unwrap();
        let name = "witness.acme.example/w1";
        let made = cli.run(&["witness", "init", "--state", state, "--name", name, "--output", "table"]).await;
        assert_eq!(made.code, 0, "{made:?}");
        let again = cli.run(&["witness", "init", "--state", state, "--name", name]).await;
        assert_eq!(again.code, 2, "a key is never made over another: {again:?}");
        let key = made.stdout.trim().parse().unwrap();
        Self { folder, cli, key, port: free_port(), child: None }
    }

    fn launch(&self) -> Launch {
        let (port, key) = (self.port, &self.key);
        let customer = "customer = 'acme'";
        let audit = format!("[[audit.witnesses]]\nurl = 'http://127.0.0.1:{port}'\nkey = '{key}'\n{customer}\n");
        Launch { audit, ..Launch::default() }
    }

    async fn follow(&mut self, log: &str, silence: &str) {
        let state = self.folder.path().to_str().unwrap().to_owned();
        let listen = format!("127.0.0.1:{}", self.port);
        let words = ["witness", "serve", "--state", &state, "--log", log, "--listen", &listen, "--silence", silence];
        self.child = Some(self.cli.command(&words).stderr(Stdio::null()).spawn().unwrap());
        until("the witness listens", SOON, async || tokio::net::TcpStream::connect(&listen).await.ok()).await;
    }

    async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// What it has seen: entries and alarms.
    async fn seen(&self) -> Vec<(u64, u64)> {
        let seen = self.cli.run(&["witness", "status", "--state", self.folder.path().to_str().unwrap()]).await.json();
        let number = |log: &Value, name: &str| log[name].as_u64().unwrap();
        seen.as_array().unwrap().iter().map(|log| (number(log, "size"), number(log, "alarms"))).collect()
    }

    fn alarms(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("alarms.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn log_key(client: &Client) -> String {
    client.audit().checkpoint(Some(&"acme".parse().unwrap())).await.unwrap().verifier_key
}

/// The vault, put back as it was, with its anchor: nothing on the provider's machines speaks against it. The witness does.
#[tokio::test]
async fn anvil_stale_copy_a_witness_speaks_against_an_older_store() {
    let mut witness = Witness::new().await;
    let mut house = House::start_with(&witness.launch()).await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let log = log_key(&house.vault.administrator()).await;
    house.vault.stop().await;
    let folder = TempDir::new().unwrap();
    let backup = house.vault.keep().await;
    let anchor = house.vault.data_directory().with_extension("anchor");
    std::fs::copy(&anchor, folder.path().join("anchor")).unwrap();

    witness.follow(&log, "1h").await;
    house.vault.restart_with(&witness.launch()).await;
    let rotation = NewRotation { account: Some(account.clone()), ..NewRotation::default() };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &account, SOON).await;
    house.vault.stop().await;
    house.vault.restart_with(&witness.launch()).await;

    // It was asked when the vault opened, and what it has cosigned is shown to whoever asks for a checkpoint.
    let shown = house.vault.administrator().audit().checkpoint(Some(&"acme".parse().unwrap())).await.unwrap();
    let cosigned = shown.cosigned.expect("the witness has cosigned");
    assert!(witness.key.cosigned(&cosigned).unwrap().is_some());
    let key: VerifierKey = log.parse().unwrap();
    let seen = Checkpoint::open(&cosigned, std::slice::from_ref(&key)).unwrap();
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(ada.run(&["audit", "export", "--customer", "acme", "--to", &file("acme.jsonl")]).await.code, 0);
    std::fs::write(file("kept"), &cosigned).unwrap();
    let of_witness = witness.key.to_string();
    let words =
        ["audit", "verify", &file("acme.jsonl"), "--key", &log, "--kept", &file("kept"), "--witness", &of_witness];
    let verified = witness.cli.run(&words).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.stderr.contains("witness.acme.example/w1 has seen it"), "{verified:?}");
    house.vault.stop().await;

    house.vault.put_back(&backup).await;
    std::fs::copy(folder.path().join("anchor"), &anchor).unwrap();
    house.vault.start_again(&witness.launch()).await;
    let (operator, share) = (Cli::at(house.vault.address()), house.vault.people.share.expose().to_owned());
    let refused = operator.run_with(&["operator", "unseal", "--stdin"], &share).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains(&format!("has seen {} entries", seen.size)), "{refused:?}");
    witness.stop().await;
    assert_eq!(witness.seen().await, [(seen.size, 0)], "and it stays with what it has seen");
}

/// A vault that shows another history, signed by the very key of the log, and a vault that says nothing any more.
#[tokio::test]
async fn a_fork_and_silence_raise_an_alarm() {
    let mut witness = Witness::new().await;
    let mut vault = Vault::start_with(&witness.launch()).await;
    add_customer(&vault.administrator(), "acme").await;
    let log = log_key(&vault.administrator()).await;
    vault.stop().await;
    let mut fork = vault.copy(&Launch::default()).await;
    witness.follow(&log, "4s").await;
    vault.restart_with(&witness.launch()).await;
    add_customer_system(&vault.administrator(), "one").await;
    vault.stop().await;
    vault.restart_with(&witness.launch()).await;
    vault.stop().await;

    // The other copy goes its own way, as far and further.
    for name in ["two", "three", "four"] {
        add_customer_system(&fork.administrator(), name).await;
    }
    fork.stop().await;
    fork.start_again(&witness.launch()).await;
    let refused =
        Cli::at(fork.address()).run_with(&["operator", "unseal", "--stdin"], fork.people.share.expose()).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("another past"), "{refused:?}");
    let alarm = until("the alarm of silence", SOON, async || {
        witness.alarms().into_iter().find(|alarm| alarm["kind"] == "silence")
    })
    .await;
    assert_eq!(alarm["log"], log.split('+').next().unwrap());
    witness.stop().await;
    let alarms = witness.alarms();
    let forked = alarms.iter().find(|alarm| alarm["kind"] == "inconsistent").expect("the other history was told of");
    let key: VerifierKey = log.parse().unwrap();
    for side in ["shown", "known"] {
        let evidence = Checkpoint::open(forked[side].as_str().unwrap(), std::slice::from_ref(&key));
        assert!(evidence.is_ok(), "both are signed by the log's own key: {evidence:?}");
    }
}

async fn add_customer_system(client: &Client, name: &str) {
    let spec = serde_json::from_str(r#"{"kind":"postgresql","host":"127.0.0.1","port":1,"tls":"disable"}"#).unwrap();
    claviger_tests::inventory::add_system(client, "acme", name, spec).await;
}

/// The folder tells nothing to others, and holds no more than it has to.
#[tokio::test]
async fn a_witness_keeps_its_key_to_itself() {
    use std::os::unix::fs::PermissionsExt as _;
    let witness = Witness::new().await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&witness.folder.path().join("key")), 0o600);
    let gone = witness.cli.run(&["witness", "status", "--state", "/nowhere"]).await;
    assert_eq!(gone.code, 2, "{gone:?}");
    assert!(gone.stderr.contains("witness init"), "it says what to do: {gone:?}");
}
