//! OpenLDAP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_connectors::laws::{Fixture, HOSTILE_SECRETS, ephemeral, hosts, probing, setting};
use claviger_connectors::{Connector, Credential, Deadlines, Direct, NewLogin, Registry, SetOutcome};
use claviger_tests::faulty::Fault;
use claviger_tests::postgres::{HOST, OTHER_HOST};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::ldap_rig::{CHANGES, Rig, changed, connector, entry};
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
}

#[tokio::test]
async fn laws_of_ephemeral_logins() {
    let rig = Rig::start().await;
    ephemeral::made_and_removed_twice(&rig).await;
    ephemeral::the_end_is_the_systems_own(&rig).await;
    ephemeral::others_logins_are_left_alone(&rig).await;
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

/// Names that end their part of a distinguished name, or a filter, are names and nothing else.
#[tokio::test]
async fn anvil_ldap_escape() {
    let rig = Rig::start().await;
    setting::hostile_logins_are_exact(&rig).await;
    setting::hostile_secrets_are_exact(&rig).await;
    let log = rig.openldap.log();
    assert!(log.contains("PASSMOD"), "operations are logged");
    for clear in HOSTILE_SECRETS {
        assert!(!log.contains(clear), "a clear password in the directory's log: {clear}");
    }
}

/// The same of entries that the vault makes: nobody else's entry is touched, whatever a name looks like.
#[tokio::test]
async fn anvil_ldap_escape_of_ephemeral_logins() {
    let rig = Rig::start().await;
    ephemeral::hostile_names_are_exact(&rig).await;
    let (victim, untouched) = (login("victim"), rig.fresh_secret());
    rig.add_login(&victim, &untouched).await;
    let until = rig.now().await + Duration::from_hours(1);
    for name in ["victim,ou=people", "x)(uid=*", "*", "victim+cn=victim", "#76", " victim", "victim,dc=example,dc=org#"]
    {
        let (it, group, first, second) =
            (login(name), login(&format!("group {name}")), rig.fresh_secret(), rig.fresh_secret());
        rig.add_group(&group).await;
        if name.trim() != name {
            // To a directory spaces in front are nothing: this is the victim's own name, and its entry is not ours.
            let new = NewLogin { login: &it, secret: &first, member_of: &[], sudo_rules: &[], valid_until: until };
            let taken = rig.connector.create_login(&rig.system(), &rig.management(), &new).await;
            assert!(matches!(taken, SetOutcome::Refused { .. }), "{name}: {taken:?}");
            continue;
        }
        let groups = std::slice::from_ref(&group);
        let new = NewLogin { login: &it, secret: &first, member_of: groups, sudo_rules: &[], valid_until: until };
        assert_eq!(
            rig.connector.create_login(&rig.system(), &rig.management(), &new).await,
            SetOutcome::Applied,
            "{name}"
        );
        assert!(rig.is_member(&it, &group).await && !rig.is_member(&victim, &group).await, "{name}");
        assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &second).await, SetOutcome::Applied);
        assert!(rig.opens(&it, &second).await, "{name}");
        assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &it).await, SetOutcome::Applied);
        assert!(!rig.exists(&it).await && rig.exists(&group).await, "{name}");
    }
    assert!(rig.opens(&victim, &untouched).await, "nobody else was touched");
}

/// An empty password would be an anonymous login, which succeeds (RFC 4513 §5.1.2).
#[tokio::test]
async fn anvil_null_bind() {
    for blank in ["", " ", "\t\n", "a\0b", "\0"] {
        assert!(Secret::new(blank.to_owned()).is_err(), "{blank:?} never reaches a connector");
    }
    let rig = Rig::start().await;
    let (it, right) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    for unseen in ["\u{ad}", "\u{200b}", "\u{feff}\u{ad}"] {
        let Ok(unseen) = Secret::new(unseen.to_owned()) else { continue };
        let probe = rig.connector.probe(&rig.system(), &it, &unseen).await;
        assert_eq!(probe.result, ProbeResult::Refused, "{}", probe.detail);
    }
}

#[tokio::test]
async fn anvil_ssrf() {
    let rig = Rig::start().await;
    let guarded = Registry::standard(Arc::new(Direct::new(vec![]))).connector(&rig.system());
    assert_eq!(guarded.kind(), "ldap");
    for host in [HOST, "localhost", "127.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let Credential { login, secret } = rig.management();
        let probe = guarded.probe(&rig.at(host, rig.openldap.port()), login, secret).await;
        assert_eq!(probe.result, ProbeResult::Unreachable, "{host}: {}", probe.detail);
        assert!(probe.detail.contains("not an address the vault connects to"), "{host}: {}", probe.detail);
    }
}

