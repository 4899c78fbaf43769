//! The whole HTTP side over a vault in memory: every answer of these tests must be documented.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{ALLOW, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, init_service};
use actix_web::web;
use bytes::Bytes;
use claviger_api::wire::{
    Challenge, EnrolRequest, InitRequest, LoginRequest, MfaRequest, NewCustomer, NewGrant, NewServiceAccount,
    PendingTotp, RefreshRequest, SecondFactor, Tokens, UnsealRequest,
};
use claviger_api::{Problem, ProblemType, Secret};
use claviger_connectors::{Direct, Registry};
use claviger_core::policy::Policies;
use claviger_service::crypto::{OsRandom, totp};
use claviger_service::{Ground, Settings, SystemClock, Vault};
use claviger_store::MemoryStore;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use governor::clock::DefaultClock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::app::app;
use super::budget::{AllRates, Budgets};
use super::call::Site;
use super::describe::Entrance;
use super::endpoint::Endpoint;
use super::openapi::document;
use super::refusal::PROBLEM_JSON;
use super::table;

mod bodies;
mod refusals;
mod routes;

const PASSPHRASE: &str = "a passphrase for tests";
const PASSWORD: &str = "brisk walnut under gravel";

thread_local! {
    /// Made once: each table describes every type of the API anew.
    static TABLE: Vec<Endpoint> = table();
}

/// A server without a socket.
struct Rig {
    serve: Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Reply>>,
    vault: Arc<Vault>,
}

/// What came back.
struct Reply {
    method: Method,
    route: Option<String>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

async fn rig() -> Rig {
    rig_with(AllRates::generous()).await
}

async fn rig_with(rates: AllRates) -> Rig {
    let vault = Arc::new(Vault::new(Ground {
        store: Arc::new(MemoryStore::new()),
        clock: Arc::new(SystemClock::default()),
        random: Arc::new(OsRandom),
        connectors: Arc::new(Registry::standard(Arc::new(Direct::new(Vec::new())))),
        dial: Arc::new(Direct::new(Vec::new())),
        policies: Arc::new(Policies::built_in().unwrap()),
        wake: Arc::default(),
        anchors: Vec::new(),
        archives: None,
        streams: Vec::new(),
        witnesses: Vec::new(),
        backups: None,
        kits: None,
        escrow: None,
        hsm: None,
        settings: Settings::named("vault.test"),
    }));
    let site = web::Data::new(Site {
        watchers: Arc::new(tokio::sync::Semaphore::new(1)),
        stopping: std::sync::atomic::AtomicBool::new(false),
        traffic: crate::metrics::Traffic::default(),
        vault: vault.clone(),
        budgets: Budgets::new(&rates, &DefaultClock::default()),
        proxies: Vec::new(),
        document: Bytes::from(serde_json::to_vec(&document()).unwrap()),
    });
    let service = Rc::new(init_service(app(site)).await);
    let serve = move |request: TestRequest| {
        let service = service.clone();
        async move { Reply::of(service.call(request.to_request()).await.unwrap()).await }.boxed_local()
    };
    Rig { serve: Box::new(serve), vault }
}

impl Rig {
    /// Sends, and checks what holds for every answer.
    async fn send(&self, request: TestRequest) -> Reply {
        let reply = (self.serve)(request.peer_addr(SocketAddr::from(([192, 0, 2, 1], 40_000)))).await;
        reply.check();
        reply
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.send(TestRequest::get().uri(path).insert_header(("Authorization", format!("Bearer {token}")))).await
    }

    async fn post(&self, path: &str, token: &str, body: impl serde::Serialize) -> Reply {
        let request = TestRequest::post().uri(path).insert_header(("Authorization", format!("Bearer {token}")));
        self.send(request.set_json(body)).await
    }

    /// Initialises, unseals, and enrols the administrator `admin` with an authenticator app, whose tokens are given.
    async fn opened(&self) -> Tokens {
        let tokens = self.opened_without_second_factor().await;
        self.add_app(access(&tokens)).await;
        tokens
    }

