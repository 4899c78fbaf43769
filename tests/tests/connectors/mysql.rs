//! MariaDB.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_connectors::laws::{Fixture, HOSTILE, HOSTILE_SECRETS, ephemeral, hosts, listing, probing, setting};
use claviger_connectors::{Connector, Credential, Deadlines, Direct, NewLogin, Registry, SetOutcome};
use claviger_tests::faulty::Fault;
use claviger_tests::mariadb::account;
use claviger_tests::postgres::{HOST, OTHER_HOST};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::mysql_rig::{CHANGES, Rig, connector};
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
    ephemeral::removal_ends_sessions_and_keeps_property(&rig).await;
    ephemeral::sessions_end_on_demand(&rig).await;
    ephemeral::others_logins_are_left_alone(&rig).await;
    ephemeral::no_half_login(&rig).await;
    ephemeral::a_lost_reply_is_settled_by_repeating(&rig).await;
}

#[tokio::test]
async fn laws_of_listing() {
    let rig = Rig::start().await;
    listing::an_unplanned_power_is_found_with_its_reason(&rig).await;
    listing::who_is_barred_is_told_apart(&rig).await;
    listing::logins_for_a_time_bear_the_mark(&rig).await;
    listing::hostile_names_arrive_exactly(&rig).await;
    listing::whoever_does_not_get_in_is_told_why(&rig).await;
    power_by_a_role_or_by_the_tables_themselves_is_found(&rig).await;
    whoever_may_not_see_the_accounts_is_told_so(&rig).await;
}

/// Two accounts of one user are two; roles are none.
async fn power_by_a_role_or_by_the_tables_themselves_is_found(rig: &Rig) {
    for sql in [
        "CREATE ROLE inner_role; GRANT SUPER ON *.* TO inner_role",
        "CREATE ROLE outer_role; GRANT inner_role TO outer_role",
        "CREATE USER 'twin'@'10.%'; CREATE USER 'twin'@'127.%'; GRANT outer_role TO 'twin'@'127.%'",
        "CREATE USER 'scribe'@'%'; GRANT INSERT ON mysql.* TO 'scribe'@'%'",
    ] {
        for statement in sql.split("; ") {
            rig.mariadb.run_sql(statement);
        }
    }
    let logins = listing::all(rig).await;
    let of = |name: &str| listing::one(rig, &logins, &login(name)).privileges.clone();
    assert_eq!(of("twin@127.%"), ["SUPER by role inner_role"]);
    assert!(of("twin@10.%").is_empty());
    assert_eq!(of("scribe"), ["writes the tables of accounts (mysql)"]);
    assert!(!logins.found.iter().any(|found| found.name.contains("_role")), "a role is no login");
}

async fn whoever_may_not_see_the_accounts_is_told_so(rig: &Rig) {
    let (nobody, secret) = (login("nobody-special"), rig.fresh_secret());
    rig.add_login(&nobody, &secret).await;
    let by = Credential { login: &nobody, secret: &secret };
    let refused = rig.connector.logins(&rig.system(), &by).await.unwrap_err();
    assert!(refused.result == ProbeResult::Accepted && refused.detail.contains("denied"), "{refused:?}");
    // What the docs say that it needs.
    rig.mariadb.run_sql(&format!("GRANT SELECT ON mysql.* TO {}", account(nobody.as_str())));
    assert!(rig.connector.logins(&rig.system(), &by).await.is_ok());
}

#[tokio::test]
async fn anvil_hostile_system() {
    let mut rig = Rig::start().await;
    // The server speaks first: every call that meets silence lasts as long as a login may.
    let (login, second) = (Duration::from_millis(500), Duration::from_secs(1));
    rig.connector = connector(Deadlines { login, work: 6 * second, statement: second });
    hosts::strangers_are_not_trusted(&rig).await;
    hosts::silence_is_unreachable(&rig).await;
    hosts::nonsense_is_unknown(&rig).await;
}

