//! Every kind in every format, and values that somebody chose to do harm.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{CustomerId, Scope};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::plain::is_plain;
use super::told::{Customer, Place, Told};
use super::{Format, LINE_MAX};

const FORMATS: [Format; 4] = [Format::Json, Format::Ocsf, Format::Cef, Format::Ecs];

/// What has broken log readers: line ends of every script, terminal sequences, letters that run backwards, the separators
/// of each format, and what looks like the next event.
const HOSTILE: &[&str] = &[
    "\n",
    "\r\n",
    "\0",
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "\u{9b}31m",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{202e}gpj.exe",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{7f}",
    "|",
    "=",
    "\\",
    "\\n",
    "\"",
    "]",
    " src=10.0.0.1 act=vault.sealed",
    "\"},\"kind\":\"vault.sealed",
    "\n52 <109>1 2026-01-01T00:00:00Z v claviger - vault.sealed - {}",
    "ü",
    "🔑",
];

fn place() -> Place {
    let id = CustomerId::from_uuid(Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293));
    let log = claviger_api::audit::note::origin("vault.test", Scope::Customer(id));
    let customer = Some(Customer { id, slug: Some("acme".parse().unwrap()) });
    Place { vault: "vault.test".to_owned(), log, customer }
}

fn told(kind: EventKind, fields: &[(FieldName, &str)]) -> Told {
    let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let time = "2026-11-28T09:00:00.123456Z".parse().unwrap();
    Told { place: place(), index: 41, time, kind, fields, cut: false }
}

fn usual(kind: EventKind) -> Told {
    told(
        kind,
        &[
            (FieldName::Actor, "pr_0197a3c2e1f07b1a8c3d4e5f60718293"),
            (FieldName::ActorName, "tess"),
            (FieldName::Source, "192.0.2.7"),
            (FieldName::Account, "acme/db01/app"),
            (FieldName::Reason, "a look | at x=y"),
            (FieldName::RevealNumber, "1"),
        ],
    )
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_reveal_in_each_format() {
    let event = usual(EventKind::CheckoutRevealed);
    assert_eq!(
        Format::Json.render(&event),
        "{\"log\":\"vault.test/cu_0197a3c2e1f07b1a8c3d4e5f60718293\",\"index\":41,\"time\":\"2026-11-28T09:00:00.123456Z\",\
         \"kind\":\"checkout.revealed\",\"customer\":{\"id\":\"cu_0197a3c2e1f07b1a8c3d4e5f60718293\",\"slug\":\"acme\"},\
         \"fields\":{\"account\":\"acme/db01/app\",\"actor\":\"pr_0197a3c2e1f07b1a8c3d4e5f60718293\",\"actor_name\":\"tess\",\
         \"reason\":\"a look | at x=y\",\"reveal_number\":\"1\",\"source\":\"192.0.2.7\"}}"
    );
    let cef = Format::Cef.render(&event);
    let version = env!("CARGO_PKG_VERSION");
    let head = format!(
        "CEF:0|Claviger|Claviger|{version}|checkout.revealed|checkout revealed|4|rt=1795856400123 dvchost=vault.test act=checkout.revealed outcome=success "
    );
    assert!(cef.starts_with(&head), "{cef}");
    assert!(cef.contains(" suser=tess reason=a look | at x\\=y src=192.0.2.7 "), "{cef}");
    let ocsf = json(&Format::Ocsf.render(&event));
    assert_eq!(
        (&ocsf["class_uid"], &ocsf["type_uid"], &ocsf["time"]),
        (&3004.into(), &300_402.into(), &1_795_856_400_123_u64.into())
    );
    assert_eq!(ocsf["metadata"]["uid"], "vault.test/cu_0197a3c2e1f07b1a8c3d4e5f60718293/41");
    assert_eq!(ocsf["actor"]["user"]["name"], "tess");
    assert_eq!(ocsf["src_endpoint"]["ip"], "192.0.2.7");
    assert_eq!(ocsf["entity"]["name"], "acme/db01/app");
    let ecs = json(&Format::Ecs.render(&event));
    assert_eq!(
        (&ecs["@timestamp"], &ecs["source"]["ip"]),
        (&"2026-11-28T09:00:00.123456Z".into(), &"192.0.2.7".into())
    );
    assert_eq!(ecs["event"]["id"], "vault.test/cu_0197a3c2e1f07b1a8c3d4e5f60718293/41");
    assert_eq!(ecs["user"]["name"], "tess");
}

/// OCSF 1.3.0: what each class requires beyond the base event, and its activities.
fn required(class: u64) -> (&'static [&'static str], &'static [u64]) {
    match class {
        3001 => (&["user"], &[1, 2, 3, 4, 5, 6, 10, 11, 99]),
        3002 => (&["user", "service"], &[1, 2, 99]),
        3004 => (&["entity"], &[1, 2, 3, 4, 99]),
        3005 => (&["user", "privileges"], &[1, 2, 99]),
        other => panic!("{other} is no class that we write"),
    }
}

