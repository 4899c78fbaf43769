//! A collector of OpenTelemetry is told what requests do, within the traces that their senders began, and no name and no secret.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use claviger_api::wire::NewRotation;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::server::Launch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

use super::{House, SOON};

/// A trace that the test began, and the span in it that asks (W3C Trace Context).
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Bytes>>>);

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let take = async |State(Self(sent)): State<Self>, body: Bytes| sent.lock().unwrap().push(body);
        let routes = Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (collector, format!("http://{address}/v1/traces"))
    }

    fn spans(&self) -> Vec<Span> {
        let sent = self.0.lock().unwrap();
        let requests = sent.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|of| of.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

#[tokio::test]
async fn a_collector_is_told_what_requests_do_and_no_name() {
    let (collector, endpoint) = Collector::start().await;
    let launch = Launch { audit: format!("[traces]\nendpoint = '{endpoint}'\n"), ..Launch::default() };
    let mut house = House::start_with(&launch).await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let path = account.to_string();
    let held = tina.run(&["checkout", &path, "--for", "10m", "--reason", "a look"]).await.json();
    let id = held["id"].as_str().unwrap();
    let secret = tina.run(&["reveal", id, "--show"]).await.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(tina.run(&["checkin", id]).await.code, 0);
    available(&house.vault.technician(), &account, SOON).await;
    let rotation = NewRotation { account: Some(account.clone()), customer: None, exposed_to: None, reason: None };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &account, SOON).await;
    let asking = reqwest::Client::new().get(format!("{}/v1/sys/health", house.vault.address()));
    let answer = asking.header("traceparent", format!("00-{TRACE}-{SPAN}-01")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let untold = reqwest::get(format!("{}/v1/customers/acme", house.vault.address())).await.unwrap();
    assert_eq!(untold.status(), 401);
    house.vault.stop().await;

    let spans = collector.spans();
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert!(
            !found.is_empty(),
            "no span is called {name}: {:?}",
            spans.iter().map(|it| &it.name).collect::<Vec<_>>()
        );
        found
    };
    let health = *named("GET /v1/sys/health").last().unwrap();
    assert_eq!((hex::encode(&health.trace_id), hex::encode(&health.parent_span_id)), (TRACE.into(), SPAN.into()));
    let taken = named("POST /v1/checkouts")[0];
    assert!(taken.parent_span_id.is_empty() && taken.end_time_unix_nano > taken.start_time_unix_nano);
    for step in ["authenticate", "authorize", "commit"] {
        let within = named(step).into_iter().filter(|span| span.parent_span_id == taken.span_id);
        assert!(within.count() > 0, "a check-out has no {step}");
    }
    for step in ["due", "system.set", "system.probe"] {
        named(step);
    }
    named("GET /v1/customers/{customer}");

    // Who reads traces learns of nobody.
    let sent = collector.0.lock().unwrap().concat();
    for untold in ["acme", "db01", "tina", path.as_str(), secret.as_str(), "127.0.0.1", "a look"] {
        assert!(memchr::memmem::find(&sent, untold.as_bytes()).is_none(), "{untold:?} is told");
    }
}
