//! `claviger service-account`: programs.

use clap::Subcommand;
use claviger_client::api::UserName;
use claviger_client::api::wire::{NewServiceAccount, ReplaceToken};

use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::progress::note;

#[derive(Subcommand)]
pub enum ServiceAccount {
    /// Add a program; its token is shown once
    Add {
        /// Its name
        name: UserName,
        /// The life of its token, at most 400d
        #[arg(long = "for", value_name = "DURATION", default_value = "90d")]
        life: Seconds,
    },
    /// List the programs you may see
    List,
    /// Show one program
    Show {
        /// The service account
        name: UserName,
    },
    /// Remove a program; its token stops at once
    Remove {
        /// The service account
        name: UserName,
    },
    /// Stop a program; every session ends at once
    Suspend {
        /// The service account
        name: UserName,
    },
    /// Let a suspended program work again
    Resume {
        /// The service account
        name: UserName,
    },
    /// Issue a new token, shown once; the old one stops at once
    ReplaceToken {
        /// The service account
        name: UserName,
        /// The life of its token, at most 400d
        #[arg(long = "for", value_name = "DURATION", default_value = "90d")]
        life: Seconds,
    },
}

impl ServiceAccount {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let accounts = client.service_accounts();
        let output = context.output;
        match self {
            Self::Add { name, life } => {
                let token = accounts.add(&NewServiceAccount { name, token_ttl_seconds: life.get() }).await?;
                keep_safe();
                output.one(&token)
            }
            Self::List => output.many(&accounts.list().all().await?),
            Self::Show { name } => output.one(&accounts.show(&name).await?),
            Self::Remove { name } => {
                accounts.remove(&name).await?;
                output.done(&format!("removed {name}"))
            }
            Self::Suspend { name } => output.one(&accounts.suspend(&name).await?),
            Self::Resume { name } => output.one(&accounts.resume(&name).await?),
            Self::ReplaceToken { name, life } => {
                let token = accounts.replace_token(&name, &ReplaceToken { token_ttl_seconds: life.get() }).await?;
                keep_safe();
                output.one(&token)
            }
        }
    }
}

fn keep_safe() {
    note("The token is shown once. Put it where the program reads CLAVIGER_TOKEN from.");
}
