//! An exclusive check-out stays exclusive, whatever befalls the nodes: people take accounts and give them back, on whichever node
//! they come to, while one is killed, one is stopped for longer than its lease, one is cut off, and the database crashes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use claviger_api::wire::{CheckoutState, ImportRequest, ImportRow, KeyRotationState, Role, SystemSpec, TlsMode};
use claviger_api::{AccountPath, CheckoutId, ProblemType};
use claviger_client::Client;
use claviger_tests::audit;
use claviger_tests::inventory::{add_system, part, secret, wanted};
use claviger_tests::people::{Person, unseal};
use claviger_tests::poll::until;
use claviger_tests::postgres::{HOST, random_text};
use claviger_tests::server::Launch;

use super::lock::{Done, Operation, is_a_locks};
use super::{Cluster, SOON};

/// Accounts, of which each has one history.
const ACCOUNTS: usize = 600;
/// So many are imported at once.
const IMPORTED_AT_ONCE: usize = 100;
/// Histories that are wanted at least.
const LEAST: usize = 200;
/// Whoever hears nothing for so long does not know what came of it.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often each takes the same account.
const TIMES: usize = 2;
/// Accounts that people are at, at once.
const AT_ONCE: usize = 6;

/// One person at one account.
struct Hand {
    /// The person's client on each node.
    clients: Vec<Client>,
    /// What comes from the first draw of a node.
    turn: usize,
}

/// What people did with one account, and which checkouts they were told of.
#[derive(Default)]
struct History {
    operations: Vec<Operation>,
    taken: Vec<CheckoutId>,
    given_back: Vec<CheckoutId>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_checkout_stays_exclusive_whatever_befalls_the_nodes() {
    let mut cluster = Cluster::start().await;
    let paths = fill(&cluster).await;
    let first = cluster.nodes[0].address().to_owned();
    let ada = &cluster.people.administrator;
    let mut people = vec![cluster.people.technician.duplicate()];
    for name in ["max", "zoe"] {
        people.push(ada.adds_user(&first, name, Some((Role::Technician, "acme"))).await);
    }
    // Where each node is now: one that is killed comes back elsewhere.
    let addresses = Arc::new(Mutex::new(cluster.addresses()));
    let over = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicUsize::new(0));
    let people = Arc::new(people);
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (paths, people, addresses) = (paths.clone(), people.clone(), addresses.clone());
            let (over, next) = (over.clone(), next.clone());
            tokio::spawn(async move {
                let mut histories = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let enough = number >= LEAST && over.load(Ordering::SeqCst);
                    let Some(path) = paths.get(number).filter(|_| !enough) else { return histories };
                    let at = addresses.lock().unwrap().clone();
                    histories.push(fight_for(path, number, &people, &at).await);
                }
            })
        })
        .collect();

    // Meanwhile the customer's key is replaced, again and again.
    let replacing =
        tokio::spawn(replace_keys(cluster.people.administrator.duplicate(), addresses.clone(), over.clone()));
    befall(&mut cluster, &addresses).await;
    over.store(true, Ordering::SeqCst);
    let replaced = replacing.await.unwrap();
    println!("the key was replaced {replaced} times");
    assert!(replaced > 0);
    let mut histories = Vec::new();
    for worker in workers {
        histories.extend(worker.await.unwrap());
    }
    judge(&cluster, &histories).await;
}

