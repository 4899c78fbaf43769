//! A user's session between commands: `$XDG_STATE_HOME/claviger/session.json`, which nobody else may read.
//!
//! The folder has mode 0700 and the files 0600; wider ones are refused, not repaired, because somebody may have read
//! them. The file is replaced in one step, under a lock that keeps two commands from using up the same refresh token.
//! (The desktop's keyring is for later.)

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use claviger_client::api::Secret;
use claviger_client::api::secret::Disclosed;
use claviger_client::{KeptSession, OpenSession, SessionKeeper};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Bits that let others in.
const OTHERS: u32 = 0o077;
/// Room for a session, so that the buffer with tokens in it never grows.
const SESSION_ROOM: usize = 64 * 1024;

/// The place of the session.
pub struct SessionFile {
    folder: PathBuf,
    /// The server that the session must be of.
    address: String,
    /// The client certificate of a session that is stored here.
    identity: Option<IdentityFiles>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    address: String,
    access_token: Disclosed,
    /// Absent of a program's session, which ends with its access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Disclosed>,
    /// Without which the session is good for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityFiles>,
}

/// The files of a client certificate and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl SessionFile {
    /// `$XDG_STATE_HOME/claviger`, by default `~/.local/state/claviger`.
    pub fn folder() -> Result<PathBuf, Failure> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        state.map(|state| state.join("claviger")).ok_or_else(|| {
            Failure::usage("there is no place for a session", "set HOME or XDG_STATE_HOME to an absolute path")
        })
    }

    pub fn new(folder: PathBuf, address: String) -> Self {
        Self { folder, address, identity: None }
    }

    /// The place of a session that works with this client certificate alone.
    pub fn with_identity(self, identity: IdentityFiles) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// The client certificate that the kept session needs, if it is of this server and needs one.
    pub fn identity(&self) -> io::Result<Option<IdentityFiles>> {
        let stored = read(&self.file())?.filter(|stored| stored.address == self.address);
        Ok(stored.and_then(|stored| stored.identity))
    }

    /// The server of the kept session, if there is one.
    pub fn address_of(folder: &Path) -> io::Result<Option<String>> {
        Ok(read(&folder.join("session.json"))?.map(|stored| stored.address))
    }

    /// Forgets the session.
    pub fn forget(&self) -> io::Result<()> {
        let _lock = self.lock()?;
        match fs::remove_file(self.file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    /// Waits until no other command uses the session; others wait until the file is dropped.
    fn lock(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        only_mine(&self.folder, &fs::metadata(&self.folder)?)?;
        let path = self.folder.join("session.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }
}

impl SessionKeeper for SessionFile {
    fn open(&self) -> io::Result<Box<dyn OpenSession>> {
        let lock = self.lock()?;
        let (address, identity) = (self.address.clone(), self.identity.clone());
        Ok(Box::new(Open { file: self.file(), address, identity, _lock: lock }))
    }
}

/// The session, while this command alone may use it.
struct Open {
    file: PathBuf,
    address: String,
    identity: Option<IdentityFiles>,
    _lock: File,
}

impl OpenSession for Open {
    fn load(&mut self) -> io::Result<Option<KeptSession>> {
        let Some(stored) = read(&self.file)?.filter(|stored| stored.address == self.address) else { return Ok(None) };
        let refresh = stored.refresh_token.map(Disclosed::into_secret);
        Ok(Some(KeptSession { access: stored.access_token.into_secret(), refresh }))
    }

    fn store(&mut self, session: &KeptSession) -> io::Result<()> {
        let disclose = |secret: &Secret| secret.duplicate().disclose();
        let stored = Stored {
            address: self.address.clone(),
            access_token: disclose(&session.access),
            refresh_token: session.refresh.as_ref().map(disclose),
            identity: self.identity.clone(),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(SESSION_ROOM));
        serde_json::to_writer(&mut *text, &stored)?;
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.file)?;
        Ok(())
    }
}

/// The file, if there is one and nobody else may read it.
fn read(path: &Path) -> io::Result<Option<Stored>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    only_mine(path, &file.metadata()?)?;
    let mut text = Zeroizing::new(Vec::with_capacity(SESSION_ROOM));
    io::Read::read_to_end(&mut io::Read::take(file, SESSION_ROOM as u64), &mut text)?;
    // serde's own message could quote a token.
    let unreadable = |_| io::Error::new(ErrorKind::InvalidData, format!("{} is damaged; log in again", path.display()));
    serde_json::from_slice(&text).map(Some).map_err(unreadable)
}

fn only_mine(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    if mine && metadata.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        format!("{} is open to others; log out, remove it and log in again", path.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://vault.example:8200";

    fn session(access: &str) -> KeptSession {
        let secret = |text: &str| Secret::new(text.to_owned()).unwrap();
        KeptSession { access: secret(access), refresh: Some(secret("cvr_refresh")) }
    }

    fn kept() -> (tempfile::TempDir, SessionFile) {
        let state = tempfile::tempdir().unwrap();
        let file = SessionFile::new(state.path().join("claviger"), ADDRESS.to_owned());
        file.open().unwrap().store(&session("jwt")).unwrap();
        (state, file)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn access(file: &SessionFile) -> io::Result<Option<String>> {
        Ok(file.open()?.load()?.map(|session| session.access.expose().to_owned()))
    }

    #[test]
    fn a_session_is_kept_for_its_server_and_forgotten() {
        let (_state, file) = kept();
        assert_eq!(access(&file).unwrap().as_deref(), Some("jwt"));
        file.open().unwrap().store(&session("next")).unwrap();
        assert_eq!(access(&file).unwrap().as_deref(), Some("next"));
        assert_eq!(SessionFile::address_of(&file.folder).unwrap().as_deref(), Some(ADDRESS));

        let elsewhere = SessionFile::new(file.folder.clone(), "https://another.example".to_owned());
        assert_eq!(access(&elsewhere).unwrap(), None, "another server gets no token of this one");

        file.forget().unwrap();
        file.forget().unwrap();
        assert_eq!(access(&file).unwrap(), None);
    }

    #[test]
    fn anvil_file_modes_a_session_is_for_its_owner_alone() {
        let (_state, file) = kept();
        assert_eq!(mode(&file.folder), 0o700);
        assert_eq!(mode(&file.file()), 0o600);
        assert_eq!(mode(&file.folder.join("session.lock")), 0o600);

        for open in [0o604, 0o640, 0o660] {
            set_mode(&file.file(), open);
            assert_eq!(access(&file).unwrap_err().kind(), ErrorKind::PermissionDenied, "{open:o}");
        }
        set_mode(&file.file(), 0o600);
        set_mode(&file.folder, 0o755);
        assert_eq!(access(&file).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_damaged_session_is_told_without_its_text() {
        let (_state, file) = kept();
        fs::write(file.file(), r#"{"address": "x", "access_token": {"canary": 1}}"#).unwrap();
        let error = access(&file).unwrap_err().to_string();
        assert!(error.contains("damaged") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn two_commands_do_not_use_the_session_at_once() {
        let (_state, file) = kept();
        let open = file.open().unwrap();
        let lock = OpenOptions::new().write(true).open(file.folder.join("session.lock")).unwrap();
        assert!(lock.try_lock().is_err());
        drop(open);
        assert!(lock.try_lock().is_ok());
    }
}
