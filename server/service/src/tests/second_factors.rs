//! Second factors: nobody gets in without one, none is taken twice, and nobody takes one away alone.

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    ChangePassword, Enrolment, FactorKind, GrantScope, LoginAnswer, NewTotp, NewUser, PrincipalState, Role,
    SecondFactor, Tokens,
};
use claviger_api::{Scope, Secret};
use claviger_core::policy::{Act, Permit, PrincipalManage, Resource};
use claviger_crypto::totp;
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{Row, RowId};
use futures::future::join_all;
use jiff::SignedDuration;

use super::world::{PASSWORD, Refused as _, World, code_of, enrolling, key, may, part, seconds, secret};
use crate::identity::login::{FAILURES_MOST, LOCKOUT};
use crate::records::{FactorsRecord, PrincipalRecord};
use crate::{Caller, Once, Result};

const ANOTHER: &str = "seven lanterns drift north";

fn totp_of(code: &str) -> SecondFactor {
    SecondFactor::Totp(secret(code).disclose())
}

fn recovery(code: &Secret) -> SecondFactor {
    SecondFactor::RecoveryCode(code.duplicate().disclose())
}

async fn prove(world: &World, challenge: &Secret, proof: SecondFactor) -> Result<Tokens> {
    world.open().login_second_factor(challenge, &proof, None).await
}

async fn challenge(world: &World, name: &str) -> Secret {
    world.challenge(name).await.challenge.into_secret()
}

async fn in_session(world: &World, name: &str) -> Caller {
    world.caller(&world.log_in(name, PASSWORD).await.unwrap()).await.unwrap()
}

fn operator<A: Act>(world: &World, caller: &Caller) -> Permit<A> {
    may(&world.open(), caller, Resource::Operator)
}

async fn invited(world: &World, name: &str) -> Enrolment {
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part(name), customer: None };
    open.add_user(&new, &Once::none(), &root, operator(world, &root)).await.unwrap()
}

async fn factors_row(world: &World, name: &str) -> RowId {
    RowId::factors(world.open().principal_named(&part(name)).await.unwrap().value.id)
}

#[tokio::test]
async fn a_first_login_can_do_nothing_but_enrol_a_second_factor() {
    let world = World::new().await;
    let open = world.open();
    let made = invited(&world, "ina").await;
    world.grant("ina", Role::Administrator, GrantScope::Operator).await.unwrap();
    let tokens = open.enrol(enrolling("ina", made.enrolment.secret(), PASSWORD), None).await.unwrap();
    assert!(tokens.may_only_enrol);
    let ina = world.caller(&tokens).await.unwrap();
    assert!(ina.may_only_enrol());
    let refused = open.permit::<PrincipalManage>(&ina, &Resource::Operator).await;
    assert_eq!(refused.problem(), ProblemType::SecondFactorNeeded);
    assert!(open.me(&ina).await.unwrap().may_only_enrol);
    assert_eq!(open.new_recovery_codes(&Once::none(), &ina).await.problem(), ProblemType::SecondFactorNeeded);
    assert_eq!(open.step_up(&totp_of("123456"), &ina).await.problem(), ProblemType::SecondFactorNeeded);

    // The password alone brings no more than that either.
    let LoginAnswer::Session(again) = open.login_user(&part("ina"), &secret(PASSWORD), None).await.unwrap() else {
        panic!("there is no second factor yet");
    };
    assert!(again.may_only_enrol);

    let confirmed = world.add_app(&ina).await;
    assert_eq!(confirmed.recovery_codes.len(), 10);
    let ina = world.caller(&tokens).await.unwrap();
    assert!(!ina.may_only_enrol() && ina.has_fresh_factor(world.now()), "the same session is a full one");
    assert!(open.permit::<PrincipalManage>(&ina, &Resource::Operator).await.is_ok());
    let other = world.caller(&again).await.unwrap();
    assert!(other.may_only_enrol(), "and no other");
    let new = NewTotp { label: "mine".to_owned() };
    assert_eq!(open.offer_totp(&new, &other).await.problem(), ProblemType::FreshFactorNeeded, "nor may it add one now");
    world.check().await;
}

