//! What the programs are made of: each crate of Cargo.lock that they are built from, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::judges::{content, repository};

#[test]
fn the_sbom_is_valid_and_names_what_is_built() {
    let written = content(&mut Command::new(repository("scripts/sbom")));
    let files: Vec<&str> = written.lines().collect();
    assert_eq!(files.len(), 2, "{written}");
    for (file, program) in files.into_iter().zip(["claviger-server", "claviger"]) {
        let path = repository(file);
        let document: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let (named, licensed) = components(&document);
        let package = if program == "claviger" { "claviger-cli" } else { program };
        let built = built(package);
        assert!(built.len() > 100, "{program}: {}", built.len());
        assert_eq!(
            built.difference(&named).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{program}: they are not named"
        );
        assert!(licensed * 10 > named.len() * 9, "{program}: {licensed} of {} say their licence", named.len());
    }
    let left = content(Command::new("git").args(["status", "--porcelain"]).current_dir(repository(".")));
    assert!(!left.contains("sbom.json"), "{left}");
}

/// Name and version of each component, and how many have a licence.
fn components(document: &Value) -> (BTreeSet<String>, usize) {
    let components = document["components"].as_array().unwrap();
    let name = |component: &Value| {
        format!("{} {}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
    };
    let licensed = components.iter().filter(|component| !component["licenses"].is_null()).count();
    (components.iter().map(name).collect(), licensed)
}

/// The crates that a package is built from on this kind of machine, as cargo itself tells; not those of the workspace.
fn built(package: &str) -> BTreeSet<String> {
    let tree = content(
        Command::new("cargo")
            .args([
                "tree",
                "--locked",
                "--offline",
                "--edges=normal",
                "--prefix=none",
                "--no-dedupe",
                "--package",
                package,
            ])
            .current_dir(repository(".")),
    );
    let crates = tree.lines().filter(|line| !line.contains(" (/")).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    });
    crates.collect()
}
