//! Rotates every free account of one customer and waits for the proof. Copy it and make it yours.
//!
//! ```sh
//! CLAVIGER_ADDR=https://vault.example:8200 CLAVIGER_TOKEN=cvs_… rotate_all acme
//! ```
//!
//! The token is of a service account with the role `automation` at the customer:
//! `claviger grant add nightly --role automation --scope acme --for 90d`.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use claviger_client::api::wire::RotationStep;
use claviger_client::api::{Part, Secret};
use claviger_client::{Client, Credentials, Error, NewRotation, Result};

/// How long one rotation may take before the script goes on to the next; the vault itself goes on trying.
const WAIT: Duration = Duration::from_mins(10);

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

/// Whether every account was rotated.
async fn run() -> Result<bool> {
    let customer: Part = env::args().nth(1).unwrap_or_default().parse().map_err(Error::usage)?;
    let client = client()?;
    let started = client
        .rotations()
        .start(&NewRotation {
            customer: Some(customer),
            reason: Some("nightly rotation".to_owned()),
            ..NewRotation::default()
        })
        .await?;

    let mut all_done = started.skipped.is_empty();
    for skipped in &started.skipped {
        println!("{}: skipped, {}", skipped.account, skipped.why);
    }
    for rotation in &started.rotations {
        let rotation = client.rotations().wait(rotation.id, WAIT, |_| {}).await?;
        println!("{}: {}", rotation.account, rotation.message);
        all_done &= rotation.step == RotationStep::Done;
    }
    Ok(all_done)
}

fn client() -> Result<Client> {
    let variable = |name: &str| env::var(name).map_err(|_| Error::usage(format!("set {name}")));
    let token = Secret::new(variable("CLAVIGER_TOKEN")?).map_err(Error::usage)?;
    let mut builder = Client::builder()
        .address(variable("CLAVIGER_ADDR")?)
        .credentials(Credentials::Token(token))
        .user_agent("rotate-all/1");
    if let Ok(file) = env::var("CLAVIGER_CACERT") {
        builder = builder.ca_certificate_pem(std::fs::read(file).map_err(Error::usage)?);
    }
    builder.build()
}
