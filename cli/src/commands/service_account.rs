//! `claviger service-account`: programs.

use clap::{Args, Subcommand};
use claviger_client::api::wire::{
    CertificatePin, ChangeServiceAccount, Network, NewServiceAccount, ReplaceToken, Thumbprint, Workload,
};
use claviger_client::api::{Part, UserName};

use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::note;

/// The life of a token when nothing else is said: 90 days.
const TOKEN_TTL_SECONDS: u64 = 90 * 24 * 60 * 60;

#[derive(Subcommand)]
pub enum ServiceAccount {
    /// Add a program; its token, unless it has none, is shown once
    Add {
        /// Its name
        name: UserName,
        /// The life of its token, at most 400d [default: 90d]
        #[arg(long = "for", value_name = "DURATION", conflicts_with = "no_token")]
        life: Option<Seconds>,
        /// Make no token: it logs in by client certificate or an issuer's token
        #[arg(long)]
        no_token: bool,
        #[command(flatten)]
        ways: Ways,
    },
    /// Change how a program may log in and from where it may act; every session ends
    Set {
        /// The service account
        name: UserName,
        #[command(flatten)]
        ways: Ways,
        /// Let it act from everywhere
        #[arg(long, conflicts_with = "networks")]
        any_network: bool,
        /// Let it log in by no client certificate
        #[arg(long, conflicts_with_all = ["thumbprints", "names"])]
        no_certificate: bool,
        /// Let it log in by no issuer's token
        #[arg(long, conflicts_with = "issuer")]
        no_issuer: bool,
    },
    /// List the programs you may see
    List {
        /// Only those that may act at more than one customer
        #[arg(long)]
        spanning: bool,
    },
    /// Show one program
    Show {
        /// The service account
        name: UserName,
    },
    /// Remove a program; its token stops at once
    Remove {
        /// The service account
        name: UserName,
    },
    /// Stop a program; every session ends at once
    Suspend {
        /// The service account
        name: UserName,
    },
    /// Let a suspended program work again
    Resume {
        /// The service account
        name: UserName,
    },
    /// Issue a new token, shown once; the old one stops at once
    ReplaceToken {
        /// The service account
        name: UserName,
        /// The life of its token, at most 400d
        #[arg(long = "for", value_name = "DURATION", default_value = "90d")]
        life: Seconds,
    },
}

/// From where it may act, and what it may log in with.
#[derive(Args)]
pub struct Ways {
    /// A network it may act from, e.g. 10.0.0.0/8; may be given again
    #[arg(long = "network", value_name = "CIDR")]
    networks: Vec<Network>,
    /// A client certificate it may log in with, by its SHA-256 in hex or base64url; may be given again
    #[arg(long = "certificate-thumbprint", value_name = "SHA256")]
    thumbprints: Vec<Thumbprint>,
    /// A DNS name or URI that its client certificate has as an alternative name, exactly; may be given again
    #[arg(long = "san", value_name = "NAME", value_parser = CertificatePin::of_name)]
    names: Vec<CertificatePin>,
    /// The issuer whose tokens (JWT) it may log in with; say which by --subject or --claim
    #[arg(long, value_name = "NAME")]
    issuer: Option<Part>,
    /// The claim sub of those tokens, exactly
    #[arg(long, value_name = "SUB", requires = "issuer")]
    subject: Option<String>,
    /// Another claim of those tokens, exactly; may be given again
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim, requires = "issuer")]
    claims: Vec<(String, String)>,
}

impl Ways {
    fn certificates(&self) -> Vec<CertificatePin> {
        let thumbprints = self.thumbprints.iter().copied().map(CertificatePin::Thumbprint);
        thumbprints.chain(self.names.iter().cloned()).collect()
    }
}

impl Ways {
    fn workloads(&self) -> Vec<Workload> {
        let workload = |issuer: &Part| Workload {
            issuer: issuer.clone(),
            subject: self.subject.clone(),
            claims: self.claims.iter().cloned().collect(),
        };
        self.issuer.iter().map(workload).collect()
    }
}

fn claim(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE, e.g. repository=acme/site")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What was named, or what was asked to be emptied: it replaces all that was there of its kind.
fn replaced<T>(named: Vec<T>, emptied: bool) -> Option<Vec<T>> {
    (emptied || !named.is_empty()).then_some(named)
}

impl ServiceAccount {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let accounts = client.service_accounts();
        let output = context.output;
        match self {
            Self::Add { name, life, no_token, ways } => {
                let token_ttl_seconds = (!no_token).then(|| life.map_or(TOKEN_TTL_SECONDS, Seconds::get));
                let (certificates, workloads) = (ways.certificates(), ways.workloads());
                let networks = ways.networks;
                let new = NewServiceAccount { name, token_ttl_seconds, networks, certificates, workloads };
                let added = accounts.add(&new).await?;
                if added.token.is_some() {
                    keep_safe();
                }
                output.one(&added)
            }
            Self::Set { name, ways, any_network, no_certificate, no_issuer } => {
                let certificates = replaced(ways.certificates(), no_certificate);
                let workloads = replaced(ways.workloads(), no_issuer);
                let networks = replaced(ways.networks, any_network);
                let change = ChangeServiceAccount { networks, certificates, workloads };
                output.one(&accounts.change(&name, &change).await?)
            }
            Self::List { spanning: true } => output.many(&accounts.spanning().all().await?),
            Self::List { spanning: false } => output.many(&accounts.list().all().await?),
            Self::Show { name } => output.one(&accounts.show(&name).await?),
            Self::Remove { name } => {
                accounts.remove(&name).await?;
                output.done(&format!("removed {name}"))
            }
            Self::Suspend { name } => output.one(&accounts.suspend(&name).await?),
            Self::Resume { name } => output.one(&accounts.resume(&name).await?),
            Self::ReplaceToken { name, life } => {
                let token = accounts.replace_token(&name, &ReplaceToken { token_ttl_seconds: life.get() }).await?;
                keep_safe();
                output.one(&token)
            }
        }
    }
}

fn keep_safe() {
    note("The token is shown once. Put it where the program reads CLAVIGER_TOKEN from.");
}
