//! Accounts of an HTTP API that is described by a file, by the command line.

#![expect(clippy::indexing_slicing, reason = "answers as JSON")]

use claviger_tests::cli::Cli;
use claviger_tests::firewall::{ADMINISTRATOR, Firewall};
use claviger_tests::inventory::{add_customer, available};
use claviger_tests::poll::until;
use claviger_tests::postgres::{HOST, random_text};
use claviger_tests::vault::Vault;

use super::SOON;

/// The file that the docs show.
const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/firewall.calls.json");

/// A standing and an ephemeral account: added, lent to a command, checked in, and of no use afterwards.
#[tokio::test]
async fn accounts_of_an_api_are_lent_and_closed_again() {
    let (firewall, vault) = (Firewall::start().await, Vault::start().await);
    add_customer(&vault.administrator(), "acme").await;
    let first = random_text();
    firewall.add_user("backup", &first);
    firewall.add_group("operators");
    let ada = vault.people.administrator.terminal(vault.address()).await;
    set_up(&ada, &firewall, &first).await;

    let tina = vault.people.technician.terminal(vault.address()).await;
    let take = async |account: &str| {
        let shell = "printf '%s\\n%s\\n%s\\n' \"$API_URL\" \"$API_LOGIN\" \"$API_SECRET\"; test -s \"$CURL_CA_BUNDLE\"";
        let words = ["exec", account, "--for", "30m", "--reason", "a test", "--", "sh", "-c", shell];
        let done = tina.run(&words).await;
        assert_eq!(done.code, 0, "{done:?}");
        let lines: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
        <[String; 3]>::try_from(lines).unwrap()
    };
    let [url, login, lent] = take("acme/fw01/backup").await;
    assert_eq!((url, login.as_str()), (format!("https://{HOST}:{}", firewall.port()), "backup"));
    assert_eq!(lent, first, "it was not in use before");
    available(&vault.technician(), &"acme/fw01/backup".parse().unwrap(), SOON).await;
    assert!(!firewall.opens("backup", &first), "what was lent opens nothing any more");
    let verified = tina.run(&["account", "verify", "acme/fw01/backup"]).await.json();
    assert_eq!((&verified["result"], &verified["version"]), (&"accepted".into(), &2.into()), "{verified}");

    let [_, login, lent] = take("acme/fw01/dba").await;
    assert!(login.starts_with("dba_"), "{login}");
    until("the login is removed", SOON, async || (!firewall.exists(&login)).then_some(())).await;
    assert!(!firewall.requests().iter().any(|line| line.contains(&lent)), "no secret in an address");
    assert_eq!(firewall.failed("backup"), 0, "the last login was a right one");
}

async fn set_up(ada: &Cli, firewall: &Firewall, first: &str) {
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), firewall.ca_certificate()).unwrap();
    let (ca, port) = (ca.path().to_str().unwrap(), firewall.port().to_string());
    let run = async |words: &[&str], input: &str| {
        let done = ada.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        done
    };
    let add = ["system", "add", "acme/fw01", "--kind", "http", "--host", HOST, "--port", &port, "--system-ca", ca];
    let with = async |calls: &str| ada.run_with(&[&add[..], &["--calls", calls]].concat(), "").await;

    // What is wrong in a description is told at once, all of it, by its place; and what is no description by its line.
    let text = std::fs::read_to_string(CALLS).unwrap();
    let wrong = tempfile::NamedTempFile::new().unwrap();
    let spoilt = text.replace("/users/{login}/password", "/users/{login}/{new_secret}").replace("{mark}", "{Mark}");
    std::fs::write(wrong.path(), spoilt).unwrap();
    let refused = with(wrong.path().to_str().unwrap()).await;
    assert_ne!(refused.code, 0, "{refused:?}");
    for expected in ["spec.calls.set.path", "addresses are logged", "spec.calls.create.body.json/comment"] {
        assert!(refused.stderr.contains(expected), "{expected}: {refused:?}");
    }
    std::fs::write(wrong.path(), text.replacen("\"path\"", "\"pth\"", 1)).unwrap();
    let refused = with(wrong.path().to_str().unwrap()).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("unknown field `pth`") && refused.stderr.contains("line 4"), "{refused:?}");

    let system = run(&[&add[..], &["--calls", CALLS, "--lockout-threshold", "5"]].concat(), "").await.json();
    let spec = &system["spec"];
    assert_eq!(
        (&spec["kind"], &spec["tls"], &spec["grace_seconds"]),
        (&"http".into(), &"verify-full".into(), &0.into())
    );
    assert_eq!(spec["calls"]["set"]["path"], "/api/v1/users/{login}/password");
    let password = firewall.administrator_secret();
    run(&["account", "add", "acme/fw01/manager", "--login", ADMINISTRATOR, "--stdin"], password.expose()).await;
    run(&["system", "set", "acme/fw01", "--management-account", "manager"], "").await;
    run(&["account", "add", "acme/fw01/backup", "--login", "backup", "--stdin"], first).await;
    let dba = ["account", "add", "acme/fw01/dba", "--kind", "ephemeral", "--login", "dba", "--member-of", "operators"];
    run(&dba, "").await;
    let table = run(&["system", "list", "--customer", "acme", "--output", "table"], "").await;
    assert!(table.stdout.contains("http") && table.stdout.contains(&format!("{HOST}:{port}")), "{}", table.stdout);
}
