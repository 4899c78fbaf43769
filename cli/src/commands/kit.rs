//! `claviger kit`: what opens a customer's systems when there is no vault any more.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use claviger_client::api::wire::{KitState, WithReason};
use claviger_client::api::{KitId, Part};
use claviger_client::{Exit, Export};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::{Progress, note};

/// The longest that a kit is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(1);

#[derive(Subcommand)]
pub enum Kit {
    /// Have an emergency kit of a customer made, for the recipients of the customer and of the MSP
    Create {
        /// The customer
        customer: Part,
    },
    /// List a customer's kits
    List {
        /// The customer
        customer: Part,
    },
    /// Show one, with who opens it
    Show {
        /// The customer
        customer: Part,
        /// ki_…
        id: KitId,
    },
    /// Get the encrypted file of a kit, to be kept where the vault is not
    Download {
        /// The customer
        customer: Part,
        /// ki_…
        id: KitId,
        /// The file, which must not exist yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Say that a kit was opened: every secret of the customer is replaced
    Opened {
        /// The customer
        customer: Part,
        /// ki_…
        id: KitId,
        /// Why; it is in both audit logs
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

impl Kit {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let kits = client.kits();
        match self {
            Self::Create { customer } => {
                let mut progress = Progress::new();
                progress.show("the kit is being made; it goes on without you");
                let asked = kits.create(&customer).await?;
                let kit = kits.wait_for(&customer, asked.id, WAIT_MOST).await?;
                drop(progress);
                context.output.one(&kit)?;
                let what = match kit.state {
                    KitState::Made | KitState::Unknown => return Ok(()),
                    KitState::Asked => format!("the kit {} is not made yet", kit.id),
                    KitState::Failed => format!("the kit was not made: {}", kit.trouble.unwrap_or_default()),
                };
                let help = format!("claviger kit show {customer} {}", kit.id);
                Err(Failure::Own { exit: Exit::Failed, what, help: Some(help) })
            }
            Self::List { customer } => context.output.many(&kits.list(&customer).all().await?),
            Self::Show { customer, id } => context.output.one(&kits.show(&customer, id).await?),
            Self::Download { customer, id, to } => {
                let kit = kits.show(&customer, id).await?;
                let mut file = kits.file(&customer, id).await?;
                let bytes = write_checked(&mut file, &to, kit.sha256.as_deref().unwrap_or_default()).await?;
                let done = format!(
                    "wrote {bytes} bytes; README.txt in it says how it is opened: tar -xOf {} README.txt",
                    to.display()
                );
                context.output.done(&done)
            }
            Self::Opened { customer, id, reason } => {
                let kit = kits.opened(&customer, id, &WithReason { reason }).await?;
                if let Some(opened) = &kit.opened {
                    note(&format!(
                        "every secret is being replaced: claviger emergency show {customer} {}",
                        opened.emergency
                    ));
                }
                context.output.one(&kit)
            }
        }
    }
}

/// Writes a file whole or not at all: what has another SHA-256 than this is not kept.
pub(super) async fn write_checked(export: &mut Export, to: &Path, sha256: &str) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{} cannot be written: {error}", to.display()));
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?; // mode 0600
    let (mut written, mut hash) = (0, Sha256::new());
    while let Some(bytes) = export.chunk().await? {
        file.write_all(&bytes).map_err(failed)?;
        hash.update(&bytes);
        written += bytes.len() as u64;
    }
    let found = hex::encode(hash.finalize());
    if found != sha256 {
        return Err(Failure::failed(format!(
            "what came has the SHA-256 {found}, and not {sha256}: nothing was written"
        )));
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(to).map_err(|error| failed(error.error))?;
    Ok(written)
}
