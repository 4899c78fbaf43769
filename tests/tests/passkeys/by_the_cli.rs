//! A person's way in by the command line and a passkey: enrolment, check-out, and in again another day.

use std::process::Stdio;

use claviger_api::wire::{NewUser, Role};
use claviger_tests::cli::{Cli, Done};
use claviger_tests::inventory::{add_customer, add_postgres, add_role};
use claviger_tests::postgres::{Postgres, random_text};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdin;

use super::House;

impl House {
    /// Runs a command that shows the address of a page, does there what it asks for, and types the code.
    async fn by_browser(&self, cli: &Cli, words: &[&str], typed_first: &str, wrong: bool) -> Done {
        let mut child = cli.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin: ChildStdin = child.stdin.take().unwrap();
        stdin.write_all(typed_first.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut url, mut stderr) = (String::new(), String::new());
        while let Some(line) = lines.next_line().await.unwrap() {
            stderr = stderr + &line + "\n";
            if line.trim().starts_with("http://") {
                line.trim().clone_into(&mut url);
            }
            let Some(mark) = line.trim().strip_prefix("number ") else { continue };
            self.browser.open(&url).await;
            assert_eq!(self.browser.read("#mark").await, mark, "page and terminal show the same");
            assert_eq!(self.browser.read("#user").await, "kim");
            assert_eq!(self.browser.read("#asked-from").await, "127.0.0.1");
            self.browser.click("#go").await;
            let code = self.browser.read("#code").await;
            let code = if wrong { "00000000" } else { &code };
            stdin.write_all(format!("{code}\n").as_bytes()).await.unwrap();
            break;
        }
        drop(stdin);
        let mut stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut stdout).await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            stderr = stderr + &line + "\n";
        }
        let code = child.wait().await.unwrap().code().unwrap();
        Done { code, stdout, stderr }
    }
}

#[tokio::test]
async fn from_enrolment_to_check_out_with_a_passkey_by_the_cli() {
    let (house, postgres) = tokio::join!(House::start(), Postgres::start());
    let administrator = house.vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    let account = add_role(&administrator, &postgres, "acme/db01/app").await.to_string();
    let kim = "kim".parse().unwrap();
    let added = administrator.users().add(&NewUser { name: "kim".parse().unwrap(), customer: None }).await.unwrap();
    house.vault.people.administrator.grants(house.vault.address(), &kim, Role::Technician, "acme").await;
    let (cli, password) = (Cli::at(house.vault.address()), random_text());
    let json = async |words: &[&str], input: &str| -> Value {
        let done = cli.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap_or(Value::Null)
    };
    let authenticator = house.browser.plug_in().await;

    let code = added.enrolment.secret().expose();
    json(&["login", "kim", "--enrolment", "--stdin"], &format!("{code}\n{password}\n")).await;
    let add = ["mfa", "add", "passkey", "--label", "laptop", "--stdin"];
    let wrong = house.by_browser(&cli, &add, "", true).await;
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert_eq!(json(&["mfa", "list"], "").await["factors"], Value::Array(Vec::new()), "without the code it is none");
    // The browser has kept that passkey, as a browser does; the vault has not, and never asks for it.
    let added = house.by_browser(&cli, &add, "", false).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    let added: Value = serde_json::from_str(&added.stdout).unwrap();
    assert_eq!((&added["factor"]["kind"], &added["factor"]["label"]), (&"passkey".into(), &"laptop".into()));
    let recovery: Vec<&str> = added["recovery_codes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(recovery.len(), 10);
    assert!(!house.browser.keys(&authenticator).await.is_empty());

    let wanted = ["checkout", &account, "--for", "10m", "--reason", "an outage"];
    let held = json(&wanted, "").await;
    let revealed = json(&["reveal", held["id"].as_str().unwrap(), "--show"], "").await;
    assert!(postgres.can_login("app", revealed["secret"].as_str().unwrap()).await);
    json(&["checkin", held["id"].as_str().unwrap()], "").await;
    json(&["logout"], "").await;

    let log_in = ["login", "kim", "--passkey", "--stdin"];
    let wrong = house.by_browser(&cli, &log_in, &format!("{password}\n"), true).await;
    assert_eq!(wrong.code, 3, "{}", wrong.stderr);
    let refused = cli.run_with(&log_in, "not the password\n").await;
    assert_eq!(refused.code, 3, "no page for whoever has not got the password: {}", refused.stderr);
    let done = house.by_browser(&cli, &log_in, &format!("{password}\n"), false).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(json(&["whoami"], "").await["name"], "kim");
    let stepped_up = house.by_browser(&cli, &["mfa", "step-up", "--passkey", "--stdin"], "", false).await;
    assert_eq!(stepped_up.code, 0, "{}", stepped_up.stderr);
    let held = json(&["checkouts", "--customer", "acme"], "").await;
    assert!(held.as_array().is_some(), "{held}");
    house.browser.close().await;
}
