//! A locked customer: nothing goes on there, and its key is not in memory.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, Customer, LockCustomer, LockState, NewCustomer, OffboardCustomer};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::{CustomerLock, Resource};
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{RowId, Table};

use super::world::{FIRST_SECRET, Refused as _, World, may, of, part, seconds, standing};
use crate::error::Result;
use crate::records::StateRecord;
use crate::{Once, Paging};

/// More than a lock makes, with the rotation of what was held.
const COMMITS: u64 = 16;

impl World {
    pub async fn lock(&self, customer: CustomerId, at_once: bool) -> Result<Customer> {
        let (open, root) = (self.open(), self.root().await);
        let lock = LockCustomer { reason: "a suspicion".to_owned(), at_once };
        open.lock_customer(customer, &lock, &root, may(&open, &root, Resource::Customer(customer))).await
    }

    pub async fn unlock(&self, customer: CustomerId) -> Result<Customer> {
        let (open, root) = (self.open(), self.root().await);
        open.unlock_customer(customer, "it was none", &root, may(&open, &root, Resource::Customer(customer))).await
    }

    pub async fn offboard(&self, customer: CustomerId, confirm: &str) -> Result<Customer> {
        let (open, root) = (self.open(), self.root().await);
        let offboard = OffboardCustomer {
            reason: "the contract is over".to_owned(),
            confirm: part(confirm),
            without_hand_over: true,
        };
        open.offboard_customer(customer, &offboard, &root, may(&open, &root, Resource::Customer(customer))).await
    }

    /// The root of a customer's log.
    async fn head_of(&self, customer: CustomerId) -> String {
        self.open().head(Scope::Customer(customer)).await.unwrap().frontier.root().to_string()
    }

    /// How many entries of a customer's log are stored.
    fn entries(&self, customer: CustomerId) -> usize {
        let rows = self.store.snapshot();
        let ids = rows.rows().filter_map(|(key, _)| RowId::from_key(key).ok());
        ids.filter(|id| id.table() == Table::LogLeaves && id.scope() == Scope::Customer(customer)).count()
    }

    async fn lock_state(&self, customer: CustomerId) -> Option<LockState> {
        let (open, root) = (self.open(), self.root().await);
        let shown = open.customer(customer, may(&open, &root, Resource::Customer(customer))).await.unwrap();
        shown.lock.map(|lock| lock.state)
    }

