//! What was acknowledged, held against what the vault, its logs and the real system say in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use claviger_api::Part;
use claviger_api::wire::{AuditEvent, Checkout, CheckoutQuery, CheckoutState, EndCause, RotationStep};
use claviger_client::Client;
use claviger_tests::audit;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{part, wanted};
use claviger_tests::scram::{opens, verifiers};

use crate::clients::{Ledger, Seen, Taken};
use crate::house::{House, Use, WORKERS, roles};

/// What a busy account and a server that is being killed may answer.
const REFUSALS: [&str; 5] = ["account-held", "account-unavailable", "in-use", "rotation-running", "unavailable"];

/// Each standing account opens with what the vault says is current, and with nothing that was revealed before.
pub async fn accounts(house: &House, ledger: &Mutex<Ledger>) {
    let verifiers = verifiers(&house.postgres).await;
    // The last one tries again.
    let client = house.client(WORKERS - 1);
    for (path, _) in house.accounts.iter().filter(|(_, usage)| *usage != Use::Ephemeral) {
        let held = client.checkouts().create(&wanted(path, 3600)).await.unwrap_or_else(|why| panic!("{path}: {why}"));
        let revealed = client.checkouts().reveal(held.id).await.unwrap();
        let (login, current) = (revealed.login.as_str(), revealed.secret.secret().expose());
        let verifier = &verifiers[login];
        assert!(opens(verifier, current), "{path}: what the vault says is current does not open it");
        assert!(house.postgres.can_login(login, current).await, "{path}: PostgreSQL does not let it in");
        let old: BTreeSet<String> = {
            let ledger = ledger.lock().unwrap();
            let of_account = ledger.taken.values().filter(|taken| taken.account == *path);
            of_account.flat_map(|taken| &taken.seen).map(|seen| seen.secret.clone()).collect()
        };
        assert!(!old.iter().any(|old| opens(verifier, old)), "{path}: what an ended checkout has seen opens it");
        let (login, secret) = (login.to_owned(), current.to_owned());
        client.checkouts().checkin(held.id).await.unwrap();
        let seen = vec![Seen { login, secret, event_index: revealed.event_index }];
        let taken = Taken { account: path.clone(), seen, given_back: true, left: false };
        ledger.lock().unwrap().taken.insert(held.id, taken);
    }
}

/// All the rest, when nothing goes on any more.
pub async fn judge(house: &House, ledger: &Ledger, administrator: &Client, cycles: usize) {
    let enough = ledger.acknowledged >= cycles && ledger.unknown > 0 && !ledger.rotations.is_empty();
    assert!(enough, "too little happened: {}", ledger.told());

    checkouts(ledger, administrator).await;
    rotations(ledger, administrator).await;
    events(ledger, administrator).await;
    for log in [Some(part("acme")), None] {
        log_is_whole(administrator, log).await;
    }
    no_role_is_left(house, ledger).await;

    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let scrub = ada.run(&["operator", "scrub"]).await;
    assert_eq!((scrub.code, scrub.json()["outcome"].as_str()), (0, Some("clean")), "{scrub:?}");
    let strange: Vec<_> = ledger.refused.keys().filter(|code| !REFUSALS.contains(&code.as_str())).collect();
    assert!(strange.is_empty(), "refused for no good reason: {:?}", ledger.refused);
    assert!(!house.vault.log().contains("panicked"), "the server panicked:\n{}", house.vault.log());
}

