//! Another key for a customer: everything that it seals, under the new one, whatever else happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{KeyRotation, KeyRotationState, ScrubOutcome};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan, Snapshot};
use claviger_store::{
    Batch, Keyring, MemoryStore, Row, RowId, Sealed, SealedBy, SealedPut, Store as _, StoreKey, Table, customer_row,
    opens, other_customer_row,
};

use super::world::{Refused as _, World, may, of, part, seconds};
use crate::error::{Error, Result};
use crate::records::IdempotencyRecord;
use crate::seal::Opening;
use crate::{Once, Vault};

/// Longer than the last look waits.
const LONG: i64 = 60;

impl World {
    pub async fn rotate_key(&self) -> Result<KeyRotation> {
        let (open, root) = (self.open(), self.root().await);
        open.rotate_customer_key(&part("acme"), &root, may(&open, &root, Resource::Operator)).await
    }

    pub async fn key_rotation(&self) -> Result<KeyRotation> {
        let (open, root) = (self.open(), self.root().await);
        let status = open.key_rotation(&part("acme"), may(&open, &root, Resource::Operator)).await?;
        status.key_rotation.ok_or_else(Error::not_found)
    }

    async fn key_state(&self) -> KeyRotationState {
        self.key_rotation().await.unwrap().state
    }

    /// The keys of a copy of the store, by the shares that are held, as whoever has stolen both would have them.
    pub async fn stolen(&self, rows: &Snapshot) -> Keyring {
        let store = MemoryStore::new();
        store.restore(rows.clone());
        let mut opening = Opening::of(Sealed::new(Arc::new(store))).await.unwrap();
        opening.give(self.shares.first().unwrap()).await.unwrap().unwrap()
    }
}

/// The rows of a customer that its own key seals or wraps.
fn its_rows(rows: &Snapshot, customer: CustomerId) -> BTreeMap<RowId2, (RowId, Row)> {
    let of = |(key, row): (&StoreKey, &Row)| {
        let id = RowId::from_key(key).unwrap();
        let wrapped_by_it = |id: &RowId| ![5, 11].contains(&id.id()[0]);
        let its = match id.table().sealed_by() {
            SealedBy::Owner => true,
            SealedBy::Wrapped => wrapped_by_it(&id),
            SealedBy::Operator | SealedBy::Nobody => false,
        };
        (its && id.scope() == Scope::Customer(customer)).then(|| (id.to_string(), (id, row.clone())))
    };
    rows.rows().filter_map(of).collect()
}

type RowId2 = String;

/// How many of these rows a keyring opens.
fn opened(keyring: &Keyring, rows: &BTreeMap<RowId2, (RowId, Row)>) -> usize {
    rows.values().filter(|(id, row)| opens(keyring, id, row).is_ok()).count()
}

/// Does what is due, once.
async fn act_once(world: &World) {
    let open = world.open();
    for timer in open.due().await.unwrap() {
        Box::pin(open.act(timer)).await.unwrap();
    }
}

async fn works(world: &World) {
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&tess, held.id).await.is_ok());
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
    world.check().await;
}

