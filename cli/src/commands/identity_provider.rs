//! `claviger identity-provider`: who may sign people in.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use claviger_client::Client;
use claviger_client::api::Part;
use claviger_client::api::wire::{BrowserAddress, ChangeIdentityProvider, HttpsUrl, NewIdentityProvider};

use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;

#[derive(Subcommand)]
pub enum IdentityProvider {
    /// Let an identity provider (OpenID Connect) sign people in who are linked to it by 'user link' or an invitation
    Add {
        /// What the vault calls it; people type it to log in
        name: Part,
        /// The claim iss of its tokens, exactly; it describes itself below that address
        #[arg(long, value_name = "ISS")]
        issuer: HttpsUrl,
        /// What it calls this vault
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// The customer whose own provider it is, for that customer's users alone; by default the MSP's
        #[arg(long, value_name = "CUSTOMER")]
        customer: Option<Part>,
        #[command(flatten)]
        said: Box<Said>,
    },
    /// List the identity providers
    List,
    /// Show one identity provider
    Show {
        /// The identity provider
        name: Part,
    },
    /// Change an identity provider; what is not named stays
    Set {
        /// The identity provider
        name: Part,
        /// What it calls this vault
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        #[command(flatten)]
        said: Box<Said>,
    },
    /// Let it sign nobody in for now; every session of everybody linked to it ends
    Disable {
        /// The identity provider
        name: Part,
    },
    /// Let it sign people in again
    Enable {
        /// The identity provider
        name: Part,
    },
    /// Remove an identity provider to which nobody is linked
    Remove {
        /// The identity provider
        name: Part,
    },
}

/// What can be said at any time.
#[derive(Args)]
pub struct Said {
    /// Read the client's secret from standard input; by default asked for by --client-secret, or none
    #[arg(long)]
    client_secret_stdin: bool,
    /// Ask for the client's secret
    #[arg(long, conflicts_with = "client_secret_stdin")]
    client_secret: bool,
    /// The vault as browsers reach it [default: as this command reaches it]
    #[arg(long = "browser-address", value_name = "URL")]
    browser_address: Option<BrowserAddress>,
    /// A scope to ask for besides openid; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Demand that the claim acr is one of these; may be repeated
    #[arg(long = "acr", value_name = "ACR")]
    acr: Vec<String>,
    /// Demand that the claim amr has all of these; may be repeated
    #[arg(long = "amr", value_name = "AMR")]
    amr: Vec<String>,
    /// Whether a second factor that the provider checked just now counts as the vault's
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    trusts_mfa: Option<bool>,
    /// Whether people may sign on by device code, which can be phished
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
    device_code: Option<bool>,
    /// The CA of the provider's certificate (PEM); those that the server trusts when absent
    #[arg(long, value_name = "FILE")]
    provider_ca: Option<PathBuf>,
}

impl IdentityProvider {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (providers, output) = (client.identity_providers(), context.output);
        match self {
            Self::Add { name, issuer, client_id, customer, said } => {
                let said = said.change(Some(client_id))?;
                let address = match said.address {
                    Some(address) => address,
                    None => own_address(&client)?,
                };
                let new = NewIdentityProvider {
                    name,
                    customer,
                    issuer,
                    client_id: said.client_id.unwrap_or_default(),
                    client_secret: said.client_secret,
                    address,
                    scopes: said.scopes.unwrap_or_default(),
                    acr: said.acr.unwrap_or_default(),
                    amr: said.amr.unwrap_or_default(),
                    trusts_mfa: said.trusts_mfa.unwrap_or_default(),
                    device_code: said.device_code.unwrap_or_default(),
                    ca_certificate: said.ca_certificate,
                };
                let added = providers.add(&new).await?;
                note(&format!("Register this at the provider as the redirect URI: {}", added.redirect_uri));
                output.one(&added)
            }
            Self::List => output.many(&providers.list().all().await?),
            Self::Show { name } => output.one(&providers.show(&name).await?),
            Self::Set { name, client_id, said } => {
                output.one(&providers.change(&name, &said.change(client_id)?).await?)
            }
            Self::Disable { name } => output.one(&providers.change(&name, &enabled(false)).await?),
            Self::Enable { name } => output.one(&providers.change(&name, &enabled(true)).await?),
            Self::Remove { name } => {
                providers.remove(&name).await?;
                output.done(&format!("removed {name}"))
            }
        }
    }
}

impl Said {
    fn change(self, client_id: Option<String>) -> Result<ChangeIdentityProvider, Failure> {
        let some = |values: Vec<String>| if values.is_empty() { None } else { Some(values) };
        let client_secret = match (self.client_secret_stdin, self.client_secret) {
            (false, false) => None,
            (stdin, _) => Some(Input::from_stdin(stdin).secret("Client secret")?.disclose()),
        };
        Ok(ChangeIdentityProvider {
            enabled: None,
            client_id,
            client_secret,
            address: self.browser_address,
            scopes: some(self.scopes),
            acr: some(self.acr),
            amr: some(self.amr),
            trusts_mfa: self.trusts_mfa,
            device_code: self.device_code,
            ca_certificate: self.provider_ca.as_deref().map(text).transpose()?,
        })
    }
}

fn enabled(enabled: bool) -> ChangeIdentityProvider {
    ChangeIdentityProvider { enabled: Some(enabled), ..ChangeIdentityProvider::default() }
}

fn own_address(client: &Client) -> Result<BrowserAddress, Failure> {
    let help = "name it with --browser-address, e.g. https://vault.example:8200";
    client.address().parse().map_err(|error| Failure::usage(format!("{error}"), help))
}

fn text(path: &Path) -> Result<String, Failure> {
    let advice = "it is a text file that this command may read";
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display()), advice))
}
