//! Checks a database account out, runs psql as that account, and checks it in whatever happens. Copy it and make it
//! yours; for a single command, `claviger exec` does the same without a line of code.
//!
//! ```sh
//! CLAVIGER_ADDR=https://vault.example:8200 CLAVIGER_TOKEN=cvs_… run_migration acme/db01/postgres migration.sql
//! ```

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use claviger_client::api::Secret;
use claviger_client::api::wire::{Claim, OnConflict, Revealed, SystemSpec};
use claviger_client::{Client, Credentials, Error, NewCheckout, Result};
use tokio::process::Command;

/// How long to wait for somebody else's checkout to end.
const WAIT: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit() as u8)
        }
    }
}

/// Whether the migration went through.
async fn run() -> Result<bool> {
    let argument = |n, what| env::args().nth(n).ok_or_else(|| Error::usage(what));
    let account = argument(1, "which account?")?.parse().map_err(Error::usage)?;
    let file = argument(2, "which file?")?;
    let variable = |name: &str| env::var(name).map_err(|_| Error::usage(format!("set {name}")));
    let client = Client::builder()
        .address(variable("CLAVIGER_ADDR")?)
        .credentials(Credentials::Token(Secret::new(variable("CLAVIGER_TOKEN")?).map_err(Error::usage)?))
        .build()?;

    let new = NewCheckout {
        account,
        ttl_seconds: Some(30 * 60),
        reason: format!("migration {file}"),
        ticket: None,
        claim: Claim::Now,
        on_conflict: OnConflict::Wait,
        not_before: None,
    };
    let held = client.checkouts().hold_within(&new, WAIT).await?;
    let done = migrate(held.reveal().await?, &file).await; // an early return checks in as well
    held.checkin().await?;
    done
}

async fn migrate(revealed: Revealed, file: &str) -> Result<bool> {
    let SystemSpec::Postgresql { host, port, database, .. } = &revealed.system else {
        return Err(Error::usage("the account is not one of a PostgreSQL server"));
    };
    let status = Command::new("psql")
        .args(["--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file", file])
        .env("PGHOST", host)
        .env("PGPORT", port.to_string())
        .env("PGDATABASE", database)
        .env("PGUSER", revealed.login.as_str())
        .env("PGPASSWORD", revealed.secret.into_secret().expose()) // never an argument: those are public
        .env_remove("CLAVIGER_TOKEN")
        .status()
        .await
        .map_err(|error| Error::usage(format!("psql cannot be started: {error}")))?;
    Ok(status.success())
}
