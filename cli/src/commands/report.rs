//! `claviger report`: what somebody should look at.

use clap::Subcommand;
use claviger_client::api::Part;
use claviger_client::api::wire::{DiscoveryQuery, UnusedQuery, UpkeepQuery};

use crate::commands::discovery;
use crate::connection::Context;
use crate::failure::Failure;

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
        }
    }
}
