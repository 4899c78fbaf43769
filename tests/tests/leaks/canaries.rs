//! A unique secret through every field, in every wrong form too, at the most talkative log level; then a search for them
//! in all that the vault writes and says.

use std::sync::atomic::{AtomicUsize, Ordering};

use claviger_api::wire::{NewAccount, NewServiceAccount, Role};
use claviger_client::Client;
use claviger_tests::audit;
use claviger_tests::inventory::{add_customer, add_ephemeral, add_postgres, add_role, available, part, secret, wanted};
use claviger_tests::openapi::{Description, Operation};
use claviger_tests::postgres::{Postgres, random_text};
use claviger_tests::raw::{Raw, Reply};
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::search::{Needle, files, found};

const SOON: std::time::Duration = std::time::Duration::from_mins(1);

/// Texts that these operations take alone, and rightly so: they are no secrets.
const NAMES: &[(&str, &str)] = &[
    ("addAccount", "name"),
    ("addUser", "name"),
    ("changeCustomer", "display_name"),
    ("changeAccount", "owner"),
    ("changeSystem", "management_account"),
    ("lockCustomer", "reason"),
    ("offerPasskey", "label"),
    ("offerTotp", "label"),
    ("openedKit", "reason"),
    ("startEmergency", "reason"),
    ("unlockCustomer", "reason"),
];

/// Canaries are names too, so that they come as far as names do. All begin alike; their end says which one it was.
struct Canaries {
    beginning: String,
    next: AtomicUsize,
}

impl Canaries {
    fn new() -> Self {
        Self { beginning: random_text().to_lowercase()[..20].to_owned(), next: AtomicUsize::new(0) }
    }

