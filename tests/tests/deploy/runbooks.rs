//! The runbooks: every command in them is one that the programs understand, and every page that is named is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use claviger_tests::server::{cli_program, server_program};

use crate::alerts::alerts;
use crate::judges::{repository, said};

/// What stands for an id in a runbook, and ids of the kinds that there are.
const ID: &str = "ID";
const IDS: [&str; 7] = [
    "ro_0197a3c2e1f07b1a8c3d4e5f60718293",
    "em_0197a3c2e1f07b1a8c3d4e5f60718293",
    "bg_0197a3c2e1f07b1a8c3d4e5f60718293",
    "rk_0197a3c2e1f07b1a8c3d4e5f60718293",
    "ki_0197a3c2e1f07b1a8c3d4e5f60718293",
    "cu_0197a3c2e1f07b1a8c3d4e5f60718293",
    "0197a3c2-e1f0-7b1a-8c3d-4e5f60718293",
];
/// What stands for the verifier key of a log, and one: that of docs/formats.md.
const KEY: &str = "KEY";
const VERIFIER_KEY: &str = "vault.test/audit/operator+7c1d7131+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

fn pages() -> BTreeMap<String, String> {
    let folder = fs::read_dir(repository("deploy/runbooks")).unwrap();
    let pages = folder
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()));
    pages.collect()
}

#[test]
fn every_command_is_understood() {
    let mut seen = 0;
    for (page, text) in pages() {
        for command in commands(&text) {
            assert_understood(&page, &command);
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} commands were found");
    for (name, alert) in alerts() {
        for annotation in ["summary", "description"] {
            let text = alert["annotations"][annotation].as_str().unwrap();
            for command in text.split('"').filter(|quoted| quoted.starts_with("claviger ")) {
                assert_understood(&name, &words(command));
            }
        }
    }
}

#[test]
fn a_command_that_is_not_there_is_found() {
    for wrong in ["claviger operator reseal", "claviger status --loud", "claviger rotate --customer Acme!"] {
        assert!(!is_understood(&words(wrong)).0, "{wrong}");
    }
    assert_eq!(commands("`claviger status` and\n```sh\n# no\nclaviger audit log --text 'a b' | head\n```\n").len(), 2);
}

#[test]
fn every_page_is_found_and_says_how_one_knows_that_it_worked() {
    let pages = pages();
    let index = &pages["README.md"];
    for (page, text) in pages.iter().filter(|(page, _)| *page != "README.md") {
        assert!(index.contains(&format!("({page})")), "{page} is not in README.md");
        for part in ["## How you know it worked", "## Afterwards"] {
            assert!(text.contains(part) || page == "restore-drill.md", "{page} has no {part:?}");
        }
    }
    for (page, text) in &pages {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(pages.contains_key(link), "{page} leads to {link}");
        }
        for file in text.split('`').filter(|word| word.starts_with("deploy/") && !word.contains(' ')) {
            assert!(repository(file).exists(), "{page} names {file}");
        }
    }
    for (name, alert) in alerts() {
        let page = alert["annotations"]["runbook"].as_str().unwrap();
        assert!(pages.contains_key(page), "{name} leads to {page}");
        assert!(pages[page].contains(&name), "{page} does not name {name}");
    }
}

/// The command lines of ours on a page, word by word: in blocks of shell, and in the text.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut block = false;
    for line in page.lines().map(str::trim) {
        if line.starts_with("```") {
            block = !block;
            continue;
        }
        let inline = line.split('`').skip(1).step_by(2);
        let lines: Vec<&str> = if block { vec![line] } else { inline.collect() };
        found.extend(lines.into_iter().map(words).filter(|words| program(words).is_some()));
    }
    found
}

/// The words of a command, up to a pipe or a redirection.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while let Some(first) = rest.chars().next() {
        let quoted = ['"', '\''].contains(&first);
        let (word, after) = if quoted {
            rest[1..].split_once(first).unwrap_or_else(|| panic!("{command}: a quote has no end"))
        } else {
            rest.split_once(' ').unwrap_or((rest, ""))
        };
        if !quoted && ["|", ">", "<", "&&"].iter().any(|end| word.starts_with(end)) {
            break;
        }
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

fn program(words: &[String]) -> Option<PathBuf> {
    match words.first()?.as_str() {
        "claviger" if words.len() > 1 => Some(cli_program()),
        "claviger-server" | "./claviger-server" if words.len() > 1 => Some(server_program()),
        _ => None,
    }
}

fn assert_understood(page: &str, words: &[String]) {
    let (understood, said) = is_understood(words);
    assert!(understood, "{page}: {}\n{said}", words.join(" "));
}

/// Whether the program takes these words: asked for its help at their end, it has read them all first.
fn is_understood(words: &[String]) -> (bool, String) {
    let mut answer = String::new();
    for id in IDS {
        let given = words.iter().skip(1).map(|word| match word.as_str() {
            ID => id.to_owned(),
            KEY => VERIFIER_KEY.to_owned(),
            word => word.to_owned(),
        });
        let asked = Command::new(program(words).expect("one of ours")).args(given).arg("--help").output().unwrap();
        if asked.status.success() {
            return (true, String::new());
        }
        answer = said(&asked);
    }
    (false, answer)
}
