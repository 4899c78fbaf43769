//! What auditors ask. The advisory's checks: a house as it should be passes, and each violation is found, alone and together.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::note::{Checkpoint, VerifierKey};
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    ApprovalRule, AuditReport, AuditReportQuery, CustomerChange, NewCheckout, NewCustomer, NewGrant, NewUser,
    ReportCell, ReportKind, ReviewCounts, Role, RotationPolicy,
};
use claviger_api::{BreakGlassId, GrantId, PrincipalId, Scope, Timestamp};
use claviger_core::break_glass::{BreakGlass, Closed, Opened, State};
use claviger_core::policy::{GrantTarget, Resource};
use claviger_store::{Range, RowId, Table};

use super::world::{Refused as _, World, may, new_grant, of, part, seconds, standing};
use crate::Once;
use crate::error::Result;
use crate::event::StoredLeaf;
use crate::open::Kind;
use crate::records::{
    AccountRecord, BreakGlassRecord, DiscoveryRecord, EmergencyRecord, GrantRecord, LoginRecord, LookRecord,
    PrincipalRecord, ReviewClose, ReviewRecord,
};

const DAY: i64 = 24 * 60 * 60;

impl World {
    async fn audit_report(&self, report: ReportKind, scope: Scope) -> Result<AuditReport> {
        let (open, root) = (self.open(), self.root().await);
        let resource = match scope {
            Scope::Operator => Resource::Operator,
            Scope::Customer(customer) => Resource::Customer(customer),
        };
        let query = AuditReportQuery { report, customer: None, since: None, until: None };
        open.audit_report(scope, &query, &root, may(&open, &root, resource)).await
    }

    async fn of_acme(&self, report: ReportKind) -> AuditReport {
        self.audit_report(report, Scope::Customer(self.acme().await)).await.unwrap()
    }

    /// Which checks fail, and what they have found.
    async fn failing(&self) -> BTreeMap<String, String> {
        let report = self.of_acme(ReportKind::Advisory).await;
        let failing = report.rows.iter().filter(|row| text(row, "state") == "fail");
        failing.map(|row| (text(row, "check"), text(row, "found"))).collect()
    }

    /// Changes a row as no use case would.
    async fn seed<T: Kind>(&self, id: &RowId, change: impl FnOnce(&mut T)) {
        let open = self.open();
        let row = open.load::<T>(id).await.unwrap();
        let mut value = row.value.clone();
        change(&mut value);
        let event = open.automatic(id.scope(), EventKind::VaultLookedAfter, "system/test");
        open.commit(open.change(event).update(&row, &value).unwrap()).await.unwrap();
    }

    async fn id_of(&self, name: &str) -> PrincipalId {
        self.open().principal_named(&part(name)).await.unwrap().value.id
    }

    async fn publish(&self) {
        self.open().publish_checkpoints(&mut std::collections::HashMap::new()).await.unwrap();
    }

    /// Checks out, looks, and gives back.
    async fn used(&self, new: &NewCheckout) {
        let tess = self.tess().await;
        let held = self.check_out(&tess, new, &Once::none()).await.unwrap();
        self.reveal(&tess, held.id).await.unwrap();
        self.check_in(&tess, held.id).await.unwrap();
    }
}

fn text(row: &BTreeMap<String, ReportCell>, name: &str) -> String {
    row.get(name).map(ToString::to_string).unwrap_or_default()
}

fn days_ago(world: &World, days: i64) -> Timestamp {
    world.now() - seconds(days * DAY)
}

/// A house that keeps every recommendation a vault can give evidence of.
async fn as_it_should_be() -> World {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let at = Resource::Customer(acme);
    let policy = RotationPolicy { every_days: Some(30), ..RotationPolicy::default() };
    let change = CustomerChange { rotation_policy: Some(policy), ..CustomerChange::default() };
    open.change_customer(acme, &change, &root, may(&open, &root, at)).await.unwrap();
    world.enrolled_of("cora", Some("acme")).await;
    world.grant("cora", Role::CustomerAuditor, "acme".parse().unwrap()).await.unwrap();
    let review = open.start_review(acme, None, &Once::none(), &root, may(&open, &root, at)).await.unwrap();
    let closed = ReviewClose { at: world.now(), by: Some(root.id), counts: ReviewCounts::default() };
    world.seed::<ReviewRecord>(&RowId::review(acme, review.id), |review| review.closed = Some(closed)).await;
    open.start_emergency(
        acme,
        "the yearly exercise",
        &Once::none(),
        &root,
        (may(&open, &root, at), may(&open, &root, at)),
    )
    .await
    .unwrap();
    for _ in 0..50 {
        world.step().await;
        world.clock.advance(seconds(10));
    }
    world.publish().await;
    world
}

