//! `claviger issuer`: who may vouch for programs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use claviger_client::api::Part;
use claviger_client::api::wire::{ChangeIssuer, HttpsUrl, IssuerKeys, NewIssuer};

use crate::connection::Context;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Issuer {
    /// Trust an issuer of tokens (JWT); service accounts are bound to it by 'service-account set'
    Add {
        /// What the vault calls it
        name: Part,
        /// The claim iss of its tokens, exactly
        #[arg(long, value_name = "ISS")]
        issuer: String,
        /// The claim aud of its tokens, exactly and alone: name this vault there
        #[arg(long, value_name = "AUD")]
        audience: String,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the issuers that are trusted
    List,
    /// Show one issuer
    Show {
        /// The issuer
        name: Part,
    },
    /// Take an issuer's keys from elsewhere; those before are trusted no more
    Set {
        /// The issuer
        name: Part,
        #[command(flatten)]
        keys: Keys,
    },
    /// Trust an issuer no more
    Remove {
        /// The issuer
        name: Part,
    },
}

/// Where an issuer's keys come from: by discovery at the issuer's own address when nothing else is said.
#[derive(Args)]
pub struct Keys {
    /// Fetch its keys (JWKS) from this address [default: found by discovery at the issuer]
    #[arg(long, value_name = "URL", conflicts_with = "jwks_file")]
    jwks_url: Option<HttpsUrl>,
    /// Take its keys from this file (JWKS), for an issuer that the vault cannot reach
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,
    /// The CA of the issuer's certificate (PEM); those that the server trusts when absent
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_file")]
    issuer_ca: Option<PathBuf>,
}

impl Keys {
    fn wire(self) -> Result<IssuerKeys, Failure> {
        let ca_certificate = self.issuer_ca.as_deref().map(text).transpose()?;
        Ok(match (self.jwks_url, self.jwks_file) {
            (_, Some(path)) => {
                let jwks = serde_json::from_str(&text(&path)?).map_err(|_| {
                    Failure::usage(format!("{} is no JSON", path.display()), "a key set is {\"keys\": […]}")
                })?;
                IssuerKeys::Document { jwks }
            }
            (Some(url), None) => IssuerKeys::Url { url, ca_certificate },
            (None, None) => IssuerKeys::Discovery { ca_certificate },
        })
    }
}

impl Issuer {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (issuers, output) = (client.issuers(), context.output);
        match self {
            Self::Add { name, issuer, audience, keys } => {
                output.one(&issuers.add(&NewIssuer { name, issuer, audience, keys: keys.wire()? }).await?)
            }
            Self::List => output.many(&issuers.list().all().await?),
            Self::Show { name } => output.one(&issuers.show(&name).await?),
            Self::Set { name, keys } => output.one(&issuers.change(&name, &ChangeIssuer { keys: keys.wire()? }).await?),
            Self::Remove { name } => {
                issuers.remove(&name).await?;
                output.done(&format!("removed {name}"))
            }
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let advice = "it is a text file that this command may read";
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display()), advice))
}
