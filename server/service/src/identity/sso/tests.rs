//! The ends of what travels, to the second, by a clock that the test sets.

use claviger_api::wire::{NewUser, SignOnEnrol};
use claviger_core::policy::Resource;

use super::*;
use crate::Once;
use crate::tests::world::{Refused as _, World, may, part, seconds, secret};

fn to_its_end(ttl_seconds: u64) -> i64 {
    i64::try_from(ttl_seconds).unwrap()
}

#[tokio::test]
async fn a_browser_that_comes_back_too_late_is_refused_and_one_just_in_time_is_not() {
    let world = World::new().await;
    let open = world.open();
    let begun = |id| {
        let flow = Flow {
            id: Uuid::from_u128(id),
            provider: ProviderId::from_uuid(Uuid::nil()),
            state: "state".to_owned(),
            nonce: "nonce".to_owned(),
            verifier: "verifier".to_owned(),
            challenge: CodeChallenge::of(&secret("verifier")),
            port: 4000,
            port_state: CodeChallenge::of(&secret("port")),
            begun_at: world.now(),
            expires_at: after(world.now(), SIGN_ON_TTL_SECONDS),
        };
        open.identities.sign_ons.carried.seal(&flow, open.random()).unwrap()
    };
    let (state, code) = (Some("state".to_owned()), Some("code".to_owned()));
    let callback = SignOnCallback { state, code, iss: None, error: None };
    let (in_time, too_late) = (begun(1), begun(2));
    world.clock.advance(seconds(to_its_end(SIGN_ON_TTL_SECONDS) - 1));
    let back = open.end_sign_on(&callback, Some(&in_time)).await.unwrap();
    assert!(back.starts_with("http://127.0.0.1:4000/?error=sign-on-failed"), "there is no such provider: {back}");
    world.clock.advance(seconds(1));
    assert_eq!(open.end_sign_on(&callback, Some(&too_late)).await.problem(), ProblemType::SignOnFailed);
}

#[tokio::test]
async fn what_came_of_a_sign_on_is_good_for_a_minute_for_whoever_began_it_and_once() {
    let world = World::new().await;
    let open = world.open();
    let came_of = |id| {
        let signed_on = SignedOn {
            id: Uuid::from_u128(id),
            provider: ProviderId::from_uuid(Uuid::nil()),
            subject: "subject".to_owned(),
            second_factor_at: None,
            challenge: CodeChallenge::of(&secret("verifier")),
            expires_at: after(world.now(), SIGN_ON_CODE_TTL_SECONDS),
        };
        open.identities.sign_ons.carried.seal(&signed_on, open.random()).unwrap()
    };
    let (in_time, too_late) = (came_of(1), came_of(2));
    world.clock.advance(seconds(to_its_end(SIGN_ON_CODE_TTL_SECONDS) - 1));
    let redeem = |code: &Secret, verifier: &str| open.redeem(code, &secret(verifier));
    assert_eq!(redeem(&in_time, "another").problem(), ProblemType::SignOnFailed);
    assert_eq!(redeem(&in_time, "verifier").unwrap().subject, "subject");
    assert_eq!(redeem(&in_time, "verifier").problem(), ProblemType::SignOnFailed, "once");
    world.clock.advance(seconds(1));
    assert_eq!(redeem(&too_late, "verifier").problem(), ProblemType::SignOnFailed);
}

/// An enrolment is for the user who was given the code, until its end: it gets as far as asking for the provider, which is
/// not there, and others do not.
#[tokio::test]
async fn an_enrolment_by_a_sign_on_is_for_one_user_and_until_its_end() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part("new"), customer: None };
    let permit = may(&open, &root, Resource::Operator);
    let made = open.add_user(&new, &Once::none(), &root, permit).await.unwrap();
    let enrol = async |name: &str, id: u128| {
        let signed_on = SignedOn {
            id: Uuid::from_u128(id),
            provider: ProviderId::from_uuid(Uuid::nil()),
            subject: "subject".to_owned(),
            second_factor_at: None,
            challenge: CodeChallenge::of(&secret("verifier")),
            expires_at: after(world.now(), SIGN_ON_CODE_TTL_SECONDS),
        };
        let code = open.identities.sign_ons.carried.seal(&signed_on, open.random()).unwrap();
        let request = SignOnEnrol {
            name: part(name),
            enrolment: made.enrolment.secret().duplicate().disclose(),
            confirmation: None,
            code: code.disclose(),
            verifier: secret("verifier").disclose(),
        };
        open.enrol_by_sign_on(&request, None).await.problem()
    };
    assert_eq!(enrol("tess", 1).await, ProblemType::InvalidCredentials, "another's");
    let left = made.enrolment_expires_at.duration_since(world.now());
    world.clock.advance(left - seconds(1));
    assert_eq!(enrol("new", 2).await, ProblemType::NotFound, "in time");
    world.clock.advance(seconds(1));
    assert_eq!(enrol("new", 3).await, ProblemType::InvalidCredentials, "too late");
}
