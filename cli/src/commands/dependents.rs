//! `claviger dependents`: who depends on an account's secret, and is told of a new one or given a copy.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use claviger_client::api::wire::{Dependent, Dependents as View, FileMode, FilePath, HttpsUrl, SkipDependent};
use claviger_client::api::{AccountPath, Login, Part};

use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::note;

#[derive(Subcommand)]
pub enum Dependents {
    /// Show who depends on an account's secret, and how far they are with the present one
    Show {
        /// customer/system/account
        path: AccountPath,
    },
    /// Add one at the end: after each rotation it is brought up to date once those before it are
    Add(Add),
    /// Take one away; what it has it keeps
    Remove {
        /// customer/system/account
        path: AccountPath,
        /// Which, as 'show' counts them
        number: u32,
    },
    /// Try those who are behind now; bring all up to date anew, where nobody is
    Update {
        /// customer/system/account
        path: AccountPath,
    },
    /// Pass one over that waits, so that those behind it have their turn; it may keep an old secret
    Skip {
        /// customer/system/account
        path: AccountPath,
        /// Which, as 'show' counts them
        number: u32,
        /// Why; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Args)]
pub struct Add {
    /// customer/system/account
    path: AccountPath,
    #[command(flatten)]
    what: What,
    /// Webhooks: the CA of its certificate, a PEM file; the machine's own when absent
    #[arg(long, value_name = "FILE", requires = "webhook")]
    ca: Option<PathBuf>,
    /// Files: the user whose it is
    #[arg(long, value_name = "USER", default_value = "root")]
    owner: Login,
    /// Files: the group whose it is
    #[arg(long, value_name = "GROUP", default_value = "root")]
    group: Login,
    /// Files: who may read and write it: 0400, 0440, 0600, 0640 or 0660
    #[arg(long, value_name = "MODE", default_value = "0600")]
    mode: FileMode,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// It is told by a signed POST, without the secret, and fetches that itself
    #[arg(long, value_name = "URL")]
    webhook: Option<HttpsUrl>,
    /// A file on a Linux host of the same customer holds a copy, and nothing else
    #[arg(long, value_name = "SYSTEM:/PATH", value_parser = place)]
    file: Option<(Part, FilePath)>,
}

fn place(text: &str) -> Result<(Part, FilePath), String> {
    let (system, path) = text.split_once(':').ok_or("a system and a path, e.g. web01:/etc/app/db.secret")?;
    let system = system.parse().map_err(|error| format!("{error}"))?;
    Ok((system, path.parse().map_err(|error| format!("{error}"))?))
}

impl Dependents {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let accounts = client.accounts();
        let view = match self {
            Self::Show { path } => accounts.dependents(&path).await?,
            Self::Add(add) => {
                let mut all = list(accounts.dependents(&add.path).await?);
                let path = add.path.clone();
                all.push(add.dependent()?);
                accounts.set_dependents(&path, all).await?
            }
            Self::Remove { path, number } => {
                let mut all = list(accounts.dependents(&path).await?);
                let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                let Some(at) = at.filter(|at| *at < all.len()) else {
                    let help = format!("claviger dependents show {path}");
                    return Err(Failure::usage(format!("{path} has no dependent {number}"), &help));
                };
                all.remove(at);
                accounts.set_dependents(&path, all).await?
            }
            Self::Update { path } => accounts.update_dependents(&path).await?,
            Self::Skip { path, number, reason } => {
                accounts.skip_dependent(&path, &SkipDependent { number, reason }).await?
            }
        };
        show(context, &view)
    }
}

/// A row a dependent; what is in the way beside it.
fn show(context: &Context, view: &View) -> Result<(), Failure> {
    if context.output.format == Format::Json {
        return context.output.one(view);
    }
    if view.dependents.is_empty() {
        return context.output.done(&format!("nobody depends on {}", view.account));
    }
    context.output.many(&view.dependents)?;
    if let Some(key) = &view.webhook_key {
        note(&format!("webhooks are signed by {key}"));
    }
    if let (Some(trouble), Some(next)) = (&view.trouble, view.next_at) {
        note(&format!("tried {} times, next at {next}: {trouble}", view.failures));
    }
    Ok(())
}

fn list(view: View) -> Vec<Dependent> {
    view.dependents.into_iter().map(|step| step.dependent).collect()
}

impl Add {
    fn dependent(self) -> Result<Dependent, Failure> {
        let What { webhook, file } = self.what;
        if let Some((system, path)) = file {
            let Self { owner, group, mode, .. } = self;
            return Ok(Dependent::File { system, path, owner, group, mode });
        }
        let url =
            webhook.ok_or_else(|| Failure::usage("nothing is named", "add --webhook URL or --file SYSTEM:/PATH"))?;
        let read = |file: PathBuf| {
            let unreadable =
                |error| Failure::usage(format!("{} cannot be read: {error}", file.display()), "name a PEM file");
            std::fs::read_to_string(&file).map_err(unreadable)
        };
        Ok(Dependent::Webhook { url, ca_certificate: self.ca.map(read).transpose()? })
    }
}
