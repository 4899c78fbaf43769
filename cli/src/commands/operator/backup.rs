//! `claviger operator backup`: the whole store in a file, on the server's disk.

use std::time::Duration;

use clap::Args;
use claviger_client::Exit;
use claviger_client::api::wire::BackupState;

use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::Progress;

/// The longest that a backup is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(24);

#[derive(Args)]
pub struct Backup {
    /// Take none; list those that are there
    #[arg(long)]
    list: bool,
}

impl Backup {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        if self.list {
            return context.output.many(&client.sys().backups().all().await?);
        }
        let mut progress = Progress::new();
        progress.show("the backup is being taken; it goes on without you");
        let asked = client.sys().take_backup().await?;
        let backup = client.sys().wait_for_backup(asked.id, WAIT_MOST).await?;
        drop(progress);
        context.output.one(&backup)?;
        let what = match backup.state {
            BackupState::Taken => return Ok(()),
            BackupState::Asked => format!("the backup {} is not taken yet", backup.id),
            BackupState::Failed => format!("the backup was not taken: {}", backup.trouble.unwrap_or_default()),
        };
        Err(Failure::Own { exit: Exit::Failed, what, help: Some("the server's log says more".to_owned()) })
    }
}
