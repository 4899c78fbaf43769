//! Checking an account out and waiting for it, so that an interruption leaves nothing behind.

use std::future::Future;
use std::pin::pin;

use clap::Args;
use claviger_client::api::wire::{Checkout, Claim, NewCheckout, OnConflict, WaitsFor};
use claviger_client::api::{AccountPath, CheckoutId, Timestamp};
use claviger_client::{Client, Error, Exit};
use rustix::process::Signal;

use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::{Progress, note};
use crate::signals::{Signals, exit_code};

/// What is wanted, for how long and why.
#[derive(Args)]
pub struct Taking {
    /// customer/system/account
    path: AccountPath,
    /// How long, e.g. 30m or 1h30m; 1h by default, at most what your grant allows
    #[arg(long = "for", value_name = "DURATION")]
    time: Option<Seconds>,
    /// Why; it is in the customer's audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The ticket this is for
    #[arg(long, value_name = "TICKET")]
    ticket: Option<String>,
    /// Wait in order, at most this long, while others hold the account, or until it is approved
    #[arg(long, value_name = "DURATION")]
    wait: Option<Seconds>,
    /// Ask now for a use that may start then, e.g. 2026-12-24T02:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
}

/// What becomes of a request that is not approved, or has not started, when the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unapproved {
    /// It stays: an approver may come to it later, and then it can be revealed.
    Stays,
    /// It is withdrawn, as nobody would use it.
    IsWithdrawn,
}

impl Taking {
    /// Checks the account out and waits for its turn. What is not usable in time, or interrupted, is withdrawn; what waits
    /// for an approval, as `unapproved` says.
    pub async fn take(
        &self,
        client: &Client,
        reuse: bool,
        unapproved: Unapproved,
        signals: &mut Signals,
    ) -> Result<Checkout, Failure> {
        let new = self.new_checkout(reuse);
        let (checkout, interrupted) = finish(client.checkouts().create(&new), signals).await?;
        let id = checkout.id;
        if let Some(signal) = interrupted {
            return Err(withdrawn(client, id, ended_by(signal)).await);
        }
        let mut progress = Progress::new();
        let show = |checkout: &Checkout| progress.show(&waiting_for(checkout));
        let at_most = self.wait.map(Seconds::duration).unwrap_or_default();
        let checkouts = client.checkouts();
        let failure = tokio::select! {
            turn = checkouts.wait_for_turn(checkout, at_most, show) => match turn {
                Ok(checkout) => return Ok(checkout),
                Err(error) => {
                    if unapproved == Unapproved::Stays && waits_for_others(&error) {
                        note(&format!("{id} stays; then: claviger reveal {id}, or withdraw it: claviger checkin {id}"));
                        return Err(error.into());
                    }
                    error.into()
                }
            },
            signal = signals.next() => ended_by(signal),
        };
        Err(withdrawn(client, id, failure).await)
    }

    fn new_checkout(&self, reuse: bool) -> NewCheckout {
        NewCheckout {
            account: self.path.clone(),
            ttl_seconds: self.time.map(Seconds::get),
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
            claim: Claim::Now,
            on_conflict: match (&self.wait, reuse) {
                (Some(_), _) => OnConflict::Wait,
                (None, true) => OnConflict::Reuse,
                (None, false) => OnConflict::Fail,
            },
            not_before: self.not_before,
        }
    }
}

/// Whether the wait was for an approval or the start, and not for a turn.
fn waits_for_others(error: &Error) -> bool {
    matches!(error, Error::WaitEnded { waits_for: Some(WaitsFor::Approval | WaitsFor::Start), .. })
}

/// A signal ended the command.
pub fn ended_by(signal: Signal) -> Failure {
    Failure::Code(exit_code(signal.as_raw()))
}

/// Waits for a request that must not be left half-way, and tells the signal that came meanwhile; a second one gives up.
async fn finish<T>(
    request: impl Future<Output = claviger_client::Result<T>>,
    signals: &mut Signals,
) -> Result<(T, Option<Signal>), Failure> {
    let mut request = pin!(request);
    let mut interrupted = None;
    loop {
        tokio::select! {
            outcome = &mut request => return Ok((outcome?, interrupted)),
            signal = signals.next() => match interrupted {
                None => {
                    note("waiting for the vault's answer, to leave nothing behind; again to give up");
                    interrupted = Some(signal);
                }
                Some(_) => return Err(Failure::Own {
                    exit: Exit::Failed,
                    what: "given up before the vault answered".to_owned(),
                    help: Some("look for what it may have done: claviger checkouts --customer CUSTOMER".to_owned()),
                }),
            },
        }
    }
}

/// Withdraws a checkout, and says so if that fails.
async fn withdrawn(client: &Client, id: CheckoutId, why: Failure) -> Failure {
    if let Err(error) = client.checkouts().checkin(id).await {
        note(&format!("warning: {id} could not be withdrawn: {error}"));
    }
    why
}

fn waiting_for(checkout: &Checkout) -> String {
    let account = &checkout.account;
    match (checkout.waits_for, checkout.waiting_behind, checkout.not_before) {
        (Some(WaitsFor::Approval), ..) => {
            let approvals = checkout.approvals.as_ref();
            let (given, needed) = approvals.map_or((0, 1), |approvals| (approvals.given.len(), approvals.needed));
            format!("waiting for {account}: {given} of {needed} approvals ({})", checkout.id)
        }
        (Some(WaitsFor::Start), _, Some(start)) => format!("waiting for {account}: it starts at {start}"),
        (_, Some(behind), _) => format!("waiting for {account}: {behind} before you"),
        _ => format!("waiting for {account}"),
    }
}
