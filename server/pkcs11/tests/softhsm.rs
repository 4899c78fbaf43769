//! A real token: what is asked of it, and what it never gives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "../../../tests/src/softhsm.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod softhsm;

use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_api::Secret;
use claviger_crypto::Seeded;
use claviger_crypto::hsm::{Hsm, HsmError, HsmKey, HsmSeal};
use claviger_crypto::key::SealKey;
use claviger_pkcs11::{Pkcs11Hsm, Token};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use softhsm::{CONF, MODULE, SoftHsm, TOKEN};
use uuid::Uuid;

const PIN: &str = "user-1234";
const KEY: &str = "claviger";
const VAULT: Uuid = Uuid::from_u128(7);
const LABELLED: HsmKey<'static> = HsmKey::Labelled { prefer: None };

/// A module serves a process as a whole: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A token, and this process as the one that looks at it.
struct Here {
    soft: SoftHsm,
    _alone: MutexGuard<'static, ()>,
}

impl Here {
    #[expect(unsafe_code, reason = "no thread of this process reads or writes its environment meanwhile")]
    fn new() -> Self {
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let soft = SoftHsm::new(PIN);
        // SAFETY: tests that come here have their turn one by one.
        unsafe { std::env::set_var(CONF, soft.conf()) };
        Self { soft, _alone: alone }
    }

    /// Looks at the token by other means than ours.
    fn look<T>(&self, look: impl FnOnce(&Session) -> T) -> T {
        let module = Pkcs11::new(MODULE).unwrap();
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        let slot = module.get_slots_with_token().unwrap().into_iter().find(|slot| {
            let info = module.get_token_info(*slot);
            info.is_ok_and(|info| info.label() == TOKEN)
        });
        let session = module.open_rw_session(slot.unwrap()).unwrap();
        session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
        let seen = look(&session);
        drop(session);
        module.finalize().unwrap();
        assert!(self.soft.conf().exists());
        seen
    }
}

fn ours() -> Pkcs11Hsm {
    device(TOKEN, KEY, PIN)
}

fn device(token: &str, key: &str, pin: &'static str) -> Pkcs11Hsm {
    let token = Token { module: MODULE.into(), label: token.to_owned(), key_label: key.to_owned() };
    Pkcs11Hsm::new(token, Box::new(move || Ok(Secret::new(pin.to_owned()).unwrap())))
}

fn seal(hsm: &dyn Hsm, which: HsmKey<'_>, seed: u64) -> Result<(SealKey, HsmSeal), HsmError> {
    let random = Seeded::new(seed);
    let key = SealKey::generate(&random);
    let sealed = HsmSeal::new(&key, VAULT, hsm, which, &random)?;
    Ok((key, sealed))
}

fn keys(session: &Session) -> Vec<ObjectHandle> {
    session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Token(true)]).unwrap()
}

#[test]
fn it_seals_by_a_key_that_never_leaves_the_token() {
    let here = Here::new();
    let hsm = ours();
    let (key, sealed) = seal(&hsm, LABELLED, 1).unwrap();
    assert_eq!(sealed.open(VAULT, &hsm).unwrap().check_value(), key.check_value());
    // Another process, another time.
    assert_eq!(sealed.open(VAULT, &ours()).unwrap().check_value(), key.check_value());
    here.look(|session| {
        let found = keys(session);
        assert_eq!(found.len(), 1);
        let asked = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
            AttributeType::Private,
            AttributeType::Wrap,
            AttributeType::Unwrap,
            AttributeType::Id,
        ];
        let wanted = [
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Private(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Id(sealed.key_id().to_vec()),
        ];
        assert_eq!(session.get_attributes(found[0], &asked).unwrap(), wanted);
        assert!(!matches!(
            session.get_attribute_info(found[0], &[AttributeType::Value]).unwrap()[..],
            [AttributeInfo::Available(_)]
        ));
    });
    // The next one is sealed by the same key; a new one only where that is asked for.
    assert_eq!(seal(&hsm, LABELLED, 2).unwrap().1.key_id(), sealed.key_id());
    let (newer, by_new) = seal(&hsm, HsmKey::New, 3).unwrap();
    assert!(by_new.key_id() != sealed.key_id());
    assert_eq!(here.look(|session| keys(session).len()), 2);
    assert!(matches!(seal(&hsm, LABELLED, 4), Err(HsmError::Refused(_))), "two have the label");
    let prefer = HsmKey::Labelled { prefer: Some(by_new.key_id()) };
    assert_eq!(seal(&hsm, prefer, 5).unwrap().1.key_id(), by_new.key_id());
    for (sealed, key) in [(&sealed, &key), (&by_new, &newer)] {
        assert_eq!(sealed.open(VAULT, &hsm).unwrap().check_value(), key.check_value(), "each opens its own");
    }
}

