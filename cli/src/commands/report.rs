//! `claviger report`: what somebody should look at.

use clap::Subcommand;
use claviger_client::api::Part;
use claviger_client::api::wire::UnusedQuery;

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
        }
    }
}
