//! `claviger grant`: who may do what, where, and until when.

use clap::{Args, Subcommand, ValueEnum};
use claviger_client::api::wire::{GrantKind, GrantScope, NewGrant, Role};
use claviger_client::api::{GrantId, UserName};

use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Grant {
    /// Grant a role to somebody else
    Add(Add),
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
    /// The longest checkout under this grant; 8h by default, at most 30d
    #[arg(long, value_name = "DURATION")]
    max_checkout: Option<Seconds>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleWord {
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
}

impl Grant {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let output = context.output;
        match self {
            Self::Add(add) => output.one(&client.grants().add(&add.new_grant()).await?),
            Self::List { principal } => output.many(&client.grants().list(principal.as_ref()).all().await?),
            Self::Show { id } => output.one(&client.grants().show(id).await?),
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
        }
    }
}

impl RoleWord {
    fn wire(self) -> Role {
        match self {
            Self::Administrator => Role::Administrator,
            Self::Technician => Role::Technician,
            Self::Automation => Role::Automation,
            Self::Auditor => Role::Auditor,
            Self::CustomerAuditor => Role::CustomerAuditor,
        }
    }
}
