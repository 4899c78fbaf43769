//! The chart, by Helm itself, by Kubernetes' own schemas, and by what the vault wants of where it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use claviger_server::Config;
use claviger_server::config::Engine;
use claviger_tests::poll::until;
use serde_json::{Value, json};

use crate::judges::{content, judge, repository, said, yaml};

/// What a chart on a database is told.
const ON_POSTGRESQL: [&str; 2] = ["engine=postgresql", "postgresql.host=db.msp.example"];
/// A recipient of backups.
const RECIPIENT: &str = "backup.recipients={age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p}";

fn helm(verb: &[&str], values: &[&str]) -> Command {
    let mut helm = Command::new(judge("helm"));
    helm.args(verb).arg(repository("deploy/helm/claviger"));
    for value in values {
        helm.args(["--set", value]);
    }
    // Its caches are nobody's.
    helm.env("HOME", std::env::temp_dir());
    helm
}

/// The manifests that a chart makes of these values, after Kubernetes' own schemas have found nothing, not even a key too many.
fn manifests(values: &[&str]) -> Vec<Value> {
    let rendered = content(&mut helm(&["template", "vault", "--namespace", "claviger"], values));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifests.yaml");
    fs::write(&file, &rendered).unwrap();
    let judged = Command::new(judge("venv/bin/kubernetes-validate")).args(["--strict", "--quiet"]).arg(&file).output();
    let judged = judged.unwrap();
    assert!(judged.status.success(), "{}", said(&judged));
    yaml(&file)
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests.iter().filter(|manifest| manifest["kind"] == kind).collect()
}

fn configuration(manifests: &[Value]) -> Config {
    Config::parse(of_kind(manifests, "ConfigMap")[0]["data"]["claviger.toml"].as_str().unwrap()).unwrap()
}

#[test]
fn helm_finds_nothing() {
    for values in [&[][..], &ON_POSTGRESQL, &[RECIPIENT]] {
        let linted = content(&mut helm(&["lint", "--strict"], values));
        assert!(linted.contains("0 chart(s) failed") && !linted.contains("[WARNING]"), "{linted}");
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for wrong in [
        "engine=mysql",
        "replicas=3",
        "replicas=0",
        "backup.recipients={ssh-rsa}",
        "kits.recipients={ssh-rsa}",
        "escrow.recipients={ssh-rsa}",
        "image.digest=latest",
        "name=Vault!",
    ] {
        let refused = helm(&["template", "vault"], &[wrong]).output().unwrap();
        assert!(!refused.status.success(), "{wrong}");
    }
    let refused = helm(&["template", "vault"], &["engine=postgresql"]).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("postgresql.host"), "{}", said(&refused));
}

