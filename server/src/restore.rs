//! `claviger-server check-backup` and `restore`: what is done with a backup where no vault runs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use claviger_api::Secret;
use claviger_api::secret::SECRET_MAX;
use claviger_service::crypto::recipients::Identities;
use claviger_service::restore::{Proof, Proven, RestoreError, Whole, check, restore};
use claviger_service::{Clock as _, SystemClock};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::private;

/// A backup, with the increments upon it, and who reads it.
pub struct Backup {
    files: Vec<PathBuf>,
    identities: Identities,
}

/// Where the shares of that time, or its passphrase, come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The terminal, without echo.
    Terminal,
    /// Standard input, one a line.
    Stdin,
}

impl Backup {
    /// Its files, and the file of the private keys that they were written for.
    ///
    /// # Errors
    ///
    /// The keys cannot be read, or others may read them.
    pub fn open(files: Vec<PathBuf>, identity: &Path) -> Result<Self> {
        let text = Zeroizing::new(private::read(identity)?);
        let identities = Identities::parse(&text).with_context(|| format!("{} cannot be used", identity.display()))?;
        Ok(Self { files, identities })
    }

    /// Reads it to its end, and says what it is.
    ///
    /// # Errors
    ///
    /// It is not whole, or not for these keys.
    pub fn check(&self, say: &mut impl Write) -> Result<Whole> {
        let whole = self.about(check(self.read()?, &self.identities))?;
        let Whole { head, rows } = &whole;
        writeln!(
            say,
            "{} is whole: the vault {} as it was at {}, {rows} rows (format {}, written by {})",
            self.names(),
            head.name,
            head.moment,
            head.store_format,
            head.program
        )?;
        Ok(whole)
    }

    /// Proves that every row opens and every log is whole.
    ///
    /// # Errors
    ///
    /// Something is not as it should be: it is said before.
    pub async fn prove(&self, keys: Keys, say: &mut impl Write) -> Result<()> {
        let mut proof = self.about(Proof::begin(self.read()?, &self.identities).await)?;
        let keyring = loop {
            let status = proof.status();
            let missing = status.threshold.saturating_sub(status.provided);
            let Some(key) = keys.next(&format!("Share or passphrase, {missing} more"))? else {
                bail!("not proven: {} of {} keys were given", status.provided, status.threshold);
            };
            if let Some(keyring) = self.about(proof.give(&key).await)? {
                break keyring;
            }
        };
        let Proven { rows, entries, logs, customers, faults, more_faults, archives } =
            self.about(proof.hold(self.read()?, &self.identities, &keyring))?;
        for fault in &faults {
            writeln!(say, "{fault}")?;
        }
        if !archives.is_empty() {
            writeln!(say, "archives that belong to it: {}", archives.join(", "))?;
        }
        let wrong = faults.len() as u64 + more_faults;
        if wrong > 0 {
            bail!(
                "{wrong} things in it are not as they should be: take another backup, and find out what has happened to this store"
            );
        }
        writeln!(
            say,
            "proven: {rows} rows of {customers} customers open, and {logs} logs with {entries} entries are whole"
        )?;
        Ok(())
    }

    /// Makes the configuration's store of it.
    ///
    /// # Errors
    ///
    /// The store is not empty, or cannot be written.
    pub async fn restore(&self, whole: &Whole, config: &Config, say: &mut impl Write) -> Result<()> {
        config.check()?;
        if config.name != whole.head.name {
            bail!(
                "this is a backup of the vault {}, and the configuration names {}: tokens and logs are bound to the name, so set \
                 name = \"{}\"",
                whole.head.name,
                config.name,
                whole.head.name
            );
        }
        private::directory(&config.data_directory)?;
        let store = config.store.open(&config.data_directory).await?;
        self.about(restore(self.read()?, &self.identities, whole, &store, SystemClock::default().now()).await)?;
        writeln!(
            say,
            "restored. Start the server and unseal it with the shares, or the passphrase, of that time. It acts on no system \
             before 'claviger operator restore compare' and 'claviger operator restore resume'."
        )?;
        Ok(())
    }

    fn read(&self) -> Result<Vec<BufReader<File>>> {
        let read = |file: &PathBuf| {
            let opened = File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
            Ok(BufReader::new(opened))
        };
        self.files.iter().map(read).collect()
    }

    fn names(&self) -> String {
        self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    fn about<T>(&self, done: std::result::Result<T, RestoreError>) -> Result<T> {
        done.with_context(|| self.names())
    }
}

impl Keys {
    /// The next one; nothing at the end of standard input.
    fn next(self, prompt: &str) -> Result<Option<Secret>> {
        let mut text = match self {
            Self::Terminal if !std::io::stdin().is_terminal() => {
                bail!("there is no terminal to ask for shares: give them on standard input, one a line, with --stdin")
            }
            Self::Terminal => Zeroizing::new(rpassword::prompt_password(format!("{prompt}: "))?),
            Self::Stdin => {
                let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX + 2));
                if std::io::stdin().lock().read_line(&mut text)? == 0 {
                    return Ok(None);
                }
                let length = text.trim_end_matches(['\r', '\n']).len();
                text.truncate(length);
                text
            }
        };
        let secret = Secret::new(std::mem::take(&mut *text));
        secret.map(Some).map_err(|error| anyhow::anyhow!("the share or passphrase: {error}"))
    }
}
