//! The life of identities: what is open ends with whoever had it.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountState, ApprovalRule, AuditQuery, CheckoutState, Conditions, EndCause, GrantScope, LoginAnswer, NewCustomer,
    NewGrant, PrincipalKind, PrincipalState, ReviewCounts, ReviewLine, ReviewVerdict, RevocationState, Role,
    SecondFactor,
};
use claviger_api::{CheckoutId, GrantId, ReviewId, Scope};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{RowId, Table};

use super::world::{PASSWORD, Refused as _, World, key, may, new_grant, of, part, seconds, secret, waiting};
use crate::error::Result;
use crate::{Once, Paging};

const USER: PrincipalKind = PrincipalKind::User;

impl World {
    async fn suspend(&self, name: &str, yes: bool) -> Result<claviger_api::wire::Principal> {
        let (open, root) = (self.open(), self.root().await);
        open.suspend(&part(name), USER, yes, &root, may(&open, &root, Resource::Operator)).await
    }

    async fn remove(&self, name: &str, kind: PrincipalKind) -> Result<()> {
        let (open, root) = (self.open(), self.root().await);
        open.remove_principal(&part(name), kind, &root, may(&open, &root, Resource::Operator)).await
    }

    /// The newest events of a kind in a log.
    pub async fn told(&self, scope: Scope, kind: EventKind) -> Vec<claviger_api::wire::AuditEvent> {
        self.told_to("root", scope, kind).await
    }

    async fn told_to(&self, who: &str, scope: Scope, kind: EventKind) -> Vec<claviger_api::wire::AuditEvent> {
        let (open, root) = (self.open(), self.open().acting(who).await);
        let resource = match scope {
            Scope::Operator => Resource::Operator,
            Scope::Customer(customer) => Resource::Customer(customer),
        };
        let query = AuditQuery { kind: Some(kind.text().to_owned()), ..AuditQuery::default() };
        let paging = Paging::new(None, None).unwrap();
        open.audit_events(scope, &query, &paging, &root, may(&open, &root, resource)).await.unwrap().items
    }

    /// One checkout in use and revealed, one with a login of its own, one that waits for its turn, one that asks.
    async fn everything_of(&self, name: &str) -> Vec<CheckoutId> {
        let rule = ApprovalRule { count: 1, by_customer: false, reuse: false };
        let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
        let asks = NewGrant { conditions, ..new_grant(name, Role::Technician, "acme/db1/shared".parse().unwrap()) };
        self.enrolled(name).await;
        for account in ["app", "temp", "dba"] {
            let scope: GrantScope = format!("acme/db1/{account}").parse().unwrap();
            self.grant(name, Role::Technician, scope).await.unwrap();
        }
        self.open().make_grant(&asks, &Once::none(), &self.root().await).await.unwrap();
        let who = self.open().acting(name).await;
        let mut ids = Vec::new();
        for (new, state) in [
            (of("app"), CheckoutState::Active),
            (of("temp"), CheckoutState::Active),
            (waiting("dba"), CheckoutState::Requested),
            (of("shared"), CheckoutState::Requested),
        ] {
            let made = self.check_out(&who, &new, &Once::none()).await.unwrap();
            assert_eq!(made.state, state, "{:?}", made.account);
            ids.push(made.id);
        }
        self.reveal(&who, ids[0]).await.unwrap();
        ids
    }
}

/// `tom` holds what `nina` waits for.
async fn world() -> (World, Vec<CheckoutId>, CheckoutId) {
    let world = World::new().await;
    let toms = world.check_out(&world.tom().await, &of("dba"), &Once::none()).await.unwrap().id;
    let ids = world.everything_of("nina").await;
    (world, ids, toms)
}

