//! What logins a system has. The systems of the laws have others of their own, which are found too.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::Login;
use claviger_api::wire::ProbeResult;

use super::{Fixture, HOSTILE, login, secret};
use crate::{Credential, FoundLogin, Logins, NewLogin, SetOutcome};

/// A system whose logins can be listed.
#[async_trait]
pub trait Listed: Fixture {
    /// Gives a login power over the whole system behind the vault's back; the reasons for which it must be found to have it.
    async fn empower(&self, login: &Login) -> Vec<String>;
    /// Bars a login, as the system does it.
    async fn bar(&self, login: &Login);
}

/// A login that somebody gave power to behind the vault's back is found, with the reason; others have none.
pub async fn an_unplanned_power_is_found_with_its_reason(fixture: &dyn Listed) {
    let (plain, power) = (login("plain-one"), login("unplanned"));
    for it in [&plain, &power] {
        fixture.add_login(it, &fixture.fresh_secret()).await;
    }
    let reasons = fixture.empower(&power).await;
    assert!(!reasons.is_empty());
    let logins = all(fixture).await;
    let found = one(fixture, &logins, &power);
    for reason in reasons {
        assert!(found.privileges.contains(&reason), "{reason:?} is not among {:?}", found.privileges);
    }
    assert!(found.may_log_in && !found.marked, "{found:?}");
    let found = one(fixture, &logins, &plain);
    assert_eq!((&found.privileges, found.may_log_in), (&Vec::new(), true), "{found:?}");
    let last = logins.found.iter().rposition(|it| !it.privileges.is_empty()).unwrap_or_default();
    let first = logins.found.iter().position(|it| it.privileges.is_empty()).unwrap_or(usize::MAX);
    assert!(last < first, "those with power come first");
    assert!(!logins.cut);
}

/// A login that is barred is told apart from one that may log in, and is not left out.
pub async fn who_is_barred_is_told_apart(fixture: &dyn Listed) {
    let it = login("barred-one");
    fixture.add_login(&it, &fixture.fresh_secret()).await;
    assert!(one(fixture, &all(fixture).await, &it).may_log_in);
    fixture.bar(&it).await;
    assert!(!one(fixture, &all(fixture).await, &it).may_log_in);
}

/// The vault's own logins for a time bear its mark, and nobody else's do.
pub async fn logins_for_a_time_bear_the_mark(fixture: &dyn Listed) {
    let (ours, others) = (login("of-a-checkout"), login("of-somebody"));
    fixture.add_login(&others, &fixture.fresh_secret()).await;
    let valid_until = fixture.now().await + Duration::from_hours(2);
    let secret = fixture.fresh_secret();
    let new = NewLogin { login: &ours, secret: &secret, member_of: &[], sudo_rules: &[], valid_until };
    let made = fixture.connector().create_login(&fixture.system(), &fixture.management(), &new).await;
    assert_eq!(made, SetOutcome::Applied);
    let logins = all(fixture).await;
    assert!(one(fixture, &logins, &ours).marked);
    assert!(!one(fixture, &logins, &others).marked);
    assert_eq!(
        fixture.connector().remove_login(&fixture.system(), &fixture.management(), &ours).await,
        SetOutcome::Applied
    );
    let logins = all(fixture).await;
    assert!(!logins.found.iter().any(|found| means(fixture, found, &ours)), "it is gone");
}

/// Hostile names arrive exactly, one line each.
pub async fn hostile_names_arrive_exactly(fixture: &dyn Listed) {
    let names = HOSTILE.into_iter().map(login).chain(fixture.edge_logins().longest);
    let names: Vec<Login> = names.filter(|it| fixture.takes_login(it)).collect();
    assert!(!names.is_empty());
    for it in &names {
        fixture.add_login(it, &fixture.fresh_secret()).await;
    }
    let logins = all(fixture).await;
    for it in &names {
        one(fixture, &logins, it);
    }
}

/// Where the asking account does not get in, that is said in the words of a login; nobody claims that there are no logins.
pub async fn whoever_does_not_get_in_is_told_why(fixture: &dyn Listed) {
    let by = fixture.management();
    let wrong = Credential { login: by.login, secret: &secret("not the one of the management account") };
    let refused = fixture.connector().logins(&fixture.system(), &wrong).await.map_err(|told| told.result);
    assert_eq!(refused, Err(ProbeResult::Refused));
    let away = fixture.at("127.0.0.1", 1);
    let nobody = fixture.connector().logins(&away, &by).await.map_err(|told| told.result);
    assert_eq!(nobody, Err(ProbeResult::Unreachable));
}

/// All that the system has.
pub async fn all(fixture: &dyn Listed) -> Logins {
    assert!(fixture.connector().lists_logins());
    match fixture.connector().logins(&fixture.system(), &fixture.management()).await {
        Ok(logins) => logins,
        Err(probe) => panic!("{probe:?}"),
    }
}

/// The one that is meant by this login.
pub fn one<'a>(fixture: &dyn Listed, logins: &'a Logins, it: &Login) -> &'a FoundLogin {
    let mut found = logins.found.iter().filter(|found| means(fixture, found, it));
    match (found.next(), found.next()) {
        (Some(found), None) => found,
        (one, other) => panic!("{it}: {one:?}, {other:?}"),
    }
}

fn means(fixture: &dyn Listed, found: &FoundLogin, it: &Login) -> bool {
    let seen_as = |text: &str| text.parse().map(|login: Login| fixture.connector().seen_as(&login));
    let meant = fixture.connector().seen_as(it);
    [&found.name].into_iter().chain(&found.also).any(|name| seen_as(name).is_ok_and(|seen| seen == meant))
}
