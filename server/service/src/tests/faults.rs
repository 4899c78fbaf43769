//! Every use case with each of its commits failing on either side: the answer is true, a repeat has one effect, and
//! nothing is half done.
#![expect(clippy::wildcard_enum_match_arm, reason = "each function below is given the cases of its own area alone")]

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountChange, ChangePassword, CustomerChange, GrantScope, ImportRequest, ImportRow, NewCustomer,
    NewServiceAccount, NewSystem, NewTotp, NewUser, PrincipalKind, RevocationState, Role, SecondFactor as Factor,
    SystemChange, Tokens,
};
use claviger_api::{CheckoutId, RotationId, Scope, Secret};
use claviger_core::policy::{Act, Permit, Resource};
use claviger_crypto::{Random as _, Seeded, totp};
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::system::Happens;
use super::world::{
    Moment, PASSWORD, World, code_of, enrolling, key, may, new_grant, of, part, secret, spec, standing, waiting,
};
use crate::{Once, Origin, Result};

/// What a repeat of the same request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// It has a key, and answers as the first did.
    Keyed,
    /// It has a key, and its answer shows a secret once.
    ShownOnce,
    /// It has no key, and comes to the same, or finds that it is done.
    Same,
    /// It is another act each time.
    Another,
}

use Repeat::{Another, Keyed, Same, ShownOnce};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    AddCustomer,
    ChangeCustomer,
    RemoveCustomer,
    AddSystem,
    ChangeSystem,
    RemoveSystem,
    AddAccount,
    Import,
    ChangeAccount,
    RemoveAccount,
    SetSecret,
    Verify,
    Rotate,
    Cancel,
    AddUser,
    ReEnrol,
    Enrol,
    Suspend,
    Resume,
    RemoveUser,
    AddService,
    ReplaceToken,
    MakeGrant,
    RevokeGrant,
    LoginUser,
    LoginWrong,
    SecondFactor,
    WrongSecondFactor,
    StepUp,
    OfferTotp,
    ConfirmTotp,
    RemoveFactor,
    RecoveryCodes,
    ChangePassword,
    AskReEnrol,
    ConfirmReEnrol,
    LoginService,
    Refresh,
    Logout,
    CheckOut,
    Wait,
    CheckOutEphemeral,
    Reveal,
    Extend,
    CheckIn,
    Revoke,
    TakeOver,
    Export,
}

const CASES: [(Case, Repeat); 48] = [
    (Case::AddCustomer, Keyed),
    (Case::ChangeCustomer, Same),
    (Case::RemoveCustomer, Same),
    (Case::AddSystem, Keyed),
    (Case::ChangeSystem, Same),
    (Case::RemoveSystem, Same),
    (Case::AddAccount, Keyed),
    (Case::Import, Keyed),
    (Case::ChangeAccount, Same),
    (Case::RemoveAccount, Same),
    (Case::SetSecret, Keyed),
    (Case::Verify, Same),
    (Case::Rotate, Keyed),
    (Case::Cancel, Same),
    (Case::AddUser, ShownOnce),
    (Case::ReEnrol, Same),
    (Case::Enrol, Same),
    (Case::Suspend, Same),
    (Case::Resume, Same),
    (Case::RemoveUser, Same),
    (Case::AddService, ShownOnce),
    (Case::ReplaceToken, Same),
    (Case::MakeGrant, Keyed),
    (Case::RevokeGrant, Same),
    (Case::LoginUser, Another),
    (Case::LoginWrong, Another),
    (Case::SecondFactor, Another),
    (Case::WrongSecondFactor, Another),
    (Case::StepUp, Another),
    (Case::OfferTotp, Same),
    (Case::ConfirmTotp, Same),
    (Case::RemoveFactor, Same),
    (Case::RecoveryCodes, Same),
    (Case::ChangePassword, Another),
    (Case::AskReEnrol, Same),
    (Case::ConfirmReEnrol, ShownOnce),
    (Case::LoginService, Another),
    (Case::Refresh, Another),
    (Case::Logout, Same),
    (Case::CheckOut, Keyed),
    (Case::Wait, Keyed),
    (Case::CheckOutEphemeral, Keyed),
    (Case::Reveal, Same),
    (Case::Extend, Same),
    (Case::CheckIn, Keyed),
    (Case::Revoke, Keyed),
    (Case::TakeOver, Keyed),
    (Case::Export, Same),
];

