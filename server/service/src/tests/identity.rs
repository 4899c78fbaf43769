//! Who asks: logins, sessions and grants, and how at once they end.

use std::pin::pin;
use std::sync::Arc;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    Conditions, GrantKind, GrantScope, NewCheckout, NewCustomer, NewGrant, NewServiceAccount, NewUser, PrincipalKind,
    PrincipalState, Role, Tokens,
};
use claviger_api::{CheckoutId, GrantId, RotationId, Secret, UserName};
use claviger_core::policy::{Act, CustomerView, Permit, Resource, SysSeal};
use claviger_crypto::{Random as _, Seeded};
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{Batch, RowId, Table};
use futures::future::join_all;
use futures::poll;
use jiff::SignedDuration;
use parking_lot::Mutex;
use uuid::Uuid;

use super::world::{PASSWORD, Refused as _, World, enrolling, key, may, new_grant, of, part, path, seconds, secret};
use crate::identity::login::{self, FAILURES_MOST, LOCKOUT};
use crate::{Ground, Once, Origin, Result, Vault};

async fn operator<A: Act>(world: &World) -> Permit<A> {
    may(&world.open(), &world.root().await, Resource::Operator)
}

async fn guess(world: &World, name: &str, password: &str) -> Result<Tokens> {
    world.log_in(name, password).await
}

/// Unknown, locked, disabled and not yet enrolled users cost one run of Argon2id, and are answered alike.
#[tokio::test]
async fn anvil_login_timing_every_login_runs_argon2id_and_is_answered_alike() {
    let world = World::new().await;
    let root = world.root().await;
    let invited = NewUser { name: part("ina"), customer: None };
    world.open().add_user(&invited, &Once::none(), &root, operator(&world).await).await.unwrap();
    world.enrolled("sue").await;
    world.open().suspend(&part("sue"), PrincipalKind::User, true, &root, operator(&world).await).await.unwrap();
    for _ in 0..FAILURES_MOST {
        drop(guess(&world, "tom", "wrong").await);
    }
    let mut answers = Vec::new();
    for (name, password) in
        [("tess", "wrong"), ("nobody", PASSWORD), ("tom", PASSWORD), ("sue", PASSWORD), ("ina", PASSWORD), ("bot", "x")]
    {
        let (runs, commits) = (login::runs(), world.store.commits());
        let refused = guess(&world, name, password).await.err().unwrap();
        assert_eq!(login::runs(), runs + 1, "{name}");
        assert_eq!(world.store.commits(), commits + 1, "{name}: counted, and told");
        answers.push((refused.problem, refused.detail, refused.retry_after_seconds));
    }
    answers.dedup();
    assert_eq!(answers, [(ProblemType::InvalidCredentials, String::new(), None)]);
    world.check().await;
}

