//! What an attacker at the disk can do: swap, put back, delete. What cannot be refused at read is found by the digest.

use claviger_api::Scope;
use claviger_api::problem::ProblemType;
use claviger_store::{Row, RowId, StoreKey, Table};

use super::invariants::digest;
use super::world::{Refused as _, World, of, standing};
use crate::Once;

fn rows(world: &World, scope: Scope) -> Vec<(RowId, Row)> {
    let rows = world.store.snapshot();
    let rows = rows.rows().map(|(key, row)| (RowId::from_key(key).unwrap(), row.clone()));
    rows.filter(|(id, _)| id.scope() == scope).collect()
}

#[tokio::test]
async fn anvil_tamper_an_old_row_put_back_or_a_row_deleted_is_found() {
    let world = World::new().await;
    let (tess, acme) = (world.tess().await, world.acme().await);
    let scopes = [Scope::Operator, Scope::Customer(acme)];
    let earlier = world.store.snapshot();
    for _ in 0..5 {
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.step().await;
    }
    let open = world.open();
    let mut stored = Vec::new();
    for scope in scopes {
        stored.push(open.head(scope).await.unwrap().digest);
        assert_eq!(digest(&open, &rows(&world, scope)), *stored.last().unwrap());
    }
    let whole = world.store.snapshot();
    let counted = |key: &StoreKey| RowId::from_key(key).unwrap().table().counts_in_freshness();
    let (mut back, mut gone) = (0, 0);
    for (key, row) in whole.rows().filter(|(key, _)| counted(key)) {
        let scope = RowId::from_key(key).unwrap().scope();
        let stored = stored[scopes.iter().position(|other| *other == scope).unwrap()];
        world.store.restore(whole.clone().with(key.clone(), None));
        assert_ne!(digest(&open, &rows(&world, scope)), stored, "deleted: {key}");
        gone += 1;
        if let Some(old) = earlier.row(key).filter(|old| *old != row) {
            world.store.restore(whole.clone().with(key.clone(), Some(old.clone())));
            assert_ne!(digest(&open, &rows(&world, scope)), stored, "put back: {key}");
            back += 1;
        }
    }
    // And a row that was deleted, back from the dead.
    for (key, old) in earlier.rows().filter(|(key, _)| counted(key) && whole.row(key).is_none()) {
        let scope = RowId::from_key(key).unwrap().scope();
        world.store.restore(whole.clone().with(key.clone(), Some(old.clone())));
        assert_ne!(digest(&open, &rows(&world, scope)), stored[usize::from(scope != Scope::Operator)]);
        back += 1;
    }
    assert!(back >= 1 && gone > 30, "{back} put back, {gone} deleted");
}

/// A record in another's place does not open.
#[tokio::test]
async fn anvil_tamper_a_row_in_anothers_place_is_refused_at_read() {
    let world = World::new().await;
    world.add_account("acme", "db1", standing("other", "of the other")).await.unwrap();
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let whole = world.store.snapshot();
    let (app, other) = (world.place("app").await, world.place("other").await);
    let secret = |account| RowId::secret(app.customer, account, 1).to_key();
    let swapped = whole.row(&secret(other.account)).unwrap().clone();
    world.store.restore(whole.clone().with(secret(app.account), Some(swapped)));
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::Unavailable);
    for table in [Table::Checkouts, Table::AccountStates, Table::Accounts] {
        let mut rows = whole.rows().filter(|(key, _)| RowId::from_key(key).unwrap().table() == table);
        let (key, row) = rows.next().unwrap();
        let revision = Row { revision: row.revision + 1, ..row.clone() };
        let mut bytes = row.value.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let flipped = Row { value: bytes.into(), ..row.clone() };
        for changed in [revision, flipped] {
            world.store.restore(whole.clone().with(key.clone(), Some(changed)));
            let open = world.open();
            let id = RowId::from_key(key).unwrap();
            let refused = if table == Table::Checkouts {
                open.read::<crate::records::CheckoutRecord>(&id).await.err()
            } else if table == Table::AccountStates {
                open.read::<crate::records::StateRecord>(&id).await.err()
            } else {
                open.read::<crate::records::AccountRecord>(&id).await.err()
            };
            assert!(refused.is_some(), "{id}");
        }
    }
}