#[tokio::test]
async fn a_session_that_may_only_enrol_lives_an_hour_however_often_it_is_renewed() {
    let world = World::new().await;
    let made = invited(&world, "ina").await;
    let mut tokens = world.open().enrol(enrolling("ina", made.enrolment.secret(), PASSWORD), None).await.unwrap();
    for _ in 0..6 {
        world.clock.advance(SignedDuration::from_mins(10) - seconds(1));
        tokens = world.open().refresh(tokens.refresh_token.unwrap().secret()).await.unwrap();
        assert!(tokens.may_only_enrol);
    }
    world.clock.advance(seconds(6));
    assert_eq!(world.caller(&tokens).await.problem(), ProblemType::SessionEnded);
    assert_eq!(world.open().refresh(tokens.refresh_token.unwrap().secret()).await.problem(), ProblemType::SessionEnded);
}

#[tokio::test]
async fn a_password_gives_a_challenge_that_is_good_once_and_for_five_minutes() {
    let world = World::new().await;
    let asked = world.challenge("tess").await;
    assert_eq!(asked.factors, [FactorKind::Totp, FactorKind::RecoveryCode]);
    let code = || async { totp_of(world.code("tess").await.expose()) };
    let asked = asked.challenge.into_secret();
    let tokens = prove(&world, &asked, code().await).await.unwrap();
    let tess = world.caller(&tokens).await.unwrap();
    assert!(tess.has_fresh_factor(world.now()) && !tokens.may_only_enrol);
    assert_eq!(prove(&world, &asked, code().await).await.problem(), ProblemType::InvalidCredentials, "used up");

    let late = challenge(&world, "tess").await;
    world.clock.advance(seconds(300));
    assert_eq!(prove(&world, &late, code().await).await.problem(), ProblemType::InvalidCredentials, "too late");
    for nonsense in ["cvc_nonsense", tokens.access_token.secret().expose()] {
        let refused = prove(&world, &secret(nonsense), code().await).await;
        assert_eq!(refused.problem(), ProblemType::InvalidCredentials);
    }
    // Whoever logs in again and again leaves four behind.
    let first = challenge(&world, "tess").await;
    for _ in 0..4 {
        challenge(&world, "tess").await;
    }
    assert_eq!(prove(&world, &first, code().await).await.problem(), ProblemType::InvalidCredentials);
    world.check().await;
}

#[tokio::test]
async fn a_challenge_ends_with_what_ends_its_users_sessions() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let asked = challenge(&world, "tess").await;
    for suspended in [true, false] {
        let permit = operator(&world, &root);
        let user = claviger_api::wire::PrincipalKind::User;
        open.suspend(&part("tess"), user, suspended, &root, permit).await.unwrap();
        let code = totp_of(world.code("tess").await.expose());
        assert_eq!(prove(&world, &asked, code).await.problem(), ProblemType::InvalidCredentials);
    }
    assert!(world.log_in("tess", PASSWORD).await.is_ok());
    world.check().await;
}

#[tokio::test]
async fn anvil_totp_reuse_each_step_is_taken_once_and_none_before_it() {
    let mut world = World::new().await;
    let step = totp::step(world.now());
    let record = world.open().read::<FactorsRecord>(&factors_row(&world, "tess").await).await.unwrap().unwrap().value;
    let app = record.totp.first().unwrap().secret.clone();
    let shown = |step| totp_of(&totp::code(&app, step).unwrap());
    let asked = challenge(&world, "tess").await;
    for (step, why) in [(step - 1, "used to confirm it"), (step - 2, "too old"), (step + 2, "too early")] {
        assert_eq!(prove(&world, &asked, shown(step)).await.problem(), ProblemType::InvalidCredentials, "{why}");
    }
    prove(&world, &asked, shown(step)).await.unwrap();
    for seed in 0..2 {
        let asked = challenge(&world, "tess").await;
        assert_eq!(prove(&world, &asked, shown(step)).await.problem(), ProblemType::InvalidCredentials, "used");
        world.crash(seed).await;
    }
    let asked = challenge(&world, "tess").await;
    prove(&world, &asked, shown(step + 1)).await.unwrap();
    let tess = world.tess().await;
    assert_eq!(world.open().step_up(&shown(step + 1), &tess).await.problem(), ProblemType::InvalidCredentials);
    world.check().await;
}

