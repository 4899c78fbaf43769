//! `claviger system`: what has administrator accounts at a customer.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use claviger_client::api::Part;
use claviger_client::api::wire::{NewSystem, SystemChange, SystemSpec, TlsMode};

use crate::connection::Context;
use crate::failure::Failure;
use crate::path::SystemPath;

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
    /// Host name or address
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
}

/// How to reach a system, and how to know it.
#[derive(Args)]
struct Reach {
    /// TCP port; 5432 by default
    #[arg(long)]
    port: Option<u16>,
    /// The database to log in to; postgres by default
    #[arg(long)]
    database: Option<String>,
    /// How to check whom the vault talks to, as libpq names it; verify-full by default
    #[arg(long, value_enum, value_name = "MODE")]
    tls: Option<Tls>,
    /// The CA certificates to trust for it, in PEM
    #[arg(long, value_name = "FILE")]
    system_ca: Option<PathBuf>,
    /// The account on this system that may change the others
    #[arg(long, value_name = "ACCOUNT")]
    management_account: Option<Part>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Postgresql,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
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
                let change = set.change(&systems.show(&set.system.system).await?.spec)?;
                output.one(&systems.set(&set.system.system, &change).await?)
            }
            Self::Remove { system } => {
                client.systems(&system.customer).remove(&system.system).await?;
                output.done(&format!("removed {}/{}", system.customer, system.system))
            }
        }
    }
}

impl Add {
    fn new_system(&self) -> Result<NewSystem, Failure> {
        let Kind::Postgresql = self.kind;
        let spec = SystemSpec::Postgresql {
            host: self.host.clone(),
            port: 5432,
            database: "postgres".to_owned(),
            tls: TlsMode::default(),
            ca_certificate: None,
        };
        Ok(NewSystem {
            name: self.system.system.clone(),
            spec: self.reach.apply(spec)?,
            management_account: self.reach.management_account.clone(),
        })
    }
}

impl Set {
    /// The present address with the named parts replaced; nothing, when none is named.
    fn change(&self, present: &SystemSpec) -> Result<SystemChange, Failure> {
        let SystemSpec::Postgresql { host, port, database, tls, ca_certificate } = present.clone();
        let host = self.host.clone().unwrap_or(host);
        let spec = self.reach.apply(SystemSpec::Postgresql { host, port, database, tls, ca_certificate })?;
        Ok(SystemChange {
            spec: (spec != *present).then_some(spec),
            management_account: self.reach.management_account.clone(),
        })
    }
}

impl Reach {
    fn apply(&self, spec: SystemSpec) -> Result<SystemSpec, Failure> {
        let SystemSpec::Postgresql { host, port, database, tls, ca_certificate } = spec;
        Ok(SystemSpec::Postgresql {
            host,
            port: self.port.unwrap_or(port),
            database: self.database.clone().unwrap_or(database),
            tls: self.tls.map_or(tls, Tls::mode),
            ca_certificate: match &self.system_ca {
                Some(file) => Some(read(file)?),
                None => ca_certificate,
            },
        })
    }
}

impl Tls {
    fn mode(self) -> TlsMode {
        match self {
            Self::Disable => TlsMode::Disable,
            Self::Prefer => TlsMode::Prefer,
            Self::Require => TlsMode::Require,
            Self::VerifyCa => TlsMode::VerifyCa,
            Self::VerifyFull => TlsMode::VerifyFull,
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display()), "give a PEM file"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

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
        assert_eq!(set("").change(&present).unwrap().spec, None);
        let Some(SystemSpec::Postgresql { host, port, database, tls, ca_certificate }) =
            set("--host db2 --tls verify-full").change(&present).unwrap().spec
        else {
            panic!("no change")
        };
        assert_eq!((host.as_str(), port, database.as_str()), ("db2", 6432, "app"));
        assert_eq!((tls, ca_certificate.as_deref()), (TlsMode::VerifyFull, Some("pem")));
    }
}
