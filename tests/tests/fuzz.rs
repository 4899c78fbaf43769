//! A schema-driven fuzzer on the running server: no failure of the server's own, no answer that its description does not
//! know. Twice: once with names and ids that the fuzzer makes up, once with those of things that are there, and then
//! also at the edges of the description, and with what earlier answers told.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use claviger_api::BreakGlassId;
use claviger_api::wire::{
    IssuerKeys, NewAccount, NewBreakGlass, NewEmergency, NewIssuer, NewReview, NewRotation, NewServiceAccount, Role,
};
use claviger_tests::inventory::{add_customer, add_ephemeral, add_system, new_provider, part, secret, wanted};
use claviger_tests::openapi::Description;
use claviger_tests::raw::Raw;
use claviger_tests::vault::Vault;
use tempfile::TempDir;
use tokio::process::Command;

/// Fixed, so that what fails today fails tomorrow.
const SEED: &str = "20";
/// Requests that are made up for each operation, besides those at the edges of the description.
const EXAMPLES: &str = "6";
/// What every answer must keep.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,ignored_auth,unsupported_method,\
                      allow_header_conformance,use_after_free";
/// The same for a vault that is being sealed: from then on it answers everybody with 503, as it should.
const CHECKS_WHILE_SEALED: &str = "status_code_conformance,content_type_conformance,response_headers_conformance,\
                                   response_schema_conformance,unsupported_method,allow_header_conformance";
/// The most that one run may take.
const AT_MOST: Duration = Duration::from_mins(8);

/// What a system can be has so many edges that they would take most of the time; requests are made up for these all the same.
const BROAD: [&str; 2] = ["addSystem", "changeSystem"];

/// These shut the customer away, end the session, or close the vault: each is fuzzed alone, and last.
const LAST: [&str; 3] = ["logOut", "seal", "lockCustomer"];

#[tokio::test]
async fn no_answer_is_the_servers_own_failure_or_undocumented() {
    all_but_the_last(&house().await, "", &["--phases", "fuzzing"]).await;
}

#[tokio::test]
async fn no_answer_to_what_ends_a_session_or_the_vault_is_either() {
    let vault = Vault::start().await;
    let administrator = vault.people.administrator.token();
    let technician = vault.people.technician.token();
    add_customer(&vault.administrator(), "acme").await;
    let alone = ["--checks", CHECKS, "--include-operation-id", LAST[2]];
    fuzz(&vault, administrator, "[parameters]\n'path.customer' = 'acme'\n", &alone, 1).await;
    let alone = ["--checks", CHECKS, "--include-operation-id", LAST[0]];
    fuzz(&vault, technician, "", &alone, 1).await;
    assert_eq!(status(&vault, technician).await, 401, "the fuzzer logged out");
    let alone = ["--checks", CHECKS_WHILE_SEALED, "--include-operation-id", LAST[1]];
    fuzz(&vault, administrator, "", &alone, 1).await;
    assert_eq!(status(&vault, administrator).await, 503, "the fuzzer sealed the vault");
}

#[tokio::test]
async fn no_answer_about_what_is_there_is_either() {
    let vault = house().await;
    let there = there(&vault).await;
    all_but_the_last(&vault, &there, &[]).await;
}

/// This one never ends its answer: `main_job/following.rs`.
const ENDLESS: &str = "followEvents";

/// These ask an identity provider, and answer 503, as they should, where it is not there.
const ELSEWHERE: [&str; 2] = ["beginSignOn", "beginDeviceSignOn"];

async fn all_but_the_last(vault: &Vault, config: &str, how: &[&str]) {
    let administrator = vault.people.administrator.token();
    let all = Description::of(vault.address()).await.operations().len();
    let mut which = [&["--checks", CHECKS], how].concat();
    which.extend(LAST.iter().chain(&ELSEWHERE).chain([&ENDLESS]).flat_map(|id| ["--exclude-operation-id", id]));
    fuzz(vault, administrator, config, &which, all - LAST.len() - ELSEWHERE.len() - 1).await;
    let mut which = vec!["--checks", CHECKS_WHILE_SEALED];
    which.extend(ELSEWHERE.iter().flat_map(|id| ["--include-operation-id", id]));
    fuzz(vault, administrator, config, &which, ELSEWHERE.len()).await;
    assert_eq!(status(vault, administrator).await, 200, "the fuzzer was somebody to the end");
}

async fn status(vault: &Vault, token: &str) -> u16 {
    Raw::with_token(vault.address(), token).get("/v1/me").await.status.as_u16()
}