async fn all_ended(world: &World, ids: &[CheckoutId]) {
    for id in ids {
        let ended = world.view(*id).await;
        assert_eq!((ended.state, ended.end_cause), (CheckoutState::Ended, Some(EndCause::Revoked)), "{ended:?}");
    }
    assert_eq!(world.view(ids[0]).await.revocation.unwrap().state, RevocationState::Proven, "what was seen is dead");
    assert_eq!(world.view(ids[1]).await.revocation.unwrap().state, RevocationState::Proven, "the login is gone");
}

#[tokio::test]
async fn anvil_revoke_now_what_a_suspended_one_has_open_ends() {
    let (world, ids, toms) = world().await;
    world.suspend("nina", true).await.unwrap();
    world.check().await;
    assert!(world.step().await.is_empty());
    all_ended(&world, &ids).await;
    assert_eq!(world.view(toms).await.state, CheckoutState::Active, "another's is another's");
    let told = world.told(Scope::Operator, EventKind::PrincipalCheckoutsEnded).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].fields["cause"], "principal suspended");
    let acme = world.acme().await;
    let ends = world.told(Scope::Customer(acme), EventKind::CheckoutEnded).await;
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().all(|end| end.fields["actor"] == "system/suspension"), "{ends:?}");
    assert!(world.open().due().await.unwrap().is_empty(), "nothing is left to do");
    assert_eq!(world.open().due_since().await.unwrap(), None);
    world.check().await;
}

/// The history keeps the name, in what was checked out and in the log.
#[tokio::test]
async fn what_a_removed_one_has_open_ends_and_its_name_stays_in_history() {
    let (world, ids, _) = world().await;
    world.remove("nina", USER).await.unwrap();
    world.check().await;
    assert!(world.step().await.is_empty());
    all_ended(&world, &ids).await;
    assert_eq!(world.view(ids[0]).await.principal.as_str(), "nina");
    let acme = world.acme().await;
    let revealed = world.told(Scope::Customer(acme), EventKind::CheckoutRevealed).await;
    assert_eq!(revealed[0].fields["actor_name"], "nina");
    assert_eq!(world.told(Scope::Operator, EventKind::UserRemoved).await[0].fields["principal_name"], "nina");
    // The name is free, and whoever has it next is somebody else.
    world.enrolled("nina").await;
    assert_ne!(world.open().acting("nina").await.id, world.view(ids[0]).await.principal_id);
    world.check().await;
}

#[tokio::test]
async fn a_removed_program_loses_what_it_holds() {
    let world = World::new().await;
    let held = world.check_out(&world.bot().await, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&world.bot().await, held.id).await.unwrap();
    world.remove("bot", PrincipalKind::ServiceAccount).await.unwrap();
    world.step().await;
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

/// Whatever fails half-way, and wherever the server dies: all of it ends afterwards.
#[tokio::test]
async fn what_is_half_ended_when_the_server_dies_is_ended_afterwards() {
    for n in 1..=6 {
        let (mut world, ids, _) = world().await;
        world.suspend("nina", true).await.unwrap();
        world
            .store
            .set_faults(FaultPlan::commits_where(move |commit, _| (commit >= n).then_some(CommitFault::Refused)));
        let failed = world.step().await;
        assert!(!failed.is_empty(), "{n}");
        world.store.set_faults(FaultPlan::none());
        world.check().await;
        world.crash(n).await;
        world.check().await;
        assert!(world.step().await.is_empty(), "{n}");
        assert!(world.open().due().await.unwrap().is_empty(), "{n}: nothing is left to end");
        // A rotation that died while it was sending waits until its sender is surely gone.
        world.pass(seconds(3600)).await;
        all_ended(&world, &ids).await;
        world.check().await;
    }
}

/// One checkout that cannot be ended keeps none of the others.
#[tokio::test]
async fn one_that_cannot_be_ended_does_not_keep_the_others() {
    let (world, ids, _) = world().await;
    world.suspend("nina", true).await.unwrap();
    world.store.set_faults(FaultPlan::nth_commit(1, CommitFault::Refused));
    let failed = world.step().await;
    assert!(!failed.is_empty());
    world.store.set_faults(FaultPlan::none());
    assert!(world.step().await.is_empty());
    all_ended(&world, &ids).await;
    world.check().await;
}

/// A check-out that was on its way when its principal was suspended comes too late: it had read everything before.
#[tokio::test]
async fn anvil_revoke_now_a_check_out_under_way_comes_too_late() {
    let (world, store) = World::interrupted().await;
    let (tess, root, open) = (world.tess().await, world.root().await, world.open());
    let meanwhile = async move {
        let permit = may(&open, &root, Resource::Operator);
        open.suspend(&part("tess"), USER, true, &root, permit).await.unwrap();
    };
    store.after(Table::AccountStates, meanwhile);
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.problem(), ProblemType::SessionEnded);
    assert!(store.has_interrupted());
    world.step().await;
    assert_eq!(world.account("app").await.state, AccountState::Available);
    world.check().await;
}

