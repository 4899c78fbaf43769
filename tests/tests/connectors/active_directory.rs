//! Active Directory, as Samba serves it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::Duration;

use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_connectors::laws::{Fixture, HOSTILE_SECRETS, ephemeral, hosts, listing, probing, setting};
use claviger_connectors::{Connector, Credential, Deadlines, NewLogin, SetOutcome};
use claviger_tests::faulty::Fault;
use claviger_tests::samba::{PEOPLE, ROOT, Samba, UNIT};

use super::active_directory_rig::{CHANGES, Rig, changed, connector, named};
use super::rig::{login, secret};

#[tokio::test]
async fn laws_of_probing_and_setting() {
    let rig = Rig::start().await;
    probing::right_wrong_and_absent(&rig).await;
    probing::a_probe_is_silent(&rig).await;
    setting::by_itself(&rig).await;
    setting::by_management_and_twice(&rig).await;
    setting::not_by_everybody(&rig).await;
    setting::an_absent_login_is_not_made(&rig).await;
    setting::names_are_never_cut(&rig).await;
    setting::a_lost_reply_is_unknown(&rig).await;
    setting::a_lost_change_is_not_claimed(&rig).await;
    a_reply_that_never_comes_is_unknown(&rig).await;
    every_form_of_a_name_opens_the_same_account(&rig).await;
    tls_modes_are_kept(&rig).await;
}

#[tokio::test]
async fn laws_of_ephemeral_logins() {
    let rig = Rig::start().await;
    ephemeral::made_and_removed_twice(&rig).await;
    ephemeral::the_end_is_the_systems_own(&rig).await;
    ephemeral::others_logins_are_left_alone(&rig).await;
    ephemeral::no_half_login(&rig).await;
    ephemeral::a_lost_reply_is_settled_by_repeating(&rig).await;
    ephemeral::hostile_names_are_exact(&rig).await;
    what_is_made_ends_by_itself_and_stands_in_its_unit(&rig).await;
    management_needs_what_the_docs_say(&rig).await;
}

#[tokio::test]
async fn laws_of_listing() {
    let rig = Rig::start().await;
    listing::an_unplanned_power_is_found_with_its_reason(&rig).await;
    listing::who_is_barred_is_told_apart(&rig).await;
    listing::logins_for_a_time_bear_the_mark(&rig).await;
    listing::hostile_names_arrive_exactly(&rig).await;
    listing::whoever_does_not_get_in_is_told_why(&rig).await;
    what_a_domain_tells_of_an_account_is_told_to_whoever_asks(&rig).await;
}

