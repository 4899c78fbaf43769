//! `claviger access`: who can reach what, and why or why not.

use std::net::IpAddr;

use clap::{Args, Subcommand};
use claviger_client::api::wire::{CustomerLimits, ExplainQuery, GrantScope, INACTIVE_DAYS_DEFAULT, INACTIVE_DAYS_MAX};
use claviger_client::api::{AccountPath, Timestamp, UserName};

use crate::commands::what_if::WhatIf;
use crate::connection::Context;
use crate::failure::Failure;
use crate::output::conditions;
use crate::progress::note;

#[derive(Subcommand)]
pub enum Access {
    /// List who can check an account out, and by which grants
    Show {
        /// customer/system/account
        path: AccountPath,
    },
    /// List users and service accounts that were not used for some days, and what they could reach
    Inactive {
        /// Not used for at least so many days, e.g. 30, 45 or 90
        #[arg(long, value_name = "DAYS", default_value_t = INACTIVE_DAYS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(INACTIVE_DAYS_MAX)))]
        days: u32,
        /// The most rows
        #[arg(long, value_name = "N", default_value = "1000")]
        limit: usize,
    },
    /// Say whether somebody may do something, and why or why not
    Explain(Explain),
    /// List which decisions of the last 30 days would have come out differently under a change; nothing is changed
    WhatIf(Box<WhatIf>),
}

#[derive(Args)]
pub struct Explain {
    /// The user or service account
    principal: UserName,
    /// The verb, e.g. checkout.create
    action: String,
    /// '*' (everywhere), a customer, customer/system or customer/system/account
    path: GrantScope,
    /// As if at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// As if from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// As if with this ticket
    #[arg(long)]
    ticket: Option<String>,
    /// As if a second factor had just been proven
    #[arg(long)]
    fresh_factor: bool,
}

impl Access {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Show { path } => {
                let access = client.access().show(&path).await?;
                if !access.limits.is_empty() {
                    note(&format!("{} wants of everybody besides: {}", path.customer, besides(&access.limits)));
                }
                output.many(&access.grants)
            }
            Self::Inactive { days, limit } => output.many(&client.access().inactive(days).first(limit).await?),
            Self::Explain(explain) => output.one(&client.access().explain(&explain.query()).await?),
            Self::WhatIf(what_if) => what_if.run(&client, output).await,
        }
    }
}

fn besides(limits: &CustomerLimits) -> String {
    let most = limits.max_checkout_seconds.map(|most| format!("checkouts of {most} s at most"));
    let others = (!limits.conditions.is_empty()).then(|| conditions(&limits.conditions));
    most.into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

impl Explain {
    fn query(self) -> ExplainQuery {
        ExplainQuery {
            principal: self.principal.to_string(),
            action: self.action,
            scope: self.path.to_string(),
            at: self.at,
            source: self.from.map(|address| address.to_string()),
            ticket: self.ticket,
            fresh_factor: self.fresh_factor.then_some(true),
        }
    }
}
