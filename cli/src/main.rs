//! The command line of Claviger.
//!
//! `main` reads the words, `commands` has one file a command group, `output` writes tables and JSON, `failure` says
//! what went wrong and ends with the exit code of the problem table.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;
use crate::failure::Failure;

mod cli;
mod clipboard;
mod clock;
mod commands;
mod connection;
mod duration;
mod factor;
mod failure;
mod input;
mod output;
mod passkey;
mod path;
mod progress;
mod receipts;
mod refusal;
mod session;
mod signals;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(refusal) = refusal::secret_in_arguments(&words) {
        return refusal.end(false);
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    let json = cli.global.wants_json();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(json),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(commands::run(cli));
    // A thread may still wait for a line of the terminal; nobody needs it any more.
    runtime.shutdown_background();
    outcome
}

/// Help and version are no errors; a stray word is not repeated, because it may be a secret.
fn usage(mut error: clap::Error) -> ExitCode {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && error.kind() == ErrorKind::UnknownArgument
        && !word.starts_with('-')
    {
        error.insert(ContextKind::InvalidArg, ContextValue::String("(a word)".to_owned()));
    }
    // The terminal may be gone: nobody to tell.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