/// Let in again before the workers came: what was open has ended, what comes afterwards has not.
#[tokio::test]
async fn whoever_is_let_in_again_loses_the_old_and_keeps_the_new() {
    let (world, ids, _) = world().await;
    world.suspend("nina", true).await.unwrap();
    let timers = world.open().due().await.unwrap();
    world.suspend("nina", false).await.unwrap();
    for id in &ids {
        assert_eq!(world.view(*id).await.state, CheckoutState::Ended);
    }
    let tokens = world.log_in("nina", PASSWORD).await.unwrap();
    let nina = world.caller(&tokens).await.unwrap();
    world.step().await;
    let new = world.check_out(&nina, &of("app"), &Once::none()).await.unwrap();
    // A worker that read the timer before comes late.
    for timer in timers {
        Box::pin(world.open().act(timer)).await.unwrap();
    }
    world.step().await;
    assert_eq!(world.view(new.id).await.state, CheckoutState::Active);
    world.check().await;
}

#[tokio::test]
async fn a_session_ends_at_the_latest_after_the_set_time_however_often_it_is_refreshed() {
    use claviger_api::wire::{ACCESS_TTL_SECONDS, SESSION_MOST_SECONDS};
    let world = World::new().await;
    let mut tokens = world.log_in("tess", PASSWORD).await.unwrap();
    let began = world.now();
    let step = seconds(i64::try_from(ACCESS_TTL_SECONDS).unwrap() - 60);
    let most = seconds(i64::try_from(SESSION_MOST_SECONDS).unwrap());
    while world.now() + step < began + most {
        world.clock.advance(step);
        tokens = world.open().refresh(tokens.refresh_token.unwrap().secret()).await.unwrap();
        let me = world.open().me(&world.caller(&tokens).await.unwrap()).await.unwrap();
        assert!(me.session_expires_at <= began + most, "{}", me.session_expires_at);
    }
    assert!(tokens.expires_in_seconds <= ACCESS_TTL_SECONDS);
    let caller = world.caller(&tokens).await.unwrap();
    assert_eq!(caller.session_expires_at, began + most);
    // A fresh second factor does not prolong it either.
    let code = SecondFactor::Totp(world.code("tess").await.disclose());
    if world.now() < began + most {
        drop(world.open().step_up(&code, &caller).await);
    }
    world.clock.advance((began + most).duration_since(world.now()));
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
    let refused = world.open().refresh(tokens.refresh_token.unwrap().secret()).await;
    assert_eq!(refused.problem(), ProblemType::SessionEnded);
    world.check().await;
}

/// Days pass, and the workers look once a day.
async fn days(world: &World, days: i64) {
    world.pass(seconds(days * 86_400)).await;
}

async fn state_of(world: &World, name: &str) -> PrincipalState {
    world.open().principal_named(&part(name)).await.unwrap().value.state
}