#[tokio::test]
async fn anvil_sql_names() {
    let rig = Rig::start().await;
    setting::hostile_logins_are_exact(&rig).await;
    setting::names_are_never_cut(&rig).await;
    setting::hostile_secrets_are_exact(&rig).await;
    for name in HOSTILE.into_iter().map(login).filter(|name| rig.takes_login(name)) {
        let new = rig.fresh_secret();
        assert_eq!(
            rig.connector.set(&rig.system(), &rig.management(), &name, &new).await,
            SetOutcome::Applied,
            "{name}"
        );
        assert!(rig.opens(&name, &new).await, "{name} by the management account");
    }
    let log = rig.mariadb.query_log();
    assert!(log.contains("ALTER USER 'hostile-secret'@'%' IDENTIFIED VIA"), "statements are logged");
    for clear in HOSTILE_SECRETS {
        assert!(!log.contains(clear), "a clear password in the server's log: {clear}");
    }
}

#[tokio::test]
async fn anvil_sql_names_of_ephemeral_logins() {
    let rig = Rig::start().await;
    ephemeral::hostile_names_are_exact(&rig).await;
    let (it, canary) = (login("canary"), rig.fresh_secret());
    let new = NewLogin { login: &it, secret: &canary, member_of: &[], sudo_rules: &[], valid_until: rig.now().await };
    assert_eq!(rig.connector.create_login(&rig.system(), &rig.management(), &new).await, SetOutcome::Applied);
    let log = rig.mariadb.query_log();
    assert!(log.contains("CREATE USER 'canary'@'%'"), "statements are logged");
    assert!(!log.contains(canary.expose()), "a clear password in the server's log");
}

#[tokio::test]
async fn anvil_ssrf() {
    let rig = Rig::start().await;
    let guarded = Registry::standard(Arc::new(Direct::new(vec![]))).connector(&rig.system());
    assert_eq!(guarded.kind(), "mysql");
    for host in [HOST, "localhost", "127.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let system = rig.at(host, rig.mariadb.port());
        let Credential { login, secret } = rig.management();
        let probe = guarded.probe(&system, login, secret).await;
        assert_eq!(probe.result, ProbeResult::Unreachable, "{host}: {}", probe.detail);
        assert!(probe.detail.contains("not an address the vault connects to"), "{host}: {}", probe.detail);
    }
}

/// Two accounts of one user are two accounts. Which one a login reaches is the server's choice, and it is looked at.
#[tokio::test]
async fn the_host_part_is_kept_and_no_other_account_is_taken_for_it() {
    let rig = Rig::start().await;
    let (near, far) = (login("twin@127.%"), login("twin@10.%"));
    let everywhere = login("twin");
    let (old, new) = (rig.fresh_secret(), rig.fresh_secret());
    for it in [&near, &far, &everywhere] {
        rig.add_login(it, &old).await;
    }
    for it in [&far, &everywhere] {
        let probe = rig.connector.probe(&rig.system(), it, &old).await;
        assert_eq!(probe.result, ProbeResult::Unknown, "{it}: {}", probe.detail);
        assert!(probe.detail.contains("takes this login for the account twin@127.%"), "{}", probe.detail);
        let by = Credential { login: it, secret: &old };
        let outcome = rig.connector.set(&rig.system(), &by, it, &new).await;
        assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Unknown, .. }), "{outcome:?}");
    }
    let hash = |host: &str| {
        let query = format!(
            "SELECT JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE User = 'twin' AND Host = '{host}'"
        );
        rig.mariadb.ask(&query)
    };
    let before = (hash("10.%"), hash("%"));
    for by in [rig.management(), Credential { login: &near, secret: &old }] {
        assert_eq!(rig.connector.set(&rig.system(), &by, &near, &new).await, SetOutcome::Applied);
        assert_eq!(rig.connector.probe(&rig.system(), &near, &new).await.result, ProbeResult::Accepted);
        rig.mariadb.run_sql(&format!("ALTER USER 'twin'@'127.%' IDENTIFIED BY '{}'", old.expose()));
    }
    assert_eq!((hash("10.%"), hash("%")), before, "the others are untouched");
}

