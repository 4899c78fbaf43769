//! `claviger exposure`: who has seen a secret that still works.

use clap::Subcommand;
use claviger_client::api::Part;
use claviger_client::api::wire::ExposureQuery;

use crate::connection::Context;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Exposure {
    /// List the accounts whose secret somebody has seen that still works; 'rotate --exposed-to' rotates them
    List {
        /// Only what this user or service account has seen: a name, of one that was removed too, or pr_…
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        /// Only this customer's accounts
        #[arg(long)]
        customer: Option<Part>,
    },
}

impl Exposure {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List { principal, customer } = self;
        let customer = customer.map(|customer| customer.to_string());
        let query = ExposureQuery { customer, principal, ..ExposureQuery::default() };
        context.output.many(&context.client()?.exposures().list(query).all().await?)
    }
}
