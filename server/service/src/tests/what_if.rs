//! A change put to the decisions of the last days; and the refusals that are told for it.

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    ApprovalRule, AuditEvent, AuditQuery, Checkout, Conditions, CustomerLimits, GrantScope, NewCheckout, NewCustomer,
    NewGrant, NewUser, Role, WhatIf, WhatIfAnswer, WhatIfDecision,
    WhatIfOutcome::{self, Allowed, NeedsApproval, Refused as No, Shortened},
};
use claviger_api::{GrantId, Scope};
use claviger_core::policy::{AccountRemove, Circumstances, CustomerUpdate, GrantRevoke, Resource};
use claviger_store::Table;

use super::world::{Refused as _, World, may, new_grant, of, part, path, seconds, standing};
use crate::error::Result;
use crate::{Caller, Once, Paging};

const DAY: i64 = 86_400;

fn acme() -> GrantScope {
    GrantScope::Customer(part("acme"))
}

fn at_acme() -> WhatIf {
    WhatIf { customer: Some(part("acme")), ..WhatIf::default() }
}

fn if_ended(grants: &[GrantId]) -> WhatIf {
    WhatIf { end: grants.to_vec(), ..at_acme() }
}

fn technician(name: &str, conditions: Conditions) -> NewGrant {
    NewGrant { conditions, ..new_grant(name, Role::Technician, acme()) }
}

/// With these terms in place of the ones it has.
fn if_bound(grant: GrantId, name: &str, conditions: Conditions) -> WhatIf {
    WhatIf { add: vec![technician(name, conditions)], ..if_ended(&[grant]) }
}

/// The only grant of a principal.
async fn grant_of(world: &World, name: &str) -> GrantId {
    let caller = world.open().acting(name).await;
    let [one] = caller.powers.grants.as_slice() else { panic!("{name} has not one grant") };
    one.id
}

async fn ask(world: &World, asked: &WhatIf) -> WhatIfAnswer {
    world.open().what_if(asked, &world.root().await).await.unwrap()
}

/// Who, what, and how it would come out instead.
fn rows(answer: &WhatIfAnswer) -> Vec<(&str, &str, WhatIfOutcome, WhatIfOutcome)> {
    fn row(one: &WhatIfDecision) -> (&str, &str, WhatIfOutcome, WhatIfOutcome) {
        (one.principal.as_str(), &one.action, one.before, one.after)
    }
    answer.items.iter().map(row).collect()
}

/// Checks out and reveals.
async fn uses(world: &World, caller: &Caller, account: &str) -> Checkout {
    let held = world.check_out(caller, &of(account), &Once::none()).await.unwrap();
    world.reveal(caller, held.id).await.unwrap();
    held
}

/// As the HTTP layer does it, with the ticket that is named.
async fn check_out(world: &World, caller: &Caller, new: &NewCheckout) -> Result<Checkout> {
    let open = world.open();
    let place = open.place(&new.account).await?;
    let around = Circumstances { ticket: new.ticket.as_deref(), ..caller.circumstances(open.now()) };
    let permit = open.permit_around(caller, &place.resource(), &around).await?;
    open.check_out(place, new, &Once::none(), caller, permit).await
}

async fn refusals(world: &World, scope: Scope) -> Vec<AuditEvent> {
    let (open, root) = (world.open(), world.root().await);
    let asked = AuditQuery { kind: Some("access.denied".to_owned()), ..AuditQuery::default() };
    let home = match scope {
        Scope::Operator => Resource::Operator,
        Scope::Customer(customer) => Resource::Customer(customer),
    };
    let permit = may(&open, &root, home);
    open.audit_events(scope, &asked, &Paging::new(None, None).unwrap(), &root, permit).await.unwrap().items
}

