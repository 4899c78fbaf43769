//! `claviger checkout`, `reveal`, `checkin`, `extend`, `revoke`, `take-over`, `checkouts`.

use std::io::{IsTerminal as _, stdin, stdout};
use std::time::Duration;

use clap::{Args, ValueEnum};
use claviger_client::api::wire::{
    Checkout as CheckoutView, CheckoutQuery, CheckoutState, Extend as ExtendRequest, Revealed, WithReason,
};
use claviger_client::api::{CheckoutId, Part, Secret};
use claviger_client::{Client, Exit};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::taking::{Taking, Unapproved, ended_by};
use crate::clipboard;
use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::note;
use crate::receipts;
use crate::signals::Signals;

/// The clipboard is cleared after this, or earlier when the person says so.
const CLIPBOARD: Duration = Duration::from_secs(45);

#[derive(Args)]
pub struct CheckOut {
    #[command(flatten)]
    taking: Taking,
    /// Take your own checkout of the account if there is one
    #[arg(long, conflicts_with = "wait")]
    reuse: bool,
    #[command(flatten)]
    display: Display,
}

#[derive(Args)]
pub struct Reveal {
    /// co_…
    id: CheckoutId,
    #[command(flatten)]
    display: Display,
}

/// What becomes of the secret.
#[derive(Args)]
pub struct Display {
    /// Copy the secret to the terminal's clipboard, and clear it after use; the default on a terminal
    #[arg(long, conflicts_with = "show")]
    copy: bool,
    /// Print the secret
    #[arg(long)]
    show: bool,
}

/// Where the secret goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Clipboard,
    Screen,
    Nowhere,
}

#[derive(Args)]
pub struct Checkin {
    /// co_…
    id: CheckoutId,
}

#[derive(Args)]
pub struct Extend {
    /// co_…
    id: CheckoutId,
    /// The new length, counted from the start of use
    #[arg(long = "for", value_name = "DURATION")]
    time: Seconds,
}

#[derive(Args)]
pub struct Revoke {
    /// co_…
    id: CheckoutId,
    /// Why; it is in the customer's audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
pub struct TakeOver {
    /// co_… of the present holder
    id: CheckoutId,
    /// Why; it is in the customer's audit log, and the holder is told
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Args)]
pub struct Checkouts {
    /// The customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Part,
    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Requested,
    Approved,
    Active,
    Ended,
}

impl CheckOut {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let destination = self.display.destination(stdout().is_terminal())?;
        let client = context.client()?;
        let mut signals = listen()?;
        let checkout = self.taking.take(&client, self.reuse, Unapproved::Stays, &mut signals).await?;
        if destination == Destination::Nowhere {
            return context.output.one(&checkout);
        }
        let id = checkout.id;
        let revealed = revealed(context, &client, id)
            .await
            .inspect_err(|_| note(&format!("checked out as {id}, not revealed")))?;
        deliver(context, revealed, destination, &mut signals).await
    }
}

impl Reveal {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let destination = self.display.destination(stdout().is_terminal())?;
        if destination == Destination::Nowhere {
            return Err(Failure::usage("the secret goes into a pipe only when you say so", "add --show"));
        }
        let client = context.client()?;
        let mut signals = listen()?;
        deliver(context, revealed(context, &client, self.id).await?, destination, &mut signals).await
    }
}

/// The secret; its receipt is kept.
async fn revealed(context: &Context, client: &Client, id: CheckoutId) -> Result<Revealed, Failure> {
    let mut revealed = client.checkouts().reveal(id).await?;
    receipts::keep(context, &revealed.checkout.account, Some(id), &mut revealed.receipt);
    Ok(revealed)
}

