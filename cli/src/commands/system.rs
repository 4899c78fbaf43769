//! `claviger system`: what has administrator accounts at a customer.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use claviger_client::api::Part;
use claviger_client::api::wire::{NewSystem, RotationPolicy, SystemChange, SystemSpec, fingerprint_text};

use crate::commands::discovery::{Discover, Known};
use crate::commands::policy::Policy;
use crate::connection::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::path::SystemPath;

mod reach;

use reach::{Kind, Reach};

#[derive(Subcommand)]
pub enum System {
    /// Add a system
    Add(Add),
    /// List a customer's systems
    List {
        /// The customer
        #[arg(long, value_name = "CUSTOMER")]
        customer: Part,
    },
    /// Show one system
    Show {
        /// customer/system
        system: SystemPath,
    },
    /// Change a system; what is not named stays
    Set(Set),
    /// The authority of a Linux host's certificates: what its sshd is to trust (TrustedUserCAKeys)
    Ca {
        /// customer/system
        system: SystemPath,
        /// Write it into this file, as sshd reads it
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// A Linux host's certificates whose checkouts ended early: what its sshd is to refuse (RevokedKeys)
    Krl {
        /// customer/system
        system: SystemPath,
        /// Write the list into this file, as sshd reads it, in one step
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// List the logins that a system has now, by its management account, and compare them with the vault's accounts
    Discover(Discover),
    /// Say why a login shall stay outside of the vault, or that nobody answers for it any more
    Known(Known),
    /// Remove a system that has no accounts any more
    Remove {
        /// customer/system
        system: SystemPath,
    },
}

#[derive(Args)]
pub struct Add {
    /// customer/system, e.g. acme/db01
    system: SystemPath,
    /// What kind of system it is
    #[arg(long, value_enum)]
    kind: Kind,
    /// Host name or address; of a manual system where it is, in words
    #[arg(long)]
    host: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub struct Set {
    /// customer/system
    system: SystemPath,
    /// Host name or address
    #[arg(long)]
    host: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    policy: Policy,
}
impl System {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Add(add) => {
                let new = add.new_system()?;
                output.one(&client.systems(&add.system.customer).add(&new).await?)
            }
            Self::List { customer } => output.many(&client.systems(&customer).list().all().await?),
            Self::Show { system } => output.one(&client.systems(&system.customer).show(&system.system).await?),
            Self::Set(set) => {
                let systems = client.systems(&set.system.customer);
                let name = set.system.system.clone();
                let present = systems.show(&name).await?;
                let change = set.change(&present.spec, &present.rotation_policy)?;
                output.one(&systems.set(&name, &change).await?)
            }
            Self::Ca { system, write } => {
                let shown = client.systems(&system.customer).show(&system.system).await?;
                let key = shown.certificate_authority.ok_or_else(|| {
                    Failure::usage("this system has no certificates", "only systems of kind linux have them")
                })?;
                match write {
                    Some(file) => written(&file, format!("{key}\n").as_bytes(), output),
                    None => output.one(&serde_json::json!({
                        "system": format!("{}/{}", system.customer, system.system),
                        "certificate_authority": key,
                        "fingerprint": fingerprint_text(&key.fingerprint()),
                    })),
                }
            }
            Self::Krl { system, write } => {
                let revoked = client.systems(&system.customer).revoked_certificates(&system.system).await?;
                match write {
                    Some(file) => {
                        let list = STANDARD.decode(&revoked.krl);
                        let list = list.map_err(|_| Failure::failed("the vault's list cannot be read".to_owned()))?;
                        written(&file, &list, output)
                    }
                    None => output.one(&revoked),
                }
            }
            Self::Discover(discover) => discover.run(&client, output).await,
            Self::Known(known) => known.run(&client, output).await,
            Self::Remove { system } => {
                client.systems(&system.customer).remove(&system.system).await?;
                output.done(&format!("removed {}/{}", system.customer, system.system))
            }
        }
    }
}

impl Add {
    fn new_system(&self) -> Result<NewSystem, Failure> {
        Ok(NewSystem {
            name: self.system.system.clone(),
            spec: self.reach.apply(self.kind.at(self.host.clone(), self.reach.calls.as_deref())?)?,
            management_account: self.reach.management_account.clone(),
        })
    }
}

impl Set {
    /// What is there with the named parts replaced; nothing, when none is named.
    fn change(self, present: &SystemSpec, policy: &RotationPolicy) -> Result<SystemChange, Failure> {
        let mut spec = self.reach.apply(present.clone())?;
        if let Some(new) = &self.host {
            match &mut spec {
                SystemSpec::Postgresql { host, .. }
                | SystemSpec::Mysql { host, .. }
                | SystemSpec::Ldap { host, .. }
                | SystemSpec::Linux { host, .. }
                | SystemSpec::ActiveDirectory { host, .. }
                | SystemSpec::Http { host, .. }
                | SystemSpec::Manual { address: host, .. } => {
                    host.clone_from(new);
                }
            }
        }
        Ok(SystemChange {
            spec: (spec != *present).then_some(spec),
            management_account: self.reach.management_account,
            rotation_policy: self.policy.change(policy),
        })
    }
}

/// Replaces a file in one step: sshd reads it at each login, and refuses everybody while it cannot.
fn written(file: &Path, bytes: &[u8], output: Output) -> Result<(), Failure> {
    let write = || {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(bytes)?;
        new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        new.as_file().sync_all()?;
        new.persist(file).map_err(|error| error.error).map(drop)
    };
    let written: std::io::Result<()> = write();
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
    output.done(&format!("wrote {}", file.display()))
}
#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use claviger_client::api::wire::TlsMode;