#[tokio::test]
async fn what_rested_on_a_grant_would_be_refused_without_it_and_nothing_else() {
    let world = World::new().await;
    let held = uses(&world, &world.tess().await, "app").await;
    uses(&world, &world.tom().await, "shared").await;
    world.check_in(&world.tess().await, held.id).await.unwrap();
    let grant = grant_of(&world, "tess").await;
    let rows_before = world.store.snapshot();
    let answer = ask(&world, &if_ended(&[grant])).await;
    assert_eq!(
        rows(&answer),
        [("tess", "checkout.reveal", Allowed, No), ("tess", "checkout.create", Allowed, No)],
        "the newest first; giving back needs no grant"
    );
    assert_eq!((answer.replayed, answer.unlike_then, answer.unknown), (2, 0, 0), "of tess alone");
    let reveal = &answer.items[0];
    assert_eq!(reveal.scope.to_string(), "acme/db1/app");
    assert_eq!((reveal.checkout, reveal.reason.as_deref()), (Some(held.id), Some("a look at the disks")));
    assert_eq!((answer.items[1].ticket.as_deref(), reveal.time), (Some("T-1"), world.now()));
    assert_eq!(reveal.why, "No grant would give it.");
    let unchanged = |rows: &claviger_store::memory::Snapshot| {
        rows.rows().map(|(key, row)| (key.clone(), row.revision)).collect::<Vec<_>>()
    };
    assert_eq!(unchanged(&rows_before), unchanged(&world.store.snapshot()), "to ask changes nothing");

    // Another grant that gives it makes the difference go away, where it is for that account.
    let here =
        NewGrant { scope: GrantScope::Account(path("acme/db1/app")), ..technician("tess", Conditions::default()) };
    let also = WhatIf { add: vec![here.clone()], ..if_ended(&[grant]) };
    assert_eq!(rows(&ask(&world, &also).await), []);
    let elsewhere = NewGrant { scope: GrantScope::Account(path("acme/db1/shared")), ..here };
    assert_eq!(ask(&world, &WhatIf { add: vec![elsewhere], ..if_ended(&[grant]) }).await.items.len(), 2);
    assert_eq!(rows(&ask(&world, &if_ended(&[grant_of(&world, "bot").await])).await), [], "bot has done nothing");
}

#[tokio::test]
async fn what_was_refused_would_be_allowed_by_one_grant_more() {
    let world = World::new().await;
    world.enrolled("ina").await;
    let bound = Conditions { ticket: Some("INC-[0-9]+".parse().unwrap()), ..Conditions::default() };
    world.open().make_grant(&technician("ina", bound), &Once::none(), &world.root().await).await.unwrap();
    let ina = world.open().acting("ina").await;
    assert_eq!(check_out(&world, &ina, &of("app")).await.problem(), ProblemType::TicketNeeded);

    let free = WhatIf { add: vec![technician("ina", Conditions::default())], ..at_acme() };
    let answer = ask(&world, &free).await;
    assert_eq!(rows(&answer), [("ina", "checkout.create", No, Allowed)]);
    assert_eq!(answer.items[0].why, "The grant to be added gives it.");
    assert_eq!(answer.items[0].ticket.as_deref(), Some("T-1"));
    let other = Conditions { ticket: Some("T-[0-9]+".parse().unwrap()), ..Conditions::default() };
    let by_ticket = WhatIf { add: vec![technician("ina", other)], ..at_acme() };
    assert_eq!(rows(&ask(&world, &by_ticket).await).len(), 1, "by the ticket of then");
    let third = Conditions { ticket: Some("CH-[0-9]+".parse().unwrap()), ..Conditions::default() };
    let neither = WhatIf { add: vec![technician("ina", third)], ..at_acme() };
    let answer = ask(&world, &neither).await;
    assert_eq!((rows(&answer), answer.replayed), (vec![], 1));
    // What is asked of a grant of another's makes no difference to her.
    let toms = WhatIf { add: vec![technician("tom", Conditions::default())], ..at_acme() };
    assert_eq!(ask(&world, &toms).await.replayed, 0);
}

