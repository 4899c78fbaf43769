//! `claviger report`: what somebody should look at.

use clap::Subcommand;
use claviger_client::api::Part;
use claviger_client::api::wire::{DiscoveryQuery, ReportKind, UnusedQuery, UpkeepQuery};

use crate::commands::discovery;
use crate::connection::Context;
use crate::failure::Failure;

use audit::AuditArgs;

mod audit;
mod page;

#[derive(Subcommand)]
pub enum Report {
    /// Accounts that share a secret, across customers; which secret it is, is not told
    Reuse,
    /// Accounts that were not checked out and used for some days
    Unused {
        /// At least so many days; 90 by default
        #[arg(long, value_name = "N")]
        days: Option<u32>,
        /// Only this customer's
        #[arg(long)]
        customer: Option<Part>,
    },
    /// Logins of systems that are outside of the vault, accounts that their systems do not have, and looks that fail
    Discovery {
        /// Only what somebody should look at: logins with power that nobody answers for, missing accounts, failures
        #[arg(long)]
        attention: bool,
        /// Only this customer's
        #[arg(long)]
        customer: Option<Part>,
    },
    /// When accounts are rotated by their policies, what is overdue, and what was changed by hand
    Rotation {
        /// Only what somebody should look at: overdue or drifted
        #[arg(long)]
        attention: bool,
        /// Only this customer's
        #[arg(long)]
        customer: Option<Part>,
    },
    /// Who held what, when
    Timeline(AuditArgs),
    /// Every account, with who answers for it, its tier, and the age of its secret against its policy
    Accounts(AuditArgs),
    /// Checkouts without a ticket, out of hours, not given back in time, or extended
    Irregular(AuditArgs),
    /// What was seen, and whether and how soon it was proven to be refused
    Revocations(AuditArgs),
    /// Approvals and refusals, break-glass and reviews
    Approvals(AuditArgs),
    /// Failed logins and locked-out people
    Logins(AuditArgs),
    /// Who has a second factor
    Mfa(AuditArgs),
    /// The recommendations of the joint advisory AA22-131A: what holds, what does not, and the proofs
    Advisory(AuditArgs),
}

impl Report {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Reuse => context.output.many(&client.reports().reuse().all().await?),
            Self::Unused { days, customer } => {
                let customer = customer.map(|customer| customer.to_string());
                let query = UnusedQuery { customer, days, ..UnusedQuery::default() };
                context.output.many(&client.reports().unused(query).all().await?)
            }
            Self::Discovery { attention, customer } => {
                let customer = customer.map(|customer| customer.to_string());
                let query =
                    DiscoveryQuery { customer, attention: attention.then_some(true), ..DiscoveryQuery::default() };
                discovery::report(&client.reports().discovery(query).all().await?, context.output)
            }
            Self::Rotation { attention, customer } => {
                let customer = customer.map(|customer| customer.to_string());
                let query = UpkeepQuery { customer, attention: attention.then_some(true), ..UpkeepQuery::default() };
                context.output.many(&client.reports().rotation(query).all().await?)
            }
            Self::Timeline(of) => of.run(ReportKind::Timeline, context).await,
            Self::Accounts(of) => of.run(ReportKind::Accounts, context).await,
            Self::Irregular(of) => of.run(ReportKind::Irregular, context).await,
            Self::Revocations(of) => of.run(ReportKind::Revocations, context).await,
            Self::Approvals(of) => of.run(ReportKind::Approvals, context).await,
            Self::Logins(of) => of.run(ReportKind::Logins, context).await,
            Self::Mfa(of) => of.run(ReportKind::Mfa, context).await,
            Self::Advisory(of) => of.run(ReportKind::Advisory, context).await,
        }
    }
}
