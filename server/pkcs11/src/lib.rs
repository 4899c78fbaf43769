//! The seal key under a key of an HSM, through PKCS#11
//! ([v2.40](https://docs.oasis-open.org/pkcs11/pkcs11-base/v2.40/pkcs11-base-v2.40.html)). The only crate that names cryptoki.
//!
//! The HSM's maker gives a *module*, a library that is loaded into this process. Each question opens the module anew, asks and closes
//! it: a device that was away is found again. Nothing is kept open in between; the vault asks at its start, at a rekey,
//! and once in a while whether the device is still there.

use std::path::{Path, PathBuf};

use claviger_api::Secret;
use claviger_crypto::hsm::{Hsm, HsmError, HsmKey};
use claviger_crypto::key::KEY_BYTES;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use zeroize::Zeroizing;

mod key;

/// Bytes of AES-GCM's initialisation vector.
const IV_BYTES: usize = claviger_crypto::hsm::HSM_IV_BYTES;
/// Bits of AES-GCM's tag.
const TAG_BITS: u64 = 128;

/// Which device, and which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The module: the library that the HSM's maker gives.
    pub module: PathBuf,
    /// The token's label.
    pub label: String,
    /// The label of the key that seals (`CKA_LABEL`).
    pub key_label: String,
}

/// Where the PIN comes from, each time that it is needed; or why it cannot be had.
pub type PinSource = Box<dyn Fn() -> Result<Secret, String> + Send + Sync>;

/// An HSM that is spoken to through PKCS#11.
pub struct Pkcs11Hsm {
    token: Token,
    name: String,
    pin: PinSource,
    /// Loaded at the first question, and never unloaded: modules leave threads behind. Held while one is asked, since a module
    /// serves a process as a whole.
    module: Mutex<Option<Pkcs11>>,
}

/// Something went wrong between here and the device.
type Result<T, E = HsmError> = std::result::Result<T, E>;

impl Pkcs11Hsm {
    /// The device that is meant. It is asked nothing yet.
    pub fn new(token: Token, pin: PinSource) -> Self {
        let name = format!("the token {:?} of {}", token.label, token.module.display());
        Self { token, name, pin, module: Mutex::default() }
    }

    /// Logs in, asks, and leaves.
    fn ask<T>(&self, write: bool, question: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
        let mut loaded = self.module.lock();
        let module = match &*loaded {
            Some(module) => module.clone(),
            None => loaded.insert(load(&self.token.module)?).clone(),
        };
        let started = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        match started {
            // It could not be ended the last time.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(self.gone("cannot be started", &error)),
        }
        let answer = self.in_session(&module, write, question);
        // The session is over; what it has answered counts.
        drop(module.finalize());
        answer
    }

    fn in_session<T>(&self, module: &Pkcs11, write: bool, question: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
        let slot = self.slot(module)?;
        let session = if write { module.open_rw_session(slot) } else { module.open_ro_session(slot) };
        let session = session.map_err(|error| self.gone("opens no session", &error))?;
        let pin = (self.pin)().map_err(HsmError::Unreachable)?;
        let login = session.login(UserType::User, Some(&auth_pin(&pin)));
        login.map_err(|error| self.not_let_in(&error))?;
        let answer = question(&session);
        drop(session.logout());
        answer
    }

    /// The slot of the one token that has the label. One more wrong PIN must not lock it.
    fn slot(&self, module: &Pkcs11) -> Result<Slot> {
        let slots = module.get_slots_with_token().map_err(|error| self.gone("cannot be looked for", &error))?;
        let mut found = Vec::new();
        for slot in slots {
            match module.get_token_info(slot) {
                Ok(info) if info.label() == self.token.label => found.push((slot, info)),
                // Another's, or one that is being taken out.
                Ok(_) | Err(_) => {}
            }
        }
        let (slot, info) = match found.as_slice() {
            [one] => one,
            [] => {
                return Err(HsmError::Unreachable(format!(
                    "{} is not there: connect it, or mend [seal.pkcs11]",
                    self.name
                )));
            }
            [..] => {
                let text = format!("{} is there more than once: give each token a label of its own", self.name);
                return Err(HsmError::Unreachable(text));
            }
        };
        let locked = |what: &str| {
            Err(HsmError::Pin(format!(
                "{} {what}: log in with the right PIN by the HSM's own tool, set it in [seal.pkcs11], and restart the server",
                self.name
            )))
        };
        if info.user_pin_locked() {
            return locked("has locked its PIN");
        }
        if info.user_pin_final_try() {
            return locked("would lock its PIN at one more wrong try, and is not asked");
        }
        Ok(*slot)
    }

    fn not_let_in(&self, error: &Error) -> HsmError {
        use RvError::{PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked};
        if !matches!(error, Error::Pkcs11(PinIncorrect | PinInvalid | PinLenRange | PinLocked | PinExpired, _)) {
            return self.gone("does not let in", error);
        }
        HsmError::Pin(format!(
            "{} refuses the PIN ({}): it is not asked again, since it may lock; set the right PIN in the file that [seal.pkcs11] \
             names, and restart the server",
            self.name,
            in_short(error)
        ))
    }