    fn another(&self) -> String {
        format!("{}-{}", self.beginning, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn anvil_canary_sweep() {
    let postgres = Postgres::start().await;
    let mut vault = Vault::start_with(&Launch { level: Some("trace"), ..Launch::default() }).await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    // What happens to these two happens by the canaries.
    let goat = NewAccount::standing(part("goat"), None);
    administrator.accounts().add(&part("acme"), &part("db01"), &goat).await.unwrap();
    vault.people.administrator.adds_user(vault.address(), "sam", None).await;
    let canaries = Canaries::new();

    let mut said = Vec::new();
    send_everywhere(&vault, &canaries, &mut said).await;
    assert!(said.len() > 500, "only {} requests", said.len());
    let mut secrets = true_secrets(&vault, &postgres, &canaries).await;
    for person in [&vault.people.administrator, &vault.people.technician] {
        secrets.push(person.password.expose().to_owned());
        secrets.extend(person.app.secrets());
        secrets.push(person.token().to_owned());
    }
    secrets.push(vault.people.share.expose().to_owned());

    let mut haystacks: Vec<(String, Vec<u8>)> = Vec::new();
    for customer in [None, Some(part("acme"))] {
        let export = audit::export(&vault.administrator(), customer.as_ref()).await;
        haystacks.push((format!("the record of {customer:?}"), export.into_bytes()));
    }
    vault.stop().await;
    let requests = said.len();
    haystacks.push(("an answer".to_owned(), said.iter().flat_map(|(name, reply)| all_of(name, reply)).collect()));
    haystacks.push(("the log".to_owned(), vault.log().into_bytes()));
    haystacks.extend(files(&vault.data_directory()));
    haystacks.extend(vault.rows_elsewhere().await);
    haystacks.push(("the system's log".to_owned(), said_to_system(&postgres).into_bytes()));

    assert!(vault.log().lines().count() > requests, "every request has its line");
    let mut needles = vec![Needle::new(&canaries.beginning)];
    needles.extend(secrets.iter().map(|secret| Needle::new(secret)));
    let hits = found(&needles, &haystacks);
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
}

/// What the system has logged, but for the roles that the test itself has made with clear passwords.
fn said_to_system(postgres: &Postgres) -> String {
    let log = postgres.server_log();
    log.lines().filter(|line| !line.contains("LOGIN PASSWORD E'")).collect::<Vec<_>>().join("\n")
}

/// Every operation, with a canary where it does not belong and in every field, by somebody and by nobody.
async fn send_everywhere(vault: &Vault, canaries: &Canaries, said: &mut Vec<(String, Reply)>) {
    let administrator = Raw::with_token(vault.address(), vault.people.administrator.token());
    let nobody = Raw::nobody(vault.address());
    // What has no end says nothing but events.
    let operations = Description::of(vault.address()).await.operations();
    for operation in operations.into_iter().filter(|operation| !operation.endless) {
        // These two would end the test's own session, or the vault's.
        if ["logOut", "seal"].contains(&operation.id.as_str()) {
            continue;
        }
        for raw in [&administrator, &nobody] {
            misplaced(raw, &operation, canaries, said).await;
            in_fields(raw, &operation, canaries, said).await;
        }
        let stranger = Raw::with_token(vault.address(), &canaries.another());
        let path = operation.path_with(existing);
        said.push((operation.id.clone(), stranger.ask(operation.method.clone(), &path, None).await));
    }
}

/// In the path, the query and the headers.
async fn misplaced(raw: &Raw, operation: &Operation, canaries: &Canaries, said: &mut Vec<(String, Reply)>) {
    let method = || operation.method.clone();
    let path = operation.path_with(existing);
    let requests = [
        raw.request(method(), &operation.path_with(|_| canaries.another())),
        raw.request(method(), &format!("/v1/{}", canaries.another())),
        raw.request(method(), &format!("{path}/%22{}", canaries.another())),
        raw.request(method(), &format!("{path}?password={}", canaries.another())),
        raw.request(method(), &format!("{path}?limit={}", canaries.another())),
        raw.request(method(), &path)
            .header("Idempotency-Key", format!("{} {}", canaries.another(), canaries.another())),
        raw.request(method(), &path).header(CONTENT_TYPE, format!("text/{}", canaries.another())),
        raw.request(method(), &path).header("X-Password", canaries.another()),
    ];
    // A deletion is done once for all, and only of what is not there.
    let harmless = operation.method != Method::DELETE;
    for (number, request) in requests.into_iter().enumerate().filter(|(number, _)| harmless || *number < 5) {
        said.push((format!("{} misplaced {number}", operation.id), raw.send(request).await.unwrap()));
    }
}

/// In each field of the body: as it should be, in the wrong form, twice, cut short, and beside it.
async fn in_fields(raw: &Raw, operation: &Operation, canaries: &Canaries, said: &mut Vec<(String, Reply)>) {
    for field in &operation.fields {
        let name = &field.name;
        let mut bodies = if NAMES.contains(&(operation.id.as_str(), name)) {
            Vec::new()
        } else {
            vec![json!({ name: canaries.another() }).to_string()]
        };
        bodies.extend([
            json!({ name: { canaries.another(): canaries.another() } }).to_string(),
            json!({ name: [canaries.another()] }).to_string(),
            json!({ name: "x", canaries.another(): canaries.another() }).to_string(),
            format!("{{\"{name}\":\"{}\",\"{name}\":\"{}\"}}", canaries.another(), canaries.another()),
            format!("{{\"{name}\":\"{}", canaries.another()),
            format!("{{\"{name}\":{}}}", canaries.another()),
        ]);
        for body in bodies {
            let path = operation.path_with(existing);
            let request = raw.request(operation.method.clone(), &path).header(CONTENT_TYPE, "application/json");
            let reply = raw.send(request.body(body)).await.unwrap();
            // What was taken as a secret is looked for like every other; nothing else shall have been taken.
            assert!(!reply.status.is_success() || field.secret, "{} took {name}", operation.id);
            said.push((format!("{} {name}", operation.id), reply));
        }
    }
}

/// What there is, for each part of a path.
fn existing(part: &str) -> String {
    match part {
        "customer" | "keyed" => "acme",
        "system" => "db01",
        "account" => "goat",
        "name" => "sam",
        "checkout" => "co_0197a3c2e1f07b1a8c3d4e5f60718293",
        "rotation" => "ro_0197a3c2e1f07b1a8c3d4e5f60718293",
        "grant" => "gr_0197a3c2e1f07b1a8c3d4e5f60718293",
        "glass" => "bg_0197a3c2e1f07b1a8c3d4e5f60718293",
        "review" => "rv_0197a3c2e1f07b1a8c3d4e5f60718293",
        "emergency" => "em_0197a3c2e1f07b1a8c3d4e5f60718293",
        "backup" => "bk_0197a3c2e1f07b1a8c3d4e5f60718293",
        "kit" => "ki_0197a3c2e1f07b1a8c3d4e5f60718293",
        "former" => "cu_0197a3c2e1f07b1a8c3d4e5f60718293",
        "issuer" => "trusted",
        "provider" => "entra",
        "factor" => "fa_0197a3c2e1f07b1a8c3d4e5f60718293",
        other => panic!("a part of a path that this test does not know: {other}"),
    }
    .to_owned()
}

/// Every secret that there can be, set, made, shown, and used.
async fn true_secrets(vault: &Vault, postgres: &Postgres, canaries: &Canaries) -> Vec<String> {
    let (administrator, technician) = (vault.administrator(), vault.technician());
    let mut secrets = vec![postgres.superuser_secret().expose().to_owned()];

    let account = add_role(&administrator, postgres, "acme/db01/admin").await;
    let temp = add_ephemeral(&administrator, "acme/db01/temp", &[]).await;
    for account in [&account, &temp] {
        secrets.push(used(&technician, account).await);
    }
    secrets.push(used(&technician, &account).await);

    let other = add_role(&administrator, postgres, "acme/db01/other").await;
    let odd = format!("{}\"\\/ä +%", canaries.another());
    administrator.accounts().set_secret(&other, secret(&odd)).await.unwrap();
    technician.accounts().verify(&other).await.unwrap();
    let import = json!({ "rows": [
        { "line": 1, "system": "db01", "account": "imported", "secret": canaries.another() },
        { "line": 2, "system": "nowhere", "account": "imported", "secret": canaries.another() },
    ] });
    let raw = Raw::with_token(vault.address(), vault.people.administrator.token());
    assert_eq!(raw.ask(Method::POST, "/v1/customers/acme/imports", Some(&import)).await.status.as_u16(), 422);

    let robot = NewServiceAccount::with_token("robot".parse().unwrap(), 3600);
    let token = administrator.service_accounts().add(&robot).await.unwrap().token.unwrap().into_secret();
    secrets.push(token.expose().to_owned());
    let login = json!({ "method": "token", "token": token.expose() });
    let nobody = Raw::nobody(vault.address());
    let session: Value = nobody.ask(Method::POST, "/v1/auth/login", Some(&login)).await.success();
    secrets.push(session["access_token"].as_str().unwrap().to_owned());
    let person = vault.people.administrator.adds_user(vault.address(), "kim", Some((Role::Auditor, "*"))).await;
    secrets.push(person.password.expose().to_owned());
    secrets.extend(person.app.secrets());
    let login = json!({ "method": "password", "name": "kim", "password": person.password.expose() });
    let asked = nobody.ask(Method::POST, "/v1/auth/login", Some(&login)).await.success();
    secrets.push(asked["challenge"].as_str().unwrap().to_owned());
    let code = person.app.code(asked["server_time"].as_str().unwrap().parse().unwrap()).await;
    for wrong in [json!({ "totp": canaries.another() }), json!({ "recovery_code": canaries.another() })] {
        let mfa = json!({ "challenge": asked["challenge"], "second_factor": wrong });
        assert_eq!(nobody.ask(Method::POST, "/v1/auth/mfa", Some(&mfa)).await.status.as_u16(), 401);
    }
    let mfa = json!({ "challenge": asked["challenge"], "second_factor": { "totp": code.expose() } });
    let session = nobody.ask(Method::POST, "/v1/auth/mfa", Some(&mfa)).await.success();
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let next = nobody.ask(Method::POST, "/v1/auth/refresh", Some(&refresh)).await.success();
    for tokens in [&session, &next] {
        secrets.extend([&tokens["access_token"], &tokens["refresh_token"]].map(|it| it.as_str().unwrap().to_owned()));
    }
    let code = administrator.users().re_enrol(&"kim".parse().unwrap()).await.unwrap().enrolment.into_secret();
    secrets.push(code.expose().to_owned());
    for wrong in [canaries.another(), format!("cve_{}", canaries.another())] {
        let enrol = json!({ "name": "kim", "enrolment": wrong, "password": canaries.another() });
        assert_eq!(nobody.ask(Method::POST, "/v1/auth/enrol", Some(&enrol)).await.status.as_u16(), 401);
        let login = json!({ "method": "password", "name": "kim", "password": canaries.another() });
        assert_eq!(nobody.ask(Method::POST, "/v1/auth/login", Some(&login)).await.status.as_u16(), 401);
        // People type passwords where names go.
        let login = json!({ "method": "password", "name": canaries.another(), "password": "x" });
        assert_eq!(nobody.ask(Method::POST, "/v1/auth/login", Some(&login)).await.status.as_u16(), 401);
    }
    secrets
}

/// Checks an account out, in and through its rotation; gives what was revealed.
async fn used(technician: &Client, account: &claviger_api::AccountPath) -> String {
    let held = technician.checkouts().hold(&wanted(account, 600)).await.unwrap();
    let revealed = held.reveal().await.unwrap().secret.into_secret();
    held.checkin().await.unwrap();
    available(technician, account, SOON).await;
    revealed.expose().to_owned()
}

/// An answer with its headers, and to what it was one.
fn all_of(name: &str, reply: &Reply) -> Vec<u8> {
    let headers =
        reply.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"]);
    [b"\n", name.as_bytes(), b"\n", headers.collect::<Vec<_>>().concat().as_slice(), reply.body.as_slice()].concat()
}