#[tokio::test]
async fn all_of_a_customer_is_under_the_new_key_and_the_old_one_opens_nothing_that_is_there() {
    let mut world = World::new().await;
    let (acme, tess) = (world.acme().await, world.tess().await);
    works(&world).await;
    let held = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
    let before = world.store.snapshot();
    let its = its_rows(&before, acme);
    let old = world.stolen(&before).await;
    assert_eq!(opened(&old, &its), its.len());
    assert_eq!(world.key_rotation().await.problem(), ProblemType::NotFound);

    let begun = world.rotate_key().await.unwrap();
    assert_eq!((begun.state, begun.rows), (KeyRotationState::Spreading, 0));
    assert_eq!(world.rotate_key().await.unwrap(), begun, "asked again it is the same");
    let (open, root) = (world.open(), world.root().await);
    let status = async || open.status(&world.vault, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(status().await.key_rotations, 1);
    // A copy that is taken at any moment of it opens as a whole.
    while world.key_state().await != KeyRotationState::Proving {
        let copy = world.store.snapshot();
        let rows = its_rows(&copy, acme);
        assert_eq!(opened(&world.stolen(&copy).await, &rows), rows.len());
        act_once(&world).await;
    }
    let proving = world.key_rotation().await.unwrap();
    assert_eq!(proving.state, KeyRotationState::Proving);
    assert!(proving.rows_done == proving.rows && proving.rows >= its.len() as u64, "{proving:?}");
    assert!(
        world.store.snapshot().row(&other_customer_row(acme).to_key()).is_some(),
        "the old key waits for one more look"
    );
    world.check().await;

    world.pass(seconds(LONG)).await;
    let ended = world.key_rotation().await.unwrap();
    assert!(ended.state == KeyRotationState::Ended && ended.ended_at.is_some(), "{ended:?}");
    assert_eq!(status().await.key_rotations, 0);
    let after = world.store.snapshot();
    assert_eq!(after.row(&other_customer_row(acme).to_key()), None);
    // Whoever has the old key and today's rows opens none of them; today's keys open none of the old rows.
    let now = its_rows(&after, acme);
    let new = world.stolen(&after).await;
    assert_eq!((opened(&old, &now), opened(&new, &now)), (0, now.len()));
    assert_eq!(opened(&new, &its), 0);
    assert_eq!(opened(open.keyring(), &its), 0, "nor does the server");
    // What is there keeps its place, revision and order.
    for (name, (id, row)) in &its {
        let Some((_, now)) = now.get(name) else { continue };
        assert!(now.revision >= row.revision && (now.value != row.value), "{id}");
        assert!(id.table() != Table::LogLeaves || now.revision == row.revision, "{id}");
    }
    assert!(
        its.values().filter(|(id, _)| id.table() == Table::LogLeaves).all(|(id, _)| now.contains_key(&id.to_string()))
    );
    for scope in [Scope::Operator, Scope::Customer(acme)] {
        for kind in [EventKind::CustomerKeyRotating, EventKind::CustomerKeySwitched, EventKind::CustomerKeyRotated] {
            assert_eq!(world.told(scope, kind).await.len(), 1, "{kind}");
        }
    }
    let again = world.reveal(&tess, held.id).await.unwrap();
    drop((again, open));
    world.check().await;
    let found = crate::scrub::findings(&world.vault).await.unwrap();
    assert!(found.faults.is_empty(), "{:?}", found.faults);

    // After a restart, and once more.
    world.crash(1).await;
    works(&world).await;
    assert_eq!(world.rotate_key().await.unwrap().state, KeyRotationState::Spreading);
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Ended);
    works(&world).await;
}

/// Each commit of it fails once in each way, then the server starts again.
#[tokio::test]
async fn it_goes_on_after_a_crash_at_any_commit() {
    for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
        for n in 1.. {
            let mut world = World::new().await;
            let (acme, tess) = (world.acme().await, world.tess().await);
            let held = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
            let its = its_rows(&world.store.snapshot(), acme);
            let root = world.root().await;
            world.store.set_faults(FaultPlan::nth_commit(n, fault));
            let open = world.open();
            let asked = open.rotate_customer_key(&part("acme"), &root, may(&open, &root, Resource::Operator)).await;
            let mut failed = asked.is_err();
            drop(open);
            if !failed {
                failed = !world.step().await.is_empty();
                world.clock.advance(seconds(LONG));
                failed |= !world.step().await.is_empty();
            }
            world.store.set_faults(FaultPlan::none());
            let whole = !failed && world.key_state().await == KeyRotationState::Ended && n > 1;
            world.crash(n).await;
            world.check().await;
            if world.key_rotation().await.is_err() {
                world.rotate_key().await.unwrap();
            }
            world.pass(seconds(LONG)).await;
            assert_eq!(world.key_state().await, KeyRotationState::Ended, "{fault:?} at {n}");
            let new = world.stolen(&world.store.snapshot()).await;
            let now = its_rows(&world.store.snapshot(), acme);
            assert_eq!((opened(&new, &its), opened(&new, &now)), (0, now.len()), "{fault:?} at {n}");
            world.reveal(&world.tess().await, held.id).await.unwrap();
            works(&world).await;
            // Faults that the writer settles by itself are no failures: so far that there were no more commits.
            if whole && n > 12 {
                break;
            }
        }
    }
}