    fn gone(&self, what: &str, error: &Error) -> HsmError {
        HsmError::Unreachable(format!("{} {what}: {}", self.name, in_short(error)))
    }

    /// What AES-GCM did not do. Of an error that speaks of the device nothing is concluded.
    fn failed(&self, what: &str, error: &Error) -> HsmError {
        use RvError::{DeviceError, DeviceMemory, DeviceRemoved, HostMemory, SessionClosed, TokenNotPresent};
        if matches!(
            error,
            Error::Pkcs11(DeviceError | DeviceMemory | DeviceRemoved | HostMemory | SessionClosed | TokenNotPresent, _)
        ) {
            return self.gone(what, error);
        }
        HsmError::Refused(format!("{} {what}: {}", self.name, in_short(error)))
    }

    fn one_of(&self, session: &Session, id: &[u8]) -> Result<ObjectHandle> {
        let keys = key::with_id(session, id).map_err(|error| self.gone("cannot be searched", &error))?;
        match keys.as_slice() {
            [one] => Ok(*one),
            [] => Err(HsmError::NoKey(format!(
                "{} has no AES key with the id {}: it is another token than the one that sealed, or its key was deleted; unseal \
                 with recovery shares, then rekey",
                self.name,
                hex::encode(id)
            ))),
            [..] => Err(HsmError::NoKey(format!("{} has several AES keys with the id {}", self.name, hex::encode(id)))),
        }
    }
}

impl Hsm for Pkcs11Hsm {
    fn name(&self) -> &str {
        &self.name
    }

    fn seal(
        &self,
        which: HsmKey<'_>,
        new_id: &[u8],
        iv: &mut [u8; IV_BYTES],
        aad: &[u8],
        key: &[u8; KEY_BYTES],
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        self.ask(true, |session| {
            let with = self.chosen(session, which, new_id)?;
            let id = key::fit(session, with).map_err(|why| HsmError::Refused(format!("{}: {why}", self.name)))?;
            let params =
                GcmParams::new(iv, aad, TAG_BITS.into()).map_err(|error| self.failed("is not asked", &error))?;
            let sealed = session.encrypt(&Mechanism::AesGcm(params), with, key);
            Ok((id, sealed.map_err(|error| self.failed("does not seal by AES-GCM", &error))?))
        })
    }

    fn open(&self, id: &[u8], iv: &[u8; IV_BYTES], aad: &[u8], sealed: &[u8], key: &mut [u8; KEY_BYTES]) -> Result<()> {
        let mut iv = *iv;
        self.ask(false, |session| {
            let with = self.one_of(session, id)?;
            let params =
                GcmParams::new(&mut iv, aad, TAG_BITS.into()).map_err(|error| self.failed("is not asked", &error))?;
            let opened = session.decrypt(&Mechanism::AesGcm(params), with, sealed);
            let opened =
                Zeroizing::new(opened.map_err(|error| self.failed("does not open what it has sealed", &error))?);
            if opened.len() != key.len() {
                return Err(HsmError::Refused(format!("{} opens it to another length", self.name)));
            }
            key.copy_from_slice(&opened);
            Ok(())
        })
    }
}

impl Pkcs11Hsm {
    /// The key that shall seal, made where there is none yet.
    fn chosen(&self, session: &Session, which: HsmKey<'_>, new_id: &[u8]) -> Result<ObjectHandle> {
        let label = &self.token.key_label;
        let make = || key::make(session, label, new_id).map_err(|error| self.failed("makes no AES key", &error));
        let prefer = match which {
            HsmKey::New => return make(),
            HsmKey::Labelled { prefer } => prefer,
        };
        let found = key::labelled(session, label).map_err(|error| self.gone("cannot be searched", &error))?;
        match found.as_slice() {
            [] => make(),
            [one] => Ok(*one),
            several => {
                let preferred = |key: &&ObjectHandle| prefer.is_some() && key::id(session, **key).as_deref() == prefer;
                several.iter().find(preferred).copied().ok_or_else(|| {
                    HsmError::Refused(format!(
                        "{} has several AES keys labelled {label:?}: name another key_label in [seal.pkcs11]",
                        self.name
                    ))
                })
            }
        }
    }
}

/// Whether a file is a module that can be loaded. It is asked nothing.
///
/// # Errors
///
/// It is none.
pub fn check_module(module: &Path) -> Result<()> {
    load(module).map(drop)
}

fn load(module: &Path) -> Result<Pkcs11> {
    Pkcs11::new(module).map_err(|error| {
        HsmError::Unreachable(format!("the PKCS#11 module {} cannot be loaded: {error}", module.display()))
    })
}

/// As the module wants it; wiped when it is dropped.
fn auth_pin(pin: &Secret) -> AuthPin {
    AuthPin::new(pin.expose().into())
}

/// The name that PKCS#11 has for it, where it has one.
fn in_short(error: &Error) -> String {
    if let Error::Pkcs11(told, function) = error {
        return format!("C_{function:?} answers {told:?}");
    }
    error.to_string()
}
