//! The ends of what travels, to the second, by a clock that the test sets.

use claviger_api::wire::{
    ChangeIdentityProvider, GrantScope, InviteSignOn, LoginAnswer, NewIdentityProvider, NewUser, PrincipalKind, Role,
    SignOnEnrol, SignOnLink, SignOnLogin,
};
use claviger_core::policy::{Act, Permit, Resource};

use super::*;
use crate::open::Caller;
use crate::tests::world::{Refused as _, World, may, part, seconds, secret};
use crate::{Once, Result};

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
    let nowhere = ProviderId::from_uuid(Uuid::nil());
    let (in_time, too_late) = (came_of(&world, nowhere, None), came_of(&world, nowhere, None));
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
    let nowhere = ProviderId::from_uuid(Uuid::nil());
    let enrol = async |name: &str| enrols(&world, nowhere, name, made.enrolment.secret(), None).await.problem();
    assert_eq!(enrol("tess").await, ProblemType::InvalidCredentials, "another's");
    let left = made.enrolment_expires_at.duration_since(world.now());
    world.clock.advance(left - seconds(1));
    assert_eq!(enrol("new").await, ProblemType::NotFound, "in time");
    world.clock.advance(seconds(1));
    assert_eq!(enrol("new").await, ProblemType::InvalidCredentials, "too late");
}

/// Who was suspended after the code was given out does not enrol by it, and whoever is enrolled anew needs both codes.
#[tokio::test]
async fn an_enrolment_by_a_sign_on_wants_what_one_by_a_password_wants() {
    let world = World::new().await;
    let (open, provider) = (world.open(), provider(&world, false).await);
    let root = world.root().await;
    let new = NewUser { name: part("new"), customer: None };
    let made = open.add_user(&new, &Once::none(), &root, all(&world, &root)).await.unwrap();
    let made = made.enrolment.into_secret();
    let suspend = async |suspended| {
        open.suspend(&part("new"), PrincipalKind::User, suspended, &root, all(&world, &root)).await.unwrap();
    };
    suspend(true).await;
    assert_eq!(enrols(&world, provider, "new", &made, None).await.problem(), ProblemType::InvalidCredentials);

    world.enrolled("ann").await;
    world.grant("ann", Role::Administrator, GrantScope::Operator).await.unwrap();
    let ann = open.acting("ann").await;
    let first = open.re_enrol(&part("tess"), &root, all(&world, &root)).await.unwrap().enrolment.into_secret();
    let second = open.confirm_re_enrol(&part("tess"), &Once::none(), &ann, all(&world, &ann)).await.unwrap();
    let second = second.enrolment.into_secret();
    for wrong in [None, Some(&first)] {
        let enrolled = enrols(&world, provider, "tess", &first, wrong).await;
        assert_eq!(enrolled.problem(), ProblemType::InvalidCredentials, "one of the two codes is not enough");
    }
    assert!(enrols(&world, provider, "tess", &first, Some(&second)).await.unwrap().may_only_enrol);
}

#[tokio::test]
async fn an_invitation_is_good_until_its_end_and_wants_a_fresh_factor() {
    let world = World::new().await;
    let (open, provider) = (world.open(), provider(&world, false).await);
    let invite = async || invitation(&world).await;
    let proven = |ago: i64, tess: Caller| {
        let at = world.now().saturating_sub(seconds(ago)).unwrap();
        Caller { second_factor_at: Some(at), ..tess }
    };
    let (first, ends_at) = invite().await;
    let stale = proven(5 * 60, world.tess().await);
    assert_eq!(links(&world, provider, &first, &stale).await.problem(), ProblemType::FreshFactorNeeded);
    world.clock.advance(ends_at.duration_since(world.now()));
    let fresh = |tess| proven(5 * 60 - 1, tess);
    let late = links(&world, provider, &first, &fresh(world.tess().await)).await;
    assert_eq!(late.problem(), ProblemType::InvalidCredentials, "too late");
    let (second, ends_at) = invite().await;
    world.clock.advance(ends_at.duration_since(world.now()) - seconds(1));
    links(&world, provider, &second, &fresh(world.tess().await)).await.unwrap();
    assert!(open.me(&world.tess().await).await.is_ok());
}

