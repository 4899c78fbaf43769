//! The escrow stream: each secret is written elsewhere too, before anything depends on it.
//!
//! With one disk, a lost disk loses what was rotated since the last backup. So before a secret is stored, and long before a system is
//! told of it, it is appended to a file on another volume or host, encrypted to `age` recipients, and known to be there; and so is
//! which one an account was seen to open with. What is not there is not stored: the change is refused, and nothing has happened. A
//! restored vault is given what the stream holds (`restore/secrets.rs`) and finds out what opens each account.
//!
//! One thread numbers, encrypts and appends: whoever waits meanwhile shares its flush.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use claviger_api::wire::EscrowStatus;
use claviger_api::{AccountId, AccountPath, CustomerId, Login, Secret, Timestamp};
use claviger_core::secrets::Version;
use claviger_crypto::recipients::Recipient;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::AccountRecord;

pub mod file;

use file::Run;

/// A volume that does not answer for so long has not taken it.
const APPEND_MOST: Duration = Duration::from_secs(10);
/// So many may wait for a volume that does not answer.
const WAITING_MOST: usize = 1024;

/// A place on another volume or host, to which whole lines are appended.
pub trait Elsewhere: Send {
    /// Appends lines, durably. A file that begins with them begins with `head`.
    ///
    /// # Errors
    ///
    /// They may not be there, or only a part of them.
    fn append(&mut self, head: &[u8], lines: &[u8]) -> io::Result<()>;
}

/// The stream.
pub struct Escrow {
    queue: SyncSender<Waiting>,
    state: Arc<Mutex<EscrowStatus>>,
}

/// What is known of a version of an account's secret.
pub struct Entry {
    /// The vault.
    pub vault: Uuid,
    /// The customer.
    pub customer: CustomerId,
    /// The account.
    pub account: AccountId,
    /// What it is called.
    pub path: AccountPath,
    /// What it logs in by: an ephemeral account has another one each time.
    pub login: Login,
    /// When.
    pub at: Timestamp,
    /// Which of its versions.
    pub version: Version,
    /// The secret; `None` for the news that this version opens the account.
    pub secret: Option<Secret>,
}

struct Waiting {
    entries: Vec<Entry>,
    answer: oneshot::Sender<io::Result<()>>,
}

impl Escrow {
    /// A stream for these recipients to this place. `run` tells its entries from those of any other run of a server.
    ///
    /// # Errors
    ///
    /// No thread can be had.
    pub fn begin(recipients: Vec<Recipient>, mut elsewhere: Box<dyn Elsewhere>, run: Uuid) -> io::Result<Arc<Self>> {
        let (queue, waiting) = sync_channel(WAITING_MOST);
        let state: Arc<Mutex<EscrowStatus>> = Arc::default();
        let told = state.clone();
        let run = Run::new(recipients, run);
        std::thread::Builder::new()
            .name(String::from("escrow"))
            .spawn(move || append_all(&waiting, run, elsewhere.as_mut(), &told))?;
        Ok(Arc::new(Self { queue, state }))
    }

    /// What became of the last entries.
    pub fn status(&self) -> EscrowStatus {
        self.state.lock().clone()
    }

    /// Waits until they are there.
    async fn append(&self, entries: Vec<Entry>) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        let slow = || io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        let appended = match self.queue.try_send(Waiting { entries, answer }) {
            Ok(()) => match timeout(APPEND_MOST, answered).await {
                Ok(Ok(appended)) => return appended,
                // The thread has ended.
                Ok(Err(_)) => Err(io::Error::other("nobody appends any more; restart the server")),
                Err(_) => Err(slow()),
            },
            Err(TrySendError::Full(_)) => Err(slow()),
            Err(TrySendError::Disconnected(_)) => Err(io::Error::other("nobody appends any more; restart the server")),
        };
        if let Err(error) = &appended {
            self.state.lock().trouble = Some(error.to_string());
        }
        appended
    }
}

/// Takes what waits, appends it as one, and answers all.
fn append_all(waiting: &Receiver<Waiting>, mut run: Run, elsewhere: &mut dyn Elsewhere, told: &Mutex<EscrowStatus>) {
    while let Ok(first) = waiting.recv() {
        let together: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter()).collect();
        let entries = || together.iter().flat_map(|waiting| &waiting.entries);
        let appended = run.append(entries(), &mut *elsewhere);
        {
            let mut status = told.lock();
            status.trouble = appended.as_ref().err().map(ToString::to_string);
            if appended.is_ok() {
                status.last_at = entries().map(|entry| entry.at).max().max(status.last_at);
            }
        }
        for Waiting { answer, .. } in together {
            let same = appended.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
            // Whoever asked may wait no more.
            let _ = answer.send(same);
        }
    }
}

/// What a change says of an account's secret, for the stream.
pub struct Copied {
    /// The customer.
    pub customer: CustomerId,
    /// The account, as it will be.
    pub account: AccountRecord,
    /// What it logs in by.
    pub login: Login,
    /// Which of its versions.
    pub version: Version,
    /// The secret, or the news that it opens the account.
    pub secret: Option<Secret>,
}

impl Open {
    /// What is to be said of a version, where there is a stream.
    pub(crate) fn copied(
        &self,
        customer: CustomerId,
        account: &AccountRecord,
        login: &Login,
        version: Version,
        secret: Option<&Secret>,
    ) -> Option<Copied> {
        self.ground().escrow.as_ref()?;
        let (account, login, secret) = (account.clone(), login.clone(), secret.map(Secret::duplicate));
        Some(Copied { customer, account, login, version, secret })
    }

    /// Appends what a change brings, before it is committed. News that does not get there holds nothing up: the secret itself is
    /// there already.
    ///
    /// # Errors
    ///
    /// A secret is not known to be there.
    pub(crate) async fn copy_elsewhere(&self, copied: Vec<Copied>) -> Result<()> {
        let Some(escrow) = self.ground().escrow.as_ref() else { return Ok(()) };
        let vault = crate::seal::vault_of(self.sealed()).await?;
        let (mut entries, mut must_be_there) = (Vec::new(), false);
        for Copied { customer, account, login, version, secret } in copied {
            let path = self.path_of(customer, &account).await?;
            must_be_there |= secret.is_some();
            let (account, at) = (account.id, self.now());
            entries.push(Entry { vault, customer, account, path, login, at, version, secret });
        }
        match escrow.append(entries).await {
            Ok(()) => Ok(()),
            Err(error) if must_be_there => {
                tracing::error!(%error, "the escrow stream takes nothing: no secret is stored or rotated");
                let detail = "The escrow stream takes nothing just now, and a secret that is nowhere else is not stored: nothing was \
                              changed. Try again when the operator has mended it.";
                Err(Error::unavailable(detail, format_args!("the escrow stream: {error}")))
            }
            Err(error) => {
                tracing::error!(%error, "the escrow stream was not told which secret opens an account");
                Ok(())
            }
        }
    }
}
