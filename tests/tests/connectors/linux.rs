//! Linux hosts, over OpenSSH.

use std::fs;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{HostKey, ProbeResult, SystemSpec};
use claviger_connectors::{CertifiedKey, Connector, Deadlines, Linux};
use claviger_tests::openssh::{HOST, OpenSsh, make_key, run};
use claviger_tests::postgres::random_text;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::rig::{login, reach, secret};

fn connector() -> Linux {
    Linux::new(reach(Deadlines { login: Duration::from_secs(10), ..Deadlines::LINUX }))
}

fn at(server: &OpenSsh, host_keys: Vec<HostKey>) -> SystemSpec {
    SystemSpec::Linux { host: HOST.to_owned(), port: server.port(), host_keys, lockout_threshold: None }
}

#[tokio::test]
async fn a_password_is_accepted_or_refused_whichever_way_the_host_asks_for_it() {
    let asks = ["", "PasswordAuthentication no\nKbdInteractiveAuthentication yes\n"];
    let tries = asks.map(|lines| async move {
        let server = OpenSsh::start_with(lines);
        let right = random_text();
        let it = login(&server.add_user("cvpw", &right));
        let (connector, spec) = (Linux::new(reach(Deadlines::LINUX)), server.spec());
        let wrong = secret(&random_text());
        let (right, absent) = (secret(&right), login("cv-nobody"));
        let (yes, no, nobody) = tokio::join!(
            connector.probe(&spec, &it, &right),
            connector.probe(&spec, &it, &wrong),
            connector.probe(&spec, &absent, &wrong),
        );
        assert_eq!(yes.result, ProbeResult::Accepted, "{lines}: {}", yes.detail);
        assert_eq!(no.result, ProbeResult::Refused, "{lines}: {}", no.detail);
        assert_eq!(nobody.result, ProbeResult::Refused, "{lines}: {}", nobody.detail);
        for told in [&yes.detail, &no.detail] {
            assert!(!told.contains(wrong.expose()) && !told.contains(right.expose()), "a secret in: {told}");
        }
        // OpenSSH would take the name for that of the user before the sign, and this for the right password.
        for other in [format!("{it}:x"), format!("{it}/x")] {
            let probe = connector.probe(&spec, &login(&other), &right).await;
            assert_eq!(probe.result, ProbeResult::Refused, "{other}: {}", probe.detail);
            assert!(!server.log().contains("for x"), "{other} never reached the host");
        }
    });
    let [one, two] = tries;
    tokio::join!(one, two);
}

#[tokio::test]
async fn a_host_that_takes_no_passwords_says_nothing_about_one() {
    let server = OpenSsh::start_with("PasswordAuthentication no\n");
    let it = login(&server.add_user("cvno", "unused-Passw0rd"));
    let probe = connector().probe(&server.spec(), &it, &secret("unused-Passw0rd")).await;
    assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
}

#[tokio::test]
async fn anvil_hostile_system_a_linux_host_is_known_by_its_key() {
    let server = OpenSsh::start();
    let right = random_text();
    let (it, right) = (login(&server.add_user("cvhk", &right)), secret(&right));
    make_key(&server.file("another"));
    let another: HostKey = fs::read_to_string(server.file("another.pub")).unwrap().parse().unwrap();
    let HostKey::Key(shown) = server.host_key() else { panic!("a key") };
    let fingerprint = claviger_api::wire::fingerprint_text(&shown.fingerprint());

    let stranger = connector().probe(&at(&server, vec![another.clone()]), &it, &right).await;
    assert_eq!(stranger.result, ProbeResult::HostMismatch, "{}", stranger.detail);
    assert!(stranger.detail.contains(&fingerprint), "it names what was shown: {}", stranger.detail);
    assert!(!server.log().contains(it.as_str()), "a stranger is told nothing:\n{}", server.log());
    let nobody = connector().probe(&at(&server, vec![]), &it, &right).await;
    assert_eq!(nobody.result, ProbeResult::HostMismatch, "where none is known, none is trusted");

    for pinned in [vec![another, server.host_key()], vec![fingerprint.parse().unwrap()]] {
        let probe = connector().probe(&at(&server, pinned), &it, &right).await;
        assert_eq!(probe.result, ProbeResult::Accepted, "{}", probe.detail);
    }
}