#[test]
fn every_kind_has_what_its_ocsf_class_requires() {
    for kind in EventKind::ALL {
        for event in [usual(*kind), told(*kind, &[])] {
            let written = json(&Format::Ocsf.render(&event));
            let number = |name: &str| written[name].as_u64().unwrap_or_else(|| panic!("{kind}: {name} in {written}"));
            let (class, activity) = (number("class_uid"), number("activity_id"));
            let (attributes, activities) = required(class);
            assert!(activities.contains(&activity), "{kind}: {class} has no activity {activity}");
            assert_eq!((number("category_uid"), number("type_uid")), (3, class * 100 + activity), "{kind}");
            assert!((1..=4).contains(&number("severity_id")) && (1..=2).contains(&number("status_id")), "{kind}");
            assert_eq!(number("time"), 1_795_856_400_123);
            assert_eq!(written["metadata"]["version"], "1.3.0");
            assert_eq!(written["metadata"]["product"]["name"], "Claviger");
            for attribute in attributes {
                assert!(!written[attribute].is_null(), "{kind}: {class} requires {attribute}: {written}");
            }
            for named in ["user", "entity"] {
                let object = &written[named];
                assert!(
                    object.is_null() || (object["name"].is_string() && object["uid"].is_string()),
                    "{kind}: {object}"
                );
            }
            let privileges = written["privileges"].as_array();
            assert!(
                privileges.is_none_or(|rights| !rights.is_empty() && rights.iter().all(Value::is_string)),
                "{kind}"
            );
        }
    }
    let class = |kind| json(&Format::Ocsf.render(&usual(kind)))["type_uid"].as_u64();
    assert_eq!(class(EventKind::LoginFailed), Some(300_201));
    assert_eq!(class(EventKind::UserSuspended), Some(300_105));
    assert_eq!(class(EventKind::GrantRevoked), Some(300_502));
    assert_eq!(class(EventKind::RotationPromoted), Some(300_103));
}

/// ECS 8.11: which `event.type` goes with which `event.category`.
#[test]
fn every_kind_has_words_that_ecs_allows_together() {
    for kind in EventKind::ALL {
        let written = json(&Format::Ecs.render(&usual(*kind)));
        let of_event = &written["event"];
        let allowed: &[&str] = match of_event["category"][0].as_str().unwrap() {
            "authentication" => &["start", "end", "info"],
            "iam" => &["admin", "change", "creation", "deletion", "group", "info", "user"],
            "configuration" => &["access", "change", "creation", "deletion", "info"],
            "api" => &[
                "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start",
                "user",
            ],
            other => panic!("{kind}: {other}"),
        };
        for word in of_event["type"].as_array().unwrap() {
            assert!(allowed.contains(&word.as_str().unwrap()), "{kind}: {word}");
        }
        assert!(["event", "alert"].contains(&of_event["kind"].as_str().unwrap()));
        assert!(["success", "failure"].contains(&of_event["outcome"].as_str().unwrap()));
        assert_eq!(of_event["action"], kind.text());
        assert_eq!(written["ecs"]["version"], "8.11.0");
    }
    let outcome = |kind, fields: &[_]| json(&Format::Ecs.render(&told(kind, fields)))["event"]["outcome"].clone();
    assert_eq!(outcome(EventKind::LoginFailed, &[]), "failure");
    assert_eq!(outcome(EventKind::RotationVerified, &[(FieldName::Outcome, "accepted")]), "success");
    assert_eq!(outcome(EventKind::RotationVerified, &[(FieldName::Outcome, "refused")]), "failure");
}

/// Reads CEF as its definition says: seven bars that are not escaped, then keys before equals signs that are not.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut rest = line.chars();
    while header.len() <= 7 {
        let last = header.last_mut().unwrap();
        match rest.next().expect("seven bars") {
            '\\' => last.push(rest.next().unwrap()),
            '|' => header.push(String::new()),
            other => last.push(other),
        }
    }
    header.pop();
    let (mut fields, mut key, mut text) = (BTreeMap::new(), String::new(), String::new());
    while let Some(next) = rest.next() {
        match next {
            '\\' => text.push(match rest.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            // The word before it is the next key; what is before that, the value of the last.
            '=' => {
                let (value, next_key) = text.rsplit_once(' ').map_or(("", text.as_str()), |(value, key)| (value, key));
                assert!(next_key.bytes().all(|b| b.is_ascii_alphanumeric()) && !next_key.is_empty(), "{next_key:?}");
                let before = fields.insert(std::mem::replace(&mut key, next_key.to_owned()), value.to_owned());
                assert!(before.is_none(), "a key twice");
                text.clear();
            }
            other => text.push(other),
        }
    }
    assert!(fields.insert(key, text).is_none(), "a key twice");
    (header, fields)
}

/// What CEF has no escape for is in words there.
fn in_words(value: &str) -> String {
    let word = |c: char| match c {
        '\n' | '\r' => c.to_string(),
        c if is_plain(c) => c.to_string(),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    };
    value.chars().map(word).collect()
}

