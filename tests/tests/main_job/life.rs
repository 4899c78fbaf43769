//! The end of an identity in real time: what was let in is out at once, and what it held is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use claviger_api::ProblemType;
use claviger_api::wire::{CheckoutState, EndCause, RevocationState};
use claviger_tests::inventory::{add_role, checkout_until, part, wanted};
use claviger_tests::people::TECHNICIAN;

use super::{House, SOON};

/// How long after the answer nothing may get through any more.
const AT_ONCE: Duration = Duration::from_millis(1);
/// How long what was held may last.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvil_revoke_now_a_suspended_one_is_out_within_a_millisecond_and_what_it_held_within_a_second() {
    let mut house = House::start().await;
    let administrator = house.vault.administrator();
    let account = add_role(&administrator, &house.postgres, "acme/db01/admin").await;
    let technician = house.vault.technician();
    let held = technician.checkouts().create(&wanted(&account, 3600)).await.unwrap();
    let secret = technician.checkouts().reveal(held.id).await.unwrap().secret.into_secret();
    assert!(house.postgres.can_login("admin", secret.expose()).await);

    // Somebody who knocks without a pause: when each request that got through was sent.
    let over = Arc::new(AtomicBool::new(false));
    let (knocker, stop, id) = (house.vault.technician(), over.clone(), held.id);
    let knocking = tokio::spawn(async move {
        let mut last = None;
        while !stop.load(Ordering::SeqCst) {
            let sent = Instant::now();
            if knocker.checkouts().reveal(id).await.is_ok() {
                last = Some(sent);
            }
        }
        last
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    administrator.users().suspend(&part(TECHNICIAN)).await.unwrap();
    let suspended = Instant::now();
    let refused = technician.auth().me().await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::SessionEnded));
    let ended = checkout_until(&administrator, &held, "has ended", ENDS_WITHIN, |checkout| {
        checkout.state == CheckoutState::Ended
    });
    let ended = ended.await;
    assert!(suspended.elapsed() < ENDS_WITHIN, "{:?}", suspended.elapsed());
    assert_eq!(ended.end_cause, Some(EndCause::Revoked));
    over.store(true, Ordering::SeqCst);
    let last = knocking.await.unwrap().expect("before, it got through");
    assert!(last < suspended + AT_ONCE, "{:?} after", last.duration_since(suspended));

    let proven = checkout_until(&administrator, &held, "is proven", SOON, |checkout| {
        checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
    });
    proven.await;
    assert!(!house.postgres.can_login("admin", secret.expose()).await, "what was seen is dead");

    house.vault.kill().await;
    house.vault.restart().await;
    let refused = house.vault.technician().auth().me().await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::SessionEnded), "after a restart, too");
}
