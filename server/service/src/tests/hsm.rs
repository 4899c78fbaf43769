//! A vault that an HSM has sealed. The HSM here is simulated, for what a real one cannot be made to do on demand: hang, be gone for
//! one question, refuse a PIN and count the tries. `tests/tests/hsm.rs` has a real one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{HsmState, HsmStatus, InitRequest, NewSeal, SealKind, SealState};
use claviger_api::{Scope, Secret};
use claviger_core::policy::Resource;
use claviger_crypto::hsm::{HSM_IV_BYTES, HSM_SEALED_BYTES, Hsm, HsmError, HsmKey};
use claviger_store::memory::{CommitFault, FaultPlan};
use parking_lot::Mutex;

use super::rekey::{begin, give, restart, works};
use super::world::{Refused as _, World, may, part, wire_secret};
use crate::seal::Device;
use crate::seal::automatic::PROBE_EVERY;
use crate::{Ground, Vault};

/// Longer than a simulated answer takes, shorter than a person waits.
const WITHIN: Duration = Duration::from_millis(200);

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Gone,
    WrongPin,
    Empty,
    Hanging,
}

/// What it keeps: under the id of a key and what was bound, the secret.
type Kept = HashMap<(Vec<u8>, Vec<u8>), [u8; 32]>;

/// A safe that gives back what was put into it.
struct SimulatedHsm {
    mood: Mutex<Mood>,
    keys: Mutex<Vec<Vec<u8>>>,
    kept: Mutex<Kept>,
    /// How often it was asked for something, whatever came of it.
    questions: Mutex<u32>,
    logins: Mutex<u32>,
    hang: Mutex<Receiver<()>>,
    let_go: Sender<()>,
}

impl SimulatedHsm {
    fn new() -> Arc<Self> {
        let (let_go, hang) = channel();
        Arc::new(Self {
            mood: Mutex::new(Mood::Well),
            keys: Mutex::default(),
            kept: Mutex::default(),
            questions: Mutex::default(),
            logins: Mutex::default(),
            hang: Mutex::new(hang),
            let_go,
        })
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn logins(&self) -> u32 {
        *self.logins.lock()
    }

    fn questions(&self) -> u32 {
        *self.questions.lock()
    }

    fn let_in(&self) -> Result<(), HsmError> {
        *self.questions.lock() += 1;
        let mood = *self.mood.lock();
        match mood {
            Mood::Gone => return Err(HsmError::Unreachable("it is gone".to_owned())),
            Mood::Hanging => drop(self.hang.lock().recv()),
            Mood::Well | Mood::WrongPin | Mood::Empty => {}
        }
        *self.logins.lock() += 1;
        match mood {
            Mood::WrongPin => Err(HsmError::Pin("a wrong PIN".to_owned())),
            Mood::Empty => Err(HsmError::NoKey("no such key".to_owned())),
            Mood::Well | Mood::Gone | Mood::Hanging => Ok(()),
        }
    }
}

impl Hsm for SimulatedHsm {
    fn name(&self) -> &'static str {
        "the simulated HSM"
    }

    fn seal(
        &self,
        which: HsmKey<'_>,
        new_id: &[u8],
        iv: &mut [u8; HSM_IV_BYTES],
        aad: &[u8],
        key: &[u8; 32],
    ) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
        self.let_in()?;
        let mut keys = self.keys.lock();
        let with = match (which, keys.as_slice()) {
            (HsmKey::New, _) | (HsmKey::Labelled { .. }, []) => {
                keys.push(new_id.to_vec());
                new_id.to_vec()
            }
            (HsmKey::Labelled { .. }, [one]) => one.clone(),
            (HsmKey::Labelled { prefer }, _) => prefer.unwrap().to_vec(),
        };
        self.kept.lock().insert((with.clone(), [iv.as_slice(), aad].concat()), *key);
        Ok((with, vec![7; HSM_SEALED_BYTES]))
    }

    fn open(
        &self,
        id: &[u8],
        iv: &[u8; HSM_IV_BYTES],
        aad: &[u8],
        _: &[u8],
        key: &mut [u8; 32],
    ) -> Result<(), HsmError> {
        self.let_in()?;
        let kept = self.kept.lock();
        let found = kept.get(&(id.to_vec(), [iv.as_slice(), aad].concat()));
        *key = *found.ok_or_else(|| HsmError::Refused("another key has sealed this".to_owned()))?;
        Ok(())
    }
}

