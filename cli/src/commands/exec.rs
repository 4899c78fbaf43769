//! `claviger exec`: a command with an account's secret in its environment; checked in when it ends, however it ends.

use std::ffi::OsString;
use std::io::{IsTerminal as _, stdin};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use clap::Args;
use claviger_client::api::wire::Checkout;
use claviger_client::api::{CheckoutId, ProblemType};
use claviger_client::{Client, Exit};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use self::environment::Environment;
use super::taking::{Taking, Unapproved, ended_by};
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::note;
use crate::receipts;
use crate::signals::{Signals, exit_code};

mod environment;

/// Variables that are this program's own secrets, not the command's.
pub(super) const KEPT_BACK: [&str; 1] = ["CLAVIGER_TOKEN"];

#[derive(Args)]
pub struct Exec {
    #[command(flatten)]
    taking: Taking,
    /// Put the secret into this variable instead of those of the system's own tools (PGPASSWORD and so on)
    #[arg(long, value_name = "NAME", value_parser = variable_name)]
    env: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        let checkout = self.taking.take(&client, false, Unapproved::IsWithdrawn, &mut signals).await?;
        let outcome = self.lend(context, &client, &checkout, &mut signals).await;
        let returned = give_back(&client, checkout.id).await;
        match (outcome, returned) {
            (Err(failure), _) => Err(failure),
            (Ok(0), Ok(())) => Ok(()),
            (Ok(0), Err(code)) | (Ok(code), _) => Err(Failure::Code(code)),
        }
    }

    /// Reveals the secret, runs the command with it, and gives the command's exit code.
    async fn lend(
        &self,
        context: &Context,
        client: &Client,
        checkout: &Checkout,
        signals: &mut Signals,
    ) -> Result<u8, Failure> {
        let checkouts = client.checkouts();
        let mut revealed = tokio::select! {
            revealed = checkouts.reveal(checkout.id) => revealed?,
            signal = signals.next() => return Err(ended_by(signal)),
        };
        receipts::keep(context, &checkout.account, Some(checkout.id), &mut revealed.receipt);
        let environment = Environment::of(revealed, self.env.as_deref())?;
        let mut child = self.start(&environment)?;
        drop(environment.variables); // the child has its own copy
        let status = watch(&mut child, signals).await?;
        Ok(code_of(status))
    }

    fn start(&self, environment: &Environment) -> Result<Child, Failure> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::usage("which command?", "claviger exec PATH … -- COMMAND"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        for name in KEPT_BACK {
            command.env_remove(name);
        }
        for (name, value) in &environment.variables {
            command.env(name, &**value);
        }
        command.spawn().map_err(|error| Failure::failed(format!("{} cannot be started: {error}", program.display())))
    }
}

/// Waits for the child and passes signals on to it.
pub(super) async fn watch(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus, Failure> {
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(|error| Failure::failed(format!("lost the command: {error}"))),
            signal = signals.next() => pass_on(child, signal),
        }
    }
}

/// Ctrl-C and Ctrl-\ on a terminal reach the child by themselves; twice would be one too many.
fn pass_on(child: &Child, signal: Signal) {
    let from_keyboard = stdin().is_terminal() && (signal == Signal::INT || signal == Signal::QUIT);
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let (false, Some(pid)) = (from_keyboard, pid) {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

/// The child's exit code, or 128 and its signal, as shells say it.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => exit_code(signal),
        (None, None) => Exit::Failed as u8,
    }
}

/// Checks in; says so when that fails, and gives the exit code for it.
pub(super) async fn give_back(client: &Client, id: CheckoutId) -> Result<(), u8> {
    let Err(error) = client.checkouts().checkin(id).await else { return Ok(()) };
    if error.problem_type() == Some(ProblemType::CheckoutEnded) {
        note(&format!("note: {id} had ended before the command did"));
        return Ok(());
    }
    note(&format!("warning: {id} is NOT checked in: {error}"));
    note(&format!("help: claviger checkin {id}; at the latest it ends by its expiry"));
    Err(error.exit() as u8)
}

fn variable_name(text: &str) -> Result<String, String> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let fits = starts && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits { Ok(text.to_owned()) } else { Err("a variable is letters, digits and _, e.g. DB_PASSWORD".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_the_name_of_one() {
        assert!(variable_name("DB_PASSWORD").is_ok());
        for bad in ["", "1A", "A=B", "A B", "Ä"] {
            assert!(variable_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signalled_command_ends_as_shells_say_it() {
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
    }
}
