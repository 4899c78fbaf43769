//! HTTP APIs, by the descriptions that are shipped as examples.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{HttpAuthentication, HttpBody, HttpCalls, ProbeResult, SystemSpec};
use claviger_connectors::laws::{Fixture, HOSTILE_SECRETS, ephemeral, hosts, probing, setting};
use claviger_connectors::{Connector, Credential, Deadlines, Direct, NewLogin, Registry, SetOutcome, http};
use claviger_tests::faulty::Fault;
use claviger_tests::firewall::{LOCKOUT_THRESHOLD, Odd};
use claviger_tests::postgres::HOST;
use serde_json::json;

use super::http_rig::{CHANGES, Rig, connector, firewall, service};
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
    setting::a_lost_reply_is_unknown(&rig).await;
    setting::a_lost_change_is_not_claimed(&rig).await;
    setting::names_are_never_cut(&rig).await;
}

#[tokio::test]
async fn laws_of_ephemeral_logins() {
    let rig = Rig::start().await;
    ephemeral::made_and_removed_twice(&rig).await;
    ephemeral::the_end_is_the_systems_own(&rig).await;
    ephemeral::removal_ends_sessions_and_keeps_property(&rig).await;
    ephemeral::sessions_end_on_demand(&rig).await;
    ephemeral::others_logins_are_left_alone(&rig).await;
    ephemeral::hostile_names_are_exact(&rig).await;
    ephemeral::no_half_login(&rig).await;
    ephemeral::a_lost_reply_is_settled_by_repeating(&rig).await;
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

#[tokio::test]
async fn anvil_ssrf() {
    let rig = Rig::start().await;
    let guarded = Registry::standard(Arc::new(Direct::new(vec![]))).connector(&rig.system());
    assert_eq!(guarded.kind(), "http");
    for host in [HOST, "localhost", "127.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let Credential { login, secret } = rig.management();
        let probe = guarded.probe(&rig.at(host, rig.firewall.port()), login, secret).await;
        assert_eq!(probe.result, ProbeResult::Unreachable, "{host}: {}", probe.detail);
        assert!(probe.detail.contains("not an address the vault connects to"), "{host}: {}", probe.detail);
    }
    assert_eq!(rig.firewall.requests(), Vec::<String>::new());
}

/// Whatever names and secrets look like, they are one value in their place, or nothing is sent.
#[tokio::test]
async fn hostile_logins_and_secrets_are_exact_or_refused() {
    let rig = Rig::start().await;
    setting::hostile_logins_are_exact(&rig).await;
    setting::hostile_secrets_are_exact(&rig).await;
    for clear in HOSTILE_SECRETS {
        assert!(!rig.firewall.requests().iter().any(|line| line.contains(clear)), "a secret in an address: {clear}");
    }
}

/// A name that would lead elsewhere in a path is not sent there, however servers decode it.
#[tokio::test]
async fn a_name_does_not_lead_elsewhere() {
    let rig = Rig::start().await;
    let (victim, untouched) = (login("victim"), rig.fresh_secret());
    rig.add_login(&victim, &untouched).await;
    let _ = rig.firewall.requests();
    for name in ["../victim", "x/../victim", "..", ".", "victim/password", "..\\victim", "%2e%2e/victim"] {
        let it = login(name);
        rig.add_login(&it, &rig.fresh_secret()).await;
        let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{name}: {outcome:?}");
        assert_eq!(rig.firewall.requests(), ["GET /api/v1/me"], "{name}: nothing but the login was sent");
    }
    // What only looks so is a name like any other.
    for name in ["victim%2Fpassword", "%2e%2e", "victim?x=1", "victim#", "victim;x", "...", " victim", "víctim&a=b"] {
        let (it, new) = (login(name), rig.fresh_secret());
        rig.add_login(&it, &rig.fresh_secret()).await;
        let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &new).await;
        assert_eq!(outcome, SetOutcome::Applied, "{name}");
        assert!(rig.opens(&it, &new).await, "{name}");
    }
    assert!(rig.opens(&victim, &untouched).await, "nobody else was touched");
}

