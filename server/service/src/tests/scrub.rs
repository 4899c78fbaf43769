//! The scrub finds what an attacker at the disk did, and nothing else.

use claviger_api::audit::kind::EventKind;
use claviger_api::wire::{Scrub, ScrubFaultKind, ScrubOutcome, ScrubResult};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::Resource;
use claviger_store::memory::{FaultPlan, Snapshot};
use claviger_store::{Purpose, Row, RowId, StoreKey, Table};
use uuid::Uuid;

use super::world::{World, may, of, part};
use crate::Once;
use crate::scrub::scrub;

/// What a scrub finds in a store that somebody had in hand.
async fn found(world: &World) -> ScrubResult {
    scrub(&world.vault).await.unwrap();
    last(world).await.last.unwrap()
}

async fn last(world: &World) -> Scrub {
    let (open, root) = (world.open(), world.root().await);
    open.scrub(may(&open, &root, Resource::Operator))
}

fn named(result: &ScrubResult) -> Vec<(Option<&str>, ScrubFaultKind)> {
    result.faults.iter().map(|fault| (fault.customer.as_deref(), fault.kind)).collect()
}

/// Each of some rounds writes rows of every sort.
async fn work(world: &World, rounds: usize) {
    let tess = world.tess().await;
    for _ in 0..rounds {
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.step().await;
    }
}

