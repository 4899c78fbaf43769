//! Logins that are made for one checkout and removed at its end.

use std::slice;
use std::time::Duration;

use claviger_api::wire::ProbeResult;
use claviger_api::{Login, Secret, Timestamp};

use super::{Fixture, HOSTILE, login, probe};
use crate::{NewLogin, SetOutcome};

const HOUR: Duration = Duration::from_hours(1);

/// A login opens from its creation, is in its groups, and is gone after its removal; each twice is once.
pub async fn made_and_removed_twice(fixture: &dyn Fixture) {
    let (it, first, second) = (login("made"), fixture.fresh_secret(), fixture.fresh_secret());
    let odd = login("group of \"made\"");
    let group = if fixture.takes_login(&odd) { odd } else { login("group-of-made") };
    fixture.add_group(&group).await;
    for secret in [&first, &second] {
        assert_eq!(
            create(fixture, &it, secret, slice::from_ref(&group), later(fixture).await).await,
            SetOutcome::Applied
        );
        assert_eq!(probe(fixture, &it, secret).await, ProbeResult::Accepted);
        assert!(fixture.is_member(&it, &group).await);
    }
    assert_eq!(probe(fixture, &it, &first).await, ProbeResult::Refused, "the second call's state is the state");
    for _ in 0..2 {
        assert_eq!(remove(fixture, &it).await, SetOutcome::Applied);
        assert!(!fixture.exists(&it).await);
        assert_eq!(probe(fixture, &it, &second).await, ProbeResult::Refused);
    }
}

/// Past its time the system itself refuses a login, or says that it is barred, and an extension moves that time.
/// Where [`Traits::ends_logins`](crate::Traits::ends_logins) is not given, the time is looked at when it is set.
pub async fn the_end_is_the_systems_own(fixture: &dyn Fixture) {
    let (it, secret) = (login("ending"), fixture.fresh_secret());
    let (past, future) = (fixture.now().await - Duration::from_secs(1), later(fixture).await);
    assert_eq!(create(fixture, &it, &secret, &[], past).await, SetOutcome::Applied);
    let ended = probe(fixture, &it, &secret).await;
    assert!(matches!(ended, ProbeResult::Refused | ProbeResult::LockedOut), "past its end: {ended:?}");
    assert_eq!(extend(fixture, &it, future).await, SetOutcome::Applied);
    assert_eq!(probe(fixture, &it, &secret).await, ProbeResult::Accepted, "extended");
    assert_eq!(extend(fixture, &it, past).await, SetOutcome::Applied);
    assert!(!fixture.opens(&it, &secret).await, "cut short, seen by other means");
    assert_eq!(remove(fixture, &it).await, SetOutcome::Applied);
}

/// Removal ends sessions and keeps what the login made: it goes to the management account.
pub async fn removal_ends_sessions_and_keeps_property(fixture: &dyn Fixture) {
    let (it, secret) = (login("owner"), fixture.fresh_secret());
    assert_eq!(create(fixture, &it, &secret, &[], later(fixture).await).await, SetOutcome::Applied);
    fixture.leave_property(&it, &secret).await;
    assert!(!fixture.has_owners() || fixture.property_owners().await.contains(&it));
    let mut stay = fixture.stay(&it, &secret).await;
    assert!(stay.lives().await);
    assert_eq!(remove(fixture, &it).await, SetOutcome::Applied);
    assert!(!stay.lives().await, "the session was ended");
    assert!(!fixture.exists(&it).await);
    let (owner, owners) = (fixture.management().login.clone(), fixture.property_owners().await);
    assert!(!fixture.has_owners() || owners.iter().all(|now| *now == owner));
}

/// Sessions are ended on demand; the login stays, and other people's sessions too.
pub async fn sessions_end_on_demand(fixture: &dyn Fixture) {
    let (it, other, secret) = (login("leaving"), login("staying"), fixture.fresh_secret());
    for login in [&it, &other] {
        fixture.add_login(login, &secret).await;
    }
    let (mut ended, mut kept) = (fixture.stay(&it, &secret).await, fixture.stay(&other, &secret).await);
    let (connector, system) = (fixture.connector(), fixture.system());
    for _ in 0..2 {
        assert_eq!(connector.end_sessions(&system, &fixture.management(), &it).await, SetOutcome::Applied);
    }
    assert!(!ended.lives().await && kept.lives().await);
    assert_eq!(probe(fixture, &it, &secret).await, ProbeResult::Accepted);
}