#[tokio::test]
async fn who_is_not_used_is_listed_with_what_it_could_reach() {
    let world = World::new().await;
    let inactive = async |after| {
        let (open, root) = (world.open(), world.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.inactive(Some(after), &Paging::new(None, None).unwrap(), permit).await.unwrap().items
    };
    let names = |found: &[claviger_api::wire::Inactive]| -> Vec<String> {
        let mut names: Vec<_> = found.iter().map(|one| one.principal.name.to_string()).collect();
        names.sort();
        names
    };
    let of = |found: &[claviger_api::wire::Inactive], name: &str| {
        found.iter().find(|one| one.principal.name.as_str() == name).cloned().unwrap()
    };
    assert!(inactive(1).await.is_empty(), "everybody was here today");
    days(&world, 20).await;
    world.log_in("tess", PASSWORD).await.unwrap();
    days(&world, 9).await;
    assert!(inactive(30).await.is_empty());
    days(&world, 1).await;
    let found = inactive(30).await;
    assert_eq!(names(&found), ["bot", "root", "tom"]);
    let tom = of(&found, "tom");
    assert_eq!((tom.unused_days, tom.grants.len()), (30, 0), "its grant ended today");
    let scopes: Vec<String> = of(&found, "root").grants.iter().map(|grant| grant.scope.to_string()).collect();
    assert!(!scopes.is_empty() && scopes.iter().all(|scope| scope == "*"), "{scopes:?}");
    assert_eq!(names(&inactive(10).await), ["bot", "root", "tess", "tom"]);
    assert!(inactive(31).await.is_empty());
}

/// Everybody who is not used is suspended when the time is over, but for the administrator who was here last.
#[tokio::test]
async fn the_unused_are_suspended_and_never_the_last_administrator() {
    let world = World::new().await;
    world.enrolled("ada").await;
    world.grant("ada", Role::Administrator, GrantScope::Operator).await.unwrap();
    // A grant that outlives the test.
    let long = NewGrant { ttl_seconds: 400 * 86_400, ..new_grant("ada", Role::Administrator, GrantScope::Operator) };
    world.open().make_grant(&long, &Once::none(), &world.root().await).await.unwrap();
    days(&world, 50).await;
    let tokens = world.log_in("tess", PASSWORD).await.unwrap();
    world.log_in("ada", PASSWORD).await.unwrap();
    days(&world, 39).await;
    for name in ["root", "ada", "tess", "tom", "bot"] {
        assert_eq!(state_of(&world, name).await, PrincipalState::Active, "{name} after 89 days");
    }
    days(&world, 2).await;
    for name in ["root", "tom", "bot"] {
        assert_eq!(state_of(&world, name).await, PrincipalState::Suspended, "{name}");
    }
    assert_eq!(state_of(&world, "tess").await, PrincipalState::Active, "used since");
    assert!(world.caller(&tokens).await.is_err(), "a session of long ago");
    days(&world, 60).await;
    assert_eq!(state_of(&world, "tess").await, PrincipalState::Suspended);
    assert_eq!(state_of(&world, "ada").await, PrincipalState::Active, "somebody is left to let the others in");
    let told = world.told_to("ada", Scope::Operator, EventKind::UserSuspended).await;
    assert!(told.iter().all(|event| event.fields["actor"] == "system/inactivity"), "{told:?}");
    assert_eq!(told.len(), 3, "root, tom and tess");
    world.check().await;
}

impl World {
    async fn review(&self, by: &str) -> Result<claviger_api::wire::Review> {
        let (open, by, acme) = (self.open(), self.open().acting(by).await, self.acme().await);
        open.start_review(acme, None, &Once::none(), &by, open.permit(&by, &Resource::Customer(acme)).await?).await
    }

    async fn lines(&self, id: ReviewId) -> Vec<ReviewLine> {
        let (open, root, acme) = (self.open(), self.root().await, self.acme().await);
        let permit = may(&open, &root, Resource::Customer(acme));
        open.review_lines(acme, id, &Paging::new(None, None).unwrap(), permit).await.unwrap().items
    }

    async fn confirm(&self, by: &str, id: ReviewId, grant: GrantId) -> Result<ReviewLine> {
        let (open, by, acme) = (self.open(), self.open().acting(by).await, self.acme().await);
        open.confirm_line(acme, id, grant, &by, open.permit(&by, &Resource::Customer(acme)).await?).await
    }

    async fn cut(&self, by: &str, id: ReviewId, grant: GrantId) -> Result<ReviewLine> {
        let (open, by, acme) = (self.open(), self.open().acting(by).await, self.acme().await);
        let permit = open.permit(&by, &Resource::Customer(acme)).await?;
        open.cut_line(acme, id, grant, "has left the team", &by, permit).await
    }

    async fn close(&self, by: &str, id: ReviewId) -> Result<claviger_api::wire::Review> {
        let (open, by, acme) = (self.open(), self.open().acting(by).await, self.acme().await);
        open.close_review(acme, id, &by, open.permit(&by, &Resource::Customer(acme)).await?).await
    }
}

fn line_of<'a>(lines: &'a [ReviewLine], name: &str) -> &'a ReviewLine {
    lines.iter().find(|line| line.grant.principal.as_str() == name).unwrap()
}