/// A host with several keys shows the one that is pinned.
#[tokio::test]
async fn the_pinned_key_is_the_one_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = folder.path().join("rsa").display().to_string();
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", &rsa], "");
    let server = OpenSsh::start_with(&format!("HostKey {rsa}\n"));
    let right = random_text();
    let (it, right) = (login(&server.add_user("cvrs", &right)), secret(&right));
    let pinned = fs::read_to_string(format!("{rsa}.pub")).unwrap().parse().unwrap();
    let probe = connector().probe(&at(&server, vec![pinned]), &it, &right).await;
    assert_eq!(probe.result, ProbeResult::Accepted, "{}", probe.detail);
}

#[tokio::test]
async fn anvil_hostile_system_what_is_no_ssh_server_is_told_nothing_and_cut_off() {
    let server = OpenSsh::start();
    for said in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![b'N'; 65536]] {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let talker = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = 0_usize;
            while stream.write_all(&said).await.is_ok() && said.len() > 1000 {
                sent += said.len();
            }
            let _heard = stream.read_to_end(&mut Vec::new()).await;
            sent
        });
        let spec = SystemSpec::Linux {
            host: HOST.to_owned(),
            port,
            host_keys: vec![server.host_key()],
            lockout_threshold: None,
        };
        let probe = connector().probe(&spec, &login("anybody"), &secret("never-told")).await;
        assert_eq!(probe.result, ProbeResult::Unknown, "{}", probe.detail);
        assert!(talker.await.unwrap() < 32 * 1024 * 1024, "a flood is cut off");
    }
    for hang_up in [true, false] {
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _silent = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if hang_up {
                drop(stream);
            } else {
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
        });
        let spec = SystemSpec::Linux {
            host: HOST.to_owned(),
            port,
            host_keys: vec![server.host_key()],
            lockout_threshold: None,
        };
        let hasty = Linux::new(reach(Deadlines { login: Duration::from_secs(1), ..Deadlines::LINUX }));
        let probe = hasty.probe(&spec, &login("anybody"), &secret("never-told")).await;
        assert_eq!(probe.result, ProbeResult::Unreachable, "{}", probe.detail);
    }
}

/// A certificate made by OpenSSH's own tool, so that the connector's answer is about the host alone.
#[tokio::test]
async fn a_certificate_is_accepted_by_its_end_principals_and_authority() {
    let server = OpenSsh::start();
    let it = server.add_user("cvce", &random_text());
    let (ca, key) = (server.file("ca"), server.file("key"));
    make_key(&ca);
    make_key(&key);
    let private = Secret::new(fs::read_to_string(&key).unwrap()).unwrap();
    let (spec, connector) = (server.spec(), connector());
    let sign = |principal: &str, validity: &str| {
        let (ca, key) = (ca.display().to_string(), format!("{}.pub", key.display()));
        run("ssh-keygen", &["-q", "-s", &ca, "-I", "test", "-z", "7", "-n", principal, "-V", validity, &key], "");
        fs::read_to_string(server.file("key-cert.pub")).unwrap()
    };
    let probe = async |certificate: &str| {
        let key = CertifiedKey { private_key: &private, certificate };
        connector.probe_certificate(&spec, &login(&it), &key).await.result
    };
    let good = sign(&it, "-1m:+5m");
    assert_eq!(probe(&good).await, ProbeResult::Refused, "nobody trusts this CA yet");
    server.trust(&fs::read_to_string(server.file("ca.pub")).unwrap());
    assert_eq!(probe(&good).await, ProbeResult::Accepted);
    assert_eq!(probe(&sign("another", "-1m:+5m")).await, ProbeResult::Refused, "another principal's");
    assert_eq!(probe(&sign(&it, "-10m:-1s")).await, ProbeResult::Refused, "past its end");
}
