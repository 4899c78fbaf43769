//! PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_connectors::laws::{Fixture, HOSTILE_SECRETS, ephemeral, hosts, listing, probing, setting};
use claviger_connectors::logins::LOGINS_MAX;
use claviger_connectors::{Connector, Credential, Deadlines, Direct, NewLogin, Registry, SetOutcome};
use claviger_tests::faulty::{Fault, Statement};
use claviger_tests::postgres::{HOST, OTHER_HOST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rig::{Rig, connector, login, secret};

#[tokio::test]
async fn laws_of_probing() {
    let rig = Rig::start().await;
    probing::right_wrong_and_absent(&rig).await;
    probing::a_probe_is_silent(&rig).await;
}

#[tokio::test]
async fn laws_of_setting() {
    let rig = Rig::start().await;
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
    power_by_roles_within_roles_is_found_by_anybody(&rig).await;
    those_with_power_are_found_among_thousands(&rig).await;
}

/// Whoever may become a superuser by way of another role is as good as one. No right is needed to see it.
async fn power_by_roles_within_roles_is_found_by_anybody(rig: &Rig) {
    let sql = "CREATE ROLE dbas SUPERUSER NOLOGIN; CREATE ROLE helpers NOLOGIN; GRANT dbas TO helpers; \
               CREATE ROLE helper LOGIN VALID UNTIL '2001-01-01'; GRANT helpers TO helper; \
               CREATE ROLE shell LOGIN; GRANT pg_execute_server_program TO shell";
    rig.postgres.run_sql(sql).await;
    let (nobody, secret) = (login("nobody-special"), rig.fresh_secret());
    rig.add_login(&nobody, &secret).await;
    let by = Credential { login: &nobody, secret: &secret };
    let logins = rig.connector.logins(&rig.system(), &by).await.unwrap();
    let helper = listing::one(rig, &logins, &login("helper"));
    assert_eq!(
        (&helper.privileges[..], &helper.notes[..]),
        (&["member of dbas".to_owned()][..], &["its password has expired".to_owned()][..])
    );
    assert_eq!(listing::one(rig, &logins, &login("shell")).privileges, ["member of pg_execute_server_program"]);
    let dbas = listing::one(rig, &logins, &login("dbas"));
    assert!(!dbas.may_log_in && dbas.privileges == ["superuser"], "{dbas:?}");
    assert!(!logins.found.iter().any(|found| found.name.starts_with("pg_")), "PostgreSQL's own cannot log in");
}

async fn those_with_power_are_found_among_thousands(rig: &Rig) {
    let many =
        format!("DO $$ BEGIN FOR n IN 1..{LOGINS_MAX} LOOP EXECUTE 'CREATE ROLE a' || n || ' LOGIN'; END LOOP; END $$");
    rig.postgres.run_sql(&many).await;
    rig.postgres.run_sql("CREATE ROLE zz_last LOGIN SUPERUSER").await;
    let logins = listing::all(rig).await;
    assert!(logins.cut && logins.found.len() == LOGINS_MAX, "{}", logins.found.len());
    assert_eq!(listing::one(rig, &logins, &login("zz_last")).privileges, ["superuser"]);
}

#[tokio::test]
async fn anvil_hostile_system() {
    let rig = Rig::start().await;
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
    let log = rig.postgres.server_log();
    assert!(log.contains("ALTER ROLE \"hostile-secret\" PASSWORD 'SCRAM-SHA-256$"), "statements are logged");
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
    let log = rig.postgres.server_log();
    assert!(log.contains("CREATE ROLE \"canary\""), "statements are logged");
    assert!(!log.contains(canary.expose()), "a clear password in the server's log");
}

#[tokio::test]
async fn anvil_null_bind() {
    for blank in ["", " ", "\t\n", "a\0b", "\0"] {
        assert!(Secret::new(blank.to_owned()).is_err(), "{blank:?} never reaches a connector");
    }
    // What only SCRAM sees as blank is refused before the system is dialled: nobody listens here.
    let rig = Rig::start().await;
    let (nowhere, it, unseen) = (rig.at(HOST, 1), login("anybody"), secret("\u{ad}\u{ad}"));
    let new = NewLogin { login: &it, secret: &unseen, member_of: &[], sudo_rules: &[], valid_until: rig.now().await };
    for outcome in [
        rig.connector.set(&nowhere, &rig.management(), &it, &unseen).await,
        rig.connector.create_login(&nowhere, &rig.management(), &new).await,
    ] {
        assert!(matches!(outcome, SetOutcome::Refused { by_policy: true, .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn anvil_ssrf() {
    let rig = Rig::start().await;
    let guarded = Registry::standard(Arc::new(Direct::new(vec![]))).connector(&rig.system());
    for host in [HOST, "localhost", "127.1", "::ffff:127.0.0.1", "169.254.169.254"] {
        let system = rig.at(host, rig.postgres.port());
        let Credential { login, secret } = rig.management();
        let probe = guarded.probe(&system, login, secret).await;
        assert_eq!(probe.result, ProbeResult::Unreachable, "{host}: {}", probe.detail);
        assert!(probe.detail.contains("not an address the vault connects to"), "{host}: {}", probe.detail);
    }
    assert_eq!(
        rig.connector.probe(&rig.system(), &rig.postgres.superuser(), rig.management().secret).await.result,
        ProbeResult::Accepted,
        "reached where listed"
    );
}

/// Each thing that a server can say to a login.
#[tokio::test]
async fn every_answer_to_a_login_has_its_word() {
    use ProbeResult::{Accepted, LockedOut, Refused, Unknown, Unreachable};
    let rig = Rig::start().await;
    let right = rig.fresh_secret();
    let roles = ["plain", "barred", "ended", "full", "trusted", "rejected", "hashed", "clear", "nowhere", "outside"];
    for role in roles {
        rig.add_login(&login(role), &right).await;
    }
    rig.postgres
        .run_sql(
            "ALTER ROLE barred NOLOGIN; ALTER ROLE ended VALID UNTIL '2020-01-01'; ALTER ROLE \"full\" CONNECTION LIMIT 0; \
             CREATE ROLE group_only",
        )
        .await;
    rig.postgres.run_sql("CREATE DATABASE closed").await;
    rig.postgres.run_sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await;
    rig.postgres
        .run_sql(&format!("SET password_encryption = md5; ALTER ROLE hashed PASSWORD '{}'", right.expose()))
        .await;
    for rule in ["host all trusted all trust", "host all rejected all reject", "host all clear all password"] {
        rig.postgres.add_host_rule(rule).await;
    }
    rig.postgres.add_host_rule("host all hashed all md5").await;
    let system = rig.system();
    let bare = rig.postgres.spec(TlsMode::Disable);
    let wrong = rig.fresh_secret();
    let table: &[(&str, &SystemSpec, ProbeResult, ProbeResult)] = &[
        // role, system, with the right secret, with a wrong one
        ("plain", &system, Accepted, Refused),
        ("absent", &system, Refused, Refused),
        ("group_only", &system, Refused, Refused),
        ("barred", &system, LockedOut, Refused),
        ("ended", &system, Refused, Refused),
        ("full", &system, Accepted, Refused),
        ("trusted", &system, Unknown, Unknown),
        ("rejected", &system, Unreachable, Unreachable),
        ("hashed", &system, Accepted, Refused),
        ("hashed", &bare, Accepted, Refused),
        ("clear", &system, Accepted, Refused),
        ("clear", &bare, Unknown, Unknown),
        ("nowhere", &in_database(&system, "no such database"), Accepted, Refused),
        ("outside", &in_database(&system, "closed"), Accepted, Refused),
    ];
    for (role, system, with_right, with_wrong) in table {
        for (tried, expected) in [(&right, with_right), (&wrong, with_wrong)] {
            let probe = rig.connector.probe(system, &login(role), tried).await;
            assert_eq!(probe.result, *expected, "{role} at {system:?}: {}", probe.detail);
            assert!(!probe.detail.contains(tried.expose()), "a secret in: {}", probe.detail);
        }
    }
}

/// Where no session can be opened nothing is sent, whatever else the login told.
#[tokio::test]
async fn without_a_session_nothing_is_sent() {
    let rig = Rig::start().await;
    let (it, right) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    rig.postgres.add_host_rule("host all trusted all trust").await;
    rig.add_login(&login("trusted"), &right).await;
    let nowhere = in_database(&rig.system(), "no such database");
    for (system, by, told) in
        [(&nowhere, "it", ProbeResult::Accepted), (&rig.system(), "trusted", ProbeResult::Unknown)]
    {
        let by = login(by);
        let asking = Credential { login: &by, secret: &right };
        let outcome = rig.connector.set(system, &asking, &by, &rig.fresh_secret()).await;
        assert!(matches!(&outcome, SetOutcome::NotSent { result, .. } if *result == told), "{by}: {outcome:?}");
    }
    assert!(rig.opens(&it, &right).await);
}

#[tokio::test]
async fn a_server_that_is_full_or_down_says_nothing_about_a_secret() {
    let mut rig =
        Rig::start_with(&[("max_connections", "4"), ("superuser_reserved_connections", "0"), ("max_wal_senders", "0")])
            .await;
    let (it, right) = (login("it"), rig.fresh_secret());
    rig.add_login(&it, &right).await;
    let mut taken = Vec::new();
    while let Ok(client) = rig.postgres.client("it", right.expose(), "postgres").await {
        taken.push(client);
    }
    let full = rig.connector.probe(&rig.system(), &it, &right).await;
    assert_eq!(full.result, ProbeResult::Unreachable, "{}", full.detail);
    assert!(full.detail.contains("53300"), "{}", full.detail);
    drop(taken);
    rig.postgres.stop().await;
    assert_eq!(rig.connector.probe(&rig.system(), &it, &right).await.result, ProbeResult::Unreachable);
    rig.postgres.start_again().await;
    assert_eq!(rig.connector.probe(&rig.system(), &it, &right).await.result, ProbeResult::Accepted);
}

/// The five modes, with and without TLS on the server.
#[tokio::test]
async fn tls_modes_are_those_of_libpq() {
    use ProbeResult::{Accepted, HostMismatch, Unknown};
    for (ssl, expected) in [
        ("on", [Accepted, Accepted, Accepted, Accepted, Accepted, HostMismatch]),
        ("off", [Accepted, Accepted, Unknown, HostMismatch, HostMismatch, HostMismatch]),
    ] {
        let rig = Rig::start_with(&[("ssl", ssl)]).await;
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
            let system = at_host(&rig.postgres.spec(mode), host);
            let probe = rig.connector.probe(&system, &rig.postgres.superuser(), right).await;
            assert_eq!(probe.result, result, "ssl = {ssl}, {mode:?} at {host}: {}", probe.detail);
        }
    }
}

#[tokio::test]
async fn a_ca_that_cannot_be_read_is_said() {
    let rig = Rig::start().await;
    for bad in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut system = rig.system();
        let SystemSpec::Postgresql { ca_certificate, .. } = &mut system else { unreachable!() };
        *ca_certificate = Some(bad.to_owned());
        let probe = rig.connector.probe(&system, &rig.postgres.superuser(), rig.management().secret).await;
        assert_eq!(probe.result, ProbeResult::Unknown);
        assert!(probe.detail.contains("CA certificate"), "{}", probe.detail);
    }
}

/// A statement that nobody waits for any more must not take effect later.
#[tokio::test]
async fn a_blocked_change_never_arrives_late() {
    let rig = Rig::start().await;
    let (it, old) = (login("blocked"), rig.fresh_secret());
    rig.add_login(&it, &old).await;
    let mut blocker = rig.postgres.admin_client().await;
    let held = blocker.transaction().await.unwrap();
    held.batch_execute("ALTER ROLE blocked CONNECTION LIMIT 5").await.unwrap();
    let outcome = rig.connector.set(&rig.system(), &rig.management(), &it, &rig.fresh_secret()).await;
    assert!(matches!(outcome, SetOutcome::Refused { by_policy: false, .. }), "{outcome:?}");
    held.commit().await.unwrap();
    assert!(rig.opens(&it, &old).await);
}

/// A reply that never comes costs the call's own deadline, and the outcome is unknown.
#[tokio::test]
async fn a_reply_that_never_comes_is_unknown() {
    let rig = Rig::start().await;
    let (it, new) = (login("waiting"), rig.fresh_secret());
    rig.add_login(&it, &rig.fresh_secret()).await;
    let second = Duration::from_secs(1);
    let hasty = connector(Deadlines { login: second, work: second, statement: second });
    let system = rig.behind(Fault::HoldReply(Statement::Containing("ALTER ROLE".to_owned())));
    let outcome = hasty.set(&system, &rig.management(), &it, &new).await;
    assert!(matches!(outcome, SetOutcome::Unknown(_)), "{outcome:?}");
    assert!(rig.opens(&it, &new).await, "it was applied all the same");
}

/// PostgreSQL's own password checking module.
#[tokio::test]
async fn a_password_that_the_server_does_not_like_is_refused_by_policy() {
    let rig = Rig::start_with(&[("session_preload_libraries", "passwordcheck")]).await;
    let it = login("same-as-the-password");
    rig.add_login(&it, &rig.fresh_secret()).await;
    let refused = rig.connector.set(&rig.system(), &rig.management(), &it, &secret(it.as_str())).await;
    assert!(matches!(refused, SetOutcome::Refused { by_policy: true, .. }), "{refused:?}");
    let new = rig.fresh_secret();
    assert_eq!(rig.connector.set(&rig.system(), &rig.management(), &it, &new).await, SetOutcome::Applied);
    assert!(rig.opens(&it, &new).await);
}

/// The management account need not be a superuser, and a search path set by somebody does not lead it astray.
#[tokio::test]
async fn management_with_createrole_alone_is_enough() {
    let rig = Rig::start().await;
    let (manager, password, it, made) = (login("manager"), rig.fresh_secret(), login("made"), rig.fresh_secret());
    rig.add_login(&manager, &password).await;
    rig.postgres
        .run_sql(
            "ALTER ROLE manager CREATEROLE; GRANT pg_signal_backend TO manager; GRANT CREATE ON SCHEMA public TO PUBLIC; \
             CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC; \
             CREATE VIEW trap.pg_roles AS SELECT 0::oid AS oid, 'nobody'::name AS rolname; \
             GRANT SELECT ON trap.pg_roles TO PUBLIC; ALTER ROLE manager SET search_path = trap, pg_catalog",
        )
        .await;
    let by = Credential { login: &manager, secret: &password };
    let new = NewLogin {
        login: &it,
        secret: &made,
        member_of: &[],
        sudo_rules: &[],
        valid_until: rig.now().await + Duration::from_hours(1),
    };
    let (connector, system) = (&rig.connector, rig.system());
    for _ in 0..2 {
        assert_eq!(connector.create_login(&system, &by, &new).await, SetOutcome::Applied);
    }
    let mut stay = rig.stay(&it, &made).await;
    let owner = rig.postgres.client("made", made.expose(), "postgres").await.unwrap();
    owner.batch_execute("CREATE TABLE kept (id int)").await.unwrap();
    rig.postgres.run_sql("CREATE TABLE others (id int); GRANT SELECT ON others TO made").await;

    // What another granted only another can take back: the login is barred, and the rest is said.
    let outcome = connector.remove_login(&system, &by, &it).await;
    let SetOutcome::Refused { detail, by_policy: false } = outcome else { panic!("{outcome:?}") };
    assert!(detail.contains("privileges for table public.others"), "{detail}");
    assert!(!stay.lives().await && !rig.opens(&it, &made).await);
    rig.postgres.run_sql("REVOKE ALL ON others FROM made").await;

    assert_eq!(connector.remove_login(&system, &by, &it).await, SetOutcome::Applied);
    assert!(!rig.exists(&it).await);
    let admin = rig.postgres.admin_client().await;
    let query = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'";
    assert_eq!(admin.query_one(query, &[]).await.unwrap().get::<_, String>(0), "manager");
}

/// A role whose commits are not flushed would say yes to what a crash can take back.
#[tokio::test]
async fn yes_means_durable() {
    let rig = Rig::start_with(&[("synchronous_commit", "off"), ("log_line_prefix", "")]).await;
    rig.postgres
        .run_sql(
            "CREATE TABLE seen (setting text); CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); END $$; \
             CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note()",
        )
        .await;
    // Changes of roles fire no trigger; giving objects away does, in a session prepared the same way.
    let (made, password) = (login("made"), rig.fresh_secret());
    let until = rig.now().await + Duration::from_hours(1);
    let new = NewLogin { login: &made, secret: &password, member_of: &[], sudo_rules: &[], valid_until: until };
    assert_eq!(rig.connector.create_login(&rig.system(), &rig.management(), &new).await, SetOutcome::Applied);
    rig.postgres.run_sql("CREATE SCHEMA AUTHORIZATION made; DELETE FROM seen").await;
    assert_eq!(rig.connector.remove_login(&rig.system(), &rig.management(), &made).await, SetOutcome::Applied);
    let admin = rig.postgres.admin_client().await;
    let seen = admin.query("SELECT DISTINCT setting FROM seen", &[]).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["on"]);
}

/// A server that lies: what it is told, and what it is believed.
#[tokio::test]
async fn a_lying_server_learns_nothing_and_is_not_believed() {
    let right = secret("the-secret-that-nobody-may-learn");
    let patient = connector(Deadlines::STANDARD);
    let clear = Liar::start(&[&[0, 0, 0, 3]]).await;
    let probe = patient.probe(&clear.system(), &login("it"), &right).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
    assert!(probe.detail.contains("in clear"), "{}", probe.detail);
    assert!(!String::from_utf8_lossy(&clear.heard().await).contains(right.expose()));

    let open = Liar::start(&[&[0, 0, 0, 0]]).await;
    assert_ne!(patient.probe(&open.system(), &login("it"), &right).await.result, ProbeResult::Accepted);

    let scram =
        Liar::start(&[b"\0\0\0\x0aSCRAM-SHA-256\0\0", b"\0\0\0\x0b", b"\0\0\0\x0cv=bm90IHRoZSBwcm9vZg=="]).await;
    let probe = patient.probe(&scram.system(), &login("it"), &right).await;
    assert_eq!(probe.result, ProbeResult::HostMismatch, "{}", probe.detail);
}

/// A server that knows the secret and says it aloud, with line breaks that would forge a log.
#[tokio::test]
async fn what_a_server_says_is_shown_without_the_secret() {
    let right = secret("the-secret-that-nobody-may-learn");
    let error = b"ESFATAL\0VFATAL\0C28P01\0Mnot\nthe-secret-that-nobody-may-learn\x1b[2J\0\0";
    let loud = Liar::start(&[error]).await;
    let probe = connector(Deadlines::STANDARD).probe(&loud.system(), &login("it"), &right).await;
    assert_eq!((probe.result, probe.detail.as_str()), (ProbeResult::Refused, "not; …[2J (28P01)"));
}

/// A server that never comes to an end is cut off, long before the deadline.
#[tokio::test]
async fn a_flood_is_cut_off() {
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&message(b'R', &[0; 4])).await.unwrap();
        let (parameter, mut sent) = (message(b'S', &[&[b'x'; 8000][..], b"\0y\0"].concat()), 0);
        while stream.write_all(&parameter).await.is_ok() {
            sent += parameter.len();
        }
        sent
    });
    let system = bare(port);
    let probe = connector(Deadlines::STANDARD).probe(&system, &login("it"), &secret("right")).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
    assert!(probe.detail.contains("more than"), "{}", probe.detail);
    assert!(flood.await.unwrap() < 32 * 1024 * 1024, "what the sockets held beside");
}

