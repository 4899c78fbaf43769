//! The example, and what is refused.

use super::*;

const LEAST: &str = "name = 'vault.msp.example'\nlisten = '127.0.0.1:8200'\ndata_directory = '/var/lib/claviger'\n";

#[test]
fn a_retention_of_less_than_six_months_is_refused() {
    let of = |text: &str| Config::parse(&format!("{LEAST}[audit]\n{text}"));
    assert_eq!(of("").unwrap().audit.retention_days, 400);
    assert_eq!(of("retention_days = 184\narchive_directory = '/var/lib/archive'").unwrap().audit.retention_days, 184);
    assert!(matches!(of("retention_days = 183"), Err(ConfigError::Retention(183))));
}

#[test]
fn the_example_is_accepted_and_shows_the_defaults() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
    let example = Config::parse(&text).unwrap();
    let least = Config::parse(LEAST).unwrap();
    assert_eq!(example.http, least.http);
    assert_eq!(example.budgets, least.budgets);
    assert_eq!((example.log, example.systems), (least.log, least.systems));
    assert_eq!(example.store, least.store);
    assert!(example.tls.is_some());
}

/// Every key is explained: each has a line of its own in the example, set or commented out.
#[test]
fn the_example_names_every_key() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
    for key in [
        "name",
        "listen",
        "data_directory",
        "engine",
        "host",
        "port",
        "database",
        "user",
        "password_file",
        "module",
        "token",
        "key_label",
        "pin_file",
        "pin_credential",
        "tls",
        "ca_certificate",
        "certificate",
        "key",
        "client_ca",
        "workers",
        "connections_per_worker",
        "handshakes_per_worker",
        "request_head_seconds",
        "keep_alive_seconds",
        "shutdown_seconds",
        "public_url",
        "trusted_proxies",
        "allowed_addresses",
        "session_most_seconds",
        "suspend_unused_after_days",
        "each_source",
        "all",
        "level",
        "anchor_files",
        "to",
        "format",
        "ca_file",
        "token_file",
        "customers",
        "operator_log",
        "settle_seconds",
        "url",
        "customer",
        "directory",
        "recipients",
        "every_hours",
        "increments",
        "keep",
    ] {
        let named = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(text.lines().any(named), "{key}");
    }
}

#[test]
fn plain_http_is_for_loopback_alone() {
    for listen in ["127.0.0.1:8200", "[::1]:8200", "127.8.8.8:0"] {
        assert!(Config::parse(&LEAST.replace("127.0.0.1:8200", listen)).is_ok(), "{listen}");
    }
    for listen in ["0.0.0.0:8200", "[::]:8200", "192.0.2.1:8200"] {
        let text = LEAST.replace("127.0.0.1:8200", listen);
        assert!(matches!(Config::parse(&text), Err(ConfigError::PlainHttp(_))), "{listen}");
        assert!(Config::parse(&format!("{text}[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n")).is_ok());
    }
}

#[test]
fn backups_go_elsewhere_are_for_somebody_and_one_is_kept() {
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let set = |directory: &str, recipients: &str, more: &str| {
        Config::parse(&format!("{LEAST}[backup]\ndirectory = '{directory}'\nrecipients = [{recipients}]\n{more}"))
    };
    let key = format!("'{key}'");
    let backup = set("/var/backups/claviger", &key, "").unwrap().backup.unwrap();
    assert_eq!((backup.every_hours, backup.keep, backup.recipients.len()), (24, 14, 1));
    for (directory, recipients, more, wrong) in [
        ("/var/lib/claviger/backups", key.as_str(), "", BadBackups::WithTheStore),
        ("/var/backups", "", "", BadBackups::ForNobody),
        ("/var/backups", &key, "keep = 0", BadBackups::KeepNone),
    ] {
        let refused = set(directory, recipients, more).unwrap_err();
        assert!(matches!(refused, ConfigError::Backup(why) if why == wrong), "{refused}");
    }
    let refused = set("/var/backups", "'age1notakey'", "").unwrap_err().to_string();
    assert!(refused.contains("not an age recipient"), "{refused}");
}

#[test]
fn sessions_are_made_shorter_and_never_longer() {
    let set = |seconds: u64| Config::parse(&format!("{LEAST}[identities]\nsession_most_seconds = {seconds}"));
    assert_eq!(set(3600).unwrap().identities.session_most_seconds, 3600);
    for seconds in [0, SESSION_LEAST_SECONDS - 1, SESSION_MOST_SECONDS + 1] {
        assert!(matches!(set(seconds), Err(ConfigError::Session(_))), "{seconds}");
    }
}

