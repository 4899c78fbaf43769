//! What a sign-on carries through a browser or a command line, from one request to the next: sealed, so that nobody else
//! can read or make it; good for one purpose, since its label is bound in; and used once. Nothing of it is stored, so that
//! whoever is not logged in changes nothing. The key is new at each unseal.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_api::problem::ProblemType;
use claviger_api::{Scope, Secret, Timestamp};
use claviger_crypto::envelope::{self, Aad};
use claviger_crypto::{Random, SignOnKey};
use claviger_store::Table;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The most that are remembered as used: past it nobody signs on until some have ended. The budgets of those who are not
/// logged in do not let so many come about.
const USED_MOST: usize = 500_000;
/// How many are there at least before those that have ended are forgotten.
const FORGET_FROM: usize = 1000;
/// The version of what is bound in.
const VERSION: u64 = 1;

/// Something to carry.
pub(super) trait Message: Serialize + DeserializeOwned {
    /// What it is for.
    const LABEL: &'static [u8];
}

/// Seals and opens, and knows what was used.
pub(super) struct Carried {
    key: SignOnKey,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    until: BTreeMap<Uuid, Timestamp>,
    forget_at: usize,
}

impl Carried {
    pub fn new(random: &dyn Random) -> Self {
        Self { key: SignOnKey::generate(random), used: Mutex::default() }
    }

    /// The message as a text that can travel anywhere.
    pub fn seal<M: Message>(&self, message: &M, random: &dyn Random) -> Result<Secret> {
        let text = Zeroizing::new(serde_json::to_vec(message).map_err(Error::internal)?);
        let sealed = envelope::seal(&self.key, &aad::<M>(), &text, random);
        Secret::new(URL_SAFE_NO_PAD.encode(sealed)).map_err(Error::internal)
    }

    /// The message in a text that was sealed here for this purpose.
    pub fn open<M: Message>(&self, text: &Secret) -> Option<M> {
        let sealed = URL_SAFE_NO_PAD.decode(text.expose()).ok()?;
        let message = envelope::open(&self.key, &aad::<M>(), &sealed).ok()?;
        serde_json::from_slice(&message).ok()
    }

    /// Whether this is its first use. What has ended needs not be remembered: it is refused for that.
    pub fn use_up(&self, id: Uuid, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let mut used = self.used.lock();
        if used.until.len() >= used.forget_at.max(FORGET_FROM) {
            used.until.retain(|_, until| now < *until);
            used.forget_at = used.until.len().saturating_mul(2);
        }
        if used.until.len() >= USED_MOST {
            return Err(Error::new(ProblemType::TooManyRequests, ""));
        }
        Ok(used.until.insert(id, expires_at).is_none())
    }
}

fn aad<M: Message>() -> Aad<'static> {
    Aad { scope: Scope::Operator, table: Table::IdentityProviders.tag(), record: M::LABEL, version: VERSION }
}

#[cfg(test)]
mod tests {
    use claviger_crypto::Seeded;
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct One(u32);
    #[derive(Serialize, Deserialize)]
    struct Other(u32);
    impl Message for One {
        const LABEL: &'static [u8] = b"one";
    }
    impl Message for Other {
        const LABEL: &'static [u8] = b"other";
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_message_opens_for_its_purpose_by_the_key_that_sealed_it() {
        let random = Seeded::new(1);
        let (here, elsewhere) = (Carried::new(&random), Carried::new(&random));
        let text = here.seal(&One(7), &random).unwrap();
        assert_eq!(here.open::<One>(&text).unwrap().0, 7);
        assert!(here.open::<Other>(&text).is_none(), "another purpose");
        assert!(elsewhere.open::<One>(&text).is_none(), "a key from before an unseal");
        for at in 0..text.expose().len() {
            let mut bytes = text.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            let changed = Secret::new(String::from_utf8(bytes).unwrap()).unwrap();
            assert!(here.open::<One>(&changed).is_none(), "changed at {at}");
        }
    }

    #[test]
    fn each_is_used_once_and_forgotten_when_it_has_ended() {
        let carried = Carried::new(&Seeded::new(1));
        let id = Uuid::from_u128;
        assert!(carried.use_up(id(1), at(100), at(0)).unwrap());
        assert!(!carried.use_up(id(1), at(100), at(0)).unwrap());
        for n in 2..5000 {
            assert!(carried.use_up(id(n), at(100), at(0)).unwrap());
        }
        assert!(!carried.use_up(id(1), at(100), at(99)).unwrap(), "not before its end");
        for n in 5000..20_000 {
            carried.use_up(id(n), at(300), at(100)).unwrap();
        }
        assert!(carried.used.lock().until.len() <= 15_000, "those that have ended are forgotten");
    }
}