/// A vault with something of everything.
async fn house() -> Vault {
    let vault = Vault::start().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    let nowhere = serde_json::from_str(r#"{"kind":"postgresql","host":"127.0.0.1","port":1,"tls":"disable"}"#).unwrap();
    add_system(&administrator, "acme", "db01", nowhere).await;
    for name in ["admin", "other"] {
        let account = NewAccount::standing(part(name), Some(secret("something")));
        administrator.accounts().add(&part("acme"), &part("db01"), &account).await.unwrap();
    }
    add_ephemeral(&administrator, "acme/db01/temp", &[]).await;
    let robot = NewServiceAccount::with_token(part("robot"), 3600);
    administrator.service_accounts().add(&robot).await.unwrap();
    let trusted = NewIssuer {
        name: part("trusted"),
        issuer: "https://issuer.example".to_owned(),
        audience: "vault".to_owned(),
        keys: IssuerKeys::Discovery { ca_certificate: None },
    };
    administrator.issuers().add(&trusted).await.unwrap();
    administrator.identity_providers().add(&new_provider("entra", "https://login.example")).await.unwrap();
    vault
}

/// The names and ids of what is there, as the fuzzer's configuration.
async fn there(vault: &Vault) -> String {
    let technician = vault.technician();
    let held = technician.checkouts().create(&wanted(&"acme/db01/admin".parse().unwrap(), 3600)).await.unwrap();
    let other = NewRotation { account: Some("acme/db01/other".parse().unwrap()), ..NewRotation::default() };
    let rotation = technician.rotations().start(&other).await.unwrap().rotations.remove(0).id;
    let review = vault.administrator().reviews().start(&part("acme"), &NewReview::default()).await.unwrap().id;
    let new = NewEmergency { reason: "x".to_owned() };
    let emergency = vault.administrator().emergencies().start(&part("acme"), &new).await.unwrap().id;
    let glass = asked_for(vault).await;
    let grant = vault.administrator().grants().list(Some(&part("tina"))).all().await.unwrap().remove(0).id;
    format!(
        "[parameters]\n'path.customer' = 'acme'\n'path.system' = 'db01'\n'path.account' = 'admin'\n\
         'path.checkout' = '{}'\n'path.rotation' = '{rotation}'\n'path.grant' = '{grant}'\n\
         'path.review' = '{review}'\n\
         'path.emergency' = '{emergency}'\n\
         'path.glass' = '{glass}'\n\
         'path.issuer' = 'trusted'\n'path.provider' = 'entra'\n'path.name' = 'robot'\n'query.customer' = 'acme'\n\
         [[operations]]\ninclude-operation-id = {BROAD:?}\nphases.coverage.enabled = false\n",
        held.id
    )
}

/// Emergency access that is asked for, and waits for another's yes.
async fn asked_for(vault: &Vault) -> BreakGlassId {
    let role = Some((Role::BreakGlass, "acme"));
    let gil = vault.people.administrator.adds_user(vault.address(), "gil", role).await;
    let new = NewBreakGlass { scope: "acme".parse().unwrap(), reason: "x".to_owned(), ttl_seconds: None };
    gil.client(vault.address()).break_glass().open(&new).await.unwrap().id
}

/// Runs the fuzzer as somebody. It tests so many operations, and finds nothing.
async fn fuzz(vault: &Vault, token: &str, config: &str, which: &[&str], operations: usize) {
    let folder = TempDir::with_prefix("claviger-fuzz-").unwrap();
    let config_file = folder.path().join("schemathesis.toml");
    std::fs::write(&config_file, config).unwrap();
    // From a file: of an address, the fuzzer silently leaves out the very address.
    let description = folder.path().join("openapi.json");
    std::fs::write(&description, Raw::nobody(vault.address()).get("/openapi.json").await.body).unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let mut command = Command::new(fuzzer());
    command.arg("--config-file").arg(&config_file).arg("run").arg(&description);
    command.args(["--url", vault.address(), "--header", &bearer, "--seed", SEED, "--max-examples", EXAMPLES]);
    command.args(["--continue-on-failure", "--no-color", "--warnings", "off"]).args(which);
    command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(AT_MOST, command.output()).await.expect("the fuzzer ends in time").unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains(&format!("Tested: {operations}\n")), "not {operations} operations: {said}");
}

/// `scripts/setup test` installs it.
fn fuzzer() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let program = Path::new(target).join("venv/bin/schemathesis");
    assert!(program.exists(), "{} is not there: run `scripts/setup test`", program.display());
    program
}