    /// The secret of an authenticator app, whose present code is still good.
    async fn add_app(&self, token: &str) -> Secret {
        let offered: PendingTotp = self.post("/v1/auth/totp", token, json!({ "label": "phone" })).await.json(201);
        let secret = offered.secret.into_secret();
        let step = totp::step(offered.server_time) - 1;
        let confirm = json!({ "code": code(&secret, step) });
        let confirmed: Value = self.post("/v1/auth/totp/confirm", token, confirm).await.json(200);
        assert_eq!(confirmed["recovery_codes"].as_array().unwrap().len(), 10);
        secret
    }

    /// The same as far as the password.
    async fn opened_without_second_factor(&self) -> Tokens {
        let init = InitRequest::Passphrase { passphrase: secret(PASSPHRASE), administrator: "admin".parse().unwrap() };
        let made = self.vault.init(init).await.unwrap();
        if self.vault.open().is_err() {
            self.vault.unseal(secret(PASSPHRASE).secret(), None).await.unwrap();
        }
        let (name, enrolment) = (made.administrator, made.enrolment);
        let enrol = EnrolRequest { name, enrolment, confirmation: None, password: secret(PASSWORD) };
        self.post("/v1/auth/enrol", "", enrol).await.json(200)
    }

    /// A service account without any grant.
    async fn stranger(&self, admin: &str) -> String {
        let new = NewServiceAccount::with_token("stranger".parse().unwrap(), 3600);
        let made: Value = self.post("/v1/service-accounts", admin, new).await.json(201);
        let login = json!({ "method": "token", "token": made["token"] });
        let tokens: Value = self.post("/v1/auth/login", "", login).await.json(200);
        tokens["access_token"].as_str().unwrap().to_owned()
    }
}

impl Reply {
    async fn of(response: ServiceResponse<impl MessageBody>) -> Self {
        let (method, route) = (response.request().method().clone(), response.request().match_pattern());
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("no body"));
        Self { method, route, status, headers, body }
    }

    fn json<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    fn problem(&self) -> (u16, ProblemType, String) {
        let problem: Problem = self.json(self.status.as_u16());
        assert_eq!(problem.status, self.status.as_u16());
        (problem.status, problem.problem_type().unwrap(), problem.detail)
    }

    fn is(&self, problem: ProblemType) {
        assert_eq!(self.problem().1, problem, "{}", String::from_utf8_lossy(&self.body));
    }

    fn check(&self) {
        assert_eq!(self.headers.get("cache-control").unwrap(), "no-store");
        assert_eq!(self.headers.get("x-content-type-options").unwrap(), "nosniff");
        assert!(self.headers.get("server").is_none());
        if self.status.as_u16() >= 400 {
            assert_eq!(self.headers.get("content-type").unwrap(), PROBLEM_JSON);
            let problem: Problem = serde_json::from_slice(&self.body).unwrap();
            assert!(problem.instance.is_some_and(|request| request.parse::<claviger_api::RequestId>().is_ok()));
            let retry_after = self.headers.get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
            assert_eq!(retry_after, problem.retry_after_seconds);
        }
        let this = |row: &Endpoint| {
            self.route.as_deref() == Some(row.description.path) && self.method == row.description.method
        };
        TABLE.with(|table| {
            let Some(row) = table.iter().find(|row| this(row)) else { return };
            let documented = match self.status.as_u16() {
                400.. => row.description.can_fail_with(self.problem().1),
                status => row.description.succeeds_with(status),
            };
            assert!(documented, "{}: {}", row.description.name, String::from_utf8_lossy(&self.body));
        });
    }
}

fn secret(text: &str) -> claviger_api::secret::Disclosed {
    Secret::new(text.to_owned()).unwrap().disclose()
}

fn code(base32: &Secret, step: u64) -> String {
    totp::code(&totp::from_base32(base32).unwrap(), step).unwrap()
}

fn access(tokens: &Tokens) -> &str {
    tokens.access_token.secret().expose()
}