/// By the clock and the address of then, not of the question.
#[tokio::test]
async fn the_hour_and_the_address_are_those_of_then() {
    let world = World::new().await;
    let from = |source: &str, caller: Caller| Caller { source: Some(source.parse().unwrap()), ..caller };
    let held = uses(&world, &from("192.0.2.7", world.tess().await), "app").await;
    world.check_in(&world.tess().await, held.id).await.unwrap();
    world.pass(seconds(5 * DAY)).await; // Tuesday; asked on a Sunday.
    uses(&world, &from("198.51.100.1", world.tess().await), "app").await;
    let grant = grant_of(&world, "tess").await;
    let bound = async |conditions| rows_of(&ask(&world, &if_bound(grant, "tess", conditions)).await);
    let hours = |text: &str| Conditions { hours: Some(text.parse().unwrap()), ..Conditions::default() };
    let networks = |text: &str| Conditions { networks: vec![text.parse().unwrap()], ..Conditions::default() };
    let (on_sunday, on_tuesday) = (vec![3, 2], vec![1, 0]);
    assert_eq!(bound(hours("Mon-Fri 08:00-18:00 UTC")).await, on_sunday);
    assert_eq!(bound(hours("Sat-Sun 00:00-24:00 UTC")).await, on_tuesday);
    assert_eq!(bound(networks("192.0.2.0/24")).await, on_sunday);
    assert_eq!(bound(networks("198.51.100.0/24")).await, on_tuesday);
    assert_eq!(bound(networks("0.0.0.0/0")).await, Vec::<usize>::new());
    let why = ask(&world, &if_bound(grant, "tess", networks("192.0.2.0/24"))).await.items.remove(0);
    assert_eq!(why.source.as_deref(), Some("198.51.100.1"));
    assert_eq!(why.why, "The grant to be added wants an address in 192.0.2.0/24.");
}

/// Which of the four acts, counted from the oldest.
fn rows_of(answer: &WhatIfAnswer) -> Vec<usize> {
    let newest = answer.since + seconds(30 * DAY);
    answer
        .items
        .iter()
        .map(|row| {
            let late = newest.duration_since(row.time) < seconds(DAY);
            usize::from(late) * 2 + usize::from(row.action == "checkout.reveal")
        })
        .collect()
}

#[tokio::test]
async fn limits_make_a_checkout_shorter_or_have_it_approved_or_refused() {
    let world = World::new().await;
    let long = NewCheckout { ttl_seconds: Some(2 * 3600), ..of("app") };
    check_out(&world, &world.tess().await, &long).await.unwrap();
    check_out(&world, &world.bot().await, &of("shared")).await.unwrap();
    let limited = async |max_checkout_seconds, conditions| {
        let limits = Some(CustomerLimits { max_checkout_seconds, conditions, kit: None });
        ask(&world, &WhatIf { limits, ..at_acme() }).await
    };
    let none = Conditions::default;
    let answer = limited(Some(3600), none()).await;
    assert_eq!(rows(&answer), [("tess", "checkout.create", Allowed, Shortened)], "an hour is no longer than an hour");
    assert_eq!(answer.items[0].why, "It would be for 3600 seconds at most, and was for 7200.");
    let rule = ApprovalRule { count: 2, by_customer: true, reuse: false };
    let answer = limited(None, Conditions { approvals: Some(rule), ..none() }).await;
    assert_eq!(
        rows(&answer),
        [("bot", "checkout.create", Allowed, NeedsApproval), ("tess", "checkout.create", Allowed, NeedsApproval)]
    );
    assert_eq!(answer.items[0].why, "It would need the yes of 2 others, one of them the customer's own.");
    let night = Conditions { hours: Some("Mon-Fri 20:00-22:00 UTC".parse().unwrap()), ..none() };
    let answer = limited(None, night).await;
    assert!(answer.items.iter().all(|row| row.after == No), "{:?}", rows(&answer));
    assert_eq!(answer.items[0].why, "The customer would want the hours Mon-Fri 20:00-22:00 UTC.");
    assert!(answer.replayed > 2, "everybody's: {}", answer.replayed);
    assert_eq!(rows(&limited(None, none()).await), []);
}