/// One violation, and the check that is to find it.
const VIOLATIONS: [&str; 16] = [
    "mfa",
    "unused-principals",
    "unused-accounts",
    "access-review",
    "one-secret-two-customers",
    "grants-end",
    "lent-for-a-day",
    "secrets-rotated",
    "secrets-known",
    "revocations-proven",
    "logins-locked-out",
    "log-published",
    "log-readable",
    "emergency-exercised",
    "break-glass-reviewed",
    "outside-logins",
];

/// Does what the check of this name is to find; what it has to name.
#[expect(clippy::too_many_lines, reason = "a paragraph a violation")]
async fn violate(world: &World, check: &str) -> &'static str {
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    match check {
        "mfa" => {
            let new = NewUser { name: part("nora"), customer: None };
            let permit = open.permit_for_users(None, &root).await.unwrap();
            open.add_user(&new, &Once::none(), &root, permit).await.unwrap();
            world.grant("nora", Role::Technician, "acme".parse().unwrap()).await.unwrap();
            "nora"
        }
        "unused-principals" => {
            let (id, ago) = (world.id_of("tom").await, days_ago(world, 91));
            world.seed::<PrincipalRecord>(&RowId::principal(id), |tom| tom.last_login_at = Some(ago)).await;
            "tom"
        }
        "unused-accounts" => {
            let (place, ago) = (world.place("temp").await, days_ago(world, 91));
            world.seed::<AccountRecord>(&RowId::account(acme, place.account), |temp| temp.created_at = ago).await;
            "acme/db1/temp"
        }
        "access-review" => {
            let ago = days_ago(world, 91);
            for row in open.all::<ReviewRecord>(&Range::scope(Table::Reviews, scope)).await.unwrap() {
                let late = |review: &mut ReviewRecord| review.closed.iter_mut().for_each(|closed| closed.at = ago);
                world.seed::<ReviewRecord>(&row.id, late).await;
            }
            "last reviewed"
        }
        "one-secret-two-customers" => {
            let globex = NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
            open.add_customer(&globex, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
            world.add_system("globex", "db1").await;
            let now = world.system.password("dba").unwrap();
            world.add_account("globex", "db1", standing("dba", &now)).await.unwrap();
            "acme/db1/dba"
        }
        "grants-end" => {
            let long =
                NewGrant { ttl_seconds: 399 * 86_400, ..new_grant("tom", Role::Technician, "acme".parse().unwrap()) };
            open.make_grant(&long, &Once::none(), &root).await.unwrap();
            "(tom)"
        }
        "lent-for-a-day" => {
            let long = NewGrant {
                max_checkout_seconds: Some(48 * 3600),
                ..new_grant("tess", Role::Technician, "acme".parse().unwrap())
            };
            open.make_grant(&long, &Once::none(), &root).await.unwrap();
            world.used(&NewCheckout { ttl_seconds: Some(25 * 3600), ..of("app") }).await;
            world.step().await;
            "acme/db1/app"
        }
        "secrets-rotated" => {
            let place = world.place("app").await;
            let none = |account: &mut AccountRecord| account.settings.rotation_policy.every_days = Some(0);
            world.seed::<AccountRecord>(&RowId::account(acme, place.account), none).await;
            "acme/db1/app has no policy of age"
        }
        "secrets-known" => {
            let place = world.place("shared").await;
            let kept = |account: &mut AccountRecord| account.settings.rotate_on_end = false;
            world.seed::<AccountRecord>(&RowId::account(acme, place.account), kept).await;
            world.used(&of("shared")).await;
            world.step().await;
            "acme/db1/shared"
        }
        "revocations-proven" => {
            world.system.machine().unreachable = true;
            world.used(&of("app")).await;
            world.clock.advance(seconds(DAY + 3600));
            world.publish().await;
            "acme/db1/app"
        }
        "logins-locked-out" => {
            for _ in 0..20 {
                let _ = world.log_in("tom", "not the password of tom").await;
            }
            "tom"
        }
        "log-published" => {
            world.clock.advance(seconds(DAY + 3600));
            "last published"
        }
        "log-readable" => {
            let cora = world.id_of("cora").await;
            for row in open.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await.unwrap() {
                if row.value.0.principal == cora {
                    let ended = world.now();
                    world.seed::<GrantRecord>(&row.id, |grant| grant.0.expires_at = ended).await;
                }
            }
            "customer-auditor"
        }
        "emergency-exercised" => {
            let ago = days_ago(world, 367);
            for row in open.all::<EmergencyRecord>(&Range::scope(Table::Emergencies, scope)).await.unwrap() {
                world.seed::<EmergencyRecord>(&row.id, |record| record.0.started_at = ago).await;
            }
            "no emergency rotation"
        }
        "break-glass-reviewed" => {
            let (opened_at, ended, due) = (days_ago(world, 9), days_ago(world, 8), days_ago(world, 1));
            let id = BreakGlassId::from_uuid(open.new_uuid());
            let glass = BreakGlass {
                id,
                scope: GrantTarget::Customer(acme),
                opener: world.id_of("tess").await,
                reason: "an outage".to_owned(),
                ttl_seconds: 3600,
                rule: ApprovalRule { count: 1, by_customer: false, reuse: false },
                agreed: Vec::new(),
                conditions: claviger_core::policy::Conditions::default(),
                max_checkout_seconds: 3600,
                asked_at: opened_at,
                checkouts: Vec::new(),
                state: State::InReview {
                    opened: Opened { at: opened_at, ends_at: ended, grant: GrantId::from_uuid(open.new_uuid()) },
                    closed: Closed { at: ended, by: None },
                    due,
                    told: true,
                },
            };
            let event = open.automatic(scope, EventKind::BreakGlassReviewOverdue, "system/test");
            let change = open.change(event).create(RowId::break_glass(acme, id), &BreakGlassRecord(glass)).unwrap();
            open.commit(change).await.unwrap();
            "bg_"
        }
        "outside-logins" => {
            let eve = LoginRecord {
                name: "eve".to_owned(),
                also: Vec::new(),
                may_log_in: true,
                privileges: vec!["superuser".to_owned()],
                notes: Vec::new(),
                last_login_at: None,
                of_checkout: false,
            };
            let look = LookRecord { at: world.now(), logins: vec![eve], cut: false, unseen: Vec::new() };
            let record = DiscoveryRecord { look: Some(look), ..DiscoveryRecord::default() };
            let event = open.automatic(scope, EventKind::SystemDiscovered, "system/test");
            let id = RowId::discovery(acme, world.place("app").await.system);
            open.commit(open.change(event).create(id, &record).unwrap()).await.unwrap();
            "eve"
        }
        _ => unreachable!("{check}"),
    }
}

