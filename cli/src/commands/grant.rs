//! `claviger grant`: who may do what, where, and until when.

use clap::{Args, Subcommand, ValueEnum};
use claviger_client::api::wire::{ApprovalRule, Conditions, GrantKind, GrantScope, NewGrant, Reach, Role};
use claviger_client::api::{GrantId, UserName};

use crate::commands::around::Around;
use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Grant {
    /// Grant a role to somebody else
    Add(Box<Add>),
    /// List the grants you may see
    List {
        /// Only those of this user or service account
        #[arg(long, value_name = "NAME")]
        principal: Option<UserName>,
    },
    /// Show one grant
    Show {
        /// gr_…
        id: GrantId,
    },
    /// Give a grant a new end
    Renew {
        /// gr_…
        id: GrantId,
        /// How long from now, at most 400d
        #[arg(long = "for", value_name = "DURATION")]
        life: Seconds,
    },
    /// End a grant at once
    Remove {
        /// gr_…
        id: GrantId,
    },
}

#[derive(Args)]
pub struct Add {
    /// The user or service account
    principal: UserName,
    /// What for
    #[arg(long, value_enum)]
    role: RoleWord,
    /// '*' (everywhere), a customer, customer/system or customer/system/account
    #[arg(long)]
    scope: GrantScope,
    /// How long the grant lasts, at most 400d; there is none without an end
    #[arg(long = "for", value_name = "DURATION")]
    life: Seconds,
    /// Let the principal grant the role to others, instead of using it
    #[arg(long)]
    may_grant: bool,
    /// Let a program act at more than one customer by this grant
    #[arg(long)]
    spans_customers: bool,
    /// The longest checkout under this grant; 8h by default, at most 30d
    #[arg(long, value_name = "DURATION")]
    max_checkout: Option<Seconds>,
    #[command(flatten)]
    conditions: Circumstances,
}

/// Under which circumstances the grant gives anything. All that are given must be met.
#[derive(Args)]
pub struct Circumstances {
    /// Only this verb of the role, e.g. checkout.create; repeat for more
    #[arg(long, value_name = "ACTION")]
    action: Vec<String>,
    /// A checkout needs the yes of so many others, 1 to 3
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    approvals: Option<u8>,
    /// One of those who say yes is the customer's own user
    #[arg(long, requires = "approvals")]
    by_customer: bool,
    /// What was approved and given back early may be had again up to its end, without asking anew
    #[arg(long, requires = "approvals")]
    reuse_approval: bool,
    #[command(flatten)]
    around: Around,
    /// At most so many reveals in any hour, 1 to 1000
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    reveals_per_hour: Option<u32>,
    /// Reach sensitive accounts (programs need it said), or those of tier 0, too; a grant for one account reaches it anyway
    #[arg(long, value_enum, value_name = "WHICH")]
    reaches: Option<ReachWord>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ReachWord {
    /// A program is shown the secrets of sensitive accounts
    Sensitive,
    /// Accounts of tier 0, too
    TierZero,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleWord {
    /// Runs the vault; reveals nothing
    Administrator,
    /// Checks out, reveals, checks in
    Technician,
    /// A program that checks out, reveals and rotates
    Automation,
    /// Reads everything that happened; reveals nothing
    Auditor,
    /// The customer's own auditor
    CustomerAuditor,
    /// Says yes or no to what others ask for
    Approver,
    /// The customer's own administrator: its users and its limits
    CustomerAdministrator,
    /// Asks for emergency access, and agrees to another's
    BreakGlass,
}

impl Grant {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Add(add) => output.one(&client.grants().add(&add.new_grant()).await?),
            Self::List { principal } => output.many(&client.grants().list(principal.as_ref()).all().await?),
            Self::Show { id } => output.one(&client.grants().show(id).await?),
            Self::Renew { id, life } => output.one(&client.grants().renew(id, life.get()).await?),
            Self::Remove { id } => {
                client.grants().remove(id).await?;
                output.done(&format!("removed {id}"))
            }
        }
    }
}

impl Add {
    fn new_grant(self) -> NewGrant {
        NewGrant {
            principal: self.principal,
            kind: if self.may_grant { GrantKind::MayGrant } else { GrantKind::MayUse },
            role: self.role.wire(),
            scope: self.scope,
            ttl_seconds: self.life.get(),
            max_checkout_seconds: self.max_checkout.map(Seconds::get),
            conditions: self.conditions.wire(),
            spans_customers: self.spans_customers,
        }
    }
}

impl Circumstances {
    /// As conditions.
    pub fn wire(self) -> Conditions {
        let (by_customer, reuse) = (self.by_customer, self.reuse_approval);
        Conditions {
            actions: self.action,
            approvals: self.approvals.map(|count| ApprovalRule { count, by_customer, reuse }),
            reveals_per_hour: self.reveals_per_hour,
            reaches: self.reaches.map(|reach| match reach {
                ReachWord::Sensitive => Reach::Sensitive,
                ReachWord::TierZero => Reach::TierZero,
            }),
            ..self.around.wire()
        }
    }
}

impl RoleWord {
    /// The role.
    pub fn wire(self) -> Role {
        match self {
            Self::Administrator => Role::Administrator,
            Self::Technician => Role::Technician,
            Self::Automation => Role::Automation,
            Self::Auditor => Role::Auditor,
            Self::CustomerAuditor => Role::CustomerAuditor,
            Self::Approver => Role::Approver,
            Self::CustomerAdministrator => Role::CustomerAdministrator,
            Self::BreakGlass => Role::BreakGlass,
        }
    }
}