#[test]
fn the_unused_are_suspended_after_a_month_at_the_earliest_or_never() {
    let set = |days: u32| Config::parse(&format!("{LEAST}[identities]\nsuspend_unused_after_days = {days}"));
    assert_eq!(Config::parse(LEAST).unwrap().identities.suspend_unused(), Some(90));
    assert_eq!(set(45).unwrap().identities.suspend_unused(), Some(45));
    assert_eq!(set(0).unwrap().identities.suspend_unused(), None);
    for days in [1, 29, 3651] {
        assert!(matches!(set(days), Err(ConfigError::Unused(_))), "{days}");
    }
}

#[test]
fn what_is_not_known_or_not_sane_is_refused() {
    for surplus in [
        "colour = 'red'",
        "[http]\nworker = 3",
        "[http]\nworkers = 0",
        "[http]\ntrusted_proxies = ['everyone']",
        "[systems]\nallowed_addresses = ['10.0.0.0/99']",
        "[tls]\ncertificate = 'c.pem'",
        "[budgets.login]\neach_source = { per_second = 1, burst = 0 }\nall = { per_second = 1, burst = 1 }",
        "[log]\nlevel = 'loud'",
        "[store]",
        "[store]\nengine = 'sqlite'",
        "[store]\nengine = 'rocksdb'\nhost = 'db'",
        "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'",
        "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'\npassword_file = 'p'\ntls = 'prefer'",
        "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'\npassword_file = 'p'\npassword = 'x'",
    ] {
        assert!(matches!(Config::parse(&format!("{LEAST}{surplus}")), Err(ConfigError::Malformed(_))), "{surplus}");
    }
    for url in ["vault.msp.example", "http://vault.msp.example", "https://192.0.2.1", "https://vault.msp.example/x"] {
        let refused = Config::parse(&format!("{LEAST}[http]\npublic_url = '{url}'"));
        assert!(matches!(refused, Err(ConfigError::Site(_))), "{url}");
    }
    for name in ["", "Vault", "vault msp", "vault+msp", "v/1"] {
        let text = LEAST.replace("vault.msp.example", name);
        assert!(matches!(Config::parse(&text), Err(ConfigError::Name(_))), "{name}");
    }
}

/// What the example shows of a database, taken out of its comment, is a configuration.
#[test]
fn the_example_of_a_database_is_accepted() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
    let (_, store) = text.split_once("\n[store]\n").unwrap();
    let (store, _) = store.split_once("\n# [").unwrap();
    let keys = |line: &&str| line.contains(" = ") && *line != "engine = \"rocksdb\"";
    let keys: Vec<&str> = store.lines().filter(keys).map(|line| line.trim_start_matches("# ")).collect();
    let config = Config::parse(&format!("{LEAST}[store]\nengine = 'postgresql'\n{}", keys.join("\n"))).unwrap();
    let Engine::Postgresql(shown) = config.store else { panic!("{:?}", config.store) };
    assert_eq!((shown.port, shown.tls), (5432, DatabaseTls::VerifyFull));
}

/// What the example shows of a stream, taken out of its comment, is a configuration, with the defaults.
#[test]
fn the_example_of_a_stream_is_accepted() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
    let (_, section) = text.split_once("\n# [[audit.streams]]\n").unwrap();
    let (section, _) = section.split_once("\n# [[").unwrap_or((section, ""));
    // A token is of https alone.
    let keys: Vec<&str> = section
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .filter(|line| line.contains(" = ") && !line.starts_with("token_file"))
        .collect();
    let config = Config::parse(&format!("{LEAST}[[audit.streams]]\n{}", keys.join("\n"))).unwrap();
    let [shown] = &*config.audit.streams else { panic!("{:?}", config.audit) };
    assert_eq!(shown.to.to_string(), "syslog+tls://siem.msp.example:6514");
    let least =
        stream("name = 's'\nto = 'syslog+tls://siem.msp.example'\nformat = 'json'\nca_file = 'ca.pem'").unwrap();
    let [least] = &*least.audit.streams else { panic!("{:?}", least.audit) };
    assert_eq!((&shown.to, shown.operator_log), (&least.to, least.operator_log));
    assert_eq!(least.customers, None);
}