/// Each form of a name means the same account; a primary group is membership too; anybody of the domain may see it.
async fn what_a_domain_tells_of_an_account_is_told_to_whoever_asks(rig: &Rig) {
    let (it, secret) = (login("asks"), rig.fresh_secret());
    rig.add_login(&it, &secret).await;
    let entry = format!("CN=asks,{PEOPLE}");
    rig.samba.replace(&entry, "userPrincipalName", "Asks@corp.example");
    rig.samba.replace(&entry, "accountExpires", "157153824000000000");
    let by = Credential { login: &it, secret: &secret };
    let logins = rig.connector.logins(&rig.system(), &by).await.unwrap();
    for name in ["ASKS", "asks@corp.example", &format!("dn:cn=asks,{PEOPLE}")] {
        assert_eq!(listing::one(rig, &logins, &login(name)).notes, ["expires 2099-01-01"], "{name}");
    }
    let administrator = listing::one(rig, &logins, &login("administrator"));
    assert!(administrator.privileges.contains(&"member of Domain Admins".to_owned()), "{administrator:?}");
    let krbtgt = listing::one(rig, &logins, &login("krbtgt"));
    assert!(!krbtgt.may_log_in, "{krbtgt:?}");
    rig.samba.replace(&entry, "lastLogonTimestamp", "134403408000000000");
    let logins = listing::all(rig).await;
    let last = listing::one(rig, &logins, &it).last_login_at;
    assert_eq!(last, Some("2026-11-28T12:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn anvil_hostile_system() {
    let mut rig = Rig::start().await;
    let (login, second) = (Duration::from_millis(500), Duration::from_secs(1));
    rig.connector = connector(Deadlines { login, work: 6 * second, statement: second });
    hosts::strangers_are_not_trusted(&rig).await;
    hosts::silence_is_unreachable(&rig).await;
    hosts::nonsense_is_unknown(&rig).await;
}

/// Names that end their part of a distinguished name, a filter, or the name of a domain, are names and nothing else.
#[tokio::test]
async fn anvil_ldap_escape() {
    let rig = Rig::start().await;
    setting::hostile_logins_are_exact(&rig).await;
    setting::hostile_secrets_are_exact(&rig).await;
    let (victim, untouched) = (login("victim"), rig.fresh_secret());
    rig.add_login(&victim, &untouched).await;
    let (connector, system, by) = (&rig.connector, rig.system(), rig.management());
    for name in
        ["victim)(cn=*", "vict*", "*", "*)(objectClass=*", "victim ", "víctim", "dn:victim", "CORP\\victim", "victim@x"]
    {
        let it = login(name);
        let outcome = connector.set(&system, &by, &it, &rig.fresh_secret()).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{name}: {outcome:?}");
        let probe = connector.probe(&system, &it, &untouched).await;
        assert_eq!(probe.result, ProbeResult::Refused, "{name}: {}", probe.detail);
    }
    assert!(rig.opens(&victim, &untouched).await, "nobody else was touched");
    for clear in HOSTILE_SECRETS {
        assert!(!rig.samba.log().contains(clear), "a clear password in the domain's log: {clear}");
    }
}

/// What the domain says of a login or a change is understood: each of its codes is seen from Samba itself.
#[tokio::test]
async fn what_a_domain_says_is_understood() {
    use ProbeResult::{Accepted, LockedOut, Refused};
    let rig = Rig::start().await;
    let (system, it, right, wrong) = (rig.system(), login("told"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    let entry = format!("CN=told,{PEOPLE}");
    for (attribute, value, result, words) in [
        ("accountExpires", "1", LockedOut, "expired"),
        ("accountExpires", "0", Accepted, "logged in"),
        ("pwdLastSet", "0", Accepted, "must be changed"),
        ("pwdLastSet", "-1", Accepted, "logged in"),
        ("userAccountControl", "514", LockedOut, "disabled"),
        ("userAccountControl", "512", Accepted, "logged in"),
        ("userWorkstations", "elsewhere", Accepted, "not from this machine"),
    ] {
        rig.samba.replace(&entry, attribute, value);
        let probe = rig.connector.probe(&system, &it, &right).await;
        assert!(probe.result == result && probe.detail.contains(words), "{attribute} {value}: {probe:?}");
        let probe = rig.connector.probe(&system, &it, &wrong).await;
        assert_eq!(probe.result, Refused, "{attribute} {value}: {}", probe.detail);
    }
    rig.samba.replace(ROOT, "lockoutThreshold", "3");
    for expected in [Refused, Refused, Refused, LockedOut] {
        let probe = rig.connector.probe(&system, &it, &wrong).await;
        assert_eq!(probe.result, expected, "{}", probe.detail);
    }
    let probe = rig.connector.probe(&system, &it, &right).await;
    assert!(probe.result == LockedOut && probe.detail.contains("locked"), "{probe:?}");
    let told = rig.connector.lockout(&system, &rig.management(), &it).await.unwrap();
    assert_eq!((told.threshold, told.failed, told.window), (Some(3), 3, Duration::from_mins(30)));
    let other = rig.connector.lockout(&system, &rig.management(), &login("Guest")).await.unwrap();
    assert_eq!((other.threshold, other.failed), (Some(3), 0));
    rig.samba.replace(ROOT, "lockoutThreshold", "0");
    assert_eq!(rig.connector.lockout(&system, &rig.management(), &it).await.unwrap().threshold, None, "never");

    let (young, first) = (login("young"), rig.fresh_secret());
    rig.add_login(&young, &first).await;
    let by = Credential { login: &young, secret: &first };
    // A day between two changes: waiting helps, another password does not. Whoever resets is above that.
    rig.samba.replace(ROOT, "minPwdAge", "-864000000000");
    let outcome = rig.connector.set(&system, &by, &young, &rig.fresh_secret()).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("too young"), "{detail}");
    assert_eq!(rig.connector.set(&system, &rig.management(), &young, &first).await, SetOutcome::Applied);
    rig.samba.replace(ROOT, "minPwdAge", "0");
    rig.samba.replace(ROOT, "minPwdLength", "8");
    for (by, bad) in [(&by, first.expose()), (&by, "short"), (&rig.management(), "short")] {
        let outcome = rig.connector.set(&system, by, &young, &secret(bad)).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{bad}: {outcome:?}");
    }
    assert!(rig.opens(&young, &first).await);
}

/// A controller that has not heard of a change is named, and an old secret that it still takes is still accepted. The
/// laggard is another copy of the same domain, which never hears of anything.
#[tokio::test]
async fn anvil_verify_lag_a_controller_that_lags_is_named() {
    let (rig, laggard) = (Rig::start().await, Samba::start().await);
    let (it, old, new) = (login("lagging"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &old).await;
    laggard.add_user("lagging", old.expose(), &[]);
    let with = |hosts: &[String], mode| {
        let mut system = rig.samba.spec(mode);
        let SystemSpec::ActiveDirectory { servers, lockout_threshold, .. } = &mut system else { unreachable!() };
        hosts.clone_into(servers);
        *lockout_threshold = Some(10);
        system
    };
    let both = with(&[laggard.host()], TlsMode::Require);
    let probe = rig.connector.probe(&both, &it, &old).await;
    assert_eq!((probe.result, probe.detail.as_str()), (ProbeResult::Accepted, "logged in"), "both agree");
    assert_eq!(rig.connector.set(&both, &rig.management(), &it, &new).await, SetOutcome::Applied);
    let probe = rig.connector.probe(&both, &it, &new).await;
    let named = format!("{} does not take it yet", laggard.host());
    assert!(probe.result == ProbeResult::Accepted && probe.detail.contains(&named), "{probe:?}");
    let probe = rig.connector.probe(&both, &it, &old).await;
    let named = format!("{} still takes it", laggard.host());
    assert!(probe.result == ProbeResult::Accepted && probe.detail.contains(&named), "{probe:?}");
    let probe = rig.connector.probe(&both, &it, &rig.fresh_secret()).await;
    assert_eq!(probe.result, ProbeResult::Refused, "neither takes it: {}", probe.detail);
    // Each is known by its own certificate, and one that is away does not stop the rest.
    let unsure = with(&[laggard.host(), "127.0.0.1".to_owned()], TlsMode::VerifyFull);
    let probe = rig.connector.probe(&unsure, &it, &old).await;
    assert!(
        probe.result == ProbeResult::Refused && probe.detail.matches("nothing is known of").count() == 2,
        "{probe:?}"
    );
    let (alone, traits) = (rig.connector.traits(&with(&[], TlsMode::Require)), rig.connector.traits(&both));
    assert_eq!((alone.lockout_threshold, traits.lockout_threshold), (Some(10), Some(5)), "a look is a login at each");
    assert!(alone.propagation.is_zero() && !traits.propagation.is_zero());
}

/// Samba, like Windows, goes on taking the last old password for a while; a second change ends that.
#[tokio::test]
async fn an_old_password_is_honoured_until_the_grace_is_over_or_another_change_comes() {
    use ProbeResult::{Accepted, Refused};
    let mut rig = Rig::start_with_grace(60).await;
    let it = login("graced");
    let [first, second, third, fourth] = std::array::from_fn(|_| rig.fresh_secret());
    rig.add_login(&it, &first).await;
    assert_eq!(rig.connector.traits(&rig.system()).grace, Duration::from_hours(1));
    assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &second).await, SetOutcome::Applied);
    let results = async |rig: &Rig, secrets: &[&claviger_api::Secret]| {
        let mut results = Vec::new();
        for secret in secrets {
            results.push(rig.connector.probe(&rig.system(), &it, secret).await.result);
        }
        results
    };
    assert_eq!(results(&rig, &[&first, &second]).await, [Accepted, Accepted]);
    assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &third).await, SetOutcome::Applied);
    assert_eq!(results(&rig, &[&first, &second, &third]).await, [Refused, Accepted, Accepted], "only the last old one");
    let by = Credential { login: &it, secret: &third };
    assert_eq!(rig.connector.set(&rig.system(), &by, &it, &fourth).await, SetOutcome::Applied, "by itself too");
    assert_eq!(results(&rig, &[&second, &third, &fourth]).await, [Refused, Accepted, Accepted]);
    rig.samba.start_again_with_grace(0).await;
    assert_eq!(results(&rig, &[&third, &fourth]).await, [Refused, Accepted], "the setting ends it");
}

