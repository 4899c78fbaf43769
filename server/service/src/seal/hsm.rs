//! An HSM, asked so that one which hangs or refuses does no harm: beside the requests, in its turn, within a time, and never again
//! once it has refused the PIN.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Timestamp;
use claviger_api::wire::{HsmState, HsmStatus};
use claviger_crypto::Random;
use claviger_crypto::hsm::{Hsm, HsmError, HsmKey, HsmSeal};
use claviger_crypto::key::SealKey;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

/// How long an HSM may take for one answer. One in a network that is being looked for takes seconds.
pub const HSM_ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// An HSM, and what is known of it.
pub struct Device {
    hsm: Arc<dyn Hsm>,
    within: Duration,
    /// Held by the thread that asks, for as long as the device owes an answer: one that hangs has one thread, and no more.
    turn: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
}

struct Known {
    state: HsmState,
    /// What was last said of it in the log.
    said: String,
    asked_at: Option<Timestamp>,
}

impl Device {
    /// This HSM, which nobody has asked yet.
    pub fn new(hsm: Arc<dyn Hsm>) -> Arc<Self> {
        Self::within(hsm, HSM_ANSWERS_WITHIN)
    }

    /// The same, with another time for an answer.
    pub fn within(hsm: Arc<dyn Hsm>, within: Duration) -> Arc<Self> {
        let known = Known { state: HsmState::Asking, said: String::new(), asked_at: None };
        Arc::new(Self { hsm, within, turn: Arc::default(), known: Mutex::new(known) })
    }

    /// What is known of it.
    pub fn state(&self) -> HsmState {
        self.known.lock().state
    }

    pub(super) fn status(&self, opens_by_itself: bool) -> HsmStatus {
        let known = self.known.lock();
        let opens_by_itself = opens_by_itself && known.state != HsmState::PinRefused;
        HsmStatus { state: known.state, asked_at: known.asked_at, opens_by_itself }
    }

    /// Whether it was asked since then.
    pub(super) fn was_asked_since(&self, then: Timestamp) -> bool {
        self.known.lock().asked_at.is_some_and(|asked| asked > then)
    }

    /// Has it seal, and gives the key back.
    pub(super) async fn seal(
        &self,
        seal: SealKey,
        vault: Uuid,
        which: OwnedKey,
        random: Arc<dyn Random>,
        now: Timestamp,
    ) -> Result<(SealKey, HsmSeal), HsmError> {
        let asked = self.ask(move |hsm| {
            let sealed = HsmSeal::new(&seal, vault, hsm, which.as_key(), random.as_ref())?;
            Ok((seal, sealed))
        });
        self.note(asked.await, now)
    }

    /// Has it open what it has sealed.
    pub(super) async fn open(&self, sealed: HsmSeal, vault: Uuid, now: Timestamp) -> Result<SealKey, HsmError> {
        let asked = self.ask(move |hsm| sealed.open(vault, hsm)).await;
        self.note(asked, now)
    }

    /// What is to be known of it from now on, and said in the log where that is new.
    pub(super) fn learn(&self, state: HsmState, said: &str, now: Timestamp) {
        let mut known = self.known.lock();
        let is_new = known.said != said;
        *known = Known { state, said: said.to_owned(), asked_at: Some(now) };
        drop(known);
        match (is_new, state) {
            (true, HsmState::Answers) => tracing::info!(hsm = self.hsm.name(), "the HSM answers"),
            (true, _) => tracing::warn!(why = said, "the HSM does not do what it is asked"),
            (false, _) => tracing::debug!(why = said, "the HSM is as before"),
        }
    }

    fn note<T>(&self, answer: Result<T, HsmError>, now: Timestamp) -> Result<T, HsmError> {
        match &answer {
            Ok(_) => self.learn(HsmState::Answers, "", now),
            Err(error) => self.learn(state_of(error), &error.to_string(), now),
        }
        answer
    }

    /// A thread of its own: one that never comes back is left behind, where the pool of the runtime would wait for it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Hsm) -> Result<T, HsmError> + Send + 'static,
    ) -> Result<T, HsmError> {
        let late = |what: &str| {
            let seconds = self.within.as_secs();
            HsmError::Unreachable(format!("{} {what} within {seconds} s: it is asked again", self.hsm.name()))
        };
        let turn = timeout(self.within, self.turn.clone().lock_owned()).await;
        let turn = turn.map_err(|_| late("has not answered the question before"))?;
        if self.state() == HsmState::PinRefused {
            return Err(HsmError::Pin(self.known.lock().said.clone()));
        }
        let (tell, told) = oneshot::channel();
        let hsm = self.hsm.clone();
        let asking = std::thread::Builder::new().name("hsm".to_owned()).spawn(move || {
            // Nobody waits any more for an answer that comes late: the key in it is wiped here.
            drop(tell.send(question(hsm.as_ref())));
            drop(turn);
        });
        asking.map_err(|error| HsmError::Unreachable(format!("there is no thread to ask the HSM: {error}")))?;
        match timeout(self.within, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(HsmError::Unreachable(format!("{} broke off", self.hsm.name()))),
            Err(_) => Err(late("has not answered")),
        }
    }
}

/// Which key shall seal, for a thread of its own.
pub(super) enum OwnedKey {
    Labelled(Option<Vec<u8>>),
    New,
}

impl OwnedKey {
    fn as_key(&self) -> HsmKey<'_> {
        match self {
            Self::Labelled(prefer) => HsmKey::Labelled { prefer: prefer.as_deref() },
            Self::New => HsmKey::New,
        }
    }
}

const fn state_of(error: &HsmError) -> HsmState {
    match error {
        HsmError::Unreachable(_) => HsmState::Unreachable,
        HsmError::Pin(_) => HsmState::PinRefused,
        HsmError::NoKey(_) => HsmState::NoKey,
        HsmError::Refused(_) => HsmState::Refused,
    }
}