fn check(event: &Told) {
    let fields: BTreeMap<&str, &str> = event.fields.iter().map(|(name, value)| (name.text(), value.as_str())).collect();
    let same = |written: &Value| {
        let read: BTreeMap<&str, &str> =
            written.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        assert_eq!(read, fields);
    };
    for format in FORMATS {
        let line = format.render(event);
        assert!(line.len() <= LINE_MAX, "{format:?}: {} bytes", line.len());
        assert!(line.chars().all(is_plain), "{format:?}: {line:?}");
        match format {
            Format::Cef => {
                let (header, read) = read_cef(&line);
                assert_eq!((header.len(), header[4].as_str()), (7, event.kind.text()));
                assert_eq!(format!("{}/{}", read["cs1"], read["cn1"]), event.id());
                for (name, value) in &event.fields {
                    let own = read.iter().find(|(key, _)| {
                        key.strip_prefix("claviger")
                            .is_some_and(|key| key.eq_ignore_ascii_case(&name.text().replace('_', "")))
                    });
                    assert_eq!(own.map(|(_, read)| read.as_str()), Some(in_words(value).as_str()), "{name}");
                }
                let known: BTreeSet<&str> = [
                    "rt",
                    "dvchost",
                    "act",
                    "outcome",
                    "msg",
                    "cs1",
                    "cs1Label",
                    "cn1",
                    "cn1Label",
                    "cs2",
                    "cs2Label",
                    "cs3",
                    "cs3Label",
                    "suid",
                    "suser",
                    "duid",
                    "duser",
                    "reason",
                    "src",
                    "c6a2",
                    "c6a2Label",
                ]
                .into();
                for key in read.keys().filter(|key| !key.is_empty() && !key.starts_with("claviger")) {
                    assert!(known.contains(key.as_str()), "nobody wrote {key}");
                }
            }
            Format::Json | Format::Ocsf | Format::Ecs => {
                assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
                let read = json(&line);
                let (id, own) = match format {
                    Format::Json => (format!("{}/{}", read["log"].as_str().unwrap(), read["index"]), &read["fields"]),
                    Format::Ocsf => (read["metadata"]["uid"].as_str().unwrap().to_owned(), &read["unmapped"]["fields"]),
                    Format::Ecs | Format::Cef => {
                        (read["event"]["id"].as_str().unwrap().to_owned(), &read["claviger"]["fields"])
                    }
                };
                assert_eq!(id, event.id());
                same(own);
            }
        }
    }
}

#[test]
fn every_hostile_value_in_every_field_stays_one_line_and_is_read_back() {
    let names = FieldName::ALL.iter().filter(|name| !matches!(name, FieldName::Time | FieldName::Kind));
    for (name, value) in names.flat_map(|name| HOSTILE.iter().map(move |value| (*name, *value))) {
        check(&told(EventKind::CheckoutRevealed, &[(name, value)]));
        check(&told(EventKind::LoginFailed, &[(name, &value.repeat(3))]));
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(HOSTILE).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[a-z=|\\\\ ]{0,8}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_event(value: impl Strategy<Value = String>) -> impl Strategy<Value = Told> {
    let names: Vec<FieldName> = FieldName::ALL.to_vec();
    let fields = proptest::collection::vec((proptest::sample::select(names), value), 0..8);
    (proptest::sample::select(EventKind::ALL), fields).prop_map(|(kind, fields)| {
        let fields = fields.into_iter().filter(|(name, _)| !matches!(name, FieldName::Time | FieldName::Kind));
        Told { fields: fields.collect(), ..told(kind, &[]) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_somebody_wrote_is_one_line_and_is_read_back(event in any_event(hostile())) {
        check(&event);
    }

    /// Values at their limits: the line is cut, says so, and is still one whole event.
    #[test]
    fn what_is_too_long_is_cut_and_says_so(event in any_event("(ü|🔑|\u{202e}|x|=){900,1000}")) {
        for format in FORMATS {
            let line = format.render(&event);
            prop_assert!(line.len() <= LINE_MAX, "{:?}: {} bytes", format, line.len());
            match format {
                Format::Cef => drop(read_cef(&line)),
                Format::Json | Format::Ocsf | Format::Ecs => drop(json(&line)),
            }
            if format == Format::Json && event.fields.len() > 2 {
                prop_assert!(json(&line)["cut"] == true || line.len() < LINE_MAX);
            }
        }
    }
}

#[test]
fn all_fields_at_once_at_their_limit_fit() {
    let worst = "\u{202e}".repeat(1365);
    let fields: Vec<(FieldName, &str)> = FieldName::ALL.iter().map(|name| (*name, worst.as_str())).collect();
    for format in FORMATS {
        let line = format.render(&told(EventKind::BreakGlassUnresolvedRevealed, &fields));
        assert!(line.len() <= LINE_MAX, "{format:?}: {} bytes", line.len());
        assert!(line.contains("cut") || line.contains("Cut"), "{format:?}");
    }
}