/// What was sealed before the keys changed places, and comes to be stored after it, is under the new one.
#[tokio::test]
async fn nothing_comes_to_be_stored_under_a_key_that_was_replaced() {
    let world = World::new().await;
    let acme = world.acme().await;
    let open = world.open();
    let prepared = |n: u8| {
        let id = RowId::idempotency(Scope::Customer(acme), &[n; 32]);
        let record =
            IdempotencyRecord { request: [0; 32], resource: uuid::Uuid::from_u128(n.into()), created_at: open.now() };
        let event = open.automatic(Scope::Customer(acme), EventKind::VaultLookedAfter, "system/test");
        open.change(event)
            .create(id, &record)
            .unwrap()
            .prepare(|event| event.prepare(|_| None::<Arc<claviger_crypto::SubjectKey>>, open.random()))
            .unwrap()
    };
    let (late, too_late) = (prepared(1), prepared(2));
    world.rotate_key().await.unwrap();
    world.step().await;
    assert_eq!(world.key_state().await, KeyRotationState::Proving);
    open.commit_prepared(late).await.unwrap();
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Ended);
    assert_eq!(open.commit_prepared(too_late).await.map(drop).problem(), ProblemType::Conflict, "it is decided anew");
    let after = world.store.snapshot();
    let now = its_rows(&after, acme);
    assert_eq!(opened(&world.stolen(&after).await, &now), now.len());
    world.check().await;
}

/// A row that is changed between a look at it and the commit stays as it was changed.
#[tokio::test]
async fn a_change_that_comes_between_wins() {
    let (world, store) = World::interrupted().await;
    let (acme, tess) = (world.acme().await, world.tess().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.rotate_key().await.unwrap();
    while world.key_state().await != KeyRotationState::Resealing {
        act_once(&world).await;
    }
    let (meanwhile, holder, id) = (world.clone(), tess.clone(), held.id);
    store.after(Table::Checkouts, async move {
        meanwhile.check_in(&holder, id).await.unwrap();
    });
    act_once(&world).await;
    assert!(store.has_interrupted());
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Ended);
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    let now = its_rows(&world.store.snapshot(), acme);
    assert_eq!(opened(&world.stolen(&world.store.snapshot()).await, &now), now.len());
    world.check().await;
}

/// A decision that was made before a row was sealed anew is stored after it: the revision is the same.
#[tokio::test]
async fn nobodys_decision_is_lost_to_it() {
    let world = World::new().await;
    let (acme, open) = (world.acme().await, world.open());
    let id = RowId::idempotency(Scope::Customer(acme), &[7; 32]);
    let record = |n| IdempotencyRecord { request: [n; 32], resource: uuid::Uuid::nil(), created_at: open.now() };
    let event = || open.automatic(Scope::Customer(acme), EventKind::VaultLookedAfter, "system/test");
    open.commit(open.change(event()).create(id.clone(), &record(1)).unwrap()).await.unwrap();
    let read = open.load::<IdempotencyRecord>(&id).await.unwrap();
    let before = world.store.snapshot().row(&id.to_key()).unwrap().clone();
    world.rotate_key().await.unwrap();
    world.step().await;
    let now = world.store.snapshot().row(&id.to_key()).unwrap().clone();
    assert!(now.revision == before.revision && now.value != before.value);
    open.commit(open.change(event()).update(&read, &record(2)).unwrap()).await.unwrap();
    assert_eq!(open.load::<IdempotencyRecord>(&id).await.unwrap().value.request, [2; 32]);
    world.check().await;
}

