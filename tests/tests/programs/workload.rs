//! Tokens of a real issuer, whose keys the vault fetches over HTTPS.

use std::collections::BTreeMap;
use std::fs;

use claviger_api::wire::{
    ChangeIssuer, ChangeServiceAccount, IssuerKeys, LoginRequest, NewIssuer, NewServiceAccount, Tokens, Workload,
};
use claviger_api::{Part, ProblemType, Secret};
use claviger_client::{Client, Error, Result};
use claviger_service::Clock as _;
use claviger_tests::cli::Cli;
use claviger_tests::in_process::InProcess;
use claviger_tests::issuer::Issuer;
use claviger_tests::people::nobody;
use serde_json::{Value, json};

const AUDIENCE: &str = "https://vault.test";
const SUBJECT: &str = "repo:acme/site:ref:refs/heads/main";

fn part(text: &str) -> Part {
    text.parse().unwrap()
}

/// A vault that trusts a running issuer, and a service account that it vouches for.
struct Rig {
    vault: InProcess,
    issuer: Issuer,
}

impl Rig {
    async fn start(keys: impl FnOnce(&Issuer) -> IssuerKeys) -> Self {
        let (vault, issuer) = (InProcess::start().await, Issuer::start().await);
        let administrator = vault.administrator();
        let new = NewIssuer {
            name: part("builds"),
            issuer: issuer.url.clone(),
            audience: AUDIENCE.to_owned(),
            keys: keys(&issuer),
        };
        administrator.issuers().add(&new).await.unwrap();
        let workload = Workload { issuer: part("builds"), subject: Some(SUBJECT.to_owned()), claims: BTreeMap::new() };
        add(&administrator, "robot", workload).await;
        Self { vault, issuer }
    }

    fn claims(&self) -> Value {
        self.issuer.claims(AUDIENCE, SUBJECT, self.vault.clock.now().as_second())
    }

    async fn login(&self, name: &str, jwt: &str) -> Result<Tokens> {
        let jwt = Secret::new(jwt.to_owned()).unwrap().disclose();
        let answer = nobody(&self.vault.address()).auth().login(&LoginRequest::Jwt { name: part(name), jwt }).await;
        answer.map(|answer| answer.session().unwrap())
    }

    async fn refused(&self, name: &str, jwt: &str) -> Option<ProblemType> {
        self.login(name, jwt).await.err().unwrap().problem_type()
    }
}

async fn add(administrator: &Client, name: &str, workload: Workload) {
    let new = NewServiceAccount { workloads: vec![workload], ..NewServiceAccount::without_login(part(name)) };
    administrator.service_accounts().add(&new).await.unwrap();
}

fn by_discovery(issuer: &Issuer) -> IssuerKeys {
    IssuerKeys::Discovery { ca_certificate: Some(issuer.ca.clone()) }
}

