use claviger_crypto::Seeded;

use super::*;
use crate::engine::Batch;
use crate::memory::MemoryStore;
use crate::sealing::SealedPut;

const SEED: u64 = 7;

/// The root key of the tests' vault: the same each time it is asked for.
fn root() -> RootKey {
    RootKey::generate(&Seeded::new(SEED))
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(n))
}

async fn commit(store: &MemoryStore, keys: impl IntoIterator<Item = WrappedKey>) {
    let put = keys.into_iter().map(SealedPut::from).map(|put| (put.key, put.row)).collect();
    store.commit(Batch { put, ..Batch::default() }).await.unwrap();
}

/// A vault with one customer, and its keyring.
async fn vault() -> (MemoryStore, Keyring, Seeded) {
    let (store, random) = (MemoryStore::new(), Seeded::new(1));
    let (keyring, keys) = Keyring::create(root(), &random);
    commit(&store, keys).await;
    commit(&store, [keyring.new_customer(customer(1), &random)]).await;
    (store, keyring, random)
}

/// Whether two keyrings hold the same key for this row.
fn agree(a: &Keyring, b: &Keyring, id: &RowId, random: &Seeded) -> bool {
    let sealed = a.sealer(id).unwrap().seal(id, 1, b"value", random);
    b.sealer(id).unwrap().open(id, &Row { revision: 1, value: sealed.into() }).is_ok()
}

#[tokio::test]
async fn a_hierarchy_opens_again_with_its_root_key() {
    let (store, first, random) = vault().await;
    let second = Keyring::open(&store, root()).await.unwrap();
    assert_eq!(second.customers(), [], "no customer's key is held before it is asked for");
    second.unlock_customer(&store, customer(1)).await.unwrap();
    assert_eq!(second.customers(), [customer(1)]);

    let rows = [RowId::log_head(Scope::Operator), RowId::log_leaf(Scope::Customer(customer(1)), 0)];
    for id in &rows {
        assert!(agree(&first, &second, id, &random), "{id}");
    }
    let name = |keyring: &Keyring| keyring.name(Table::Customers, Scope::Operator, "acme");
    assert_eq!(name(&first), name(&second));
    assert_eq!(first.freshness.term(1, b"", 1, b""), second.freshness.term(1, b"", 1, b""));
    let secret = claviger_api::Secret::new("x".to_owned()).unwrap();
    assert_eq!(first.fingerprint.of(&secret), second.fingerprint.of(&secret));
}

#[tokio::test]
async fn another_root_key_opens_nothing() {
    let (store, ..) = vault().await;
    let wrong = RootKey::generate(&Seeded::new(SEED + 1));
    let error = Keyring::open(&store, wrong).await.err().unwrap();
    assert!(matches!(error, SealedError::Tampered { why: OpenError::WrongKeyOrPlace, .. }), "{error}");
}

#[tokio::test]
async fn a_missing_key_row_is_named() {
    let (store, ..) = vault().await;
    let lookup = operator_row(Purpose::Lookup);
    store.restore(store.snapshot().with(lookup.to_key(), None));
    assert_eq!(Keyring::open(&store, root()).await.err(), Some(SealedError::Missing(lookup)));
}

#[tokio::test]
async fn anvil_tamper_wrapped_keys_cannot_be_swapped() {
    let (store, keyring, random) = vault().await;
    commit(&store, [keyring.new_customer(customer(2), &random)]).await;
    let pairs = [
        (operator_row(Purpose::Lookup), operator_row(Purpose::Fingerprint)),
        (customer_row(customer(1)), customer_row(customer(2))),
        (operator_row(Purpose::Operator), customer_row(customer(1))),
    ];
    for (a, b) in pairs {
        let before = store.snapshot();
        let (row_a, row_b) = (before.row(&a.to_key()).cloned(), before.row(&b.to_key()).cloned());
        assert!(row_a.is_some() && row_b.is_some());
        store.restore(before.clone().with(a.to_key(), row_b).with(b.to_key(), row_a));
        let opened = match Keyring::open(&store, root()).await {
            Ok(keyring) => keyring.unlock_customer(&store, customer(1)).await,
            Err(error) => Err(error),
        };
        assert!(matches!(opened, Err(SealedError::Tampered { .. })), "{a} and {b}: {opened:?}");
        store.restore(before);
    }
}

