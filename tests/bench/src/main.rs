//! `make bench`: reveal, check-out with check-in, and login at 1, 16 and 64 connections, beside a bare handler and a bare
//! synced store, in one run on one machine. Only ratios of one run mean something; the table and `summary.json` hold them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

mod bare;
mod flushes;
mod http;
mod load;
mod process;
mod report;
mod vault;
mod work;

use bare::{Handler, Way};
use http::Target;
use load::{Measured, Times, drive};
use report::{HANDLER, MOST, REVEAL, SMALL, Summary};
use vault::{Inventory, Vault};
use work::Fetch;

const CONNECTIONS: [usize; 3] = [1, 16, MOST];

/// How fast the vault is.
#[derive(Parser)]
struct Cli {
    /// Where `claviger-server` and the examples are built
    #[arg(long)]
    programs: PathBuf,
    /// Where data and the summary go: on a real disk, or flushes cost nothing
    #[arg(long)]
    out: PathBuf,
    /// How long each measurement lasts
    #[arg(long, default_value = "4")]
    seconds: f64,
    /// How long each one warms up before
    #[arg(long, default_value = "1")]
    warm_up_seconds: f64,
    /// How many connections at once, one number after the other
    #[arg(long, value_delimiter = ',', default_values_t = CONNECTIONS)]
    connections: Vec<usize>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let times = Times {
        warm_up: Duration::try_from_secs_f64(cli.warm_up_seconds)?,
        measured: Duration::try_from_secs_f64(cli.seconds)?,
    };
    fs::create_dir_all(&cli.out)?;
    let stage = tempfile::tempdir_in(&cli.out)?;
    let directory = stage.path().join("vault");
    let server = cli.programs.join("claviger-server");

    let most = cli.connections.iter().copied().max().unwrap_or(MOST).max(flushes::OPERATIONS);
    eprintln!("Adding {most} accounts of each kind ...");
    let vault = Vault::start(&server, &directory, &[]).await?;
    let mut inventory = Inventory::make(&vault, most).await?;
    let rows = measure(&cli, stage.path(), &vault, &inventory, times).await?;
    vault.stop()?;
    eprintln!("Counting flushes ...");
    let flushes = flushes::count(&server, &directory, &mut inventory).await?;

    let summary = Summary::new(&rows, times, flushes);
    summary.print();
    let file = cli.out.join("summary.json");
    summary.write(&file).with_context(|| format!("{} cannot be written", file.display()))
}

/// How long a reveal's answer is by now: the proof in it grows with the log.
async fn answer_bytes(target: &Target, inventory: &Inventory) -> Result<usize> {
    let mut reveal = inventory.reveals(1).pop().context("a checkout")?;
    reveal.bytes(&mut target.connect().await?).await
}

/// All that is compared at one number of connections is measured in a row, so that a machine whose speed drifts stays
/// fair.
async fn measure(cli: &Cli, stage: &Path, vault: &Vault, inventory: &Inventory, times: Times) -> Result<Vec<Measured>> {
    let program = cli.programs.join("examples/bare_handler");
    let store = cli.programs.join("examples/bare_store");
    let (target, pid) = (vault.target()?, vault.hints.pid);
    let mut rows = Vec::new();
    for n in cli.connections.iter().copied() {
        eprintln!("Measuring at {n} ...");
        let bytes = answer_bytes(&target, inventory).await?;
        let handler = Handler::start(&program, vault, bytes)?;
        let fetches = (0..n).map(|_| Fetch::new()).collect();
        rows.push(drive(SMALL, &handler.target, handler.pid(), times, fetches).await?);
        rows.push(drive(HANDLER, &handler.target, handler.pid(), times, inventory.reveals(n)).await?);
        drop(handler);
        rows.push(drive(REVEAL, &target, pid, times, inventory.reveals(n)).await?);
        rows.push(drive("check-out and check-in", &target, pid, times, inventory.lends(n)).await?);
        rows.push(drive("service login", &target, pid, times, inventory.logins(n)).await?);
        for way in [Way::Merged, Way::Single] {
            rows.push(bare::store(&store, stage, way, n, times)?);
        }
    }
    Ok(rows)
}
