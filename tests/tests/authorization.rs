//! Every operation of the running server's own description × {nobody, each role, another customer's people, an ended
//! grant, a second factor that is not fresh}. An operation that is added and not entered here fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "authorization/operations.rs"]
mod operations;
#[path = "authorization/unasked.rs"]
mod unasked;

use std::collections::BTreeSet;
use std::time::Duration;

use claviger_api::wire::{
    BackupState, BreakGlassState, CustomerLimits, EmergencyState, IssuerKeys, KitRule, KitState, LockCustomer,
    NewAccount, NewBreakGlass, NewCheckout, NewCustomer, NewEmergency, NewIssuer, NewReview, NewRotation,
    NewServiceAccount, OffboardCustomer, OnConflict, Role, WithComment,
};
use claviger_api::{BackupId, BreakGlassId, CustomerId, EmergencyId, KitId, Part, ProblemType};
use claviger_client::Client;
use claviger_tests::in_process::InProcess;
use claviger_tests::inventory::{add_customer, add_postgres, new_provider, part, secret, wanted};
use claviger_tests::openapi::{Description, Operation};
use claviger_tests::people::{Person, TECHNICIAN};
use claviger_tests::poll::until;
use claviger_tests::postgres::Postgres;
use claviger_tests::raw::{Raw, Reply};
use serde_json::Value;

use crate::operations::{About, ON_SENSITIVE, OPEN, SENSITIVE, TABLE, Wanted};

const ROLES: [Role; 8] = [
    Role::Administrator,
    Role::Technician,
    Role::Automation,
    Role::Auditor,
    Role::CustomerAuditor,
    Role::Approver,
    Role::CustomerAdministrator,
    Role::BreakGlass,
];

/// The life of a grant that is to end.
const SHORT_SECONDS: u64 = 60;

/// A vault with two customers, and the ids of what the first has.
struct House {
    vault: InProcess,
    /// Who has the access of an open glass at acme.
    opener: Person,
    address: String,
    _postgres: Postgres,
    operations: Vec<Operation>,
    ids: Ids,
}

/// What a path or a body can name.
#[derive(Debug, Clone)]
struct Ids {
    customer: String,
    system: String,
    account: String,
    name: String,
    program: String,
    checkout: String,
    rotation: String,
    grant: String,
    issuer: String,
    provider: String,
    review: String,
    emergency: String,
    glass: String,
    backup: String,
    kit: String,
    former: String,
}

#[tokio::test]
async fn nobody_gets_nowhere() {
    let house = House::start().await;
    let nobody = Raw::nobody(house.address());
    let open: BTreeSet<&str> = house.operations.iter().filter(|o| !o.secured).map(|o| o.id.as_str()).collect();
    assert_eq!(open, BTreeSet::from(OPEN), "what is open to everybody is a list, and a short one");
    for operation in house.operations.iter().filter(|operation| operation.secured) {
        let reply = house.ask(&nobody, operation, &house.ids).await;
        assert_eq!(reply.problem_type(), ProblemType::NotAuthenticated, "{}: {}", operation.id, reply.text());
    }
    assert_eq!(house.checkout_state().await, "active", "nothing came of it");
}