#[tokio::test]
async fn a_dropped_customer_is_locked_until_unlocked() {
    let (store, keyring, _) = vault().await;
    assert!(keyring.customer(customer(1)).is_ok());
    keyring.drop_customer(customer(1));
    assert_eq!(keyring.customer(customer(1)).err(), Some(SealedError::Locked(customer(1))));
    assert_eq!(customers_with_keys(&store).await.unwrap(), [customer(1)], "it still has a key");
    keyring.unlock_customer(&store, customer(1)).await.unwrap();
    assert!(keyring.customer(customer(1)).is_ok());
    let nobody = keyring.unlock_customer(&store, customer(9)).await;
    assert_eq!(nobody, Err(SealedError::Missing(customer_row(customer(9)))));
}

#[tokio::test]
async fn no_customer_opens_with_anothers_key() {
    let (store, keyring, random) = vault().await;
    commit(&store, [keyring.new_customer(customer(2), &random)]).await;
    let (one, two) = (Scope::Customer(customer(1)), Scope::Customer(customer(2)));
    let value = keyring.owner(one).unwrap().seal(&RowId::log_leaf(one, 0), 1, b"one's", &random);
    let row = Row { revision: 1, value: value.into() };
    let id = RowId::log_leaf(one, 0);
    assert!(keyring.owner(one).unwrap().open(&id, &row).is_ok());
    assert!(keyring.owner(two).unwrap().open(&id, &row).is_err());
    assert!(keyring.owner(Scope::Operator).unwrap().open(&id, &row).is_err());
}

#[tokio::test]
async fn a_persons_key_is_theirs_in_one_scope_and_gone_when_erased() {
    let (store, keyring, random) = vault().await;
    let person = Uuid::from_u128(0xbe);
    let own = Scope::Customer(customer(1));
    for scope in [own, Scope::Operator] {
        assert!(keyring.subject(&store, scope, person).await.unwrap().is_none());
        let (key, row) = keyring.new_subject(scope, person, &random).unwrap();
        commit(&store, [row]).await;
        let again = keyring.subject(&store, scope, person).await.unwrap().unwrap();
        let id = RowId::log_leaf(scope, 0);
        let sealed = seal(&key, &aad(&id, 1), b"name", &random);
        assert_eq!(*open(&again, &aad(&id, 1), &sealed).unwrap(), b"name");
    }
    let row = RowId::key(own, Purpose::Subject, person);
    store.restore(store.snapshot().with(row.to_key(), None));
    assert!(keyring.subject(&store, own, person).await.unwrap().is_none(), "erased");
    keyring.drop_customer(customer(1));
    assert!(matches!(keyring.new_subject(own, person, &random), Err(SealedError::Locked(_))));
}

#[tokio::test]
async fn a_signing_key_opens_again_by_its_id() {
    let (store, keyring, random) = vault().await;
    let (key, row) = keyring.new_signing(Uuid::from_u128(1), &random);
    commit(&store, [row]).await;
    let again = keyring.signing(&store, Uuid::from_u128(1)).await.unwrap();
    assert_eq!(key.public_key(), again.public_key());
    assert!(matches!(keyring.signing(&store, Uuid::from_u128(2)).await, Err(SealedError::Missing(_))));
}

#[tokio::test]
async fn a_wrapped_key_is_never_a_record() {
    let (_, keyring, _) = vault().await;
    let operator = operator_row(Purpose::Operator);
    assert_eq!(keyring.sealer(&operator).err(), Some(SealedError::NotSealed(operator)));
}

#[tokio::test]
async fn customers_are_found_over_many_pages() {
    let (store, keyring, random) = (MemoryStore::new(), Keyring::create(root(), &Seeded::new(1)).0, Seeded::new(2));
    for n in 1..=1500 {
        commit(&store, [keyring.new_customer(customer(n), &random)]).await;
    }
    let found = customers_with_keys(&store).await.unwrap();
    assert_eq!(found, (1..=1500).map(customer).collect::<Vec<_>>());
}