/// A moment with something of everything, and the secrets that were shown on the way.
struct Setup {
    moment: Moment,
    held: CheckoutId,
    started: RotationId,
    bot: Secret,
    enrolment: Secret,
    session: Tokens,
    challenge: Secret,
    offered: Secret,
    recovery: Secret,
}

async fn setup() -> Setup {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let empty = NewCustomer { slug: part("empty"), display_name: "Empty".to_owned() };
    open.add_customer(&empty, &Once::none(), &root, operator(&world).await).await.unwrap();
    world.add_system("acme", "bare").await;
    for name in ["idle", "gone"] {
        world.add_account("acme", "db1", standing(name, name)).await.unwrap();
        world.system.add(name, name);
    }
    let bot = open.replace_token(&part("bot"), 86_400, &root, operator(&world).await).await.unwrap();
    let ina = NewUser { name: part("ina"), customer: None };
    let ina = open.add_user(&ina, &Once::none(), &root, operator(&world).await).await.unwrap();
    let session = world.log_in("tom", PASSWORD).await.unwrap();
    for name in ["ada", "ann"] {
        world.enrolled(name).await;
        world.grant(name, Role::Administrator, GrantScope::Operator).await.unwrap();
    }
    open.re_enrol(&part("ada"), &root, operator(&world).await).await.unwrap();
    let challenge = world.challenge("tess").await.challenge.into_secret();
    let caller = world.caller(&session).await.unwrap();
    world.add_app(&caller).await;
    let offered = open.offer_totp(&NewTotp { label: "tablet".to_owned() }, &caller).await.unwrap();
    let codes = open.new_recovery_codes(&Once::none(), &caller).await.unwrap();
    let started = world.rotate(&root, "idle").await.unwrap();
    let held = world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&world.tess().await, held.id).await.unwrap();
    world.check().await;
    Setup {
        moment: world.moment(),
        held: held.id,
        started: started.id,
        bot: bot.token.into_secret(),
        enrolment: ina.enrolment.into_secret(),
        session,
        challenge,
        offered: offered.secret.into_secret(),
        recovery: codes.recovery_codes.into_iter().next().unwrap().into_secret(),
    }
}

async fn operator<A: Act>(world: &World) -> Permit<A> {
    may(&world.open(), &world.root().await, Resource::Operator)
}

impl Setup {
    async fn act(&self, case: Case, world: &World) -> Result<()> {
        use Case as C;
        match case {
            C::AddCustomer | C::ChangeCustomer | C::RemoveCustomer => self.customers(case, world).await,
            C::AddSystem | C::ChangeSystem | C::RemoveSystem => self.systems(case, world).await,
            C::AddAccount | C::Import | C::ChangeAccount | C::RemoveAccount | C::SetSecret | C::Verify => {
                self.accounts(case, world).await
            }
            C::AddUser | C::ReEnrol | C::Enrol | C::Suspend | C::Resume | C::RemoveUser => {
                self.users(case, world).await
            }
            C::AddService | C::ReplaceToken | C::MakeGrant | C::RevokeGrant | C::Rotate | C::Cancel => {
                self.programs(case, world).await
            }
            C::LoginUser | C::LoginWrong | C::LoginService | C::Refresh | C::Logout => self.sessions(case, world).await,
            C::SecondFactor
            | C::WrongSecondFactor
            | C::StepUp
            | C::OfferTotp
            | C::ConfirmTotp
            | C::RemoveFactor
            | C::RecoveryCodes
            | C::ChangePassword
            | C::AskReEnrol
            | C::ConfirmReEnrol => self.factors(case, world).await,
            C::CheckOut
            | C::Wait
            | C::CheckOutEphemeral
            | C::Reveal
            | C::Extend
            | C::CheckIn
            | C::Revoke
            | C::TakeOver
            | C::Export => self.checkouts(case, world).await,
        }
    }