    /// Another customer, with an account `globex/db2/app`.
    async fn second(&self) -> CustomerId {
        let (open, root) = (self.open(), self.root().await);
        let new = NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
        let id = open.add_customer(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap().id;
        self.add_system("globex", "db2").await;
        self.add_account("globex", "db2", standing("other", "of another")).await.unwrap();
        id
    }
}

#[tokio::test]
async fn a_lock_ends_and_rotates_what_is_held_then_nothing_of_the_customer_can_be_read() {
    let world = World::new().await;
    let (acme, globex, tess) = (world.acme().await, world.second().await, world.tess().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let waiting = world.tom().await;

    let locking = world.lock(acme, false).await.unwrap().lock.unwrap();
    assert_eq!((locking.state, locking.at_once), (LockState::Locking, false));
    assert_eq!(world.check_out(&waiting, &of("shared"), &Once::none()).await.problem(), ProblemType::CustomerLocked);
    world.step().await;
    world.pass(seconds(10)).await;
    assert_eq!(world.lock_state(acme).await, Some(LockState::Locked));
    assert!(!world.system.opens("app", FIRST_SECRET), "what was seen was rotated first");

    // Nothing of it is known, and what is known of others is as ever.
    let open = world.open();
    assert!(!open.keyring().holds(Scope::Customer(acme)) && open.keyring().holds(Scope::Customer(globex)));
    let refused = world.check_out(&tess, &of("app"), &Once::none()).await.err().unwrap();
    assert_eq!((refused.problem, refused.locked), (ProblemType::CustomerLocked, Some(acme)));
    let state = RowId::account_state(acme, claviger_api::AccountId::from_uuid(uuid::Uuid::from_u128(1)));
    assert!(open.read::<StateRecord>(&state).await.unwrap().is_none());
    for row in open
        .ground()
        .store
        .scan(&claviger_store::Range::scope(Table::AccountStates, Scope::Customer(acme)))
        .await
        .unwrap()
    {
        let id = RowId::from_key(&row.0).unwrap();
        assert_eq!(open.read::<StateRecord>(&id).await.problem(), ProblemType::CustomerLocked, "not from what is kept");
    }
    let root = world.root().await;
    let permit = || may(&open, &root, Resource::Operator);
    let status = open.status(&world.vault, permit()).await.unwrap();
    assert_eq!((status.customers, status.locked_customers), (2, 1));
    let paging = Paging::new(None, None).unwrap();
    assert_eq!(open.customers(&paging, &root).await.unwrap().items.len(), 2);
    assert!(open.awaiting(&paging, &root).await.unwrap().items.is_empty());
    let (query, permit) = (AuditQuery::default(), may(&open, &root, Resource::Customer(acme)));
    let events = open.audit_events(Scope::Customer(acme), &query, &paging, &root, permit).await;
    assert_eq!(events.problem(), ProblemType::CustomerLocked);
    open.look_after_secrets().await.unwrap();
    open.purge().await;
    assert_eq!(world.told(Scope::Operator, EventKind::CustomerLocked).await.len(), 1);

    // A restart does not take its key in, and what falls due waits.
    world.vault.close();
    world.unseal().await;
    assert!(!world.open().keyring().holds(Scope::Customer(acme)));
    assert_eq!(
        world.lock(acme, true).await.unwrap().lock.unwrap().state,
        LockState::Locked,
        "asked again it is the same"
    );
    assert!(world.step().await.is_empty());
    let found = crate::scrub::findings(&world.vault).await.unwrap();
    assert!(found.faults.is_empty() && found.locked_rows > 0, "{:?}", found.faults);

    assert!(world.unlock(acme).await.unwrap().lock.is_none());
    assert!(world.unlock(acme).await.unwrap().lock.is_none(), "asked again it is the same");
    world.step().await;
    let tess = world.tess().await;
    let again = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, again.id).await.unwrap();
    for kind in [EventKind::CustomerLocking, EventKind::CustomerLocked, EventKind::CustomerUnlocked] {
        assert_eq!(world.told(Scope::Operator, kind).await.len(), 1, "{kind}");
        assert_eq!(world.told(Scope::Customer(acme), kind).await.len(), 1, "{kind}");
    }
    world.check().await;
}

#[tokio::test]
async fn a_lock_waits_for_a_system_that_does_not_answer_unless_it_is_told_not_to() {
    let world = World::new().await;
    let (acme, tess) = (world.acme().await, world.tess().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.system.machine().unreachable = true;
    world.lock(acme, false).await.unwrap();
    world.pass(seconds(120)).await;
    assert_eq!(world.lock_state(acme).await, Some(LockState::Locking));
    let told = world.told(Scope::Customer(acme), EventKind::CustomerLockWaits).await;
    assert!((4..=12).contains(&told.len()) && told[0].fields["detail"] == "1 accounts", "{}", told.len());
    // It may be called off.
    world.unlock(acme).await.unwrap();
    assert_eq!(world.lock_state(acme).await, None);
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);

    world.lock(acme, false).await.unwrap();
    world.step().await;
    world.lock(acme, true).await.unwrap();
    world.step().await;
    assert_eq!(world.lock_state(acme).await, Some(LockState::Locked));
    world.pass(seconds(3600)).await;
    world.system.machine().unreachable = false;
    let before = world.system.machine().sets;
    world.pass(seconds(600)).await;
    assert_eq!(world.system.machine().sets, before, "nothing is done while it is locked");
    world.unlock(acme).await.unwrap();
    world.pass(seconds(600)).await;
    assert!(!world.system.opens("app", FIRST_SECRET), "what waited is done then");
    world.check().await;
}

#[tokio::test]
async fn no_check_out_slips_in_behind_a_lock_and_a_crash_at_any_commit_leaves_it_whole() {
    for n in 1..=COMMITS {
        let mut world = World::new().await;
        let (acme, tess) = (world.acme().await, world.tess().await);
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        // A decision that was made before the lock, and is stored after it.
        let before = world.open().serves(acme).await.unwrap();
        let other = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
        world.lock(acme, false).await.unwrap();
        let open = world.open();
        let event = open.automatic(Scope::Operator, EventKind::VaultLookedAfter, "system/test");
        let late = open.commit(open.change(event).expect_at(RowId::customer(acme), before)).await;
        assert_eq!(late.problem(), ProblemType::Conflict);
        drop(open);

        world.store.set_faults(FaultPlan::nth_commit(n, CommitFault::UnknownApplied));
        world.step().await;
        world.crash(n).await;
        world.pass(seconds(60)).await;
        assert_eq!(world.lock_state(acme).await, Some(LockState::Locked), "commit {n}");
        assert!(world.open().keyring().customers().is_empty());
        world.unlock(acme).await.unwrap();
        world.step().await;
        let tess = world.tess().await;
        for id in [held.id, other.id] {
            assert_eq!(world.reveal(&tess, id).await.problem(), ProblemType::CheckoutEnded);
        }
        assert!(!world.system.opens("app", FIRST_SECRET));
        world.check().await;
    }
}

#[tokio::test]
async fn an_unlock_that_is_not_stored_leaves_the_key_where_it_was() {
    let world = World::new().await;
    let acme = world.acme().await;
    world.lock(acme, true).await.unwrap();
    world.step().await;
    assert_eq!(world.lock_state(acme).await, Some(LockState::Locked));
    let (open, root) = (world.open(), world.root().await);
    let permit = may(&open, &root, Resource::Customer(acme));
    world.store.set_faults(FaultPlan::nth_commit(1, CommitFault::Refused));
    assert!(open.unlock_customer(acme, "it was none", &root, permit).await.is_err());
    assert!(!open.keyring().holds(Scope::Customer(acme)));
    world.store.set_faults(FaultPlan::none());
    world.unlock(acme).await.unwrap();
    assert!(open.keyring().holds(Scope::Customer(acme)));

    for caller in [world.tess().await, world.bot().await] {
        let refused = open.permit::<CustomerLock>(&caller, &Resource::Customer(acme)).await;
        assert_eq!(refused.problem(), ProblemType::Forbidden);
    }
}

#[tokio::test]
async fn of_an_offboarded_customer_nothing_is_left_but_hashes_whatever_crash_comes_between() {
    for n in 1.. {
        let mut world = World::new().await;
        let (acme, globex, tess) = (world.acme().await, world.second().await, world.tess().await);
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        assert_eq!(world.offboard(acme, "acme").await.problem(), ProblemType::InUse, "lock it first");
        world.lock(acme, false).await.unwrap();
        world.pass(seconds(60)).await;
        assert_eq!(world.offboard(acme, "globex").await.problem(), ProblemType::InvalidValue);
        let (root, size) = (world.head_of(acme).await, world.entries(acme));
        assert!(size > 0);
        world.offboard(acme, "acme").await.unwrap();
        assert_eq!(world.unlock(acme).await.problem(), ProblemType::InUse);
        assert_eq!(world.lock_state(acme).await, Some(LockState::Offboarding));

        world.store.set_faults(FaultPlan::nth_commit(n, CommitFault::Refused));
        let failed = world.step().await;
        world.store.set_faults(FaultPlan::none());
        if !failed.is_empty() {
            world.crash(n).await;
            world.step().await;
        }
        let left: Vec<Table> = world
            .store
            .snapshot()
            .rows()
            .filter_map(|(key, _)| RowId::from_key(key).ok())
            .filter(|id| id.scope() == Scope::Customer(acme))
            .map(|id| id.table())
            .collect();
        assert!(left.iter().all(|table| matches!(table, Table::LogHeads | Table::LogTiles)), "{left:?}");
        assert_eq!(world.head_of(acme).await, root, "its log is proven as before");
        assert_eq!(world.open().keyring().customers(), [globex]);
        let (open, admin) = (world.open(), world.root().await);
        let done = open.offboarding(acme, may(&open, &admin, Resource::Operator)).await.unwrap();
        assert_eq!((done.customer, done.slug.as_str()), (acme, "acme"));
        assert!(done.receipt.contains("1 of 1 shares") && done.receipt.contains(&acme.to_string()), "{}", done.receipt);
        let known = [open.verifier_key(Scope::Operator).unwrap()];
        assert!(claviger_api::audit::note::open_note(&done.receipt, &known).is_ok());
        let found = crate::scrub::findings(&world.vault).await.unwrap();
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        assert_eq!(open.customer_named(&part("acme")).await.problem(), ProblemType::NotFound);
        assert_eq!(world.told(Scope::Operator, EventKind::CustomerOffboarded).await.len(), 1);
        assert_eq!(world.told(Scope::Operator, EventKind::CustomerKeyDestroyed).await.len(), 1);

        // Whoever follows has the name, and a vault that works.
        let new = NewCustomer { slug: part("acme"), display_name: "Another".to_owned() };
        let again =
            open.add_customer(&new, &Once::none(), &admin, may(&open, &admin, Resource::Operator)).await.unwrap();
        assert_ne!(again.id, acme);
        world.vault.close();
        world.unseal().await;
        if failed.is_empty() {
            assert!(n > 5, "there are several commits");
            break;
        }
    }
}

/// What a backup from before still opens, and what it does not after a rekey.
#[tokio::test]
async fn a_copy_from_before_is_opened_by_the_old_shares_alone() {
    let case = super::backup::Case::new(10).await;
    let world = &case.world;
    let acme = world.acme().await;
    let before = case.backed_up().await;
    world.lock(acme, true).await.unwrap();
    world.step().await;
    world.offboard(acme, "acme").await.unwrap();
    world.step().await;
    let (open, admin) = (world.open(), world.root().await);
    let done = open.offboarding(acme, may(&open, &admin, Resource::Operator)).await.unwrap();
    assert!(done.receipt.contains(&case.names()[0]), "it names the copy: {}", done.receipt);
    let after = case.backed_up().await;
    assert_eq!(case.proven(&after).await.customers, 1, "its head and tiles are hashes");
    assert!(case.proven(&after).await.faults.is_empty());
    // The same shares still open the old one: this is what the receipt says.
    assert!(case.proven(&before).await.faults.is_empty());

    let new = world.rekeyed().await;
    let mut proof = crate::restore::Proof::begin([before.as_slice()], &case.identity).await.unwrap();
    assert!(proof.give(&new).await.is_err(), "what opens the vault now opens nothing from before");
}