/// A vault that this HSM may seal; what a restart leaves of it.
fn behind(world: &mut World, hsm: &Arc<SimulatedHsm>) {
    let device = Device::within(hsm.clone(), WITHIN);
    world.vault = Vault::new(Ground { hsm: Some(device), ..world.vault.ground().clone() }).into();
}

/// A vault that it has sealed, with 2 of 3 recovery shares, as it stands after a restart.
async fn sealed_by_hsm() -> (World, Arc<SimulatedHsm>, Vec<Secret>) {
    let (mut world, hsm) = (World::bare(), SimulatedHsm::new());
    behind(&mut world, &hsm);
    let request = InitRequest::Pkcs11 { shares: 3, threshold: 2, administrator: part("root") };
    let made = world.vault.init(request).await.unwrap();
    step(&world).await;
    world.enrol("root", made.enrolment.secret()).await;
    let shares = made.shares.into_iter().map(wire_secret).collect();
    behind(&mut world, &hsm);
    (world, hsm, shares)
}

/// One turn of the worker that opens the vault.
async fn step(world: &World) {
    let answer = world.vault.ask_hsm().await;
    world.vault.take_answer(answer).await;
}

async fn status(world: &World) -> (SealState, HsmStatus) {
    let status = world.vault.seal_status().await.unwrap();
    assert_eq!(status.kind, Some(SealKind::Pkcs11));
    (status.seal, status.hsm.unwrap())
}

async fn is_sealed_since(world: &World, state: HsmState, opens_by_itself: bool) {
    let (seal, hsm) = status(world).await;
    assert_eq!((seal, hsm.state, hsm.opens_by_itself), (SealState::Sealed, state, opens_by_itself));
}

async fn seal(world: &World) {
    let (open, root) = (world.open(), world.root().await);
    world.vault.seal(&open, &root, may(&open, &root, Resource::Operator)).await.unwrap();
}

#[tokio::test]
async fn it_opens_by_itself_after_a_restart_and_says_by_what() {
    let (mut world, hsm, shares) = sealed_by_hsm().await;
    assert_eq!(shares.len(), 3);
    is_sealed_since(&world, HsmState::Asking, true).await;
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);
    assert_eq!(status(&world).await.1.state, HsmState::Answers);
    assert_eq!(world.told_of(EventKind::VaultUnsealed).await.last().map(String::as_str), Some("by its HSM"));
    // An open one asks now and then, no more.
    let asked = hsm.logins();
    step(&world).await;
    assert_eq!(hsm.logins(), asked);

    world.vault = Vault::new(Ground { hsm: None, ..world.vault.ground().clone() }).into();
    is_sealed_since(&world, HsmState::NotConfigured, false).await;
    world.vault.unseal(&shares[0], None).await.unwrap();
    assert_eq!(world.vault.unseal(&shares[2], None).await.unwrap().seal, SealState::Unsealed);
    assert_eq!(world.told_of(EventKind::VaultUnsealed).await.last().map(String::as_str), Some("by recovery shares"));
}

#[tokio::test]
async fn recovery_shares_open_it_where_the_hsm_is_gone_and_it_opens_by_itself_when_it_is_back() {
    let (mut world, hsm, shares) = sealed_by_hsm().await;
    hsm.is(Mood::Gone);
    for _ in 0..3 {
        step(&world).await;
        is_sealed_since(&world, HsmState::Unreachable, true).await;
    }
    let given = world.vault.unseal(&shares[1], None).await.unwrap();
    assert_eq!((given.seal, given.threshold, given.provided), (SealState::Sealed, 2, 1));
    step(&world).await;
    assert_eq!(world.vault.seal_status().await.unwrap().provided, 1, "a try of the HSM forgets no share");
    assert_eq!(world.vault.unseal(&shares[0], None).await.unwrap().seal, SealState::Unsealed);

    behind(&mut world, &hsm);
    step(&world).await;
    is_sealed_since(&world, HsmState::Unreachable, true).await;
    hsm.is(Mood::Empty);
    step(&world).await;
    is_sealed_since(&world, HsmState::NoKey, true).await;
    hsm.is(Mood::Well);
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);
}

