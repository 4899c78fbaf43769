//! Passkeys: made and shown in a browser, good where they were asked for, and nowhere else.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    CeremonyPurpose, CeremonyShown, ConfirmedFactor, FactorKind, NewPasskey, NewTotp, NewUser, PasskeyCeremony,
    SecondFactor, Tokens,
};
use claviger_api::{Scope, Secret};
use claviger_core::policy::Resource;
use claviger_store::{Range, Table};
use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::authenticator::Authenticator;
use super::world::{PASSWORD, Refused as _, World, enrolling, key, may, part, seconds, secret};
use crate::event::StoredLeaf;
use crate::identity::login::{FAILURES_MOST, LOCKOUT};
use crate::{Caller, Once, Result};

/// What stands behind the '#' of a page's address.
fn name_of(ceremony: &PasskeyCeremony) -> Secret {
    let (page, name) = ceremony.url.split_once('#').unwrap();
    assert_eq!(page, "https://vault.msp.example/passkey");
    secret(name)
}

async fn page(world: &World, ceremony: &PasskeyCeremony) -> CeremonyShown {
    world.open().ceremony(&name_of(ceremony), None).await.unwrap()
}

async fn answer(world: &World, ceremony: &PasskeyCeremony, answer: &Value) -> Result<Secret> {
    let code = world.open().answer_ceremony(&name_of(ceremony), answer, None).await?;
    Ok(code.code.into_secret())
}

async fn offer(world: &World, caller: &Caller) -> PasskeyCeremony {
    world.open().offer_passkey(&NewPasskey { label: "laptop".to_owned() }, caller).await.unwrap()
}

/// Adds a passkey in a session.
async fn add(world: &World, caller: &Caller, authenticator: &Authenticator) -> ConfirmedFactor {
    let ceremony = offer(world, caller).await;
    let made = authenticator.makes(&page(world, &ceremony).await);
    let code = answer(world, &ceremony, &made).await.unwrap();
    world.open().confirm_passkey(&code, &Once::none(), caller).await.unwrap()
}

/// A right password, and the page for the passkey.
async fn asked(world: &World, name: &str) -> (Secret, PasskeyCeremony) {
    let challenge = world.challenge(name).await.challenge.into_secret();
    let ceremony = world.open().passkey_for_login(&challenge, None).await.unwrap();
    (challenge, ceremony)
}

async fn prove(world: &World, challenge: &Secret, code: &Secret) -> Result<Tokens> {
    let proof = SecondFactor::Passkey(code.duplicate().disclose());
    world.open().login_second_factor(challenge, &proof, None).await
}

async fn in_session(world: &World, name: &str) -> Caller {
    world.caller(&world.log_in(name, PASSWORD).await.unwrap()).await.unwrap()
}

/// The kinds of the newest events in the operator log.
async fn last_two(world: &World) -> [EventKind; 2] {
    let leaves = world.open().all::<StoredLeaf>(&Range::scope(Table::LogLeaves, Scope::Operator)).await.unwrap();
    let kind = |back: usize| leaves[leaves.len() - back].value.value(FieldName::Kind).unwrap().parse().unwrap();
    [kind(2), kind(1)]
}

async fn failures(world: &World, name: &str) -> u32 {
    world.open().counted(&part(name), None).await.unwrap().failures()
}