/// The same code in two logins at once: one of them gets in.
#[tokio::test]
async fn anvil_totp_reuse_a_code_in_two_logins_at_once_opens_one() {
    let world = World::new().await;
    let code = world.code("tess").await;
    let asked = [challenge(&world, "tess").await, challenge(&world, "tess").await];
    let both = join_all(asked.iter().map(|asked| prove(&world, asked, totp_of(code.expose())))).await;
    assert_eq!(both.iter().filter(|answer| answer.is_ok()).count(), 1);
    world.check().await;
}

/// What does not even look like a code is an attempt like any other, counted in the same counter as passwords.
#[tokio::test]
async fn anvil_totp_reuse_attempts_are_counted_whatever_they_look_like() {
    let mut world = World::new().await;
    let code = world.code("tess").await;
    let asked = challenge(&world, "tess").await;
    let forms = [" {}", "{} ", "{}\n", "+{}", "0{}", "{}\u{200b}", "x", "１２３４５６"];
    for (n, form) in forms.iter().enumerate() {
        let wrong = totp_of(&form.replace("{}", code.expose()));
        let commits = world.store.commits();
        assert_eq!(prove(&world, &asked, wrong).await.problem(), ProblemType::InvalidCredentials, "{form:?}");
        assert_eq!(world.store.commits(), commits + 1, "{form:?}: counted, and told");
        if n == 4 {
            world.crash(7).await;
        }
    }
    // A right password forgets no failures: only both factors together do.
    challenge(&world, "tess").await;
    let no_code = SecondFactor::RecoveryCode(secret("not one at all").disclose());
    assert_eq!(prove(&world, &asked, no_code).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(world.log_in("tess", "wrong").await.problem(), ProblemType::InvalidCredentials);
    let right = totp_of(code.expose());
    assert_eq!(prove(&world, &asked, right).await.problem(), ProblemType::InvalidCredentials, "locked out by now");
    let locked = world.open().login_user(&part("tess"), &secret(PASSWORD), None).await;
    assert_eq!(locked.problem(), ProblemType::InvalidCredentials);
    world.clock.advance(LOCKOUT);
    assert!(world.log_in("tess", PASSWORD).await.is_ok());
    world.check().await;

    let wrong = challenge(&world, "tess").await;
    world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    let uncounted = prove(&world, &wrong, totp_of("000000")).await;
    assert_eq!(uncounted.problem(), ProblemType::Unavailable, "what cannot be counted is not answered");
}

#[tokio::test]
async fn a_crowd_of_guessed_codes_is_counted_one_by_one() {
    let world = World::new().await;
    let asked = challenge(&world, "tess").await;
    let wrong = join_all((0..FAILURES_MOST).map(|n| prove(&world, &asked, totp_of(&format!("{n:06}"))))).await;
    assert!(wrong.into_iter().all(|answer| answer.problem() == ProblemType::InvalidCredentials));
    // The budget is spent: a code that is right and that nobody has shown yet opens nothing.
    let unused = world.code("tess").await;
    assert_eq!(prove(&world, &asked, totp_of(unused.expose())).await.problem(), ProblemType::InvalidCredentials);
    world.clock.advance(LOCKOUT);
    let unused = world.code("tess").await;
    let asked = challenge(&world, "tess").await;
    assert!(prove(&world, &asked, totp_of(unused.expose())).await.is_ok(), "it was the budget alone");
    world.check().await;
}

/// Guessing in a session counts like guessing at the door.
#[tokio::test]
async fn a_wrong_step_up_is_counted_and_locks_out() {
    let world = World::new().await;
    let tess = in_session(&world, "tess").await;
    for _ in 0..FAILURES_MOST {
        assert_eq!(world.open().step_up(&totp_of("000000"), &tess).await.problem(), ProblemType::InvalidCredentials);
    }
    let code = totp_of(world.code("tess").await.expose());
    assert_eq!(world.open().step_up(&code, &tess).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(world.log_in("tess", PASSWORD).await.problem(), ProblemType::InvalidCredentials);
    world.check().await;
}

/// The factors are gone, damaged, swapped or cannot be read: nobody gets in, and nobody gets in as one without factors.
#[tokio::test]
async fn anvil_mfa_fail_open_what_cannot_be_verified_lets_nobody_in() {
    let mut world = World::new().await;
    let row = factors_row(&world, "tess").await;
    let rows = world.store.snapshot();
    let stored = rows.row(&row.to_key()).unwrap().clone();
    let foreign = rows.row(&factors_row(&world, "tom").await.to_key()).unwrap().clone();
    let asked = challenge(&world, "tess").await;
    let code = world.code("tess").await;
    let asked_rows = world.store.snapshot();
    let mut bytes = stored.value.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let flipped = Row { value: bytes.into(), ..stored.clone() };
    for (n, damaged) in [None, Some(foreign), Some(flipped)].into_iter().enumerate() {
        world.store.restore(asked_rows.clone().with(row.to_key(), damaged));
        world.crash(n as u64).await;
        let login = world.open().login_user(&part("tess"), &secret(PASSWORD), None).await;
        assert_eq!(login.problem(), ProblemType::Unavailable, "{n}");
        let proven = prove(&world, &asked, totp_of(code.expose())).await;
        assert_eq!(proven.problem(), ProblemType::Unavailable, "{n}");
        let tess = world.tess().await;
        assert_eq!(world.open().step_up(&totp_of(code.expose()), &tess).await.problem(), ProblemType::Unavailable);
        let new = NewTotp { label: "mine".to_owned() };
        assert_eq!(world.open().offer_totp(&new, &tess).await.problem(), ProblemType::Unavailable, "{n}");
        let wrong = world.open().login_user(&part("tess"), &secret("wrong"), None).await;
        assert_eq!(wrong.problem(), ProblemType::InvalidCredentials, "who does not know the password learns nothing");
    }
    world.store.restore(asked_rows);
    world.crash(9).await;
    assert!(prove(&world, &asked, totp_of(code.expose())).await.is_ok(), "it was the row alone");
}

/// A secret that is none, in a row that opens well.
#[tokio::test]
async fn anvil_mfa_fail_open_a_damaged_secret_verifies_nothing() {
    let world = World::new().await;
    let open = world.open();
    let row = open.read::<FactorsRecord>(&factors_row(&world, "tess").await).await.unwrap().unwrap();
    let mut damaged = row.value.clone();
    damaged.totp.first_mut().unwrap().secret.clear();
    let event = open.automatic(Scope::Operator, claviger_api::audit::kind::EventKind::LogRead, "a test");
    open.commit(open.change(event).update(&row, &damaged).unwrap()).await.unwrap();
    let asked = challenge(&world, "tess").await;
    assert_eq!(prove(&world, &asked, totp_of("328482")).await.problem(), ProblemType::Unavailable);
}

/// Re-enrolment where there is a second factor wants another person, and each of the two holds but half of it.
#[tokio::test]
async fn anvil_mfa_fail_open_re_enrolment_needs_another_person() {
    let world = World::new().await;
    let open = world.open();
    for name in ["ada", "ann"] {
        world.enrolled(name).await;
        world.grant(name, Role::Administrator, GrantScope::Operator).await.unwrap();
    }
    let (ada, ann) = (open.acting("ada").await, open.acting("ann").await);
    let session = world.log_in("tess", PASSWORD).await.unwrap();
    let ask = async |by: &Caller| open.re_enrol(&part("tess"), by, operator(&world, by)).await;
    let confirm =
        async |by: &Caller| open.confirm_re_enrol(&part("tess"), &Once::none(), by, operator(&world, by)).await;
    let enrol = async |first: &Secret, second: Option<&Secret>| {
        let confirmation = second.map(|code| code.duplicate().disclose());
        let request = claviger_api::wire::EnrolRequest { confirmation, ..enrolling("tess", first, ANOTHER) };
        open.enrol(request, None).await
    };
    assert_eq!(confirm(&ann).await.problem(), ProblemType::NotFound, "nobody asked");
    let first = ask(&ada).await.unwrap();
    assert!(first.needs_confirmation);
    let first = first.enrolment.into_secret();
    assert_eq!(enrol(&first, None).await.problem(), ProblemType::InvalidCredentials, "it is good for nothing yet");
    assert!(world.caller(&session).await.is_ok(), "and nothing has changed");
    let waits = open.me(&world.caller(&session).await.unwrap()).await.unwrap().re_enrolment.unwrap();
    assert_eq!(waits.asked_by, part("ada"), "its user is told");
    assert_eq!(confirm(&ada).await.problem(), ProblemType::Forbidden, "who asked does not confirm");
    world.grant("tess", Role::Administrator, GrantScope::Operator).await.unwrap();
    assert_eq!(confirm(&world.tess().await).await.problem(), ProblemType::Forbidden, "nor whom it is about");
    assert_eq!(ask(&world.tess().await).await.problem(), ProblemType::InUse, "nor does anybody ask for themselves");
    world.check().await;

    let second = confirm(&ann).await.unwrap();
    assert_eq!(second.user.state, PrincipalState::Invited);
    let second = second.enrolment.into_secret();
    assert_eq!(world.caller(&session).await.problem(), ProblemType::SessionEnded);
    assert_eq!(
        open.login_user(&part("tess"), &secret(PASSWORD), None).await.problem(),
        ProblemType::InvalidCredentials
    );
    assert_eq!(confirm(&ann).await.problem(), ProblemType::NotFound, "once");
    for (one, other) in [(&first, None), (&second, None), (&second, Some(&first)), (&first, Some(&first))] {
        let alone = enrol(one, other).await;
        assert_eq!(alone.problem(), ProblemType::InvalidCredentials, "neither of the two can be Tess alone");
    }
    world.check().await;
    let tokens = enrol(&first, Some(&second)).await.unwrap();
    let tess = world.caller(&tokens).await.unwrap();
    assert!(tess.may_only_enrol(), "with no second factor but the one that is enrolled now");
    let reset = open.me(&tess).await.unwrap().factors_reset.unwrap();
    assert_eq!((reset.asked_by, reset.confirmed_by), (part("ada"), Some(part("ann"))), "its user is told by whom");
    world.add_app(&tess).await;
    assert!(world.log_in("tess", ANOTHER).await.is_ok());
    world.check().await;
}

#[tokio::test]
async fn a_re_enrolment_lapses_and_ends_with_who_asked_for_it() {
    let world = World::new().await;
    let open = world.open();
    for name in ["ada", "ann"] {
        world.enrolled(name).await;
        world.grant(name, Role::Administrator, GrantScope::Operator).await.unwrap();
    }
    let (ada, ann, root) = (open.acting("ada").await, open.acting("ann").await, world.root().await);
    let ask = async || open.re_enrol(&part("tess"), &ada, operator(&world, &ada)).await.unwrap();
    let confirm =
        async || open.confirm_re_enrol(&part("tess"), &key("k"), &ann, operator(&world, &ann)).await.map(drop);
    ask().await;
    world.clock.advance(SignedDuration::from_hours(72));
    assert_eq!(confirm().await.problem(), ProblemType::NotFound);
    ask().await;
    let user = claviger_api::wire::PrincipalKind::User;
    open.suspend(&part("ada"), user, true, &root, operator(&world, &root)).await.unwrap();
    assert_eq!(confirm().await.problem(), ProblemType::NotFound, "a suspended administrator's wish is none");
    open.suspend(&part("ada"), user, false, &root, operator(&world, &root)).await.unwrap();
    confirm().await.unwrap();
    assert_eq!(confirm().await.problem(), ProblemType::AlreadyIssued, "the code was shown once");
    world.check().await;
}

/// Whoever may stop it does, before the second administrator has said yes: the user first of all.
#[tokio::test]
async fn a_re_enrolment_that_waits_is_called_off_by_its_user_or_an_administrator() {
    let world = World::new().await;
    let open = world.open();
    for name in ["ada", "ann"] {
        world.enrolled(name).await;
        world.grant(name, Role::Administrator, GrantScope::Operator).await.unwrap();
    }
    let (ada, ann, tess) = (open.acting("ada").await, open.acting("ann").await, in_session(&world, "tess").await);
    let ask = async || open.re_enrol(&part("tess"), &ada, operator(&world, &ada)).await.unwrap();
    let confirm = async || open.confirm_re_enrol(&part("tess"), &Once::none(), &ann, operator(&world, &ann)).await;
    let cancel =
        async |by: &Caller, once: &Once| open.cancel_re_enrol(&part("tess"), once, by, operator(&world, by)).await;
    assert_eq!(open.cancel_own_re_enrol(&Once::none(), &tess).await.problem(), ProblemType::NotFound);
    assert_eq!(cancel(&ada, &Once::none()).await.problem(), ProblemType::NotFound);
    let first = ask().await.enrolment.into_secret();
    open.cancel_own_re_enrol(&key("own"), &tess).await.unwrap();
    assert!(open.cancel_own_re_enrol(&key("own"), &tess).await.is_ok(), "the same request, again");
    assert_eq!(open.cancel_own_re_enrol(&Once::none(), &tess).await.problem(), ProblemType::NotFound, "another one");
    assert!(open.me(&tess).await.unwrap().re_enrolment.is_none());
    assert_eq!(confirm().await.problem(), ProblemType::NotFound, "there is nothing to say yes to");
    let code = enrolling("tess", &first, ANOTHER);
    assert_eq!(open.enrol(code, None).await.problem(), ProblemType::InvalidCredentials, "and its code is none");
    for by in [&ada, &ann] {
        ask().await;
        cancel(by, &Once::none()).await.unwrap();
        assert_eq!(confirm().await.problem(), ProblemType::NotFound);
    }
    ask().await;
    confirm().await.unwrap();
    assert_eq!(cancel(&ada, &Once::none()).await.problem(), ProblemType::NotFound, "too late");
    world.check().await;
}

#[tokio::test]
async fn a_recovery_code_lets_in_once_and_the_lost_app_is_replaced() {
    let world = World::new().await;
    let open = world.open();
    let tess = in_session(&world, "tess").await;
    let codes = open.new_recovery_codes(&key("k"), &tess).await.unwrap().recovery_codes;
    assert_eq!(open.new_recovery_codes(&key("k"), &tess).await.problem(), ProblemType::AlreadyIssued);
    let code = codes[0].secret();
    let typed = secret(&code.expose().to_lowercase().replace('-', " "));
    let tom = challenge(&world, "tom").await;
    assert_eq!(prove(&world, &tom, recovery(code)).await.problem(), ProblemType::InvalidCredentials, "another's");
    let tokens = prove(&world, &challenge(&world, "tess").await, recovery(&typed)).await.unwrap();
    let again = prove(&world, &challenge(&world, "tess").await, recovery(code)).await;
    assert_eq!(again.problem(), ProblemType::InvalidCredentials, "once, in whatever form");
    let tess = world.caller(&tokens).await.unwrap();
    assert_eq!(open.factors(&tess).await.unwrap().recovery_codes_left, 9);

    let lost = open.factors(&tess).await.unwrap().factors[0].id;
    assert_eq!(open.remove_factor(lost, &tess).await.problem(), ProblemType::InUse, "the last one stays");
    let added = world.add_app(&tess).await;
    assert!(added.recovery_codes.is_empty(), "the codes go on");
    open.remove_factor(lost, &tess).await.unwrap();
    assert_eq!(open.remove_factor(lost, &tess).await.problem(), ProblemType::NotFound);
    assert_eq!(open.remove_factor(added.factor.id, &tess).await.problem(), ProblemType::InUse);
    let fresh = open.new_recovery_codes(&Once::none(), &tess).await.unwrap();
    let old = prove(&world, &challenge(&world, "tess").await, recovery(codes[1].secret())).await;
    assert_eq!(old.problem(), ProblemType::InvalidCredentials, "those before are good for nothing");
    let new = recovery(fresh.recovery_codes[9].secret());
    assert!(prove(&world, &challenge(&world, "tess").await, new).await.is_ok());
    world.check().await;
}

#[tokio::test]
async fn anvil_fresh_auth_factors_and_password_change_only_with_a_fresh_factor() {
    let world = World::new().await;
    let open = world.open();
    let tokens = world.log_in("tess", PASSWORD).await.unwrap();
    let fresh = world.caller(&tokens).await.unwrap();
    let factor = world.add_app(&fresh).await.factor.id;
    world.clock.advance(seconds(299));
    assert!(world.caller(&tokens).await.unwrap().has_fresh_factor(world.now()));
    world.clock.advance(seconds(1));
    let stale = world.caller(&tokens).await.unwrap();
    let change =
        || ChangePassword { old_password: secret(PASSWORD).disclose(), new_password: secret(ANOTHER).disclose() };
    let label = NewTotp { label: "x".to_owned() };
    for refused in [
        open.offer_totp(&label, &stale).await.map(drop),
        open.remove_factor(factor, &stale).await,
        open.new_recovery_codes(&Once::none(), &stale).await.map(drop),
        open.change_password(change(), &stale).await,
    ] {
        assert_eq!(refused.problem(), ProblemType::FreshFactorNeeded);
    }
    let code = totp_of(world.code("tess").await.expose());
    assert_eq!(open.step_up(&code, &stale).await.unwrap().second_factor_at, world.now());
    let again = world.caller(&tokens).await.unwrap();
    assert!(again.has_fresh_factor(world.now()));
    open.remove_factor(factor, &again).await.unwrap();
    let program = world.bot().await;
    assert_eq!(open.step_up(&code, &program).await.problem(), ProblemType::Forbidden, "programs have none");
    assert!(!program.has_fresh_factor(world.now()));
    world.check().await;
}

#[tokio::test]
async fn a_new_secret_counts_only_with_a_code_of_it_and_for_a_quarter_of_an_hour() {
    let world = World::new().await;
    let open = world.open();
    let made = invited(&world, "ina").await;
    let tokens = open.enrol(enrolling("ina", made.enrolment.secret(), PASSWORD), None).await.unwrap();
    let ina = world.caller(&tokens).await.unwrap();
    let offer = async |label: &str| open.offer_totp(&NewTotp { label: label.to_owned() }, &ina).await;
    let confirm = async |code: &Secret| open.confirm_totp(code, &Once::none(), &ina).await.map(drop);
    assert_eq!(confirm(&secret("123456")).await.problem(), ProblemType::NotFound, "nothing was offered");
    for label in ["", " ", "a\u{7}b", &"x".repeat(61)] {
        assert_eq!(offer(label).await.problem(), ProblemType::InvalidValue);
    }
    let first = offer("phone").await.unwrap();
    let second = offer("phone").await.unwrap();
    assert!(second.uri.secret().expose().starts_with("otpauth://totp/vault.msp.example:ina?secret="));
    let now = || totp::step(world.now());
    assert_eq!(
        confirm(&code_of(first.secret.secret(), now())).await.problem(),
        ProblemType::InvalidValue,
        "the one before is forgotten"
    );
    world.clock.advance(SignedDuration::from_mins(15));
    assert_eq!(confirm(&code_of(second.secret.secret(), now())).await.problem(), ProblemType::NotFound);
    let third = offer("phone").await.unwrap();
    confirm(&code_of(third.secret.secret(), now())).await.unwrap();
    assert_eq!(confirm(&code_of(third.secret.secret(), now() + 1)).await.problem(), ProblemType::FreshFactorNeeded);
    // An access token has lived as long by now.
    let tokens = open.refresh(tokens.refresh_token.unwrap().secret()).await.unwrap();
    let ina = world.caller(&tokens).await.unwrap();
    for _ in 1..5 {
        world.add_app(&ina).await;
    }
    let sixth = open.offer_totp(&NewTotp { label: "one too many".to_owned() }, &ina).await;
    assert_eq!(sixth.problem(), ProblemType::InUse);
    world.check().await;
}

#[tokio::test]
async fn a_password_is_long_hard_to_guess_and_not_its_users_name() {
    let world = World::new().await;
    let made = invited(&world, "gwendolyn.smith").await;
    let enrol = async |password: &str| {
        world.open().enrol(enrolling("gwendolyn.smith", made.enrolment.secret(), password), None).await
    };
    for (easy, why) in [
        ("tr0ub4dor&3", "at least 12"),
        ("passwordpassword", "too easy"),
        ("Password12345!", "too easy"),
        ("qwertyuiop[]", "too easy"),
        ("aaaaaaaaaaaaaaaa", "too easy"),
        ("abcabcabcabcabc", "too easy"),
        ("1q2w3e4r5t6y", "too easy"),
        ("clavigerclaviger", "too easy"),
        ("letmeinletmein", "too easy"),
        ("x9!kQ Gwendolyn 77#zP", "name"),
        ("brisk walnut SMITH gravel", "name"),
    ] {
        let refused = enrol(easy).await.err().unwrap_or_else(|| panic!("{easy} was taken"));
        assert_eq!(refused.problem, ProblemType::InvalidValue, "{easy}");
        let told = refused.errors.iter().map(|error| error.message.as_str()).collect::<String>();
        assert!(told.contains(why) && !told.contains(easy), "{easy}: {told}");
    }
    assert_eq!(enrol(&"brisk walnut ".repeat(20)).await.problem(), ProblemType::InvalidValue, "over 256 characters");
    assert!(enrol(PASSWORD).await.is_ok(), "and the code was not used up meanwhile");
    world.check().await;
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_keeps_ones_own() {
    let world = World::new().await;
    let open = world.open();
    let (other, own) = (world.log_in("tess", PASSWORD).await.unwrap(), world.log_in("tess", PASSWORD).await.unwrap());
    let tess = world.caller(&own).await.unwrap();
    let change = async |old: &str, new: &str| {
        let request = ChangePassword { old_password: secret(old).disclose(), new_password: secret(new).disclose() };
        open.change_password(request, &tess).await
    };
    assert_eq!(change("wrong", ANOTHER).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(change(PASSWORD, "short").await.problem(), ProblemType::InvalidValue);
    assert_eq!(change(PASSWORD, PASSWORD).await.problem(), ProblemType::InvalidValue);
    let asked = challenge(&world, "tess").await;
    change(PASSWORD, ANOTHER).await.unwrap();
    assert!(world.caller(&own).await.is_ok());
    assert_eq!(world.caller(&other).await.problem(), ProblemType::SessionEnded);
    assert!(open.refresh(own.refresh_token.unwrap().secret()).await.is_ok());
    let code = totp_of(world.code("tess").await.expose());
    assert_eq!(prove(&world, &asked, code).await.problem(), ProblemType::InvalidCredentials, "by the old password");
    assert_eq!(
        open.login_user(&part("tess"), &secret(PASSWORD), None).await.problem(),
        ProblemType::InvalidCredentials
    );
    assert!(world.log_in("tess", ANOTHER).await.is_ok());
    for _ in 0..FAILURES_MOST {
        drop(change("wrong", PASSWORD).await);
    }
    assert_eq!(change(ANOTHER, PASSWORD).await.problem(), ProblemType::InvalidCredentials, "guesses lock out");
    world.check().await;
}

/// A hash of an older cost is made anew by the login that shows the password, in the same commit.
#[tokio::test]
async fn a_password_hash_of_an_older_cost_is_made_anew_at_login() {
    const CHEAP: &str =
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$55PWTvddWPUD1GMbKxSff4ASfF85k9ibHJt4HlHQtBM";
    let world = World::new().await;
    let open = world.open();
    let tess = async || open.principal_named(&part("tess")).await.unwrap();
    let row = tess().await;
    let old = PrincipalRecord { password: Some(CHEAP.to_owned()), ..row.value.clone() };
    let event = open.automatic(Scope::Operator, claviger_api::audit::kind::EventKind::LogRead, "a test");
    open.commit(open.change(event).update(&row, &old).unwrap()).await.unwrap();
    assert_eq!(world.log_in("tess", "wrong").await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(tess().await.value.password.as_deref(), Some(CHEAP), "not by a wrong one");
    let commits = world.store.commits();
    assert!(open.login_user(&part("tess"), &secret("password"), None).await.is_ok());
    assert_eq!(world.store.commits(), commits + 1);
    let upgraded = tess().await.value.password.unwrap();
    assert!(upgraded.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{upgraded}");
    assert!(open.login_user(&part("tess"), &secret("password"), None).await.is_ok());
    assert_eq!(tess().await.value.password, Some(upgraded), "once");
    world.check().await;
}

/// A user of before there were second factors: the password opens a session that may only enrol one.
#[tokio::test]
async fn a_session_of_before_there_were_second_factors_may_only_enrol() {
    let old = r#"{"id":"se_0197a3c2e1f07b1a8c3d4e5f60718293","principal":"pr_0197a3c2e1f07b1a8c3d4e5f60718293",
        "created_at":"2026-11-24T09:00:00Z","expires_at":"2026-11-24T21:00:00Z","refresh":null,"refresh_before":null}"#;
    let session: crate::records::SessionRecord = serde_json::from_str(old).unwrap();
    assert_eq!(session.second_factor_at, None);
    let world = World::new().await;
    let tess = Caller { second_factor_at: session.second_factor_at, ..world.tess().await };
    assert!(tess.may_only_enrol());
    let bot = world.bot().await;
    assert!(bot.second_factor_at.is_none() && !bot.may_only_enrol(), "programs go on");
}