/// What the provider said of a second factor counts while it is trusted to say so, and not a moment longer.
#[tokio::test]
async fn a_second_factor_of_the_provider_counts_no_more_once_it_is_not_trusted() {
    let world = World::new().await;
    let (open, provider) = (world.open(), provider(&world, true).await);
    links(&world, provider, &invitation(&world).await.0, &world.tess().await).await.unwrap();
    let log_in = async |code: Secret| {
        let request = SignOnLogin { code: code.disclose(), verifier: secret("verifier").disclose() };
        open.login_by_sign_on(&request, None).await.unwrap()
    };
    let (before, between) =
        (came_of(&world, provider, Some(world.now())), came_of(&world, provider, Some(world.now())));
    assert!(matches!(log_in(before).await, LoginAnswer::Session(_)));
    let distrust = ChangeIdentityProvider { trusts_mfa: Some(false), ..ChangeIdentityProvider::default() };
    let root = world.root().await;
    open.change_identity_provider(&part("entra"), &distrust, &root, all(&world, &root)).await.unwrap();
    assert!(matches!(log_in(between).await, LoginAnswer::SecondFactor(_)));
}

/// A provider of the MSP's, called `entra`.
async fn provider(world: &World, trusts_mfa: bool) -> ProviderId {
    let (open, root) = (world.open(), world.root().await);
    let new = NewIdentityProvider {
        name: part("entra"),
        customer: None,
        issuer: "https://login.example".parse().unwrap(),
        client_id: "vault".to_owned(),
        client_secret: None,
        address: "https://vault.msp.example".parse().unwrap(),
        scopes: Vec::new(),
        acr: Vec::new(),
        amr: Vec::new(),
        trusts_mfa,
        device_code: false,
        ca_certificate: None,
    };
    open.add_identity_provider(&new, &Once::none(), &root, all(world, &root)).await.unwrap();
    open.provider_named(&part("entra")).await.unwrap().value.id
}

/// What came of a sign-on of somebody there, as it comes back to whoever began it.
fn came_of(world: &World, provider: ProviderId, second_factor_at: Option<Timestamp>) -> Secret {
    let open = world.open();
    let signed_on = SignedOn {
        id: open.new_uuid(),
        provider,
        subject: "subject".to_owned(),
        second_factor_at,
        challenge: CodeChallenge::of(&secret("verifier")),
        expires_at: after(world.now(), SIGN_ON_CODE_TTL_SECONDS),
    };
    open.identities.sign_ons.carried.seal(&signed_on, open.random()).unwrap()
}

/// An invitation of Tess, and its end.
async fn invitation(world: &World) -> (Secret, Timestamp) {
    let (open, root) = (world.open(), world.root().await);
    let asked = InviteSignOn { provider: part("entra") };
    let invited = open.invite_sign_on(&part("tess"), &asked, &Once::none(), &root, all(world, &root)).await.unwrap();
    (invited.invitation.into_secret(), invited.invitation_expires_at)
}

async fn links(world: &World, provider: ProviderId, invitation: &Secret, caller: &Caller) -> Result<()> {
    let request = SignOnLink {
        invitation: invitation.duplicate().disclose(),
        code: came_of(world, provider, None).disclose(),
        verifier: secret("verifier").disclose(),
    };
    world.open().link_sign_on(&request, caller).await.map(drop)
}

async fn enrols(
    world: &World,
    provider: ProviderId,
    name: &str,
    enrolment: &Secret,
    confirmation: Option<&Secret>,
) -> Result<claviger_api::wire::Tokens> {
    let request = SignOnEnrol {
        name: part(name),
        enrolment: enrolment.duplicate().disclose(),
        confirmation: confirmation.map(|code| code.duplicate().disclose()),
        code: came_of(world, provider, None).disclose(),
        verifier: secret("verifier").disclose(),
    };
    world.open().enrol_by_sign_on(&request, None).await
}

/// The permission to do this everywhere.
fn all<A: Act>(world: &World, caller: &Caller) -> Permit<A> {
    may(&world.open(), caller, Resource::Operator)
}