/// A server without its tables of accounts lets everybody in, and cannot say whom.
#[tokio::test]
async fn a_server_that_checks_nobody_proves_nothing() {
    let mut rig = Rig::start().await;
    let (it, wrong) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &rig.fresh_secret()).await;
    rig.mariadb.start_again_with(&["--skip-grant-tables", "--skip-networking=0"]).await;
    let probe = rig.connector.probe(&rig.system(), &it, &wrong).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
}

/// Each thing that a server can say to a login.
#[tokio::test]
async fn every_answer_to_a_login_has_its_word() {
    use ProbeResult::{Accepted, LockedOut, Refused};
    let rig = Rig::start_with(&["--max-password-errors=3"]).await;
    let right = rig.fresh_secret();
    let users = ["plain", "locked", "expired", "full", "modern", "both", "blocked", "by_tls"];
    for user in users {
        rig.add_login(&login(user), &right).await;
    }
    let password = right.expose();
    for statement in [
        "ALTER USER locked ACCOUNT LOCK".to_owned(),
        "ALTER USER expired PASSWORD EXPIRE".to_owned(),
        "ALTER USER `full` WITH MAX_CONNECTIONS_PER_HOUR 1".to_owned(),
        format!("ALTER USER modern IDENTIFIED VIA ed25519 USING PASSWORD('{password}')"),
        format!("ALTER USER `both` IDENTIFIED VIA unix_socket OR ed25519 USING PASSWORD('{password}')"),
        "ALTER USER by_tls REQUIRE SSL".to_owned(),
        "CREATE USER by_socket IDENTIFIED VIA unix_socket".to_owned(),
        "CREATE USER without".to_owned(),
        "CREATE ROLE role_only".to_owned(),
    ] {
        rig.mariadb.run_sql(&statement);
    }
    assert!(rig.opens(&login("full"), &right).await, "its one session of this hour");
    let (system, bare, wrong) = (rig.system(), rig.mariadb.spec(TlsMode::Disable), rig.fresh_secret());
    let table: &[(&str, &SystemSpec, ProbeResult, ProbeResult)] = &[
        // user, system, with the right secret, with a wrong one
        ("plain", &system, Accepted, Refused),
        ("plain", &bare, Accepted, Refused),
        ("absent", &system, Refused, Refused),
        ("role_only", &system, Refused, Refused),
        ("locked", &system, LockedOut, Refused),
        ("expired", &system, Accepted, Refused),
        ("full", &system, Accepted, Refused),
        ("modern", &system, Accepted, Refused),
        ("modern", &bare, Accepted, Refused),
        ("both", &system, Accepted, Refused),
        ("by_tls", &system, Accepted, Refused),
        ("by_socket", &system, Refused, Refused),
        ("without", &system, Refused, Refused),
    ];
    for (user, system, with_right, with_wrong) in table {
        for (tried, expected) in [(&right, with_right), (&wrong, with_wrong)] {
            let probe = rig.connector.probe(system, &login(user), tried).await;
            assert_eq!(probe.result, *expected, "{user} at {system:?}: {}", probe.detail);
            assert!(!probe.detail.contains(tried.expose()), "a secret in: {}", probe.detail);
        }
    }
    // A right secret after too many wrong ones says nothing any more.
    for _ in 0..3 {
        assert_eq!(rig.connector.probe(&system, &login("blocked"), &wrong).await.result, Refused);
    }
    for tried in [&right, &wrong] {
        let probe = rig.connector.probe(&system, &login("blocked"), tried).await;
        assert_eq!(probe.result, LockedOut, "{}", probe.detail);
    }
}