/// What the password policy says is understood, in logins and in changes.
#[tokio::test]
async fn the_password_policy_is_understood() {
    use ProbeResult::{Accepted, LockedOut, Refused};
    let rig =
        Rig::start_with("pwdInHistory: 3\npwdMinLength: 8\npwdCheckQuality: 2\npwdMinAge: 3600\npwdSafeModify: TRUE\n")
            .await;
    let (system, wrong) = (rig.system(), rig.fresh_secret());
    let [locked, expired, young] = ["locked", "expired", "young"].map(login);
    let first = rig.fresh_secret();
    for it in [&locked, &expired, &young] {
        rig.add_login(it, &first).await;
    }
    assert_eq!(rig.connector.traits(&system).lockout_threshold, Some(5));
    for _ in 0..5 {
        assert_eq!(rig.connector.probe(&system, &locked, &wrong).await.result, Refused);
    }
    for tried in [&first, &wrong] {
        let probe = rig.connector.probe(&system, &locked, tried).await;
        assert_eq!(probe.result, LockedOut, "{}", probe.detail);
        assert!(!probe.detail.contains(tried.expose()));
    }
    rig.openldap.change(
        "dn: cn=short,dc=example,dc=org\nchangetype: add\nobjectClass: pwdPolicy\nobjectClass: device\n\
         pwdAttribute: userPassword\npwdMaxAge: 1\npwdGraceAuthNLimit: 0\n",
    );
    rig.openldap.change(&format!(
        "dn: {}\nchangetype: modify\nreplace: pwdPolicySubentry\npwdPolicySubentry: cn=short,dc=example,dc=org\n",
        entry(&expired)
    ));
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (tried, expected) in [(&first, Accepted), (&wrong, Refused)] {
        let probe = rig.connector.probe(&system, &expired, tried).await;
        assert_eq!(probe.result, expected, "{}", probe.detail);
    }
    assert!(rig.connector.probe(&system, &expired, &first).await.detail.contains("expired"));

    // Changes: too young is not about the secret; the administrator is above that, and others are about it.
    let by = Credential { login: &young, secret: &first };
    let outcome = rig.connector.set(&system, &by, &young, &rig.fresh_secret()).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("too young"), "{detail}");
    rig.openldap.change("dn: cn=policy,dc=example,dc=org\nchangetype: modify\nreplace: pwdMinAge\npwdMinAge: 0\n");
    for bad in [secret("short"), secret(first.expose())] {
        let outcome = rig.connector.set(&system, &by, &young, &bad).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{outcome:?}");
        assert!(rig.opens(&young, &first).await);
    }
    let second = rig.fresh_secret();
    assert_eq!(rig.connector.set(&system, &by, &young, &second).await, SetOutcome::Applied);
    assert!(rig.opens(&young, &second).await && !rig.opens(&young, &first).await);
}

/// The five modes, over LDAPS and StartTLS. A password never goes out in clear unless that was said.
#[tokio::test]
async fn tls_modes_are_kept_by_ldaps_and_start_tls() {
    use ProbeResult::{Accepted, HostMismatch, Unknown};
    let rig = Rig::start().await;
    let (clear, encrypted) = (rig.openldap.port(), rig.openldap.tls_port());
    let Credential { login, secret } = rig.management();
    for (host, mode, expected) in [
        (OTHER_HOST, TlsMode::Prefer, Accepted),
        (OTHER_HOST, TlsMode::Require, Accepted),
        (OTHER_HOST, TlsMode::VerifyCa, Accepted),
        (HOST, TlsMode::VerifyFull, Accepted),
        (OTHER_HOST, TlsMode::VerifyFull, HostMismatch),
    ] {
        for (port, start_tls) in [(encrypted, false), (clear, true)] {
            let system = changed(&rig.system(), host, port, mode, start_tls);
            let probe = rig.connector.probe(&system, login, secret).await;
            assert_eq!(probe.result, expected, "{mode:?} at {host}, {start_tls}: {}", probe.detail);
        }
    }
    let probe = rig.connector.probe(&rig.at(HOST, clear), login, secret).await;
    assert_eq!(probe.result, Accepted, "{}", probe.detail);
    // A server without StartTLS is told nothing, whatever the mode.
    for (mode, expected) in [
        (TlsMode::Prefer, Unknown),
        (TlsMode::Require, Unknown),
        (TlsMode::VerifyCa, HostMismatch),
        (TlsMode::VerifyFull, HostMismatch),
    ] {
        let no = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\0\x04\0";
        let (probe, heard) = told(&rig, &[no], mode, true, secret).await;
        assert_eq!(probe.result, expected, "{mode:?}: {}", probe.detail);
        assert!(!String::from_utf8_lossy(&heard).contains(secret.expose()));
    }
}