/// What the vault did not make, it neither takes over nor extends nor removes.
pub async fn others_logins_are_left_alone(fixture: &dyn Fixture) {
    let (theirs, secret) = (login("somebody-elses"), fixture.fresh_secret());
    fixture.add_login(&theirs, &secret).await;
    let until = later(fixture).await;
    for outcome in [
        create(fixture, &theirs, &fixture.fresh_secret(), &[], until).await,
        extend(fixture, &theirs, until).await,
        remove(fixture, &theirs).await,
        remove(fixture, fixture.management().login).await,
    ] {
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    }
    assert!(fixture.opens(&theirs, &secret).await);
    let absent = extend(fixture, &login("nobody"), until).await;
    assert!(matches!(absent, SetOutcome::Refused { .. }), "{absent:?}");
}

/// Hostile names of logins and groups are meant exactly as they are written; what the system cannot hold is
/// refused as a whole.
pub async fn hostile_names_are_exact(fixture: &dyn Fixture) {
    let (bystander, untouched) = (login("x"), fixture.fresh_secret());
    fixture.add_login(&bystander, &untouched).await;
    let until = later(fixture).await;
    for name in HOSTILE {
        let (it, group, secret) = (login(name), login(&format!("group {name}")), fixture.fresh_secret());
        let groups = slice::from_ref(&group);
        if !(fixture.takes_login(&it) && fixture.takes_login(&group)) {
            refused_as_a_whole(fixture, &it, &secret, groups, until).await;
            continue;
        }
        fixture.add_group(&group).await;
        assert_eq!(create(fixture, &it, &secret, groups, until).await, SetOutcome::Applied, "{it}");
        assert!(fixture.opens(&it, &secret).await && fixture.is_member(&it, &group).await, "{it}");
        assert_eq!(remove(fixture, &it).await, SetOutcome::Applied, "{it}");
        assert!(!fixture.exists(&it).await && fixture.exists(&group).await, "{it}");
    }
    for long in fixture.edge_logins().too_long {
        let (it, secret) = (login("grouped"), fixture.fresh_secret());
        refused_as_a_whole(fixture, &long, &secret, &[], until).await;
        refused_as_a_whole(fixture, &it, &secret, slice::from_ref(&long), until).await;
        let removal = remove(fixture, &long).await;
        assert!(matches!(removal, SetOutcome::Refused { .. }), "{long}: {removal:?}");
    }
    assert!(fixture.opens(&bystander, &untouched).await, "nobody else was touched");
}

async fn refused_as_a_whole(fixture: &dyn Fixture, it: &Login, secret: &Secret, groups: &[Login], until: Timestamp) {
    let outcome = create(fixture, it, secret, groups, until).await;
    assert!(matches!(outcome, SetOutcome::Refused { .. }), "{it} in {groups:?}: {outcome:?}");
    assert!(!fixture.exists(it).await, "{it}");
}

/// A group that is not there refuses the login as a whole.
pub async fn no_half_login(fixture: &dyn Fixture) {
    let (it, secret) = (login("half"), fixture.fresh_secret());
    let outcome = create(fixture, &it, &secret, &[login("no such group")], later(fixture).await).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(!fixture.exists(&it).await);
}

/// A creation whose reply is lost is unknown; doing it again, or removing it, settles it.
pub async fn a_lost_reply_is_settled_by_repeating(fixture: &dyn Fixture) {
    let (it, secret, until) = (login("lost-creation"), fixture.fresh_secret(), later(fixture).await);
    let new = NewLogin { login: &it, secret: &secret, member_of: &[], sudo_rules: &[], valid_until: until };
    let lossy = fixture.losing_reply().await;
    let outcome = fixture.connector().create_login(&lossy, &fixture.management(), &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert!(fixture.exists(&it).await);
    assert_eq!(create(fixture, &it, &secret, &[], until).await, SetOutcome::Applied);
    assert_eq!(probe(fixture, &it, &secret).await, ProbeResult::Accepted);

    let lossy = fixture.losing_reply().await;
    let outcome = fixture.connector().remove_login(&lossy, &fixture.management(), &it).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert!(!fixture.opens(&it, &secret).await, "the first step already bars the login");
    assert_eq!(remove(fixture, &it).await, SetOutcome::Applied);
    assert!(!fixture.exists(&it).await);
}

async fn later(fixture: &dyn Fixture) -> Timestamp {
    fixture.now().await + HOUR
}

async fn create(
    fixture: &dyn Fixture,
    login: &Login,
    secret: &Secret,
    member_of: &[Login],
    valid_until: Timestamp,
) -> SetOutcome {
    let new = NewLogin { login, secret, member_of, sudo_rules: &[], valid_until };
    fixture.connector().create_login(&fixture.system(), &fixture.management(), &new).await
}

async fn extend(fixture: &dyn Fixture, login: &Login, valid_until: Timestamp) -> SetOutcome {
    fixture.connector().extend_login(&fixture.system(), &fixture.management(), login, valid_until).await
}

async fn remove(fixture: &dyn Fixture, login: &Login) -> SetOutcome {
    fixture.connector().remove_login(&fixture.system(), &fixture.management(), login).await
}
