//! What is said on one node is known on all of them within a second; and a node that cannot know says so.

use std::time::{Duration, Instant};

use claviger_api::ProblemType;
use claviger_api::wire::{LockCustomer, RevocationState, SealState, TlsMode};
use claviger_client::Client;
use claviger_tests::inventory::{add_customer, add_postgres, add_role, add_system, checkout_until, part, wanted};
use claviger_tests::people::{TECHNICIAN, nobody, unseal};
use claviger_tests::poll::until;
use claviger_tests::postgres::Postgres;
use claviger_tests::server::Launch;

use super::{Cluster, EVERYWHERE, SOON};

/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(500);

/// How long it takes until a question is answered as wanted.
async fn lag(since: Instant, mut is: impl AsyncFnMut() -> bool) -> Duration {
    let seen = async || is().await.then_some(());
    let mut seen = seen;
    until("it is known", SOON, async || seen().await).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvil_revoke_now_what_is_said_on_one_node_is_known_on_all_within_a_second() {
    let cluster = Cluster::start().await;
    let [first, second, third] = cluster.addresses();
    let ada = cluster.people.administrator.client(&first);

    // A customer that was added on one node is there on the others, with its key.
    add_customer(&ada, "globex").await;
    let added = Instant::now();
    for address in [&second, &third] {
        let there = cluster.people.administrator.client(address);
        let took = lag(added, async || there.systems(&part("globex")).list().all().await.is_ok()).await;
        assert!(took < EVERYWHERE + SLACK, "{took:?}");
    }

    // A session that was used on every node ends on every node.
    let tina: Vec<Client> = cluster.addresses().iter().map(|at| cluster.people.technician.client(at)).collect();
    for client in &tina {
        client.auth().me().await.unwrap();
    }
    ada.users().suspend(&part(TECHNICIAN)).await.unwrap();
    let suspended = Instant::now();
    for client in &tina {
        let refused = |answer: claviger_client::Result<_>| {
            answer.err().is_some_and(|error| error.problem_type() == Some(ProblemType::SessionEnded))
        };
        let took = lag(suspended, async || refused(client.auth().me().await)).await;
        assert!(took < EVERYWHERE + SLACK, "{took:?}");
    }

    let spec = Postgres::start().await.spec(TlsMode::VerifyFull);
    add_system(&ada, "globex", "db01", spec).await;
    // A customer that is locked on one node is locked on all, and so it is unlocked.
    let lock = LockCustomer { reason: "a test".to_owned(), at_once: false };
    ada.customers().lock(&part("globex"), &lock).await.unwrap();
    ada.customers().wait_for_lock(&part("globex"), SOON).await.unwrap();
    for (at, wanted) in [(&first, Some(ProblemType::CustomerLocked)), (&second, None)] {
        if wanted.is_none() {
            cluster.people.administrator.client(at).customers().unlock(&part("globex"), "a test").await.unwrap();
        }
        let said = Instant::now();
        for address in cluster.addresses() {
            let there = cluster.people.administrator.client(&address);
            let is = async || {
                let listed = there.systems(&part("globex")).list().all().await;
                listed.err().and_then(|error| error.problem_type()) == wanted
            };
            let took = lag(said, is).await;
            assert!(took < EVERYWHERE + SLACK, "{took:?}");
        }
    }

    // Another root key: only the node that made it has it.
    ada.sys().rotate_root().await.unwrap();
    let rotated = Instant::now();
    for address in [&second, &third] {
        let anybody = nobody(address);
        let is_sealed = async || anybody.sys().seal_status().await.unwrap().seal == SealState::Sealed;
        let took = lag(rotated, is_sealed).await;
        assert!(took < EVERYWHERE + SLACK, "{took:?}");
        unseal(address, &cluster.people.share).await;
        cluster.people.administrator.client(address).customers().show(&part("globex")).await.unwrap();
    }
    ada.customers().show(&part("globex")).await.unwrap();

    // One that is sealed seals all.
    ada.sys().seal().await.unwrap();
    let sealed = Instant::now();
    for address in [&first, &second, &third] {
        let anybody = nobody(address);
        let is_sealed = async || anybody.sys().seal_status().await.unwrap().seal == SealState::Sealed;
        let took = lag(sealed, is_sealed).await;
        assert!(took < EVERYWHERE + SLACK, "{took:?}");
    }
    for address in [&third, &first] {
        unseal(address, &cluster.people.share).await;
        cluster.people.administrator.client(address).customers().show(&part("globex")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_from_the_database_refuses_and_comes_back_by_itself() {
    let cluster = Cluster::start().await;
    let [first, _, third] = cluster.addresses();
    let (here, cut) = (cluster.people.administrator.client(&first), cluster.people.administrator.client(&third));
    cut.auth().me().await.unwrap();
    for away in [Duration::from_secs(1), Duration::from_secs(8)] {
        cluster.line.cut();
        let begun = Instant::now();
        let refuses = async || {
            let answer = tokio::time::timeout(Duration::from_secs(3), cut.auth().me()).await;
            matches!(answer, Ok(Err(error)) if error.problem_type() == Some(ProblemType::Unavailable))
        };
        let took = lag(begun, refuses).await;
        // A second of silence, and the time that whoever asks waits for it to end.
        assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
        here.auth().me().await.unwrap();
        tokio::time::sleep(away).await;
        cluster.line.mend();
        until("it serves again", SOON, async || cut.auth().me().await.ok()).await;
    }
    let health = until("it is well", SOON, async || nobody(&third).sys().health().await.ok().filter(|h| h.writable));
    assert_eq!(health.await.seal, SealState::Unsealed, "nobody had to unseal it");
}

/// What one node has begun another one ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvil_failover_stops_what_a_node_that_was_killed_had_to_do_is_done_by_another() {
    let mut cluster = Cluster::start().await;
    let [first, second, _] = cluster.addresses();
    let system = Postgres::start().await;
    let ada = cluster.people.administrator.client(&first);
    add_postgres(&ada, "acme", "db01", &system).await;
    let account = add_role(&ada, &system, "acme/db01/app").await;
    for kill in 0..3 {
        let here = if kill == 1 { &second } else { &first };
        let (tina, elsewhere) = (
            cluster.people.technician.client(here),
            cluster.people.technician.client(if kill == 1 { &first } else { &second }),
        );
        let held = until("it is free", SOON, async || tina.checkouts().create(&wanted(&account, 600)).await.ok()).await;
        let seen = elsewhere.checkouts().reveal(held.id).await.unwrap().secret.into_secret();
        tina.checkouts().checkin(held.id).await.unwrap();
        if kill == 0 {
            cluster.nodes[2].kill().await;
        } else if kill == 1 {
            cluster.nodes[1].pause();
        }
        let reader = cluster.people.technician.client(&first);
        let proven = checkout_until(&reader, &held, "is proven", SOON, |checkout| {
            checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
        });
        proven.await;
        assert!(!system.can_login("app", seen.expose()).await);
        if kill == 1 {
            cluster.nodes[1].go_on();
            let again = cluster.people.technician.client(&second);
            until("it has joined again", SOON, async || again.auth().me().await.ok()).await;
        }
    }
    cluster.nodes[2].start_again(&Launch::default()).await;
    unseal(cluster.nodes[2].address(), &cluster.people.share).await;
    let third = cluster.people.technician.client(cluster.nodes[2].address());
    let held = third.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let secret = third.checkouts().reveal(held.id).await.unwrap().secret.into_secret();
    assert!(system.can_login("app", secret.expose()).await, "what is stored opens the account");
}