#[tokio::test]
async fn a_locked_customers_key_waits_and_goes_on_when_it_is_unlocked() {
    let mut world = World::new().await;
    let acme = world.acme().await;
    world.rotate_key().await.unwrap();
    world.step().await;
    world.lock(acme, true).await.unwrap();
    world.step().await;
    assert!(!world.open().keyring().holds(Scope::Customer(acme)));
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Proving, "what is known of it is shown");
    world.crash(1).await;
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Proving);
    world.unlock(acme).await.unwrap();
    world.pass(seconds(LONG)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Ended);
    works(&world).await;

    world.lock(acme, true).await.unwrap();
    world.step().await;
    assert_eq!(world.rotate_key().await.problem(), ProblemType::CustomerLocked);
}

#[tokio::test]
async fn an_offboarding_in_the_midst_of_it_destroys_both_keys_first_of_all() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.rotate_key().await.unwrap();
    world.step().await;
    world.lock(acme, true).await.unwrap();
    world.step().await;
    world.offboard(acme, "acme").await.unwrap();
    // It comes no further than the first commit.
    world.store.set_faults(FaultPlan::nth_commit(2, CommitFault::Refused));
    let open = world.open();
    for timer in open.due().await.unwrap() {
        drop(Box::pin(open.act(timer)).await);
    }
    world.store.set_faults(FaultPlan::none());
    let rows = world.store.snapshot();
    let left = [customer_row(acme), other_customer_row(acme)].map(|id| rows.row(&id.to_key()).is_some());
    assert!(left == [false, false] && !its_rows(&rows, acme).is_empty(), "{left:?}");
    world.pass(seconds(LONG)).await;
    assert!(world.store.snapshot().rows().all(|(key, _)| {
        let id = RowId::from_key(key).unwrap();
        id.scope() != Scope::Customer(acme) || [Table::LogHeads, Table::LogTiles].contains(&id.table())
    }));
}

/// Where nobody can say whether a commit was stored, its entry is looked for; another node may have sealed it anew by then.
#[tokio::test]
async fn an_entry_that_was_sealed_anew_meanwhile_is_known_again() {
    let (world, store) = World::interrupted().await;
    let (acme, open) = (world.acme().await, world.open());
    world.rotate_key().await.unwrap();
    let id = RowId::log_leaf(Scope::Customer(acme), open.head(Scope::Customer(acme)).await.unwrap().frontier.size());
    world.store.set_faults(FaultPlan::nth_commit(1, CommitFault::UnknownApplied));
    let (meanwhile, entry) = (world.clone(), id.clone());
    store.after(Table::LogHeads, async move {
        let (open, rows) = (meanwhile.open(), &meanwhile.store);
        let put = async |puts: Vec<SealedPut>| {
            let put = puts.into_iter().map(|put| (put.key, put.row)).collect();
            rows.commit(Batch { put, ..Batch::default() }).await.unwrap();
        };
        put(open.keyring().switched_keys(rows, acme, open.random()).await.unwrap().into()).await;
        open.keyring().refresh_customer(rows, acme).await.unwrap();
        let row = rows.get(&entry.to_key()).await.unwrap().unwrap();
        put(vec![open.keyring().resealed(&entry, &row, open.random()).unwrap().unwrap()]).await;
    });
    let event = open.automatic(Scope::Customer(acme), EventKind::VaultLookedAfter, "system/test");
    let stored = open.commit(open.change(event)).await.unwrap();
    assert!(store.has_interrupted());
    assert_eq!(Some(stored.index()), id.number());
}

/// The root key changes at each step of it, and a vault that is unsealed afterwards has both keys.
#[tokio::test]
async fn root_keys_rekeys_and_seals_come_in_between_at_every_step() {
    for step in 0..4 {
        let mut world = World::new().await;
        let acme = world.acme().await;
        world.rotate_key().await.unwrap();
        if step > 0 {
            for _ in 0..step {
                act_once(&world).await;
            }
        }
        world.rotate_root().await.unwrap();
        works(&world).await;
        world.shares = Arc::new(vec![world.rekeyed().await]);
        world.vault = Vault::new(world.vault.ground().clone()).into();
        world.unseal().await;
        world.pass(seconds(LONG)).await;
        assert_eq!(world.key_state().await, KeyRotationState::Ended, "{step}");
        world.rotate_root().await.unwrap();
        world.crash(1).await;
        works(&world).await;
        let now = its_rows(&world.store.snapshot(), acme);
        assert_eq!(opened(&world.stolen(&world.store.snapshot()).await, &now), now.len());
    }
}

