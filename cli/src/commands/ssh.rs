//! `claviger ssh`: a session on a Linux host by a certificate that ends with its checkout. The key is made here, for this
//! session alone, and never leaves this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use claviger_client::Client;
use claviger_client::api::wire::{Checkout, HostKey, SignKey, Signed, SshKey, SystemSpec};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::exec::{KEPT_BACK, code_of, give_back, watch};
use super::taking::{Taking, Unapproved, ended_by};
use crate::connection::Context;
use crate::failure::Failure;
use crate::receipts;
use crate::signals::Signals;

/// What the host is called in the known hosts of the session.
const ALIAS: &str = "claviger-host";

#[derive(Args)]
pub struct Ssh {
    #[command(flatten)]
    taking: Taking,
    /// An option for the ssh program as in ssh_config, e.g. ProxyJump=bastion; may be repeated
    #[arg(short = 'o', long = "ssh-option", value_name = "OPTION")]
    options: Vec<String>,
    /// What the host is to run, instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Ssh {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        let checkout = self.taking.take(&client, false, Unapproved::IsWithdrawn, &mut signals).await?;
        let outcome = self.session(context, &client, &checkout, &mut signals).await;
        let returned = give_back(&client, checkout.id).await;
        match (outcome, returned) {
            (Err(failure), _) => Err(failure),
            (Ok(0), Ok(())) => Ok(()),
            (Ok(0), Err(code)) | (Ok(code), _) => Err(Failure::Code(code)),
        }
    }

    /// Has a new key signed, opens the session, and gives its exit code.
    async fn session(
        &self,
        context: &Context,
        client: &Client,
        checkout: &Checkout,
        signals: &mut Signals,
    ) -> Result<u8, Failure> {
        let files = Files::new()?;
        let public_key = files.make_key().await?;
        let request = SignKey { public_key: public_key.to_string() };
        let checkouts = client.checkouts();
        let mut signed = tokio::select! {
            signed = checkouts.sign(checkout.id, &request) => signed?,
            signal = signals.next() => return Err(ended_by(signal)),
        };
        receipts::keep(context, &checkout.account, Some(checkout.id), &mut signed.receipt);
        let Signed { certificate, login, system, .. } = signed;
        let SystemSpec::Linux { host, port, host_keys, .. } = system else {
            let what = format!("{} is not on a Linux host", checkout.account);
            return Err(Failure::usage(what, "claviger checkout PATH, or claviger exec PATH -- COMMAND"));
        };
        files.write("key-cert.pub", &format!("{certificate}\n"))?;
        files.write("known_hosts", &known_hosts(&host, port, &host_keys).await?)?;
        let mut child = self.start(&files, login.as_str(), &host, port)?;
        watch(&mut child, signals).await.map(code_of)
    }

    fn start(&self, files: &Files, login: &str, host: &str, port: u16) -> Result<Child, Failure> {
        let mut command = Command::new("ssh");
        for name in KEPT_BACK {
            command.env_remove(name);
        }
        let ours = [
            option("CertificateFile", &files.path("key-cert.pub")),
            option("IdentityFile", &files.path("key")),
            option("UserKnownHostsFile", &files.path("known_hosts")),
        ];
        command.args(ours.iter().flat_map(|option| ["-o", option]));
        for fixed in FIXED {
            command.args(["-o", fixed]);
        }
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command.args(["-p", &port.to_string(), "-l", login, "--", host]);
        command.args(&self.command);
        command.spawn().map_err(|error| Failure::failed(format!("ssh cannot be started: {error}")))
    }
}

/// Neither another key nor another known host, and no connection that outlives the session or was there before it.
const FIXED: [&str; 11] = [
    "HostKeyAlias=claviger-host",
    "GlobalKnownHostsFile=none",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "AddKeysToAgent=no",
    "PreferredAuthentications=publickey",
    "ControlMaster=no",
    "ControlPath=none",
];

fn option(name: &str, path: &Path) -> String {
    format!("{name}=\"{}\"", path.display())
}

/// The session's files, for their owner alone; gone with it.
struct Files(TempDir);

impl Files {
    /// In memory where the machine has a place for that.
    fn new() -> Result<Self, Failure> {
        let in_memory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
        let folder = in_memory.unwrap_or_else(std::env::temp_dir);
        let made = TempDir::with_prefix_in("claviger-ssh-", folder);
        made.map(Self).map_err(|error| Failure::failed(format!("cannot make a folder for the session: {error}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        std::fs::write(self.path(name), text)
            .map_err(|error| Failure::failed(format!("cannot write the session's {name}: {error}")))
    }

    /// A new key pair, by OpenSSH's own tool.
    async fn make_key(&self) -> Result<SshKey, Failure> {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(self.path("key"))
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| Failure::failed(format!("ssh-keygen cannot be started: {error}")))?;
        let public = std::fs::read_to_string(self.path("key.pub")).ok().and_then(|text| text.parse().ok());
        public.filter(|_| made.status.success()).ok_or_else(|| {
            Failure::failed(format!("ssh-keygen made no key: {}", String::from_utf8_lossy(&made.stderr).trim()))
        })
    }
}

/// The host's keys as its system says. Of fingerprints alone, those keys that the host shows and that have them.
async fn known_hosts(host: &str, port: u16, pinned: &[HostKey]) -> Result<String, Failure> {
    let mut known: Vec<String> = Vec::new();
    for key in pinned {
        if let HostKey::Key(key) = key {
            known.push(format!("{ALIAS} {key}\n"));
        }
    }
    if known.is_empty() {
        let shown = Command::new("ssh-keyscan")
            .args(["-T", "10", "-p", &port.to_string(), "--", host])
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| Failure::failed(format!("ssh-keyscan cannot be started: {error}")))?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let keys = shown.lines().filter_map(|line| line.split_once(' ')?.1.parse::<SshKey>().ok());
        known.extend(keys.filter(|key| pinned.iter().any(|pin| pin.is(key))).map(|key| format!("{ALIAS} {key}\n")));
    }
    if known.is_empty() {
        return Err(Failure::failed(format!("{host}:{port} shows none of the host keys that its system lists")));
    }
    Ok(known.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_is_one_name() {
        assert!(FIXED.contains(&format!("HostKeyAlias={ALIAS}").as_str()));
    }

    #[tokio::test]
    async fn pinned_keys_are_the_only_known_hosts() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
        let known = known_hosts("web01", 22, &[key.parse().unwrap()]).await.unwrap();
        assert_eq!(known, format!("claviger-host {key}\n"));
    }
}