fn by_url(issuer: &Issuer) -> IssuerKeys {
    IssuerKeys::Url { url: format!("{}/keys", issuer.url).parse().unwrap(), ca_certificate: Some(issuer.ca.clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_logs_in_by_the_token_of_an_issuer_however_its_keys_are_had() {
    for keys in [by_discovery, by_url, |issuer: &Issuer| IssuerKeys::Document { jwks: issuer.jwks() }] {
        let rig = Rig::start(keys).await;
        let tokens = rig.login("robot", &rig.issuer.token(&rig.claims())).await.unwrap();
        assert!(tokens.refresh_token.is_none());
        // The same token serves until it ends: a workload has one at a time.
        rig.login("robot", &rig.issuer.token(&rig.claims())).await.unwrap();
        rig.vault.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anvil_jwt_mutants_of_a_real_issuer_are_refused_alike() {
    let rig = Rig::start(by_discovery).await;
    let administrator = rig.vault.administrator();
    let claims =
        [("repository".to_owned(), "acme/site".to_owned()), ("environment".to_owned(), "prod".to_owned())].into();
    add(&administrator, "by-claims", Workload { issuer: part("builds"), subject: None, claims }).await;
    let mut full = rig.claims();
    (full["repository"], full["environment"]) = (json!("acme/site"), json!("prod"));
    rig.login("by-claims", &rig.issuer.token(&full)).await.unwrap();
    rig.login("robot", &rig.issuer.token(&full)).await.unwrap();

    let now = rig.vault.clock.now().as_second();
    for (name, value) in [
        ("sub", json!("repo:acme/site:ref:refs/heads/other")),
        ("aud", json!("https://other.example")),
        ("aud", json!([AUDIENCE, "https://other.example"])),
        ("iss", json!("https://127.0.0.1:1")),
        ("exp", json!(now)),
        ("exp", json!(now + 86_401)),
        ("nbf", json!(now + 61)),
    ] {
        let mut changed = full.clone();
        changed[name] = value;
        assert_eq!(
            rig.refused("robot", &rig.issuer.token(&changed)).await,
            Some(ProblemType::InvalidCredentials),
            "{name}"
        );
    }
    for (name, value) in
        [("environment", json!("test")), ("repository", json!(null)), ("repository", json!(["acme/site"]))]
    {
        let mut changed = full.clone();
        changed[name] = value;
        let refused = rig.refused("by-claims", &rig.issuer.token(&changed)).await;
        assert_eq!(refused, Some(ProblemType::InvalidCredentials), "{name}");
    }
    let stranger = Issuer::start().await;
    let mut forged = full.clone();
    forged["iss"] = json!(rig.issuer.url);
    let good = rig.issuer.token(&full);
    for name in ["robot", "by-claims", "ada", "nobody-of-this-name"] {
        assert_eq!(rig.refused(name, &stranger.token(&forged)).await, Some(ProblemType::InvalidCredentials), "{name}");
    }
    assert_eq!(rig.refused("ada", &good).await, Some(ProblemType::InvalidCredentials));
    assert_eq!(rig.refused("robot", "no.token.atall").await, Some(ProblemType::InvalidCredentials));
}

/// A key that is not known is asked for at once, once, and then not for a while; one that was taken away is refused
/// after ten minutes at the latest.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_when_they_are_needed_and_not_more_often() {
    let rig = Rig::start(by_url).await;
    let old = rig.issuer.token(&rig.claims());
    for _ in 0..3 {
        rig.login("robot", &old).await.unwrap();
    }
    assert_eq!(rig.issuer.asked(), 1);
    rig.issuer.rotates_its_key();
    assert_eq!(rig.refused("robot", &rig.issuer.token(&rig.claims())).await, Some(ProblemType::InvalidCredentials));
    assert_eq!(rig.issuer.asked(), 1, "it was asked a moment ago");
    rig.vault.advance_seconds(30);
    rig.login("robot", &rig.issuer.token(&rig.claims())).await.unwrap();
    assert_eq!(rig.refused("robot", &old).await, Some(ProblemType::InvalidCredentials), "its key is gone");
    assert_eq!(rig.issuer.asked(), 2);
    rig.vault.advance_seconds(600);
    rig.login("robot", &rig.issuer.token(&rig.claims())).await.unwrap();
    assert_eq!(rig.issuer.asked(), 3);
}

/// What cannot be verified is refused, with the advice to try again; and nothing that the issuer answers leads elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_ssrf_an_issuer_that_redirects_floods_or_lies_is_not_believed() {
    let rig = Rig::start(by_url).await;
    let elsewhere = Issuer::start().await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}/keys\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    let flood = format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", " ".repeat(300_000));
    for instead in [
        redirect.as_str(),
        flood.as_str(),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        "",
    ] {
        rig.issuer.answers(Some(instead));
        rig.vault.advance_seconds(30);
        assert_eq!(rig.refused("robot", &rig.issuer.token(&rig.claims())).await, Some(ProblemType::Unavailable));
    }
    assert_eq!(elsewhere.asked(), 0);
    rig.issuer.answers(None);
    rig.vault.advance_seconds(30);
    rig.login("robot", &rig.issuer.token(&rig.claims())).await.unwrap();

    // A certificate of somebody else's CA, and an address where no issuer may be.
    for url in [format!("{}/keys", rig.issuer.url), "https://169.254.169.254/keys".to_owned()] {
        let keys = IssuerKeys::Url { url: url.parse().unwrap(), ca_certificate: Some(elsewhere.ca.clone()) };
        rig.vault.administrator().issuers().change(&part("builds"), &ChangeIssuer { keys }).await.unwrap();
        assert_eq!(
            rig.refused("robot", &rig.issuer.token(&rig.claims())).await,
            Some(ProblemType::Unavailable),
            "{url}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_named_once_is_in_use_while_bound_and_has_usable_keys() {
    let rig = Rig::start(by_discovery).await;
    let administrator = rig.vault.administrator();
    let issuers = administrator.issuers();
    assert_eq!(issuers.list().all().await.unwrap().len(), 1);
    let problem = |error: Error| error.problem_type().unwrap();
    assert_eq!(problem(issuers.remove(&part("builds")).await.unwrap_err()), ProblemType::InUse);
    let new = |issuer: &str, keys| NewIssuer {
        name: part("builds"),
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys,
    };
    let discovery = || IssuerKeys::Discovery { ca_certificate: None };
    assert_eq!(problem(issuers.add(&new("https://x.example", discovery())).await.unwrap_err()), ProblemType::NameTaken);
    for wrong in [
        new("kubernetes/serviceaccount", discovery()),
        new(" https://x.example", discovery()),
        new("https://x.example", IssuerKeys::Document { jwks: json!({ "keys": [] }) }),
        new("https://x.example", IssuerKeys::Document { jwks: json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }) }),
        new("https://x.example", IssuerKeys::Discovery { ca_certificate: Some("no PEM".to_owned()) }),
    ] {
        assert_eq!(problem(issuers.add(&wrong).await.unwrap_err()), ProblemType::InvalidValue, "{wrong:?}");
    }
    let nobody_in_particular = Workload { issuer: part("builds"), subject: None, claims: BTreeMap::new() };
    let unknown = Workload { issuer: part("unknown"), subject: Some("x".to_owned()), claims: BTreeMap::new() };
    for workload in [nobody_in_particular, unknown] {
        let change = ChangeServiceAccount { workloads: Some(vec![workload]), ..ChangeServiceAccount::default() };
        let refused = administrator.service_accounts().change(&part("robot"), &change).await.unwrap_err();
        assert_eq!(problem(refused), ProblemType::InvalidValue);
    }
    let none = ChangeServiceAccount { workloads: Some(Vec::new()), ..ChangeServiceAccount::default() };
    administrator.service_accounts().change(&part("robot"), &none).await.unwrap();
    issuers.remove(&part("builds")).await.unwrap();
    assert!(issuers.list().all().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_logs_in_by_a_token_in_a_file() {
    let rig = Rig::start(by_discovery).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{}\n", rig.issuer.token(&rig.claims()))).unwrap();
    let file = file.to_str().unwrap();

    let kept = Cli::at(&rig.vault.address());
    let done = kept.run(&["login", "robot", "--jwt-file", file]).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = kept.run(&["whoami", "--output", "json"]).await;
    assert!(done.code == 0 && done.stdout.contains("\"robot\""), "{} {}", done.stdout, done.stderr);

    let named = Cli::at(&rig.vault.address()).with("CLAVIGER_SERVICE_ACCOUNT", "robot").with("CLAVIGER_JWT_FILE", file);
    let done = named.run(&["whoami", "--output", "json"]).await;
    assert!(done.code == 0 && done.stdout.contains("\"robot\""), "{} {}", done.stdout, done.stderr);
}