#[tokio::test]
async fn a_passkey_that_was_made_in_a_browser_lets_in_and_is_fresh() {
    let mut world = World::new().await;
    let open = world.open();
    let mut laptop = Authenticator::new(1);
    let tess = in_session(&world, "tess").await;
    let ceremony = offer(&world, &tess).await;
    let shown = page(&world, &ceremony).await;
    assert_eq!((shown.purpose, shown.user.as_str()), (CeremonyPurpose::Enrol, "tess"));
    assert_eq!(shown.mark, ceremony.mark, "the person compares them");
    assert_eq!(shown.options["publicKey"]["authenticatorSelection"]["userVerification"], "required");
    let commits = world.store.commits();
    page(&world, &ceremony).await;
    assert_eq!(world.store.commits(), commits, "looking changes nothing");
    let code = answer(&world, &ceremony, &laptop.makes(&shown)).await.unwrap();
    assert_eq!(open.factors(&tess).await.unwrap().factors.len(), 1, "it does not count yet");
    world.crash(1).await;
    let confirmed = world.open().confirm_passkey(&code, &key("k"), &tess).await.unwrap();
    assert_eq!((confirmed.factor.kind, confirmed.factor.label.as_str()), (FactorKind::Passkey, "laptop"));
    assert!(confirmed.recovery_codes.is_empty(), "there are some");
    let again = world.open().confirm_passkey(&code, &key("k"), &tess).await;
    assert_eq!(again.problem(), ProblemType::AlreadyIssued);
    world.check().await;

    let asking = world.challenge("tess").await;
    assert_eq!(asking.factors, [FactorKind::Totp, FactorKind::Passkey, FactorKind::RecoveryCode]);
    let (challenge, ceremony) = asked(&world, "tess").await;
    let shown = page(&world, &ceremony).await;
    assert_eq!(shown.purpose, CeremonyPurpose::Login);
    let code = answer(&world, &ceremony, &laptop.shows(&shown)).await.unwrap();
    world.crash(2).await;
    let tokens = prove(&world, &challenge, &code).await.unwrap();
    let tess = world.caller(&tokens).await.unwrap();
    assert!(tess.has_fresh_factor(world.now()) && !tokens.may_only_enrol);
    world.clock.advance(SignedDuration::from_mins(6));
    let stale = world.caller(&tokens).await.unwrap();
    let new = NewPasskey { label: "x".to_owned() };
    assert_eq!(world.open().offer_passkey(&new, &stale).await.problem(), ProblemType::FreshFactorNeeded);
    let ceremony = world.open().passkey_for_step_up(&stale).await.unwrap();
    let shown = page(&world, &ceremony).await;
    assert_eq!(shown.purpose, CeremonyPurpose::StepUp);
    let code = answer(&world, &ceremony, &laptop.shows(&shown)).await.unwrap();
    world.open().step_up(&SecondFactor::Passkey(code.disclose()), &stale).await.unwrap();
    assert!(world.caller(&tokens).await.unwrap().has_fresh_factor(world.now()));
    world.check().await;
}

#[tokio::test]
async fn a_passkey_can_be_the_first_factor_and_the_only_one() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part("ina"), customer: None };
    let made = open.add_user(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let tokens = open.enrol(enrolling("ina", made.enrolment.secret(), PASSWORD), None).await.unwrap();
    let ina = world.caller(&tokens).await.unwrap();
    assert_eq!(open.passkey_for_step_up(&ina).await.problem(), ProblemType::SecondFactorNeeded);
    let mut phone = Authenticator::new(1);
    phone.counter = 0;
    let confirmed = add(&world, &ina, &phone).await;
    assert_eq!(confirmed.recovery_codes.len(), 10);
    let ina = world.caller(&tokens).await.unwrap();
    assert!(!ina.may_only_enrol() && ina.has_fresh_factor(world.now()), "the same session is a full one");
    assert_eq!(open.remove_factor(confirmed.factor.id, &ina).await.problem(), ProblemType::InUse, "the last one stays");
    world.check().await;
    for _ in 0..2 {
        let asking = world.challenge("ina").await;
        assert_eq!(asking.factors, [FactorKind::Passkey, FactorKind::RecoveryCode]);
        let (challenge, ceremony) = asked(&world, "ina").await;
        let given = phone.shows(&page(&world, &ceremony).await);
        let code = answer(&world, &ceremony, &given).await.unwrap();
        prove(&world, &challenge, &code).await.expect("a passkey that is synchronised does not count");
    }
    let app = world.add_app(&ina).await;
    open.remove_factor(confirmed.factor.id, &ina).await.unwrap();
    assert_eq!(open.remove_factor(app.factor.id, &ina).await.problem(), ProblemType::InUse);
    world.check().await;
}

