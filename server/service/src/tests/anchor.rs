//! An older store in the place of a newer one, and what was kept outside of it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::ProbeResult;
use parking_lot::Mutex;

use super::world::{Moment, Refused as _, World, may};
use crate::audit::anchor::Anchor;
use crate::{Ground, Result, Vault};

/// An anchor as a file is: it keeps what it was given last.
#[derive(Default)]
struct Kept {
    note: Mutex<Option<String>>,
    gone: Mutex<bool>,
}

impl Anchor for Kept {
    fn read(&self) -> io::Result<Option<String>> {
        if *self.gone.lock() { Err(io::Error::other("the volume is gone")) } else { Ok(self.note.lock().clone()) }
    }

    fn write(&self, note: &str) -> io::Result<()> {
        if *self.gone.lock() {
            return Err(io::Error::other("the volume is gone"));
        }
        *self.note.lock() = Some(note.to_owned());
        Ok(())
    }
}

/// A vault with an anchor, and two moments of its life.
struct Case {
    world: World,
    anchor: Arc<Kept>,
    earlier: Moment,
}

impl Case {
    async fn new() -> Self {
        let (mut world, anchor) = (World::new().await, Arc::new(Kept::default()));
        begin_again(&mut world, &anchor);
        world.unseal().await;
        publish(&world).await;
        let earlier = world.moment();
        let root = world.root().await;
        world.rotate(&root, "app").await.unwrap();
        world.step().await;
        publish(&world).await;
        Self { world, anchor, earlier }
    }

    /// A server on the older store.
    fn roll_back(&mut self) {
        self.world.store.restore(self.earlier.rows.clone());
        begin_again(&mut self.world, &self.anchor);
    }

    async fn unseal(&self, accept: Option<&str>) -> Result<()> {
        self.world.vault.unseal(self.world.shares.first().unwrap(), accept).await.map(drop)
    }
}

fn begin_again(world: &mut World, anchor: &Arc<Kept>) {
    let anchors: Vec<Arc<dyn Anchor>> = vec![anchor.clone()];
    world.vault = Vault::new(Ground { anchors, ..world.vault.ground().clone() }).into();
}

async fn publish(world: &World) {
    world.open().publish_checkpoints(&mut HashMap::new()).await.unwrap();
}

#[tokio::test]
async fn anvil_stale_copy_an_older_store_does_not_open_without_a_reason() {
    let mut case = Case::new().await;
    case.roll_back();
    assert_eq!(case.unseal(None).await.problem(), ProblemType::StoreRolledBack);
    assert!(case.world.vault.open().is_err(), "it stays sealed");
    assert_eq!(case.unseal(Some("\n")).await.problem(), ProblemType::InvalidValue, "that is no reason");

    case.unseal(Some("the disk died; this is last night's backup")).await.unwrap();
    let told = case.world.told(claviger_api::Scope::Operator, EventKind::VaultRollbackAccepted).await;
    assert_eq!(told.len(), 1);
    assert!(told[0].fields["cause"].contains("last night's backup"), "{told:?}");
    assert!(told[0].fields["detail"].contains("entries once"), "{told:?}");
    begin_again(&mut case.world, &case.anchor);
    case.unseal(None).await.expect("the anchor was moved back with it");
    let root = case.world.root().await;
    let (open, place) = (case.world.open(), case.world.place("app").await);
    let tried = open.verify_account(place, &root, may(&open, &root, place.resource())).await.unwrap();
    assert_eq!(tried.result, ProbeResult::Refused, "what was rotated since is not in it: that is why it is refused");
}

#[tokio::test]
async fn anvil_stale_copy_another_past_of_the_same_length_is_noticed() {
    let mut case = Case::new().await;
    case.roll_back();
    // Somebody runs the older copy where the anchor cannot be reached, until its log is the longer one.
    *case.anchor.gone.lock() = true;
    case.unseal(None).await.expect("what cannot be reached says nothing");
    for _ in 0..20 {
        publish(&case.world).await;
    }
    *case.anchor.gone.lock() = false;
    begin_again(&mut case.world, &case.anchor);
    let refused = case.unseal(None).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::StoreRolledBack);
    assert!(refused.detail.contains("others than they were"), "{}", refused.detail);
}

#[tokio::test]
async fn an_anchor_of_another_vault_or_none_at_all() {
    let mut case = Case::new().await;
    *case.anchor.note.lock() = None;
    begin_again(&mut case.world, &case.anchor);
    case.unseal(None).await.expect("the first anchor is yet to be written");
    publish(&case.world).await;
    assert!(case.anchor.note.lock().is_some());

    *case.anchor.note.lock() = Some("not a note".to_owned());
    begin_again(&mut case.world, &case.anchor);
    assert_eq!(case.unseal(None).await.problem(), ProblemType::StoreRolledBack, "nobody overwrites one to be let in");
}

/// The journal and the anchor are two places: whatever is lost in between, a store that only went on is taken.
#[tokio::test]
async fn a_store_that_is_newer_than_its_anchor_opens() {
    let mut case = Case::new().await;
    *case.anchor.gone.lock() = true;
    let root = case.world.root().await;
    case.world.rotate(&root, "app").await.unwrap();
    case.world.step().await;
    assert_eq!(case.world.open().published().anchors_failing, 0);
    publish(&case.world).await;
    let published = case.world.open().published();
    assert_eq!((published.at, published.anchors_failing), (Some(case.world.now()), 1), "for whoever scrapes");
    *case.anchor.gone.lock() = false;
    begin_again(&mut case.world, &case.anchor);
    case.unseal(None).await.unwrap();
    case.world.check().await;
}