/// A second factor's age is not in the log: the answer says what hangs on it, and does not guess.
#[tokio::test]
async fn what_the_log_does_not_tell_is_said() {
    let world = World::new().await;
    uses(&world, &world.tess().await, "app").await;
    check_out(&world, &world.bot().await, &of("shared")).await.unwrap();
    let fresh = || Conditions { fresh_factor: true, ..Conditions::default() };
    let answer = ask(&world, &if_bound(grant_of(&world, "tess").await, "tess", fresh())).await;
    assert_eq!(answer.items.len(), 2);
    assert!(answer.items.iter().all(|row| row.after == No && row.depends_on_fresh_factor), "{answer:?}");
    assert!(answer.items[0].why.ends_with("which the log does not tell."), "{}", answer.items[0].why);
    let of_bot = NewGrant { conditions: fresh(), ..new_grant("bot", Role::Automation, acme()) };
    let asked = WhatIf { add: vec![of_bot], ..if_ended(&[grant_of(&world, "bot").await]) };
    let answer = ask(&world, &asked).await;
    assert_eq!(rows(&answer), [("bot", "checkout.create", Allowed, No)]);
    assert!(!answer.items[0].depends_on_fresh_factor, "a program never has one");
    // A sensitive verb was allowed, so its factor was fresh: one that wants it fresh makes no difference.
    let root = grant_of_role(&world, "root", Role::Administrator).await;
    let again = NewGrant { conditions: fresh(), ..new_grant("root", Role::Administrator, GrantScope::Operator) };
    let asked = WhatIf { add: vec![again], end: vec![root], ..WhatIf::default() };
    let answer = ask(&world, &asked).await;
    let managed: Vec<_> = answer.items.iter().filter(|row| row.action == "principal.manage").collect();
    assert!(managed.is_empty() && answer.replayed >= 3, "{managed:?}");
}

async fn grant_of_role(world: &World, name: &str, role: Role) -> GrantId {
    let caller = world.open().acting(name).await;
    let used = |grant: &&claviger_core::policy::Grant| {
        grant.role == role && grant.kind == claviger_api::wire::GrantKind::MayUse
    };
    caller.powers.grants.iter().find(used).unwrap().id
}

#[tokio::test]
async fn it_looks_thirty_days_back_and_no_further() {
    let world = World::new().await;
    let grant = grant_of(&world, "tess").await;
    world.open().renew_grant(grant, 100 * 86_400, &Once::none(), &world.root().await).await.unwrap();
    let held = uses(&world, &world.tess().await, "app").await;
    world.check_in(&world.tess().await, held.id).await.unwrap();
    world.pass(seconds(20 * DAY)).await;
    uses(&world, &world.tess().await, "app").await;
    let looked = async |days| ask(&world, &WhatIf { days, ..if_ended(&[grant]) }).await.items.len();
    assert_eq!((looked(None).await, looked(Some(20)).await, looked(Some(19)).await), (4, 4, 2));
    world.pass(seconds(10 * DAY)).await;
    assert_eq!(looked(None).await, 4, "the thirtieth day is looked at");
    world.pass(seconds(1)).await;
    assert_eq!(looked(None).await, 2);
    let refused = |days| WhatIf { days: Some(days), ..if_ended(&[grant]) };
    for days in [0, 31] {
        let refused = world.open().what_if(&refused(days), &world.root().await).await;
        assert_eq!(refused.problem(), ProblemType::InvalidValue);
    }
}

