//! A SoftHSM of a test's own: a token in a folder, which can be taken away and put back.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its token cannot go on")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where Debian puts it.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The token's label.
pub const TOKEN: &str = "vault";
/// The variable by which SoftHSM finds its tokens.
pub const CONF: &str = "SOFTHSM2_CONF";
/// Who may set another PIN.
const OFFICER_PIN: &str = "officer-8765";

/// A folder with a token.
pub struct SoftHsm {
    folder: TempDir,
    pin: String,
}

impl SoftHsm {
    /// A token with this PIN.
    pub fn new(pin: &str) -> Self {
        let folder = TempDir::with_prefix("claviger-softhsm-").unwrap();
        let hsm = Self { folder, pin: pin.to_owned() };
        fs::set_permissions(hsm.folder.path(), Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(hsm.tokens()).unwrap();
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", hsm.tokens().display());
        fs::write(hsm.conf(), text).unwrap();
        hsm.set_pin(pin);
        hsm.add_token(TOKEN, pin);
        hsm
    }

    /// Another token beside it.
    pub fn add_token(&self, label: &str, pin: &str) {
        let mut command = Command::new("softhsm2-util");
        command.args(["--init-token", "--free", "--label", label, "--so-pin", OFFICER_PIN, "--pin", pin]);
        let done = command.env(CONF, self.conf()).output().expect("softhsm2-util runs: scripts/setup test");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Writes another PIN into the file that the server reads; the token keeps its own.
    pub fn set_pin(&self, pin: &str) {
        fs::write(self.pin_file(), format!("{pin}\n")).unwrap();
        fs::set_permissions(self.pin_file(), Permissions::from_mode(0o600)).unwrap();
    }

    /// The PIN.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// The file that the server reads it from.
    pub fn pin_file(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    /// The folder, e.g. for another file of the test's.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What SoftHSM reads.
    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    fn away(&self) -> PathBuf {
        self.folder.path().join("away")
    }

    /// Takes all tokens out.
    pub fn take_away(&self) {
        fs::rename(self.tokens(), self.away()).unwrap();
        fs::create_dir(self.tokens()).unwrap();
    }

    /// Puts them back.
    pub fn put_back(&self) {
        fs::remove_dir_all(self.tokens()).unwrap();
        fs::rename(self.away(), self.tokens()).unwrap();
    }

    /// The section of a server's configuration that names it, with another line or two.
    pub fn section(&self, more: &str) -> String {
        let pin_file = self.pin_file();
        format!("[seal.pkcs11]\nmodule = '{MODULE}'\ntoken = '{TOKEN}'\npin_file = '{}'\n{more}\n", pin_file.display())
    }

    /// What a server's environment says of it.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![(CONF.to_owned(), self.conf().display().to_string())]
    }
}
