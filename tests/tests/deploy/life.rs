//! The end of the server while requests are under way, the lines that it logs, and a disk that is full.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use claviger_api::ProblemType;
use claviger_tests::inventory::add_customer;
use claviger_tests::poll::until;
use claviger_tests::raw::Raw;
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_mins(1);
/// The size of the disk that is filled: more than the store keeps free.
const DISK_MEGABYTES: u32 = 400;

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_before_the_server_ends() {
    let mut vault = Vault::start().await;
    let address = vault.address().trim_start_matches("http://").to_owned();
    let mut under_way = TcpStream::connect(&address).await.unwrap();
    let body = br#"{"key":"no share at all"}"#;
    let head = format!(
        "POST /v1/sys/unseal HTTP/1.1\r\nhost: vault.test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    under_way.write_all(head.as_bytes()).await.unwrap();
    under_way.write_all(&body[..8]).await.unwrap();
    until("the request is under way", SOON, async || (connections(vault.pid()) > 0).then_some(())).await;
    // What was read of it is the server's by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let process = Pid::from_raw(i32::try_from(vault.pid()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    until("nobody is let in", SOON, async || TcpStream::connect(&address).await.is_err().then_some(())).await;
    under_way.write_all(&body[8..]).await.unwrap();
    let mut answer = Vec::new();
    under_way.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""seal":"unsealed""#), "{answer}");
    assert!(vault.ended().await.success());
}

/// The descriptors of a process that are sockets, beyond those it has by itself.
fn connections(pid: u32) -> usize {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    listed.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
}

#[tokio::test]
async fn each_line_of_the_log_is_one_object() {
    let mut vault = Vault::start_with(&Launch { level: Some("trace"), ..Launch::default() }).await;
    add_customer(&vault.administrator(), "acme").await;
    assert!(Raw::nobody(vault.address()).get("/v1/customers/%0a%22").await.status.as_u16() >= 400);
    vault.administrator().sys().seal().await.unwrap();
    vault.stop().await;
    let log = vault.log();
    let mut requests = 0;
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "target"] {
            assert!(entry[key].is_string(), "{key} is missing: {line}");
        }
        requests += usize::from(entry["target"] == "claviger_server::access");
    }
    assert!(requests > 5, "{log}");
}

/// Fills a disk, and makes room again.
struct Ballast<'a>(&'a Path);

impl Ballast<'_> {
    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.0.join("ballast")).unwrap();
        for block in [1 << 20, 1 << 12, 1 << 8] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

#[tokio::test]
async fn anvil_disk_full() {
    if !can_mount() {
        eprintln!("SKIPPED: no small disk can be mounted here; run this test as root");
        return;
    }
    let mut vault = Vault::start_with(&Launch { disk_megabytes: Some(DISK_MEGABYTES), ..Launch::default() }).await;
    let data = vault.data_directory();
    let ballast = Ballast(&data);
    let administrator = vault.administrator();
    let nobody = Raw::nobody(vault.address());
    let health = async || nobody.get("/v1/sys/health").await;
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        add_customer(&administrator, &format!("before{round}")).await;
        acknowledged.push(format!("before{round}"));
        ballast.fill();
        // What the store has at hand is used up first.
        let mut refused = None;
        for number in 0..10_000 {
            let name = format!("full{round}-{number}");
            let spec = claviger_api::wire::NewCustomer { slug: name.parse().unwrap(), display_name: name.clone() };
            match administrator.customers().add(&spec).await {
                Ok(_) => acknowledged.push(name),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
            ballast.fill();
        }
        let refused = refused.expect("a full disk refuses");
        assert_eq!(refused.problem_type(), Some(ProblemType::Unavailable), "{refused:?}");
        assert_eq!(health().await.status, 503, "health says so");
        // It can be read from, and is alive.
        assert_eq!(administrator.sys().seal_status().await.unwrap().seal, claviger_api::wire::SealState::Unsealed);
        assert!(administrator.customers().list().first(10).await.is_ok());

        ballast.free();
        until("it goes on by itself", SOON, async || (health().await.status == 200).then_some(())).await;
    }
    add_customer(&administrator, "after").await;
    acknowledged.push("after".to_owned());
    assert_kept(&vault, &acknowledged).await;
    vault.stop().await;
    vault.restart_with(&Launch { disk_megabytes: Some(DISK_MEGABYTES), ..Launch::default() }).await;
    assert_kept(&vault, &acknowledged).await;
    claviger_tests::audit::verified(&vault.administrator(), None).await;
}

fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, words: &[&str]| {
        let done = Command::new(program).args(words).arg(folder.path()).output();
        done.is_ok_and(|done| done.status.success())
    };
    run("mount", &["-t", "tmpfs", "-o", "size=1m", "claviger"]) && run("umount", &[])
}

async fn assert_kept(vault: &Vault, acknowledged: &[String]) {
    for name in acknowledged {
        let shown = vault.administrator().customers().show(&name.parse().unwrap()).await;
        assert!(shown.is_ok(), "{name}: {shown:?}");
    }
}
