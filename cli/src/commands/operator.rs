//! `claviger operator`: the life of the vault itself.

use std::io::IsTerminal as _;

use clap::{ArgGroup, Args, Subcommand};
use claviger_client::api::wire::{InitRequest, NewSeal, SealState, SealStatus, UnsealRequest};
use claviger_client::api::{ProblemType, UserName};
use claviger_client::{Client, Error};

use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;

mod backup;
mod key;
mod rekey;
mod restore;
mod scrub;

use backup::Backup;
use key::RotateKey;
use rekey::Rekey;
use restore::Restore;
use scrub::Scrub;

#[derive(Subcommand)]
pub enum Operator {
    /// Initialise a new vault, once; shares and the first enrolment are shown and never again
    Init(Init),
    /// Give the shares, or the passphrase, that open the vault; where an HSM does, recovery shares open it without
    Unseal(Unseal),
    /// Wipe the root key from the server's memory; what an HSM has sealed stays sealed until the server is started again
    Seal,
    /// Whether the vault is sealed, and why; needs no login
    SealStatus,
    /// Take a backup, for the recipients that the server's configuration names
    Backup(Backup),
    /// Have the whole store checked, row by row, against what its logs say of it
    Scrub(Scrub),
    /// Change what opens the vault: new shares, another passphrase or an HSM, and another root key
    #[command(subcommand)]
    Rekey(Rekey),
    /// What became of a vault that was restored from a backup, and letting it act again
    #[command(subcommand)]
    Restore(Restore),
    /// Wrap all keys under a new root key; what opens the vault stays as it is
    RotateRoot,
    /// Seal all of a customer under a new key of its own, beside all else
    RotateKey(RotateKey),
}

#[derive(Args)]
pub struct Init {
    /// The name of the first administrator
    #[arg(long, value_name = "NAME")]
    administrator: UserName,
    #[command(flatten)]
    seal: SealWith,
}

/// What shall open the vault.
#[derive(Args)]
#[command(group = ArgGroup::new("seal").required(true).multiple(true).args(["shares", "passphrase", "pkcs11"]))]
struct SealWith {
    /// Seal with so many Shamir shares, 1 to 16; with --pkcs11 these are for recovery
    #[arg(long, value_name = "N", requires = "threshold", conflicts_with = "passphrase")]
    shares: Option<u8>,
    /// So many of the shares open the vault
    #[arg(long, value_name = "K", requires = "shares")]
    threshold: Option<u8>,
    /// Seal with the HSM that the server's configuration names; recovery shares open the vault where it is gone
    #[arg(long, requires = "shares", conflicts_with = "passphrase")]
    pkcs11: bool,
    /// Seal with a passphrase, which is asked for
    #[arg(long)]
    passphrase: bool,
    /// Read the passphrase from standard input
    #[arg(long, requires = "passphrase")]
    stdin: bool,
}

impl SealWith {
    /// Asks for the passphrase, if it is to be one.
    fn wire(&self, new_key: bool) -> Result<NewSeal, Failure> {
        if let (Some(shares), Some(threshold)) = (self.shares, self.threshold) {
            if self.pkcs11 {
                return Ok(NewSeal::Pkcs11 { shares, threshold, new_key });
            }
            return Ok(NewSeal::Shamir { shares, threshold });
        }
        let asked = Input::from_stdin(self.stdin).new_secret("Passphrase of the vault, at least 16 characters")?;
        Ok(NewSeal::Passphrase { passphrase: asked.disclose() })
    }
}

#[derive(Args)]
pub struct Unseal {
    /// Read shares, or the passphrase, from standard input, one a line
    #[arg(long)]
    stdin: bool,
    /// Take a store that is older than its anchor, e.g. a restored backup; why is in the operator's audit log
    #[arg(long, value_name = "REASON")]
    accept_rollback: Option<String>,
}

