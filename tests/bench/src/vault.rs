//! The vault under load: the real program in a directory of its own, and what it is asked for.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use claviger_client::api::wire::{
    AccountChange, Conditions, GrantKind, ImportRequest, ImportRow, LoginAnswer, LoginRequest, MfaRequest, NewCustomer,
    NewGrant, NewServiceAccount, NewSystem, Role, SecondFactor, SystemSpec, TlsMode,
};
use claviger_client::api::{AccountPath, Part, Secret};
use claviger_client::{Client, Credentials, NewCheckout};
use serde::Deserialize;

use crate::http::Target;
use crate::process::{Process, terminate};
use crate::work::{Lend, Login, Reveal, Sender};

/// Accounts are spread over so many customers.
const CUSTOMERS: usize = 8;
const START_MAX: Duration = Duration::from_mins(1);
const PROGRAM: &str = "bench";

/// A running server.
pub struct Vault {
    pub hints: Hints,
    server: PathBuf,
    directory: PathBuf,
    process: Process,
}

/// What `run --dev` says of itself.
#[derive(Deserialize)]
pub struct Hints {
    address: String,
    pub ca_certificate: PathBuf,
    administrator: String,
    pub pid: u32,
}

impl Vault {
    /// Starts the server in this directory. `before` is put before its command, e.g. a tracer.
    pub async fn start(server: &Path, directory: &Path, before: &[&str]) -> Result<Self> {
        let hints = directory.join("dev.json");
        let _ = fs::remove_file(&hints); // there is none at the first start
        let log = fs::File::options().create(true).append(true).open(directory.with_extension("log"))?;
        let mut words = before.iter().map(AsRef::as_ref).chain([server.as_os_str()]);
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).args(["run", "--dev", "--listen", "127.0.0.1:0", "--dir"]).arg(directory);
        let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))?;
        let start = Instant::now();
        loop {
            let text = fs::read(&hints).unwrap_or_default(); // not written yet
            if let Ok(hints) = serde_json::from_slice(&text) {
                return Ok(Self { hints, server: server.to_owned(), directory: directory.to_owned(), process });
            }
            ensure!(process.0.try_wait()?.is_none() && start.elapsed() < START_MAX, "the server does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it and waits.
    pub fn stop(mut self) -> Result<()> {
        terminate(self.hints.pid)?;
        ensure!(self.process.0.wait()?.success(), "the server does not stop as it should");
        Ok(())
    }

    pub fn target(&self) -> Result<Target> {
        let address = self.hints.address.trim_start_matches("https://").parse::<SocketAddr>()?;
        Target::new(address, &self.hints.ca_certificate)
    }

    /// The administrator, with the password and the code that the server's own program tells.
    async fn administrator(&self) -> Result<Client> {
        let mut command = Command::new(&self.server);
        let told = command.arg("dev-login").arg("--dir").arg(&self.directory).stdin(Stdio::null()).output()?;
        ensure!(told.status.success(), "there is no login: {}", String::from_utf8_lossy(&told.stderr));
        let told = String::from_utf8(told.stdout)?;
        let (password, code) = told.trim_end().split_once('\n').context("a password and a code")?;
        let disclosed = |text: &str| Secret::new(text.to_owned()).map(Secret::disclose);
        let nobody = self.client(Credentials::Nobody)?;
        let (name, password) = (self.hints.administrator.parse()?, disclosed(password)?);
        let LoginAnswer::SecondFactor(asked) = nobody.auth().login(&LoginRequest::Password { name, password }).await?
        else {
            bail!("the administrator has no second factor")
        };
        let second_factor = SecondFactor::Totp(disclosed(code)?);
        let tokens = nobody.auth().mfa(&MfaRequest { challenge: asked.challenge, second_factor }).await?;
        let refresh = tokens.refresh_token.context("a user's session can be refreshed")?.into_secret();
        self.client(Credentials::Session { access: tokens.access_token.into_secret(), refresh })
    }

    fn client(&self, credentials: Credentials) -> Result<Client> {
        let builder = Client::builder().address(&self.hints.address).credentials(credentials);
        Ok(builder.ca_certificate_pem(fs::read(&self.hints.ca_certificate)?).build()?)
    }
}

/// What a vault is asked for: everything there is once a connection.
pub struct Inventory {
    token: Secret,
    bearers: Vec<String>,
    held: Vec<String>,
    lent: Vec<AccountPath>,
}

impl Inventory {
    /// Adds customers, systems, accounts and a program that may use them, for so many connections. No system is ever
    /// connected to: nothing rotates.
    pub async fn make(vault: &Vault, connections: usize) -> Result<Self> {
        let administrator = vault.administrator().await?;
        for customer in 0..CUSTOMERS {
            add_customer(&administrator, &customer_of(customer)?).await?;
        }
        let token = add_program(&administrator).await?;
        let program = vault.client(Credentials::Token(token.duplicate()))?;
        let mut inventory = Self { token, bearers: Vec::new(), held: Vec::new(), lent: Vec::new() };
        import(&administrator, connections).await?;
        for number in 0..connections {
            let held = settled(&administrator, number, "held").await?;
            inventory.held.push(program.checkouts().create(&wanted(&held)).await?.id.to_string());
            inventory.lent.push(settled(&administrator, number, "lent").await?);
        }
        inventory.log_in(vault).await?;
        Ok(inventory)
    }

    /// A session for each connection.
    pub async fn log_in(&mut self, vault: &Vault) -> Result<()> {
        let nobody = vault.client(Credentials::Nobody)?;
        self.bearers.clear();
        for _ in &self.held {
            let request = LoginRequest::Token { token: self.token.duplicate().disclose() };
            let LoginAnswer::Session(tokens) = nobody.auth().login(&request).await? else {
                bail!("a program has no second factor")
            };
            self.bearers.push(tokens.access_token.into_secret().expose().to_owned());
        }
        Ok(())
    }

    pub fn reveals(&self, connections: usize) -> Vec<Reveal> {
        self.senders().zip(&self.held).take(connections).map(|(sender, id)| Reveal::new(sender, id)).collect()
    }

    pub fn lends(&self, connections: usize) -> Vec<Lend> {
        self.senders().zip(&self.lent).take(connections).map(|(sender, path)| Lend::new(sender, path)).collect()
    }

    pub fn logins(&self, connections: usize) -> Vec<Login> {
        (0..connections).map(|_| Login::new(&self.token)).collect()
    }

    fn senders(&self) -> impl Iterator<Item = Sender> {
        self.bearers.iter().map(|bearer| Sender::new(bearer))
    }
}

fn customer_of(number: usize) -> Result<Part> {
    Ok(format!("customer-{}", number % CUSTOMERS).parse()?)
}

async fn add_customer(administrator: &Client, customer: &Part) -> Result<()> {
    let new = NewCustomer { slug: customer.clone(), display_name: customer.to_string() };
    administrator.customers().add(&new).await?;
    let spec = SystemSpec::Postgresql {
        host: "127.0.0.1".to_owned(),
        port: 1, // nobody listens there
        database: "postgres".to_owned(),
        tls: TlsMode::Disable,
        ca_certificate: None,
    };
    let new = NewSystem { name: "db".parse()?, spec, management_account: None };
    administrator.systems(customer).add(&new).await?;
    Ok(())
}

async fn add_program(administrator: &Client) -> Result<Secret> {
    let new = NewServiceAccount::with_token(PROGRAM.parse()?, 24 * 3600);
    let token = administrator.service_accounts().add(&new).await?.token.context("a token was asked for")?.into_secret();
    let grant = NewGrant {
        spans_customers: true,
        principal: PROGRAM.parse()?,
        kind: GrantKind::MayUse,
        role: Role::Automation,
        scope: "*".parse()?,
        ttl_seconds: 24 * 3600,
        max_checkout_seconds: None,
        conditions: Conditions::default(),
    };
    administrator.grants().add(&grant).await?;
    Ok(token)
}

/// Two accounts a connection, all of a customer at once: one by one, only so many secrets are taken in an hour.
async fn import(administrator: &Client, connections: usize) -> Result<()> {
    for customer in 0..CUSTOMERS {
        let mut rows = Vec::new();
        for number in (0..connections).filter(|number| number % CUSTOMERS == customer) {
            for what in ["held", "lent"] {
                rows.push(ImportRow {
                    line: u32::try_from(rows.len())? + 1,
                    system: "db".parse()?,
                    account: format!("{what}-{number}").parse()?,
                    login: None,
                    secret: Secret::new(format!("the secret of {what} {number}"))?.disclose(),
                    sensitive: false,
                    tier: None,
                });
            }
        }
        if !rows.is_empty() {
            administrator.customers().import(&customer_of(customer)?, &ImportRequest { rows }).await?;
        }
    }
    Ok(())
}

/// The account, not to be rotated when it is given back.
async fn settled(administrator: &Client, number: usize, what: &str) -> Result<AccountPath> {
    let path = AccountPath {
        customer: customer_of(number)?,
        system: "db".parse()?,
        account: format!("{what}-{number}").parse()?,
    };
    let change = AccountChange { rotate_on_end: Some(false), ..AccountChange::default() };
    Ok(administrator.accounts().set(&path, &change).await?.path)
}

fn wanted(account: &AccountPath) -> NewCheckout {
    NewCheckout {
        account: account.clone(),
        ttl_seconds: Some(4 * 3600),
        reason: "bench".to_owned(),
        ticket: None,
        claim: claviger_client::api::wire::Claim::Now,
        on_conflict: claviger_client::api::wire::OnConflict::Fail,
        not_before: None,
    }
}