/// Each role may do what its line says, and is refused the rest with `forbidden`, where it knows of the thing.
#[tokio::test]
async fn a_role_may_do_what_it_may_and_nothing_else() {
    let house = House::start().await;
    let mut wrong = Vec::new();
    for role in ROLES {
        let name = format!("{role:?}").to_lowercase();
        let person = house.vault.people.administrator.adds_user(house.address(), &name, Some((role, "*"))).await;
        let raw = Raw::with_token(house.address(), person.token());
        for operation in house.operations.iter().filter(|operation| operation.secured) {
            let Wanted { may, .. } = wanted_of(operation);
            // What the role may do is shown by the other tests; doing it here would take it away from the next.
            if may.contains(&role) || may.len() == ROLES.len() {
                continue;
            }
            let reply = house.ask(&raw, operation, &house.ids).await;
            if !reply.status.is_client_error() || reply.problem_type() != ProblemType::Forbidden {
                wrong.push(format!("{role:?} {}: {} {}", operation.id, reply.status, reply.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(house.checkout_state().await, "active", "nothing came of it");
}

/// What only reads, each role that may reads.
#[tokio::test]
async fn a_role_may_read_what_it_may() {
    let house = House::start().await;
    for role in ROLES {
        let name = format!("{role:?}").to_lowercase();
        let person = house.vault.people.administrator.adds_user(house.address(), &name, Some((role, "*"))).await;
        let raw = Raw::with_token(house.address(), person.token());
        let reads = house.operations.iter().filter(|o| o.secured && o.method == reqwest::Method::GET);
        // What has no end is asked for by `main_job/following.rs`.
        for operation in reads.filter(|operation| !operation.endless) {
            if wanted_of(operation).may.contains(&role) {
                let reply = house.ask(&raw, operation, &house.ids).await;
                assert!(reply.status.is_success(), "{role:?} {}: {}", operation.id, reply.text());
            }
        }
    }
}

/// An id is never an authority: another customer's is answered, byte for byte, like one that does not exist.
#[tokio::test]
async fn anvil_cross_customer_ids_are_like_random_ids() {
    let house = House::start().await;
    let administrator = &house.vault.people.administrator;
    let mut strangers = Vec::new();
    for role in ROLES {
        let name = format!("umbra-{}", format!("{role:?}").to_lowercase());
        strangers.push(administrator.adds_user(house.address(), &name, Some((role, "umbra"))).await);
    }
    let (mut compared, mut wrong) = (0, Vec::new());
    for stranger in &strangers {
        let raw = Raw::with_token(house.address(), stranger.token());
        for operation in house.operations.iter().filter(|o| o.secured && wanted_of(o).about == About::Customer) {
            let theirs = plain(&house.ask(&raw, operation, &house.ids).await);
            let random = plain(&house.ask(&raw, operation, &Ids::of_nothing()).await);
            if theirs != random || theirs.0 != 404 {
                wrong.push(format!("{} as {}: {theirs:?}, but {random:?}", operation.id, stranger.name));
            }
            compared += 1;
        }
    }
    assert!(compared >= 20 * strangers.len(), "only {compared} were compared");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(house.checkout_state().await, "active", "nothing came of it");
}

/// Lists, counts and exports show a stranger nothing of the other customer.
#[tokio::test]
async fn anvil_canary_matrix_lists_show_only_ones_own() {
    let house = House::start().await;
    for role in [Role::Technician, Role::Auditor, Role::CustomerAuditor, Role::Administrator] {
        let name = format!("umbra-{}", format!("{role:?}").to_lowercase());
        let administrator = &house.vault.people.administrator;
        let stranger = administrator.adds_user(house.address(), &name, Some((role, "umbra"))).await;
        let raw = Raw::with_token(house.address(), stranger.token());
        for operation in house.operations.iter().filter(|o| o.secured && o.method == reqwest::Method::GET) {
            for ids in [&house.ids, &Ids { customer: "umbra".to_owned(), ..house.ids.clone() }] {
                let reply = house.ask(&raw, operation, ids).await;
                for canary in ["acme", "only-acme-has-this", &house.ids.checkout, &house.ids.rotation] {
                    let found = reply.text().contains(canary);
                    assert!(!found, "{role:?} {} shows {canary}: {}", operation.id, reply.text());
                }
            }
        }
    }
}

/// A grant that has ended is as good as none: whoever had every role is answered like somebody who never had one.
#[tokio::test]
async fn an_ended_grant_gives_nothing() {
    let house = House::start().await;
    let administrator = &house.vault.people.administrator;
    let never = administrator.adds_user(house.address(), "never", None).await;
    let once = administrator.adds_user(house.address(), "once", None).await;
    for role in ROLES {
        administrator.grants_for(house.address(), &once.name, role, "*", SHORT_SECONDS).await;
    }
    let (never, once) =
        (Raw::with_token(house.address(), never.token()), Raw::with_token(house.address(), once.token()));
    assert!(once.get("/v1/customers/acme").await.status.is_success(), "while it lasts it gives");
    house.vault.advance_seconds(i64::try_from(SHORT_SECONDS).unwrap());
    let (mut refused, mut wrong) = (0, Vec::new());
    for operation in house.operations.iter().filter(|operation| operation.secured) {
        let wanted = wanted_of(operation);
        if wanted.about == About::Vault && wanted.may.len() == ROLES.len() {
            continue;
        }
        let (theirs, nobodys) =
            (house.ask(&once, operation, &house.ids).await, house.ask(&never, operation, &house.ids).await);
        if !theirs.status.is_client_error() || plain(&theirs) != plain(&nobodys) {
            wrong.push(format!("{}: {}, but {}", operation.id, theirs.text(), nobodys.text()));
        }
        refused += 1;
    }
    assert!(refused > 50, "only {refused} were asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(house.checkout_state().await, "active", "nothing came of it");
}

/// Six minutes after the second factor, each sensitive operation is refused to whoever may, and says what for; the
/// reading ones go on.
#[tokio::test]
async fn anvil_fresh_auth_a_stale_factor_is_not_enough_for_what_is_sensitive() {
    let house = House::start().await;
    let described: BTreeSet<&str> = house.operations.iter().filter(|o| o.sensitive).map(|o| o.id.as_str()).collect();
    let known = BTreeSet::from(SENSITIVE);
    let missing: Vec<_> = described.difference(&known).collect();
    assert!(missing.is_empty(), "sensitive, and not in the list: {missing:?}");
    let (acme, system) = (house.ids.customer.as_str(), house.ids.system.as_str());
    let marked = format!("/v1/customers/{acme}/systems/{system}/accounts/{}", house.ids.account);
    let (people, address) = (&house.vault.people, house.address());
    let mark = serde_json::json!({ "sensitive": true });
    let ada = Raw::with_token(address, people.administrator.token());
    ada.ask(reqwest::Method::PATCH, &marked, Some(&mark)).await.success();
    let mut sessions = vec![(None, ada), (None, Raw::with_token(address, people.technician.token()))];
    for role in ROLES {
        let name = format!("{role:?}").to_lowercase();
        let person = people.administrator.adds_user(address, &name, Some((role, "*"))).await;
        sessions.push((Some(role), Raw::with_token(address, person.token())));
    }
    let role = Some((Role::CustomerAdministrator, "acme"));
    let own = people.administrator.adds_user_of(address, "own", Some("acme"), role).await;
    sessions.push((None, Raw::with_token(address, own.token())));
    sessions.push((None, Raw::with_token(address, house.opener.token())));
    house.vault.advance_seconds(6 * 60);
    let (mut refused, mut wrong) = (BTreeSet::new(), Vec::new());
    for operation in house.operations.iter().filter(|operation| operation.secured) {
        let id = operation.id.as_str();
        let sensitive = known.contains(id) || ON_SENSITIVE.contains(&id);
        if !sensitive && operation.method != reqwest::Method::GET {
            continue;
        }
        for (role, raw) in &sessions {
            // Whoever has no role of the table here is the founder, or the holder of the checkout.
            let may = role.is_none_or(|role| wanted_of(operation).may.contains(&role));
            let reply = house.ask(raw, operation, &house.ids).await;
            let stale = !reply.status.is_success() && reply.problem_type() == ProblemType::FreshFactorNeeded;
            if stale {
                refused.insert(id);
            }
            if stale && !sensitive || role.is_some() && may && sensitive && !stale {
                wrong.push(format!("{id} as {role:?}: {} {}", reply.status, reply.text()));
            }
        }
    }
    let all: BTreeSet<&str> = known.iter().copied().chain(ON_SENSITIVE).collect();
    assert_eq!(refused, all, "each was refused to somebody who may");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(house.checkout_state().await, "active", "nothing came of it");
}

impl House {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let vault = InProcess::start().await;
        let address = vault.address();
        let (administrator, technician) = (vault.administrator(), vault.technician());
        for customer in ["acme", "umbra"] {
            add_customer(&administrator, customer).await;
        }
        add_postgres(&administrator, "acme", "db01", &postgres).await;
        let operations = Description::of(&address).await.operations();
        let glass = Glass::broken(&vault, &address).await;
        let (kit, former) = (made_kit(&vault, &address).await, offboarded(&vault, &address).await);
        let ids = Ids::made(&administrator, &technician, glass.id).await;
        let ids = Ids { kit: kit.to_string(), former: former.to_string(), ..ids };
        Self { opener: glass.opener, vault, address, _postgres: postgres, operations, ids }
    }

    fn address(&self) -> &str {
        &self.address
    }

    /// Sends an operation about these things.
    async fn ask(&self, raw: &Raw, operation: &Operation, ids: &Ids) -> Reply {
        let Wanted { body, query, .. } = wanted_of(operation);
        let program = operation.path.starts_with("/v1/service-accounts/");
        let of = |part: &str| if program { &ids.program } else { ids.of(part) };
        let path = operation.path_with(|part| of(part).to_owned());
        let path = if query.is_empty() { path } else { format!("{path}?{}", ids.fill(query)) };
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&ids.fill(body)).unwrap());
        raw.ask(operation.method.clone(), &path, body.as_ref()).await
    }

    async fn checkout_state(&self) -> String {
        let raw = Raw::with_token(self.address(), self.vault.people.technician.token());
        let shown = raw.get(&format!("/v1/checkouts/{}", self.ids.checkout)).await.success();
        shown.get("state").and_then(Value::as_str).unwrap().to_owned()
    }
}

/// A glass that two have broken.
struct Glass {
    id: BreakGlassId,
    opener: Person,
}

impl Glass {
    async fn broken(vault: &InProcess, address: &str) -> Self {
        let role = Some((Role::BreakGlass, "acme"));
        let administrator = &vault.people.administrator;
        let opener = administrator.adds_user(address, "gil", role).await;
        let other = administrator.adds_user(address, "gus", role).await;
        let new = NewBreakGlass { scope: "acme".parse().unwrap(), reason: "x".to_owned(), ttl_seconds: None };
        let asked = opener.client(address).break_glass().open(&new).await.unwrap();
        let yes = WithComment { comment: "x".to_owned() };
        let open = other.client(address).break_glass().agree(asked.id, &yes).await.unwrap();
        assert_eq!(open.state, BreakGlassState::Open);
        Self { id: open.id, opener }
    }
}

impl Ids {
    /// What acme has: an account that the technician holds, another that was rotated, and a grant.
    async fn made(administrator: &Client, technician: &Client, glass: BreakGlassId) -> Self {
        let (acme, system) = (part("acme"), part("db01"));
        // Before there is anything that it could rotate.
        let emergency = over_already(administrator, &acme).await;
        for name in ["only-acme-has-this", "other"] {
            let account = NewAccount::standing(part(name), Some(secret("something")));
            administrator.accounts().add(&acme, &system, &account).await.unwrap();
        }
        let account = "acme/db01/only-acme-has-this".parse().unwrap();
        let new = NewCheckout { on_conflict: OnConflict::Fail, ..wanted(&account, 3600) };
        let checkout = technician.checkouts().create(&new).await.unwrap().id;
        let other = NewRotation { account: Some("acme/db01/other".parse().unwrap()), ..NewRotation::default() };
        let rotation = technician.rotations().start(&other).await.unwrap().rotations.remove(0).id;
        let robot = NewServiceAccount::with_token(part("robot"), 3600);
        administrator.service_accounts().add(&robot).await.unwrap();
        let issuer = NewIssuer {
            name: part("trusted"),
            issuer: "https://issuer.example".to_owned(),
            audience: "vault".to_owned(),
            keys: IssuerKeys::Discovery { ca_certificate: None },
        };
        administrator.issuers().add(&issuer).await.unwrap();
        let review = administrator.reviews().start(&acme, &NewReview::default()).await.unwrap();
        let provider = new_provider("entra", "https://login.example");
        administrator.identity_providers().add(&provider).await.unwrap();
        let grant = administrator.grants().list(Some(&part(TECHNICIAN))).all().await.unwrap().remove(0).id;
        Self {
            customer: "acme".to_owned(),
            system: "db01".to_owned(),
            account: "only-acme-has-this".to_owned(),
            name: TECHNICIAN.to_owned(),
            program: robot.name.to_string(),
            checkout: checkout.to_string(),
            rotation: rotation.to_string(),
            grant: grant.to_string(),
            issuer: issuer.name.to_string(),
            review: review.id.to_string(),
            emergency: emergency.to_string(),
            glass: glass.to_string(),
            provider: provider.name.to_string(),
            backup: taken_backup(administrator).await.to_string(),
            ..Self::of_nothing()
        }
    }

    /// Well-formed, and of nothing.
    fn of_nothing() -> Self {
        Self {
            customer: "nowhere".to_owned(),
            system: "nothing".to_owned(),
            account: "nobody".to_owned(),
            name: "no-one".to_owned(),
            program: "nothing".to_owned(),
            checkout: "co_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            rotation: "ro_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            grant: "gr_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            issuer: "nothing".to_owned(),
            review: "rv_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            emergency: "em_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            glass: "bg_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            provider: "nothing".to_owned(),
            backup: "bk_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            kit: "ki_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
            former: "cu_0197a3c2e1f07b1a8c3d4e5f60718293".to_owned(),
        }
    }

    fn of(&self, name: &str) -> &str {
        match name {
            "customer" | "keyed" => &self.customer,
            "system" => &self.system,
            "account" => &self.account,
            "name" => &self.name,
            "checkout" => &self.checkout,
            "rotation" => &self.rotation,
            "grant" => &self.grant,
            "issuer" => &self.issuer,
            "review" => &self.review,
            "emergency" => &self.emergency,
            "glass" => &self.glass,
            "provider" => &self.provider,
            "backup" => &self.backup,
            "kit" => &self.kit,
            "former" => &self.former,
            "factor" => "fa_0197a3c2e1f07b1a8c3d4e5f60718293",
            other => panic!("a part of a path that this test does not know: {other}"),
        }
    }

    /// A text with `<customer>` and so on filled in.
    fn fill(&self, text: &str) -> String {
        let names = ["customer", "system", "account", "name", "checkout", "rotation", "grant", "issuer", "provider"];
        names.iter().fold(text.to_owned(), |text, name| text.replace(&format!("<{name}>"), self.of(name)))
    }
}

/// An emergency rotation of a customer that has nothing yet, once it is done.
async fn over_already(administrator: &Client, customer: &Part) -> EmergencyId {
    let new = NewEmergency { reason: "x".to_owned() };
    let id = administrator.emergencies().start(customer, &new).await.unwrap().id;
    let done = async || {
        let now = administrator.emergencies().show(customer, id).await.unwrap();
        (now.state == EmergencyState::Done).then_some(id)
    };
    until("it is done", Duration::from_mins(1), done).await
}

fn wanted_of(operation: &Operation) -> &'static Wanted {
    let found = TABLE.iter().find(|wanted| wanted.id == operation.id);
    found.unwrap_or_else(|| panic!("{} is not in the table: say who may do it", operation.id))
}

/// Status and body, without the request's id.
fn plain(reply: &Reply) -> (u16, String) {
    let mut problem = reply.problem();
    problem.instance = None;
    (reply.status.as_u16(), serde_json::to_string(&problem).unwrap())
}

/// A customer says whose its secrets are, for a key that nobody has.
async fn names_a_recipient(vault: &InProcess, address: &str, name: &str, customer: &Part) {
    let role = Some((Role::CustomerAdministrator, customer.as_str()));
    let own = vault.people.administrator.adds_user_of(address, name, Some(customer.as_str()), role).await;
    let recipients = vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()];
    let limits = CustomerLimits { kit: Some(KitRule { recipients, threshold: 1 }), ..CustomerLimits::default() };
    own.client(address).customers().limit(customer, &limits).await.unwrap();
}

/// A kit of acme's that is made.
async fn made_kit(vault: &InProcess, address: &str) -> KitId {
    let (administrator, acme) = (vault.administrator(), part("acme"));
    names_a_recipient(vault, address, "kim", &acme).await;
    let asked = administrator.kits().create(&acme).await.unwrap();
    let made = administrator.kits().wait_for(&acme, asked.id, Duration::from_mins(1)).await.unwrap();
    assert_eq!(made.state, KitState::Made, "{made:?}");
    asked.id
}

/// A customer that was offboarded, and to which its secrets were handed over.
async fn offboarded(vault: &InProcess, address: &str) -> CustomerId {
    let administrator = vault.administrator();
    let gone = part("gone");
    let new = NewCustomer { slug: gone.clone(), display_name: "Gone".to_owned() };
    let id = administrator.customers().add(&new).await.unwrap().id;
    names_a_recipient(vault, address, "gone-too", &gone).await;
    administrator.users().remove(&part("gone-too")).await.unwrap();
    let lock = LockCustomer { reason: "x".to_owned(), at_once: true };
    administrator.customers().lock(&gone, &lock).await.unwrap();
    administrator.customers().wait_for_lock(&gone, Duration::from_mins(1)).await.unwrap();
    let offboard = OffboardCustomer { reason: "x".to_owned(), confirm: gone.clone(), without_hand_over: false };
    administrator.customers().offboard(&gone, &offboard).await.unwrap();
    administrator.customers().wait_for_offboarding(id, Duration::from_mins(1)).await.unwrap().unwrap();
    id
}

/// A backup that is taken: one that is being taken is written to, whoever asks for what meanwhile.
async fn taken_backup(administrator: &Client) -> BackupId {
    let asked = administrator.sys().take_backup().await.unwrap();
    let taken = administrator.sys().wait_for_backup(asked.id, Duration::from_mins(1)).await.unwrap();
    assert_eq!(taken.state, BackupState::Taken, "{taken:?}");
    asked.id
}
