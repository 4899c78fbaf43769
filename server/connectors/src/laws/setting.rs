//! How a secret is replaced.

use claviger_api::wire::ProbeResult;
use claviger_api::{Login, Secret};

use super::{Fixture, HOSTILE, HOSTILE_SECRETS, login, probe, secret};
use crate::{Credential, SetOutcome};

/// After a change by the account itself the new secret opens it and the old one does not.
pub async fn by_itself(fixture: &dyn Fixture) {
    let (it, old, new) = added(fixture, "by-itself").await;
    let by = Credential { login: &it, secret: &old };
    assert_eq!(fixture.connector().set(&fixture.system(), &by, &it, &new).await, SetOutcome::Applied);
    assert_eq!(probe(fixture, &it, &new).await, ProbeResult::Accepted);
    assert_eq!(probe(fixture, &it, &old).await, ProbeResult::Refused);
    assert!(fixture.opens(&it, &new).await && !fixture.opens(&it, &old).await, "seen by other means");
}

/// The management account changes others, and twice is once.
pub async fn by_management_and_twice(fixture: &dyn Fixture) {
    let (it, old, new) = added(fixture, "by-management").await;
    for _ in 0..2 {
        assert_eq!(set(fixture, &it, &new).await, SetOutcome::Applied);
        assert_eq!(probe(fixture, &it, &new).await, ProbeResult::Accepted);
        assert_eq!(probe(fixture, &it, &old).await, ProbeResult::Refused);
    }
}

/// Who logs in with a wrong secret changes nothing and is told why; who may not is refused.
pub async fn not_by_everybody(fixture: &dyn Fixture) {
    let (it, old, new) = added(fixture, "guarded").await;
    let (other, others, wrong) = added(fixture, "unprivileged").await;
    let by = Credential { login: &it, secret: &wrong };
    let outcome = fixture.connector().set(&fixture.system(), &by, &it, &new).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Refused, .. }), "{outcome:?}");
    let by = Credential { login: &other, secret: &others };
    let outcome = fixture.connector().set(&fixture.system(), &by, &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(fixture.opens(&it, &old).await);
}

/// A login that is not there is refused, and is not there afterwards either.
pub async fn an_absent_login_is_not_made(fixture: &dyn Fixture) {
    let absent = login("not-there");
    let outcome = set(fixture, &absent, &fixture.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(!fixture.exists(&absent).await);
}

/// Hostile login names are meant exactly as they are written; what the system cannot hold is refused.
pub async fn hostile_logins_are_exact(fixture: &dyn Fixture) {
    let (bystander, untouched) = (login("x"), fixture.fresh_secret());
    fixture.add_login(&bystander, &untouched).await;
    let edge = fixture.edge_logins();
    let (all, beyond): (Vec<Login>, Vec<Login>) =
        HOSTILE.into_iter().map(login).chain(edge.longest).partition(|it| fixture.takes_login(it));
    assert!(!all.is_empty());
    let first = fixture.fresh_secret();
    for it in &all {
        fixture.add_login(it, &first).await;
    }
    for it in &all {
        let new = fixture.fresh_secret();
        let by = Credential { login: it, secret: &first };
        assert_eq!(fixture.connector().set(&fixture.system(), &by, it, &new).await, SetOutcome::Applied, "{it}");
        assert_eq!(probe(fixture, it, &new).await, ProbeResult::Accepted, "{it}");
        assert_eq!(probe(fixture, it, &first).await, ProbeResult::Refused, "{it}");
        assert!(fixture.opens(it, &new).await, "{it}, by other means");
    }
    for it in &beyond {
        let new = fixture.fresh_secret();
        let outcome = set(fixture, it, &new).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{it}: {outcome:?}");
        assert_ne!(probe(fixture, it, &new).await, ProbeResult::Accepted, "{it}");
    }
    assert!(fixture.opens(&bystander, &untouched).await, "nobody else was touched");
}

/// Names that the system would cut are refused, and the login whose name is the cut one is not touched.
pub async fn names_are_never_cut(fixture: &dyn Fixture) {
    for long in fixture.edge_logins().too_long {
        let new = fixture.fresh_secret();
        let outcome = set(fixture, &long, &new).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{long}: {outcome:?}");
        assert_ne!(probe(fixture, &long, &new).await, ProbeResult::Accepted);
    }
}

/// Hostile passwords arrive exactly, for whoever else logs in with them too; what the system cannot hold is refused.
pub async fn hostile_secrets_are_exact(fixture: &dyn Fixture) {
    let (it, mut held, _) = added(fixture, "hostile-secret").await;
    for text in HOSTILE_SECRETS {
        let new = secret(text);
        if !fixture.takes_secret(&new) {
            let outcome = set(fixture, &it, &new).await;
            assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{text:?}: {outcome:?}");
            assert!(fixture.opens(&it, &held).await, "{text:?} changed nothing");
            continue;
        }
        assert_eq!(set(fixture, &it, &new).await, SetOutcome::Applied, "{text:?}");
        assert_eq!(probe(fixture, &it, &new).await, ProbeResult::Accepted, "{text:?}");
        assert!(fixture.opens(&it, &new).await, "{text:?}, by other means");
        assert_eq!(probe(fixture, &it, &fixture.fresh_secret()).await, ProbeResult::Refused, "after {text:?}");
        held = new;
    }
}

/// Where the reply is lost the outcome is unknown; the change is there.
pub async fn a_lost_reply_is_unknown(fixture: &dyn Fixture) {
    let (it, old, new) = added(fixture, "lost-reply").await;
    let by = Credential { login: &it, secret: &old };
    let outcome = fixture.connector().set(&fixture.losing_reply().await, &by, &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert_eq!(probe(fixture, &it, &new).await, ProbeResult::Accepted);
    assert_eq!(probe(fixture, &it, &old).await, ProbeResult::Refused);
}

/// Where the line breaks before the change arrives, nobody claims that it was made; and it was not.
pub async fn a_lost_change_is_not_claimed(fixture: &dyn Fixture) {
    let (it, old, new) = added(fixture, "lost-change").await;
    let by = Credential { login: &it, secret: &old };
    let outcome = fixture.connector().set(&fixture.losing_change().await, &by, &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_) | SetOutcome::NotSent { .. }), "{outcome:?}");
    assert_eq!(probe(fixture, &it, &old).await, ProbeResult::Accepted);
}

/// Adds a login; its secret, and another that nobody has used.
async fn added(fixture: &dyn Fixture, name: &str) -> (Login, Secret, Secret) {
    let (it, old) = (login(name), fixture.fresh_secret());
    fixture.add_login(&it, &old).await;
    (it, old, fixture.fresh_secret())
}

async fn set(fixture: &dyn Fixture, it: &Login, new: &Secret) -> SetOutcome {
    fixture.connector().set(&fixture.system(), &fixture.management(), it, new).await
}