#[tokio::test]
async fn anvil_lockout_durable_a_counter_outlives_a_crash() {
    let mut world = World::new().await;
    for n in 0..FAILURES_MOST {
        assert_eq!(guess(&world, "tess", "wrong").await.problem(), ProblemType::InvalidCredentials);
        world.crash(u64::from(n)).await;
    }
    assert_eq!(guess(&world, "tess", PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    world.clock.advance(LOCKOUT - seconds(1));
    world.crash(99).await;
    assert_eq!(guess(&world, "tess", PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    world.clock.advance(seconds(1));
    assert!(guess(&world, "tess", PASSWORD).await.is_ok(), "who knocks meanwhile does not prolong it");
    for _ in 1..FAILURES_MOST {
        drop(guess(&world, "tess", "wrong").await);
    }
    assert!(guess(&world, "tess", PASSWORD).await.is_ok(), "one less is no lockout");
    assert_eq!(guess(&world, "tess", "wrong").await.problem(), ProblemType::InvalidCredentials);
    assert!(guess(&world, "tess", PASSWORD).await.is_ok(), "a success forgets the failures");
    world.check().await;

    // A failure that cannot be counted is not answered as one.
    world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    assert_eq!(guess(&world, "tess", "wrong").await.problem(), ProblemType::Unavailable);
}

/// Guesses made at once are no way around the counter.
#[tokio::test]
async fn a_crowd_of_guesses_is_counted_one_by_one() {
    let world = World::new().await;
    let wrong = join_all((0..FAILURES_MOST + 5).map(|_| guess(&world, "tess", "wrong")));
    let right = join_all((0..5).map(|_| guess(&world, "tess", PASSWORD)));
    let (wrong, right) = tokio::join!(wrong, right);
    assert!(wrong.into_iter().all(|answer| answer.problem() == ProblemType::InvalidCredentials));
    assert!(right.into_iter().all(|answer| answer.is_err()), "they came after the tenth failure");
    world.check().await;
}

/// A name has one form: what is not in it is no name, so that nothing is counted apart.
#[test]
fn anvil_lockout_canonical_there_is_one_form_of_a_name() {
    for other in ["Tess", "TESS", "tess ", " tess", "tess\0", "te\u{301}ss", "ｔess", "tess\n"] {
        assert!(other.parse::<UserName>().is_err(), "{other:?}");
    }
}

#[tokio::test]
async fn an_enrolment_is_good_once_for_whom_it_was_made_and_for_three_days() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part("ina"), customer: None };
    let made = open.add_user(&new, &Once::none(), &root, operator(&world).await).await.unwrap();
    let code = made.enrolment.secret();
    let enrol =
        async |name: &str, code: &Secret, password: &str| open.enrol(enrolling(name, code, password), None).await;
    assert_eq!(enrol("ina", code, "short").await.problem(), ProblemType::InvalidValue);
    assert_eq!(enrol("tess", code, PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(enrol("ina", &secret("cve_nonsense"), PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    let both = join_all([enrol("ina", code, PASSWORD), enrol("ina", code, "seven lanterns drift north")]).await;
    assert_eq!(both.iter().filter(|answer| answer.is_ok()).count(), 1, "once, whoever comes first");
    assert_eq!(enrol("ina", code, PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    world.check().await;

    let again = open.re_enrol(&part("ina"), &root, operator(&world).await).await.unwrap();
    assert_eq!(guess(&world, "ina", PASSWORD).await.problem(), ProblemType::InvalidCredentials, "its password is gone");
    assert_eq!(again.user.state, PrincipalState::Invited);
    world.clock.advance(SignedDuration::from_hours(72));
    assert_eq!(enrol("ina", again.enrolment.secret(), PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    world.check().await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_who_shows_it_again_ends_the_session() {
    let world = World::new().await;
    let open = world.open();
    let first = guess(&world, "tess", PASSWORD).await.unwrap();
    let token = |tokens: &Tokens| tokens.refresh_token.as_ref().unwrap().secret().duplicate();
    world.clock.advance(SignedDuration::from_mins(15));
    assert_eq!(world.caller(&first).await.problem(), ProblemType::SessionEnded, "an access token lives 15 minutes");
    let second = open.refresh(&token(&first)).await.unwrap();
    assert!(world.caller(&second).await.is_ok());
    world.check().await;
    assert_eq!(open.refresh(&token(&first)).await.problem(), ProblemType::SessionEnded);
    assert_eq!(world.caller(&second).await.problem(), ProblemType::SessionEnded, "whichever of the two was the thief");
    assert_eq!(open.refresh(&token(&second)).await.problem(), ProblemType::SessionEnded);
    world.check().await;

    let third = guess(&world, "tess", PASSWORD).await.unwrap();
    world.clock.advance(SignedDuration::from_hours(12));
    assert_eq!(open.refresh(&token(&third)).await.problem(), ProblemType::SessionEnded);
    for other in ["", "x"].map(|end| format!("{}{end}", first.access_token.secret().expose())) {
        assert_eq!(open.refresh(&secret(&other)).await.problem(), ProblemType::SessionEnded, "a token of another kind");
    }
}

#[tokio::test]
async fn anvil_revoke_now_what_is_ended_is_refused_at_once_and_after_a_restart() {
    let mut world = World::new().await;
    let root = world.root().await;
    let out = guess(&world, "tess", PASSWORD).await.unwrap();
    world.open().logout(&world.caller(&out).await.unwrap()).await.unwrap();
    assert_eq!(world.caller(&out).await.problem(), ProblemType::SessionEnded);

    let suspended = guess(&world, "tess", PASSWORD).await.unwrap();
    assert!(world.caller(&suspended).await.is_ok());
    let suspend =
        async |yes| world.open().suspend(&part("tess"), PrincipalKind::User, yes, &root, operator(&world).await).await;
    suspend(true).await.unwrap();
    assert_eq!(world.caller(&suspended).await.problem(), ProblemType::SessionEnded);
    suspend(false).await.unwrap();
    assert_eq!(world.caller(&suspended).await.problem(), ProblemType::SessionEnded, "it does not come back");
    assert!(guess(&world, "tess", PASSWORD).await.is_ok());

    let removed = guess(&world, "tess", PASSWORD).await.unwrap();
    assert!(world.caller(&removed).await.is_ok());
    let (open, tess) = (world.open(), part("tess"));
    open.remove_principal(&tess, PrincipalKind::User, &root, operator(&world).await).await.unwrap();
    assert_eq!(world.caller(&removed).await.problem(), ProblemType::SessionEnded);
    world.check().await;
    drop(open);
    world.crash(5).await;
    for tokens in [&out, &suspended, &removed] {
        assert_eq!(world.caller(tokens).await.problem(), ProblemType::SessionEnded);
    }
}

/// Whoever ends a session and goes away before the answer has ended it.
#[tokio::test]
async fn a_revocation_whose_caller_hangs_up_is_one() {
    let world = World::new().await;
    let tokens = guess(&world, "tess", PASSWORD).await.unwrap();
    let (open, caller) = (world.open(), world.caller(&tokens).await.unwrap());
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    world.store.set_faults(FaultPlan::commits_where(move |_, _| {
        gate.lock().recv().ok();
        None
    }));
    {
        let mut logout = pin!(open.logout(&caller));
        assert!(poll!(&mut logout).is_pending(), "it waits for the journal");
    }
    drop(go);
    // Whatever comes behind it in the queue is answered after it.
    open.commit(open.change(open.automatic(
        claviger_api::Scope::Operator,
        claviger_api::audit::kind::EventKind::LogRead,
        "a test",
    )))
    .await
    .unwrap();
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
    world.check().await;
}

/// The store says nothing of what became of the end of a session; what it kept is what holds.
#[tokio::test]
async fn an_end_of_unknown_outcome_is_not_hidden_by_a_cache() {
    let world = World::new().await;
    let tokens = guess(&world, "tess", PASSWORD).await.unwrap();
    let caller = world.caller(&tokens).await.unwrap();
    let stored = |n, _: &Batch| Some(if n == 1 { CommitFault::UnknownApplied } else { CommitFault::Refused });
    let reads = Arc::new(Mutex::new(false));
    let broken = reads.clone();
    world.store.set_faults(
        FaultPlan::commits_where(move |n, batch| {
            *broken.lock() = true;
            stored(n, batch)
        })
        .reads_where(move |_| *reads.lock()),
    );
    assert_eq!(world.open().logout(&caller).await.problem(), ProblemType::OutcomeUnknown);
    world.store.set_faults(FaultPlan::none());
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
    world.open().logout(&caller).await.unwrap();
    world.check().await;
}

/// A request reads the session, the session ends, the request keeps what it read: nobody may find that later.
#[tokio::test]
async fn a_session_that_ends_while_it_is_read_is_not_kept() {
    let (mut world, store) = World::interrupted().await;
    let tokens = guess(&world, "tess", PASSWORD).await.unwrap();
    let other = world.caller(&tokens).await.unwrap();
    let ground = world.vault.ground().clone();
    world.vault = Vault::new(Ground { random: Arc::new(Seeded::new(78)), ..ground }).into();
    world.unseal().await;
    let open = world.open();
    store.after(Table::Sessions, async move { open.logout(&other).await.unwrap() });
    assert!(world.caller(&tokens).await.is_ok(), "it came before the end");
    assert!(store.has_interrupted());
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
}

#[tokio::test]
async fn a_grant_that_is_revoked_while_it_is_read_is_not_kept() {
    let (mut world, store) = World::interrupted().await;
    let tokens = guess(&world, "tess", PASSWORD).await.unwrap();
    let grant = world.tess().await.powers.grants[0].id;
    let ground = world.vault.ground().clone();
    world.vault = Vault::new(Ground { random: Arc::new(Seeded::new(78)), ..ground }).into();
    world.unseal().await;
    let (open, root) = (world.open(), world.root().await);
    let permit = operator(&world).await;
    store.after(Table::Grants, async move { open.revoke_grant(grant, &root, permit).await.unwrap() });
    assert_eq!(world.caller(&tokens).await.unwrap().powers.grants.len(), 1, "it came before the end");
    assert!(store.has_interrupted());
    assert!(world.caller(&tokens).await.unwrap().powers.grants.is_empty());
}

/// A session that is opened while its principal's sessions are being ended is ended with them.
#[tokio::test]
async fn a_session_that_opens_while_all_are_ended_is_good_for_nothing() {
    let (world, store) = World::interrupted().await;
    let (open, root) = (world.open(), world.root().await);
    let old = open.replace_token(&part("bot"), 3600, &root, operator(&world).await).await.unwrap();
    // So that the next login only expects its principal and does not write it.
    open.login_by_token(old.token.secret(), &Origin::default()).await.unwrap();
    let opened = Arc::new(Mutex::new(None));
    let (late, slot, token) = (open.clone(), opened.clone(), old.token.into_secret());
    let meanwhile = async move {
        let tokens = late.login_by_token(&token, &Origin::default()).await.unwrap();
        *slot.lock() = Some(tokens);
    };
    store.after(Table::Sessions, meanwhile);
    open.replace_token(&part("bot"), 3600, &root, operator(&world).await).await.unwrap();
    let tokens = opened.lock().take().unwrap();
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
}

/// A system cannot be added to a customer, nor an account to a system, that is being removed.
#[tokio::test]
async fn nothing_is_added_below_what_is_being_removed() {
    let (world, store) = World::interrupted().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewCustomer { slug: part("brief"), display_name: "Brief".to_owned() };
    let brief = open.add_customer(&new, &Once::none(), &root, operator(&world).await).await.unwrap().id;
    let (late, by) = (open.clone(), root.clone());
    let added = async move {
        let system =
            claviger_api::wire::NewSystem { name: part("db"), spec: super::world::spec(), management_account: None };
        let permit = may(&late, &by, Resource::Customer(brief));
        late.add_system(brief, &system, &Once::none(), &by, permit).await.unwrap();
    };
    store.after(Table::Systems, added);
    let removed = open.remove_customer(brief, &root, may(&open, &root, Resource::Customer(brief))).await;
    assert_eq!(removed.problem(), ProblemType::InUse);
    world.check().await;

    let system = open.system_named(brief, &part("db")).await.unwrap();
    let (late, by) = (open.clone(), root.clone());
    let added = async move {
        let permit = may(&late, &by, Resource::System(brief, system));
        let new = super::world::standing("a", "secret of a");
        late.add_account(brief, system, new, &Once::none(), &by, permit).await.unwrap();
    };
    store.after(Table::Accounts, added);
    let removed = open.remove_system(brief, system, &root, may(&open, &root, Resource::System(brief, system))).await;
    assert_eq!(removed.problem(), ProblemType::InUse);
    world.check().await;
}

#[tokio::test]
async fn a_service_token_ends_when_it_says_and_when_it_is_replaced() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewServiceAccount::with_token(part("cron"), 3600);
    let first = open.add_service_account(&new, &Once::none(), &root, operator(&world).await).await.unwrap();
    let session = open.login_by_token(first.token.as_ref().unwrap().secret(), &Origin::default()).await.unwrap();
    assert!(session.refresh_token.is_none());
    let second = open.replace_token(&part("cron"), 60, &root, operator(&world).await).await.unwrap();
    assert_eq!(
        open.login_by_token(first.token.as_ref().unwrap().secret(), &Origin::default()).await.problem(),
        ProblemType::InvalidCredentials
    );
    assert_eq!(world.caller(&session).await.problem(), ProblemType::SessionEnded);
    assert!(open.login_by_token(second.token.secret(), &Origin::default()).await.is_ok());
    world.clock.advance(seconds(60));
    assert_eq!(
        open.login_by_token(second.token.secret(), &Origin::default()).await.problem(),
        ProblemType::InvalidCredentials
    );
    for ttl in [59, 400 * 86_400 + 1] {
        let refused = open.replace_token(&part("cron"), ttl, &root, operator(&world).await).await;
        assert_eq!(refused.problem(), ProblemType::InvalidValue);
    }
    let suspended = open.replace_token(&part("cron"), 3600, &root, operator(&world).await).await.unwrap();
    open.suspend(&part("cron"), PrincipalKind::ServiceAccount, true, &root, operator(&world).await).await.unwrap();
    assert_eq!(
        open.login_by_token(suspended.token.secret(), &Origin::default()).await.problem(),
        ProblemType::InvalidCredentials
    );
    world.check().await;
}

#[tokio::test]
async fn a_grant_is_within_its_makers_and_never_to_oneself() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let acme = || GrantScope::Customer(part("acme"));
    let grant = async |by: &crate::Caller, new: NewGrant| open.make_grant(&new, &Once::none(), by).await;
    let to = |who: &str, role| new_grant(who, role, acme());
    assert_eq!(grant(&root, to("root", Role::Technician)).await.problem(), ProblemType::Forbidden);
    assert_eq!(grant(&root, to("nobody", Role::Technician)).await.problem(), ProblemType::NotFound);
    let tess = world.tess().await;
    assert_eq!(grant(&tess, to("tom", Role::Technician)).await.problem(), ProblemType::Forbidden, "has no may_grant");

    // Tess may hand on the technician's role at one account, for a day.
    let limited = NewGrant {
        kind: GrantKind::MayGrant,
        scope: GrantScope::Account(path("acme/db1/app")),
        ttl_seconds: 86_400,
        max_checkout_seconds: Some(3600),
        ..to("tess", Role::Technician)
    };
    grant(&root, limited.clone()).await.unwrap();
    let tess = world.tess().await;
    let within = NewGrant { kind: GrantKind::MayUse, principal: part("bot"), ..limited.clone() };
    for beyond in [
        NewGrant { scope: acme(), ..within.clone() },
        NewGrant { scope: GrantScope::Account(path("acme/db1/shared")), ..within.clone() },
        NewGrant { role: Role::Administrator, ..within.clone() },
        NewGrant { ttl_seconds: 86_401, ..within.clone() },
        NewGrant { max_checkout_seconds: Some(3601), ..within.clone() },
        NewGrant { principal: part("tess"), ..within.clone() },
        NewGrant { scope: GrantScope::Operator, ..within.clone() },
    ] {
        assert_eq!(grant(&tess, beyond).await.problem(), ProblemType::Forbidden);
    }
    grant(&tess, within).await.unwrap();
    world.check().await;
}

#[tokio::test]
async fn a_grant_has_its_conditions_and_what_is_made_from_it_is_no_looser() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let grant = async |by: &crate::Caller, new: &NewGrant| open.make_grant(new, &Once::none(), by).await;
    let office = Conditions {
        ticket: Some("INC-[0-9]+".parse().unwrap()),
        hours: Some("Mon-Fri 08:00-18:00 Europe/Berlin".parse().unwrap()),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..Conditions::default()
    };
    let bound = NewGrant {
        kind: GrantKind::MayGrant,
        conditions: office.clone(),
        ..new_grant("tess", Role::Technician, GrantScope::Customer(part("acme")))
    };
    let made = grant(&root, &bound).await.unwrap();
    assert_eq!(made.conditions, office);
    assert_eq!(open.grant(made.id, operator(&world).await).await.unwrap().conditions, office);

    let tess = world.tess().await;
    let use_it = NewGrant { kind: GrantKind::MayUse, principal: part("tom"), ttl_seconds: 3600, ..bound.clone() };
    let open_all_day = Conditions { hours: None, ..office };
    let refused = grant(&tess, &NewGrant { conditions: open_all_day, ..use_it.clone() }).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::Forbidden);
    assert!(refused.detail.contains("`hours`"), "{}", refused.detail);
    grant(&tess, &use_it).await.unwrap();

    let verb = Conditions { actions: vec!["account.set_secret".to_owned()], ..Conditions::default() };
    let refused = grant(&root, &NewGrant { conditions: verb, ..bound }).await.unwrap_err();
    assert_eq!((refused.problem, refused.errors[0].at.as_str()), (ProblemType::InvalidValue, "conditions.actions"));
    assert!(refused.errors[0].message.contains("checkout.reveal"), "{}", refused.errors[0].message);
    world.check().await;
}

#[tokio::test]
async fn a_grant_that_ends_or_is_taken_away_gives_nothing() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    world.enrolled("ina").await;
    let ina = async || open.acting("ina").await;
    assert_eq!(world.check_out(&ina().await, &of("app"), &Once::none()).await.problem(), ProblemType::NotFound);
    let short =
        NewGrant { ttl_seconds: 3600, ..new_grant("ina", Role::Technician, GrantScope::Customer(part("acme"))) };
    open.make_grant(&short, &Once::none(), &root).await.unwrap();
    let tokens = guess(&world, "ina", PASSWORD).await.unwrap();
    world.clock.advance(seconds(600));
    assert!(world.caller(&tokens).await.unwrap().powers.grants.len() == 1);
    let held = world.check_out(&ina().await, &of("app"), &Once::none()).await.unwrap();
    let kept = ina().await;
    world.clock.advance(seconds(3000));
    // Even who was authenticated before its end.
    assert_eq!(world.check_out(&kept, &of("shared"), &Once::none()).await.problem(), ProblemType::NotFound);
    assert_eq!(world.reveal(&kept, held.id).await.problem(), ProblemType::Forbidden, "the holder still knows of it");
    assert!(world.check_in(&kept, held.id).await.is_ok(), "giving back is always possible");

    let root = world.root().await;
    let made = open.make_grant(&NewGrant { ttl_seconds: 7200, ..short }, &Once::none(), &root).await.unwrap();
    assert!(world.check_out(&ina().await, &of("shared"), &Once::none()).await.is_ok());
    open.revoke_grant(made.id, &root, operator(&world).await).await.unwrap();
    assert_eq!(world.check_out(&ina().await, &of("shared"), &Once::none()).await.problem(), ProblemType::NotFound);
    assert_eq!(open.revoke_grant(made.id, &root, operator(&world).await).await.problem(), ProblemType::NotFound);
    world.check().await;
}

/// Another customer's ids and names answer exactly like ones that do not exist.
#[tokio::test]
async fn anvil_cross_customer_a_foreign_id_answers_like_a_random_one() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let globex = NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
    open.add_customer(&globex, &Once::none(), &root, operator(&world).await).await.unwrap();
    world.add_system("globex", "db1").await;
    let login = Some("globex_app".parse().unwrap());
    let app = claviger_api::wire::NewAccount { login, ..super::world::standing("app", "their secret") };
    world.add_account("globex", "db1", app).await.unwrap();
    let theirs = NewUser { name: part("gina"), customer: Some(part("globex")) };
    let made = open.add_user(&theirs, &Once::none(), &root, operator(&world).await).await.unwrap();
    world.enrol("gina", made.enrolment.secret()).await;
    world.grant("gina", Role::Technician, GrantScope::Customer(part("globex"))).await.unwrap();
    // A grant given in error reaches nothing outside her own customer.
    world.grant("gina", Role::Technician, GrantScope::Customer(part("acme"))).await.unwrap();

    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    let rotation = world.view(held.id).await.rotation.unwrap();
    let gina = open.acting("gina").await;
    let random = |n| {
        let mut bytes = [0; 16];
        Seeded::new(n).fill(&mut bytes);
        Uuid::from_bytes(bytes)
    };
    let told = |answer: Option<crate::Error>| {
        let error = answer.unwrap();
        (error.problem, error.detail, error.errors.len(), error.retry_after_seconds)
    };
    for nobodys in [CheckoutId::from_uuid(random(1)), CheckoutId::from_uuid(random(2))] {
        let pairs = [
            (world.reveal(&gina, held.id).await.err(), world.reveal(&gina, nobodys).await.err()),
            (world.check_in(&gina, held.id).await.err(), world.check_in(&gina, nobodys).await.err()),
            (world.extend(&gina, held.id, 60).await.err(), world.extend(&gina, nobodys, 60).await.err()),
            (world.revoke(&gina, held.id).await.err(), world.revoke(&gina, nobodys).await.err()),
            (world.take_over(&gina, held.id).await.err(), world.take_over(&gina, nobodys).await.err()),
        ];
        for (foreign, none) in pairs {
            assert_eq!(told(foreign), told(none));
        }
    }
    let see = async |id: RotationId| {
        let found = open.find_rotation(id).await?;
        open.rotation(&found, open.permit(&gina, &found.resource()).await?).await
    };
    assert_eq!(told(see(rotation).await.err()), told(see(RotationId::from_uuid(random(3))).await.err()));
    let ask =
        async |text: &str| world.check_out(&gina, &NewCheckout { account: path(text), ..of("app") }, &key("k")).await;
    let none = told(ask("nowhere/db1/app").await.err());
    for foreign in ["acme/db1/app", "acme/db1/nothing", "acme/nothing/app", "globex/db1/nothing"] {
        assert_eq!(told(ask(foreign).await.err()), none, "{foreign}");
    }
    assert!(ask("globex/db1/app").await.is_ok());
    let acme = world.acme().await;
    let view = open.permit::<CustomerView>(&gina, &Resource::Customer(acme)).await.err();
    assert_eq!(told(view), none);
    let paging = crate::Paging::new(None, None).unwrap();
    let seen = open.customers(&paging, &gina).await.unwrap();
    assert_eq!(seen.items.into_iter().map(|customer| customer.slug).collect::<Vec<_>>(), [part("globex")]);
    assert_eq!(open.permit::<SysSeal>(&gina, &Resource::Operator).await.problem(), ProblemType::Forbidden);
    assert!(open.grant(GrantId::from_uuid(random(4)), operator(&world).await).await.is_err());
    world.check().await;
}

/// What it costs to be named in an answer does not depend on how many grants there are.
#[tokio::test]
async fn a_name_is_read_and_no_grants() {
    let (world, store) = World::interrupted().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let mut world = world;
    let ground = world.vault.ground().clone();
    world.vault = Vault::new(Ground { random: Arc::new(Seeded::new(79)), ..ground }).into();
    world.unseal().await;
    store.after(Table::Grants, async { panic!("the grants were read for a name") });
    assert_eq!(world.view(held.id).await.principal, part("tess"));
    let row = RowId::checkout(world.acme().await, held.id);
    assert!(world.store.snapshot().row(&row.to_key()).is_some());
}