/// A path in which each parameter is something that could be there.
fn example(template: &str) -> String {
    let id = "0197a3c2e1f07b1a8c3d4e5f60718293";
    template
        .replace("{checkout}", &format!("co_{id}"))
        .replace("{rotation}", &format!("ro_{id}"))
        .replace("{grant}", &format!("gr_{id}"))
        .replace("{issuer}", "trusted")
        .replace("{glass}", &format!("bg_{id}"))
        .replace("{review}", &format!("rv_{id}"))
        .replace("{emergency}", &format!("em_{id}"))
        .replace("{backup}", &format!("bk_{id}"))
        .replace("{kit}", &format!("ki_{id}"))
        .replace("{former}", &format!("cu_{id}"))
        .replace("{provider}", "entra")
        .replace("{keyed}", "nowhere")
        .replace("{customer}", "nowhere")
        .replace("{system}", "nothing")
        .replace("{account}", "nobody")
        .replace("{factor}", &format!("fa_{id}"))
        .replace("{name}", "nobody")
}

#[actix_web::test]
async fn a_session_is_opened_used_renewed_and_ended() {
    let rig = rig().await;
    let tokens = rig.opened_without_second_factor().await;
    let app = rig.add_app(access(&tokens)).await;
    let me: Value = rig.get("/v1/me", access(&tokens)).await.json(200);
    assert_eq!(me["name"], "admin");

    let login = LoginRequest::Password { name: "admin".parse().unwrap(), password: secret(PASSWORD) };
    let asked: Challenge = rig.post("/v1/auth/login", "", login).await.json(200);
    let code = code(&app, totp::step(asked.server_time));
    let second_factor = SecondFactor::Totp(secret(&code));
    let mfa = MfaRequest { challenge: asked.challenge, second_factor };
    let tokens: Tokens = rig.post("/v1/auth/mfa", "", mfa).await.json(200);
    let used = json!({ "totp": code });
    rig.post("/v1/auth/step-up", access(&tokens), used).await.is(ProblemType::InvalidCredentials);
    let refresh = RefreshRequest { refresh_token: tokens.refresh_token.unwrap() };
    let tokens: Tokens = rig.post("/v1/auth/refresh", "", refresh).await.json(200);
    let logout = TestRequest::post()
        .uri("/v1/auth/logout")
        .insert_header(("Authorization", format!("bearer {}", access(&tokens))));
    assert_eq!(rig.send(logout).await.status, 204);
    rig.get("/v1/me", access(&tokens)).await.is(ProblemType::SessionEnded);

    let wrong = LoginRequest::Password { name: "admin".parse().unwrap(), password: secret("not the password") };
    let reply = rig.post("/v1/auth/login", "", wrong).await;
    reply.is(ProblemType::InvalidCredentials);
    assert_eq!(reply.headers.get("www-authenticate").unwrap(), "Bearer");
}

#[actix_web::test]
async fn what_is_made_is_found_and_removed_again() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let token = access(&tokens);
    let new = NewCustomer { slug: "acme".parse().unwrap(), display_name: "Acme".to_owned() };
    let made: Value = rig.post("/v1/customers", token, &new).await.json(201);
    let found: Value = rig.get("/v1/customers/acme", token).await.json(200);
    assert_eq!(made, found);
    let listed: Value = rig.get("/v1/customers?limit=1", token).await.json(200);
    assert_eq!(listed, json!({ "items": [made] }));

    let system = json!({ "name": "db", "spec": { "kind": "postgresql", "host": "192.0.2.7" } });
    let _: Value = rig.post("/v1/customers/acme/systems", token, system).await.json(201);
    let account = json!({ "name": "root", "secret": "hunter22" });
    let made: Value = rig.post("/v1/customers/acme/systems/db/accounts", token, account).await.json(201);
    assert_eq!(made["path"], "acme/db/root");
    let listed: Value = rig.get("/v1/customers/acme/accounts", token).await.json(200);
    assert_eq!(listed["items"], json!([made]));
    let events: Value = rig.get("/v1/audit/events?customer=acme&kind=account.", token).await.json(200);
    assert_eq!(events["items"][0]["kind"], "account.added");
    let lines = rig.get("/v1/audit/export?customer=acme", token).await;
    assert_eq!(lines.headers.get("content-type").unwrap(), "application/jsonl");
    assert!(lines.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() > 3);

    rig.post("/v1/customers", token, &new).await.is(ProblemType::NameTaken);
    let delete =
        |path: &str| TestRequest::delete().uri(path).insert_header(("Authorization", format!("Bearer {token}")));
    rig.send(delete("/v1/customers/acme")).await.is(ProblemType::InUse);
    for path in ["/v1/customers/acme/systems/db/accounts/root", "/v1/customers/acme/systems/db", "/v1/customers/acme"] {
        assert_eq!(rig.send(delete(path)).await.status, 204, "{path}");
        rig.send(delete(path)).await.is(ProblemType::NotFound);
    }
}