/// Each try could be the one that locks the token.
#[tokio::test]
async fn a_refused_pin_is_not_tried_again_before_a_restart() {
    let (mut world, hsm, shares) = sealed_by_hsm().await;
    hsm.is(Mood::WrongPin);
    let before = hsm.logins();
    for _ in 0..5 {
        step(&world).await;
        is_sealed_since(&world, HsmState::PinRefused, false).await;
    }
    assert_eq!(hsm.logins(), before + 1);
    for share in [&shares[0], &shares[1]] {
        world.vault.unseal(share, None).await.unwrap();
    }
    // Nor by a rekey.
    let new = NewSeal::Pkcs11 { shares: 1, threshold: 1, new_key: false };
    assert_eq!(begin(&world, new).await.problem(), ProblemType::Unavailable);
    assert_eq!(hsm.logins(), before + 1);
    hsm.is(Mood::Well);
    behind(&mut world, &hsm);
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);
}

#[tokio::test]
async fn what_an_operator_has_sealed_stays_sealed_until_a_restart_or_shares() {
    let (mut world, hsm, shares) = sealed_by_hsm().await;
    step(&world).await;
    seal(&world).await;
    let before = hsm.logins();
    step(&world).await;
    is_sealed_since(&world, HsmState::Answers, false).await;
    assert_eq!(hsm.logins(), before);
    for share in [&shares[0], &shares[1]] {
        world.vault.unseal(share, None).await.unwrap();
    }
    assert_eq!(status(&world).await.0, SealState::Unsealed);
    seal(&world).await;
    behind(&mut world, &hsm);
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);
}

/// An answer that was under way when an operator sealed the vault opens nothing.
#[tokio::test]
async fn an_answer_that_comes_after_a_seal_opens_nothing() {
    let (world, _, shares) = sealed_by_hsm().await;
    let answer = world.vault.ask_hsm().await;
    for share in [&shares[0], &shares[1]] {
        world.vault.unseal(share, None).await.unwrap();
    }
    seal(&world).await;
    world.vault.take_answer(answer).await;
    is_sealed_since(&world, HsmState::Answers, false).await;
}

#[tokio::test]
async fn one_that_hangs_holds_up_nothing_and_has_one_thread() {
    let (world, hsm, shares) = sealed_by_hsm().await;
    let asked = hsm.questions();
    hsm.is(Mood::Hanging);
    for _ in 0..2 {
        step(&world).await;
        is_sealed_since(&world, HsmState::Unreachable, true).await;
    }
    assert_eq!(hsm.questions(), asked + 1, "while it owes an answer it is asked nothing else");
    for share in [&shares[0], &shares[1]] {
        world.vault.unseal(share, None).await.unwrap();
    }
    assert_eq!(status(&world).await.0, SealState::Unsealed);
    let before = hsm.logins();
    hsm.is(Mood::Well);
    // The one question that it owes an answer to, and no more.
    hsm.let_go.send(()).unwrap();
    while hsm.logins() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(WITHIN).await;
    assert_eq!(hsm.logins(), before + 1);
}