/// A directory that lies: what it is told, and what it is believed.
#[tokio::test]
async fn a_lying_directory_is_not_believed() {
    let rig = Rig::start().await;
    let right = secret("the-secret-that-nobody-may-learn");
    let said = |code: u8, words: &[u8]| {
        let inner = [&[0x0a, 1, code, 4, 0, 4, u8::try_from(words.len()).unwrap()], words].concat();
        let op = [&[0x61, u8::try_from(inner.len()).unwrap()], &inner[..]].concat();
        [&[0x30, u8::try_from(op.len() + 3).unwrap(), 2, 1, 1], &op[..]].concat()
    };
    let aloud = said(49, b"not\nthe-secret-that-nobody-may-learn\x1b[2J");
    let (probe, _) = told(&rig, &[&aloud], TlsMode::Disable, false, &right).await;
    assert_eq!((probe.result, probe.detail.as_str()), (ProbeResult::Refused, "not; …[2J (InvalidCredentials)"));
    let mut anothers = said(0, b"");
    *anothers.get_mut(4).unwrap() = 9;
    for (answer, expected) in [
        (anothers, ProbeResult::Unknown),
        (said(51, b"busy"), ProbeResult::Unreachable),
        (said(1, b"odd"), ProbeResult::Unknown),
        (said(13, b"TLS first"), ProbeResult::Unknown),
        (b"\x30\x84\xff\xff\xff\xff".to_vec(), ProbeResult::Unreachable),
        (b"\x30\x03\x02\x01\x01".to_vec(), ProbeResult::Unknown),
    ] {
        let (probe, _) = told(&rig, &[&answer], TlsMode::Disable, false, &right).await;
        assert_eq!(probe.result, expected, "{answer:?}: {}", probe.detail);
    }
}

/// What a probe says of a server that answers with these bytes; and all that the server heard.
async fn told(
    rig: &Rig,
    answers: &[&[u8]],
    mode: TlsMode,
    start_tls: bool,
    secret: &Secret,
) -> (claviger_connectors::Probe, Vec<u8>) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for answer in answers {
            let _ = stream.read_buf(&mut heard).await;
            let _ = stream.write_all(&answer).await;
        }
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let system = changed(&rig.system(), HOST, port, mode, start_tls);
    let probe = rig.connector.probe(&system, &login("it"), secret).await;
    (probe, server.await.unwrap())
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

/// Without a password policy the directory has no end of its own, and nothing pretends that it has.
#[tokio::test]
async fn what_a_directory_cannot_do_is_said() {
    let rig = Rig::start().await;
    let mut system = rig.system();
    let SystemSpec::Ldap { password_policy, .. } = &mut system else { unreachable!() };
    *password_policy = false;
    let (with, without) = (rig.connector.traits(&rig.system()), rig.connector.traits(&system));
    assert!(with.ends_logins && !without.ends_logins && !with.ends_sessions);
    let (it, right) = (login("endless"), rig.fresh_secret());
    let new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: rig.now().await };
    assert_eq!(rig.connector.create_login(&system, &rig.management(), &new).await, SetOutcome::Applied);
    assert!(!rig.openldap.find(&entry(&it), "(objectClass=*)", "pwdEndTime").contains("pwdEndTime"));
    assert!(rig.opens(&it, &right).await);
    let outcome = rig.connector.end_sessions(&system, &rig.management(), &it).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    assert_eq!(rig.connector.remove_login(&system, &rig.management(), &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await);
}

/// What `docs/connectors.md` says that a management entry needs is enough, and less is refused as a whole.
#[tokio::test]
async fn management_needs_what_the_docs_say() {
    let rig = Rig::start().await;
    let (manager, other, password, group) =
        (login("manager"), login("other"), rig.fresh_secret(), login("group of readers"));
    rig.add_group(&group).await;
    let (it, made, next) = (login("made"), rig.fresh_secret(), rig.fresh_secret());
    let groups = std::slice::from_ref(&group);
    let until = rig.now().await + Duration::from_hours(1);
    let new = NewLogin { login: &it, secret: &made, member_of: groups, sudo_rules: &[], valid_until: until };
    for (who, may) in [(&other, false), (&manager, true)] {
        rig.add_login(who, &password).await;
        let by = Credential { login: who, secret: &password };
        let outcome = rig.connector.create_login(&rig.system(), &by, &new).await;
        if !may {
            assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
            assert!(!rig.exists(&it).await);
            continue;
        }
        assert_eq!(outcome, SetOutcome::Applied);
        assert!(rig.opens(&it, &made).await && rig.is_member(&it, &group).await);
        assert_eq!(rig.connector.set(&rig.system(), &by, &it, &next).await, SetOutcome::Applied);
        assert_eq!(rig.connector.extend_login(&rig.system(), &by, &it, until).await, SetOutcome::Applied);
        assert_eq!(rig.connector.remove_login(&rig.system(), &by, &it).await, SetOutcome::Applied);
        assert!(!rig.exists(&it).await);
    }
}