#[actix_web::test]
async fn a_checkout_is_made_revealed_and_given_back() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let admin = access(&tokens);
    let technician = rig.stranger(admin).await;
    let new = NewCustomer { slug: "acme".parse().unwrap(), display_name: "Acme".to_owned() };
    let _: Value = rig.post("/v1/customers", admin, &new).await.json(201);
    let system = json!({ "name": "db", "spec": { "kind": "postgresql", "host": "192.0.2.7" } });
    let _: Value = rig.post("/v1/customers/acme/systems", admin, system).await.json(201);
    let account = json!({ "name": "root", "secret": "hunter22", "settings": { "rotate_on_end": false } });
    let _: Value = rig.post("/v1/customers/acme/systems/db/accounts", admin, account).await.json(201);

    let wanted = json!({ "account": "acme/db/root", "reason": "a test" });
    rig.post("/v1/checkouts", &technician, &wanted).await.is(ProblemType::NotFound);
    let grant: NewGrant = serde_json::from_value(json!({
        "principal": "stranger", "kind": "may_use", "role": "technician", "scope": "acme", "ttl_seconds": 600,
    }))
    .unwrap();
    let _: Value = rig.post("/v1/grants", admin, grant).await.json(201);
    rig.post("/v1/checkouts", admin, &wanted).await.is(ProblemType::Forbidden);
    let checkout: Value = rig.post("/v1/checkouts", &technician, &wanted).await.json(201);
    let path = format!("/v1/checkouts/{}", checkout["id"].as_str().unwrap());

    let act = |verb: &str, token: &str| {
        TestRequest::post().uri(&format!("{path}/{verb}")).insert_header(("Authorization", format!("Bearer {token}")))
    };
    rig.send(act("reveal", admin)).await.is(ProblemType::Forbidden);
    let revealed: Value = rig.send(act("reveal", &technician)).await.json(200);
    assert_eq!(revealed["secret"], "hunter22");
    let listed: Value = rig.get("/v1/checkouts?customer=acme&state=active", &technician).await.json(200);
    assert_eq!(listed["items"][0]["id"], checkout["id"]);
    let ended: Value = rig.send(act("checkin", &technician)).await.json(200);
    assert_eq!(ended["state"], "ended");
    rig.send(act("reveal", &technician)).await.is(ProblemType::CheckoutEnded);
}

#[actix_web::test]
async fn health_says_200_only_where_the_vault_serves() {
    let rig = rig().await;
    rig.get("/v1/sys/health", "").await.is(ProblemType::NotInitialised);
    let tokens = rig.opened().await;
    let health: Value = rig.get("/v1/sys/health", "").await.json(200);
    assert_eq!((&health["seal"], &health["writable"]), (&json!("unsealed"), &json!(true)));
    let seal =
        TestRequest::post().uri("/v1/sys/seal").insert_header(("Authorization", format!("Bearer {}", access(&tokens))));
    let status: Value = rig.send(seal).await.json(200);
    assert_eq!(status["seal"], "sealed");
    rig.get("/v1/sys/health", "").await.is(ProblemType::Sealed);
    rig.get("/v1/me", access(&tokens)).await.is(ProblemType::Sealed);
    let wrong = UnsealRequest { key: secret("not the passphrase at all"), accept_rollback: None };
    rig.post("/v1/sys/unseal", "", wrong).await.is(ProblemType::WrongShare);
    let right = UnsealRequest { key: secret(PASSPHRASE), accept_rollback: None };
    let status: Value = rig.post("/v1/sys/unseal", "", right).await.json(200);
    assert_eq!(status["seal"], "unsealed");
}