/// An old server would take a verifier for the password itself.
#[tokio::test]
async fn a_server_without_scram_is_told_nothing() {
    let old = Liar::start_version(&[&[0, 0, 0, 5, 1, 2, 3, 4], &[0, 0, 0, 0]], "9.6.24").await;
    let (it, right) = (login("it"), secret("right"));
    let by = Credential { login: &it, secret: &right };
    let outcome = connector(Deadlines::STANDARD).set(&old.system(), &by, &it, &secret("new")).await;
    assert!(matches!(outcome, SetOutcome::NotSent { result: ProbeResult::Accepted, .. }), "{outcome:?}");
    assert!(!String::from_utf8_lossy(&old.heard().await).contains("ALTER ROLE"));
}

/// Something that speaks the login's protocol and follows a script of `Authentication…` messages, or of an error's
/// fields after an `E`.
struct Liar {
    port: u16,
    heard: tokio::task::JoinHandle<Vec<u8>>,
}

impl Liar {
    async fn start(script: &[&[u8]]) -> Self {
        Self::start_version(script, "15.0").await
    }

    async fn start_version(script: &[&[u8]], version: &str) -> Self {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Vec<Vec<u8>> = script.iter().map(|step| step.to_vec()).collect();
        let ready = [message(b'S', format!("server_version\0{version}\0").as_bytes()), message(b'Z', b"I")].concat();
        let heard = tokio::spawn(async move { act(listener.accept().await.unwrap().0, script, ready).await });
        Self { port, heard }
    }