impl Display {
    /// On a terminal the clipboard; in a pipe nowhere, unless told.
    pub(super) fn destination(&self, terminal: bool) -> Result<Destination, Failure> {
        match (self.show, self.copy, terminal) {
            (true, _, _) => Ok(Destination::Screen),
            (false, _, true) => Ok(Destination::Clipboard),
            (false, false, false) => Ok(Destination::Nowhere),
            (false, true, false) => {
                Err(Failure::usage("there is no terminal whose clipboard could take the secret", "use --show instead"))
            }
        }
    }
}

impl Checkin {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        context.output.one(&context.client()?.checkouts().checkin(self.id).await?)
    }
}

impl Extend {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = ExtendRequest { ttl_seconds: self.time.get() };
        context.output.one(&context.client()?.checkouts().extend(self.id, &request).await?)
    }
}

impl Revoke {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = WithReason { reason: self.reason };
        context.output.one(&context.client()?.checkouts().revoke(self.id, &request).await?)
    }
}

impl TakeOver {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = WithReason { reason: self.reason };
        context.output.one(&context.client()?.checkouts().take_over(self.id, &request).await?)
    }
}

impl Checkouts {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client: Client = context.client()?;
        let query = CheckoutQuery {
            customer: self.customer.to_string(),
            state: self.state.map(State::wire),
            ..CheckoutQuery::default()
        };
        let rows: Vec<CheckoutView> = client.checkouts().list(query).first(self.limit).await?;
        context.output.many(&rows)
    }
}

impl State {
    fn wire(self) -> CheckoutState {
        match self {
            Self::Requested => CheckoutState::Requested,
            Self::Approved => CheckoutState::Approved,
            Self::Active => CheckoutState::Active,
            Self::Ended => CheckoutState::Ended,
        }
    }
}

/// Hands the secret to the person or the pipe.
async fn deliver(
    context: &Context,
    revealed: Revealed,
    destination: Destination,
    signals: &mut Signals,
) -> Result<(), Failure> {
    if destination == Destination::Screen {
        return context.output.one(&revealed);
    }
    let checkout = &revealed.checkout;
    let until = checkout.expires_at.map_or_else(String::new, |end| format!(" until {end}"));
    note(&format!("{}: log in as {}{until}; then: claviger checkin {}", checkout.account, revealed.login, checkout.id));
    lend_clipboard(&revealed.secret.into_secret(), signals).await
}

/// The secret is on the clipboard until Enter, a signal, or a while has passed.
pub(super) async fn lend_clipboard(secret: &Secret, signals: &mut Signals) -> Result<(), Failure> {
    let broken = |error| Failure::Own {
        exit: Exit::Failed,
        what: format!("the terminal's clipboard cannot be used: {error}"),
        help: Some("claviger reveal ID --show".to_owned()),
    };
    clipboard::copy(secret).map_err(broken)?;
    note(&format!("The secret is on the clipboard for {} s; Enter clears it.", CLIPBOARD.as_secs()));
    let mut line = String::new();
    let mut keyboard = BufReader::new(tokio::io::stdin());
    let interrupted = tokio::select! {
        _ = keyboard.read_line(&mut line), if stdin().is_terminal() => None,
        () = tokio::time::sleep(CLIPBOARD) => None,
        signal = signals.next() => Some(signal),
    };
    clipboard::clear().map_err(broken)?;
    note("The clipboard is cleared.");
    interrupted.map_or(Ok(()), |signal| Err(ended_by(signal)))
}

pub fn listen() -> Result<Signals, Failure> {
    Signals::listen().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_only_when_asked_for() {
        let display = |copy, show| Display { copy, show };
        assert_eq!(display(false, false).destination(true).unwrap(), Destination::Clipboard);
        assert_eq!(display(false, false).destination(false).unwrap(), Destination::Nowhere);
        assert_eq!(display(true, false).destination(true).unwrap(), Destination::Clipboard);
        assert!(display(true, false).destination(false).is_err());
        for terminal in [true, false] {
            assert_eq!(display(false, true).destination(terminal).unwrap(), Destination::Screen);
        }
    }
}