/// An account's ways to log in: each password is replaced, and what is no password stays.
#[tokio::test]
async fn both_plugins_and_their_mixtures_are_set() {
    let rig = Rig::start().await;
    let old = rig.fresh_secret();
    let password = old.expose();
    let native = format!("mysql_native_password USING PASSWORD('{password}')");
    let modern = format!("ed25519 USING PASSWORD('{password}')");
    for (user, ways) in [
        ("native", native.clone()),
        ("modern", modern.clone()),
        ("mixed", format!("{modern} OR {native} OR unix_socket")),
        ("socket_first", format!("unix_socket OR {native}")),
    ] {
        rig.mariadb.run_sql(&format!("CREATE USER {user} IDENTIFIED VIA {ways} WITH MAX_USER_CONNECTIONS 7"));
        let (it, new) = (login(user), rig.fresh_secret());
        assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &new).await, SetOutcome::Applied, "{user}");
        assert!(rig.opens(&it, &new).await && !rig.opens(&it, &old).await, "{user}");
        let shown = rig.mariadb.ask(&format!("SHOW CREATE USER {user}"));
        let shown = shown.first().unwrap();
        for word in ways.split(' ').filter(|word| ["ed25519", "mysql_native_password", "unix_socket"].contains(word)) {
            let plain = word == "mysql_native_password" && ways == native;
            assert!(plain || shown.contains(word), "{user} lost {word}: {shown}");
        }
        assert!(shown.ends_with("WITH MAX_USER_CONNECTIONS 7"), "{shown}");

        // By itself an account with one password may change it, and one with several is told that it may not.
        let (by, newer) = (Credential { login: &it, secret: &new }, rig.fresh_secret());
        let outcome = rig.connector.set(&rig.system(), &by, &it, &newer).await;
        if ways.contains(" OR ") {
            assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{user}: {outcome:?}");
            assert!(rig.opens(&it, &new).await);
        } else {
            assert_eq!(outcome, SetOutcome::Applied, "{user}");
            assert!(rig.opens(&it, &newer).await && !rig.opens(&it, &new).await, "{user}");
        }
    }
    rig.mariadb.run_sql("CREATE USER by_socket IDENTIFIED VIA unix_socket");
    let outcome = rig.connector.set(&rig.system(), &rig.management(), &login("by_socket"), &old).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("logs in by unix_socket"), "{detail}");
}

#[tokio::test]
async fn an_expired_password_is_changed_by_its_own_account() {
    let rig = Rig::start_with(&["--disconnect-on-expired-password=ON"]).await;
    let (it, old, new) = (login("expired"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&it, &old).await;
    rig.mariadb.run_sql("ALTER USER expired PASSWORD EXPIRE");
    let by = Credential { login: &it, secret: &old };
    assert_eq!(rig.connector.set(&rig.system(), &by, &it, &new).await, SetOutcome::Applied);
    let probe = rig.connector.probe(&rig.system(), &it, &new).await;
    assert_eq!((probe.result, probe.detail.as_str()), (ProbeResult::Accepted, "logged in"));
    assert!(!rig.opens(&it, &old).await);
}

/// The five modes, with and without TLS on the server.
#[tokio::test]
async fn tls_modes_are_those_of_libpq() {
    use ProbeResult::{Accepted, HostMismatch, Unknown};
    for (options, expected) in [
        (&[][..], [Accepted, Accepted, Accepted, Accepted, Accepted, HostMismatch]),
        (&["--skip-ssl"][..], [Accepted, Accepted, Unknown, HostMismatch, HostMismatch, HostMismatch]),
    ] {
        let rig = Rig::start_with(options).await;
        let right = rig.management().secret;
        // The server's certificate does not name OTHER_HOST.
        let tried = [
            (OTHER_HOST, TlsMode::Disable),
            (OTHER_HOST, TlsMode::Prefer),
            (OTHER_HOST, TlsMode::Require),
            (OTHER_HOST, TlsMode::VerifyCa),
            (HOST, TlsMode::VerifyFull),
            (OTHER_HOST, TlsMode::VerifyFull),
        ];
        for ((host, mode), result) in tried.into_iter().zip(expected) {
            let mut system = rig.mariadb.spec(mode);
            let SystemSpec::Mysql { host: at, .. } = &mut system else { unreachable!() };
            host.clone_into(at);
            let probe = rig.connector.probe(&system, &rig.mariadb.administrator(), right).await;
            assert_eq!(probe.result, result, "{options:?}, {mode:?} at {host}: {}", probe.detail);
        }
    }
}

/// A reply that never comes costs the call's own deadline, and the outcome is unknown.
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

/// A change that waits for a lock is given up by the server before nobody waits for it any more.
#[tokio::test]
async fn a_blocked_change_never_arrives_late() {
    let rig = Rig::start().await;
    let (it, old) = (login("blocked"), rig.fresh_secret());
    rig.add_login(&it, &old).await;
    let mut blocker = rig.mariadb.stay("admin", rig.management().secret.expose());
    blocker.run("LOCK TABLES mysql.global_priv READ;");
    let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::Refused { .. } | SetOutcome::Unknown(_)), "{outcome:?}");
    blocker.run("UNLOCK TABLES;");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(rig.opens(&it, &old).await);
}

