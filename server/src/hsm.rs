//! The HSM that may seal the vault, as the configuration has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_api::Secret;
use claviger_api::secret::BadSecret;
use claviger_pkcs11::{PinSource, Pkcs11Hsm, Token, check_module};
use claviger_service::seal::Device;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::private::{self, PrivateError};

/// The longest label of a token, in bytes: PKCS#11 has no more.
const TOKEN_LABEL_MAX: usize = 32;
/// The longest label of a key, in bytes: ours.
const KEY_LABEL_MAX: usize = 64;
/// Where systemd puts what a unit loads as credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// What may seal the vault besides what people keep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SealSettings {
    /// An HSM, by PKCS#11.
    pub pkcs11: Option<Pkcs11Settings>,
}

/// An HSM, and which of its keys seals.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Settings {
    /// The library that the HSM's maker gives.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the key, which is made where there is none.
    #[serde(default = "key_label")]
    pub key_label: String,
    /// The file that holds the token's PIN, and nothing else but the end of the line; readable by the server's user alone.
    pub pin_file: Option<PathBuf>,
    /// The same as a credential of systemd, by its name.
    pub pin_credential: Option<String>,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum BadHsm {
    /// Nowhere, or at two places.
    #[error("name either pin_file or pin_credential: the PIN comes from one place")]
    Pin,
    /// A label that no token has.
    #[error(
        "token is the label of a token, of 1 to {TOKEN_LABEL_MAX} bytes, as `pkcs11-tool --list-token-slots` shows it"
    )]
    Token,
    /// A label that no key gets.
    #[error("key_label is of 1 to {KEY_LABEL_MAX} bytes")]
    KeyLabel,
    /// Another path than the one that is loaded.
    #[error(
        "module is the whole path of the library: a name alone would be searched for at places that others may write to"
    )]
    Module,
    /// A path in place of a name.
    #[error("pin_credential is the name that the unit gives it (LoadCredential=), without a path")]
    Credential,
    /// The PIN's file.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// What the file holds.
    #[error("{} holds no PIN: {why}", path.display())]
    NoPin {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: BadSecret,
    },
    /// What the module's file holds.
    #[error("{0}")]
    NoModule(String),
}

impl Pkcs11Settings {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), BadHsm> {
        let fits = |text: &str, most: usize| !text.trim().is_empty() && text.len() <= most;
        if !self.module.is_absolute() {
            return Err(BadHsm::Module);
        }
        if !fits(&self.token, TOKEN_LABEL_MAX) {
            return Err(BadHsm::Token);
        }
        if !fits(&self.key_label, KEY_LABEL_MAX) {
            return Err(BadHsm::KeyLabel);
        }
        match (&self.pin_file, &self.pin_credential) {
            (None, Some(name)) if name.contains('/') || name.is_empty() || name.starts_with('.') => {
                Err(BadHsm::Credential)
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
            (Some(_), Some(_)) | (None, None) => Err(BadHsm::Pin),
        }
    }

    /// Looks at the files that it names. What is not on this machine is noted, what is wrong refused. The device is asked nothing:
    /// a PIN that is wrong is one try less.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), BadHsm> {
        if self.module.exists() {
            check_module(&self.module).map_err(|error| BadHsm::NoModule(error.to_string()))?;
        } else {
            notes.push(format!("{} is not on this machine, and was not checked", self.module.display()));
        }
        match &self.pin_file {
            Some(file) if file.exists() => drop(pin_in(file)?),
            Some(file) => notes.push(format!("{} is not on this machine, and was not checked", file.display())),
            None => notes.push("the PIN is a credential of systemd, and was not checked".to_owned()),
        }
        Ok(())
    }

    /// The device. One that is not there does not keep a server from starting; a PIN that others may read does.
    pub fn device(&self) -> Result<Arc<Device>, BadHsm> {
        if let Some(file) = self.pin_file.as_deref().filter(|file| file.exists()) {
            private::closed(file)?;
        }
        let token = Token { module: self.module.clone(), label: self.token.clone(), key_label: self.key_label.clone() };
        Ok(Device::new(Arc::new(Pkcs11Hsm::new(token, self.pin()))))
    }

    /// Read each time: it stays in memory no longer than a login takes.
    fn pin(&self) -> PinSource {
        let (file, credential) = (self.pin_file.clone(), self.pin_credential.clone());
        Box::new(move || match (&file, &credential) {
            (Some(file), _) => pin_in(file).map_err(|error| error.to_string()),
            (None, Some(name)) => of_systemd(name),
            (None, None) => Err(BadHsm::Pin.to_string()),
        })
    }
}