#[test]
fn what_was_changed_or_is_another_vaults_is_not_opened() {
    let _here = Here::new();
    let hsm = ours();
    let (_, sealed) = seal(&hsm, LABELLED, 1).unwrap();
    assert!(matches!(sealed.open(Uuid::from_u128(8), &hsm), Err(HsmError::Refused(_))));
    let mut bytes = sealed.to_bytes();
    bytes[20] ^= 1;
    assert!(matches!(HsmSeal::from_bytes(&bytes).unwrap().open(VAULT, &hsm), Err(HsmError::Refused(_))));
    let last = bytes.len() - 1;
    bytes[20] ^= 1;
    bytes[last] ^= 1;
    assert!(matches!(HsmSeal::from_bytes(&bytes).unwrap().open(VAULT, &hsm), Err(HsmError::NoKey(_))), "no such id");
}

/// A key of somebody's making is taken as long as it cannot leave.
#[test]
fn a_key_that_could_leave_seals_nothing() {
    let here = Here::new();
    let made = |label: &str, sensitive: bool, extractable: bool, bytes: u64| {
        here.look(|session| {
            let template = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(sensitive),
                Attribute::Extractable(extractable),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::ValueLen(bytes.into()),
                Attribute::Label(label.into()),
                Attribute::Id(label.into()),
            ];
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
        });
    };
    made("weak", false, false, 32);
    made("loose", true, true, 32);
    made("short", true, false, 16);
    made("good", true, false, 32);
    for label in ["weak", "loose", "short"] {
        let refused = seal(&device(TOKEN, label, PIN), LABELLED, 1).err().unwrap();
        assert!(matches!(refused, HsmError::Refused(_)), "{label}: {refused}");
    }
    assert_eq!(seal(&device(TOKEN, "good", PIN), LABELLED, 1).unwrap().1.key_id(), b"good");
}

/// The layout that is frozen is what a token makes of it: AES-256-GCM as the standard has it.
#[test]
fn the_known_answer_of_the_format_is_a_tokens() {
    let here = Here::new();
    let documented = include_str!("../../../docs/formats.md");
    let answer = documented.lines().find_map(|line| line.strip_prefix("| HSM seal | `")?.strip_suffix("` |")).unwrap();
    let bytes = hex::decode(answer).unwrap();
    let sealed = HsmSeal::from_bytes(&bytes).unwrap();
    here.look(|session| {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Decrypt(true),
            Attribute::Value(vec![2; 32]),
            Attribute::Id(sealed.key_id().to_vec()),
        ];
        session.create_object(&template).unwrap();
    });
    let vault = Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00);
    let check =
        documented.lines().find_map(|line| line.strip_prefix("| seal key check | `")?.strip_suffix("` |")).unwrap();
    let opened = hex::encode(sealed.open(vault, &ours()).unwrap().check_value());
    assert_eq!(opened, check);
}

#[test]
fn each_trouble_has_its_name_and_says_what_to_do() {
    let here = Here::new();
    let hsm = ours();
    let (key, sealed) = seal(&hsm, LABELLED, 1).unwrap();

    let wrong = sealed.open(VAULT, &device(TOKEN, KEY, "user-4321")).err().unwrap();
    assert!(
        matches!(&wrong, HsmError::Pin(said) if said.contains("PinIncorrect") && said.contains("restart")),
        "{wrong}"
    );
    assert!(!wrong.to_string().contains("4321"), "{wrong}");
    let gone = sealed.open(VAULT, &device("another", KEY, PIN)).err().unwrap();
    assert!(matches!(&gone, HsmError::Unreachable(said) if said.contains("not there")), "{gone}");

    here.soft.add_token("another", PIN);
    let other = sealed.open(VAULT, &device("another", KEY, PIN)).err().unwrap();
    assert!(matches!(&other, HsmError::NoKey(said) if said.contains("recovery shares")), "{other}");
    here.soft.add_token(TOKEN, PIN);
    let twice = sealed.open(VAULT, &hsm).err().unwrap();
    assert!(matches!(&twice, HsmError::Unreachable(said) if said.contains("more than once")), "{twice}");

    let nowhere = Token { module: "/usr/lib/nothing.so".into(), label: TOKEN.to_owned(), key_label: KEY.to_owned() };
    let unloaded = Pkcs11Hsm::new(nowhere, Box::new(|| Err("no PIN".to_owned())));
    assert!(matches!(sealed.open(VAULT, &unloaded), Err(HsmError::Unreachable(_))));
    drop(key);
}

/// Taken out and put back, under the same process.
#[test]
fn a_token_that_comes_back_is_found_again() {
    let here = Here::new();
    let hsm = ours();
    let (key, sealed) = seal(&hsm, LABELLED, 1).unwrap();
    here.soft.take_away();
    for _ in 0..2 {
        assert!(matches!(sealed.open(VAULT, &hsm), Err(HsmError::Unreachable(_))));
    }
    here.soft.put_back();
    assert_eq!(sealed.open(VAULT, &hsm).unwrap().check_value(), key.check_value());
}

/// Nobody is logged in when the vault has had its answer.
#[test]
fn nothing_stays_logged_in() {
    let _here = Here::new();
    let hsm = ours();
    let (_, sealed) = seal(&hsm, LABELLED, 1).unwrap();
    sealed.open(VAULT, &hsm).unwrap();
    let module = Pkcs11::new(MODULE).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("it was finalised");
    let again = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    assert!(matches!(again, Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _))));
    module.finalize().unwrap();
}
