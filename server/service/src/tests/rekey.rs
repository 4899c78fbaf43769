//! Another root key, and another way to open the vault.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, BegunRekey, NewCustomer, NewSeal, Rekey, ScrubFaultKind, SealKind, SealState};
use claviger_api::{Scope, Secret};
use claviger_core::policy::{Resource, SysRekey};
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{Purpose, Row, RowId, Table};
use uuid::Uuid;

use super::world::{Refused as _, World, may, of, part, seconds, secret, wire_secret};
use crate::error::Result;
use crate::{Once, Paging, Vault};

/// Two of three shares, where one opened it before.
const TWO_OF_THREE: NewSeal = NewSeal::Shamir { shares: 3, threshold: 2 };

pub async fn begin(world: &World, new: NewSeal) -> Result<(Rekey, Vec<Secret>)> {
    let (open, root) = (world.open(), world.root().await);
    let BegunRekey { shares, rekey } = open.begin_rekey(new, &root, may(&open, &root, Resource::Operator)).await?;
    Ok((rekey, shares.into_iter().map(wire_secret).collect()))
}

pub async fn give(world: &World, rekey: &Rekey, key: &Secret) -> Result<Rekey> {
    world.open().give_rekey_key(rekey.id, key).await
}

async fn rotate_root(world: &World) -> Result<()> {
    world.rotate_root().await
}

/// What a restart leaves, before anybody unseals.
pub fn restart(world: &mut World) {
    world.vault = Vault::new(world.vault.ground().clone()).into();
}

pub async fn works(world: &World) {
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&tess, held.id).await.is_ok());
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
    world.check().await;
}

