//! A backup on its way: rows are read here, and encrypted and written on a thread of their own, a few pages behind.

use std::io::{self, Write};
use std::sync::Arc;

use claviger_api::{BackupId, Timestamp};
use claviger_crypto::recipients::Writing;
use claviger_store::{FORMAT, Row, StoreKey};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::Backups;
use super::file::{Ended, Head, Upon, Writer};
use super::index::{Index, Pieces};
use super::name::Names;
use crate::error::{Error, Result};
use crate::scrub::{Pages, Run};
use crate::shelf::NewFile;

/// Pages that are read and not written yet.
const AHEAD: usize = 4;

/// A backup that is whole and on its disk.
pub(super) struct Written {
    pub moment: Timestamp,
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    /// The file that it goes upon.
    pub upon: Option<String>,
    /// What an increment upon it needs.
    pub base: Base,
}

/// A backup that an increment may go upon.
#[derive(Clone)]
pub(super) struct Base {
    /// Its file and those that it goes upon, the whole one first.
    pub files: Vec<String>,
    upon: Upon,
    index: Arc<Index>,
}

impl Base {
    /// Its own file.
    pub fn file(&self) -> Option<&String> {
        self.files.last()
    }
}

/// Rows for the thread that writes.
enum Next {
    Rows(Vec<(StoreKey, Row)>),
    End,
}

/// Writes a backup of the present moment: whole, or what has changed since another.
pub(super) async fn write(
    run: &Run<'_>,
    backups: &Backups,
    names: &Names,
    id: BackupId,
    base: Option<Base>,
) -> Result<Written> {
    let open = run.open()?;
    let (moment, view) = (open.now(), open.ground().store.view().await?);
    let head = Head {
        vault: run.vault().vault_id().await?,
        name: open.ground().settings.name.clone(),
        moment,
        store_format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        upon: base.as_ref().map(|base| base.upon.clone()),
    };
    drop(open);
    let file = names.name(moment, id, base.is_some());
    let (shelf, recipients, name) = (backups.shelf.clone(), backups.recipients.clone(), file.clone());
    let (pages, waiting) = mpsc::channel(AHEAD);
    let index = base.as_ref().map(|base| base.index.clone());
    let thread = tokio::task::spawn_blocking(move || {
        let file = Measured { file: shelf.begin(&name)?, bytes: 0, hash: Sha256::new() };
        let writer = Writer::begin(Writing::begin(&recipients, file)?, &head)?;
        all(Pieces::begin(writer, index.as_deref()), waiting)
    });
    let mut rows = Pages::of(view.as_ref());
    while let Some(page) = rows.next(run).await? {
        // A thread that has failed takes no more, and says why below.
        if pages.send(Next::Rows(page)).await.is_err() {
            break;
        }
    }
    drop(view);
    let _ = pages.send(Next::End).await;
    let All { ended, bytes, sha256, index } = thread.await.map_err(Error::internal)?.map_err(super::on_shelf)?;
    let upon = base.as_ref().and_then(Base::file).cloned();
    let mut files = base.map(|base| base.files).unwrap_or_default();
    files.push(file.clone());
    let base = Base { files, upon: Upon { moment, digest: ended.digest }, index: Arc::new(index) };
    Ok(Written { moment, file, rows: ended.rows, bytes, sha256, upon, base })
}

/// What all rows came to.
struct All {
    ended: Ended,
    bytes: u64,
    sha256: String,
    index: Index,
}

/// All rows, up to the end, and then the file is kept. Without an end it is dropped, and with it the file.
fn all(mut pieces: Pieces<'_, Writing<Measured>>, mut waiting: mpsc::Receiver<Next>) -> io::Result<All> {
    loop {
        match waiting.blocking_recv() {
            Some(Next::Rows(rows)) => {
                for (key, row) in rows {
                    pieces.row(key, row)?;
                }
            }
            Some(Next::End) => break,
            None => return Err(io::Error::other("the rows could not be read to their end")),
        }
    }
    let (ended, sealed, index) = pieces.finish()?;
    let Measured { file, bytes, hash } = sealed.finish()?;
    file.keep()?;
    Ok(All { ended, bytes, sha256: hex::encode(hash.finalize()), index })
}

/// A file, with how long it is and its hash.
struct Measured {
    file: Box<dyn NewFile>,
    bytes: u64,
    hash: Sha256,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