#[tokio::test]
async fn a_review_is_confirmed_or_cut_line_by_line_and_goes_on_after_a_crash() {
    let mut world = World::new().await;
    world.enrolled("ada").await;
    world.grant("ada", Role::Administrator, GrantScope::Customer(part("acme"))).await.unwrap();
    let id = world.review("root").await.unwrap().id;
    assert_eq!(world.review("ada").await.problem(), ProblemType::InUse, "one at a time");
    let lines = world.lines(id).await;
    let undecided = |lines: &[ReviewLine]| lines.iter().filter(|line| line.verdict.is_none()).count();
    assert_eq!(undecided(&lines), lines.len());
    let (tess, tom, ada) = (line_of(&lines, "tess"), line_of(&lines, "tom"), line_of(&lines, "ada"));

    let confirmed = world.confirm("root", id, tess.grant.id).await.unwrap();
    assert_eq!(confirmed.verdict, Some(ReviewVerdict::Confirmed));
    assert_eq!(confirmed.decided_by.unwrap().as_str(), "root");
    assert_eq!(world.close("root", id).await.problem(), ProblemType::InUse, "not every line is decided");
    world.check().await;
    world.crash(1).await;
    assert_eq!(undecided(&world.lines(id).await), lines.len() - 1, "it goes on where it was left");

    // Cut: the grant is gone at once, and so is what it gave.
    let cut = world.cut("ada", id, tom.grant.id).await.unwrap();
    assert!(cut.ended && cut.verdict == Some(ReviewVerdict::Cut));
    let after = world.open().acting("tom").await;
    assert_eq!(world.check_out(&after, &of("dba"), &Once::none()).await.problem(), ProblemType::NotFound);
    assert_eq!(world.confirm("root", id, tom.grant.id).await.unwrap().verdict, Some(ReviewVerdict::Cut), "it is done");

    // Nobody confirms what they have, and who reviews a customer cuts nothing that reaches others.
    assert_eq!(world.confirm("ada", id, ada.grant.id).await.problem(), ProblemType::Forbidden);
    let roots = line_of(&lines, "root").grant.id;
    assert_eq!(world.cut("ada", id, roots).await.problem(), ProblemType::Forbidden);
    world.check().await;

    // A line whose grant ends by itself needs no decision.
    let bot = line_of(&lines, "bot").grant.id;
    let (open, root) = (world.open(), world.root().await);
    open.revoke_grant(bot, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    for line in world.lines(id).await.iter().filter(|line| line.verdict.is_none() && !line.ended) {
        let by = if line.grant.principal.as_str() == "root" { "ada" } else { "root" };
        world.confirm(by, id, line.grant.id).await.unwrap();
    }
    let closed = world.close("ada", id).await.unwrap();
    assert_eq!(closed.closed_by.unwrap().as_str(), "ada");
    let lines = u64::try_from(lines.len()).unwrap();
    let counts = ReviewCounts { lines, confirmed: lines - 2, cut: 1, ended: 1, undecided: 0 };
    assert_eq!(closed.counts, counts);
    let acme = Scope::Customer(world.acme().await);
    let told = world.told(acme, EventKind::ReviewClosed).await;
    assert_eq!(told[0].fields["outcome"], "done");
    assert!(told[0].fields["detail"].contains("1 cut"), "{told:?}");
    assert_eq!(world.cut("root", id, tess.grant.id).await.problem(), ProblemType::Conflict, "it is closed");
    world.check().await;
    world.review("root").await.unwrap();
}

#[tokio::test]
async fn a_review_whose_time_is_over_closes_itself_and_says_what_is_undecided() {
    let world = World::new().await;
    let review = world.review("root").await.unwrap();
    let tess = line_of(&world.lines(review.id).await, "tess").grant.id;
    world.confirm("root", review.id, tess).await.unwrap();
    world.pass(review.ends_at.duration_since(world.now()) - seconds(1)).await;
    let acme = world.acme().await;
    world.open().review_due(acme, review.id).await.unwrap();
    assert!(world.told(Scope::Customer(acme), EventKind::ReviewClosed).await.is_empty(), "not by an early timer");
    world.clock.advance(seconds(1));
    assert_eq!(world.confirm("root", review.id, tess).await.problem(), ProblemType::Conflict, "it is over");
    world.step().await;
    let told = world.told(Scope::Customer(world.acme().await), EventKind::ReviewClosed).await;
    assert_eq!((told.len(), told[0].fields["outcome"].as_str()), (1, "lapsed"));
    assert!(told[0].fields["detail"].contains("1 confirmed, 0 cut"), "{told:?}");
    assert_eq!(told[0].fields["actor"], "system/review");
    world.check().await;
}

/// The lines are of whoever reaches the customer: also of those who reach everything, and not of another customer's own.
#[tokio::test]
async fn a_review_is_of_those_who_reach_the_customer() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let beta = NewCustomer { slug: part("beta"), display_name: "Beta".to_owned() };
    open.add_customer(&beta, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    for (name, customer) in [("msp", None), ("acme-own", Some("acme")), ("beta-own", Some("beta"))] {
        world.enrolled_of(name, customer).await;
        world.grant(name, Role::CustomerAuditor, GrantScope::Operator).await.unwrap();
    }
    world.enrolled("elsewhere").await;
    world.grant("elsewhere", Role::Technician, GrantScope::Customer(part("beta"))).await.unwrap();
    let lines = world.lines(world.review("root").await.unwrap().id).await;
    let reviewed = |name: &str| lines.iter().any(|line| line.grant.principal.as_str() == name);
    for (name, is) in [("msp", true), ("acme-own", true), ("beta-own", false), ("elsewhere", false), ("tess", true)] {
        assert_eq!(reviewed(name), is, "{name}");
    }
}

/// A login by password and code from a place.
async fn comes_in_from(world: &World, name: &str, place: &str) {
    let (open, source) = (world.open(), Some(place.parse().unwrap()));
    let asked = match open.login_user(&part(name), &secret(PASSWORD), source).await.unwrap() {
        LoginAnswer::SecondFactor(asked) => asked,
        LoginAnswer::Session(_) => panic!("{name} has no second factor"),
    };
    let proof = SecondFactor::Totp(world.code(name).await.disclose());
    open.login_second_factor(asked.challenge.secret(), &proof, source).await.unwrap();
}

/// How many rows a table holds, of every scope.
fn rows_of(world: &World, table: Table) -> usize {
    let rows = world.store.snapshot();
    rows.rows().filter(|(key, _)| RowId::from_key(key).unwrap().table() == table).count()
}

/// Each kind of row goes after its own time, no earlier, and nothing that is in use goes at all.
#[tokio::test]
async fn what_nobody_needs_is_erased_after_its_time_and_nothing_else() {
    let world = World::new().await;
    let conditions = Conditions { reveals_per_hour: Some(9), ..Conditions::default() };
    let limited = NewGrant {
        conditions,
        ttl_seconds: 86_400,
        ..new_grant("nina", Role::Technician, "acme/db1/app".parse().unwrap())
    };
    world.enrolled("nina").await;
    world.open().make_grant(&limited, &Once::none(), &world.root().await).await.unwrap();
    let nina = world.open().acting("nina").await;
    let held = world.check_out(&nina, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&nina, held.id).await.unwrap();
    world.check_in(&nina, held.id).await.unwrap();
    world.step().await;
    let tess = world.tess().await;
    let once = world.check_out(&tess, &of("dba"), &key("once")).await.unwrap().id;
    world.check_in(&tess, once).await.unwrap();
    drop(world.log_in("who-is-that", "wrong").await);
    drop(world.log_in("tom", "wrong").await);
    comes_in_from(&world, "nina", "192.0.2.7").await;
    let tokens = world.log_in("tess", PASSWORD).await.unwrap();
    world.open().refresh(tokens.refresh_token.unwrap().secret()).await.unwrap();
    let has = |table| rows_of(&world, table);
    let (sessions, tokens, rotations) = (has(Table::Sessions), has(Table::Tokens), has(Table::Rotations));
    assert!(sessions >= 5 && tokens > sessions && rotations == 1);
    assert!(has(Table::Idempotency) == 1 && has(Table::RevealTimes) == 1 && has(Table::LoginCounters) == 3);
    let leaves = has(Table::LogLeaves);

    days(&world, 1).await;
    assert_eq!((has(Table::Sessions), has(Table::RevealTimes)), (sessions, 1), "ended, and kept a day");
    days(&world, 1).await;
    world.check().await;
    assert_eq!((has(Table::Sessions), has(Table::RevealTimes)), (0, 0));
    assert_eq!(has(Table::Tokens), 1, "the program's own");
    assert_eq!((has(Table::Idempotency), has(Table::LoginCounters)), (1, 3));
    assert_eq!(world.check_out(&tess, &of("dba"), &key("once")).await.map(|made| made.id).ok(), Some(once));

    days(&world, 4).await;
    assert_eq!(has(Table::Idempotency), 1, "for 7 days");
    days(&world, 1).await;
    assert_eq!((has(Table::Idempotency), has(Table::LoginCounters)), (0, 3));
    days(&world, 22).await;
    assert_eq!(has(Table::LoginCounters), 3, "for 30 days");
    days(&world, 1).await;
    assert_eq!(has(Table::LoginCounters), 1, "a place that nina has come in from");
    world.check().await;
    days(&world, 59).await;
    assert_eq!(has(Table::LoginCounters), 1, "known for 90 days");
    days(&world, 1).await;
    assert_eq!((has(Table::LoginCounters), has(Table::Rotations)), (0, 1));
    days(&world, 309).await;
    assert_eq!(has(Table::Rotations), 1, "for an auditor, 400 days");
    days(&world, 1).await;
    assert_eq!(has(Table::Rotations), 0);
    assert!(has(Table::LogLeaves) > leaves, "no log is ever shortened");
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven, "its history stays");
    world.check().await;
}

/// A page that cannot be erased today is erased tomorrow; a crash in the middle leaves everything whole.
#[tokio::test]
async fn a_purge_that_fails_or_dies_is_done_again() {
    for n in 1..=3 {
        let mut world = World::new().await;
        world.clock.advance(seconds(2 * 86_400));
        world
            .store
            .set_faults(FaultPlan::commits_where(move |commit, _| (commit >= n).then_some(CommitFault::Refused)));
        world.step().await;
        world.store.set_faults(FaultPlan::none());
        world.check().await;
        world.crash(n).await;
        assert!(world.step().await.is_empty());
        world.check().await;
        days(&world, 1).await;
        assert_eq!(rows_of(&world, Table::Sessions), 0, "{n}");
        world.check().await;
    }
}