/// Every acknowledged checkout is there and has the end that it should have.
async fn checkouts(ledger: &Ledger, administrator: &Client) {
    let query = CheckoutQuery { customer: "acme".to_owned(), ..CheckoutQuery::default() };
    let shown = administrator.checkouts().list(query).all().await.unwrap();
    let open: Vec<_> = shown.iter().filter(|checkout| checkout.state != CheckoutState::Ended).collect();
    assert!(open.is_empty(), "without an end: {open:?}");
    let shown: BTreeMap<_, &Checkout> = shown.iter().map(|checkout| (checkout.id, checkout)).collect();
    for (id, taken) in &ledger.taken {
        let checkout = shown.get(id).unwrap_or_else(|| panic!("{id} of {} is lost", taken.account));
        assert_eq!(checkout.account, taken.account, "{id}");
        let cause = checkout.end_cause.unwrap_or_else(|| panic!("{id} has no end"));
        // The answer to a check-in may have been lost; nothing else ends it but its time.
        let in_time = cause == EndCause::CheckedIn || (taken.left && !taken.given_back && cause == EndCause::Expired);
        assert!(in_time, "{id} of {} ended as {cause:?}", taken.account);
        assert!(!taken.given_back || cause == EndCause::CheckedIn, "{id} was given back, and ended as {cause:?}");
    }
}

/// Every acknowledged rotation is there, and done.
async fn rotations(ledger: &Ledger, administrator: &Client) {
    for (id, path) in &ledger.rotations {
        let shown = administrator.rotations().show(*id).await.unwrap_or_else(|lost| panic!("{id} is lost: {lost}"));
        assert_eq!((&shown.account, shown.step), (path, RotationStep::Done), "{id}: {}", shown.message);
        assert!(shown.finished_at.is_some() && !shown.old_still_accepted, "{id}: {shown:?}");
    }
}

/// The customer's log tells of everything that was acknowledged.
async fn events(ledger: &Ledger, administrator: &Client) {
    let events = audit::events(administrator, "acme").await;
    let about = |kinds: &[&str], field: &str| -> BTreeSet<String> {
        let of_kind = events.iter().filter(|event| kinds.contains(&event.kind.as_str()));
        of_kind.filter_map(|event| event.fields.get(field).cloned()).collect()
    };
    let begun = about(&["checkout.requested", "checkout.activated"], "checkout");
    let ended = about(&["checkout.ended"], "checkout");
    let by_index: BTreeMap<u64, &AuditEvent> = events.iter().map(|event| (event.index, event)).collect();
    for (id, taken) in &ledger.taken {
        let name = id.to_string();
        assert!(begun.contains(&name) && ended.contains(&name), "the log does not tell of {id}");
        for seen in &taken.seen {
            let event = by_index[&seen.event_index];
            let told = (event.kind.as_str(), event.fields.get("checkout"));
            assert_eq!(told, ("checkout.revealed", Some(&name)), "entry {}", seen.event_index);
        }
    }
    let (started, done) = (about(&["rotation.started"], "rotation"), about(&["rotation.promoted"], "rotation"));
    for id in ledger.rotations.keys().map(ToString::to_string) {
        assert!(started.contains(&id) && done.contains(&id), "the log does not tell of {id}");
    }
}

/// Exported, it verifies by the command line of somebody who has no vault, adds up, and leaves nothing open.
async fn log_is_whole(administrator: &Client, customer: Option<Part>) {
    let key = administrator.audit().checkpoint(customer.as_ref()).await.unwrap().verifier_key;
    let nobody = Cli::at("http://127.0.0.1:1");
    let file = nobody.home().join("log.jsonl");
    std::fs::write(&file, audit::export(administrator, customer.as_ref()).await).unwrap();
    let verified = nobody.run(&["audit", "verify", file.to_str().unwrap(), "--key", &key]).await;
    assert_eq!(verified.code, 0, "{customer:?}: {}", verified.stderr);
    let adds_up = &verified.json()["completeness"];
    assert_eq!((&adds_up["faults"], &adds_up["open"]), (&serde_json::json!([]), &serde_json::json!([])));
}

/// PostgreSQL has the roles that it had before.
async fn no_role_is_left(house: &House, ledger: &Ledger) {
    assert_eq!(roles(&house.postgres).await, house.roles);
    let names: BTreeSet<&str> = house.roles.iter().map(String::as_str).collect();
    let seen = ledger.taken.values().flat_map(|taken| &taken.seen);
    let made = seen.filter(|seen| !names.contains(seen.login.as_str())).count();
    assert!(made > 0, "no ephemeral login was seen: {}", ledger.told());
}