async fn put(store: &MemoryStore, puts: impl IntoIterator<Item = SealedPut>, delete: Vec<RowId>) {
    let put = puts.into_iter().map(|put| (put.key, put.row)).collect();
    let delete = delete.iter().map(RowId::to_key).collect();
    store.commit(Batch { put, delete, ..Batch::default() }).await.unwrap();
}

#[tokio::test]
async fn a_customers_key_is_replaced_step_by_step_and_every_keyring_follows() {
    let (store, first, random) = vault().await;
    let (own, acme) = (Scope::Customer(customer(1)), customer(1));
    let second = Keyring::open(&store, root()).await.unwrap();
    second.unlock_customer(&store, acme).await.unwrap();
    let keyrings = [&first, &second];
    let (id, person) = (RowId::log_leaf(own, 0), Uuid::from_u128(0xbe));
    let row_by = |keyring: &Keyring| {
        let value = keyring.sealer(&id).unwrap().seal(&id, 7, b"value", &random);
        Row { revision: 7, value: value.into() }
    };
    let opened = |keyring: &Keyring, row: &Row| keyring.sealer(&id).unwrap().open(&id, row).is_ok();
    let old = row_by(&first);
    let (subject, wrapped) = first.new_subject(own, person, &random).unwrap();
    commit(&store, [wrapped]).await;

    let (next, rewritten) = first.spread_key(&store, acme, &random).await.unwrap();
    assert_eq!(next.row.revision, FIRST_REVISION);
    put(&store, [next, rewritten], vec![]).await;
    for keyring in keyrings {
        keyring.refresh_customer(&store, acme).await.unwrap();
    }
    let spread = row_by(&second);
    assert_eq!(first.resealed(&id, &spread, &random).unwrap(), None, "the old one seals until they change places");
    assert!(!first.is_current(&SealedPut { key: id.to_key(), row: spread.clone(), id: id.clone(), mark: 0 }));

    put(&store, first.switched_keys(&store, acme, &random).await.unwrap(), vec![]).await;
    first.refresh_customer(&store, acme).await.unwrap();
    let new = row_by(&first);
    assert!(opened(&second, &new), "whoever has not heard of the change opens it");
    second.refresh_customer(&store, acme).await.unwrap();
    for keyring in keyrings {
        assert!([&old, &spread, &new].into_iter().all(|row| opened(keyring, row)));
        assert_eq!(keyring.resealed(&id, &new, &random).unwrap(), None);
    }
    let resealed = first.resealed(&id, &old, &random).unwrap().unwrap();
    assert!(resealed.row.revision == old.revision && resealed.row.value != old.value && first.is_current(&resealed));
    let subject_row = RowId::key(own, Purpose::Subject, person);
    let before = store.get(&subject_row.to_key()).await.unwrap().unwrap();
    let rewrapped = first.resealed(&subject_row, &before, &random).unwrap().unwrap();
    put(&store, [rewrapped], vec![]).await;
    for row in [customer_row(acme), other_customer_row(acme)] {
        let stored = store.get(&row.to_key()).await.unwrap().unwrap();
        assert_eq!(first.resealed(&row, &stored, &random).unwrap(), None, "the root key wraps it");
    }
    // Another root key wraps both.
    let root = RootKey::generate(&random);
    put(&store, first.rewrapped(&store, &root, &random).await.unwrap(), vec![]).await;
    first.take_root(root);
    first.unlock_customer(&store, acme).await.unwrap();
    assert!(opened(&first, &old) && opened(&first, &new));

    let retired = first.retired_key(&store, acme, &random).await.unwrap();
    put(&store, [retired.put], vec![retired.erase]).await;
    first.refresh_customer(&store, acme).await.unwrap();
    assert!(opened(&first, &new) && opened(&first, &resealed.row) && !opened(&first, &old));
    assert!(matches!(first.resealed(&id, &old, &random), Err(SealedError::Tampered { .. })));
    let again = first.subject(&store, own, person).await.unwrap().unwrap();
    let sealed = seal(&subject, &aad(&id, 1), b"name", &random);
    assert!(open(&again, &aad(&id, 1), &sealed).is_ok(), "what it wraps stays what it is");

    // Of a customer that is locked nothing is taken into memory by the way.
    first.drop_customer(acme);
    first.refresh_customer(&store, acme).await.unwrap();
    assert!(!first.holds(own));
}