    use super::reach::LDAP_PORT;
    use super::*;
    use crate::cli::{Cli, Command};

    fn changed(line: &str, present: &SystemSpec) -> Result<SystemChange, Failure> {
        set(line).change(present, &RotationPolicy::default())
    }

    fn at(kind: Kind, host: &str) -> SystemSpec {
        kind.at(host.to_owned(), None).unwrap()
    }

    fn set(line: &str) -> Set {
        let cli =
            Cli::try_parse_from(["claviger", "system", "set", "acme/db"].into_iter().chain(line.split_terminator(' ')));
        let Command::System(System::Set(set)) = cli.unwrap().command else { panic!("another command") };
        set
    }

    #[test]
    fn set_changes_what_is_named_and_nothing_else() {
        let present = SystemSpec::Postgresql {
            host: "db".to_owned(),
            port: 6432,
            database: "app".to_owned(),
            tls: TlsMode::VerifyCa,
            ca_certificate: Some("pem".to_owned()),
        };
        assert_eq!(changed("", &present).unwrap().spec, None);
        let Some(SystemSpec::Postgresql { host, port, database, tls, ca_certificate }) =
            changed("--host db2 --tls verify-full", &present).unwrap().spec
        else {
            panic!("no change")
        };
        assert_eq!((host.as_str(), port, database.as_str()), ("db2", 6432, "app"));
        assert_eq!((tls, ca_certificate.as_deref()), (TlsMode::VerifyFull, Some("pem")));
    }

    #[test]
    fn what_a_kind_does_not_have_is_refused() {
        let (postgresql, mysql) = (at(Kind::Postgresql, "db"), at(Kind::Mysql, "db"));
        assert!(changed("--event-database vault", &postgresql).is_err());
        assert!(changed("--lockout-threshold 5", &postgresql).is_err());
        assert!(changed("--database app", &mysql).is_err());
        assert!(changed("--base dc=x", &mysql).is_err() && changed("--start-tls", &postgresql).is_err());
        let domain = at(Kind::ActiveDirectory, "dc1");
        assert!(changed("--grace-seconds 0", &domain).is_err(), "no domain");
        assert!(changed("--domain CORP --base dc=x", &domain).is_err());
        assert!(
            changed("--calls calls.json", &mysql).is_err() && changed("--propagation-seconds 3", &postgresql).is_err()
        );
        assert!(Kind::Http.at("fw".to_owned(), None).is_err(), "no calls");
        assert!(changed("--domain CORP", &mysql).is_err() && changed("--server dc2", &postgresql).is_err());
        let Some(SystemSpec::ActiveDirectory { domain, servers, grace_seconds, .. }) =
            changed("--domain CORP --server dc2 --server dc3 --grace-seconds 0", &domain).unwrap().spec
        else {
            panic!("no change")
        };
        assert_eq!((domain.as_str(), servers.len(), grace_seconds), ("CORP", 2, 0));
        let ldap = at(Kind::Ldap, "ldap");
        assert!(changed("--database app --base dc=x", &ldap).is_err());
        assert!(changed("--start-tls", &ldap).is_err(), "no base");
        let Some(SystemSpec::Ldap { port, start_tls, base, object_classes, .. }) =
            changed("--start-tls --base dc=x --object-class account --object-class top", &ldap).unwrap().spec
        else {
            panic!("no change")
        };
        assert_eq!((port, start_tls, base.as_str(), object_classes.len()), (LDAP_PORT, true, "dc=x", 2));
        let Some(SystemSpec::Mysql { host, port, lockout_threshold, event_database, .. }) =
            changed("--host db2 --lockout-threshold 5 --event-database vault", &mysql).unwrap().spec
        else {
            panic!("no change")
        };
        assert_eq!((host.as_str(), port), ("db2", 3306));
        assert_eq!((lockout_threshold, event_database.as_deref()), (Some(5), Some("vault")));
    }
}