#[tokio::test]
async fn a_rekey_takes_the_seal_from_shares_to_the_hsm_and_back() {
    let (mut world, hsm) = (World::new().await, SimulatedHsm::new());
    let old = world.shares[0].duplicate();
    let new = || NewSeal::Pkcs11 { shares: 3, threshold: 2, new_key: false };
    assert_eq!(begin(&world, new()).await.problem(), ProblemType::InvalidValue, "the server names no HSM");
    behind(&mut world, &hsm);
    world.unseal().await;
    hsm.is(Mood::Gone);
    assert_eq!(begin(&world, new()).await.problem(), ProblemType::Unavailable);
    hsm.is(Mood::Well);
    let (rekey, recovery) = begin(&world, new()).await.unwrap();
    assert_eq!((rekey.new.kind, rekey.new.needed, recovery.len()), (SealKind::Pkcs11, 2, 3));
    // The HSM alone agrees to nothing, and gives nothing back in the place of people.
    for key in [&old, &recovery[0]] {
        assert!(!give(&world, &rekey, key).await.unwrap().done);
    }
    assert!(give(&world, &rekey, &recovery[2]).await.unwrap().done);
    works(&world).await;

    behind(&mut world, &hsm);
    assert_eq!(world.vault.unseal(&old, None).await.problem(), ProblemType::WrongShare);
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);

    // Another key of the HSM, and new recovery shares: agreed to by holders of those that there are.
    let new = NewSeal::Pkcs11 { shares: 2, threshold: 2, new_key: true };
    let (rekey, newer) = begin(&world, new).await.unwrap();
    assert_eq!(hsm.keys.lock().len(), 2);
    for key in [&newer[0], &newer[1], &recovery[1]] {
        assert!(!give(&world, &rekey, key).await.unwrap().done);
    }
    assert!(give(&world, &rekey, &recovery[0]).await.unwrap().done);
    hsm.keys.lock().remove(0);
    restart(&mut world);
    behind(&mut world, &hsm);
    assert_eq!(world.vault.unseal(&recovery[0], None).await.problem(), ProblemType::WrongShare);
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);

    let (rekey, shares) = begin(&world, NewSeal::Shamir { shares: 1, threshold: 1 }).await.unwrap();
    for key in [&newer[0], &newer[1]] {
        give(&world, &rekey, key).await.unwrap();
    }
    assert!(give(&world, &rekey, &shares[0]).await.unwrap().done);
    behind(&mut world, &hsm);
    step(&world).await;
    let status = world.vault.seal_status().await.unwrap();
    assert_eq!((status.seal, status.kind, status.hsm), (SealState::Sealed, Some(SealKind::Shamir), None));
    assert_eq!(world.vault.unseal(&shares[0], None).await.unwrap().seal, SealState::Unsealed);
    works(&world).await;
}

/// What the HSM opens and the vault does not: it says so, and goes on trying.
#[tokio::test]
async fn a_store_that_does_not_take_the_event_leaves_it_sealed() {
    let (world, ..) = sealed_by_hsm().await;
    world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    step(&world).await;
    is_sealed_since(&world, HsmState::NotOpened, true).await;
    world.store.set_faults(FaultPlan::none());
    step(&world).await;
    assert_eq!(status(&world).await.0, SealState::Unsealed);
}

/// That it would not open the vault is better known before the next start.
#[tokio::test]
async fn an_open_vault_asks_now_and_then() {
    let (world, hsm, _) = sealed_by_hsm().await;
    step(&world).await;
    hsm.is(Mood::Empty);
    step(&world).await;
    assert_eq!(status(&world).await.1.state, HsmState::Answers);
    world.clock.advance(PROBE_EVERY);
    step(&world).await;
    let (seal, hsm) = status(&world).await;
    assert_eq!((seal, hsm.state, hsm.is_failing()), (SealState::Unsealed, HsmState::NoKey, true));
}

impl World {
    /// The details of what the operator's log tells of this, in its order.
    async fn told_of(&self, kind: EventKind) -> Vec<String> {
        use claviger_api::wire::AuditQuery;
        let (open, root) = (self.open(), self.root().await);
        let query = AuditQuery { kind: Some(kind.text().to_owned()), ..AuditQuery::default() };
        let (paging, permit) = (crate::Paging::new(None, None).unwrap(), may(&open, &root, Resource::Operator));
        let found = open.audit_events(Scope::Operator, &query, &paging, &root, permit).await.unwrap().items;
        let mut told: Vec<String> = found.iter().filter_map(|event| event.fields.get("detail").cloned()).collect();
        told.reverse();
        told
    }
}
