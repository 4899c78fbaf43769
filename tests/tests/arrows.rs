//! Who may import whom, and nothing else: ARCHITECTURE.md, "Arrows". What Cargo builds with is judged, tests aside.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the workspace says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each of our crates, and those of ours that it may import besides `claviger-api`, which everybody may.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("claviger-api", &[]),
    ("claviger-client", &[]),
    ("claviger-cli", &["claviger-client"]),
    ("claviger-bench", &["claviger-client"]),
    ("claviger-core", &[]),
    ("claviger-crypto", &[]),
    ("claviger-pkcs11", &["claviger-crypto"]),
    ("claviger-store", &["claviger-core", "claviger-crypto"]),
    ("claviger-rocksdb", &["claviger-store"]),
    ("claviger-postgres", &["claviger-store"]),
    ("claviger-connectors", &["claviger-core"]),
    ("claviger-service", &["claviger-core", "claviger-crypto", "claviger-store", "claviger-connectors"]),
    (
        "claviger-server",
        &[
            "claviger-service",
            "claviger-core",
            "claviger-store",
            "claviger-connectors",
            "claviger-rocksdb",
            "claviger-postgres",
            "claviger-pkcs11",
        ],
    ),
];

/// Imports everybody: it is the whole system.
const TESTS: &str = "claviger-tests";

/// What only one of our crates may name.
const ONLY: &[(&str, &str)] = &[
    ("aes-gcm", "claviger-crypto"),
    ("argon2", "claviger-crypto"),
    ("blahaj", "claviger-crypto"),
    ("actix-web", "claviger-server"),
    ("rocksdb", "claviger-rocksdb"),
    ("cedar-policy", "claviger-core"),
    ("cryptoki", "claviger-pkcs11"),
];

/// What a crate never names, and why.
const NEVER: &[(&str, &str, &str)] = &[
    ("claviger-api", "tokio", "it does no I/O"),
    ("claviger-core", "tokio", "decisions never await"),
    ("claviger-crypto", "tokio", "sealing never awaits"),
];

type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn nobody_imports_whom_they_may_not() {
    assert_eq!(forbidden(&workspace()), Vec::<String>::new());
}

/// A list that forbids nothing would pass too.
#[test]
fn a_wrong_arrow_is_named() {
    for (from, to) in [
        ("claviger-core", "tokio"),
        ("claviger-service", "actix-web"),
        ("claviger-service", "claviger-rocksdb"),
        ("claviger-cli", "claviger-server"),
        ("claviger-client", "claviger-core"),
        ("claviger-api", "claviger-client"),
        ("claviger-server", "claviger-crypto"),
        ("claviger-store", "aes-gcm"),
        ("claviger-service", "claviger-pkcs11"),
        ("claviger-service", "cryptoki"),
        ("claviger-tests", "rocksdb"),
        ("claviger-server", "claviger-tests"),
    ] {
        let mut arrows = workspace();
        assert!(arrows.get_mut(from).unwrap().insert(to.to_owned()), "{from} → {to} is there already");
        let found = forbidden(&arrows);
        assert!(found.len() == 1 && found[0].contains(&format!("{from} → {to}")), "{from} → {to}: {found:?}");
    }
    let mut arrows = workspace();
    arrows.insert("claviger-new".to_owned(), BTreeSet::new());
    assert!(forbidden(&arrows)[0].contains("claviger-new"));
}

/// Every arrow that may not be.
fn forbidden(arrows: &Arrows) -> Vec<String> {
    let ours = |name: &str| arrows.contains_key(name);
    let mut found = Vec::new();
    for (from, imports) in arrows {
        let may = MAY_IMPORT.iter().find(|(name, _)| name == from).map(|(_, may)| *may);
        if may.is_none() && from != TESTS {
            found.push(format!("{from} is not in the list: say what it may import"));
            continue;
        }
        for to in imports {
            let arrow = format!("{from} → {to}");
            if let Some(may) = may
                && ours(to)
                && to != "claviger-api"
                && !may.contains(&to.as_str())
            {
                found.push(format!("{arrow}: it may import {may:?}"));
            }
            if let Some((_, only)) = ONLY.iter().find(|(name, only)| name == to && only != from) {
                found.push(format!("{arrow}: only {only} may name it"));
            }
            if let Some((.., why)) = NEVER.iter().find(|(who, what, _)| who == from && what == to) {
                found.push(format!("{arrow}: {why}"));
            }
        }
    }
    found
}

/// Our crates, and what each is built with.
fn workspace() -> Arrows {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let said = cargo.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).unwrap();
    let packages = metadata.get("packages").and_then(Value::as_array).unwrap();
    packages.iter().map(|package| (text(&package["name"]), imports(package))).collect()
}

/// Normal dependencies: those of tests and build scripts are no arrows.
fn imports(package: &Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().unwrap();
    dependencies.iter().filter(|of| of["kind"].is_null()).map(|of| text(&of["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
