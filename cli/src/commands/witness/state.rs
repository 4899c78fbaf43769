//! What a witness keeps: its key, and of each log the checkpoint that it has cosigned last.
//!
//! The folder has mode 0700. `key` holds the name and the private key (PKCS #8, base64); `logs/` a note a log, named by the hash of its
//! origin; `alarms.jsonl` a line an alarm. A note is in place, durably, before anybody is told of it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_client::api::Timestamp;
use claviger_client::api::audit::note::note_body;
use claviger_client::api::audit::{Checkpoint, CosignerKey, Signer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::{Row, seconds};

/// A witness's folder, which no other process uses.
pub struct State {
    folder: PathBuf,
    name: String,
    pair: Ed25519KeyPair,
    _lock: File,
}

/// What was seen of a log.
#[derive(Serialize)]
pub struct Seen {
    /// The log.
    pub origin: String,
    /// The entries in it.
    pub size: u64,
    /// When it was cosigned.
    pub cosigned_at: Option<Timestamp>,
    /// How many alarms there were.
    pub alarms: usize,
}

/// Something that somebody has to look at.
#[derive(Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// When.
    pub at: Timestamp,
    /// The log.
    pub log: String,
    /// What it is: `fork`, `inconsistent`, `silence`.
    pub kind: String,
    /// In words.
    pub what: String,
    /// What was shown, as it was signed: the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// What had been cosigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

impl Row for Seen {
    const HEADS: &'static [&'static str] = &["log", "entries", "cosigned", "alarms"];

    fn cells(&self) -> Vec<String> {
        let at = self.cosigned_at.map_or_else(|| "-".to_owned(), seconds);
        vec![self.origin.clone(), self.size.to_string(), at, self.alarms.to_string()]
    }
}

impl State {
    /// Makes a key, in a folder that has none.
    pub fn make(folder: &Path, name: &str) -> Result<Self, Failure> {
        CosignerKey::new(name, [0; 32])
            .map_err(|_| Failure::usage("a witness's name has no space or plus", "e.g. witness.acme.example/w1"))?;
        let failed = |error: io::Error| unusable(folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder.join("logs")).map_err(failed)?;
        let made = Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8())
            .map_err(|_| Failure::failed("no key could be made"))?;
        let text = Zeroizing::new(format!("{name}\n{}\n", *Zeroizing::new(STANDARD.encode(made.as_ref()))));
        let mut options = OpenOptions::new();
        let path = folder.join("key");
        let mut file = match options.create_new(true).write(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let what = format!("{} is there already", path.display());
                return Err(Failure::usage(what, "claviger witness status --state FOLDER shows its key"));
            }
            opened => opened.map_err(failed)?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Self::open(folder)
    }

    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| unusable(folder, &error);
        let path = folder.join("key");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = format!("there is no witness in {}", folder.display());
                return Err(Failure::usage(what, "make one: claviger witness init --state FOLDER --name NAME"));
            }
            read => Zeroizing::new(read.map_err(failed)?),
        };
        let damaged = || Failure::failed(format!("{} is damaged: restore it from a backup", path.display()));
        let (name, key) = text.trim_end().split_once('\n').ok_or_else(damaged)?;
        let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| damaged())?);
        let pair = Ed25519KeyPair::from_pkcs8(&key).map_err(|_| damaged())?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|_| {
            Failure::usage(
                "another process uses this witness",
                "stop it first; the one that serves can be asked by its log",
            )
        })?;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned(), pair, _lock: lock })
    }

    /// The public key, as a C2SP vkey.
    pub fn key(&self) -> CosignerKey {
        let made = CosignerKey::new(&self.name, self.public_key());
        #[expect(clippy::expect_used, reason = "the name was checked when the key was made")]
        made.expect("a name that was taken")
    }

    /// The note that was cosigned last of a log.
    pub fn note(&self, origin: &str) -> Option<String> {
        fs::read_to_string(self.path(origin)).ok()
    }

    /// The checkpoint in it.
    pub fn known(&self, origin: &str) -> Option<Checkpoint> {
        let note = self.note(origin)?;
        Checkpoint::from_body(note_body(&note).ok()?.0).ok()
    }

    /// Keeps a note in place of the last one, durably.
    pub fn keep(&self, origin: &str, note: &str) -> io::Result<()> {
        let (path, new) = (self.path(origin), self.path(origin).with_extension("new"));
        let mut file = File::create(&new)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(self.folder.join("logs"))?.sync_all()
    }

    /// Forgets a log that it has seen.
    pub fn forget(&self, origin: &str) -> Result<(), Failure> {
        fs::remove_file(self.path(origin))
            .map_err(|error| Failure::failed(format!("{origin} is not forgotten: {error}")))
    }

    /// Keeps an alarm.
    pub fn alarm(&self, alarm: &Alarm) -> io::Result<()> {
        let path = self.folder.join("alarms.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.write_all(format!("{}\n", serde_json::to_string(alarm)?).as_bytes())?;
        file.sync_all()
    }

    /// Every log of which something was seen.
    pub fn seen(&self) -> Result<Vec<Seen>, Failure> {
        let failed = |error: io::Error| unusable(&self.folder, &error);
        let alarms = fs::read_to_string(self.folder.join("alarms.jsonl")).unwrap_or_default();
        let alarms: Vec<Alarm> = alarms.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let (mut seen, key) = (Vec::new(), self.key());
        for entry in fs::read_dir(self.folder.join("logs")).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "note") {
                continue;
            }
            let note = fs::read_to_string(&path).map_err(failed)?;
            let Some(found) = note_body(&note).ok().and_then(|(body, _)| Checkpoint::from_body(body).ok()) else {
                continue;
            };
            let of_it = alarms.iter().filter(|alarm| alarm.log == found.origin).count();
            let cosigned_at = key.cosigned(&note).ok().flatten();
            seen.push(Seen { origin: found.origin, size: found.size, cosigned_at, alarms: of_it });
        }
        seen.sort_by(|a, b| a.origin.cmp(&b.origin));
        Ok(seen)
    }

    fn path(&self, origin: &str) -> PathBuf {
        let hash = digest::digest(&digest::SHA256, origin.as_bytes());
        self.folder.join("logs").join(hex::encode(hash)).with_extension("note")
    }
}

impl Signer for State {
    fn name(&self) -> &str {
        &self.name
    }

    fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap_or_default()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be used: {error}", folder.display()))
}
