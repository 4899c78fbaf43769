//! Emergency kits, as the configuration has them, and `claviger-server combine-kit`, which puts the shares of one together where
//! there is no vault any more.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use claviger_api::secret::SECRET_MAX;
use claviger_api::{KitId, Secret};
use claviger_service::crypto::kit::KitShares;
use claviger_service::crypto::recipients::Recipient;
use claviger_service::kit::Kits;
use jiff::SignedDuration;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::backups::recipients;
use crate::private::{self, PrivateError};
use crate::shelf::Directory;

/// Another kit of a customer is made when the last is as old.
const EVERY_HOURS: u32 = 24;
/// So many of each customer are kept.
const KEEP: u32 = 7;
/// The most recipients of the MSP's own: with the customer's they are at most 255, as there are no more shares.
const RECIPIENTS_MOST: usize = 64;

/// Kits, as the configuration writes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitSettings {
    /// Where they go: a directory of the server's alone, on another disk than the store's.
    pub directory: PathBuf,
    /// Who of the MSP's people holds a share: age public keys (`age1…`). The customer names its own.
    #[serde(default, deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
    /// How old the last of a customer may be before another is made, where no secret has changed since; 0 for never.
    #[serde(default = "every_hours")]
    pub every_hours: u32,
    /// How many of each customer are kept.
    #[serde(default = "keep")]
    pub keep: u32,
}

/// What is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKits {
    /// They go with the store.
    #[error("directory is within the data directory, and would be lost with the store: name one on another disk")]
    WithTheStore,
    /// The last one would go.
    #[error("keep is 1 or more")]
    KeepNone,
    /// There are more than can be.
    #[error("recipients names more than {RECIPIENTS_MOST}")]
    TooMany,
    /// One of them would hold two shares.
    #[error("recipients names the same key twice: whoever has it would hold two shares")]
    Twice,
}

impl KitSettings {
    /// Says what is wrong with them.
    pub fn check(&self, data_directory: &Path) -> Result<(), BadKits> {
        if self.directory.starts_with(data_directory) {
            return Err(BadKits::WithTheStore);
        }
        if self.recipients.len() > RECIPIENTS_MOST {
            return Err(BadKits::TooMany);
        }
        let again = |(at, key): (usize, &Recipient)| self.recipients.iter().take(at).any(|other| other == key);
        if self.recipients.iter().enumerate().any(again) {
            return Err(BadKits::Twice);
        }
        if self.keep == 0 { Err(BadKits::KeepNone) } else { Ok(()) }
    }

    /// The directory, which is made where it is not there, and what is done there.
    pub fn kits(&self) -> Result<Arc<Kits>, PrivateError> {
        Ok(Arc::new(Kits {
            shelf: Directory::within(&self.directory)?,
            recipients: self.recipients.clone(),
            every: (self.every_hours > 0).then(|| SignedDuration::from_hours(self.every_hours.into())),
            keep: self.keep as usize,
        }))
    }

    /// Looks at the directory, where it is there.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), PrivateError> {
        private::closed_or_made_later(&self.directory, notes)
    }
}

fn every_hours() -> u32 {
    EVERY_HOURS
}

fn keep() -> u32 {
    KEEP
}

/// Takes shares of a kit from standard input, or at a terminal, until there are enough, and writes the identity that they give.
///
/// # Errors
///
/// There are not enough, one of them is wrong, or the identity would be shown on a terminal.
pub fn combine() -> Result<()> {
    let output = io::stdout();
    if output.is_terminal() {
        bail!("this would show the key of the kit on the terminal: pipe it into 'age -d -i - kit.age'");
    }
    let (mut shares, mut line) = (KitShares::default(), 0_u64);
    while !shares.progress().is_complete() {
        let given = shares.progress();
        let missing = given.threshold.saturating_sub(given.held);
        let prompt = if given.held == 0 { "A share".to_owned() } else { format!("Another share, {missing} more") };
        let Some(share) = next(&prompt, &mut line)? else { break };
        let told = share.map_err(|error| error.to_string());
        match told.and_then(|share| shares.add(&share).map_err(|error| error.to_string())) {
            Ok(_) => {}
            Err(why) if line == 0 => eprintln!("{why}"),
            Err(why) => eprintln!("line {line}: {why}"),
        }
    }
    let key = shares.combine()?;
    if let Some(kit) = shares.kit() {
        eprintln!("the key of the kit {}", KitId::from_uuid(kit));
    }
    let mut output = output.lock();
    writeln!(output, "{}", key.identity().expose())?;
    Ok(output.flush()?)
}

/// The next share: the terminal's, without echo, or the next line of standard input that is neither empty nor a comment.
fn next(prompt: &str, line: &mut u64) -> Result<Option<Result<Secret, claviger_api::secret::BadSecret>>> {
    if io::stdin().is_terminal() {
        let text = Zeroizing::new(rpassword::prompt_password(format!("{prompt}: "))?);
        return Ok(Some(Secret::new((*text).clone())));
    }
    loop {
        let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX + 2));
        if io::stdin().lock().read_line(&mut text)? == 0 {
            return Ok(None);
        }
        *line += 1;
        let trimmed = text.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            return Ok(Some(Secret::new(trimmed.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn they_go_elsewhere_and_nobody_holds_two_shares() {
        let checked = |directory: &str, more: &str| {
            let text = format!("directory = '{directory}'\n{more}");
            toml::from_str::<KitSettings>(&text).unwrap().check(Path::new("/var/lib/claviger"))
        };
        assert_eq!(checked("/mnt/kits", &format!("recipients = ['{KEY}']")), Ok(()));
        assert_eq!(checked("/mnt/kits", ""), Ok(()), "the customer's own people alone");
        assert_eq!(checked("/var/lib/claviger/kits", ""), Err(BadKits::WithTheStore));
        assert_eq!(checked("/mnt/kits", "keep = 0"), Err(BadKits::KeepNone));
        assert_eq!(checked("/mnt/kits", &format!("recipients = ['{KEY}', '{KEY}']")), Err(BadKits::Twice));
        let defaults: KitSettings = toml::from_str("directory = '/mnt/kits'").unwrap();
        assert_eq!((defaults.every_hours, defaults.keep), (24, 7));
        assert!(toml::from_str::<KitSettings>("directory = '/mnt/kits'\nrecipients = ['age1']").is_err());
    }
}
