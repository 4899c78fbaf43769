//! `claviger task`: what people are asked to do by hand on systems that no program reaches.

use std::io::{IsTerminal as _, stdout};

use clap::{Args, Subcommand};
use claviger_client::api::wire::TaskQuery;
use claviger_client::api::{Part, RotationId};

use super::checkout::{Destination, Display, lend_clipboard, listen};
use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;
use crate::receipts;

#[derive(Subcommand)]
pub enum Task {
    /// List what people are asked to do at a customer
    List(List),
    /// Show the secret that is to be set on the system; that you have seen it is in the customer's audit log
    Reveal {
        /// ro_…
        id: RotationId,
        #[command(flatten)]
        display: Display,
    },
    /// Say that the secret is set on the system
    Confirm {
        /// ro_…
        id: RotationId,
    },
    /// Tell another secret that you have set on the system instead
    Set {
        /// ro_…
        id: RotationId,
        /// Read the secret from standard input
        #[arg(long)]
        stdin: bool,
    },
    /// Say that the system does not take the secret: another one is made
    Refuse {
        /// ro_…
        id: RotationId,
        /// What the system said
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Args)]
pub struct List {
    /// The customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Part,
    /// Only what is overdue
    #[arg(long)]
    overdue: bool,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
}

impl Task {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, output) = (context.client()?, context.output);
        let tasks = client.tasks();
        match self {
            Self::List(List { customer, overdue, limit }) => {
                let query = TaskQuery { customer: customer.to_string(), overdue, ..TaskQuery::default() };
                output.many(&tasks.list(query).first(limit).await?)
            }
            Self::Reveal { id, display } => {
                let destination = display.destination(stdout().is_terminal())?;
                if destination == Destination::Nowhere {
                    return Err(Failure::usage("the secret goes into a pipe only when you say so", "add --show"));
                }
                let mut signals = listen()?;
                let mut shown = tasks.reveal(id).await?;
                receipts::keep(context, &shown.task.account, None, &mut shown.receipt);
                if destination == Destination::Screen {
                    return output.one(&shown);
                }
                let task = &shown.task;
                note(&format!(
                    "{}: set it for {} at {}; then: claviger task confirm {id}",
                    task.account, task.login, task.address
                ));
                lend_clipboard(&shown.secret.into_secret(), &mut signals).await
            }
            Self::Confirm { id } => output.one(&tasks.confirm(id).await?),
            Self::Set { id, stdin } => {
                let secret = Input::from_stdin(stdin).account_secret("Secret that you have set")?;
                output.one(&tasks.set(id, secret).await?)
            }
            Self::Refuse { id, reason } => output.one(&tasks.refuse(id, &reason).await?),
        }
    }
}