#[test]
fn one_server_has_one_store() {
    let embedded = manifests(&[RECIPIENT]);
    assert!(of_kind(&embedded, "Deployment").is_empty());
    let set = &of_kind(&embedded, "StatefulSet")[0]["spec"];
    assert_eq!((&set["replicas"], &set["updateStrategy"]["type"]), (&json!(1), &json!("OnDelete")));
    let claims: Vec<&Value> =
        set["volumeClaimTemplates"].as_array().unwrap().iter().map(|claim| &claim["metadata"]["name"]).collect();
    assert_eq!(claims, ["store", "files"]);
    let config = configuration(&embedded);
    assert!(matches!(config.store, Engine::Rocksdb {}));
    assert!(config.backup.is_some() && config.audit.archive_directory.is_some() && config.metrics.listen.is_some());

    let database = manifests(&ON_POSTGRESQL);
    assert!(of_kind(&database, "StatefulSet").is_empty());
    let deployment = &of_kind(&database, "Deployment")[0]["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(1), &json!("Recreate")));
    let Engine::Postgresql(store) = configuration(&database).store else { panic!("no database") };
    assert_eq!((store.host.as_str(), store.port), ("db.msp.example", 5432));
    assert!(configuration(&database).backup.is_none(), "nobody is named for whom they would be");
}

/// Kits lie beside backups, and the escrow stream on a volume of its own.
#[test]
fn kits_and_the_escrow_stream_have_their_places() {
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let escrow = format!("escrow.recipients={{{key}}}");
    let (kits, holders) = ("kits.enabled=true", format!("kits.recipients={{{key}}}"));
    for engine in [&[][..], &ON_POSTGRESQL] {
        let manifests = manifests(&[engine, &[escrow.as_str(), kits, holders.as_str()]].concat());
        let config = configuration(&manifests);
        let kits = config.kits.unwrap();
        assert_eq!((kits.recipients.len(), kits.every_hours, kits.keep), (1, 24, 7));
        assert!(kits.directory.starts_with("/var/lib/claviger-files"));
        let stream = config.escrow.unwrap().directory;
        let workload = manifests.iter().find(|manifest| manifest["spec"]["template"].is_object()).unwrap();
        let mounts = workload["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == "escrow").unwrap();
        assert!(stream.starts_with(mount["mountPath"].as_str().unwrap()), "{mount}");
        let templates = workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
        let claims: Vec<&Value> = templates.chain(of_kind(&manifests, "PersistentVolumeClaim")).collect();
        assert!(claims.iter().any(|claim| claim["metadata"]["name"].as_str().unwrap().ends_with("escrow")));
    }
    let none = configuration(&manifests(&[]));
    assert!(none.kits.is_none() && none.escrow.is_none());
}

/// Each starts sealed: they are replaced one after the other. What one has written the others find.
#[test]
fn several_servers_are_on_one_database() {
    let several = manifests(&["engine=postgresql", "postgresql.host=db.msp.example", "replicas=3", RECIPIENT]);
    let deployment = &of_kind(&several, "Deployment")[0]["spec"];
    assert_eq!(deployment["replicas"], 3);
    assert_eq!(deployment["strategy"]["rollingUpdate"], json!({"maxSurge": 0, "maxUnavailable": 1}));
    assert_eq!(of_kind(&several, "PersistentVolumeClaim")[0]["spec"]["accessModes"], json!(["ReadWriteMany"]));
    let config = configuration(&several);
    assert!(config.audit.anchor_files.is_empty() && config.backup.is_some());
    let service = of_kind(&several, "Service").into_iter().find(|service| service["metadata"]["name"] == "vault");
    assert_eq!(service.unwrap()["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(configuration(&manifests(&ON_POSTGRESQL)).audit.anchor_files.len(), 1);
}

#[test]
fn further_configuration_has_its_place() {
    let manifests = manifests(&["config=[log]\nlevel = 'warn'", "audit=retention_days = 500"]);
    let config = configuration(&manifests);
    assert_eq!(config.audit.retention_days, 500);
    assert_eq!(config.log.level, claviger_server::config::Level::Warn);
}

/// No rights: not root, nothing to gain, nothing to write, no token of the cluster.
#[test]
fn the_pod_may_do_nothing_but_serve() {
    for values in [&[RECIPIENT][..], &ON_POSTGRESQL] {
        let manifests = manifests(values);
        let workload = manifests.iter().find(|manifest| manifest["spec"]["template"].is_object()).unwrap();
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(of_kind(&manifests, "ServiceAccount")[0]["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        // Else each start opens the store to the group, and the server refuses it.
        assert_eq!(pod["securityContext"]["fsGroupChangePolicy"], "OnRootMismatch");
        for forbidden in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(pod[forbidden].is_null(), "{forbidden}");
        }
        let containers = ["initContainers", "containers"].iter().flat_map(|key| pod[key].as_array().unwrap());
        let mut seen = 0;
        for container in containers {
            let context = &container["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert!(context["privileged"].is_null() && container["resources"]["limits"]["memory"].is_string());
            assert!(container["env"].is_null(), "no secret is in the environment");
            seen += 1;
        }
        assert_eq!(seen, 2);
        let volumes = pod["volumes"].as_array().unwrap();
        assert!(volumes.iter().all(|volume| volume["hostPath"].is_null()));
        let server = &pod["containers"][0];
        // Sealed or without its database it is not ready, and is left alive: a start would leave it sealed.
        assert_eq!(server["readinessProbe"]["httpGet"]["path"], "/v1/sys/health");
        assert!(server["livenessProbe"]["tcpSocket"].is_object() && server["startupProbe"]["tcpSocket"].is_object());
        // What the server is told to name, it finds: each path lies on a volume of the container.
        let mounts: Vec<&str> = server["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        let toml = of_kind(&manifests, "ConfigMap")[0]["data"]["claviger.toml"].as_str().unwrap();
        for path in toml.split('"').filter(|text| text.starts_with('/')) {
            assert!(mounts.iter().any(|mount| path.starts_with(mount)), "{path} is on none of {mounts:?}");
        }
    }
}

#[test]
fn whoever_unseals_reaches_a_sealed_server_and_nobody_else_does() {
    let manifests = manifests(&["networkPolicy.monitoring[0].podSelector.matchLabels.app=prometheus"]);
    let services = of_kind(&manifests, "Service");
    let named = |name: &str| services.iter().find(|service| service["metadata"]["name"] == name).unwrap();
    assert!(named("vault")["spec"]["publishNotReadyAddresses"].is_null());
    assert_eq!(named("vault-sealed")["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(of_kind(&manifests, "PodDisruptionBudget")[0]["spec"]["maxUnavailable"], 0);
    let policy = &of_kind(&manifests, "NetworkPolicy")[0]["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let metrics = policy["ingress"].as_array().unwrap().iter().find(|rule| rule["ports"][0]["port"] == "metrics");
    assert_eq!(metrics.unwrap()["from"], json!([{"podSelector": {"matchLabels": {"app": "prometheus"}}}]));
    let systems = policy["egress"].to_string();
    assert!(systems.contains("169.254.0.0/16"), "the cloud's credentials are out of reach: {systems}");
    assert!(of_kind(&self::manifests(&[]), "NetworkPolicy")[0]["spec"]["ingress"].as_array().unwrap().len() == 1);
}

/// What the sidecar does, done here: keys come out readable by their user alone, and a renewed one follows.
#[tokio::test]
async fn the_sidecar_copies_keys_for_the_servers_user_alone() {
    let manifests = manifests(&[]);
    let pod = &of_kind(&manifests, "StatefulSet")[0]["spec"]["template"]["spec"];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for directory in ["secrets/tls", "private"] {
        fs::create_dir_all(path(directory)).unwrap();
    }
    fs::write(path("secrets/tls/tls.key"), "first").unwrap();
    fs::set_permissions(path("secrets/tls/tls.key"), fs::Permissions::from_mode(0o440)).unwrap();
    let script = pod["initContainers"][0]["args"][0].as_str().unwrap();
    let script = script.replace("sleep 30", "sleep 0.1");
    let script = ["/secrets", "/private"]
        .iter()
        .fold(script, |script, root| script.replace(root, &format!("{}{root}", folder.path().display())));
    let mut sidecar = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "sh", "-euc"])
        .arg(script)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let copied = path("private/tls/tls.key");
    let holds = async |wanted: &str| {
        until(wanted, Duration::from_secs(30), async || (read(&copied).as_deref() == Some(wanted)).then_some(())).await;
        assert_eq!(fs::metadata(&copied).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::metadata(path("private/tls")).unwrap().permissions().mode() & 0o777, 0o700);
    };
    holds("first").await;
    let said = path("private/.copied");
    until("the server may start", Duration::from_secs(30), async || said.exists().then_some(())).await;
    fs::write(path("secrets/tls/tls.key"), "renewed").unwrap();
    holds("renewed").await;
    sidecar.kill().unwrap();
    sidecar.wait().unwrap();
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}