#[tokio::test]
async fn a_house_as_it_should_be_passes_and_each_violation_is_found_alone() {
    let world = Box::pin(as_it_should_be()).await;
    assert_eq!(world.failing().await, BTreeMap::new());
    let moment = world.moment();
    for (seed, check) in (0..).zip(VIOLATIONS) {
        let world = World::at(&moment, seed).await;
        let named = Box::pin(violate(&world, check)).await;
        let failing = world.failing().await;
        let found: Vec<&str> = failing.keys().map(String::as_str).collect();
        // Whoever has seen what is not refused yet knows a secret that works: one fact, and two recommendations.
        let expected: &[&str] = if check == "revocations-proven" { &[check, "secrets-known"] } else { &[check] };
        assert_eq!(found, expected, "{failing:?}");
        assert!(failing[check].contains(named), "{failing:?}");
    }
}

/// All of them at once: none hides another, and nothing else is called a violation.
#[tokio::test]
async fn violations_together_are_found_and_nothing_else() {
    let world = Box::pin(as_it_should_be()).await;
    let last = ["revocations-proven", "log-published"];
    for check in VIOLATIONS.into_iter().filter(|check| !last.contains(check)).chain(last) {
        Box::pin(violate(&world, check)).await;
    }
    let mut all: Vec<&str> = VIOLATIONS.to_vec();
    all.sort_unstable();
    assert_eq!(world.failing().await.into_keys().collect::<Vec<_>>(), all);
}

