//! The other files: compose, cloud-init, and the dashboard.

use std::collections::BTreeSet;
use std::fs;

use claviger_server::Config;
use claviger_server::config::Engine;
use serde_json::Value;

use crate::judges::{content, judge, repository, yaml, yaml_judge};

#[test]
fn the_compose_files_are_such() {
    for file in ["deploy/compose.yaml", "deploy/compose.postgresql.yaml"] {
        content(yaml_judge().arg("schema").arg(judge("compose.json")).arg(repository(file)));
        let compose = yaml(&repository(file)).remove(0);
        for (name, service) in compose["services"].as_object().unwrap() {
            assert_eq!(service["read_only"], true, "{file}: {name}");
            assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{file}: {name}");
            let options = service["security_opt"].to_string();
            assert!(options.contains("no-new-privileges:true"), "{file}: {name}");
            for mount in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let from = mount.split(':').next().unwrap();
                let known = from.starts_with("./")
                    // Of the escrow stream: on another disk, which is the host's.
                    || from == "/mnt/escrow/claviger"
                    || !compose["volumes"][from].is_null()
                    || compose["volumes"].get(from).is_some();
                assert!(known, "{file}: {mount}");
            }
        }
    }
}

/// The database of the compose file takes no connection without TLS but that of its own machine, and the server's
/// configuration goes with it.
#[test]
fn the_compose_files_database_is_reached_by_tls_alone() {
    let rules = fs::read_to_string(repository("deploy/postgresql/pg_hba.conf")).unwrap();
    let rules: Vec<Vec<&str>> = rules
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(rules.iter().all(|rule| ["local", "hostssl"].contains(&rule[0])), "{rules:?}");
    assert!(rules.iter().filter(|rule| rule[0] == "hostssl").all(|rule| rule.last() == Some(&"scram-sha-256")));
    let config = Config::read(&repository("deploy/claviger.postgresql.toml")).unwrap();
    let Engine::Postgresql(store) = config.store else { panic!("no database") };
    let compose = yaml(&repository("deploy/compose.postgresql.yaml")).remove(0);
    assert!(compose["services"].get(&store.host).is_some(), "{} is a service", store.host);
}

#[test]
fn the_cloud_config_is_one_and_carries_the_unit() {
    let file = repository("deploy/cloud-init.yaml");
    assert!(fs::read_to_string(&file).unwrap().starts_with("#cloud-config\n"));
    content(yaml_judge().arg("schema").arg(judge("cloud-config.json")).arg(&file));
    let cloud = yaml(&file).remove(0);
    let written = cloud["write_files"].as_array().unwrap();
    let of = |path: &str| {
        let file = written.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path} is not written"));
        file["content"].as_str().unwrap().to_owned()
    };
    let unit = fs::read_to_string(repository("deploy/claviger.service")).unwrap();
    assert_eq!(
        of("/etc/systemd/system/claviger.service"),
        unit,
        "the unit in cloud-init.yaml is deploy/claviger.service"
    );
    let config = Config::parse(&of("/etc/claviger/claviger.toml")).unwrap();
    assert!(config.tls.is_some() && config.backup.is_some() && config.kits.is_some());
    assert!(!config.audit.anchor_files.is_empty());
}

#[test]
fn the_dashboard_has_a_place_for_each_panel() {
    let text = fs::read_to_string(repository("deploy/grafana/claviger.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
        }
        let targets = panel["targets"].as_array().map_or(0, Vec::len);
        assert_eq!(targets > 0, panel["type"] != "row", "{}", panel["title"]);
    }
}
