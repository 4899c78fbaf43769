//! An account that no program reaches, by the command line: lent, given back, changed by a person, and believed.

use claviger_api::wire::{AccountState, Checkout, RevocationState};
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, available, checkout_until, wanted};
use claviger_tests::poll::until;
use claviger_tests::vault::Vault;
use serde_json::Value;

use super::SOON;

#[tokio::test]
async fn a_person_changes_what_no_program_reaches() {
    let vault = Vault::start().await;
    add_customer(&vault.administrator(), "acme").await;
    let ada = vault.people.administrator.terminal(vault.address()).await;
    let tina = vault.people.technician.terminal(vault.address()).await;
    let run = async |cli: &Cli, words: &[&str], input: &str| {
        let done = cli.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        done
    };
    let add = ["system", "add", "acme/router", "--kind", "manual", "--host", "rack 3, Vienna", "--due-days", "3"];
    let more = ["--instructions", "Console port, 9600 baud; passwords of at most 20 characters"];
    let system = run(&ada, &[&add[..], &more].concat(), "").await.json();
    assert_eq!((&system["spec"]["kind"], &system["spec"]["due_days"]), (&"manual".into(), &3.into()));
    let no = ada.run(&["system", "add", "acme/x", "--kind", "manual", "--host", "x", "--tls", "require"]).await;
    assert_eq!(no.code, 2, "{no:?}");
    run(&ada, &["account", "add", "acme/router/admin", "--login", "admin", "--stdin"], "the first secret").await;
    let ephemeral = ada.run(&["account", "add", "acme/router/temp", "--kind", "ephemeral", "--login", "temp"]).await;
    assert_ne!(ephemeral.code, 0, "no program makes logins there");
    let verified = tina.run(&["account", "verify", "acme/router/admin"]).await;
    assert!(verified.code == 1 && verified.stdout.contains("\"unknown\""), "nobody pretends to know: {verified:?}");

    // Lent and given back: it is not offered again before a person has acted.
    let (technician, path) = (vault.technician(), "acme/router/admin".parse().unwrap());
    let lent = async || {
        let held = technician.checkouts().create(&wanted(&path, 600)).await.unwrap();
        let seen = technician.checkouts().reveal(held.id).await.unwrap().secret.secret().expose().to_owned();
        (seen, technician.checkouts().checkin(held.id).await.unwrap())
    };
    let task = async || -> Value {
        until("a person is asked", SOON, async || {
            let tasks = tina.run(&["task", "list", "--customer", "acme"]).await.json();
            tasks.as_array().and_then(|tasks| tasks.first().cloned())
        })
        .await
    };
    let (first, ended) = lent().await;
    assert_eq!(first, "the first secret");
    let asked = task().await;
    assert_eq!((&asked["version"], &asked["shown"], &asked["overdue"]), (&2.into(), &false.into(), &false.into()));
    assert_eq!((&asked["login"], &asked["address"]), (&"admin".into(), &"rack 3, Vienna".into()));
    let id = asked["id"].as_str().unwrap();
    assert_eq!(technician.accounts().show(&path).await.unwrap().state, AccountState::Unresolved);
    assert!(technician.checkouts().create(&wanted(&path, 600)).await.is_err(), "not offered");

    // Administrators see no secret; a person who may is shown it, and that is known.
    let forbidden = ada.run(&["task", "reveal", id, "--show"]).await;
    assert_eq!(forbidden.code, 4, "{forbidden:?}");
    let pipe = tina.run(&["task", "reveal", id]).await;
    assert_eq!(pipe.code, 2, "{pipe:?}");
    let shown = run(&tina, &["task", "reveal", id, "--show"], "").await.json();
    let second = shown["secret"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert_eq!(task().await["shown"], true);
    let exposure = run(&ada, &["exposure", "list", "--customer", "acme"], "").await.stdout;
    assert!(exposure.contains("\"version\": 2") && exposure.contains("\"version\": 1"), "{exposure}");

    // The system takes no such secret: another candidate, and then a person's word for it. Twice is once.
    run(&tina, &["task", "refuse", id, "--reason", "too long"], "").await;
    let again = until("another is made", SOON, async || Some(task().await).filter(|task| task["version"] == 3)).await;
    assert_eq!((&again["id"], &again["shown"]), (&asked["id"], &false.into()));
    let shown = run(&tina, &["task", "reveal", id, "--show"], "").await.json();
    let third = shown["secret"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let done = run(&tina, &["task", "confirm", id], "").await.json();
        assert_eq!((&done["step"], &done["new_version"]), (&"done".into(), &3.into()));
        assert!(done["message"].as_str().unwrap().contains("no login has proven it"), "{done}");
    }
    available(&technician, &path, SOON).await;
    let told = |checkout: &Checkout| checkout.revocation.as_ref().is_some_and(|it| it.state == RevocationState::Told);
    let proof = checkout_until(&technician, &ended, "is told", SOON, told).await.revocation.unwrap();
    assert!(proof.refused_at.is_none(), "nothing was seen refused");

    // The next time the person sets a secret of their own, by either door.
    let (seen, _) = lent().await;
    assert_eq!(seen, third);
    let asked = task().await;
    let id = asked["id"].as_str().unwrap();
    run(&tina, &["task", "set", id, "--stdin"], "one of my own").await;
    available(&technician, &path, SOON).await;
    let (seen, _) = lent().await;
    assert_eq!(seen, "one of my own");
    task().await;
    run(&ada, &["account", "set-secret", "acme/router/admin", "--stdin"], "and one of Ada's").await;
    available(&technician, &path, SOON).await;
    assert_eq!(lent().await.0, "and one of Ada's");
    let log = run(&ada, &["audit", "log", "--customer", "acme"], "").await.stdout;
    for kind in [
        "rotation.asked",
        "rotation.shown",
        "rotation.refused_by_hand",
        "rotation.confirmed",
        "checkout.revocation_told",
    ] {
        assert!(log.contains(kind), "{kind} in {log}");
    }
    for secret in [&second, &third, "one of my own"] {
        assert!(!log.contains(secret), "a secret in the log");
    }
}