/// In a header no value goes on in the next line, and none is changed on its way: what a header cannot hold is refused.
#[tokio::test]
async fn a_value_in_a_header_stays_in_it() {
    let rig = Rig::start().await;
    let mut calls = firewall();
    calls.set.body = None;
    calls.set.headers.insert("x-new-password".to_owned(), "{new_secret}".to_owned());
    let system = rig.firewall.spec(calls);
    let it = login("it");
    rig.add_login(&it, &rig.fresh_secret()).await;
    for bad in
        ["a\r\nx-admin: yes", "a\nb-and-more", "tab\tinside", " leading-and-more", "trailing-and-more ", "pässwörd"]
    {
        let _ = rig.firewall.requests();
        let outcome = rig.connector.set(&system, &rig.management(), &it, &secret(bad)).await;
        let SetOutcome::Refused { detail, by_policy: true } = outcome else { panic!("{bad:?}: {outcome:?}") };
        assert!(!detail.contains(bad.trim()), "{detail}");
        assert_eq!(rig.firewall.requests(), ["GET /api/v1/me"], "{bad:?}");
    }
    // A colon ends a login of HTTP basic authentication: another account would be tried.
    let with_colon = login("admin:x");
    rig.add_login(&with_colon, &rig.fresh_secret()).await;
    let probe = rig.connector.probe(&rig.system(), &with_colon, &rig.fresh_secret()).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
    assert_eq!(rig.firewall.failed("admin"), 0);
}

/// A query and a form have their own signs, and none of them is one in a value.
#[tokio::test]
async fn values_in_a_query_and_a_form_stay_in_them() {
    let rig = Rig::start().await;
    let (system, token, manager) = (rig.service(), rig.firewall.token(), login("the API token"));
    let by = Credential { login: &manager, secret: &token };
    let (victim, untouched) = (login("victim"), rig.fresh_secret());
    rig.add_login(&victim, &untouched).await;
    for name in ["x&member=victim", "victim&password=owned", "a=b", "a+b", "100%", "../x/y", "CORP\\é", "#", "victim "]
    {
        let it = login(name);
        rig.add_login(&it, &rig.fresh_secret()).await;
        for text in HOSTILE_SECRETS.into_iter().chain(["a&password=owned", "100%25 and +", "\"}, {\"", "line\r\nbreak"])
        {
            let new = secret(text);
            assert_eq!(rig.connector.set(&system, &by, &it, &new).await, SetOutcome::Applied, "{name}: {text:?}");
            assert!(rig.opens(&it, &new).await, "{name}: {text:?}");
            assert_eq!(rig.connector.probe(&system, &it, &new).await.result, ProbeResult::Accepted, "{name}: {text:?}");
        }
    }
    assert!(rig.opens(&victim, &untouched).await, "nobody else was touched");
}

/// A password in JSON is a text, whatever it looks like.
#[tokio::test]
async fn a_secret_does_not_end_its_text_in_json() {
    let rig = Rig::start().await;
    let it = login("it");
    rig.add_login(&it, &rig.fresh_secret()).await;
    for text in
        ["\"}", "x\", \"admin\": true, \"y\": \"", "\\", "\\u0041\\", "{new_secret}{login}", "a\nb\tc\u{1}\u{7f}"]
    {
        let new = secret(&format!("{text}-long-enough"));
        let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &new).await;
        assert_eq!(outcome, SetOutcome::Applied, "{text:?}");
        assert!(rig.opens(&it, &new).await, "{text:?}");
    }
}

