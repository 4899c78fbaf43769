//! Customers, systems and accounts: names, removal, import.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountKind, AccountSettings, GrantScope, ImportRequest, ImportRow, NewAccount, NewCustomer, NewSystem, Role,
    SystemChange, SystemSpec,
};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};

use super::world::{Refused as _, World, key, may, new_grant, part, path, secret, standing};
use crate::{Once, Paging};

fn row(line: u32, system: &str, account: &str) -> ImportRow {
    ImportRow {
        line,
        system: part(system),
        account: part(account),
        login: None,
        secret: secret("imported").disclose(),
        sensitive: false,
        tier: None,
    }
}

#[tokio::test]
async fn an_import_is_all_or_nothing_and_says_what_is_wrong_by_line() {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let import = async |rows: Vec<ImportRow>| {
        let permit = may(&open, &root, Resource::Customer(acme));
        open.import(acme, &ImportRequest { rows }, &Once::none(), &root, permit).await
    };
    let before = world.census();
    let rows = vec![row(2, "db1", "fresh"), row(3, "nowhere", "a"), row(4, "db1", "app"), row(5, "db1", "fresh")];
    let wrong = import(rows).await.err().unwrap();
    let lines: Vec<_> = wrong.errors.iter().map(|error| error.at.as_str()).collect();
    assert_eq!((wrong.problem, lines), (ProblemType::InvalidValue, vec!["line 3", "line 4", "line 5"]));
    assert_eq!(world.census(), before);
    assert_eq!(import(vec![]).await.problem(), ProblemType::InvalidValue);
    let many = (0..300).map(|n| row(n, "db1", &format!("host{n}"))).collect();
    assert_eq!(import(many).await.unwrap().accounts, 300);
    world.check().await;
    assert_eq!(world.account("host7").await.current_version, Some(1));
}

#[tokio::test]
async fn a_name_is_one_things_and_another_things_after_it_was_removed() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    assert_eq!(world.add_account("acme", "db1", standing("app", "x y")).await.problem(), ProblemType::NameTaken);
    let first = world.place("app").await;
    open.remove_account(first, &root, may(&open, &root, first.resource())).await.unwrap();
    assert_eq!(open.place(&path("acme/db1/app")).await.problem(), ProblemType::NotFound, "no cache remembers it");
    world.system.add("app", "x y");
    world.add_account("acme", "db1", standing("app", "x y")).await.unwrap();
    assert_ne!(world.place("app").await, first);
    world.check().await;
}

#[tokio::test]
async fn what_has_something_below_it_or_changes_others_stays() {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let dba = world.place("dba").await;
    let remove = open.remove_account(dba, &root, may(&open, &root, dba.resource())).await;
    assert_eq!(remove.problem(), ProblemType::InUse, "it changes the others");
    let system =
        open.remove_system(acme, dba.system, &root, may(&open, &root, Resource::System(acme, dba.system))).await;
    assert_eq!(system.problem(), ProblemType::InUse);
    let customer = open.remove_customer(acme, &root, may(&open, &root, Resource::Customer(acme))).await;
    assert_eq!(customer.problem(), ProblemType::InUse);
    world.check().await;
}