fn in_table(rows: &Snapshot, table: Table, scope: Scope) -> Vec<(StoreKey, Row)> {
    let of = |key: &StoreKey| RowId::from_key(key).is_ok_and(|id| id.table() == table && id.scope() == scope);
    rows.rows().filter(|(key, _)| of(key)).map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// A world with a second customer, some history, and an earlier moment of it.
async fn lived_in() -> (World, CustomerId, Snapshot) {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let globex = claviger_api::wire::NewCustomer { slug: part("globex"), display_name: "Globex".to_owned() };
    open.add_customer(&globex, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    work(&world, 2).await;
    let earlier = world.store.snapshot();
    work(&world, 3).await;
    let acme = world.acme().await;
    (world, acme, earlier)
}

#[tokio::test]
async fn a_store_that_nobody_touched_is_clean_and_the_log_is_not_told() {
    let (world, ..) = Box::pin(lived_in()).await;
    let before = world.store.snapshot();
    let result = found(&world).await;
    assert_eq!((result.outcome, named(&result)), (ScrubOutcome::Clean, vec![]));
    assert_eq!(world.store.snapshot(), before, "a quiet run writes nothing");
    assert_eq!(result.rows, before.rows().count() as u64);
    assert!(result.logs == 3 && result.entries > 50, "{result:?}");
    assert!(!world.open().scrub_is_due(), "the next is tomorrow's");

    let root = world.root().await;
    let permit = may(&world.open(), &root, Resource::Operator);
    let asked = world.open().ask_for_scrub(&root, permit);
    assert!(asked.asked_at.is_some() && world.open().scrub_is_due());
    found(&world).await;
    let told = world.told(Scope::Operator, EventKind::StoreFreshnessChecked).await;
    assert_eq!(told.len(), 1, "whoever asked is named in the log");
    assert!(told[0].fields["detail"].ends_with("3 logs, 0 faults"), "{told:?}");
}

/// Every counted row of the store, put back as it was or deleted; and those that had been deleted, back from the dead.
#[tokio::test]
async fn anvil_tamper_the_scrub_finds_an_old_row_put_back_a_row_deleted_and_one_that_is_back() {
    let (world, _, earlier) = Box::pin(lived_in()).await;
    let whole = world.store.snapshot();
    let counted = |key: &StoreKey| RowId::from_key(key).unwrap().table().counts_in_freshness();
    let owner = |key: &StoreKey| match RowId::from_key(key).unwrap().scope() {
        Scope::Operator => None,
        Scope::Customer(customer) => Some(customer),
    };
    let mut tried = [0; 3];
    let mut last_table = None;
    for (key, row) in whole.rows().filter(|(key, _)| counted(key)) {
        // Two rows of each table, and those that were others before, or this takes a minute.
        let table = RowId::from_key(key).unwrap().table();
        let older = earlier.row(key).filter(|old| *old != row);
        if last_table == Some((table, 1)) && older.is_none() {
            continue;
        }
        last_table = Some((table, last_table.filter(|(last, _)| *last == table).map_or(0, |(_, n)| (n + 1).min(1))));
        let mut cases = vec![(0, None)];
        cases.extend(older.map(|old| (1, Some(old.clone()))));
        for (case, instead) in cases {
            world.store.restore(whole.clone().with(key.clone(), instead));
            let outcome = checked(&world).await;
            assert_eq!(outcome, [(owner(key), ScrubFaultKind::RowsDiffer)], "{key}, {case}");
            tried[case] += 1;
        }
    }
    for (key, old) in earlier.rows().filter(|(key, _)| counted(key) && whole.row(key).is_none()) {
        world.store.restore(whole.clone().with(key.clone(), Some(old.clone())));
        let outcome = checked(&world).await;
        let wanted = [(owner(key), ScrubFaultKind::RowsDiffer), (owner(key), ScrubFaultKind::RowIsBack)];
        assert_eq!(outcome, wanted, "{key}");
        tried[2] += 1;
    }
    assert!(tried.iter().all(|count| *count > 0), "{tried:?}");
}

/// The check alone, of rows as they are: nothing is told.
async fn checked(world: &World) -> Vec<(Option<CustomerId>, ScrubFaultKind)> {
    let found = crate::scrub::findings(&world.vault).await.unwrap();
    let scope = |scope| match scope {
        Scope::Operator => None,
        Scope::Customer(customer) => Some(customer),
    };
    found.faults.iter().map(|fault| (scope(fault.scope), fault.kind)).collect()
}

#[tokio::test]
async fn anvil_tamper_the_scrub_names_a_row_that_was_moved_or_altered_and_whose_it_is() {
    let (world, acme, _) = Box::pin(lived_in()).await;
    let whole = world.store.snapshot();
    let (acme, globex) =
        (Scope::Customer(acme), Scope::Customer(world.open().customer_named(&part("globex")).await.unwrap()));
    let first = |table, scope| in_table(&whole, table, scope).into_iter().next().unwrap();
    let (name, (_, other)) = (first(Table::Names, acme), first(Table::Names, Scope::Operator));
    let key_of = |scope| RowId::key(scope, Purpose::Customer, Uuid::nil()).to_key();
    let (wrapped, others) = (key_of(acme), whole.row(&key_of(globex)).unwrap().clone());
    let (secret, sealed) = first(Table::Secrets, acme);
    let mut flipped = sealed.value.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = Row { value: flipped.into(), ..sealed };
    for (key, instead) in [(name.0, other), (wrapped, others), (secret, flipped)] {
        world.store.restore(whole.clone().with(key.clone(), Some(instead)));
        let result = found(&world).await;
        let wanted = vec![(Some("acme"), ScrubFaultKind::DoesNotOpen), (Some("acme"), ScrubFaultKind::RowsDiffer)];
        assert_eq!((result.outcome, named(&result)), (ScrubOutcome::Differs, wanted));
        let row = RowId::from_key(&key).unwrap().to_string();
        assert_eq!(result.faults[0].row.as_ref(), Some(&row));
        for scope in [acme, Scope::Operator] {
            let told = world.told(scope, EventKind::StoreFreshnessBroken).await;
            assert!(told.len() == 1 && told[0].fields["detail"].contains(&row), "{told:?}");
        }
        assert!(world.told(globex, EventKind::StoreFreshnessBroken).await.is_empty(), "and nobody else");
    }
    let root = world.root().await;
    let status = world.open().status(&world.vault, may(&world.open(), &root, Resource::Operator)).await.unwrap();
    assert_eq!(status.store_faults, 2);

    // A row of no table.
    world.store.restore(
        whole.clone().with(StoreKey::from_stored(vec![0x7f, 1]), Some(whole.rows().next().unwrap().1.clone())),
    );
    assert_eq!(named(&found(&world).await), [(None, ScrubFaultKind::NoSuchTable)]);
}

#[tokio::test]
async fn anvil_tamper_the_scrub_recomputes_every_log_and_names_the_entries() {
    use ScrubFaultKind::{
        Contradicted, DoesNotOpen, EntriesBeyond, EntriesDiffer, EntriesMissing, HeadMissing, TileDiffers,
    };
    let (world, acme, _) = Box::pin(lived_in()).await;
    // More than one tile.
    let open = world.open();
    let tess = world.tess().await;
    let early = world.store.snapshot();
    for _ in 0..300 {
        let event = open.event(Scope::Customer(acme), EventKind::LogRead, &tess);
        open.commit(open.change(event)).await.unwrap();
    }
    open.publish_checkpoints(&mut std::collections::HashMap::new()).await.unwrap();
    let (whole, scope) = (world.store.snapshot(), Scope::Customer(acme));
    assert_eq!(named(&found(&world).await), []);
    let size = open.head(scope).await.unwrap().frontier.size();
    let leaf = |index| RowId::log_leaf(scope, index).to_key();
    let (tile, head) = (RowId::log_tile(scope, 0, 0).to_key(), RowId::log_head(scope).to_key());
    let revise = |key: &StoreKey, like: &StoreKey| {
        Some(Row { revision: whole.row(key).unwrap().revision, ..whole.row(like).unwrap().clone() })
    };
    // What is sealed anew by whoever has the customer's key, under the right name: an entry of another text.
    let forged = |index| {
        let id = RowId::log_leaf(scope, index);
        let row = whole.row(&RowId::log_leaf(scope, 0).to_key()).unwrap();
        let leaf: crate::event::StoredLeaf =
            claviger_store::open_record(open.keyring(), RowId::log_leaf(scope, 0), row).unwrap().value;
        Some(open.sealed().put(open.keyring(), &id, 1, &leaf, open.random()).unwrap().row)
    };
    let last = size - 1;
    let tail = (size - (1 << size.trailing_zeros()), last);
    let cases = [
        (
            "an entry of a tile is forged",
            vec![(leaf(5), forged(5))],
            vec![(EntriesDiffer, Some((0, 255))), (EntriesDiffer, Some((5, 5)))],
        ),
        ("the last entry is forged", vec![(leaf(last), forged(last))], vec![(EntriesDiffer, Some(tail))]),
        ("an entry is another's", vec![(leaf(7), revise(&leaf(7), &leaf(8)))], vec![(DoesNotOpen, None)]),
        ("the first entry is gone", vec![(leaf(0), None)], vec![(EntriesMissing, Some((0, 0)))]),
        ("an entry is gone", vec![(leaf(9), None)], vec![(EntriesMissing, Some((9, 9)))]),
        ("the last entry is gone", vec![(leaf(last), None)], vec![(EntriesMissing, Some((last, last)))]),
        ("an entry too many", vec![(leaf(size), forged(size))], vec![(EntriesBeyond, Some((size, size)))]),
        ("a tile is gone", vec![(tile.clone(), None)], vec![(TileDiffers, Some((0, 255)))]),
        ("the head is gone", vec![(head.clone(), None)], vec![(HeadMissing, None)]),
    ];
    for (case, changes, wanted) in cases {
        let rows = changes.into_iter().fold(whole.clone(), |rows, (key, row)| rows.with(key, row));
        world.store.restore(rows);
        let found = crate::scrub::findings(&world.vault).await.unwrap();
        let named: Vec<_> = found.faults.iter().map(|fault| (fault.kind, fault.entries)).collect();
        assert_eq!(named, wanted, "{case}");
        assert!(found.faults.iter().all(|fault| fault.scope == scope), "{case}");
    }

    // The head of before: it counts neither the rows nor the entries that came after it.
    world.store.restore(whole.clone().with(head.clone(), early.row(&head).cloned()));
    let kinds: Vec<_> = checked(&world).await.into_iter().map(|(_, kind)| kind).collect();
    assert!(kinds.contains(&EntriesBeyond) && kinds.contains(&Contradicted), "{kinds:?}");

    // The whole customer as it was before: all of it fits together, and only the operator's log knows better.
    let of_acme = |key: &StoreKey| RowId::from_key(key).is_ok_and(|id| id.scope() == scope);
    let (keys, before): (Vec<StoreKey>, &Snapshot) = (whole.rows().map(|(key, _)| key.clone()).collect(), &early);
    let keys = keys.into_iter().chain(before.rows().map(|(key, _)| key.clone())).filter(|key| of_acme(key));
    let back = keys.fold(whole.clone(), |rows, key| rows.with(key.clone(), before.row(&key).cloned()));
    world.store.restore(back);
    assert_eq!(checked(&world).await, [(Some(acme), Contradicted)]);
}

/// Writers go on all the while, and what they write is never taken for an attacker's work.
#[tokio::test]
async fn what_is_written_during_a_scrub_is_no_false_alarm() {
    let (world, ..) = Box::pin(lived_in()).await;
    let done = std::cell::Cell::new(false);
    let writing = async {
        let mut rounds = 0;
        while !done.get() {
            work(&world, 1).await;
            rounds += 1;
        }
        rounds
    };
    let scrubbing = async {
        let mut moments = std::collections::BTreeSet::new();
        for _ in 0..15 {
            let before = world.store.snapshot().rows().count() as u64;
            let result = found(&world).await;
            assert_eq!((result.outcome, named(&result)), (ScrubOutcome::Clean, vec![]));
            let after = world.store.snapshot().rows().count() as u64;
            assert!(before <= result.rows, "{before}, {}", result.rows);
            moments.extend((after > result.rows).then_some(result.rows));
        }
        done.set(true);
        moments
    };
    let (rounds, moments) = tokio::join!(writing, scrubbing);
    assert!(rounds > 5 && moments.len() > 5, "it was written meanwhile: {rounds}, {moments:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_fault_and_is_tried_again() {
    let (world, ..) = Box::pin(lived_in()).await;
    world.store.set_faults(FaultPlan::none().reads_where(|n| n == 1));
    let result = found(&world).await;
    assert_eq!((result.outcome, result.faults.len()), (ScrubOutcome::Failed, 0));
    assert!(!world.open().scrub_is_due());
    world.clock.advance(jiff::SignedDuration::from_mins(10));
    assert!(world.open().scrub_is_due());
    assert_eq!(found(&world).await.outcome, ScrubOutcome::Clean);
    world.vault.close();
    assert!(scrub(&world.vault).await.is_err(), "a sealed vault has no keys to check with");
}
