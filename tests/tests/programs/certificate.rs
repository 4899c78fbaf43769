//! Client certificates on real connections.

use std::time::Duration;

use claviger_api::ProblemType;
use claviger_api::wire::{CertificatePin, LoginRequest};
use claviger_client::{Credentials, Error};
use claviger_tests::cli::Cli;
use claviger_tests::pki::Ca;
use claviger_tests::poll::until;
use reqwest::StatusCode;

use super::house::House;

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_mins(1);
const NAME: &str = "spiffe://acme.example/backup";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_logs_in_by_its_certificate_and_people_need_none() {
    let ca = Ca::new("the clients' CA");
    let own = ca.client("whoever", &[NAME]);
    let pinned = CertificatePin::Thumbprint(own.thumbprint);
    let house = House::start(&ca, &[("robot", CertificatePin::of_name(NAME).unwrap()), ("pinned", pinned)]).await;
    for name in ["robot", "pinned"] {
        let name: claviger_api::UserName = name.parse().unwrap();
        let client = house.client(Some(&own)).credentials(Credentials::Certificate { name: name.clone() }).build();
        let client = client.unwrap();
        assert_eq!(client.auth().me().await.unwrap().name, name);
        assert!(client.customers().list().all().await.unwrap().len() == 1);
    }
    house.client(None).build().unwrap().sys().health().await.unwrap();
}

/// Of a CA that is not listed, out of its time or not for clients: there is no connection at all.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_cert_binding_foreign_expired_and_misused_certificates_open_no_connection() {
    let ca = Ca::new("the clients' CA");
    let right = ca.client("x", &[NAME]);
    let wrong = [
        ("of a CA of the same name", Ca::new("the clients' CA").client("x", &[NAME])),
        ("expired", ca.expired_client(&[NAME])),
        ("for servers", ca.server_named(&[NAME])),
    ];
    let house = House::start(&ca, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let login = LoginRequest::Certificate { name: "robot".parse().unwrap() };
    house.client(Some(&right)).build().unwrap().auth().login(&login).await.unwrap();
    for (what, issued) in &wrong {
        let client = house.client(Some(issued)).build().unwrap();
        let refused = client.auth().login(&login).await.err().unwrap();
        assert!(
            matches!(refused, Error::Tls { .. } | Error::Broken { .. } | Error::Unreachable { .. }),
            "{what}: {refused:?}"
        );
        assert!(client.sys().health().await.is_err(), "{what}");
    }
}

/// No restart, after which the vault would have to be unsealed.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_cas_are_replaced_while_the_vault_serves() {
    let (before, after) = (Ca::new("the clients' CA"), Ca::new("the clients' next CA"));
    let (old, new) = (before.client("x", &[NAME]), after.client("x", &[NAME]));
    let house = House::start(&before, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let login = LoginRequest::Certificate { name: "robot".parse().unwrap() };
    let opens = async |issued| house.client(Some(issued)).build().unwrap().auth().login(&login).await.is_ok();
    // What has a connection keeps it, and may have a session to resume.
    let kept = house.client(Some(&old)).build().unwrap();
    kept.auth().login(&login).await.unwrap();
    assert!(opens(&old).await && !opens(&new).await);

    house.trust(&format!("{}{}", before.pem, after.pem)).await;
    until("both CAs", SOON, async || (opens(&old).await && opens(&new).await).then_some(())).await;
    house.trust(&after.pem).await;
    until("the next CA alone", SOON, async || (!opens(&old).await && opens(&new).await).then_some(())).await;
    house.trust("no certificate").await;
    assert!(!opens(&old).await && opens(&new).await, "what cannot be used changes nothing");
    kept.auth().login(&login).await.unwrap();
}

/// A session of a certificate whose CA went is not resumed: that would not ask for the certificate again.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_outlives_its_ca() {
    let (before, after) = (Ca::new("the clients' CA"), Ca::new("the clients' next CA"));
    let old = before.client("x", &[NAME]);
    let house = House::start(&before, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let tls = house.tls(&old);
    assert!(house.answers(&tls).await && house.answers(&tls).await);
    house.trust(&after.pem).await;
    until("the CA's end", SOON, async || (!house.answers(&tls).await).then_some(())).await;
}

/// A certificate of the right CA whose subject, or a part of whose names, is what the pin says, and none at all.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_cert_binding_lookalikes_of_the_same_ca_are_refused_alike() {
    let ca = Ca::new("the clients' CA");
    let (common_name, longer) = (ca.client(NAME, &["robot"]), ca.client("robot", &[&format!("{NAME}2")]));
    let house = House::start(&ca, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let mut answers = Vec::new();
    for (issued, name) in [
        (Some(&common_name), "robot"),
        (Some(&longer), "robot"),
        (None, "robot"),
        (Some(&longer), "ada"),
        (Some(&longer), "nobody"),
    ] {
        let client = house.client(issued).build().unwrap();
        let refused =
            client.auth().login(&LoginRequest::Certificate { name: name.parse().unwrap() }).await.err().unwrap();
        let mut problem = refused.problem().unwrap().clone();
        problem.instance = None;
        answers.push(problem);
    }
    assert_eq!(answers[0].problem_type(), Some(ProblemType::InvalidCredentials));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// An access token is worth nothing over a connection with another certificate, though it be of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_cert_binding_a_token_moved_to_another_connection_is_refused() {
    let ca = Ca::new("the clients' CA");
    let (own, other) = (ca.client("x", &[NAME]), ca.client("x", &[NAME]));
    let house = House::start(&ca, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let login = LoginRequest::Certificate { name: "robot".parse().unwrap() };
    let answer = house.client(Some(&own)).build().unwrap().auth().login(&login).await.unwrap();
    let tokens = answer.session().unwrap();
    let token = tokens.access_token.secret().expose();
    let me = async |issued| {
        let request = house.http(issued).get(format!("{}/v1/me", house.address())).bearer_auth(token);
        request.send().await.unwrap().status()
    };
    assert_eq!(me(Some(&own)).await, StatusCode::OK);
    assert_eq!(me(Some(&other)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(Some(&own)).await, StatusCode::OK, "and the program itself goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_logs_in_by_certificate() {
    let ca = Ca::new("the clients' CA");
    let own = ca.client("x", &[NAME]);
    let house = House::start(&ca, &[("robot", CertificatePin::of_name(NAME).unwrap())]).await;
    let (certificate, key) = own.write(house.folder.path(), "robot");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let at_home = || Cli::at(&house.address()).with("CLAVIGER_CACERT", house.server_ca.to_str().unwrap());

    let kept = at_home();
    let done = kept.run(&["login", "robot", "--certificate", certificate, "--key", key]).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = kept.run(&["whoami", "--output", "json"]).await;
    assert!(done.code == 0 && done.stdout.contains("\"robot\""), "{} {}", done.stdout, done.stderr);
    assert_eq!(kept.run(&["logout"]).await.code, 0);
    assert_eq!(kept.run(&["whoami"]).await.code, 3);

    let named = at_home()
        .with("CLAVIGER_SERVICE_ACCOUNT", "robot")
        .with("CLAVIGER_CERTIFICATE", certificate)
        .with("CLAVIGER_KEY", key);
    let done = named.run(&["customer", "list"]).await;
    assert!(done.code == 0 && done.stdout.contains("acme"), "{} {}", done.stdout, done.stderr);

    let half = at_home().with("CLAVIGER_SERVICE_ACCOUNT", "robot").run(&["whoami"]).await;
    assert_eq!(half.code, 2, "{}", half.stderr);
}
