//! An emergency rotation under `kill -9`: a real server, a real PostgreSQL, a part of the systems out of reach. What the
//! signed report says afterwards is held against what PostgreSQL itself has stored and logged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use claviger_api::emergency::verify_report;
use claviger_api::wire::{
    Emergency, EmergencyLine, EmergencyResult, EmergencyState, ImportRequest, ImportRow, NewEmergency, SystemSpec,
    TlsMode,
};
use claviger_api::{AccountPath, Part};
use claviger_client::Client;
use claviger_tests::inventory::{add_customer, add_system, part, secret, wanted};
use claviger_tests::postgres::{HOST, Postgres, random_text};
use claviger_tests::scram::{opens, verifiers};
use claviger_tests::vault::Vault;
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// Systems that all are the one PostgreSQL: a system has four rotations at once.
const SYSTEMS: usize = 8;
/// Rows of one import.
const ROWS: usize = 5_000;
/// One in so many accounts is on a system that nobody reaches.
const UNREACHABLE: usize = 20;
/// Killed when so many percent of the accounts are rotated.
const KILLS: [usize; 3] = [15, 40, 70];
/// Check-outs at once, afterwards.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn an_emergency_that_is_killed_three_times_tells_the_truth_about_a_real_postgresql() {
    killed(100, Duration::from_mins(3)).await;
}

#[tokio::test]
#[ignore = "the same with 10,000 accounts takes minutes: make emergency"]
async fn an_emergency_of_ten_thousand_that_is_killed_three_times_tells_the_truth_about_a_real_postgresql() {
    killed(10_000, Duration::from_mins(90)).await;
}

async fn killed(accounts: usize, at_most: Duration) {
    let postgres = Postgres::start_with(&[("max_connections", "300"), ("fsync", "off")]).await;
    let mut vault = Vault::start().await;
    let before = fill(&vault, &postgres, accounts).await;
    assert_eq!(before.len(), accounts);
    let out_of_reach = before.keys().filter(|path| is_out_of_reach(path)).count();
    assert_eq!(out_of_reach, accounts / UNREACHABLE);
    let changed_before = changes(&postgres);

    let (acme, reason) = (part("acme"), "stolen laptop".to_owned());
    let started = vault.administrator().emergencies().start(&acme, &NewEmergency { reason }).await.unwrap();
    let deadline = Instant::now() + at_most;
    for percent in KILLS {
        let reached = |now: &Emergency| now.counts.rotated >= (accounts * percent / 100) as u64;
        let now = watch(&vault.administrator(), &started, deadline, reached).await;
        assert_ne!(now.state, EmergencyState::Done, "it was killed too late to say anything");
        vault.kill().await;
        vault.restart().await;
    }
    let done = watch(&vault.administrator(), &started, deadline, |now| now.state == EmergencyState::Done).await;
    assert_eq!(done.counts.accounts, accounts as u64);

    let lines = report(&vault.administrator(), &acme, &done).await;
    assert_eq!(lines.len(), accounts);
    let (stored, changed) = (verifiers(&postgres).await, changes(&postgres));
    let now = secrets(&vault, before.keys().filter(|path| !is_out_of_reach(path))).await;
    for line in &lines {
        let (path, old) = (&line.account, &before[&line.account]);
        if is_out_of_reach(path) {
            assert_eq!((line.result, line.verified), (EmergencyResult::Unresolved, false), "{path}");
            assert!(line.why.is_some(), "{path}");
            continue;
        }
        assert_eq!((line.result, line.verified, line.old_refused), (EmergencyResult::Rotated, true, true), "{path}");
        let (login, verifier) = (path.account.as_str(), &stored[path.account.as_str()]);
        assert!(opens(verifier, &now[path]), "{path}: what the vault says is current does not open it");
        assert!(!opens(verifier, old), "{path}: its old secret does");
        let times = changed.get(login).unwrap_or(&0) - changed_before.get(login).unwrap_or(&0);
        assert_eq!(times, 1, "{path} was changed {times} times");
    }
}

