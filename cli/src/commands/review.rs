//! `claviger review`: who reaches a customer, confirmed or cut line by line.

use clap::Subcommand;
use claviger_client::api::wire::{NewReview, ReviewQuery, WithReason};
use claviger_client::api::{GrantId, Part, ReviewId};
use claviger_client::{Client, Exit};

use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Review {
    /// Start a review: a line for each grant that reaches the customer
    Start {
        /// The customer
        customer: Part,
        /// How long there is to decide, an hour to 90d
        #[arg(long = "for", value_name = "DURATION")]
        life: Option<Seconds>,
    },
    /// List the open reviews
    List {
        /// Only this customer's
        #[arg(long)]
        customer: Option<Part>,
        /// The closed ones, too
        #[arg(long)]
        closed: bool,
    },
    /// The lines of the customer's open review, or of another one
    Show {
        /// The customer
        customer: Part,
        /// rv_…; the open one when absent
        #[arg(long, value_name = "ID")]
        review: Option<ReviewId>,
    },
    /// Say of grants that they are right, and stay
    Confirm {
        /// The customer
        customer: Part,
        /// gr_…
        #[arg(required = true)]
        grants: Vec<GrantId>,
    },
    /// End grants at once
    Cut {
        /// The customer
        customer: Part,
        /// gr_…
        #[arg(required = true)]
        grants: Vec<GrantId>,
        /// Why; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Close the customer's review, once every line is decided
    Close {
        /// The customer
        customer: Part,
    },
}

impl Review {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let (reviews, output) = (client.reviews(), context.output);
        match self {
            Self::Start { customer, life } => {
                let new = NewReview { ttl_seconds: life.map(Seconds::get) };
                output.one(&reviews.start(&customer, &new).await?)
            }
            Self::List { customer, closed } => {
                let query = ReviewQuery {
                    customer: customer.map(|customer| customer.to_string()),
                    closed: closed.then_some(true),
                    ..ReviewQuery::default()
                };
                output.many(&reviews.list(query).all().await?)
            }
            Self::Show { customer, review } => {
                let id = match review {
                    Some(id) => id,
                    None => open(&client, &customer).await?,
                };
                output.many(&reviews.lines(&customer, id).all().await?)
            }
            Self::Confirm { customer, grants } => {
                let (id, mut lines) = (open(&client, &customer).await?, Vec::new());
                for grant in grants {
                    lines.push(reviews.confirm(&customer, id, grant).await?);
                }
                output.many(&lines)
            }
            Self::Cut { customer, grants, reason } => {
                let (id, reason, mut lines) = (open(&client, &customer).await?, WithReason { reason }, Vec::new());
                for grant in grants {
                    lines.push(reviews.cut(&customer, id, grant, &reason).await?);
                }
                output.many(&lines)
            }
            Self::Close { customer } => {
                let id = open(&client, &customer).await?;
                output.one(&reviews.close(&customer, id).await?)
            }
        }
    }
}

/// The customer's open review: there is one at most.
async fn open(client: &Client, customer: &Part) -> Result<ReviewId, Failure> {
    let query = ReviewQuery { customer: Some(customer.to_string()), ..ReviewQuery::default() };
    let found = client.reviews().list(query).first(1).await?;
    let review = found.first().ok_or_else(none_open)?;
    Ok(review.id)
}

fn none_open() -> Failure {
    Failure::Own {
        exit: Exit::NotFound,
        what: "no review of this customer is open".to_owned(),
        help: Some("Start one: claviger review start CUSTOMER.".to_owned()),
    }
}