/// A server that checks passwords in clear does not take hashes, and nothing clear is sent instead.
#[tokio::test]
async fn a_server_that_wants_clear_passwords_is_told_none() {
    let rig = Rig::start_with(&["--plugin-load-add=simple_password_check"]).await;
    let (it, old) = (login("checked"), secret("Long enough, 1 of 2!"));
    rig.add_login(&it, &old).await;
    let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("strict-password-validation"), "{detail}");
    rig.mariadb.run_sql("SET GLOBAL strict_password_validation = OFF");
    let new = rig.fresh_secret();
    assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &new).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &new).await && !rig.opens(&it, &old).await);
}

/// What `docs/connectors.md` says that a management account needs is enough, and less is refused as a whole.
#[tokio::test]
async fn management_needs_what_the_docs_say() {
    let rig = Rig::start().await;
    let (manager, password) = (login("manager@127.%"), rig.fresh_secret());
    rig.add_login(&manager, &password).await;
    let (group, it, made) = (login("readers"), login("made"), rig.fresh_secret());
    rig.add_group(&group).await;
    let by = Credential { login: &manager, secret: &password };
    let groups = std::slice::from_ref(&group);
    let until = rig.now().await + Duration::from_hours(1);
    let new = NewLogin { login: &it, secret: &made, member_of: groups, sudo_rules: &[], valid_until: until };
    for grant in [
        "CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO 'manager'@'127.%'",
        "SELECT ON mysql.* TO 'manager'@'127.%'",
        "UPDATE ON mysql.* TO 'manager'@'127.%'",
        "readers TO 'manager'@'127.%' WITH ADMIN OPTION",
    ] {
        let outcome = rig.connector.create_login(&rig.system(), &by, &new).await;
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "before {grant}: {outcome:?}");
        assert!(!rig.exists(&it).await, "before {grant}");
        rig.mariadb.run_sql(&format!("GRANT {grant}"));
    }
    assert_eq!(rig.connector.create_login(&rig.system(), &by, &new).await, SetOutcome::Applied);
    assert!(rig.is_member(&it, &group).await);
    let mut stay = rig.stay(&it, &made).await;
    assert_eq!(rig.connector.end_sessions(&rig.system(), &by, &it).await, SetOutcome::Applied);
    assert!(!stay.lives().await);

    // Who may not see sessions does not say that there are none.
    let mut stay = rig.stay(&it, &made).await;
    rig.mariadb.run_sql("REVOKE PROCESS ON *.* FROM 'manager'@'127.%'");
    let blind = rig.connector.end_sessions(&rig.system(), &by, &it).await;
    assert!(matches!(&blind, SetOutcome::Refused { detail, .. } if detail.contains("PROCESS")), "{blind:?}");
    assert!(stay.lives().await);
    rig.mariadb.run_sql("GRANT PROCESS ON *.* TO 'manager'@'127.%'");
    assert_eq!(rig.connector.remove_login(&rig.system(), &by, &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await && !stay.lives().await);

    let (standing, old, next) = (login("standing"), rig.fresh_secret(), rig.fresh_secret());
    rig.add_login(&standing, &old).await;
    assert_eq!(rig.connector.set(&rig.system(), &by, &standing, &next).await, SetOutcome::Applied);
    assert!(rig.opens(&standing, &next).await && !rig.opens(&standing, &old).await);
}