async fn a_reply_that_never_comes_is_unknown(rig: &Rig) {
    let (it, new) = (login("waiting"), rig.fresh_secret());
    rig.add_login(&it, &rig.fresh_secret()).await;
    let second = Duration::from_secs(1);
    let hasty = connector(Deadlines { login: second, work: second, statement: second });
    let outcome = hasty.set(&rig.behind(Fault::HoldReply(CHANGES)), &rig.management(), &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert!(rig.opens(&it, &new).await, "it was applied all the same");
}

async fn every_form_of_a_name_opens_the_same_account(rig: &Rig) {
    let first = rig.fresh_secret();
    rig.samba.add_user("anna", first.expose(), &[("userPrincipalName", "anna.b@corp.example")]);
    let mut held = first;
    for form in ["anna", "ANNA", "anna.b@corp.example", &format!("dn:CN=anna,{PEOPLE}")] {
        let (it, new) = (login(form), rig.fresh_secret());
        assert_eq!(rig.connector.probe(&rig.system(), &it, &held).await.result, ProbeResult::Accepted, "{form}");
        let by = Credential { login: &it, secret: &held };
        assert_eq!(rig.connector.set(&rig.system(), &by, &it, &new).await, SetOutcome::Applied, "{form}");
        held = new;
    }
    assert!(rig.opens(&login("anna"), &held).await);
}

/// The modes, over LDAPS and StartTLS. Nothing goes out in clear, `prefer` included.
async fn tls_modes_are_kept(rig: &Rig) {
    use ProbeResult::{Accepted, HostMismatch};
    let Credential { login, secret } = rig.management();
    let (host, other) = (rig.samba.host(), rig.samba.other_host());
    for (host, mode, expected) in [
        (&other, TlsMode::Prefer, Accepted),
        (&other, TlsMode::Require, Accepted),
        (&other, TlsMode::VerifyCa, Accepted),
        (&host, TlsMode::VerifyFull, Accepted),
        (&other, TlsMode::VerifyFull, HostMismatch),
    ] {
        for (port, start_tls) in [(636, false), (389, true)] {
            let system = changed(&rig.system(), host, port, mode, start_tls);
            let probe = rig.connector.probe(&system, login, secret).await;
            assert_eq!(probe.result, expected, "{mode:?} at {host}, {start_tls}: {}", probe.detail);
        }
    }
}

async fn what_is_made_ends_by_itself_and_stands_in_its_unit(rig: &Rig) {
    let (it, right) = (login("in the unit"), rig.fresh_secret());
    let until = "2030-01-02T03:04:05Z".parse().unwrap();
    let new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: until };
    assert_eq!(rig.connector.create_login(&rig.system(), &rig.management(), &new).await, SetOutcome::Applied);
    let found = rig.samba.find("(cn=in the unit)", &["accountExpires", "userAccountControl"]);
    let wanted = [format!("dn: CN=in the unit,{UNIT}"), "accountExpires: 135380270450000000".to_owned()];
    assert!(wanted.iter().all(|line| found.lines().any(|it| it == line)), "{found}");
    assert!(found.contains("userAccountControl: 512"), "{found}");
    let by_dn = login("dn:CN=x,DC=corp,DC=example");
    let new = NewLogin { login: &by_dn, secret: &right, member_of: &[], sudo_rules: &[], valid_until: until };
    let outcome = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    let outcome = rig.connector.end_sessions(&rig.system(), &rig.management(), &it).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(!rig.connector.traits(&rig.system()).ends_sessions);
    assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &it).await, SetOutcome::Applied);
}

/// Rights on the unit, and on no more, are enough for the accounts in it; without them nothing is made.
async fn management_needs_what_the_docs_say(rig: &Rig) {
    let (manager, password) = (login("manager"), rig.fresh_secret());
    rig.add_login(&manager, &password).await;
    let by = Credential { login: &manager, secret: &password };
    let (it, right, next) = (login("managed"), rig.fresh_secret(), rig.fresh_secret());
    let until = rig.now().await + Duration::from_hours(1);
    let new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: until };
    let outcome = rig.connector.create_login(&rig.system(), &by, &new).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(!rig.exists(&it).await);
    rig.samba.delegate(UNIT, "manager");
    assert_eq!(rig.connector.create_login(&rig.system(), &by, &new).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &right).await, "{}", named(&it));
    assert_eq!(rig.connector.set(&rig.system(), &by, &it, &next).await, SetOutcome::Applied);
    assert_eq!(rig.connector.extend_login(&rig.system(), &by, &it, until).await, SetOutcome::Applied);
    assert_eq!(rig.connector.remove_login(&rig.system(), &by, &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await);
}
