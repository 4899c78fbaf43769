//! `claviger operator rekey`: what opens the vault is changed when enough holders of the old keys have given them, and enough of
//! the new ones have come back.

use clap::{Args, Subcommand};
use claviger_client::api::RekeyId;
use claviger_client::api::wire::{KeysGiven, Rekey as Status, RekeyKey};

use super::SealWith;
use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;

#[derive(Subcommand)]
pub enum Rekey {
    /// Make what shall open the vault; new shares are shown and never again, and open nothing before the rekey is done
    Begin(Begin),
    /// Give keys, old or new, in any order: whoever holds one does it where they are
    Give(Give),
    /// How far it is
    Status,
    /// Leave what opens the vault as it is
    Cancel,
}

#[derive(Args)]
pub struct Begin {
    #[command(flatten)]
    seal: SealWith,
    /// Have the HSM make another key for it, beside the one that it has
    #[arg(long, requires = "pkcs11")]
    new_hsm_key: bool,
}

#[derive(Args)]
pub struct Give {
    /// Which rekey, as its beginning has said
    rekey: RekeyId,
    /// Read shares, or passphrases, from standard input, one a line
    #[arg(long)]
    stdin: bool,
}

impl Rekey {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Begin(begin) => begin.run(context).await,
            Self::Give(give) => give.run(context).await,
            Self::Status => context.output.one(&context.client()?.sys().rekey().await?),
            Self::Cancel => {
                context.client()?.sys().cancel_rekey().await?;
                context.output.done("what opens the vault stays as it was; the new keys are good for nothing")
            }
        }
    }
}

impl Begin {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let begun = context.client()?.sys().begin_rekey(&self.seal.wire(self.new_hsm_key)?).await?;
        if !begun.shares.is_empty() {
            note("WRITE THIS DOWN NOW: it is shown once. Give each share to another person.");
        }
        context.output.one(&begun)?;
        note(&format!(
            "Until it is done the old keys open the vault, and these do not. Next, within the hour: claviger operator rekey give {}",
            begun.rekey.id
        ));
        Ok(())
    }
}

impl Give {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, input) = (context.anonymous()?, Input::from_stdin(self.stdin));
        let mut status: Option<Status> = None;
        while !status.as_ref().is_some_and(|status| status.done) {
            let prompt = status.as_ref().map_or_else(|| "Old or new share, or passphrase".to_owned(), prompt);
            let Some(key) = input.next(&prompt)? else { break };
            status = Some(client.sys().give_rekey_key(&RekeyKey { rekey: self.rekey, key: key.disclose() }).await?);
        }
        let Some(status) = status else {
            return Err(Failure::usage("no key was given".to_owned(), "type or pipe a share, or the passphrase"));
        };
        context.output.one(&status)?;
        if status.done {
            note("Done: from now on the new keys open the vault. Destroy the old ones.");
        } else {
            note(&format!("Not done yet: {}.", prompt(&status)));
        }
        Ok(())
    }
}

/// What is still to be given.
fn prompt(status: &Status) -> String {
    let open = |what: &str, given: KeysGiven| {
        let missing = given.needed.saturating_sub(given.given);
        (missing > 0).then(|| format!("{missing} more of the {what}"))
    };
    let waiting: Vec<String> =
        [open("old keys", status.old), open("new keys", status.new)].into_iter().flatten().collect();
    waiting.join(", and ")
}