/// The mark of a login that the vault made is no way in, and says what it is.
#[tokio::test]
async fn nobody_can_log_in_by_the_mark() {
    let rig = Rig::start().await;
    let (it, right) = (login("marked"), rig.fresh_secret());
    let new = NewLogin {
        login: &it,
        secret: &right,
        member_of: &[],
        sudo_rules: &[],
        valid_until: rig.now().await + Duration::from_hours(1),
    };
    assert_eq!(rig.connector.create_login(&rig.system(), &rig.management(), &new).await, SetOutcome::Applied);
    let shown = rig.mariadb.ask("SHOW CREATE USER marked");
    let mark = rig.mariadb.ask("SELECT CONCAT('*', UPPER(SHA1('claviger: ephemeral login')))");
    assert!(shown.first().unwrap().contains(mark.first().unwrap()), "{shown:?}");
    for tried in ["claviger: ephemeral login", mark.first().unwrap()] {
        assert!(!rig.opens(&it, &secret(tried)).await);
    }
    // A standing account whose password is set keeps no mark, and one that the vault made keeps it.
    assert_eq!(
        rig.connector.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await,
        SetOutcome::Applied
    );
    assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &it).await, SetOutcome::Applied);
}

/// With a database for events the server bars a login by itself, with nobody's help.
#[tokio::test]
async fn an_event_ends_a_login_where_the_vault_is_down() {
    let rig = Rig::start_with(&["--event-scheduler=OFF"]).await;
    rig.mariadb.run_sql("CREATE DATABASE `vault``s`");
    let mut system = rig.system();
    let SystemSpec::Mysql { event_database, .. } = &mut system else { unreachable!() };
    *event_database = Some("vault`s".to_owned());
    assert!(rig.connector.traits(&system).ends_logins && !rig.connector.traits(&rig.system()).ends_logins);
    let (it, right) = (login("ending@127.%"), rig.fresh_secret());
    let soon = rig.now().await + Duration::from_secs(3);
    let new = NewLogin { login: &it, secret: &right, member_of: &[], sudo_rules: &[], valid_until: soon };
    let asleep = rig.connector.create_login(&system, &rig.management(), &new).await;
    assert!(matches!(&asleep, SetOutcome::Refused { detail, .. } if detail.contains("event_scheduler")), "{asleep:?}");
    assert!(!rig.exists(&it).await);
    rig.mariadb.run_sql("SET GLOBAL event_scheduler = ON");
    assert_eq!(rig.connector.create_login(&system, &rig.management(), &new).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &right).await);
    assert_eq!(rig.mariadb.ask("SELECT COUNT(*) FROM information_schema.EVENTS"), ["1"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!rig.opens(&it, &right).await, "the server's own end");
    let later = rig.now().await + Duration::from_hours(1);
    assert_eq!(rig.connector.extend_login(&system, &rig.management(), &it, later).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &right).await);
    assert_eq!(rig.connector.remove_login(&system, &rig.management(), &it).await, SetOutcome::Applied);
    assert_eq!(rig.mariadb.ask("SELECT COUNT(*) FROM information_schema.EVENTS"), ["0"]);
}

