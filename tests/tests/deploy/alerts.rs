//! The alerts, by Prometheus' own tool, and a real Prometheus that scrapes a real server.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claviger_tests::poll::until;
use claviger_tests::server::{Launch, free_port};
use claviger_tests::vault::Vault;
use serde_json::Value;

use crate::judges::{content, judge, repository, said, yaml};

/// How long a scrape may take to show on a busy machine.
const SOON: Duration = Duration::from_mins(1);

#[test]
fn the_rules_are_rules_and_raise_what_they_are_for() {
    let folder = repository("deploy/prometheus");
    let tool = || {
        let mut tool = Command::new(judge("promtool"));
        tool.current_dir(&folder);
        tool
    };
    content(tool().args(["check", "rules", "--lint-fatal", "alerts.yaml"]));
    let tested = tool().args(["test", "rules", "alerts_test.yaml"]).output().unwrap();
    assert!(tested.status.success(), "{}", said(&tested));
}

#[test]
fn each_alert_has_a_test_that_raises_it() {
    let tests = fs::read_to_string(repository("deploy/prometheus/alerts_test.yaml")).unwrap();
    for (name, rule) in alerts() {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is raised by no test");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        for annotation in ["summary", "description", "runbook"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
    }
}

/// Each alert's name, and the rule.
pub fn alerts() -> Vec<(String, Value)> {
    let rules = yaml(&repository("deploy/prometheus/alerts.yaml"));
    let groups = rules[0]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: Vec<_> = rules.map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule.clone())).collect();
    assert!(alerts.len() > 20, "{}", alerts.len());
    alerts
}

/// What is scraped is what the alerts go by: a sealed vault is one, an open one is not, and its requests are counted.
#[tokio::test]
async fn a_prometheus_scrapes_a_server_and_sees_its_seal() {
    let scraped = free_port();
    let audit = format!("[metrics]\nlisten = '127.0.0.1:{scraped}'\n");
    let vault = Vault::start_with(&Launch { audit, ..Launch::default() }).await;
    let prometheus = Prometheus::start(scraped);
    let is = async |query: &str, wanted: &str| {
        until(query, SOON, async || (prometheus.value(query).await.as_deref() == Some(wanted)).then_some(())).await;
    };
    is("claviger_sealed", "0").await;
    is("claviger_http_requests_total > bool 0", "1").await;
    is("claviger_http_request_seconds_count > bool 0", "1").await;
    is("claviger_store_disk_free_bytes > bool 0", "1").await;
    vault.administrator().sys().seal().await.unwrap();
    is("claviger_sealed", "1").await;
    is("count(ALERTS{alertname=\"ClavigerSealed\"})", "1").await;
    let loaded = prometheus.get("/api/v1/rules").await;
    let loaded: BTreeSet<String> = loaded["data"]["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .inspect(|rule| assert_eq!(rule["health"], "ok", "{rule}"))
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(loaded, alerts().into_iter().map(|(name, _)| name).collect());
}

/// A real one, that scrapes once a second and has the alerts; it ends with the test.
struct Prometheus {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(scraped: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        fs::write(folder.path().join("prometheus.yaml"), configuration(scraped)).unwrap();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(judge("prometheus"))
            .arg(format!("--config.file={}", folder.path().join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address, _folder: folder }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        answer.json().await.unwrap()
    }

    /// The value of the one sample that a query finds.
    async fn value(&self, query: &str) -> Option<String> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}/api/v1/query", self.address), [("query", query)]);
        let answer: Value = reqwest::get(url.unwrap()).await.ok()?.json().await.ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(scraped: u16) -> String {
    let rules = repository("deploy/prometheus/alerts.yaml");
    let rules = Path::canonicalize(&rules).unwrap();
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         scrape_configs:\n  - job_name: claviger\n    static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]\n",
        rules.display()
    )
}