/// Asks one node after the other for another key for the customer, and again as soon as the last one is there. How often it was.
async fn replace_keys(ada: Person, addresses: Arc<Mutex<[String; 3]>>, over: Arc<AtomicBool>) -> usize {
    let (acme, mut ended, mut asked, mut since) = (part("acme"), 0, false, Instant::now());
    for number in 0.. {
        let address = addresses.lock().unwrap()[number % 3].clone();
        let client = ada.client(&address);
        if asked {
            let shown = tokio::time::timeout(PATIENCE, client.sys().key_rotation(&acme)).await;
            let last = shown.ok().and_then(|shown| shown.ok()?.key_rotation);
            if last.is_some_and(|last| last.state == KeyRotationState::Ended) {
                (ended, asked, since) = (ended + 1, false, Instant::now());
            }
        } else if over.load(Ordering::SeqCst) {
            return ended;
        } else {
            let begun = tokio::time::timeout(PATIENCE, client.sys().rotate_customer_key(&acme)).await;
            asked = matches!(begun, Ok(Ok(_)));
        }
        assert!(since.elapsed() < 2 * SOON, "the key is not replaced");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ended
}

/// What happens to the nodes, one after the other, each while people work on all of them.
async fn befall(cluster: &mut Cluster, addresses: &Mutex<[String; 3]>) {
    let work = || tokio::time::sleep(Duration::from_secs(2));
    work().await;
    // Stopped for longer than its lease; then it goes on where it was.
    cluster.nodes[1].pause();
    tokio::time::sleep(Duration::from_secs(7)).await;
    cluster.nodes[1].go_on();
    work().await;
    // Killed, and started again.
    cluster.nodes[0].kill().await;
    work().await;
    cluster.nodes[0].start_again(&Launch::default()).await;
    unseal(cluster.nodes[0].address(), &cluster.people.share).await;
    cluster.nodes[0].address().clone_into(&mut addresses.lock().unwrap()[0]);
    work().await;
    // Cut from the database for longer than its lease.
    cluster.line.cut();
    tokio::time::sleep(Duration::from_secs(7)).await;
    cluster.line.mend();
    work().await;
    // And for a moment.
    cluster.nodes[1].pause();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.nodes[1].go_on();
    cluster.database.crash().await;
    work().await;
    for node in &cluster.nodes {
        until("every node serves", SOON, async || {
            let health = claviger_tests::people::nobody(node.address()).sys().health().await.ok()?;
            health.writable.then_some(())
        })
        .await;
    }
    work().await;
}

/// Accounts on a system that nobody has to reach: what nobody has seen needs no rotation.
async fn fill(cluster: &Cluster) -> Arc<Vec<AccountPath>> {
    let administrator = cluster.people.administrator.client(cluster.nodes[0].address());
    let spec = SystemSpec::Postgresql {
        host: HOST.to_owned(),
        port: 1,
        database: "postgres".to_owned(),
        tls: TlsMode::Require,
        ca_certificate: None,
    };
    add_system(&administrator, "acme", "db", spec).await;
    let row = |line: usize| ImportRow {
        line: u32::try_from(line).unwrap(),
        system: part("db"),
        account: part(&format!("r{line}")),
        login: None,
        secret: secret(&random_text()).disclose(),
        sensitive: false,
        tier: None,
    };
    let mut rows: Vec<ImportRow> = (1..=ACCOUNTS).map(row).collect();
    let paths = rows.iter().map(|row| format!("acme/db/{}", row.account).parse().unwrap()).collect();
    while !rows.is_empty() {
        let some = ImportRequest { rows: rows.drain(..rows.len().min(IMPORTED_AT_ONCE)).collect() };
        // On a machine that is busy a turn at the database may come too late: the answer says that nothing was taken.
        until("the import is taken", SOON, async || {
            match administrator.customers().import(&part("acme"), &some).await {
                Err(error) if error.problem_type() == Some(ProblemType::Unavailable) => None,
                answer => Some(answer.unwrap()),
            }
        })
        .await;
    }
    Arc::new(paths)
}

/// All of them want the same account, each on another node each time.
async fn fight_for(path: &AccountPath, number: usize, people: &[Person], addresses: &[String; 3]) -> History {
    let history = Mutex::new(History::default());
    let hands = people.iter().enumerate().map(|(person, who)| Hand {
        clients: addresses.iter().map(|address| who.client(address)).collect(),
        turn: person + number,
    });
    futures::future::join_all(hands.map(|hand| take_and_give_back(path, hand, &history))).await;
    history.into_inner().unwrap()
}

async fn take_and_give_back(path: &AccountPath, hand: Hand, history: &Mutex<History>) {
    for time in 0..TIMES {
        let client = |step: usize| &hand.clients[(hand.turn + 2 * time + step) % hand.clients.len()];
        let begun = Instant::now();
        let new = wanted(path, 3600);
        let taken = tokio::time::timeout(PATIENCE, client(0).checkouts().create(&new)).await;
        let id = match taken {
            Ok(Ok(checkout)) => {
                assert_eq!(checkout.state, CheckoutState::Active);
                checkout.id
            }
            Ok(Err(error)) if error.problem_type() == Some(ProblemType::AccountHeld) => {
                note(history, begun, Some(Instant::now()), Done::Held);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            // Nobody knows, and this one asks no more.
            Ok(Err(_)) | Err(_) => {
                note(history, begun, None, Done::MayHaveTaken);
                return;
            }
        };
        let taken = note(history, begun, Some(Instant::now()), Done::Took);
        history.lock().unwrap().taken.push(id);
        tokio::time::sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, client(1).checkouts().checkin(id)).await {
            note(history, begun, Some(Instant::now()), Done::GaveBack(taken));
            history.lock().unwrap().given_back.push(id);
        } else {
            note(history, begun, None, Done::MayHaveGivenBack(taken));
            return;
        }
    }
}

/// The operation's number.
fn note(history: &Mutex<History>, begun: Instant, ended: Option<Instant>, done: Done) -> usize {
    let mut history = history.lock().unwrap();
    history.operations.push(Operation { begun, ended, done });
    history.operations.len() - 1
}

/// Every history is a lock's, what was acknowledged is there, the logs are whole, and so is the store.
async fn judge(cluster: &Cluster, histories: &[History]) {
    assert!(histories.len() >= LEAST, "only {} histories", histories.len());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in histories.iter().flat_map(|history| &history.operations) {
        let name = match operation.done {
            Done::Took => "took",
            Done::Held => "held",
            Done::GaveBack(_) => "gave back",
            Done::MayHaveTaken | Done::MayHaveGivenBack(_) => "unknown",
        };
        *counts.entry(name).or_default() += 1;
    }
    println!("{} histories: {counts:?}", histories.len());
    for history in histories {
        assert!(is_a_locks(&history.operations), "no lock has this history: {:#?}", history.operations);
    }
    assert!(counts["took"] >= LEAST && counts["held"] > 0 && counts["unknown"] > 0, "too little happened: {counts:?}");

    let [first, second, third] = cluster.addresses();
    let readers = [&first, &second, &third].map(|address| cluster.people.administrator.client(address));
    for (number, history) in histories.iter().enumerate() {
        let reader = &readers[number % readers.len()];
        for id in &history.taken {
            let shown = reader.checkouts().show(*id).await.unwrap_or_else(|lost| panic!("{id} is lost: {lost}"));
            let ended = shown.state == CheckoutState::Ended;
            assert!(ended || !history.given_back.contains(id), "{id} was given back");
        }
    }
    for reader in &readers {
        audit::verified(reader, Some(&part("acme"))).await;
        audit::verified(reader, None).await;
    }
    let scrub = &cluster.people.administrator.terminal(&second).await;
    let scrub = scrub.run(&["operator", "scrub"]).await;
    assert_eq!((scrub.code, scrub.json()["outcome"].as_str()), (0, Some("clean")), "{scrub:?}");
}