/// The code takes the answer back to the login or the session that asked, and to no other.
#[tokio::test]
async fn the_code_is_good_once_for_five_minutes_and_only_where_the_passkey_was_asked_for() {
    let world = World::new().await;
    let open = world.open();
    let mut laptop = Authenticator::new(1);
    let tess = in_session(&world, "tess").await;
    add(&world, &tess, &laptop).await;
    let (challenge, ceremony) = asked(&world, "tess").await;
    let other = world.challenge("tess").await.challenge.into_secret();
    let none = prove(&world, &challenge, &secret("00000000")).await;
    assert_eq!(none.problem(), ProblemType::InvalidCredentials, "nothing was shown yet");
    let given = laptop.shows(&page(&world, &ceremony).await);
    let code = answer(&world, &ceremony, &given).await.unwrap();
    assert!(code.expose().len() == 8 && code.expose().bytes().all(|digit| digit.is_ascii_digit()));
    assert_eq!(prove(&world, &other, &code).await.problem(), ProblemType::InvalidCredentials, "another login's");
    let as_session = SecondFactor::Passkey(code.duplicate().disclose());
    assert_eq!(open.step_up(&as_session, &tess).await.problem(), ProblemType::InvalidCredentials, "a session's");
    for form in [" {}", "{} ", "0{}", "{}\n"] {
        let odd = secret(&form.replace("{}", code.expose()));
        assert_eq!(prove(&world, &challenge, &odd).await.problem(), ProblemType::InvalidCredentials, "{form:?}");
    }
    assert_eq!(failures(&world, "tess").await, 7, "each was an attempt");
    prove(&world, &challenge, &code).await.unwrap();
    assert_eq!(failures(&world, "tess").await, 0);
    assert_eq!(prove(&world, &challenge, &code).await.problem(), ProblemType::InvalidCredentials, "once");
    assert_eq!(answer(&world, &ceremony, &given).await.problem(), ProblemType::InvalidCredentials, "the page too");

    // Two sessions of one user: what one asked for is nothing to the other.
    let second = in_session(&world, "tess").await;
    let ceremony = offer(&world, &tess).await;
    let desk = Authenticator::new(2);
    let code = answer(&world, &ceremony, &desk.makes(&page(&world, &ceremony).await)).await.unwrap();
    let confirm = async |code: &Secret, by: &Caller| open.confirm_passkey(code, &Once::none(), by).await.map(drop);
    assert_eq!(confirm(&code, &second).await.problem(), ProblemType::NotFound);
    assert_eq!(confirm(&secret("x"), &tess).await.problem(), ProblemType::InvalidValue);
    confirm(&code, &tess).await.unwrap();

    let late = asked(&world, "tess").await;
    let given = laptop.shows(&page(&world, &late.1).await);
    let code = answer(&world, &late.1, &given).await.unwrap();
    world.clock.advance(seconds(300));
    assert_eq!(prove(&world, &late.0, &code).await.problem(), ProblemType::InvalidCredentials, "too late");
    let (_, late) = asked(&world, "tess").await;
    let given = laptop.shows(&page(&world, &late).await);
    world.clock.advance(seconds(300));
    assert_eq!(answer(&world, &late, &given).await.problem(), ProblemType::InvalidCredentials, "the page, too late");
    world.check().await;
}

/// How a browser answers.
type Way<'a> = Box<dyn FnMut(&CeremonyShown) -> Value + 'a>;