/// A grant at what was removed, and a person of it, are still listed.
#[tokio::test]
async fn what_stood_at_a_removed_customer_is_still_told() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewCustomer { slug: part("brief"), display_name: "Brief".to_owned() };
    let brief = open.add_customer(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let scope = GrantScope::Customer(part("brief"));
    open.make_grant(&new_grant("tess", Role::Technician, scope), &Once::none(), &root).await.unwrap();
    let theirs = claviger_api::wire::NewUser { name: part("bea"), customer: Some(part("brief")) };
    open.add_user(&theirs, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    open.remove_customer(brief.id, &root, may(&open, &root, Resource::Customer(brief.id))).await.unwrap();
    let paging = Paging::new(None, None).unwrap();
    let grants = open.grants(Some(&part("tess")), &paging, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(grants.items.len(), 2);
    assert_eq!(open.me(&world.tess().await).await.unwrap().grants.len(), 2);
    let kind = claviger_api::wire::PrincipalKind::User;
    let users = open.principals(kind, &paging, may(&open, &root, Resource::Operator)).await.unwrap();
    assert!(users.items.iter().any(|user| user.customer == Some(part("removed"))));
    assert_eq!(open.customer_named(&part("brief")).await.problem(), ProblemType::NotFound);
    let mut open_names = open.customers(&paging, &root).await.unwrap().items;
    assert_eq!(open_names.remove(0).slug, part("acme"));
    world.check().await;
}

#[tokio::test]
async fn values_that_cannot_be_are_refused() {
    let world = World::new().await;
    let wrong: [fn(&mut NewAccount); 5] = [
        |new| new.settings.max_holders = 0,
        |new| new.settings.max_holders = 101,
        |new| new.settings.password_policy.length = 1,
        |new| new.member_of = vec!["readers".parse().unwrap()],
        |new| new.kind = AccountKind::Ephemeral,
    ];
    for spoil in wrong {
        let mut new = standing("new", "with a secret");
        spoil(&mut new);
        assert_eq!(world.add_account("acme", "db1", new).await.problem(), ProblemType::InvalidValue);
    }
    assert_eq!(world.add_account("acme", "nowhere", standing("a", "b")).await.problem(), ProblemType::NotFound);
    world.check().await;
}

/// A customer whose first commit nobody can tell of is there if it is there, and can be used at once.
#[tokio::test]
async fn a_customer_of_unknown_outcome_has_its_key() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let broken = Arc::new(AtomicBool::new(false));
    let (commits, reads) = (broken.clone(), broken);
    world.store.set_faults(
        FaultPlan::commits_where(move |n, _| {
            commits.store(true, Ordering::SeqCst);
            Some(if n == 1 { CommitFault::UnknownApplied } else { CommitFault::Refused })
        })
        .reads_where(move |_| reads.load(Ordering::SeqCst)),
    );
    let new = NewCustomer { slug: part("brief"), display_name: "Brief".to_owned() };
    let permit = || may(&open, &root, Resource::Operator);
    let answer = open.add_customer(&new, &key("k"), &root, permit()).await;
    assert_eq!(answer.problem(), ProblemType::OutcomeUnknown);
    world.store.set_faults(FaultPlan::none());
    let made = open.add_customer(&new, &key("k"), &root, permit()).await.unwrap();
    world.add_system("brief", "db").await;
    assert_eq!(open.customer_named(&part("brief")).await.unwrap(), made.id);
    world.check().await;
}

#[tokio::test]
async fn a_system_keeps_its_kind_and_each_kind_has_its_own_limits() {
    let world = World::new().await;
    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    let change = async |spec: serde_json::Value| {
        let change = SystemChange {
            spec: Some(serde_json::from_value(spec).unwrap()),
            management_account: None,
            rotation_policy: None,
        };
        let permit = may(&open, &root, Resource::System(place.customer, place.system));
        open.change_system(place.customer, place.system, &change, &root, permit).await
    };
    let before = world.census();
    let other = change(serde_json::json!({"kind": "mysql", "host": "db"})).await.err().unwrap();
    let named: Vec<_> = other.errors.iter().map(|error| error.at.as_str()).collect();
    assert_eq!((other.problem, named), (ProblemType::InvalidValue, vec!["spec.kind"]));
    assert_eq!(world.census(), before);
    for (field, wrong) in [("lockout_threshold", serde_json::json!(0)), ("event_database", serde_json::json!(""))] {
        let mut spec = serde_json::json!({"kind": "mysql", "host": "db"});
        spec[field] = wrong;
        let refused = change(spec).await.err().unwrap();
        let named: Vec<_> = refused.errors.iter().map(|error| error.at.clone()).collect();
        assert_eq!(named, [format!("spec.{field}")]);
    }
    let wrong = serde_json::json!({
        "base": "", "group_base": "\n", "login_attribute": "uid=x", "object_classes": [], "lockout_threshold": 0,
    });
    for (field, wrong) in wrong.as_object().unwrap() {
        let mut spec = serde_json::json!({"kind": "ldap", "host": "ldap", "base": "dc=x"});
        spec[field] = wrong.clone();
        let refused = change(spec).await.err().unwrap();
        let named: Vec<_> = refused.errors.iter().map(|error| error.at.clone()).collect();
        assert_eq!(named, [format!("spec.{field}")]);
    }
    for (field, wrong) in [
        ("tls", serde_json::json!("disable")),
        ("tls", serde_json::json!("prefer")),
        ("domain", serde_json::json!("corp.example")),
        ("domain", serde_json::json!("CORP\\x")),
        ("domain", serde_json::json!("SIXTEENLETTERSXX")),
        ("servers", serde_json::json!(["a b"])),
        ("servers", serde_json::json!(vec!["dc"; 9])),
        ("organizational_unit", serde_json::json!("")),
        ("lockout_threshold", serde_json::json!(0)),
        ("grace_seconds", serde_json::json!(86_401)),
    ] {
        let mut spec = serde_json::json!({"kind": "active_directory", "host": "dc1", "domain": "CORP"});
        spec[field] = wrong.clone();
        let refused = change(spec).await.err().unwrap();
        let named: Vec<_> = refused.errors.iter().map(|error| error.at.clone()).collect();
        assert_eq!(named, [format!("spec.{field}")], "{wrong}");
    }
}

/// What a host's tools would read otherwise never becomes an account's, and sudo is for ephemeral users of Linux hosts.
#[tokio::test]
async fn accounts_of_linux_hosts_have_names_that_a_host_can_tell_apart() {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let host_keys = vec!["SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ".parse().unwrap()];
    let spec = SystemSpec::Linux { host: "web01".to_owned(), port: 22, host_keys, lockout_threshold: None };
    let new = NewSystem { name: part("web01"), spec, management_account: None };
    open.add_system(acme, &new, &Once::none(), &root, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    let add = async |kind: AccountKind, name: &str, login: &str, group: Option<&str>, rules: &[&str], system: &str| {
        let settings = AccountSettings {
            sudo_rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            ..AccountSettings::default()
        };
        let member_of = group.map(|group| group.parse().unwrap()).into_iter().collect();
        let login = Some(login.parse().unwrap());
        let new = NewAccount { kind, login, member_of, settings, ..NewAccount::standing(part(name), None) };
        let added = world.add_account("acme", system, new).await;
        added.err().map(|refused| refused.errors.iter().map(|error| error.at.clone()).collect::<Vec<_>>().join(" "))
    };
    let rule = &["ALL=(root) NOPASSWD: /usr/bin/id"];
    let (longest, longer) = ("n".repeat(23), "n".repeat(24));
    assert_eq!(add(AccountKind::Standing, "a", &"n".repeat(32), None, &[], "web01").await, None);
    assert_eq!(add(AccountKind::Standing, "b", "x;reboot", None, &[], "web01").await.as_deref(), Some("login"));
    assert_eq!(add(AccountKind::Standing, "c", "root", None, rule, "web01").await.as_deref(), Some("sudo_rules"));
    assert_eq!(add(AccountKind::Ephemeral, "d", &longest, Some("adm"), rule, "web01").await, None);
    assert_eq!(add(AccountKind::Ephemeral, "e", &longer, None, &[], "web01").await.as_deref(), Some("login"));
    assert_eq!(
        add(AccountKind::Ephemeral, "f", "ops", Some("a,root"), &[], "web01").await.as_deref(),
        Some("member_of")
    );
    assert_eq!(
        add(AccountKind::Ephemeral, "g", "ops", None, &rule.repeat(17), "web01").await.as_deref(),
        Some("sudo_rules")
    );
    assert_eq!(add(AccountKind::Ephemeral, "h", "ops", None, rule, "db1").await.as_deref(), Some("sudo_rules"));
}