    async fn customers(&self, case: Case, world: &World) -> Result<()> {
        let (open, root, once) = (world.open(), world.root().await, key("k"));
        if case == Case::AddCustomer {
            let new = NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
            let made = open.add_customer(&new, &once, &root, operator(world).await).await?;
            // It can be used at once.
            return open.subject_key(Scope::Customer(made.id), root.id).await.map(drop);
        }
        let empty = open.customer_named(&part("empty")).await?;
        if case == Case::ChangeCustomer {
            let change = CustomerChange { display_name: Some("Void".to_owned()), ..CustomerChange::default() };
            return open
                .change_customer(empty, &change, &root, may(&open, &root, Resource::Customer(empty)))
                .await
                .map(drop);
        }
        open.remove_customer(empty, &root, may(&open, &root, Resource::Customer(empty))).await
    }

    async fn systems(&self, case: Case, world: &World) -> Result<()> {
        let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
        if case == Case::AddSystem {
            let new = NewSystem { name: part("db2"), spec: spec(), management_account: None };
            let permit = may(&open, &root, Resource::Customer(acme));
            return open.add_system(acme, &new, &key("k"), &root, permit).await.map(drop);
        }
        let bare = open.system_named(acme, &part("bare")).await?;
        if case == Case::ChangeSystem {
            let change =
                SystemChange { spec: Some(spec()), management_account: Some(part("admin")), rotation_policy: None };
            let permit = may(&open, &root, Resource::System(acme, bare));
            return open.change_system(acme, bare, &change, &root, permit).await.map(drop);
        }
        open.remove_system(acme, bare, &root, may(&open, &root, Resource::System(acme, bare))).await
    }

    async fn accounts(&self, case: Case, world: &World) -> Result<()> {
        let (open, root, acme, once) = (world.open(), world.root().await, world.acme().await, key("k"));
        let db1 = open.system_named(acme, &part("db1")).await?;
        if case == Case::AddAccount {
            let permit = may(&open, &root, Resource::System(acme, db1));
            return open.add_account(acme, db1, standing("new", "new"), &once, &root, permit).await.map(drop);
        }
        if case == Case::Import {
            let row = |line, account| ImportRow {
                line,
                system: part("db1"),
                account: part(account),
                login: None,
                secret: secret("imported").disclose(),
                sensitive: false,
                tier: None,
            };
            let request = ImportRequest { rows: vec![row(1, "one"), row(2, "two"), row(3, "three")] };
            return open
                .import(acme, &request, &once, &root, may(&open, &root, Resource::Customer(acme)))
                .await
                .map(drop);
        }
        let place = open.place(&super::world::path("acme/db1/gone")).await?;
        let at = place.resource();
        match case {
            Case::ChangeAccount => {
                let change = AccountChange { max_holders: Some(3), ..AccountChange::default() };
                open.change_account(place, &change, &root, may(&open, &root, at)).await.map(drop)
            }
            Case::SetSecret => {
                open.set_secret(place, &secret("gone"), &once, &root, may(&open, &root, at)).await.map(drop)
            }
            Case::Verify => open.verify_account(place, &root, may(&open, &root, at)).await.map(drop),
            _ => open.remove_account(place, &root, may(&open, &root, at)).await,
        }
    }

    async fn users(&self, case: Case, world: &World) -> Result<()> {
        let (open, root) = (world.open(), world.root().await);
        let (tom, user) = (part("tom"), PrincipalKind::User);
        match case {
            Case::AddUser => {
                let new = NewUser { name: part("eve"), customer: None };
                open.add_user(&new, &key("k"), &root, operator(world).await).await.map(drop)
            }
            Case::Enrol => open.enrol(enrolling("ina", &self.enrolment, PASSWORD), None).await.map(drop),
            Case::ReEnrol => open.re_enrol(&part("ina"), &root, operator(world).await).await.map(drop),
            Case::RemoveUser => open.remove_principal(&tom, user, &root, operator(world).await).await,
            _ => open.suspend(&tom, user, case == Case::Suspend, &root, operator(world).await).await.map(drop),
        }
    }

