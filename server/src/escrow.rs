//! The escrow stream: the directory on another volume that it is written to, and `claviger-server open-escrow`, which reads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use claviger_api::AccountPath;
use claviger_api::wire::RecoverSecret;
use claviger_service::Clock;
use claviger_service::clock::new_uuid;
use claviger_service::crypto::Random;
use claviger_service::crypto::recipients::{Identities, Recipient};
use claviger_service::escrow::file::{Files, Opened};
use claviger_service::escrow::{Elsewhere, Escrow};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::backups::recipients;
use crate::private::{self, PrivateError};

/// How a file's name ends.
const SUFFIX: &str = "escrow";

/// The stream, as the configuration writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscrowSettings {
    /// Where it goes: a directory of the server's alone, on another volume than the store's.
    pub directory: PathBuf,
    /// For whom it is: age public keys (`age1…`).
    #[serde(deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEscrow {
    /// It goes with the store.
    #[error("directory is within the data directory, and would be lost with the store: name one on another volume")]
    WithTheStore,
    /// It is for nobody.
    #[error("recipients is empty: name the age public key (age1…) of somebody who keeps its private key elsewhere")]
    ForNobody,
}

impl EscrowSettings {
    /// Says what is wrong with it.
    pub fn check(&self, data_directory: &Path) -> Result<(), BadEscrow> {
        if self.directory.starts_with(data_directory) {
            return Err(BadEscrow::WithTheStore);
        }
        if self.recipients.is_empty() { Err(BadEscrow::ForNobody) } else { Ok(()) }
    }

    /// Looks at the directory, where it is there.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), PrivateError> {
        private::closed_or_made_later(&self.directory, notes)
    }

    /// The stream. `store` is the directory of the store, where it is one: the stream may not lie on the same volume.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, or a lost disk would take it along.
    pub fn begin(
        &self,
        store: Option<&Path>,
        clock: &Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Result<Arc<Escrow>, PrivateError> {
        let (path, store, clock) = (self.directory.clone(), store.map(Path::to_owned), clock.clone());
        let run = new_uuid(clock.now(), random);
        let directory = Directory { path, store, clock, file: None };
        private::directory(&self.directory)?;
        let about = |source| PrivateError::Io { path: self.directory.clone(), source };
        directory.is_elsewhere().map_err(about)?;
        Escrow::begin(self.recipients.clone(), Box::new(directory), run).map_err(about)
    }
}

/// A directory of the server's alone, with a file for each day of each node.
struct Directory {
    path: PathBuf,
    store: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    file: Option<Day>,
}

struct Day {
    name: String,
    file: File,
}