impl Operator {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(context).await,
            Self::Unseal(unseal) => unseal.run(context).await,
            Self::Backup(backup) => backup.run(context).await,
            Self::Scrub(scrub) => scrub.run(context).await,
            Self::Seal => context.output.one(&context.client()?.sys().seal().await?),
            Self::SealStatus => seal_status(context).await,
            Self::Rekey(rekey) => rekey.run(context).await,
            Self::Restore(restore) => restore.run(context).await,
            Self::RotateKey(rotate) => rotate.run(context).await,
            Self::RotateRoot => {
                context.client()?.sys().rotate_root().await?;
                context.output.done("all keys are wrapped under a new root key")
            }
        }
    }
}

impl Init {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let administrator = self.administrator;
        let request = match self.seal.wire(false)? {
            NewSeal::Shamir { shares, threshold } => InitRequest::Shamir { shares, threshold, administrator },
            NewSeal::Passphrase { passphrase } => InitRequest::Passphrase { passphrase, administrator },
            NewSeal::Pkcs11 { shares, threshold, new_key: _ } => {
                InitRequest::Pkcs11 { shares, threshold, administrator }
            }
        };
        let by_hsm = self.seal.pkcs11;
        let answer = context.anonymous()?.sys().init(&request).await?;
        note("WRITE THIS DOWN NOW: it is shown once, and nobody can show it again.");
        if !answer.shares.is_empty() {
            note("Give each share to another person. Without enough of them the vault can never be opened.");
        }
        context.output.one(&answer)?;
        note(if by_hsm {
            "The HSM opens the vault, now and at each start: claviger operator seal-status. Next, as the administrator: claviger login NAME --enrolment"
        } else {
            "Next: claviger operator unseal; then, as the administrator, claviger login NAME --enrolment"
        });
        Ok(())
    }
}

impl Unseal {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.anonymous()?;
        let input = Input::from_stdin(self.stdin);
        let mut status = client.sys().seal_status().await?;
        while status.seal == SealState::Sealed {
            let Some(key) = input.next(&prompt(&status))? else { break };
            let accept_rollback = self.accept_rollback.clone();
            match client.sys().unseal(&UnsealRequest { key: key.disclose(), accept_rollback }).await {
                Ok(next) => status = next,
                Err(error) => status = again(&client, error, input).await?,
            }
        }
        context.output.one(&status)?;
        if let Some(hsm) = status.hsm.filter(|_| status.seal == SealState::Sealed) {
            note(hsm.in_words());
        }
        match status.seal {
            SealState::Unsealed => Ok(()),
            SealState::Sealed => Err(missing_shares(&status)),
            SealState::NotInitialised => Err(Failure::usage("the vault is not initialised", "claviger operator init")),
        }
    }
}

async fn seal_status(context: &Context) -> Result<(), Failure> {
    let status = context.anonymous()?.sys().seal_status().await?;
    context.output.one(&status)?;
    if let Some(hsm) = status.hsm {
        note(hsm.in_words());
    }
    Ok(())
}

/// A person who mistypes a share tries again; a program is told.
async fn again(client: &Client, error: Error, input: Input) -> Result<SealStatus, Failure> {
    let mistyped = error.problem_type() == Some(ProblemType::WrongShare);
    if !(mistyped && input == Input::Terminal && std::io::stdin().is_terminal()) {
        return Err(error.into());
    }
    note(&error.to_string());
    Ok(client.sys().seal_status().await?)
}

fn prompt(status: &SealStatus) -> String {
    let share = if status.hsm.is_some() { "Recovery share" } else { "Share" };
    if status.threshold > 1 || status.hsm.is_some() {
        format!("{share} {} of {}", u32::from(status.provided) + 1, status.threshold)
    } else {
        "Share or passphrase".to_owned()
    }
}

fn missing_shares(status: &SealStatus) -> Failure {
    Failure::Own {
        exit: claviger_client::Exit::Unavailable,
        what: format!("the vault is still sealed: {} of {} shares were given", status.provided, status.threshold),
        help: Some("give the others, here or on another machine".to_owned()),
    }
}
