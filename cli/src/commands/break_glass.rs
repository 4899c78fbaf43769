//! `claviger break-glass`: emergency access that two people open, everybody sees, and a third reviews.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_client::Client;
use claviger_client::api::wire::{
    BreakGlass as View, BreakGlassQuery, BreakGlassReview, BreakGlassState, GrantScope, NewBreakGlass, WithComment,
    WithReason,
};
use claviger_client::api::{AccountPath, BreakGlassId, Part};

use super::taking::ended_by;
use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::note;
use crate::receipts;
use crate::signals::Signals;

/// Between two looks for what is new.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The most that are told of beside a status.
const TOLD_MOST: usize = 100;

#[derive(Subcommand)]
pub enum BreakGlass {
    /// Ask for emergency access; it is open when another holder of the role agrees
    Open {
        /// A customer, customer/system or customer/system/account
        scope: GrantScope,
        /// How long it is open, at most 8h; 1h by default
        #[arg(long = "for", value_name = "DURATION")]
        time: Option<Seconds>,
        /// Why; everybody who works there may read it, and it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Agree to another's: its opener has the access from then on
    Agree {
        /// bg_…
        id: BreakGlassId,
        /// What you know of it; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        comment: String,
    },
    /// End it at once, with whatever was checked out under it
    Close {
        /// bg_…
        id: BreakGlassId,
    },
    /// List what is asked for, open, or not reviewed
    List(List),
    /// Show one, and what was done by it
    Show {
        /// bg_…
        id: BreakGlassId,
    },
    /// Close the review of one that you had no part in
    Review {
        /// bg_…
        id: BreakGlassId,
        /// What came of looking at it; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        verdict: String,
    },
    /// While it is open: every password that may open an account whose rotation is not settled
    Reveal {
        /// customer/system/account
        path: AccountPath,
        /// Why; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Print them
        #[arg(long)]
        show: bool,
    },
}

#[derive(Args)]
pub struct List {
    /// Only this customer's
    #[arg(long)]
    customer: Option<Part>,
    /// Those with which nobody has anything left to do, too
    #[arg(long)]
    closed: bool,
    /// Go on, and show each one again when it is new or has moved on
    #[arg(long)]
    follow: bool,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
}

impl BreakGlass {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (glass, output) = (client.break_glass(), context.output);
        match self {
            Self::Open { scope, time, reason } => {
                let new = NewBreakGlass { scope, reason, ttl_seconds: time.map(Seconds::get) };
                let asked = glass.open(&new).await?;
                output.one(&asked)?;
                if asked.state == BreakGlassState::Asked {
                    note(&format!("Another one opens it: claviger break-glass agree {} --comment TEXT", asked.id));
                }
                Ok(())
            }
            Self::Agree { id, comment } => output.one(&glass.agree(id, &WithComment { comment }).await?),
            Self::Close { id } => output.one(&glass.close(id).await?),
            Self::List(list) => list.run(context, &client).await,
            Self::Show { id } => output.one(&glass.show(id).await?),
            Self::Review { id, verdict } => output.one(&glass.review(id, &BreakGlassReview { verdict }).await?),
            Self::Reveal { path, reason, show } => {
                if !show {
                    let there = if stdout().is_terminal() { "on the screen" } else { "into a pipe" };
                    return Err(Failure::usage(format!("passwords go {there} only when you say so"), "add --show"));
                }
                let mut shown = glass.reveal_unresolved(&path, &WithReason { reason }).await?;
                receipts::keep(context, &path, Some(shown.checkout.id), &mut shown.receipt);
                output.one(&shown)
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context, client: &Client) -> Result<(), Failure> {
        let query = BreakGlassQuery {
            customer: self.customer.map(|customer| customer.to_string()),
            closed: self.closed.then_some(true),
            ..BreakGlassQuery::default()
        };
        let look = async || client.break_glass().list(query.clone()).first(self.limit).await;
        let found: Vec<View> = look().await?;
        context.output.many(&found)?;
        if !self.follow {
            return Ok(());
        }
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        let mut shown: BTreeMap<BreakGlassId, BreakGlassState> =
            found.iter().map(|glass| (glass.id, glass.state)).collect();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                signal = signals.next() => return Err(ended_by(signal)),
            }
            for glass in look().await? {
                if shown.insert(glass.id, glass.state) != Some(glass.state) {
                    context.output.one(&glass)?;
                }
            }
        }
    }
}

/// Says what of break-glass somebody has still to do with, as far as the caller may see it. It is beside what was asked
/// for: where it cannot be told, nothing is said.
pub async fn nag(client: &Client) {
    let Ok(pending) = client.break_glass().list(BreakGlassQuery::default()).first(TOLD_MOST).await else { return };
    for glass in pending {
        let View { id, scope, opener, .. } = &glass;
        match glass.state {
            BreakGlassState::Asked => {
                note(&format!("Break-glass at {scope} is asked for by {opener}: claviger break-glass show {id}"));
            }
            BreakGlassState::Open => {
                let until = glass.ends_at.map(|end| format!(" until {end}")).unwrap_or_default();
                note(&format!("Break-glass at {scope} is open for {opener}{until}: claviger break-glass show {id}"));
            }
            BreakGlassState::Closing | BreakGlassState::InReview => {
                let late = if glass.review_overdue { ", and is late" } else { "" };
                note(&format!(
                    "Break-glass at {scope} by {opener} waits for its review{late}: \
                     claviger break-glass review {id} --verdict TEXT"
                ));
            }
            BreakGlassState::Reviewed | BreakGlassState::Withdrawn => {}
        }
    }
}