impl Directory {
    /// What was a volume of its own may be an empty directory by now: nobody has mounted it.
    fn is_elsewhere(&self) -> io::Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        if fs::metadata(&self.path)?.dev() == fs::metadata(store)?.dev() {
            return Err(io::Error::other(format!(
                "it is on the same volume as {}, and would be lost with it: mount another one there",
                store.display()
            )));
        }
        Ok(())
    }

    /// A file that nobody has written to: what a failure left half-written is at the end of another one.
    fn begin(&self, day: &str, head: &[u8]) -> io::Result<Day> {
        private::directory(&self.path).map_err(io::Error::other)?;
        self.is_elsewhere()?;
        let mut number = 1;
        let (name, mut file) = loop {
            let name = format!("{day}-{number}.{SUFFIX}");
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path.join(&name)) {
                Ok(file) => break (name, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        file.write_all(head)?;
        File::open(&self.path)?.sync_all()?;
        Ok(Day { name, file })
    }
}

impl Elsewhere for Directory {
    fn append(&mut self, head: &[u8], lines: &[u8]) -> io::Result<()> {
        let day = self.clock.now().strftime("%Y-%m-%d").to_string();
        // One that was deleted, or lies on a volume that went away, is written no more.
        let last = self.file.take().filter(|last| last.name.starts_with(&day) && self.path.join(&last.name).exists());
        let mut last = match last {
            Some(last) => last,
            None => self.begin(&day, head)?,
        };
        last.file.write_all(lines)?;
        last.file.sync_data()?;
        self.file = Some(last);
        Ok(())
    }
}

/// Reads files of a stream and writes what they hold, in clear, a JSON object a line: what `claviger operator restore add-secrets`
/// takes. Each account's are in the order of their versions.
///
/// # Errors
///
/// A file cannot be read, or not all of it: what opens is written all the same.
pub fn open(files: &[PathBuf], identity: &Path, only: Option<&AccountPath>) -> Result<()> {
    let output = io::stdout();
    if only.is_none() && output.is_terminal() {
        bail!(
            "this would show every secret on the terminal: pipe it into 'claviger operator restore add-secrets -', or name one --account"
        );
    }
    let text = Zeroizing::new(private::read(identity)?);
    let identities = Identities::parse(&text).with_context(|| format!("{} cannot be used", identity.display()))?;
    let (mut reading, mut entries) = (Files::default(), Vec::new());
    for path in files {
        let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let keep = |entry: Opened| {
            entries.push(entry);
            Ok(())
        };
        let name = path.display().to_string();
        reading.read(&name, BufReader::new(file), &identities, keep).with_context(|| name.clone())?;
    }
    let summary = reading.finish();
    write(entries, only, &mut BufWriter::new(output.lock()))?;
    if let Some((from, to)) = summary.from_to {
        eprintln!("{} entries from {from} to {to}", summary.entries);
    }
    for fault in &summary.faults {
        eprintln!("{fault}");
    }
    if summary.vaults.len() > 1 {
        bail!("these files are of {} different vaults: give those of one", summary.vaults.len());
    }
    match summary.faults.len() {
        0 => Ok(()),
        faults => bail!("{faults} things in it are not as they should be; what opens was written"),
    }
}

fn write(mut entries: Vec<Opened>, only: Option<&AccountPath>, to: &mut impl Write) -> Result<()> {
    entries.retain(|entry| only.is_none_or(|path| entry.path == *path));
    let opens: Vec<_> = entries
        .iter()
        .filter(|entry| entry.secret.is_none())
        .map(|entry| (entry.customer, entry.account, entry.version))
        .collect();
    entries.sort_by_key(|entry| (entry.customer, entry.account, entry.version, entry.at));
    for entry in entries {
        let Opened { customer, account, path, login, version, at, secret, .. } = entry;
        let Some(secret) = secret else { continue };
        let opened = opens.contains(&(customer, account, version));
        let secret = secret.disclose();
        let line = RecoverSecret { customer, account, path, login, version, at, opened, secret };
        serde_json::to_writer(&mut *to, &line)?;
        to.write_all(b"\n")?;
    }
    to.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use claviger_service::SystemClock;
    use tempfile::{TempDir, tempdir, tempdir_in};

    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn directory(path: &Path, store: &TempDir) -> Directory {
        let clock = Arc::new(SystemClock::default());
        Directory { path: path.to_owned(), store: Some(store.path().to_owned()), clock, file: None }
    }

    #[test]
    fn it_goes_elsewhere_and_is_for_somebody() {
        let checked = |directory: &str, recipients: &str| {
            let text = format!("directory = '{directory}'\nrecipients = [{recipients}]");
            toml::from_str::<EscrowSettings>(&text).unwrap().check(Path::new("/var/lib/claviger"))
        };
        let key = format!("'{KEY}'");
        assert_eq!(checked("/mnt/escrow", &key), Ok(()));
        assert_eq!(checked("/var/lib/claviger/escrow", &key), Err(BadEscrow::WithTheStore));
        assert_eq!(checked("/mnt/escrow", ""), Err(BadEscrow::ForNobody));
    }

    #[test]
    fn a_volume_that_went_away_is_written_no_more() {
        let (store, volume) = (tempdir().unwrap(), tempdir_in("/dev/shm").unwrap());
        let place = volume.path().join("escrow");
        let mut elsewhere = directory(&place, &store);
        for line in ["one\n", "two\n"] {
            elsewhere.append(b"head\n", line.as_bytes()).unwrap();
        }
        let only = fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read_to_string(&only).unwrap(), "head\none\ntwo\n");

        // Mounted again, and empty: what is appended is where it can be found, and begins with its head.
        fs::remove_dir_all(&place).unwrap();
        elsewhere.append(b"head\n", b"three\n").unwrap();
        let again = fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read_to_string(again).unwrap(), "head\nthree\n");

        // Not mounted: the empty directory is on the store's own disk.
        let bare = store.path().join("bare");
        let refused = directory(&bare, &store).append(b"head\n", b"four\n").unwrap_err().to_string();
        assert!(refused.contains("same volume") && refused.contains("mount another"), "{refused}");
        assert_eq!(fs::read_dir(&bare).unwrap().count(), 0, "nothing is written there");
    }
}