#[tokio::test]
async fn page_by_page_each_decision_comes_once() {
    let world = World::new().await;
    for _ in 0..3 {
        let held = uses(&world, &world.tess().await, "shared").await;
        world.check_in(&world.tess().await, held.id).await.unwrap();
        world.pass(seconds(3600)).await;
    }
    let asked = if_ended(&[grant_of(&world, "tess").await]);
    let whole = ask(&world, &asked).await;
    let (mut paged, mut replayed, mut cursor) = (Vec::new(), 0, None);
    for _ in 0..100 {
        let page = ask(&world, &WhatIf { limit: Some(1), cursor, ..asked.clone() }).await;
        assert!(page.items.len() <= 1);
        replayed += page.replayed;
        paged.extend(page.items.iter().map(|row| row.index));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, whole.items.iter().map(|row| row.index).collect::<Vec<_>>());
    assert_eq!((paged.len(), replayed), (6, whole.replayed));
    let foreign = WhatIf {
        customer: None,
        cursor: ask(&world, &WhatIf { limit: Some(1), ..asked.clone() }).await.next_cursor,
        ..asked
    };
    assert_eq!(world.open().what_if(&foreign, &world.root().await).await.problem(), ProblemType::InvalidValue);
}

/// What today decides otherwise without any change says nothing of the change.
#[tokio::test]
async fn what_comes_out_differently_today_already_is_left_out_and_counted() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    uses(&world, &world.tess().await, "app").await;
    let here =
        NewGrant { scope: GrantScope::Account(path("acme/db1/shared")), ..technician("tess", Conditions::default()) };
    let narrow = open.make_grant(&here, &Once::none(), &root).await.unwrap().id;
    let wide = world.tess().await.powers.grants.iter().find(|grant| grant.id != narrow).unwrap().id;
    open.revoke_grant(wide, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let answer = ask(&world, &if_ended(&[narrow])).await;
    assert_eq!((rows(&answer), answer.replayed, answer.unlike_then), (vec![], 2, 2));
    // Made anew, it is as it was.
    let again = WhatIf { add: vec![technician("tess", Conditions::default())], ..at_acme() };
    let answer = ask(&world, &again).await;
    assert_eq!((rows(&answer), answer.unlike_then), (vec![], 2), "allowed then, refused today: not by this change");
}

#[tokio::test]
async fn what_is_gone_or_bears_anothers_name_is_counted_and_not_guessed() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    world.add_account("acme", "db1", standing("old", "x y z")).await.unwrap();
    world.system.add("old", "x y z");
    let place = world.place("old").await;
    let permit = open.permit(&world.tess().await, &place.resource()).await.unwrap();
    open.verify_account(place, &world.tess().await, permit).await.unwrap();
    let asked = if_ended(&[grant_of(&world, "tess").await]);
    assert_eq!(rows(&ask(&world, &asked).await), [("tess", "account.verify", Allowed, No)]);
    let permit = may::<AccountRemove>(&open, &root, place.resource());
    open.remove_account(place, &root, permit).await.unwrap();
    let answer = ask(&world, &asked).await;
    assert_eq!((rows(&answer), answer.unknown), (vec![], 1));
    world.clock.advance(seconds(1));
    world.add_account("acme", "db1", standing("old", "x y z")).await.unwrap();
    let answer = ask(&world, &asked).await;
    assert_eq!((rows(&answer), answer.unknown), (vec![], 1), "another account bears the name");
}