    async fn programs(&self, case: Case, world: &World) -> Result<()> {
        let (open, root, once) = (world.open(), world.root().await, key("k"));
        match case {
            Case::AddService => {
                let new = NewServiceAccount::with_token(part("cron"), 3600);
                open.add_service_account(&new, &once, &root, operator(world).await).await.map(drop)
            }
            Case::ReplaceToken => open.replace_token(&part("bot"), 3600, &root, operator(world).await).await.map(drop),
            Case::MakeGrant => {
                let new = new_grant("ina", Role::Technician, GrantScope::System(part("acme"), part("db1")));
                open.make_grant(&new, &once, &root).await.map(drop)
            }
            Case::RevokeGrant => {
                let tess = world.tess().await.powers.grants.first().map(|grant| grant.id);
                let Some(grant) = tess else { return Ok(()) };
                open.revoke_grant(grant, &root, operator(world).await).await
            }
            Case::Rotate => {
                let place = world.place("gone").await;
                open.rotate(place, Some("why not"), &once, &root, may(&open, &root, place.resource())).await.map(drop)
            }
            _ => {
                let found = open.find_rotation(self.started).await?;
                open.cancel_rotation(&found, &root, may(&open, &root, found.resource())).await.map(drop)
            }
        }
    }

    async fn sessions(&self, case: Case, world: &World) -> Result<()> {
        let open = world.open();
        match case {
            Case::LoginUser => open.login_user(&part("tom"), &secret(PASSWORD), None).await.map(drop),
            Case::LoginWrong => match open.login_user(&part("tom"), &secret("wrong"), None).await {
                Err(error) if error.problem == ProblemType::InvalidCredentials => Ok(()),
                answer => answer.map(drop),
            },
            Case::LoginService => open.login_by_token(&self.bot, &Origin::default()).await.map(drop),
            Case::Refresh => open.refresh(self.session.refresh_token.as_ref().unwrap().secret()).await.map(drop),
            _ => open.logout(&world.caller(&self.session).await?).await,
        }
    }

    async fn factors(&self, case: Case, world: &World) -> Result<()> {
        let (open, root, once) = (world.open(), world.root().await, key("k"));
        let tom = async || world.caller(&self.session).await;
        let totp = async |name: &str| Factor::Totp(world.code(name).await.disclose());
        match case {
            Case::SecondFactor => open.login_second_factor(&self.challenge, &totp("tess").await, None).await.map(drop),
            Case::WrongSecondFactor => {
                let wrong = Factor::Totp(secret("no code").disclose());
                match open.login_second_factor(&self.challenge, &wrong, None).await {
                    Err(error) if error.problem == ProblemType::InvalidCredentials => Ok(()),
                    answer => answer.map(drop),
                }
            }
            Case::StepUp => {
                let code = Factor::RecoveryCode(self.recovery.duplicate().disclose());
                open.step_up(&code, &tom().await?).await.map(drop)
            }
            Case::OfferTotp => open.offer_totp(&NewTotp { label: "x".to_owned() }, &tom().await?).await.map(drop),
            Case::ConfirmTotp => {
                let code = code_of(&self.offered, totp::step(world.now()));
                open.confirm_totp(&code, &once, &tom().await?).await.map(drop)
            }
            Case::RemoveFactor => {
                let tom = tom().await?;
                let last = open.factors(&tom).await?.factors.into_iter().nth(1);
                let Some(last) = last else { return Ok(()) };
                open.remove_factor(last.id, &tom).await
            }
            Case::RecoveryCodes => open.new_recovery_codes(&once, &tom().await?).await.map(drop),
            Case::ChangePassword => {
                let change = ChangePassword {
                    old_password: secret(PASSWORD).disclose(),
                    new_password: secret("seven lanterns drift north").disclose(),
                };
                open.change_password(change, &tom().await?).await
            }
            Case::AskReEnrol => open.re_enrol(&part("tess"), &root, operator(world).await).await.map(drop),
            _ => {
                let ann = open.acting("ann").await;
                let permit = may(&open, &ann, Resource::Operator);
                open.confirm_re_enrol(&part("ada"), &once, &ann, permit).await.map(drop)
            }
        }
    }