fn pin_in(file: &Path) -> Result<Secret, BadHsm> {
    let text = Zeroizing::new(private::read(file)?);
    pin_of(&text, file)
}

fn pin_of(text: &str, file: &Path) -> Result<Secret, BadHsm> {
    let pin = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
    pin.map_err(|why| BadHsm::NoPin { path: file.to_owned(), why })
}

/// systemd lets the unit's user read it by an access list, which shows as a right of the group.
fn of_systemd(name: &str) -> Result<Secret, String> {
    let directory = std::env::var_os(CREDENTIALS)
        .ok_or_else(|| format!("systemd gives no credentials: write LoadCredential={name}:PATH into the unit"))?;
    let file = PathBuf::from(directory).join(name);
    let text = Zeroizing::new(private::read_of_systemd(&file).map_err(|error| error.to_string())?);
    pin_of(&text, &file).map_err(|error| error.to_string())
}

fn key_label() -> String {
    "claviger".to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(pin_file: PathBuf) -> Pkcs11Settings {
        Pkcs11Settings {
            module: "/usr/lib/softhsm/libsofthsm2.so".into(),
            token: "claviger".to_owned(),
            key_label: key_label(),
            pin_file: Some(pin_file),
            pin_credential: None,
        }
    }

    #[test]
    fn anvil_file_modes_a_pin_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pin");
        private::write(&file, b"1234 5678\n").unwrap();
        let settings = settings(file.clone());
        assert_eq!((settings.pin())().unwrap().expose(), "1234 5678");
        settings.device().unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(settings.device().err(), Some(BadHsm::Private(PrivateError::TooOpen { .. }))));
        assert!(settings.check_files(&mut Vec::new()).is_err());
        assert!((settings.pin())().err().unwrap().contains("open to others"), "it was opened after the start");
        private::write(&file, b"\n").unwrap();
        assert!(matches!(pin_in(&file), Err(BadHsm::NoPin { .. })));
    }

    #[test]
    fn what_is_not_on_this_machine_is_noted_and_what_is_wrong_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (module, pin) = (directory.path().join("module.so"), directory.path().join("pin"));
        let settings = Pkcs11Settings { module: module.clone(), ..settings(pin.clone()) };
        let mut notes = Vec::new();
        settings.check_files(&mut notes).unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        settings.device().unwrap();
        fs::write(&module, "no library").unwrap();
        let error = settings.check_files(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("cannot be loaded"), "{error}");
    }

    #[test]
    fn a_pin_comes_from_one_place() {
        let settings = settings("/etc/claviger/pin".into());
        settings.check().unwrap();
        let of = |change: fn(&mut Pkcs11Settings)| {
            let mut changed = settings.clone();
            change(&mut changed);
            changed.check().unwrap_err().to_string()
        };
        assert!(of(|settings| settings.pin_file = None).contains("either"));
        assert!(of(|settings| settings.pin_credential = Some("pin".to_owned())).contains("either"));
        assert!(of(|settings| settings.module = "libsofthsm2.so".into()).contains("whole path"));
        assert!(of(|settings| settings.token = " ".to_owned()).contains("label of a token"));
        assert!(of(|settings| settings.token = "t".repeat(33)).contains("label of a token"));
        assert!(of(|settings| settings.key_label = String::new()).contains("key_label"));
        for path in ["../pin", "/pin", "..", ""] {
            let credential =
                Pkcs11Settings { pin_file: None, pin_credential: Some(path.to_owned()), ..settings.clone() };
            assert!(matches!(credential.check(), Err(BadHsm::Credential)), "{path:?}");
        }
    }
}