/// Each row names entries of the log that the report's own checkpoint signs.
#[tokio::test]
async fn a_report_names_the_entries_that_prove_it() {
    let world = World::new().await;
    let (open, acme) = (world.open(), world.acme().await);
    let tess = world.tess().await;
    let held = world.check_out(&tess, &NewCheckout { ticket: None, ..of("app") }, &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.extend(&tess, held.id, 7200).await.unwrap();
    world.clock.advance(seconds(7300));
    world.step().await;
    for (kind, count) in [(ReportKind::Timeline, 1), (ReportKind::Irregular, 3), (ReportKind::Revocations, 1)] {
        let report = world.of_acme(kind).await;
        assert_eq!(report.rows.len(), count, "{report:?}");
        let key: VerifierKey = report.log.verifier_key.parse().unwrap();
        let signed = Checkpoint::open(&report.log.checkpoint, &[key]).unwrap();
        for row in &report.rows {
            assert!(row.keys().all(|name| report.columns.contains(name)), "{row:?}");
            let Some(ReportCell::Entries(entries)) = row.get("entries") else { panic!("no proof: {row:?}") };
            for index in entries {
                assert!(*index < signed.size);
                let leaf = open.load::<StoredLeaf>(&RowId::log_leaf(Scope::Customer(acme), *index)).await.unwrap();
                assert_eq!(leaf.value.value(FieldName::Checkout), Some(held.id.to_string().as_str()));
            }
        }
    }
    let irregular = world.of_acme(ReportKind::Irregular).await;
    let what: Vec<String> = irregular.rows.iter().map(|row| text(row, "what")).collect();
    assert_eq!(what, ["without a ticket", "not given back", "extended"], "and it was Tuesday morning");
    let timeline = world.of_acme(ReportKind::Timeline).await;
    assert_eq!(text(&timeline.rows[0], "principal"), "tess");
    assert_eq!(text(&timeline.rows[0], "reveals"), "1");
    let revocations = world.of_acme(ReportKind::Revocations).await;
    assert_eq!(text(&revocations.rows[0], "state"), "proven");
    assert!(revocations.summary.iter().any(|figure| figure.name == "p95 milliseconds"));
}

#[tokio::test]
async fn every_report_can_be_made_of_a_customer_and_of_the_house() {
    let world = Box::pin(as_it_should_be()).await;
    let acme = Scope::Customer(world.acme().await);
    for kind in ReportKind::ALL {
        for scope in [acme, Scope::Operator] {
            let report = world.audit_report(kind, scope).await.unwrap();
            assert_eq!(report.customer.is_some(), scope == acme);
            assert!(report.rows.iter().all(|row| row.keys().all(|name| report.columns.contains(name))), "{kind}");
        }
    }
    let house = world.audit_report(ReportKind::Advisory, Scope::Operator).await.unwrap();
    let states: BTreeMap<String, String> = house
        .rows
        .iter()
        .filter(|row| !row.contains_key("customer"))
        .map(|row| (text(row, "check"), text(row, "state")))
        .collect();
    assert_eq!(states["backups"], "fail", "none was taken");
    assert_eq!(states["house-anchor"], "fail", "this house keeps nothing elsewhere");
    assert_eq!(states["house-mfa"], "pass");
}

/// A customer's report tells of those who reach the customer, and of nobody else.
#[tokio::test]
async fn a_customers_report_tells_of_nobody_who_does_not_reach_it() {
    let world = World::new().await;
    world.enrolled("vera").await;
    let _ = world.log_in("vera", "not her password").await;
    let _ = world.log_in("tess", "not her password").await;
    for kind in [ReportKind::Mfa, ReportKind::Logins] {
        let report = world.of_acme(kind).await;
        let names: Vec<String> = report.rows.iter().map(|row| text(row, "principal")).collect();
        assert!(names.contains(&"tess".to_owned()) && !names.contains(&"vera".to_owned()), "{kind}: {names:?}");
        let house = world.audit_report(kind, Scope::Operator).await.unwrap();
        assert!(house.rows.iter().any(|row| text(row, "principal") == "vera"));
    }
    let told = world.of_acme(ReportKind::Logins).await;
    assert!(told.rows.iter().all(|row| !row.contains_key("source") && !row.contains_key("entries")));
}

#[tokio::test]
async fn whoever_asks_for_a_report_is_in_the_log_and_a_time_that_is_none_is_refused() {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    world.of_acme(ReportKind::Mfa).await;
    let size = open.head(scope).await.unwrap().frontier.size();
    let leaf = open.load::<StoredLeaf>(&RowId::log_leaf(scope, size - 1)).await.unwrap().value;
    let said = [FieldName::Kind, FieldName::Cause, FieldName::Detail].map(|name| leaf.value(name).unwrap());
    assert_eq!(said, ["log.read", "report", "mfa"]);
    let now = Some(world.now());
    let query = AuditReportQuery { report: ReportKind::Mfa, customer: None, since: now, until: now };
    let refused = open.audit_report(scope, &query, &root, may(&open, &root, Resource::Customer(acme))).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue);
}