/// A check of the store reads one moment, in which rows are under a key that ends before they are read: then it reads another.
#[tokio::test]
async fn a_key_that_ends_during_a_scrub_is_no_fault() {
    let (world, store) = World::interrupted().await;
    world.rotate_key().await.unwrap();
    let before = world.vault.ground().store.view().await.unwrap();
    let meanwhile = world.clone();
    store.after_view(async move {
        meanwhile.pass(seconds(LONG)).await;
        assert_eq!(meanwhile.key_state().await, KeyRotationState::Ended);
    });
    crate::scrub::scrub(&world.vault).await.unwrap();
    assert!(store.has_interrupted());
    let (open, root) = (world.open(), world.root().await);
    let last = open.scrub(may(&open, &root, Resource::Operator)).last.unwrap();
    assert_eq!((last.outcome, last.faults.len()), (ScrubOutcome::Clean, 0));
    let of_before = crate::scrub::findings_in(&world.vault, before.as_ref()).await.unwrap();
    assert!(!of_before.faults.is_empty(), "the old key opens nothing any more, of no moment");
}

/// A page of the log's index is stored beside the journal: one that was sealed before the key ended is made again.
#[tokio::test]
async fn a_page_of_the_index_is_never_under_a_key_that_is_gone() {
    let (world, store) = World::interrupted().await;
    let (acme, open) = (world.acme().await, world.open());
    for _ in 0..256 {
        let event = open.automatic(Scope::Customer(acme), EventKind::VaultLookedAfter, "system/test");
        open.commit(open.change(event)).await.unwrap();
    }
    world.rotate_key().await.unwrap();
    world.step().await;
    let meanwhile = world.clone();
    store.before_commit(Table::LogIndex, async move {
        meanwhile.pass(seconds(LONG)).await;
        assert_eq!(meanwhile.key_state().await, KeyRotationState::Ended);
    });
    assert!(open.index_a_block().await.unwrap() && store.has_interrupted());
    while open.index_a_block().await.unwrap() {}
    let rows = its_rows(&world.store.snapshot(), acme);
    assert!(rows.values().any(|(id, _)| id.table() == Table::LogIndex));
    assert_eq!(opened(open.keyring(), &rows), rows.len());
}

/// A row that no key opens is not left behind: the old key stays until it is set right.
#[tokio::test]
async fn a_row_that_does_not_open_keeps_the_old_key_until_it_is_set_right() {
    let world = World::new().await;
    let acme = world.acme().await;
    let rows = world.store.snapshot();
    let (id, row) = its_rows(&rows, acme).into_values().find(|(id, _)| id.table() == Table::Secrets).unwrap();
    let damaged =
        Row { revision: row.revision, value: row.value.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>().into() };
    world.rotate_key().await.unwrap();
    world.store.restore(world.store.snapshot().with(id.to_key(), Some(damaged)));
    world.step().await;
    world.pass(seconds(LONG)).await;
    let waiting = world.key_rotation().await.unwrap();
    assert_eq!((waiting.state, waiting.unopened_rows), (KeyRotationState::Proving, 1));
    world.store.restore(world.store.snapshot().with(id.to_key(), Some(row)));
    world.pass(seconds(2 * 3600)).await;
    assert_eq!(world.key_state().await, KeyRotationState::Ended);
    works(&world).await;
}

#[tokio::test]
async fn only_who_keeps_the_vault_has_a_key_replaced() {
    let world = World::new().await;
    let open = world.open();
    for caller in [world.tess().await, world.bot().await] {
        let refused = open.permit::<claviger_core::policy::SysRekey>(&caller, &Resource::Operator).await;
        assert_eq!(refused.problem(), ProblemType::Forbidden);
    }
    let root = world.root().await;
    let nobody = open.rotate_customer_key(&part("nobody"), &root, may(&open, &root, Resource::Operator)).await;
    assert_eq!(nobody.problem(), ProblemType::NotFound);
}