    async fn checkouts(&self, case: Case, world: &World) -> Result<()> {
        let (open, tess, tom, root) = (world.open(), world.tess().await, world.tom().await, world.root().await);
        let (once, held) = (key("k"), self.held);
        match case {
            Case::CheckOut => world.check_out(&tom, &of("gone"), &once).await.map(drop),
            Case::Wait => world.check_out(&tom, &waiting("app"), &once).await.map(drop),
            Case::CheckOutEphemeral => world.check_out(&tom, &of("temp"), &once).await.map(drop),
            Case::Reveal => world.reveal(&tess, held).await.map(drop),
            Case::Extend => world.extend(&tess, held, 7200).await.map(drop),
            Case::CheckIn => {
                let (found, permit) = world.found(&tess, held).await?;
                open.check_in(&found, &once, &tess, permit).await.map(drop)
            }
            Case::Revoke => {
                let (found, permit) = world.found(&root, held).await?;
                open.revoke(&found, "a reason", &once, &root, permit).await.map(drop)
            }
            Case::TakeOver => {
                let (found, permit) = world.found(&tom, held).await?;
                open.take_over(&found, "a reason", &once, &tom, permit).await.map(drop)
            }
            _ => open.export(Scope::Operator, 0, &root, operator(world).await).await.map(drop),
        }
    }
}

