//! From words and environment to a client.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use claviger_client::api::Secret;
use claviger_client::{Builder, Client, Credentials};

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::SessionFile;

const USER_AGENT: &str = concat!("claviger/", env!("CARGO_PKG_VERSION"));

/// What every command works with.
pub struct Context {
    pub output: Output,
    address: Option<String>,
    ca_certificate: Option<PathBuf>,
}

impl Context {
    pub fn new(global: Global) -> Self {
        let output = Output { format: global.format() };
        // Not clap's own `env`: usage messages would then show both options as if they had been given.
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let address = || variable("CLAVIGER_ADDR").map(|value| value.to_string_lossy().into_owned());
        Self {
            output,
            address: global.address.or_else(address),
            ca_certificate: global.ca_certificate.or_else(|| variable("CLAVIGER_CACERT").map(PathBuf::from)),
        }
    }

    /// A client that acts as the service account of `CLAVIGER_TOKEN`, or else as the user who is logged in.
    pub fn client(&self) -> Result<Client, Failure> {
        if let Some(token) = token()? {
            return Ok(self.builder(self.address()?)?.credentials(Credentials::Token(token)).build()?);
        }
        let session = self.session()?;
        let address = self.address()?;
        Ok(self.builder(address)?.credentials(Credentials::Kept(Arc::new(session))).build()?)
    }

    /// A client that acts as nobody.
    pub fn anonymous(&self) -> Result<Client, Failure> {
        Ok(self.builder(self.address()?)?.build()?)
    }

    /// Where the user's session with this server is kept.
    pub fn session(&self) -> Result<SessionFile, Failure> {
        // The client's form of the address, so that a slash at the end makes no other server.
        let address = self.anonymous()?.address();
        Ok(SessionFile::new(SessionFile::folder()?, address))
    }

    /// The server that was named, or the one that was logged in to.
    fn address(&self) -> Result<String, Failure> {
        if let Some(address) = &self.address {
            return Ok(address.clone());
        }
        let kept = SessionFile::address_of(&SessionFile::folder()?).map_err(claviger_client::Error::Session)?;
        kept.ok_or_else(|| Failure::usage("no server is named", "set CLAVIGER_ADDR, e.g. https://vault.example:8200"))
    }

    fn builder(&self, address: String) -> Result<Builder, Failure> {
        let builder = Client::builder().address(address).user_agent(USER_AGENT);
        let Some(path) = &self.ca_certificate else {
            return Ok(builder);
        };
        let pem = std::fs::read(path).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", path.display()), "CLAVIGER_CACERT names a PEM file")
        })?;
        Ok(builder.ca_certificate_pem(pem))
    }
}

/// The service account's token. Only the environment has it: arguments are public.
fn token() -> Result<Option<Secret>, Failure> {
    match env::var("CLAVIGER_TOKEN") {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Secret::new(text)
            .map(Some)
            .map_err(|error| Failure::usage(format!("CLAVIGER_TOKEN: {error}"), "it is one like cvs_…")),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage("CLAVIGER_TOKEN is not text", "it is one like cvs_…")),
    }
}
