//! `claviger customer`: the businesses the MSP serves.

use clap::Subcommand;
use claviger_client::api::Part;
use claviger_client::api::wire::{CustomerChange, NewCustomer};

use crate::connection::Context;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Customer {
    /// Add a customer, with keys and a log of its own
    Add {
        /// The first part of every path, e.g. acme
        customer: Part,
        /// The name for people
        #[arg(long)]
        name: String,
    },
    /// List the customers you may see
    List,
    /// Show one customer
    Show {
        /// The customer
        customer: Part,
    },
    /// Change a customer; what is not named stays
    Set {
        /// The customer
        customer: Part,
        /// The name for people
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a customer that has no systems any more
    Remove {
        /// The customer
        customer: Part,
    },
}

impl Customer {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let customers = client.customers();
        let output = context.output;
        match self {
            Self::Add { customer, name } => {
                output.one(&customers.add(&NewCustomer { slug: customer, display_name: name }).await?)
            }
            Self::List => output.many(&customers.list().all().await?),
            Self::Show { customer } => output.one(&customers.show(&customer).await?),
            Self::Set { customer, name } => {
                output.one(&customers.set(&customer, &CustomerChange { display_name: name }).await?)
            }
            Self::Remove { customer } => {
                customers.remove(&customer).await?;
                output.done(&format!("removed {customer}"))
            }
        }
    }
}
