//! How many flushes an operation alone costs: counted by strace, which sees every fsync and fdatasync of the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::http::Connection;
use crate::load::Work as _;
use crate::vault::{Inventory, Vault};

/// Operations of each kind, one after the other. The server's own work in the background may add a flush now and then.
pub const OPERATIONS: usize = 50;
/// The trace is whole when it has not grown for this long.
const QUIET: Duration = Duration::from_millis(300);

/// Flushes an operation.
#[derive(Debug, Serialize)]
pub struct Flushes {
    pub check_out: f64,
    pub reveal: f64,
    pub check_in: f64,
    pub login: f64,
}

/// Starts the server once more in its directory, under strace; `None` where strace cannot be used.
pub async fn count(server: &Path, directory: &Path, inventory: &mut Inventory) -> Result<Option<Flushes>> {
    let trace = Trace(directory.with_extension("strace"));
    let traced = Command::new("strace").args(["-f", "-qqq", "-o", "/dev/null", "true"]).status();
    if !traced.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let file = trace.0.to_str().context("a path in UTF-8")?;
    let strace = ["strace", "-f", "-qqq", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", file];
    let vault = Vault::start(server, directory, &strace).await?;
    inventory.log_in(&vault).await?;
    let flushes = of_each(&trace, inventory, &mut vault.target()?.connect().await?).await?;
    vault.stop()?;
    Ok(Some(flushes))
}

async fn of_each(trace: &Trace, inventory: &Inventory, connection: &mut Connection) -> Result<Flushes> {
    let mut lends: Vec<_> = inventory.lends(OPERATIONS);
    let mut held = Vec::new();
    let before = trace.settled().await?;
    for lend in &mut lends {
        held.push(lend.check_out(connection).await?);
    }
    let checked_out = trace.settled().await?;
    for reveal in &mut inventory.reveals(OPERATIONS) {
        reveal.once(connection).await?;
    }
    let revealed = trace.settled().await?;
    for (lend, checkout) in lends.iter_mut().zip(&held) {
        lend.check_in(checkout, connection).await?;
    }
    let checked_in = trace.settled().await?;
    for login in &mut inventory.logins(OPERATIONS) {
        login.once(connection).await?;
    }
    let logged_in = trace.settled().await?;
    let each = |from: u32, to: u32| f64::from(to - from) / f64::from(u32::try_from(OPERATIONS).unwrap_or(u32::MAX));
    Ok(Flushes {
        check_out: each(before, checked_out),
        reveal: each(checked_out, revealed),
        check_in: each(revealed, checked_in),
        login: each(checked_in, logged_in),
    })
}

/// What strace has written.
struct Trace(PathBuf);

impl Trace {
    /// The flushes begun so far, once no more are written.
    async fn settled(&self) -> Result<u32> {
        let mut seen = self.begun()?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.begun()?;
            if now == seen {
                return Ok(now);
            }
            seen = now;
        }
    }

    /// A call that was interrupted by another thread's has a second line, `<... fdatasync resumed>`.
    fn begun(&self) -> Result<u32> {
        let calls = fs::read_to_string(&self.0)?;
        Ok(u32::try_from(calls.lines().filter(|line| line.contains("sync(") || line.contains("range(")).count())?)
    }
}