/// Nor is what it shows of a witness beyond it; what is none is refused with what one looks like.
#[test]
fn witnesses_are_named_by_an_address_and_a_key() {
    let key = claviger_api::audit::CosignerKey::new("witness.acme.example/w1", [7; 32]).unwrap();
    let witness = |text: &str| Config::parse(&format!("{LEAST}[[audit.witnesses]]\n{text}"));
    for url in ["https://witness.acme.example", "http://192.0.2.9:8900", "https://witness.acme.example:444/acme/"] {
        let config = witness(&format!("url = '{url}'\nkey = '{key}'\ncustomer = 'acme'")).expect(url);
        assert_eq!(config.audit.witnesses[0].key, key);
    }
    for (text, why) in [
        (format!("url = 'witness.acme.example'\nkey = '{key}'"), "begins with https://"),
        (format!("url = 'http://witness.acme.example'\nkey = '{key}'"), "names its port"),
        (format!("url = 'https://'\nkey = '{key}'"), "url"),
        ("url = 'https://w.example'\nkey = 'w+00000000+AA=='".to_owned(), "claviger witness init"),
        (format!("url = 'https://w.example'\nkey = '{key}'\ncustomer = 'Acme GmbH'"), "customer"),
        (format!("url = 'https://w.example'\nkey = '{key}'\npassword = 'x'"), "password"),
    ] {
        let refused = witness(&text).unwrap_err().to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

fn stream(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!("{LEAST}[[audit.streams]]\n{text}"))
}

#[test]
fn streams_lead_where_they_say_or_are_refused() {
    for (to, rest) in [
        ("syslog+tls://siem.msp.example:6514", "ca_file = 'ca.pem'"),
        ("syslog+tls://192.0.2.9:601", "ca_file = 'ca.pem'\nsettle_seconds = 300"),
        ("syslog+tls://[2001:db8::9]:6514", "ca_file = 'ca.pem'\ncertificate = 'c.pem'\nkey = 'k.pem'"),
        ("https://siem.msp.example/services/collector/raw", "token_file = 'token'"),
        ("https://192.0.2.9:8088/", "ca_file = 'ca.pem'"),
        ("file:///var/log/claviger/audit.log", "customers = ['acme']\noperator_log = false"),
    ] {
        let config = stream(&format!("name = 's'\nto = '{to}'\nformat = 'cef'\n{rest}")).expect(to);
        assert_eq!(config.audit.streams[0].to.to_string(), to);
    }
    for to in [
        "siem.msp.example:6514",
        "syslog://siem.msp.example",
        "tcp://siem.msp.example:601",
        "syslog+tls://",
        "syslog+tls://siem.msp.example:0",
        "syslog+tls://siem.msp.example:70000",
        "syslog+tls://siem.msp.example/path",
        "syslog+tls://user@siem.msp.example",
        "syslog+tls://[2001:db8::9]6514",
        "https://",
        "https://user@siem.msp.example/",
        "http://siem.msp.example/",
        "file://audit.log",
        "file:///",
    ] {
        let refused = stream(&format!("name = 's'\nto = '{to}'\nformat = 'json'\nca_file = 'ca.pem'")).unwrap_err();
        assert!(refused.to_string().contains("is no place for a stream"), "{to}: {refused}");
    }
    let syslog = "to = 'syslog+tls://siem.msp.example'\nformat = 'json'";
    let file = "to = 'file:///var/log/audit'\nformat = 'json'";
    let https = "to = 'https://siem.msp.example/'\nformat = 'json'";
    let of_another = |to| {
        let keys = match to {
            "a file" => "ca_file, certificate, key, token_file and settle_seconds",
            "https" => "certificate, key and settle_seconds",
            _ => "token_file",
        };
        BadStream::OfAnotherWay { keys, to }
    };
    for (text, why) in [
        (format!("name = 's'\n{syslog}"), BadStream::NoCa),
        (format!("name = 's'\n{syslog}\nca_file = 'a'\nkey = 'k'"), BadStream::HalfAnIdentity),
        (format!("name = 's'\n{syslog}\nca_file = 'a'\nsettle_seconds = 0"), BadStream::Settle(0)),
        (format!("name = 's'\n{syslog}\nca_file = 'a'\nsettle_seconds = 301"), BadStream::Settle(301)),
        (format!("name = 's'\n{file}\nca_file = 'a'"), of_another("a file")),
        (format!("name = 's'\n{file}\ntoken_file = 'a'"), of_another("a file")),
        (format!("name = 's'\n{file}\nsettle_seconds = 5"), of_another("a file")),
        (format!("name = 's'\n{https}\nsettle_seconds = 5"), of_another("https")),
        (format!("name = 's'\n{https}\ncertificate = 'c'\nkey = 'k'"), of_another("https")),
        (format!("name = 's'\n{syslog}\nca_file = 'a'\ntoken_file = 't'"), of_another("syslog+tls")),
        (format!("name = 's'\n{file}\ncustomers = []\noperator_log = false"), BadStream::NoLog),
        (format!("name = 's'\n{file}\n[[audit.streams]]\nname = 's'\n{file}"), BadStream::Twice),
    ] {
        let refused = stream(&text).unwrap_err();
        assert!(matches!(&refused, ConfigError::Stream { why: found, .. } if *found == why), "{text}: {refused}");
    }
    for surplus in ["name = 'A B'", "format = 'xml'", "password = 'x'", "customers = ['Acme GmbH']"] {
        let text = format!("{file}\n{surplus}");
        let text = if surplus.starts_with("name") { text } else { format!("name = 's'\n{text}") };
        let text = if surplus.starts_with("format") { text.replacen("format = 'json'\n", "", 1) } else { text };
        assert!(matches!(stream(&text), Err(ConfigError::Malformed(_))), "{text}");
    }
}

#[test]
fn a_bare_connection_to_a_database_is_for_loopback_alone() {
    let store = |host| {
        let rest = "database = 'd'\nuser = 'u'\npassword_file = 'p'\ntls = 'disable'";
        Config::parse(&format!("{LEAST}[store]\nengine = 'postgresql'\nhost = '{host}'\n{rest}"))
    };
    assert!(store("127.0.0.1").is_ok() && store("localhost").is_ok());
    for host in ["192.0.2.1", "db.msp.example"] {
        assert!(matches!(store(host), Err(ConfigError::PlainDatabase(_))), "{host}");
    }
}

#[test]
fn an_address_alone_is_a_network() {
    let config = Config::parse(&format!("{LEAST}[http]\ntrusted_proxies = ['10.1.2.3', '2001:db8::/32']")).unwrap();
    let proxies: Vec<String> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.1.2.3/32", "2001:db8::/32"]);
}

#[test]
fn the_environment_sets_keys_in_place_of_the_file() {
    let text = "name = 'vault.msp.example'\nlisten = '127.0.0.1:8200'\ndata_directory = '/var/lib/claviger'\n[http]\nworkers = 2\n";
    let with = |variables: &[(&str, &str)]| {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse_with(text, owned)
    };
    assert_eq!(with(&[("PATH", "/bin"), ("CLAVIGER_TOKEN", "x")]).unwrap(), Config::parse(text).unwrap());
    let config = with(&[
        ("CLAVIGER_SERVER_LISTEN", "127.0.0.1:9000"),
        ("CLAVIGER_SERVER_LOG__LEVEL", "warn"),
        ("CLAVIGER_SERVER_HTTP__WORKERS", "3"),
        ("CLAVIGER_SERVER_METRICS__LISTEN", "'127.0.0.1:9001'"),
        ("CLAVIGER_SERVER_AUDIT__ANCHOR_FILES", "['/mnt/a/checkpoint', '/mnt/b/checkpoint']"),
    ])
    .unwrap();
    assert_eq!((config.listen.port(), config.metrics.listen.unwrap().port()), (9000, 9001));
    assert_eq!((config.log.level, config.http.workers.unwrap().get()), (Level::Warn, 3));
    assert_eq!(config.audit.anchor_files.len(), 2);

    let refused = |name: &str, value: &str| with(&[(name, value)]).unwrap_err().to_string();
    assert!(refused("CLAVIGER_SERVER_LISTEM", "x").contains("listem"));
    assert!(refused("CLAVIGER_SERVER_LOG__LEVELS", "x").contains("levels"));
    assert!(refused("CLAVIGER_SERVER_NAME__X", "x").contains("CLAVIGER_SERVER_NAME__X names no key"));
    assert!(refused("CLAVIGER_SERVER_LOG__", "x").contains("names no key"));
    assert!(
        refused("CLAVIGER_SERVER_LISTEN", "0.0.0.0:80").contains("loopback"),
        "what is not safe is refused as ever"
    );
}
