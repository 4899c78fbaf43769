//! `run --dev`: a server for trying out, which looks after itself in a directory of its own. Whoever reads the
//! directory opens the vault: its passphrase, the administrator's password and what its codes are made of lie in it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use claviger_api::secret::BadSecret;
use claviger_api::wire::{EnrolRequest, InitRequest, SealState};
use claviger_api::{Secret, UserName};
use claviger_connectors::IpNet;
use claviger_service::Vault;
use claviger_service::crypto::{OsRandom, Random as _};
use serde::Serialize;

use crate::config::{AllRates, Audit, Config, Engine, Http, Identities, Log, Metrics, SealSettings, Systems, TlsFiles};
use crate::private::{self, PrivateError};

mod certificate;
mod second_factor;

pub use second_factor::login;

/// Where it listens when nothing else is said.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);
/// The directory when nothing else is said.
pub const DIRECTORY: &str = "claviger-dev";

const ADMINISTRATOR: &str = "admin";
const PASSPHRASE: &str = "passphrase";
const PASSWORD: &str = "password";
const ENROLMENT: &str = "enrolment";
/// 128 bits, as 32 hex digits.
const SECRET_BYTES: usize = 16;

/// Why there is no server to try out.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The directory or a file in it.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The directory's real path.
    #[error("the directory for trying out cannot be found: {0}")]
    Directory(#[from] io::Error),
    /// The self-made certificate.
    #[error("no certificate can be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file that holds no secret any more.
    #[error("a secret in the directory cannot be used: {0}; remove the directory and start anew")]
    Secret(#[from] BadSecret),
    /// The vault refuses.
    #[error("{what} failed: {why}; remove the directory and start anew")]
    Vault {
        /// What was tried.
        what: &'static str,
        /// What the vault says.
        why: String,
    },
    /// The hints cannot be written.
    #[error("the hints cannot be written: {0}")]
    Hints(#[from] serde_json::Error),
}

/// How to use the server: `dev.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hints {
    /// The server, as CLAVIGER_ADDR.
    pub address: String,
    /// The CA of its certificate, as CLAVIGER_CACERT.
    pub ca_certificate: PathBuf,
    /// The administrator's name.
    pub administrator: String,
    /// The file that holds the administrator's password, and nothing else but the end of the line.
    pub password_file: PathBuf,
    /// The server's process.
    pub pid: u32,
}

/// Makes the directory with a certificate, and says how to run in it.
pub fn config(directory: &Path, listen: SocketAddr) -> Result<Config, DevError> {
    private::directory(directory)?;
    let directory = fs::canonicalize(directory)?;
    certificate::make(&directory, listen.ip())?;
    Ok(Config {
        name: "claviger.dev".to_owned(),
        listen,
        tls: Some(TlsFiles {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            client_ca: None,
        }),
        data_directory: directory,
        store: Engine::default(),
        seal: SealSettings::default(),
        http: Http { public_url: site(listen), ..Http::default() },
        systems: Systems { allowed_addresses: loopback() },
        budgets: AllRates::generous(),
        identities: Identities::default(),
        log: Log::default(),
        metrics: Metrics::default(),
        backup: None,
        kits: None,
        escrow: None,
        traces: None,
        audit: Audit::default(),
    })
}

/// Initialises and unseals the vault, enrols its administrator, and writes down how to use it.
pub async fn open(vault: &Vault, directory: &Path, address: SocketAddr) -> Result<Hints, DevError> {
    let directory = fs::canonicalize(directory)?;
    let failed = |what| move |error: claviger_service::Error| DevError::Vault { what, why: why(&error) };
    let status = vault.seal_status().await.map_err(failed("reading the vault's state"))?;
    if status.seal == SealState::NotInitialised {
        initialise(vault, &directory).await?;
    }
    vault.unseal(&kept(&directory.join(PASSPHRASE))?, None).await.map_err(failed("unsealing"))?;
    if directory.join(ENROLMENT).exists() {
        enrol(vault, &directory).await?;
    }
    let open = vault.open().map_err(failed("opening the vault"))?;
    second_factor::enrol(&open, &directory).await?;
    let hints = hints(&directory, address);
    private::write(&directory.join("dev.json"), &serde_json::to_vec_pretty(&hints)?)?;
    private::write(&directory.join("dev.env"), hints.environment().as_bytes())?;
    Ok(hints)
}

async fn initialise(vault: &Vault, directory: &Path) -> Result<(), DevError> {
    keep_new(&directory.join(PASSPHRASE))?;
    keep_new(&directory.join(PASSWORD))?;
    let passphrase = kept(&directory.join(PASSPHRASE))?.disclose();
    let request = InitRequest::Passphrase { passphrase, administrator: administrator()? };
    let made = vault.init(request).await;
    let made = made.map_err(|error| DevError::Vault { what: "initialising", why: why(&error) })?;
    // Kept until it was used, so that a start that is broken off can be taken up again.
    Ok(private::write(&directory.join(ENROLMENT), made.enrolment.secret().expose().as_bytes())?)
}

async fn enrol(vault: &Vault, directory: &Path) -> Result<(), DevError> {
    let failed = |error: claviger_service::Error| DevError::Vault { what: "enrolling", why: why(&error) };
    let (enrolment, password) = (kept(&directory.join(ENROLMENT))?, kept(&directory.join(PASSWORD))?);
    let open = vault.open().map_err(failed)?;
    let request = EnrolRequest {
        name: administrator()?,
        enrolment: enrolment.disclose(),
        confirmation: None,
        password: password.disclose(),
    };
    open.enrol(request, None).await.map_err(failed)?;
    Ok(fs::remove_file(directory.join(ENROLMENT))?)
}

impl Hints {
    /// The two variables that the command line wants.
    pub fn environment(&self) -> String {
        format!(
            "export CLAVIGER_ADDR='{}'\nexport CLAVIGER_CACERT='{}'\n",
            self.address,
            self.ca_certificate.display().to_string().replace('\'', r"'\''")
        )
    }
}

fn hints(directory: &Path, address: SocketAddr) -> Hints {
    let anywhere = address.ip().is_unspecified();
    let reached = if anywhere { SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())) } else { address };
    Hints {
        address: format!("https://{reached}"),
        ca_certificate: directory.join("ca.pem"),
        administrator: ADMINISTRATOR.to_owned(),
        password_file: directory.join(PASSWORD),
        pid: std::process::id(),
    }
}

fn administrator() -> Result<UserName, DevError> {
    let wrong = |error: claviger_api::name::BadName| DevError::Vault { what: "naming", why: error.to_string() };
    ADMINISTRATOR.parse().map_err(wrong)
}

fn keep_new(path: &Path) -> Result<(), PrivateError> {
    let mut bytes = [0; SECRET_BYTES];
    OsRandom.fill(&mut bytes);
    private::write(
        path,
        format!(
            "{:032x}
",
            u128::from_be_bytes(bytes)
        )
        .as_bytes(),
    )
}

fn kept(path: &Path) -> Result<Secret, DevError> {
    Ok(Secret::new(private::read(path)?.trim_end().to_owned())?)
}

fn why(error: &claviger_service::Error) -> String {
    let note = error.operator.as_ref().map_or("", |note| note.for_the_log());
    format!("{} {} {note}", error.problem.row().title, error.detail).trim().to_owned()
}

/// Passkeys want a host name, and a port that is known before the server listens.
fn site(listen: SocketAddr) -> Option<String> {
    (listen.port() != 0).then(|| format!("https://localhost:{}", listen.port()))
}

/// Systems to try things out on run on the same machine.
fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].into_iter().filter_map(|net| net.parse().ok()).collect()
}