/// What the API says of its policy, its lockout and its state is understood, and nobody's words show a secret.
#[tokio::test]
async fn answers_mean_what_the_description_says() {
    use ProbeResult::{Accepted, LockedOut, Refused};
    let rig = Rig::start().await;
    let (system, wrong, first) = (rig.system(), rig.fresh_secret(), rig.fresh_secret());
    let [locked, expired, it] = ["locked", "expired", "it"].map(login);
    for login in [&locked, &expired, &it] {
        rig.add_login(login, &first).await;
    }
    assert_eq!(rig.connector.traits(&system).lockout_threshold, Some(LOCKOUT_THRESHOLD));
    for failed in 1..=LOCKOUT_THRESHOLD {
        assert_eq!(rig.connector.probe(&system, &locked, &wrong).await.result, Refused);
        assert_eq!(rig.firewall.failed("locked"), failed, "a probe costs one failed login");
    }
    assert_eq!(rig.connector.probe(&system, &locked, &first).await.result, LockedOut);
    let by = Credential { login: &locked, secret: &first };
    let outcome = rig.connector.set(&system, &by, &locked, &rig.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: LockedOut, .. }), "{outcome:?}");

    rig.firewall.expire("expired");
    let probe = rig.connector.probe(&system, &expired, &first).await;
    assert_eq!(probe.result, Accepted);
    assert!(probe.detail.contains("has to be changed"), "{}", probe.detail);
    assert_eq!(rig.connector.probe(&system, &expired, &wrong).await.result, Refused);

    let second = rig.fresh_secret();
    assert_eq!(rig.connector.set(&system, &rig.management(), &it, &second).await, SetOutcome::Applied);
    for (bad, why) in [(secret("tiny"), "it is too short"), (secret(first.expose()), "it was used before")] {
        let outcome = rig.connector.set(&system, &rig.management(), &it, &bad).await;
        let SetOutcome::Refused { detail, by_policy: true } = outcome else { panic!("{outcome:?}") };
        assert!(detail.contains(why) && detail.contains("status 422") && !detail.contains(bad.expose()), "{detail}");
        assert!(rig.opens(&it, &second).await, "nothing was changed");
    }
}

/// A described call that no API can be made to misanswer for long: each odd answer is an unknown outcome, and what was
/// done all the same is found by a login.
#[tokio::test]
async fn odd_answers_are_unknown_outcomes() {
    let rig = Rig::start().await;
    let second = Duration::from_secs(1);
    let hasty = connector(Deadlines { login: 2 * second, work: second, statement: second });
    let (it, mut present) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &present).await;
    let _ = rig.firewall.requests();
    for odd in [Odd::Hang, Odd::HalfAnswer, Odd::Close, Odd::ServerError, Odd::Redirect, Odd::Giant, Odd::NotJson] {
        let new = rig.fresh_secret();
        rig.firewall.next_change(odd);
        let outcome = hasty.set(&rig.system(), &rig.management(), &it, &new).await;
        assert!(matches!(outcome, SetOutcome::Unknown(_)), "{odd:?}: {outcome:?}");
        assert_eq!(rig.firewall.requests(), ["GET /api/v1/me", "PUT /api/v1/users/it/password"], "{odd:?}: once");
        if odd != Odd::Redirect {
            present = new;
        }
        assert!(rig.opens(&it, &present).await, "{odd:?}");
    }
    for (odd, expected) in [
        (Odd::HalfAnswer, ProbeResult::Unreachable),
        (Odd::Close, ProbeResult::Unreachable),
        (Odd::ServerError, ProbeResult::Unknown),
        (Odd::Redirect, ProbeResult::Unknown),
        (Odd::Giant, ProbeResult::Unknown),
        (Odd::Hang, ProbeResult::Unreachable),
    ] {
        rig.firewall.next_login(odd);
        let probe = hasty.probe(&rig.system(), &it, &present).await;
        assert_eq!(probe.result, expected, "{odd:?}: {}", probe.detail);
        rig.firewall.next_login(odd);
        let outcome = hasty.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await;
        assert!(matches!(outcome, SetOutcome::NotSent { result, .. } if result == expected), "{odd:?}: {outcome:?}");
        assert!(rig.opens(&it, &present).await, "{odd:?}: nothing was sent");
    }
    assert!(!rig.firewall.requests().iter().any(|line| line.contains("elsewhere")), "no redirect is followed");
}