/// Whatever is wrong with an answer, it is an attempt like a wrong code, and its challenge is used up.
#[tokio::test]
async fn anvil_mfa_fail_open_what_is_not_the_users_verified_passkey_is_refused_and_counted() {
    let world = World::new().await;
    let mut laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    let mut toms = Authenticator::new(2);
    add(&world, &in_session(&world, "tom").await, &toms).await;
    let (_, before) = asked(&world, "tess").await;
    let replayed = laptop.shows(&page(&world, &before).await);
    answer(&world, &before, &replayed).await.unwrap();
    let mut forger = Authenticator::new(1);
    forger.counter = 100;
    let laptop = std::cell::RefCell::new(laptop);
    let ways: Vec<(&str, Way<'_>)> = vec![
        ("no answer", Box::new(|_| json!({}))),
        ("null", Box::new(|_| Value::Null)),
        (
            "not verified",
            Box::new(|page| {
                let mut laptop = laptop.borrow_mut();
                laptop.verifies = false;
                let shown = laptop.shows(page);
                laptop.verifies = true;
                shown
            }),
        ),
        (
            "another origin",
            Box::new(|page| {
                let mut laptop = laptop.borrow_mut();
                laptop.origin = "https://vault.msp.example.evil.example";
                let shown = laptop.shows(page);
                laptop.origin = "https://vault.msp.example";
                shown
            }),
        ),
        (
            "another site",
            Box::new(|page| {
                let mut laptop = laptop.borrow_mut();
                laptop.site = "evil.example";
                let shown = laptop.shows(page);
                laptop.site = "vault.msp.example";
                shown
            }),
        ),
        ("replayed", Box::new(|_| replayed.clone())),
        ("another user's", Box::new(|page| toms.shows(page))),
        ("another key of the same id", Box::new(|page| forger.shows(page))),
    ];
    for (n, (what, mut way)) in ways.into_iter().enumerate() {
        let (_, ceremony) = asked(&world, "tess").await;
        let wrong = way(&page(&world, &ceremony).await);
        let commits = world.store.commits();
        assert_eq!(answer(&world, &ceremony, &wrong).await.problem(), ProblemType::InvalidCredentials, "{what}");
        assert_eq!(world.store.commits(), commits + 1, "{what}: counted, and told, in one commit");
        assert_eq!(failures(&world, "tess").await, u32::try_from(n).unwrap() + 1, "{what}");
        let shown = page(&world, &asked(&world, "tess").await.1).await;
        let right = laptop.borrow_mut().shows(&shown);
        assert_eq!(answer(&world, &ceremony, &right).await.problem(), ProblemType::InvalidCredentials, "{what}: over");
    }
    world.check().await;
}