/// A customer with this many accounts, each with a secret of its own; gives those.
async fn fill(vault: &Vault, postgres: &Postgres, accounts: usize) -> BTreeMap<AccountPath, String> {
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    for number in 0..SYSTEMS {
        add_system(&administrator, "acme", &format!("db{number}"), postgres.spec(TlsMode::VerifyFull)).await;
    }
    // Nobody listens on port 1.
    let nowhere = SystemSpec::Postgresql {
        host: HOST.to_owned(),
        port: 1,
        database: "postgres".to_owned(),
        tls: TlsMode::VerifyFull,
        ca_certificate: Some(postgres.ca_certificate().to_owned()),
    };
    add_system(&administrator, "acme", "nowhere", nowhere).await;
    let path = |number: usize| -> AccountPath {
        let system = match number % UNREACHABLE {
            0 => "nowhere".to_owned(),
            _ => format!("db{}", number % SYSTEMS),
        };
        format!("acme/{system}/r{number}").parse().unwrap()
    };
    let before: BTreeMap<AccountPath, String> = (0..accounts).map(|number| (path(number), random_text())).collect();
    let roles = before.iter().filter(|(path, _)| !is_out_of_reach(path));
    let statements: Vec<String> =
        roles.map(|(path, password)| format!("CREATE ROLE {} LOGIN PASSWORD '{password}'", path.account)).collect();
    for some in statements.chunks(500) {
        postgres.run_sql(&some.join(";")).await;
    }
    let row = |(line, (path, password)): (u32, (&AccountPath, &String))| ImportRow {
        line,
        system: path.system.clone(),
        account: path.account.clone(),
        login: None,
        secret: secret(password).disclose(),
        sensitive: false,
        tier: None,
    };
    let mut rows: Vec<ImportRow> = (1..).zip(&before).map(row).collect();
    while !rows.is_empty() {
        let some: Vec<ImportRow> = rows.drain(..ROWS.min(rows.len())).collect();
        administrator.customers().import(&part("acme"), &ImportRequest { rows: some }).await.unwrap();
    }
    before
}

fn is_out_of_reach(path: &AccountPath) -> bool {
    path.system.as_str() == "nowhere"
}

async fn watch(
    administrator: &Client,
    started: &Emergency,
    deadline: Instant,
    reached: impl Fn(&Emergency) -> bool,
) -> Emergency {
    loop {
        let now = administrator.emergencies().show(&started.customer, started.id).await.unwrap();
        if reached(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "it does not get on: {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn report(administrator: &Client, customer: &Part, done: &Emergency) -> Vec<EmergencyLine> {
    let mut export = administrator.emergencies().report(customer, done.id).await.unwrap();
    let mut text = Vec::new();
    while let Some(piece) = export.chunk().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    verify_report(&String::from_utf8(text).unwrap(), None).unwrap().lines
}

/// What the vault says opens each account now, as its next holder sees it.
async fn secrets<'a>(vault: &Vault, paths: impl Iterator<Item = &'a AccountPath>) -> BTreeMap<AccountPath, String> {
    let technician = vault.technician();
    let technician = &technician;
    let seen = stream::iter(paths.cloned()).map(async |path| {
        let held = technician.checkouts().create(&wanted(&path, 3600)).await?;
        let revealed = technician.checkouts().reveal(held.id).await?;
        claviger_client::Result::Ok((path, revealed.secret.secret().expose().to_owned()))
    });
    seen.buffer_unordered(AT_ONCE).try_collect().await.unwrap()
}

/// How often each role's password was changed, by PostgreSQL's log.
fn changes(postgres: &Postgres) -> BTreeMap<String, usize> {
    let mut changes = BTreeMap::new();
    for line in postgres.server_log().lines() {
        let Some((_, statement)) = line.split_once("statement: ALTER ROLE \"") else { continue };
        if let Some((role, _)) = statement.split_once("\" PASSWORD ") {
            *changes.entry(role.to_owned()).or_default() += 1;
        }
    }
    changes
}