/// A customer's administrator asks about its own customer, names what it may see, and is told no address.
#[tokio::test]
async fn anvil_deny_everywhere_a_what_if_shows_and_names_nothing_that_may_not_be_seen() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let beta = NewCustomer { slug: part("beta"), display_name: "Beta".to_owned() };
    open.add_customer(&beta, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    world.enrolled_of("cara", Some("acme")).await;
    world.grant("cara", Role::CustomerAdministrator, acme()).await.unwrap();
    let strangers = NewUser { name: part("stranger"), customer: None };
    open.add_user(&strangers, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let beta = || GrantScope::Customer(part("beta"));
    let foreign = world.grant("stranger", Role::Technician, beta()).await.unwrap().id;
    let tess = Caller { source: Some("192.0.2.7".parse().unwrap()), ..world.tess().await };
    uses(&world, &tess, "app").await;
    let cara = open.acting("cara").await;
    let asks = async |asked: &WhatIf| open.what_if(asked, &cara).await;

    let own = asks(&if_ended(&[grant_of(&world, "tess").await])).await.unwrap();
    assert_eq!(own.items.len(), 2);
    assert!(own.items.iter().all(|row| row.source.is_none()), "who may not read the log is told no address");
    assert!(ask(&world, &if_ended(&[grant_of(&world, "tess").await])).await.items[0].source.is_some());

    let nobody = GrantId::from_uuid(uuid::Uuid::from_u128(7));
    let detail = |refused: Result<WhatIfAnswer>| {
        let refused = refused.unwrap_err();
        (refused.problem, refused.detail)
    };
    assert_eq!(detail(asks(&if_ended(&[foreign])).await), detail(asks(&if_ended(&[nobody])).await));
    let add = |name: &str, scope| WhatIf {
        add: vec![NewGrant { scope, ..technician(name, Conditions::default()) }],
        ..at_acme()
    };
    assert_eq!(detail(asks(&add("stranger", acme())).await), detail(asks(&add("not-there", acme())).await));
    assert!(asks(&add("tess", acme())).await.is_ok(), "she has a grant there");
    let gone = GrantScope::Customer(part("gone"));
    assert_eq!(detail(asks(&add("tess", beta())).await), detail(asks(&add("tess", gone)).await));
    assert_eq!(asks(&add("tess", GrantScope::Operator)).await.problem(), ProblemType::Forbidden);
    let of = |customer: &str| WhatIf { customer: Some(part(customer)), ..if_ended(&[nobody]) };
    assert_eq!(detail(asks(&of("beta")).await), detail(asks(&of("gone")).await));
    assert_eq!(asks(&WhatIf { customer: None, ..if_ended(&[nobody]) }).await.problem(), ProblemType::Forbidden);
    let by_tess = open.what_if(&if_ended(&[nobody]), &world.tess().await).await;
    assert_eq!(by_tess.problem(), ProblemType::Forbidden);
}

#[tokio::test]
async fn a_change_that_cannot_be_is_refused_by_name() {
    let world = World::new().await;
    let refused = async |asked: WhatIf| {
        let error = world.open().what_if(&asked, &world.root().await).await.unwrap_err();
        (error.problem, error.errors.into_iter().next().map(|value| value.at).unwrap_or_default())
    };
    let wrong = |at: &str| (ProblemType::InvalidValue, at.to_owned());
    let one = |change: fn(&mut NewGrant)| {
        let mut new = technician("tess", Conditions::default());
        change(&mut new);
        WhatIf { add: vec![technician("tom", Conditions::default()), new], ..at_acme() }
    };
    assert_eq!(refused(at_acme()).await, wrong("add"));
    assert_eq!(refused(one(|new| new.kind = claviger_api::wire::GrantKind::MayGrant)).await, wrong("add[1].kind"));
    assert_eq!(refused(one(|new| new.ttl_seconds = 1)).await, wrong("add[1].ttl_seconds"));
    let actions = one(|new| new.conditions.actions = vec!["account.remove".to_owned()]);
    assert_eq!(refused(actions).await, wrong("add[1].conditions.actions"));
    let many = WhatIf { add: vec![technician("tess", Conditions::default()); 51], ..at_acme() };
    assert_eq!(refused(many).await, wrong("add"));
    let limits = |max| Some(CustomerLimits { max_checkout_seconds: Some(max), ..CustomerLimits::default() });
    assert_eq!(refused(WhatIf { limits: limits(1), ..at_acme() }).await, wrong("limits.max_checkout_seconds"));
    assert_eq!(refused(WhatIf { limits: limits(60), ..WhatIf::default() }).await, wrong("limits"));
    let open = world.open();
    let (root, grant) = (world.root().await, grant_of(&world, "tess").await);
    let permit = open.permit::<GrantRevoke>(&root, &Resource::Operator).await.unwrap();
    open.revoke_grant(grant, &root, permit).await.unwrap();
    assert_eq!(refused(if_ended(&[grant])).await.0, ProblemType::NotFound, "what has ended is not ended again");
    let toms = grant_of(&world, "tom").await;
    world.clock.advance(seconds(30 * DAY));
    assert_eq!(refused(if_ended(&[toms])).await.0, ProblemType::NotFound, "nor what has ended by itself");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_log_once_an_hour_and_what_is_hidden_is_not() {
    let world = World::new().await;
    let (open, acme) = (world.open(), world.acme().await);
    let (log, tess) = (Scope::Customer(acme), world.tess().await);
    let change = async |caller: &Caller| open.permit::<CustomerUpdate>(caller, &Resource::Customer(acme)).await;
    assert_eq!(change(&tess).await.problem(), ProblemType::Forbidden);
    assert_eq!(change(&tess).await.problem(), ProblemType::Forbidden);
    let [told] = refusals(&world, log).await.try_into().unwrap();
    let field = |name: &str| told.fields.get(name).map(String::as_str);
    assert_eq!(
        (field("actor_name"), field("action"), field("cause")),
        (Some("tess"), Some("customer.update"), Some("forbidden"))
    );
    assert_eq!((field("customer"), field("account")), (Some("acme"), None));
    world.clock.advance(seconds(3600));
    assert_eq!(change(&tess).await.problem(), ProblemType::Forbidden);
    assert_eq!(refusals(&world, log).await.len(), 2, "an hour later again");

    // Of a thing that somebody may not know of there is no trace, or the time of the answer would tell of it.
    world.enrolled("ina").await;
    assert_eq!(change(&open.acting("ina").await).await.problem(), ProblemType::NotFound);
    // To be asked for a second factor is no refusal.
    let stale = Caller { second_factor_at: Some(world.now() - seconds(3600)), ..world.root().await };
    assert_eq!(
        open.permit::<AccountRemove>(&stale, &world.place("app").await.resource()).await.problem(),
        ProblemType::FreshFactorNeeded
    );
    // Whoever asks for many things at once and takes what there is was refused nothing.
    let untold = open.permit_untold::<AccountRemove>(&tess, &world.place("app").await.resource()).await;
    assert_eq!(untold.problem(), ProblemType::Forbidden);
    assert_eq!(refusals(&world, log).await.len(), 2);
    assert_eq!(refusals(&world, Scope::Operator).await.len(), 0);

    let shared = open.permit::<AccountRemove>(&tess, &world.place("shared").await.resource()).await;
    assert_eq!(shared.problem(), ProblemType::Forbidden);
    let newest = refusals(&world, log).await.remove(0);
    assert_eq!(newest.fields.get("account").map(String::as_str), Some("acme/db1/shared"));
    world.check().await;
}

/// The log cannot be written, and the answer is the same.
#[tokio::test]
async fn a_refusal_that_cannot_be_told_is_a_refusal() {
    let world = World::new().await;
    let (open, acme, tess) = (world.open(), world.acme().await, world.tess().await);
    world
        .store
        .set_faults(claviger_store::memory::FaultPlan::every_commit(claviger_store::memory::CommitFault::Refused));
    let refused = open.permit::<CustomerUpdate>(&tess, &Resource::Customer(acme)).await;
    assert_eq!(refused.problem(), ProblemType::Forbidden);
    world.store.set_faults(claviger_store::memory::FaultPlan::none());
    assert_eq!(world.census().iter().filter(|(table, _)| *table == Table::Customers).count(), 1);
}
