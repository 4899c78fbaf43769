//! `claviger customer`: the businesses the MSP serves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_client::Exit;
use claviger_client::api::wire::{
    ApprovalRule, Conditions, Customer as Shown, CustomerChange, CustomerLimits, KitRule, LockCustomer, LockState,
    NewCustomer, OffboardCustomer,
};
use claviger_client::api::{CustomerId, Part};

use crate::commands::around::Around;
use crate::commands::kit::write_checked;
use crate::commands::policy::Policy;
use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::Progress;

/// The longest that an offboarding is waited for.
const OFFBOARD_WAIT_MOST: Duration = Duration::from_hours(1);

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
    /// End what is checked out there, rotate it, and drop the customer's key from the server's memory
    Lock {
        /// The customer
        customer: Part,
        /// Why, for both audit logs
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Do not wait for rotations under way: they go on when it is unlocked
        #[arg(long)]
        at_once: bool,
        /// The longest to wait until it is locked; it goes on without you
        #[arg(long, value_name = "DURATION", default_value = "5m")]
        wait: Seconds,
    },
    /// Take a locked customer's key into the server's memory again
    Unlock {
        /// The customer
        customer: Part,
        /// Why, for both audit logs
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Destroy a locked customer's key, and remove all that it opened; nobody gets it back
    Offboard {
        /// The customer
        customer: Part,
        /// Why, for the operator's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The customer once more, since nobody gets it back
        #[arg(long, value_name = "CUSTOMER")]
        confirm: Part,
        /// Hand nothing over to the customer: nobody has its secrets any more
        #[arg(long)]
        without_hand_over: bool,
    },
    /// List the customers that were offboarded, or show one with its signed receipt
    Offboarded {
        /// The customer's id
        id: Option<CustomerId>,
        /// Write what was handed over to this file, which must not exist yet: the customer's recipients open it
        #[arg(long, value_name = "FILE", requires = "id")]
        hand_over: Option<PathBuf>,
    },
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
    /// Somebody of the customer who holds a share of its emergency kits, by an age public key (age1…); may be repeated
    #[arg(long, value_name = "AGE1…", requires = "kit_threshold")]
    kit_recipient: Vec<String>,
    /// How many of these and the MSP's recipients open a kit together: more than there are of the MSP's
    #[arg(long, value_name = "COUNT", requires = "kit_recipient")]
    kit_threshold: Option<u8>,
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
            kit: self.kit_threshold.map(|threshold| KitRule { recipients: self.kit_recipient.clone(), threshold }),
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
            Self::Lock { customer, reason, at_once, wait } => {
                let mut progress = Progress::new();
                progress.show("what is checked out ends, and is rotated");
                customers.lock(&customer, &LockCustomer { reason, at_once }).await?;
                let now = customers.wait_for_lock(&customer, Duration::from_secs(wait.get())).await?;
                drop(progress);
                output.one(&now)?;
                is_locked(&now)
            }
            Self::Unlock { customer, reason } => output.one(&customers.unlock(&customer, &reason).await?),
            Self::Offboard { customer, reason, confirm, without_hand_over } => {
                let mut progress = Progress::new();
                let offboard = OffboardCustomer { reason, confirm, without_hand_over };
                let id = customers.offboard(&customer, &offboard).await?.id;
                progress.show("its key is destroyed, and what it opened is removed; it goes on without you");
                let done = customers.wait_for_offboarding(id, OFFBOARD_WAIT_MOST).await?;
                drop(progress);
                match done {
                    Some(done) => output.one(&done),
                    None => output.done(&format!("it goes on; see claviger customer offboarded {id}")),
                }
            }
            Self::Offboarded { id: Some(id), hand_over: Some(to) } => {
                let handed = customers.offboarding(id).await?.hand_over;
                let mut file = customers.hand_over(id).await?;
                let sha256 = handed.map(|handed| handed.sha256).unwrap_or_default();
                let bytes = write_checked(&mut file, &to, &sha256).await?;
                output.done(&format!(
                    "wrote {bytes} bytes; a recipient of the customer opens them: age -d -i KEY {}",
                    to.display()
                ))
            }
            Self::Offboarded { id: Some(id), hand_over: None } => output.one(&customers.offboarding(id).await?),
            Self::Offboarded { id: None, .. } => output.many(&customers.offboardings().all().await?),
            Self::Remove { customer } => {
                customers.remove(&customer).await?;
                output.done(&format!("removed {customer}"))
            }
        }
    }
}

/// For scripts: whether it is locked.
fn is_locked(customer: &Shown) -> Result<(), Failure> {
    match customer.lock {
        Some(lock) if lock.state == LockState::Locked => Ok(()),
        lock => Err(Failure::Own {
            exit: Exit::Conflict,
            what: format!(
                "{} is not locked yet: {} accounts are not settled",
                customer.slug,
                lock.map_or(0, |lock| lock.waits_for)
            ),
            help: Some("it goes on by itself; --at-once does not wait for them".to_owned()),
        }),
    }
}
