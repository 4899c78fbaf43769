//! What only time brings, with a clock that the test sets: nobody waits a minute.

use claviger_api::ProblemType;
use claviger_api::wire::{Checkout, CheckoutState, Claim, EndCause, Extend, NewCheckout, RevocationState};
use claviger_tests::in_process::InProcess;
use claviger_tests::inventory::{add_customer, add_ephemeral, add_postgres, add_role, checkout_until, wanted};
use claviger_tests::postgres::Postgres;

use super::SOON;
use super::ephemeral::valid_until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_nothing_is_revealed_and_the_secret_is_dead() {
    let (vault, postgres) = house().await;
    let technician = vault.technician();
    let account = add_role(&vault.administrator(), &postgres, "acme/db01/admin").await;
    let held = technician.checkouts().create(&wanted(&account, 60)).await.unwrap();
    let secret = technician.checkouts().reveal(held.id).await.unwrap().secret.into_secret();

    vault.advance_seconds(59);
    let last = technician.checkouts().reveal(held.id).await.unwrap();
    assert_eq!(last.secret.secret().expose(), secret.expose(), "in the last second it is revealed still");
    assert!(postgres.can_login("admin", secret.expose()).await);

    vault.advance_seconds(1);
    let refused = technician.checkouts().reveal(held.id).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::CheckoutEnded), "refused at read, whatever the workers do");
    let ended = checkout_until(&technician, &held, "is proven", SOON, is_proven).await;
    assert_eq!(ended.end_cause, Some(EndCause::Expired));
    assert!(!postgres.can_login("admin", secret.expose()).await);
    vault.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_moves_the_end_and_the_old_end_does_nothing() {
    let (vault, postgres) = house().await;
    let technician = vault.technician();
    let account = add_role(&vault.administrator(), &postgres, "acme/db01/admin").await;
    let held = technician.checkouts().create(&wanted(&account, 60)).await.unwrap();
    let secret = technician.checkouts().reveal(held.id).await.unwrap().secret.into_secret();
    technician.checkouts().extend(held.id, &Extend { ttl_seconds: 120 }).await.unwrap();
    vault.advance_seconds(119);
    assert_eq!(technician.checkouts().show(held.id).await.unwrap().state, CheckoutState::Active);
    technician.checkouts().reveal(held.id).await.unwrap();
    assert!(postgres.can_login("admin", secret.expose()).await);
    vault.advance_seconds(1);
    checkout_until(&technician, &held, "is proven", SOON, is_proven).await;
    assert!(!postgres.can_login("admin", secret.expose()).await);
    vault.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_login_is_removed() {
    let (vault, postgres) = house().await;
    let technician = vault.technician();
    let account = add_ephemeral(&vault.administrator(), "acme/db01/temp", &[]).await;
    let held = technician.checkouts().create(&wanted(&account, 60)).await.unwrap();
    let revealed = technician.checkouts().reveal(held.id).await.unwrap();
    let (login, password) = (revealed.login.as_str(), revealed.secret.secret().expose());
    assert!(postgres.can_login(login, password).await);
    vault.advance_seconds(60);
    checkout_until(&technician, &held, "is proven", SOON, is_proven).await;
    assert_eq!(valid_until(&postgres, login).await, None, "the role is gone");
    vault.stop().await;
}

/// What was asked for and never claimed lapses: nothing was seen, so nothing is rotated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_claims_lapses() {
    let (vault, postgres) = house().await;
    let technician = vault.technician();
    let account = add_role(&vault.administrator(), &postgres, "acme/db01/admin").await;
    let later = NewCheckout { claim: Claim::Later, ..wanted(&account, 60) };
    let asked = technician.checkouts().create(&later).await.unwrap();
    assert_eq!(asked.state, CheckoutState::Approved);
    let window = asked.claim_until.unwrap().duration_since(asked.created_at);
    vault.advance_seconds(window.as_secs());
    let lapsed = checkout_until(&technician, &asked, "has lapsed", SOON, |c| c.state == CheckoutState::Ended).await;
    assert_eq!(lapsed.end_cause, Some(EndCause::Lapsed));
    assert_eq!(lapsed.revocation.unwrap().state, RevocationState::NotNeeded);
    let refused = technician.checkouts().reveal(asked.id).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::CheckoutEnded));
    vault.stop().await;
}

async fn house() -> (InProcess, Postgres) {
    let postgres = Postgres::start().await;
    let vault = InProcess::start().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    (vault, postgres)
}

fn is_proven(checkout: &Checkout) -> bool {
    checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
}