    fn system(&self) -> SystemSpec {
        bare(self.port)
    }

    async fn heard(self) -> Vec<u8> {
        self.heard.await.unwrap()
    }
}

async fn act(mut stream: TcpStream, script: Vec<Vec<u8>>, ready: Vec<u8>) -> Vec<u8> {
    let mut heard = Vec::with_capacity(64 * 1024);
    for mut step in script {
        let before = heard.len();
        let _ = stream.read_buf(&mut heard).await;
        if step == b"\0\0\0\x0b" {
            // The server's first SCRAM message repeats the client's nonce (RFC 5802 §5.1).
            let text = String::from_utf8_lossy(heard.get(before..).unwrap_or_default()).into_owned();
            let nonce = text.split_once("r=").map_or("", |(_, nonce)| nonce);
            step.extend(format!("r={nonce}more,s=c2FsdHNhbHQ=,i=4096").into_bytes());
        }
        let answer = match step.split_first() {
            Some((b'E', fields)) => message(b'E', fields),
            _ => message(b'R', &step),
        };
        if stream.write_all(&answer).await.is_err() {
            return heard;
        }
        if step == [0, 0, 0, 0] {
            let _ = stream.write_all(&ready).await;
        }
    }
    let _ = stream.read_to_end(&mut heard).await;
    heard
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn bare(port: u16) -> SystemSpec {
    let (host, database) = (HOST.to_owned(), "postgres".to_owned());
    SystemSpec::Postgresql { host, port, database, tls: TlsMode::Disable, ca_certificate: None }
}

fn in_database(system: &SystemSpec, name: &str) -> SystemSpec {
    let mut system = system.clone();
    let SystemSpec::Postgresql { database, .. } = &mut system else { unreachable!() };
    name.clone_into(database);
    system
}

fn at_host(system: &SystemSpec, name: &str) -> SystemSpec {
    let mut system = system.clone();
    let SystemSpec::Postgresql { host, .. } = &mut system else { unreachable!() };
    name.clone_into(host);
    system
}