/// The answer of one commit that fails: done, or not, and nothing between.
fn assert_true(case: Case, fault: CommitFault, answer: &Result<()>) {
    match fault {
        CommitFault::UnknownApplied => assert!(answer.is_ok(), "{case:?}: it was stored, and the answer {answer:?}"),
        CommitFault::Refused | CommitFault::UnknownNotApplied => {
            let problem = answer.as_ref().err().map(|error| error.problem);
            assert_eq!(problem, Some(ProblemType::Unavailable), "{case:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn every_use_case_survives_each_of_its_commits_failing_on_either_side() {
    let setup = setup().await;
    for (case, repeat) in CASES {
        let world = World::at(&setup.moment, 0).await;
        let before = world.census();
        world.store.set_faults(FaultPlan::none());
        setup.act(case, &world).await.unwrap_or_else(|error| panic!("{case:?}: {error:?}"));
        let (commits, after) = (world.store.commits(), world.census());
        assert!(commits >= 1, "{case:?} changes something");
        world.check().await;
        repeated(&setup, case, repeat, &world, &after).await;
        for n in 1..=commits {
            for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
                let world = World::at(&setup.moment, n).await;
                world.store.set_faults(FaultPlan::nth_commit(n, fault));
                let answer = setup.act(case, &world).await;
                world.store.set_faults(FaultPlan::none());
                assert_true(case, fault, &answer);
                world.check().await;
                if commits == 1 {
                    let wanted = if answer.is_ok() { &after } else { &before };
                    assert_eq!(&world.census(), wanted, "{case:?} {fault:?}");
                }
                if repeat != Another {
                    repeated(&setup, case, repeat, &world, &after).await;
                }
            }
        }
    }
}

/// The store fails for ever, and says nothing of what it did: the answer is that nobody knows.
#[tokio::test]
async fn what_nobody_can_know_is_answered_so_and_a_repeat_tells() {
    let setup = setup().await;
    for (case, repeat) in CASES {
        let reference = World::at(&setup.moment, 0).await;
        setup.act(case, &reference).await.unwrap();
        let after = reference.census();
        for fault in [CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
            let world = World::at(&setup.moment, 1).await;
            // The first commit is lost, and so is each fence; a fence that is stored settles it.
            let first = move |n, _: &_| Some(if n == 1 { fault } else { CommitFault::Refused });
            world.store.set_faults(FaultPlan::commits_where(first));
            let answer = setup.act(case, &world).await;
            world.store.set_faults(FaultPlan::none());
            if fault == CommitFault::UnknownNotApplied {
                let problem = answer.as_ref().err().map(|error| error.problem);
                assert_eq!(problem, Some(ProblemType::OutcomeUnknown), "{case:?}");
            }
            world.check().await;
            if repeat != Another {
                repeated(&setup, case, repeat, &world, &after).await;
            }
        }
    }
}

async fn repeated(setup: &Setup, case: Case, repeat: Repeat, world: &World, after: &[(claviger_store::Table, usize)]) {
    let was_done = world.census() == after;
    let answer = setup.act(case, world).await;
    match repeat {
        Keyed => assert!(answer.is_ok(), "{case:?} repeated: {answer:?}"),
        ShownOnce if was_done => {
            assert_eq!(answer.err().map(|error| error.problem), Some(ProblemType::AlreadyIssued), "{case:?}");
        }
        ShownOnce | Same | Another => {}
    }
    if repeat != Another {
        assert_eq!(world.census(), after, "{case:?} repeated has another effect");
    }
    world.check().await;
}

/// A long random life: people, workers, a system that misbehaves, a store that fails, crashes.
#[tokio::test]
async fn a_long_random_life_leaves_everything_whole() {
    for seed in 0..3 {
        let mut world = World::new().await;
        let dice = Seeded::new(seed);
        let roll = |sides: u8| {
            let mut byte = [0];
            dice.fill(&mut byte);
            byte[0] % sides
        };
        let mut held: Vec<(u8, CheckoutId)> = Vec::new();
        for round in 0..120_u64 {
            let faults = Seeded::new(seed * 1000 + round);
            world.store.set_faults(FaultPlan::commits_where(move |_, _| {
                let mut byte = [0];
                faults.fill(&mut byte);
                match byte[0] {
                    0..12 => Some(CommitFault::Refused),
                    12..24 => Some(CommitFault::UnknownApplied),
                    24..36 => Some(CommitFault::UnknownNotApplied),
                    _ => None,
                }
            }));
            if roll(4) == 0 {
                let odd = [Happens::AppliedReplyLost, Happens::NotAppliedReplyLost, Happens::RefusedByPolicy];
                world.system.next([odd[usize::from(roll(3))]]);
            }
            random_act(&world, &roll, &mut held).await;
            if roll(2) == 0 {
                world.step().await;
            }
            if roll(3) == 0 {
                world.clock.advance(SignedDuration::from_mins(i64::from(roll(40))));
            }
            if roll(30) == 0 {
                world.crash(round).await;
            }
            world.store.set_faults(FaultPlan::none());
            if round % 10 == 0 {
                world.check().await;
            }
        }
        world.store.set_faults(FaultPlan::none());
        world.system.machine().script.clear();
        world.pass(SignedDuration::from_hours(30)).await;
        world.check().await;
        for (_, id) in held {
            let checkout = world.view(id).await;
            let revocation = checkout.revocation.unwrap().state;
            assert!(
                matches!(revocation, RevocationState::Proven | RevocationState::NotNeeded),
                "seed {seed}: {revocation:?} after a day"
            );
        }
    }
}

async fn random_act(world: &World, roll: &impl Fn(u8) -> u8, held: &mut Vec<(u8, CheckoutId)>) {
    let people = [world.tess().await, world.tom().await, world.bot().await];
    let one = |held: &[(u8, CheckoutId)]| held.get(usize::from(roll(250)) % held.len().max(1)).copied();
    match roll(10) {
        0..4 => {
            let account = ["app", "shared", "temp", "dba"][usize::from(roll(4))];
            let new = if roll(2) == 0 { of(account) } else { waiting(account) };
            let who = roll(3);
            let made = world.check_out(&people[usize::from(who)], &new, &Once::none()).await;
            held.extend(made.ok().map(|made| (who, made.id)));
        }
        4..7 => {
            let Some((who, id)) = one(held) else { return };
            drop(world.reveal(&people[usize::from(who)], id).await);
        }
        7 => {
            let Some((who, id)) = one(held) else { return };
            drop(world.check_in(&people[usize::from(who)], id).await);
        }
        8 => {
            let Some((_, id)) = one(held) else { return };
            let taken = world.take_over(&people[1], id).await;
            held.extend(taken.ok().map(|taken| (1, taken.id)));
        }
        _ => drop(world.rotate(&world.root().await, "app").await),
    }
}
