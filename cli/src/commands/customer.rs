//! `claviger customer`: the businesses the MSP serves.

use clap::{Args, Subcommand};
use claviger_client::api::Part;
use claviger_client::api::wire::{ApprovalRule, Conditions, CustomerChange, CustomerLimits, NewCustomer};

use crate::commands::around::Around;
use crate::commands::policy::Policy;
use crate::connection::Context;
use crate::duration::Seconds;
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
        /// Where the customer's clocks are, e.g. Europe/Vienna
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        #[command(flatten)]
        policy: Policy,
    },
    /// Set what the customer wants of everybody who works there; what is not named is not limited any more
    Limit(Box<Limit>),
    /// Remove a customer that has no systems any more
    Remove {
        /// The customer
        customer: Part,
    },
}

/// On top of whatever was granted. For the customer's own administrator.
#[derive(Args)]
pub struct Limit {
    /// The customer
    customer: Part,
    /// The longest checkout, at most 30d
    #[arg(long, value_name = "DURATION")]
    max_checkout: Option<Seconds>,
    /// A checkout needs the yes of so many others, 1 to 3
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    approvals: Option<u8>,
    /// One of those who say yes is the customer's own user
    #[arg(long, requires = "approvals")]
    by_customer: bool,
    #[command(flatten)]
    around: Around,
}

impl Limit {
    fn wire(&self) -> CustomerLimits {
        let by_customer = self.by_customer;
        CustomerLimits {
            max_checkout_seconds: self.max_checkout.map(Seconds::get),
            conditions: Conditions {
                approvals: self.approvals.map(|count| ApprovalRule { count, by_customer, reuse: true }),
                ..self.around.clone().wire()
            },
        }
    }
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
            Self::Set { customer, name, time_zone, policy } => {
                let rotation_policy = policy.change(&customers.show(&customer).await?.rotation_policy);
                let change = CustomerChange { display_name: name, rotation_policy, time_zone };
                output.one(&customers.set(&customer, &change).await?)
            }
            Self::Limit(limit) => output.one(&customers.limit(&limit.customer, &limit.wire()).await?),
            Self::Remove { customer } => {
                customers.remove(&customer).await?;
                output.done(&format!("removed {customer}"))
            }
        }
    }
}