#[tokio::test]
async fn a_reply_that_never_comes_is_unknown() {
    let rig = Rig::start().await;
    let (it, new) = (login("waiting"), rig.fresh_secret());
    rig.add_login(&it, &rig.fresh_secret()).await;
    let second = Duration::from_secs(1);
    let hasty = connector(Deadlines { login: second, work: second, statement: second });
    let outcome = hasty.set(&rig.behind(Fault::HoldReply(CHANGES)), &rig.management(), &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert!(rig.opens(&it, &new).await, "it was applied all the same");
}

/// A service whose answers are told by their bodies, whose management account is a token, and whose logins open a session.
#[tokio::test]
async fn a_service_by_tokens_and_bodies() {
    use ProbeResult::{Accepted, LockedOut, Refused};
    let rig = Rig::start().await;
    let (system, token, manager) = (rig.service(), rig.firewall.token(), login("the API token"));
    let by = Credential { login: &manager, secret: &token };
    let (it, first, second) = (login("it"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &first).await;
    assert_eq!(rig.connector.probe(&system, &it, &first).await.result, Accepted);
    assert_eq!(rig.connector.probe(&system, &it, &second).await.result, Refused);
    for _ in 0..2 {
        assert_eq!(rig.connector.set(&system, &by, &it, &second).await, SetOutcome::Applied);
        assert!(rig.opens(&it, &second).await);
    }
    let outcome = rig.connector.set(&system, &by, &it, &secret("tiny")).await;
    assert!(
        matches!(&outcome, SetOutcome::Refused { detail, by_policy: true } if detail.contains("too short")),
        "{outcome:?}"
    );
    let outcome = rig.connector.set(&system, &by, &login("nobody"), &second).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    let (wrong, third) = (rig.fresh_secret(), rig.fresh_secret());
    let by_wrong = Credential { login: &manager, secret: &wrong };
    let outcome = rig.connector.set(&system, &by_wrong, &it, &third).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: Refused, .. }), "{outcome:?}");
    for _ in 0..LOCKOUT_THRESHOLD {
        assert_eq!(rig.connector.probe(&system, &it, &third).await.result, Refused);
    }
    assert_eq!(rig.connector.probe(&system, &it, &second).await.result, LockedOut);
    let traits = rig.connector.traits(&system);
    assert!(!traits.makes_logins && !traits.ends_sessions && !traits.ends_logins);
    let until = rig.now().await;
    let new = NewLogin { login: &it, secret: &first, member_of: &[], sudo_rules: &[], valid_until: until };
    for outcome in [
        rig.connector.create_login(&system, &by, &new).await,
        rig.connector.extend_login(&system, &by, &it, until).await,
        rig.connector.remove_login(&system, &by, &it).await,
        rig.connector.end_sessions(&system, &by, &it).await,
    ] {
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    }
}

/// The session that a login opens is known in the call after it, as a secret is: in a header, and in nobody's words.
#[tokio::test]
async fn a_session_is_used_by_the_next_call() {
    let rig = Rig::start().await;
    let mut calls = service();
    calls.verify_manager = None;
    calls.set = firewall().set;
    calls.set.authentication = None;
    calls.set.headers.insert("authorization".to_owned(), "Bearer {session}".to_owned());
    let system = rig.firewall.spec(calls.clone());
    let (it, first) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &first).await;
    // The firewall knows no such tokens, so it says who may not: the call was made, with a session.
    let by = Credential { login: &it, secret: &first };
    let outcome = rig.connector.set(&system, &by, &it, &rig.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    // Where the login gives none, nothing is sent.
    calls.verify.session = Some("/nowhere".to_owned());
    let _ = rig.firewall.requests();
    let outcome = rig.connector.set(&rig.firewall.spec(calls), &by, &it, &rig.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Unknown, .. }), "{outcome:?}");
    assert_eq!(rig.firewall.requests(), ["POST /v2/login"]);
}

