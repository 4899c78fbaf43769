//! The programs that judge, which `scripts/judges` fetches.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// One of the judges, or what one goes by.
pub fn judge(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository("target"), PathBuf::from);
    let path = target.join("deploy").join(name);
    assert!(path.exists(), "{} is not there: run scripts/judges", path.display());
    path
}

/// What a program says that must be content.
pub fn content(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Both of what a program says.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `tests/tests/deploy/judge.py`.
pub fn yaml_judge() -> Command {
    let mut command = Command::new(judge("venv/bin/python"));
    command.arg(repository("tests/tests/deploy/judge.py"));
    command
}

/// The documents of a file in YAML.
pub fn yaml(path: &Path) -> Vec<Value> {
    serde_json::from_str(&content(yaml_judge().arg("json").arg(path))).unwrap()
}
