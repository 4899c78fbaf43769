//! The audit log at a real rsyslog over TLS, while either of the two is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claviger_api::Part;
use claviger_api::audit::note::{Checkpoint, VerifierKey};
use claviger_api::wire::{CustomerChange, StreamState};
use claviger_client::Client;
use claviger_tests::inventory::add_customer;
use claviger_tests::people::unseal;
use claviger_tests::pki::Ca;
use claviger_tests::poll::until;
use claviger_tests::rsyslog::Rsyslog;
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use claviger_tests::webhooks::{Webhook, Webhooks};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::SOON;

const CUSTOMERS: [&str; 2] = ["acme", "globex"];
/// Longer than a connection lasts and settles: 1 s each.
const PAST_SETTLING: Duration = Duration::from_millis(2_500);

/// Somebody who works all the time, whatever is killed meanwhile.
struct Work {
    over: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Work {
    fn begin(client: Client) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let task = tokio::spawn(async move {
            let mut done = 0;
            while !is_over.load(Ordering::Relaxed) {
                for slug in CUSTOMERS {
                    let change = CustomerChange {
                        display_name: Some(format!("{slug} the {done}th")),
                        ..CustomerChange::default()
                    };
                    done += u32::from(client.customers().set(&part(slug), &change).await.is_ok());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done
        });
        Self { over, task }
    }

    async fn end(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

fn part(text: &str) -> Part {
    text.parse().unwrap()
}

/// A receiver, a vault that streams to it, to somebody with whom it must not speak, and into a file.
async fn start() -> (Rsyslog, Vault, Launch) {
    let ca = Ca::new("the receiver's CA");
    let rsyslog = Rsyslog::start(&ca).await;
    let (certificate, key) = ca.client("claviger", &["vault.test"]).write(&rsyslog.folder(), "vault");
    let stranger = rsyslog.folder().join("stranger.pem");
    std::fs::write(&stranger, Ca::new("another CA").pem).unwrap();
    let (url, file) = (rsyslog.url(), rsyslog.folder().join("audit.jsonl"));
    let audit = format!(
        "[[audit.streams]]\nname = 'siem'\nto = '{url}'\nformat = 'json'\nca_file = '{ca}'\ncertificate = '{certificate}'\n\
         key = '{key}'\nsettle_seconds = 1\n\
         [[audit.streams]]\nname = 'stranger'\nto = '{url}'\nformat = 'cef'\nca_file = '{stranger}'\n\
         [[audit.streams]]\nname = 'file'\nto = 'file://{file}'\nformat = 'ecs'\n",
        ca = rsyslog.ca_file().display(),
        certificate = certificate.display(),
        key = key.display(),
        stranger = stranger.display(),
        file = file.display(),
    );
    let launch = Launch { audit, ..Launch::default() };
    let vault = Vault::start_with(&launch).await;
    for slug in CUSTOMERS {
        add_customer(&vault.administrator(), slug).await;
    }
    (rsyslog, vault, launch)
}

/// How many entries each log has.
async fn sizes(client: &Client) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for customer in [None, Some(part("acme")), Some(part("globex"))] {
        let signed = client.audit().checkpoint(customer.as_ref()).await.unwrap();
        let key: VerifierKey = signed.verifier_key.parse().unwrap();
        let checkpoint = Checkpoint::open(&signed.checkpoint, &[key]).unwrap();
        sizes.insert(checkpoint.origin, checkpoint.size);
    }
    sizes
}

/// The entries of each log, each where it first came.
fn first_seen<'a>(events: impl IntoIterator<Item = (&'a Value, &'a Value)>) -> BTreeMap<String, Vec<u64>> {
    let mut logs = BTreeMap::<String, Vec<u64>>::new();
    for (log, index) in events {
        let seen = logs.entry(log.as_str().expect("a log").to_owned()).or_default();
        let index = index.as_u64().expect("an index");
        if !seen.contains(&index) {
            seen.push(index);
        }
    }
    logs
}

/// Every line that rsyslog has is one message of ours, whole.
fn received(rsyslog: &Rsyslog) -> Vec<Value> {
    let read = |line: &String| {
        let [facility, severity, host, program, id, message] =
            line.splitn(6, ' ').collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{line}"));
        assert_eq!((facility, host, program), ("13", "vault.test", "claviger"), "{line}");
        let event: Value = serde_json::from_str(message).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(message.starts_with('{'), "{line}");
        assert_eq!(event.get("kind").and_then(Value::as_str), Some(id), "{line}");
        assert!(["1", "4", "5", "6"].contains(&severity));
        event
    };
    rsyslog.lines().iter().map(read).collect()
}

fn is_whole(seen: &BTreeMap<String, Vec<u64>>, sizes: &BTreeMap<String, u64>) -> bool {
    for (log, indexes) in seen {
        assert!(indexes.iter().copied().eq(0..indexes.len() as u64), "{log} is out of order: {indexes:?}");
    }
    sizes.iter().all(|(log, size)| seen.get(log).is_some_and(|indexes| indexes.len() as u64 >= *size))
}

/// rsyslog stands still until its kernel has taken more than the settling time's worth, and is killed; the server is killed
/// and started again; each while somebody works. Nothing is missing, and each log is in its order once repetitions are left
/// out.
#[tokio::test]
async fn a_killed_rsyslog_and_a_killed_server_lose_no_event() {
    let (mut rsyslog, mut vault, launch) = start().await;
    let work = Work::begin(vault.administrator());
    until("rsyslog has something", SOON, async || (received(&rsyslog).len() > 40).then_some(())).await;

    rsyslog.stand_still();
    tokio::time::sleep(PAST_SETTLING).await;
    rsyslog.kill();
    let before = rsyslog.lines().len();
    rsyslog.start_again().await;
    until("it goes on", SOON, async || (received(&rsyslog).len() > before + 40).then_some(())).await;
    until("it is said", SOON, async || vault.log().contains("a stream of the audit log delivers again").then_some(()))
        .await;
    assert!(work.end().await > 100, "somebody worked all the time");

    let work = Work::begin(vault.administrator());
    tokio::time::sleep(Duration::from_millis(200)).await;
    vault.kill().await;
    work.end().await;
    vault.start_again(&launch).await;
    unseal(vault.address(), &vault.people.share).await;
    let work = Work::begin(vault.administrator());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(work.end().await > 0);

    let client = vault.administrator();
    let sizes = sizes(&client).await;
    let events = until("rsyslog has every event", SOON, async || {
        let events = received(&rsyslog);
        is_whole(&first_seen(events.iter().map(|event| (&event["log"], &event["index"]))), &sizes).then_some(events)
    })
    .await;
    let changed = events.iter().filter(|event| event["kind"] == "customer.changed").collect::<Vec<_>>();
    assert!(changed.len() > 100 && changed.iter().all(|event| event["fields"]["actor_name"] == "ada"));
    assert!(events.len() as u64 > sizes.values().sum(), "some came twice: that is what at least once means");

    until("the file has every event", SOON, async || {
        let file = std::fs::read_to_string(rsyslog.folder().join("audit.jsonl")).unwrap();
        let lines = file.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let lines: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let own = lines.iter().map(|line| (&line["claviger"]["log"], &line["claviger"]["index"]));
        is_whole(&first_seen(own), &sizes).then_some(())
    })
    .await;

    let total = sizes.values().sum::<u64>();
    until("the stream to a stranger is known to be behind", SOON, async || {
        let streams = client.sys().status().await.unwrap().streams;
        let of = |name: &str| streams.iter().find(|stream| stream.name.as_str() == name).unwrap();
        assert_eq!((of("siem").state, of("file").state), (StreamState::Delivering, StreamState::Delivering));
        let stranger = of("stranger");
        assert_eq!(stranger.state, StreamState::Broken, "its CA is none of the receiver's: {stranger:?}");
        assert!(stranger.trouble.as_ref().is_some_and(|why| why.contains("certificate")), "{stranger:?}");
        (stranger.behind >= total && stranger.behind_since.is_some()).then_some(())
    })
    .await;
    let shown = vault.people.administrator.terminal(vault.address()).await.run(&["status"]).await;
    assert_eq!(shown.json()["streams"][1]["state"], "broken", "{shown:?}");
}

/// Over HTTPS the receiver itself says what it has taken: what it refused comes again, and nothing else does.
#[tokio::test]
async fn a_receiver_over_https_gets_again_what_it_refused_and_nothing_else() {
    const TOKEN: &str = "Splunk 8f14e45f-ceea-467f-9538-4b1a3a5d6c21";
    let (receiver, folder) = (Webhooks::start().await, TempDir::new().unwrap());
    let (ca, token) = (folder.path().join("ca.pem"), folder.path().join("token"));
    std::fs::write(&ca, &receiver.ca).unwrap();
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    receiver.answers([503, 500]);
    let audit = format!(
        "[[audit.streams]]\nname = 'siem'\nto = '{}'\nformat = 'ecs'\nca_file = '{}'\ntoken_file = '{}'\n",
        receiver.url,
        ca.display(),
        token.display(),
    );
    let launch = Launch { audit, ..Launch::default() };
    let mut vault = Vault::start_with(&launch).await;
    for slug in CUSTOMERS {
        add_customer(&vault.administrator(), slug).await;
    }
    let all_there = async |client: &Client| {
        let sizes = sizes(client).await;
        until("the receiver has every event", SOON, async || {
            let events: Vec<Value> = receiver.received().iter().skip(2).flat_map(events).collect();
            is_whole(&first_seen(events.iter().map(name)), &sizes).then_some(())
        })
        .await;
    };
    all_there(&vault.administrator()).await;
    let client = vault.administrator();
    until("the cursor has followed", SOON, async || {
        client.sys().status().await.unwrap().streams.iter().all(|stream| stream.behind == 0).then_some(())
    })
    .await;
    vault.stop().await;
    vault.start_again(&launch).await;
    unseal(vault.address(), &vault.people.share).await;
    all_there(&vault.administrator()).await;

    let posts = receiver.received();
    assert!(posts.iter().all(|post| post.header("authorization") == Some(TOKEN)));
    assert!(posts.iter().all(|post| post.header("content-type") == Some("application/x-ndjson")));
    let accepted: Vec<Value> = posts.iter().skip(2).flat_map(events).collect();
    let names: BTreeSet<String> = accepted.iter().map(|event| format!("{:?}", name(event))).collect();
    assert_eq!(names.len(), accepted.len(), "what it took comes once, over a restart too");
    assert!(events(posts.first().unwrap()).iter().all(|event| names.contains(&format!("{:?}", name(event)))));
    assert!(vault.log().contains("it answered 503") && !vault.log().contains(TOKEN), "{}", vault.log());
}

fn events(post: &Webhook) -> Vec<Value> {
    post.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Log and index of an event in ECS.
fn name(event: &Value) -> (&Value, &Value) {
    (event.pointer("/claviger/log").unwrap(), event.pointer("/claviger/index").unwrap())
}