async fn add_customer(world: &World, slug: &str) -> Result<()> {
    let (open, root) = (world.open(), world.root().await);
    let new = NewCustomer { slug: part(slug), display_name: slug.to_owned() };
    open.add_customer(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.map(drop)
}

impl World {
    pub async fn rotate_root(&self) -> Result<()> {
        let (open, root) = (self.open(), self.root().await);
        open.rotate_root(&root, may(&open, &root, Resource::Operator)).await
    }

    /// Changes the seal to one share of one, and returns it.
    pub async fn rekeyed(&self) -> Secret {
        let new = NewSeal::Shamir { shares: 1, threshold: 1 };
        let (rekey, shares) = begin(self, new).await.unwrap();
        give(self, &rekey, self.shares.first().unwrap()).await.unwrap();
        let [share] = shares.as_slice() else { panic!("one share") };
        assert!(give(self, &rekey, share).await.unwrap().done);
        share.duplicate()
    }
}

/// How often the operator's log tells of this.
async fn told(world: &World, kind: EventKind) -> usize {
    let (open, root) = (world.open(), world.root().await);
    let query = AuditQuery { kind: Some(kind.text().to_owned()), ..AuditQuery::default() };
    let (paging, permit) = (Paging::new(None, None).unwrap(), may(&open, &root, Resource::Operator));
    open.audit_events(Scope::Operator, &query, &paging, &root, permit).await.unwrap().items.len()
}

#[tokio::test]
async fn a_rekey_counts_when_the_old_holders_agreed_and_the_new_keys_came_back() {
    let mut world = World::new().await;
    let old = world.shares[0].duplicate();
    let (rekey, new) = begin(&world, TWO_OF_THREE).await.unwrap();
    assert_eq!((rekey.old.needed, rekey.new.needed, rekey.new.kind, new.len()), (1, 2, SealKind::Shamir, 3));
    assert!(!give(&world, &rekey, &new[0]).await.unwrap().done);
    assert!(!give(&world, &rekey, &new[2]).await.unwrap().done, "the new keys alone change nothing");

    // A restart now: nothing has changed.
    restart(&mut world);
    assert_eq!(world.vault.unseal(&new[0], None).await.problem(), ProblemType::WrongShare);
    assert_eq!(world.vault.unseal(&old, None).await.unwrap().seal, SealState::Unsealed);
    assert_eq!(give(&world, &rekey, &new[0]).await.problem(), ProblemType::NotFound, "it is forgotten");

    let (rekey, new) = begin(&world, TWO_OF_THREE).await.unwrap();
    for key in [&new[1], &old] {
        assert!(!give(&world, &rekey, key).await.unwrap().done);
    }
    assert_eq!(give(&world, &rekey, &new[1]).await.problem(), ProblemType::WrongShare, "twice the same is one");
    let done = give(&world, &rekey, &new[2]).await.unwrap();
    assert!(done.done && done.old.given == 1 && done.new.given == 2);
    assert!(give(&world, &rekey, &new[0]).await.unwrap().done, "a repeat of a lost answer says so too");
    works(&world).await;
    add_customer(&world, "later").await.unwrap();

    restart(&mut world);
    assert_eq!(
        world.vault.unseal(&old, None).await.problem(),
        ProblemType::WrongShare,
        "the old one is good for nothing"
    );
    assert_eq!(world.vault.unseal(&new[0], None).await.unwrap().seal, SealState::Sealed);
    assert_eq!(world.vault.unseal(&new[1], None).await.unwrap().seal, SealState::Unsealed);
    works(&world).await;
    let later = world.open().customer_named(&part("later")).await.unwrap();
    assert!(world.open().keyring().holds(Scope::Customer(later)));
    assert_eq!(told(&world, EventKind::VaultRekeyed).await, 1);
}

#[tokio::test]
async fn a_passphrase_takes_the_place_of_shares_and_shares_that_of_a_passphrase() {
    let mut world = World::new().await;
    let (old, words) = (world.shares[0].duplicate(), secret("brisk walnut under gravel, again"));
    let too_short = NewSeal::Passphrase { passphrase: secret("fifteen letters").disclose() };
    assert_eq!(begin(&world, too_short).await.problem(), ProblemType::InvalidValue);
    let (rekey, none) = begin(&world, NewSeal::Passphrase { passphrase: words.duplicate().disclose() }).await.unwrap();
    assert!(none.is_empty());
    assert_eq!(give(&world, &rekey, &secret("something else altogether")).await.problem(), ProblemType::WrongShare);
    give(&world, &rekey, &old).await.unwrap();
    assert!(give(&world, &rekey, &words).await.unwrap().done);
    restart(&mut world);
    assert_eq!(world.vault.unseal(&words, None).await.unwrap().seal, SealState::Unsealed);

    // The same words again, e.g. for another root key: they are the old ones and the new ones.
    let (rekey, _) = begin(&world, NewSeal::Passphrase { passphrase: words.duplicate().disclose() }).await.unwrap();
    assert!(give(&world, &rekey, &words).await.unwrap().done);

    let (rekey, new) = begin(&world, TWO_OF_THREE).await.unwrap();
    for key in [&new[0], &words] {
        assert!(!give(&world, &rekey, key).await.unwrap().done);
    }
    assert!(give(&world, &rekey, &new[1]).await.unwrap().done);
    restart(&mut world);
    assert_eq!(world.vault.unseal(&words, None).await.problem(), ProblemType::WrongShare);
    world.vault.unseal(&new[1], None).await.unwrap();
    world.vault.unseal(&new[2], None).await.unwrap();
    works(&world).await;
}

#[tokio::test]
async fn one_rekey_at_a_time_is_cancelled_or_ends_with_its_hour() {
    let world = World::new().await;
    let old = world.shares[0].duplicate();
    let (first, new) = begin(&world, TWO_OF_THREE).await.unwrap();
    assert_eq!(begin(&world, TWO_OF_THREE).await.problem(), ProblemType::InUse);
    let (open, root) = (world.open(), world.root().await);
    open.cancel_rekey(&root, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(open.cancel_rekey(&root, may(&open, &root, Resource::Operator)).await.problem(), ProblemType::NotFound);
    assert_eq!(give(&world, &first, &old).await.problem(), ProblemType::NotFound);

    let (second, _) = begin(&world, TWO_OF_THREE).await.unwrap();
    assert_eq!(give(&world, &second, &new[0]).await.problem(), ProblemType::WrongShare, "of the cancelled one");
    give(&world, &second, &old).await.unwrap();
    world.clock.advance(seconds(3600));
    assert_eq!(give(&world, &second, &old).await.problem(), ProblemType::NotFound);
    let root = world.root().await;
    assert!(open.rekey(may(&open, &root, Resource::Operator)).await.rekey.is_none());
    begin(&world, TWO_OF_THREE).await.unwrap();
    assert_eq!(told(&world, EventKind::VaultRekeyCancelled).await, 1);
}

/// The point of it: whoever has a copy of the store from before, and all that is in memory or given out now, opens nothing.
#[tokio::test]
async fn a_store_from_before_opens_with_none_of_the_new_keys() {
    let mut world = World::new().await;
    let (before, old) = (world.moment(), world.shares[0].duplicate());
    rotate_root(&world).await.unwrap();
    assert_eq!(told(&world, EventKind::VaultRootRotated).await, 1);
    let (rekey, new) = begin(&world, TWO_OF_THREE).await.unwrap();
    for key in [&old, &new[0], &new[1]] {
        give(&world, &rekey, key).await.unwrap();
    }
    let after = world.moment();
    for id in [RowId::meta("seal"), RowId::key(Scope::Operator, Purpose::Operator, Uuid::nil())] {
        let (was, is) = (before.rows.row(&id.to_key()).unwrap(), after.rows.row(&id.to_key()).unwrap());
        assert_ne!(was, is, "{id}");
    }
    // The old store as it was, and the new keys.
    world.store.restore(before.rows.clone());
    restart(&mut world);
    assert_eq!(world.vault.unseal(&new[0], None).await.problem(), ProblemType::WrongShare);
    // The old store with the new seal's row: the root key that it gives opens nothing there.
    let seal = RowId::meta("seal").to_key();
    world.store.restore(before.rows.clone().with(seal.clone(), after.rows.row(&seal).cloned()));
    restart(&mut world);
    world.vault.unseal(&new[0], None).await.unwrap();
    assert!(world.vault.unseal(&new[1], None).await.is_err());
    // The new store with the old seal's row, and the old share.
    world.store.restore(after.rows.clone().with(seal.clone(), before.rows.row(&seal).cloned()));
    restart(&mut world);
    assert!(world.vault.unseal(&old, None).await.is_err());
}

/// Whatever the store answers, the vault opens afterwards, and by the keys that it says.
#[tokio::test]
async fn no_fault_leaves_a_vault_that_nobody_can_open() {
    for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
        let mut world = World::new().await;
        let old = world.shares[0].duplicate();
        let (rekey, new) = begin(&world, TWO_OF_THREE).await.unwrap();
        for key in [&new[0], &new[1]] {
            give(&world, &rekey, key).await.unwrap();
        }
        world.store.set_faults(FaultPlan::nth_commit(1, fault));
        let answer = give(&world, &rekey, &old).await;
        world.store.set_faults(FaultPlan::none());
        let taken = fault == CommitFault::UnknownApplied;
        assert_eq!(answer.is_ok_and(|rekey| rekey.done), taken, "{fault:?}");
        // A customer that is added now can be read after the restart.
        add_customer(&world, "later").await.unwrap();
        restart(&mut world);
        for key in if taken { vec![&new[0], &new[2]] } else { vec![&old] } {
            world.vault.unseal(key, None).await.unwrap();
        }
        works(&world).await;
        let later = world.open().customer_named(&part("later")).await.unwrap();
        assert!(world.open().keyring().holds(Scope::Customer(later)), "{fault:?}");
    }
}

/// Its own key was never wrapped under a root key that is not stored, however the two meet.
#[tokio::test]
async fn a_customer_that_is_added_while_the_root_key_changes_has_its_key() {
    let mut world = World::new().await;
    let rotating = async {
        for _ in 0..5 {
            rotate_root(&world).await.unwrap();
        }
    };
    let adding = async {
        for n in 0..10 {
            add_customer(&world, &format!("c{n}")).await.unwrap();
        }
    };
    tokio::join!(rotating, adding);
    let rows = world.store.snapshot();
    let customers = rows.rows().filter(|(key, _)| RowId::from_key(key).unwrap().table() == Table::Customers).count();
    restart(&mut world);
    world.unseal().await;
    assert_eq!(world.open().keyring().customers().len(), customers);
    world.check().await;
}

/// A scrub looks at one moment; the keys that its rows are wrapped under may be others by the time that it reads them.
#[tokio::test]
async fn a_root_key_that_changes_during_a_scrub_is_no_fault() {
    let world = World::new().await;
    let before = world.vault.ground().store.view().await.unwrap();
    rotate_root(&world).await.unwrap();
    assert_eq!(crate::scrub::findings_in(&world.vault, before.as_ref()).await.unwrap().faults, []);
    // One that does not open now either is one.
    let key = RowId::key(Scope::Operator, Purpose::Lookup, Uuid::nil()).to_key();
    let mut row = world.store.snapshot().row(&key).unwrap().clone();
    row.value = row.value.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>().into();
    world.store.restore(world.store.snapshot().with(key, Some(row)));
    let kinds = async |view: &dyn claviger_store::View| {
        let found = crate::scrub::findings_in(&world.vault, view).await.unwrap();
        found.faults.into_iter().map(|fault| fault.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(before.as_ref()).await, [ScrubFaultKind::DoesNotOpen]);
}

/// Vaults from before the root key was wrapped: their shares are of the root key itself.
#[tokio::test]
async fn a_vault_whose_shares_are_of_the_root_key_opens_and_is_rekeyed() {
    use claviger_crypto::{SealKey, Seeded, shares};
    let mut world = World::new().await;
    // Its seal's row as it was written then, over keys that the shares' own bytes wrap.
    let (seal, vault) = (SealKey::generate(&Seeded::new(5)), Uuid::from_u128(9));
    let share = shares::split(&seal, vault, 1, 1, &Seeded::new(6)).unwrap().remove(0);
    let open = world.open();
    let random = world.vault.ground().random.clone();
    let rewrapped = open.keyring().rewrapped(&world.store, &seal.as_root(), &*random).await.unwrap();
    let text = serde_json::json!({
        "vault": vault, "check": seal.check_value(), "kind": "shamir", "shares": 1, "threshold": 1,
    });
    let mut rows = world.store.snapshot();
    let key = RowId::meta("seal").to_key();
    let revision = rows.row(&key).unwrap().revision;
    let row = Row { revision, value: serde_json::to_vec(&text).unwrap().into() };
    rows = rows.with(key, Some(row));
    for put in rewrapped {
        rows = rows.with(put.key, Some(put.row));
    }
    drop(open);
    world.store.restore(rows);
    restart(&mut world);
    assert_eq!(world.vault.unseal(&share, None).await.unwrap().seal, SealState::Unsealed);
    rotate_root(&world).await.unwrap();
    restart(&mut world);
    assert_eq!(world.vault.unseal(&share, None).await.unwrap().seal, SealState::Unsealed, "the share stays the same");
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&tess, held.id).await.is_ok());
}

#[tokio::test]
async fn only_an_administrator_who_is_there_begins_one() {
    let world = World::new().await;
    let open = world.open();
    for caller in [world.tess().await, world.bot().await] {
        assert_eq!(open.permit::<SysRekey>(&caller, &Resource::Operator).await.problem(), ProblemType::Forbidden);
    }
}
