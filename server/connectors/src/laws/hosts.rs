//! Whom the connector talks to: nobody, a stranger, or something that is no system at all.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use claviger_api::wire::{ProbeResult, SystemSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Fixture, login};
use crate::{NewLogin, SetOutcome};

/// The most that a flooding host may make the connector take, on all connections of all calls of this law together.
const TAKEN_MAX: u64 = 64 * 1024 * 1024;

/// A host with another CA or another name is a mismatch, and is told nothing.
pub async fn strangers_are_not_trusted(fixture: &dyn Fixture) {
    let (it, old) = (login("not-for-strangers"), fixture.fresh_secret());
    fixture.add_login(&it, &old).await;
    for stranger in fixture.strangers() {
        let probe = fixture.connector().probe(&stranger, &it, &old).await;
        assert_eq!(probe.result, ProbeResult::HostMismatch, "{}", probe.detail);
        for outcome in every_change(fixture, &stranger).await {
            assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::HostMismatch, .. }), "{outcome:?}");
        }
    }
    assert!(fixture.opens(&it, &old).await);
}

/// Where nobody listens, where the connection is cut at once, and where nobody speaks: unreachable, nothing sent.
pub async fn silence_is_unreachable(fixture: &dyn Fixture) {
    let vacated = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr());
    let Ok(vacated) = vacated else { panic!("no port on loopback") };
    let closing = Double::start(|_| async {}).await;
    let half_way = Double::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 64]).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let hanging = Double::start(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for address in [vacated, closing.address, half_way.address, hanging.address] {
        let system = fixture.at("127.0.0.1", address.port());
        assert_eq!(bounded_probe(fixture, &system).await, ProbeResult::Unreachable);
        for outcome in every_change(fixture, &system).await {
            assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Unreachable, .. }), "{outcome:?}");
        }
    }
}

/// What answers nonsense is unknown, never accepted and never refused; what floods is cut off.
pub async fn nonsense_is_unknown(fixture: &dyn Fixture) {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let garbage = Double::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let flooding = Double::start(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            while stream.write_all(&[b'N'; 16 * 1024]).await.is_ok() {
                counter.fetch_add(16 * 1024, Ordering::Relaxed);
            }
        }
    })
    .await;
    for address in [garbage.address, flooding.address] {
        let system = fixture.at("127.0.0.1", address.port());
        assert_eq!(bounded_probe(fixture, &system).await, ProbeResult::Unknown);
        for outcome in every_change(fixture, &system).await {
            assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Unknown, .. }), "{outcome:?}");
        }
    }
    assert!(taken.load(Ordering::Relaxed) < TAKEN_MAX, "{} bytes were taken", taken.load(Ordering::Relaxed));
}

async fn bounded_probe(fixture: &dyn Fixture, system: &SystemSpec) -> ProbeResult {
    let (it, secret) = (login("anybody"), fixture.fresh_secret());
    within_deadline(fixture, system, fixture.connector().probe(system, &it, &secret)).await.result
}

/// What each call that changes something says to this host.
async fn every_change(fixture: &dyn Fixture, system: &SystemSpec) -> Vec<SetOutcome> {
    let (it, secret, until) = (login("anybody"), fixture.fresh_secret(), fixture.now().await);
    let (connector, by) = (fixture.connector(), fixture.management());
    let new = NewLogin { login: &it, secret: &secret, member_of: &[], sudo_rules: &[], valid_until: until };
    vec![
        within_deadline(fixture, system, connector.set(system, &by, &it, &secret)).await,
        within_deadline(fixture, system, connector.create_login(system, &by, &new)).await,
        within_deadline(fixture, system, connector.extend_login(system, &by, &it, until)).await,
        within_deadline(fixture, system, connector.remove_login(system, &by, &it)).await,
        within_deadline(fixture, system, connector.end_sessions(system, &by, &it)).await,
    ]
}

async fn within_deadline<T>(fixture: &dyn Fixture, system: &SystemSpec, call: impl Future<Output = T>) -> T {
    let (start, deadline) = (Instant::now(), fixture.connector().traits(system).deadline);
    let answer = call.await;
    assert!(start.elapsed() <= deadline, "a call took {:?} of {deadline:?}", start.elapsed());
    answer
}

/// A tiny host on loopback that does what no real system can be made to do.
struct Double {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Double {
    async fn start<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let Ok((listener, address)) = listener.and_then(|l| l.local_addr().map(|address| (l, address))) else {
            panic!("no port on loopback")
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, task }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}