#[tokio::test]
async fn wrong_answers_lock_out_like_wrong_codes() {
    let world = World::new().await;
    let mut laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    let (challenge, waiting) = asked(&world, "tess").await;
    let right = laptop.shows(&page(&world, &waiting).await);
    for _ in 0..FAILURES_MOST {
        let (_, ceremony) = asked(&world, "tess").await;
        assert_eq!(answer(&world, &ceremony, &json!({})).await.problem(), ProblemType::InvalidCredentials);
    }
    assert_eq!(answer(&world, &waiting, &right).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(world.open().ceremony(&name_of(&waiting), None).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(prove(&world, &challenge, &secret("12345678")).await.problem(), ProblemType::InvalidCredentials);
    world.clock.advance(LOCKOUT);
    assert!(world.log_in("tess", PASSWORD).await.is_ok());
    world.check().await;
}

/// An authenticator that has not counted on since it was last taken may be one of two.
#[tokio::test]
async fn a_copied_authenticator_is_refused_and_told_of() {
    let world = World::new().await;
    let mut laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    let copied = laptop.counter;
    let (_, first) = asked(&world, "tess").await;
    let given = laptop.shows(&page(&world, &first).await);
    answer(&world, &first, &given).await.unwrap();
    // The copy counts to the same number; it was asked before the original was shown, and after.
    for known_before in [true, false] {
        let earlier = asked(&world, "tess").await.1;
        let (_, ceremony) = if known_before {
            let given = laptop.shows(&page(&world, &earlier).await);
            let later = asked(&world, "tess").await;
            answer(&world, &earlier, &given).await.unwrap();
            later
        } else {
            asked(&world, "tess").await
        };
        laptop.counter = if known_before { laptop.counter - 1 } else { copied };
        let copy = laptop.shows(&page(&world, &ceremony).await);
        assert_eq!(answer(&world, &ceremony, &copy).await.problem(), ProblemType::InvalidCredentials);
        let told = [EventKind::LoginFailed, EventKind::FactorCloneSuspected];
        assert_eq!(last_two(&world).await, told, "{known_before}");
        laptop.counter = 10;
    }
    let (challenge, ceremony) = asked(&world, "tess").await;
    let given = laptop.shows(&page(&world, &ceremony).await);
    let code = answer(&world, &ceremony, &given).await.unwrap();
    assert!(prove(&world, &challenge, &code).await.is_ok(), "whoever counts on goes on");
    world.check().await;
}

/// One assertion, given twice at once: one of them is answered.
#[tokio::test]
async fn an_answer_that_comes_twice_at_once_is_taken_once() {
    let world = World::new().await;
    let mut laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    let (_, ceremony) = asked(&world, "tess").await;
    let given = laptop.shows(&page(&world, &ceremony).await);
    let both = join_all([answer(&world, &ceremony, &given), answer(&world, &ceremony, &given)]).await;
    assert_eq!(both.iter().filter(|answer| answer.is_ok()).count(), 1);
    world.check().await;
}

#[tokio::test]
async fn a_refused_new_passkey_ends_its_ceremony_and_counts_against_nobody() {
    let world = World::new().await;
    let open = world.open();
    let tess = in_session(&world, "tess").await;
    let mut laptop = Authenticator::new(1);
    for make in [
        |key: &mut Authenticator| key.verifies = false,
        |key: &mut Authenticator| key.origin = "http://vault.msp.example",
        |key: &mut Authenticator| key.site = "msp.example",
    ] {
        let ceremony = offer(&world, &tess).await;
        let mut wrong = Authenticator::new(1);
        make(&mut wrong);
        let made = wrong.makes(&page(&world, &ceremony).await);
        assert_eq!(answer(&world, &ceremony, &made).await.problem(), ProblemType::InvalidCredentials);
        let right = laptop.makes(&page(&world, &offer(&world, &tess).await).await);
        assert_eq!(answer(&world, &ceremony, &right).await.problem(), ProblemType::InvalidCredentials, "it is over");
    }
    assert_eq!(failures(&world, "tess").await, 0);
    add(&world, &tess, &laptop).await;
    let ceremony = offer(&world, &tess).await;
    let shown = page(&world, &ceremony).await;
    assert_eq!(shown.options["publicKey"]["excludeCredentials"].as_array().unwrap().len(), 1);
    let twice = answer(&world, &ceremony, &laptop.makes(&shown)).await;
    assert_eq!(twice.problem(), ProblemType::InvalidCredentials, "one passkey, one factor");
    // An answer of the one kind is none of the other.
    let ceremony = offer(&world, &tess).await;
    let given = laptop.shows(&page(&world, &ceremony).await);
    assert_eq!(answer(&world, &ceremony, &given).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(open.factors(&tess).await.unwrap().factors.len(), 2);
    world.check().await;
}

#[tokio::test]
async fn there_are_five_factors_and_four_ceremonies_at_most() {
    let world = World::new().await;
    let open = world.open();
    let tess = in_session(&world, "tess").await;
    for id in 1..=4 {
        add(&world, &tess, &Authenticator::new(id)).await;
    }
    let new = NewPasskey { label: "x".to_owned() };
    assert_eq!(open.offer_passkey(&new, &tess).await.problem(), ProblemType::InUse);
    let app = NewTotp { label: "x".to_owned() };
    assert_eq!(open.offer_totp(&app, &tess).await.problem(), ProblemType::InUse);
    for label in ["", " ", "a\u{7}b", &"x".repeat(61)] {
        let new = NewPasskey { label: label.to_owned() };
        assert_eq!(open.offer_passkey(&new, &tess).await.problem(), ProblemType::InvalidValue);
    }
    let (_, first) = asked(&world, "tess").await;
    for _ in 0..4 {
        asked(&world, "tess").await;
    }
    assert_eq!(open.ceremony(&name_of(&first), None).await.problem(), ProblemType::InvalidCredentials);
    for odd in ["x", "0000-0000-0000-0000", "cvc_nonsense"] {
        assert_eq!(open.ceremony(&secret(odd), None).await.problem(), ProblemType::InvalidCredentials);
        assert_eq!(open.passkey_for_login(&secret(odd), None).await.problem(), ProblemType::InvalidCredentials);
    }
    let program = world.bot().await;
    assert_eq!(open.offer_passkey(&new, &program).await.problem(), ProblemType::Forbidden);
    assert_eq!(open.passkey_for_step_up(&program).await.problem(), ProblemType::Forbidden);
    world.check().await;
}

#[tokio::test]
async fn a_ceremony_ends_with_what_ends_its_users_sessions() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let mut laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    let (challenge, ceremony) = asked(&world, "tess").await;
    let shown = page(&world, &ceremony).await;
    for suspended in [true, false] {
        let user = claviger_api::wire::PrincipalKind::User;
        let permit = may(&open, &root, Resource::Operator);
        open.suspend(&part("tess"), user, suspended, &root, permit).await.unwrap();
        let given = laptop.shows(&shown);
        assert_eq!(answer(&world, &ceremony, &given).await.problem(), ProblemType::InvalidCredentials);
        assert_eq!(prove(&world, &challenge, &secret("12345678")).await.problem(), ProblemType::InvalidCredentials);
    }
    world.check().await;
}

/// A passkey is made for a host name: under another one, or none, it is not even asked for.
#[tokio::test]
async fn passkeys_are_good_at_their_own_site_and_off_without_one() {
    let mut world = World::new().await;
    let laptop = Authenticator::new(1);
    add(&world, &in_session(&world, "tess").await, &laptop).await;
    world.move_to(Some("https://another.msp.example")).await;
    let asking = world.challenge("tess").await;
    assert_eq!(asking.factors, [FactorKind::Totp, FactorKind::RecoveryCode]);
    let challenge = asking.challenge.into_secret();
    let ask = async |world: &World| world.open().passkey_for_login(&challenge, None).await.problem();
    assert_eq!(ask(&world).await, ProblemType::NotFound);
    world.move_to(None).await;
    assert_eq!(ask(&world).await, ProblemType::PasskeysOff);
    let tess = in_session(&world, "tess").await;
    let new = NewPasskey { label: "x".to_owned() };
    assert_eq!(world.open().offer_passkey(&new, &tess).await.problem(), ProblemType::PasskeysOff);
    assert_eq!(world.open().factors(&tess).await.unwrap().factors.len(), 2, "it is listed, and can be removed");
    world.check().await;
}

/// What names a ceremony and what it is for are in no row's key.
#[tokio::test]
async fn a_ceremony_leaves_nothing_behind_but_its_users_row() {
    let world = World::new().await;
    let before = world.census();
    let mut laptop = Authenticator::new(1);
    let tess = in_session(&world, "tess").await;
    add(&world, &tess, &laptop).await;
    let ceremony = world.open().passkey_for_step_up(&tess).await.unwrap();
    let given = laptop.shows(&page(&world, &ceremony).await);
    let code = answer(&world, &ceremony, &given).await.unwrap();
    world.open().step_up(&SecondFactor::Passkey(code.disclose()), &tess).await.unwrap();
    world.open().logout(&tess).await.unwrap();
    let rows = |census: &[(Table, usize)], table| census.iter().find(|(of, _)| *of == table).map(|(_, rows)| *rows);
    let after = world.census();
    for table in [Table::Tokens, Table::Factors, Table::Sessions] {
        assert_eq!(rows(&after, table), rows(&before, table), "{table:?}");
    }
}