/// A server that lies: what it is told, and what it is believed.
#[tokio::test]
async fn a_lying_server_learns_nothing_and_is_not_believed() {
    let right = secret("the-secret-that-nobody-may-learn");
    let patient = connector(Deadlines::STANDARD);
    for (asks, word) in [
        ("mysql_clear_password", "does not speak"),
        ("dialog", "does not speak"),
        ("client_ed25519", "not a MariaDB server"),
    ] {
        let switch = [&[0xfe], asks.as_bytes(), &[0], &[7; 20]].concat();
        let (probe, heard) = told(&patient, &[&greeting("10.11.6-MariaDB"), &switch], &right).await;
        assert_eq!(probe.result, ProbeResult::Unknown, "{asks}: {}", probe.detail);
        assert!(probe.detail.contains(word), "{asks}: {}", probe.detail);
        assert!(!String::from_utf8_lossy(&heard).contains(right.expose()), "{asks}");
    }
    // It lets everybody in, and cannot say whom.
    let (probe, _) = told(&patient, &[&greeting("10.11.6-MariaDB"), &[0, 0, 0, 2, 0, 0, 0]], &right).await;
    assert_ne!(probe.result, ProbeResult::Accepted, "{}", probe.detail);
    // It says the secret aloud, with line breaks that would forge a log.
    let aloud = [&[0xff, 0x15, 0x04], &b"#28000not\nthe-secret-that-nobody-may-learn\x1b[2J"[..]].concat();
    let (probe, _) = told(&patient, &[&greeting("10.11.6-MariaDB"), &aloud], &right).await;
    assert_eq!((probe.result, probe.detail.as_str()), (ProbeResult::Refused, "not; …[2J (1045)"));
    // It is another product, too old, or has a nonce of an impossible length.
    let mut odd = greeting("10.11.6-MariaDB");
    *odd.get_mut(1 + "10.11.6-MariaDB".len() + 1 + 20).unwrap() = 130;
    for (hello, word) in [
        (greeting("8.0.36"), "not a MariaDB server"),
        (greeting("10.3.39-MariaDB"), "MariaDB 10.4 or newer"),
        (odd, "not a MariaDB server"),
    ] {
        let (probe, _) = told(&patient, &[&hello], &right).await;
        assert_eq!(probe.result, ProbeResult::Unknown);
        assert!(probe.detail.contains(word), "{}", probe.detail);
    }
    // It is full, before anybody has said who they are.
    let (probe, _) = told(&patient, &[&[&[0xff, 0x10, 0x04], &b"Too many"[..]].concat()], &right).await;
    assert_eq!(probe.result, ProbeResult::Unreachable, "{}", probe.detail);
}

/// What a probe says of a server that follows this script, a packet an answer; and all that the server heard.
async fn told(connector: &dyn Connector, script: &[&[u8]], secret: &Secret) -> (claviger_connectors::Probe, Vec<u8>) {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script: Vec<Vec<u8>> = script.iter().map(|packet| packet.to_vec()).collect();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut heard, mut number) = (Vec::new(), 0);
        for packet in script {
            let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
            let _ = stream.write_all(&[&length[..3], &[number], &packet].concat()).await;
            let _ = stream.read_buf(&mut heard).await;
            number += 2;
        }
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let system = SystemSpec::Mysql {
        host: HOST.to_owned(),
        port,
        tls: TlsMode::Disable,
        ca_certificate: None,
        lockout_threshold: None,
        event_database: None,
    };
    let probe = connector.probe(&system, &login("it"), secret).await;
    (probe, server.await.unwrap())
}

/// The first packet of a server of this version.
fn greeting(version: &str) -> Vec<u8> {
    let capabilities: u32 = 0x0008_0000 | 0x8000 | 0x0200 | 0x0001;
    let [c0, c1, c2, c3] = capabilities.to_le_bytes();
    [
        &[10][..],
        version.as_bytes(),
        &[0],
        &[1, 0, 0, 0],
        &[9; 8],
        &[0, c0, c1, 45, 2, 0, c2, c3, 21],
        &[0; 10],
        &[9; 12],
        &[0],
        b"mysql_native_password\0",
    ]
    .concat()
}
