//! From words and environment to a client.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_client::api::name::BadName;
use claviger_client::api::secret::SECRET_MAX;
use claviger_client::api::{Secret, UserName};
use claviger_client::{Builder, Client, Credentials};
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::factor::AtTheTerminal;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{IdentityFiles, SessionFile};

const USER_AGENT: &str = concat!("claviger/", env!("CARGO_PKG_VERSION"));

/// What every command works with.
pub struct Context {
    pub output: Output,
    address: Option<String>,
    ca_certificate: Option<PathBuf>,
    program: Option<Program>,
}

/// A service account that the environment names, and what it shows.
struct Program {
    name: UserName,
    shows: Shows,
}

enum Shows {
    Certificate(IdentityFiles),
    Jwt(PathBuf),
}

impl Context {
    pub fn new(global: Global) -> Result<Self, Failure> {
        let output = Output { format: global.format() };
        let address = || variable("CLAVIGER_ADDR").map(|value| value.to_string_lossy().into_owned());
        Ok(Self {
            output,
            address: global.address.or_else(address),
            ca_certificate: global.ca_certificate.or_else(|| variable("CLAVIGER_CACERT").map(PathBuf::from)),
            program: program()?,
        })
    }

    /// A client that acts as the service account that the environment names, or else as whoever is logged in.
    pub fn client(&self) -> Result<Client, Failure> {
        let address = self.address()?;
        if let Some(token) = token()? {
            return Ok(self.builder(address)?.credentials(Credentials::Token(token)).build()?);
        }
        if let Some(Program { name, shows }) = &self.program {
            let (builder, name) = (self.builder(address)?, name.clone());
            return Ok(match shows {
                Shows::Certificate(identity) => {
                    builder.identity_pem(pem(identity)?).credentials(Credentials::Certificate { name }).build()?
                }
                Shows::Jwt(path) => {
                    let path = path.clone();
                    let jwt = Box::new(move || jwt(&path));
                    builder.credentials(Credentials::Jwt { name, jwt }).build()?
                }
            });
        }
        let session = self.session()?;
        let mut builder = self.builder(address)?.asks_second_factor(Arc::new(AtTheTerminal));
        if let Some(identity) = session.identity().map_err(claviger_client::Error::Session)? {
            builder = builder.identity_pem(pem(&identity)?);
        }
        Ok(builder.credentials(Credentials::Kept(Arc::new(session))).build()?)
    }

    /// A client that acts as nobody and shows this client certificate.
    pub fn with_identity(&self, identity: &IdentityFiles) -> Result<Client, Failure> {
        Ok(self.builder(self.address()?)?.identity_pem(pem(identity)?).build()?)
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

/// An environment variable that is set. Not clap's own `env`: usage messages would then show both options as if they had
/// been given.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// `CLAVIGER_SERVICE_ACCOUNT`, and the files that it shows.
fn program() -> Result<Option<Program>, Failure> {
    let file = |name| variable(name).map(PathBuf::from);
    let advice = "set CLAVIGER_SERVICE_ACCOUNT to its name, and either CLAVIGER_CERTIFICATE and CLAVIGER_KEY to files in \
                  PEM, or CLAVIGER_JWT_FILE to the file of a token";
    let name = variable("CLAVIGER_SERVICE_ACCOUNT").map(|name| name.to_string_lossy().parse()).transpose();
    let name = name.map_err(|error: BadName| Failure::usage(format!("CLAVIGER_SERVICE_ACCOUNT: {error}"), advice))?;
    let shows = match (file("CLAVIGER_CERTIFICATE"), file("CLAVIGER_KEY"), file("CLAVIGER_JWT_FILE")) {
        (None, None, None) => Ok(None),
        (Some(certificate), Some(key), None) => Ok(Some(Shows::Certificate(IdentityFiles { certificate, key }))),
        (None, None, Some(path)) => Ok(Some(Shows::Jwt(path))),
        _ => Err(()),
    };
    match (name, shows) {
        (None, Ok(None)) => Ok(None),
        (Some(name), Ok(Some(shows))) => Ok(Some(Program { name, shows })),
        _ => Err(Failure::usage("what a service account shows is named in part, or twice", advice)),
    }
}

/// The token in a file, without the newline at its end.
pub fn jwt(path: &Path) -> std::io::Result<Secret> {
    let file = std::fs::File::open(path)?;
    let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX + 2));
    std::io::Read::read_to_string(&mut std::io::Read::take(file, SECRET_MAX as u64 + 2), &mut text)?;
    let end = text.trim_end().len();
    text.truncate(end);
    Secret::new(std::mem::take(&mut *text)).map_err(std::io::Error::other)
}

/// A client certificate and its key, as one text.
fn pem(files: &IdentityFiles) -> Result<Vec<u8>, Failure> {
    let read = |path: &PathBuf| {
        let advice = "a client certificate and its private key are files in PEM";
        std::fs::read(path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display()), advice))
    };
    // In one exact allocation, which the client wipes: a key that grows leaves a copy behind.
    let (key, certificate) = (Zeroizing::new(read(&files.key)?), read(&files.certificate)?);
    Ok([key.as_slice(), b"\n", &certificate].concat())
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