/// A call that names nobody would change whoever asks: the management account's own secret, in place of another's.
#[tokio::test]
async fn nobody_changes_themselves_in_place_of_another() {
    let rig = Rig::start().await;
    let mut calls = firewall();
    calls.set.path = "/api/v1/users/{manager}/password".to_owned();
    let system = rig.firewall.spec(calls);
    let (it, first, second) = (login("it"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &first).await;
    let outcome = rig.connector.set(&system, &rig.management(), &it, &second).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert!(rig.opens(rig.management().login, rig.management().secret).await, "the administrator is as it was");
    let by = Credential { login: &it, secret: &first };
    assert_eq!(rig.connector.set(&system, &by, &it, &second).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &second).await);
}

/// An API that wants the old secret gets it from the login itself; nobody else knows it, and nothing is made up.
#[tokio::test]
async fn the_old_secret_is_said_by_the_login_itself_only() {
    let rig = Rig::start().await;
    let mut calls = firewall();
    calls.set.body = Some(HttpBody::Json(json!({ "old": "{secret}", "password": "{new_secret}" })));
    let system = rig.firewall.spec(calls);
    let (it, first, second) = (login("it"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &first).await;
    let outcome = rig.connector.set(&system, &rig.management(), &it, &second).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    let by = Credential { login: &it, secret: &first };
    assert_eq!(rig.connector.set(&system, &by, &it, &second).await, SetOutcome::Applied);
}

type Spoil = fn(&mut HttpCalls);

/// What is wrong in a description, and where: each of these once, and then all of them at once.
#[test]
fn a_description_is_judged_as_a_whole() {
    for good in [firewall(), service()] {
        assert_eq!(http::faults(&good), Vec::new());
    }
    let wrongs: [(&str, Spoil); 30] = [
        ("set.path", |it| it.set.path = "/u/{login}/{new_secret}".to_owned()),
        ("set.path", |it| it.set.path = "/u/{login}?x".to_owned()),
        ("set.path", |it| it.set.path = "/u/%2e%2e/{login}".to_owned()),
        ("set.path", |it| it.set.path = "/u/../{login}".to_owned()),
        ("set.path", |it| it.set.path = "/u//{login}".to_owned()),
        ("set.path", |it| it.set.path = "u/{login}".to_owned()),
        ("set.path", |it| it.set.path = "/u/{Login}".to_owned()),
        ("set.path", |it| it.set.path = "/u/{login".to_owned()),
        ("set.query.key", |it| drop(it.set.query.insert("key".to_owned(), "{manager_secret}".to_owned()))),
        ("verify.query.password", |it| drop(it.verify.query.insert("password".to_owned(), "{secret}".to_owned()))),
        ("set.query.s", |it| {
            it.verify.session = Some("/token".to_owned());
            it.set.query.insert("s".to_owned(), "{session}".to_owned());
        }),
        ("set.headers.host", |it| drop(it.set.headers.insert("host".to_owned(), "x".to_owned()))),
        ("set.headers.x", |it| drop(it.set.headers.insert("x".to_owned(), "a\r\ny: b".to_owned()))),
        ("set.headers.a b", |it| drop(it.set.headers.insert("a b".to_owned(), "x".to_owned()))),
        ("set.headers.authorization", |it| {
            it.set.headers.insert("authorization".to_owned(), "x".to_owned());
        }),
        ("set", |it| it.set.body = None),
        ("set", |it| it.set.path = "/u/{valid_until}/{login}".to_owned()),
        ("set.body.json/a~1b/0", |it| {
            it.set.body = Some(HttpBody::Json(json!({ "a/b": ["{x}"], "c": "{new_secret}" })));
        }),
        ("set.body.json/{login}", |it| {
            it.set.body = Some(HttpBody::Json(json!({ "{login}": 1, "c": "{new_secret}" })));
        }),
        ("set.body.json", |it| it.set.body = Some(HttpBody::Json(json!(vec!["{new_secret}"; 300])))),
        ("verify.body", |it| it.verify.body = Some(HttpBody::Json(json!({})))),
        ("verify", |it| it.verify.authentication = None),
        ("verify.answers", |it| it.verify.answers.retain(|answer| answer.status != [401])),
        ("verify.answers[0].means", |it| {
            it.verify.answers.first_mut().unwrap().means = claviger_api::wire::HttpMeaning::Applied;
            it.verify.answers.extend(service().verify.answers);
        }),
        ("verify.answers[0].status", |it| it.verify.answers.first_mut().unwrap().status = vec![20]),
        ("verify.answers[0].equals", |it| it.verify.answers.first_mut().unwrap().equals = Some(json!(1))),
        ("verify.words", |it| it.verify.words = Some("error".to_owned())),
        ("set.session", |it| it.set.session = Some("/token".to_owned())),
        ("find", |it| it.find = None),
        ("extend", |it| it.extend = None),
    ];
    for (at, spoil) in wrongs {
        let mut calls = firewall();
        spoil(&mut calls);
        let found: Vec<String> = http::faults(&calls).into_iter().map(|fault| fault.at).collect();
        assert_eq!(found, [at], "{calls:?}");
    }
    let groups = |it: &mut HttpCalls, text: &str| {
        let made = json!({ "n": "{login}", "p": "{new_secret}", "c": "{mark}", "g": text, "v": "{valid_until}" });
        it.create.as_mut().unwrap().body = Some(HttpBody::Json(made));
    };
    let mut several = firewall();
    groups(&mut several, "x {groups}");
    several.set.authentication = Some(HttpAuthentication::Bearer);
    several.set.answers.clear();
    several.remove = None;
    let found: Vec<String> = http::faults(&several).into_iter().map(|fault| fault.at).collect();
    assert_eq!(found, ["set.answers", "set.answers", "create", "remove"]);
}

/// Traits follow from what is described.
#[tokio::test]
async fn what_an_api_can_do_follows_from_its_calls() {
    let rig = Rig::start().await;
    let traits = rig.connector.traits(&rig.system());
    assert!(traits.makes_logins && traits.ends_sessions && traits.ends_logins);
    let mut system = rig.system();
    let SystemSpec::Http { calls, grace_seconds, propagation_seconds, .. } = &mut system else { unreachable!() };
    (*grace_seconds, *propagation_seconds) = (7, 3);
    calls.end_sessions = None;
    calls.extend = None;
    let body = json!({ "name": "{login}", "password": "{new_secret}", "comment": "{mark}" });
    calls.create.as_mut().unwrap().body = Some(HttpBody::Json(body));
    assert_eq!(http::faults(calls), Vec::new());
    let traits = rig.connector.traits(&system);
    assert!(traits.makes_logins && !traits.ends_sessions && !traits.ends_logins);
    assert_eq!((traits.grace, traits.propagation), (Duration::from_secs(7), Duration::from_secs(3)));
    // It was told no end and no groups: an end of the vault's own is all there is, and no group is passed over.
    let (it, right) = (login("endless"), rig.fresh_secret());
    let until = rig.now().await;
    let mut new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: until };
    assert_eq!(rig.connector.create_login(&system, &rig.management(), &new).await, SetOutcome::Applied);
    assert_eq!(rig.connector.extend_login(&system, &rig.management(), &it, until).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &right).await);
    let group = [login("group")];
    new.member_of = &group;
    let outcome = rig.connector.create_login(&system, &rig.management(), &new).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert_eq!(rig.connector.remove_login(&system, &rig.management(), &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await);
}

/// An empty password never gets here; one that a header would make empty does not either.
#[test]
fn anvil_null_bind() {
    for blank in ["", " ", "\t\n", "a\0b"] {
        assert!(Secret::new(blank.to_owned()).is_err(), "{blank:?} never reaches a connector");
    }
}
