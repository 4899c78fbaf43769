//! The command line as a person or a script runs it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run the program cannot go on")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::server::cli_program;

/// Somebody's terminal: an environment and a home of its own.
pub struct Cli {
    home: TempDir,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Done {
    /// What a command that has done its job has written as JSON.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }
}

impl Cli {
    /// Somebody who talks to this vault.
    pub fn at(address: &str) -> Self {
        let environment = vec![("CLAVIGER_ADDR".to_owned(), address.to_owned())];
        Self { home: TempDir::with_prefix("claviger-home-").unwrap(), environment }
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs `claviger` with these words.
    pub async fn run(&self, words: &[&str]) -> Done {
        self.run_with(words, "").await
    }

    /// Runs `claviger` with these words and this on standard input.
    pub async fn run_with(&self, words: &[&str], input: &str) -> Done {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: status.code().expect("it ended by itself"), stdout: text(stdout), stderr: text(stderr) }
    }

    /// The command, with its output captured; it ends with the test.
    pub fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        let mut command = Command::new(cli_program());
        command.args(words).env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}
