//! `claviger mfa`: one's own second factors.

use std::io::{IsTerminal as _, stdin};

use clap::{Args, Subcommand};
use claviger_client::api::FactorId;
use claviger_client::api::wire::{
    ConfirmPasskey, ConfirmTotp, ConfirmedFactor, NewPasskey, NewTotp, PendingTotp, SecondFactor,
};
use claviger_client::{Client, Given};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::cli::Format;
use crate::connection::Context;
use crate::factor::{as_digits, ask};
use crate::failure::Failure;
use crate::input::Input;
use crate::passkey;
use crate::progress::note;

#[derive(Subcommand)]
pub enum Mfa {
    /// Add an authenticator app: shows its secret, and on a terminal asks for the first code
    Enrol {
        /// What you call it
        #[arg(long, value_name = "TEXT", default_value = "authenticator")]
        label: String,
    },
    /// Give the first code of an app that took the secret; with the first app, recovery codes are shown once
    Confirm(Confirm),
    /// Add a passkey, made in a browser
    #[command(subcommand)]
    Add(Add),
    /// List your second factors
    List,
    /// Remove a second factor; never the last one
    Remove {
        /// Its id (fa_…)
        factor: FactorId,
    },
    /// Make new recovery codes, shown once; those before are good for nothing
    RecoveryCodes,
    /// Prove your second factor again, for what wants a fresh one
    StepUp(StepUp),
}

#[derive(Subcommand)]
pub enum Add {
    /// Shows the address of a page, and takes the code that the page shows in the end
    Passkey(AddPasskey),
}

#[derive(Args)]
pub struct AddPasskey {
    /// What you call it
    #[arg(long, value_name = "TEXT", default_value = "passkey")]
    label: String,
    /// Read the code from standard input
    #[arg(long)]
    stdin: bool,
}

#[derive(Args)]
pub struct Confirm {
    /// Read the code from standard input
    #[arg(long)]
    stdin: bool,
}

#[derive(Args)]
pub struct StepUp {
    /// Show a passkey, in a browser
    #[arg(long)]
    passkey: bool,
    /// Read the code, or a recovery code, from standard input
    #[arg(long)]
    stdin: bool,
}

impl Mfa {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Enrol { label } => enrol(context, &client, label).await,
            Self::Confirm(Confirm { stdin }) => confirm(context, &client, Input::from_stdin(stdin)).await,
            Self::Add(Add::Passkey(AddPasskey { label, stdin })) => {
                add_passkey(context, &client, label, Input::from_stdin(stdin)).await
            }
            Self::List => {
                let factors = client.auth().factors().await?;
                if context.output.format == Format::Json {
                    return context.output.one(&factors);
                }
                context.output.many(&factors.factors)?;
                context.output.done(&format!("{} recovery codes left", factors.recovery_codes_left))
            }
            Self::Remove { factor } => {
                client.auth().remove_factor(factor).await?;
                context.output.done(&format!("removed {factor}"))
            }
            Self::RecoveryCodes => {
                let made = client.auth().new_recovery_codes().await?;
                keep_codes();
                context.output.one(&made)
            }
            Self::StepUp(StepUp { passkey, stdin }) => {
                let input = Input::from_stdin(stdin);
                let given = if passkey { Given::Passkey } else { ask(input, true)? };
                let proof = match given {
                    Given::Proof(proof) => proof,
                    Given::Passkey => {
                        let asked = client.auth().passkey_for_step_up().await?;
                        SecondFactor::Passkey(passkey::ceremony(&asked, input)?.disclose())
                    }
                };
                let stepped_up = client.auth().step_up(&proof).await?;
                context.output.one(&stepped_up)
            }
        }
    }
}

/// Shows a new secret, and goes on to its first code where somebody is there to read it.
pub async fn enrol(context: &Context, client: &Client, label: String) -> Result<(), Failure> {
    let pending = client.auth().offer_totp(&NewTotp { label }).await?;
    let somebody = stdin().is_terminal();
    if somebody {
        draw(&pending);
    }
    context.output.one(&pending)?;
    if !somebody {
        note("Next: claviger mfa confirm --stdin, with the code that the secret gives.");
        return Ok(());
    }
    confirm(context, client, Input::Terminal).await
}

async fn confirm(context: &Context, client: &Client, input: Input) -> Result<(), Failure> {
    let confirmed = loop {
        let given = input.secret("The code that the app shows now")?;
        let code = as_digits(&given).unwrap_or(given).disclose();
        match client.auth().confirm_totp(&ConfirmTotp { code }).await {
            Ok(confirmed) => break confirmed,
            // A person reads the next code and tries again; a program is told.
            Err(error) if input == Input::Terminal && is_wrong_code(&error) => note(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
    };
    tell(context, &confirmed)
}

async fn add_passkey(context: &Context, client: &Client, label: String, input: Input) -> Result<(), Failure> {
    let asked = client.auth().offer_passkey(&NewPasskey { label }).await?;
    let mut code = passkey::ceremony(&asked, input)?;
    let confirmed = loop {
        match client.auth().confirm_passkey(&ConfirmPasskey { code: code.disclose() }).await {
            Ok(confirmed) => break confirmed,
            Err(error) if input == Input::Terminal && is_wrong_code(&error) => {
                note(&error.to_string());
                code = passkey::code(input)?;
            }
            Err(error) => return Err(error.into()),
        }
    };
    tell(context, &confirmed)
}

fn is_wrong_code(error: &claviger_client::Error) -> bool {
    error.problem_type() == Some(claviger_client::api::ProblemType::InvalidValue)
}

fn tell(context: &Context, confirmed: &ConfirmedFactor) -> Result<(), Failure> {
    if !confirmed.recovery_codes.is_empty() {
        keep_codes();
    }
    context.output.one(confirmed)
}

fn keep_codes() {
    note("WRITE THE RECOVERY CODES DOWN NOW: they are shown once. Each lets you in once when the app is lost.");
}

/// The secret as a QR code, light on dark as terminals are.
fn draw(pending: &PendingTotp) {
    let Ok(code) = QrCode::new(pending.uri.secret().expose()) else { return };
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    let drawn = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    note("Scan this with your authenticator app, or type the secret:");
    drawn.lines().for_each(note);
}
