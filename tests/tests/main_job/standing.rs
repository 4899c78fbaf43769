//! A standing account: its secret is rotated at each end.

use claviger_api::AccountPath;
use claviger_api::wire::{
    AuditQuery, CheckoutQuery, CheckoutState, EndCause, NewRotation, ProbeResult, RevocationState, RotationStep,
};
use claviger_client::Client;
use claviger_tests::audit;
use claviger_tests::inventory::{add_managed_role, add_role, available, checkout_until, part, wanted};

use super::{House, SOON};

/// Check out, use, check in, be refused, rotate; read the record and prove it; all of it again after a restart.
#[tokio::test]
async fn an_account_is_used_and_then_closed_again() {
    let mut house = House::start().await;
    let itself = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/itself").await;
    let managed = add_managed_role(&house.vault.administrator(), &house.postgres, "acme/db01/managed").await;
    for round in 1..=2 {
        for account in [&itself, &managed] {
            let seen = use_and_give_back(&house, account).await;
            rotate(&house, account, &seen).await;
        }
        the_record_is_whole(&house, &itself, round).await;
        house.vault.stop().await;
        house.vault.restart().await;
    }
    history_stays(&house.vault.technician()).await;
}

/// The whole life of one checkout; gives the secret that opens the account after it.
async fn use_and_give_back(house: &House, account: &AccountPath) -> String {
    let (technician, postgres, login) = (house.vault.technician(), &house.postgres, account.account.as_str());
    let held = technician.checkouts().create(&wanted(account, 600)).await.unwrap();
    assert_eq!(held.state, CheckoutState::Active);
    let revealed = technician.checkouts().reveal(held.id).await.unwrap();
    assert_eq!(revealed.login.as_str(), login);
    let old = revealed.secret.secret().expose().to_owned();
    assert!(postgres.can_login(login, &old).await, "what was revealed opens {account}");
    let session = postgres.client(login, &old, "postgres").await.expect("a session that stays open");

    let ended = technician.checkouts().checkin(held.id).await.unwrap();
    assert_eq!((ended.state, ended.end_cause), (CheckoutState::Ended, Some(EndCause::CheckedIn)));
    let proven = |checkout: &claviger_api::wire::Checkout| {
        checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
    };
    let proof = checkout_until(&technician, &ended, "is proven", SOON, proven).await.revocation.unwrap();
    let lag = proof.revocation_lag_milliseconds.expect("the lag is known");
    let refused_at = proof.refused_at.expect("the time of the refusal is known");
    let by_hand = refused_at.duration_since(ended.ended_at.unwrap()).as_millis();
    assert_eq!(i128::from(lag), by_hand, "the lag counts from the end");
    assert!(!postgres.can_login(login, &old).await, "the old secret of {account} is refused");
    assert!(!proof.sessions_may_remain, "{proof:?}");
    assert!(session.simple_query("SELECT 1").await.is_err(), "the session that was opened with it has been ended");

    available(&technician, account, SOON).await;
    current(&technician, account).await
}

/// What the vault says opens the account now, as its next holder sees it.
async fn current(technician: &Client, account: &AccountPath) -> String {
    let held = technician.checkouts().hold(&wanted(account, 60)).await.unwrap();
    let secret = held.reveal().await.unwrap().secret.into_secret();
    held.checkin().await.unwrap();
    available(technician, account, SOON).await;
    secret.expose().to_owned()
}

/// On demand: what opened the account before does not any more, and what the vault has does.
async fn rotate(house: &House, account: &AccountPath, before: &str) {
    let technician = house.vault.technician();
    let asked =
        NewRotation { account: Some(account.clone()), reason: Some("a test".to_owned()), ..NewRotation::default() };
    let started = technician.rotations().start(&asked).await.unwrap();
    let id = started.rotations.first().expect("one was started").id;
    let done = technician.rotations().wait(id, SOON, |_| {}).await.unwrap();
    assert_eq!(done.step, RotationStep::Done, "{}", done.message);
    assert!(done.old_refused_after_milliseconds.is_some());
    assert!(!house.postgres.can_login(account.account.as_str(), before).await);
    let verified = technician.accounts().verify(account).await.unwrap();
    assert_eq!((verified.result, Some(verified.version)), (ProbeResult::Accepted, done.new_version));
}

async fn the_record_is_whole(house: &House, account: &AccountPath, round: usize) {
    let administrator = house.vault.administrator();
    let kinds = audit::kinds_of(&administrator, account).await;
    let count = |kind: &str| kinds.iter().filter(|seen| *seen == kind).count();
    // Twice a round: the use, and the look at what is current.
    for kind in ["checkout.activated", "checkout.revealed", "checkout.ended", "checkout.revocation_proven"] {
        assert_eq!(count(kind), 2 * round, "{kind}: {kinds:?}");
    }
    for kind in ["rotation.candidate_stored", "rotation.sent", "rotation.promoted", "rotation.old_refused"] {
        assert_eq!(count(kind), 3 * round, "{kind}: {kinds:?}");
    }
    let ends = AuditQuery {
        customer: Some("acme".to_owned()),
        kind: Some("checkout.ended".to_owned()),
        account: Some(account.to_string()),
        actor: Some("tina".to_owned()),
        ..AuditQuery::default()
    };
    let ends = administrator.audit().events(ends).all().await.unwrap();
    assert_eq!(ends.len(), 2 * round, "filters find the same");

    let report = audit::verified(&administrator, Some(&part("acme"))).await;
    assert!(report.entries > 20, "{report:?}");
    audit::verified(&administrator, None).await;
    a_changed_file_is_found(&administrator).await;
}

async fn a_changed_file_is_found(administrator: &Client) {
    let acme = part("acme");
    let file = audit::export(administrator, Some(&acme)).await;
    let changed = file.replacen("checkout.revealed", "checkout.extended", 1);
    assert_ne!(file, changed);
    let why = audit::judge(&changed, None).expect_err("a changed kind is found");
    assert!(why.contains("entry"), "{why}");
}

/// After the restart the ended checkouts are as they were.
async fn history_stays(technician: &Client) {
    let query = CheckoutQuery { customer: "acme".to_owned(), ..CheckoutQuery::default() };
    let all = technician.checkouts().list(query).all().await.unwrap();
    assert_eq!(all.len(), 8);
    for checkout in all {
        assert_eq!(checkout.state, CheckoutState::Ended);
        assert_eq!(checkout.revocation.unwrap().state, RevocationState::Proven);
    }
}
