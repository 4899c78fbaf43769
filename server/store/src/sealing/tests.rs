use claviger_api::{AccountId, Scope};
use claviger_crypto::{RootKey, Seeded};
use serde::Deserialize;
use uuid::Uuid;

use super::*;
use crate::engine::Batch;
use crate::memory::{FaultPlan, MemoryStore};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Record for Note {
    const TABLE: Table = Table::Accounts;
}

/// One vault with two customers, each with its key held.
struct Vault {
    memory: MemoryStore,
    sealed: Sealed,
    keyring: Keyring,
    random: Seeded,
}

const ACME: u128 = 0xace;
const BETA: u128 = 0xbe7a;

impl Vault {
    fn new() -> Self {
        let random = Seeded::new(1);
        let (keyring, _) = Keyring::create(RootKey::generate(&random), &random);
        keyring.new_customer(customer(ACME), &random);
        keyring.new_customer(customer(BETA), &random);
        let memory = MemoryStore::new();
        Self { sealed: Sealed::new(Arc::new(memory.clone())), memory, keyring, random }
    }

    async fn commit(&self, put: SealedPut) {
        self.memory.commit(Batch { put: vec![(put.key, put.row)], ..Batch::default() }).await.unwrap();
    }

    async fn write(&self, id: &RowId, revision: u64, text: &str) {
        let put = self.sealed.put(&self.keyring, id, revision, &note(text), &self.random).unwrap();
        self.commit(put).await;
    }

    async fn read(&self, id: &RowId) -> Result<Option<Versioned<Note>>, SealedError> {
        self.sealed.read(&self.keyring, id).await
    }

    /// What an attacker at the disk does: the bytes of one row under another key.
    async fn copy(&self, from: &RowId, to: &RowId) {
        let row = self.memory.snapshot().row(&from.to_key()).unwrap().clone();
        self.overwrite(to, row).await;
    }

    async fn overwrite(&self, id: &RowId, row: Row) {
        self.memory.commit(Batch { put: vec![(id.to_key(), row)], ..Batch::default() }).await.unwrap();
    }

    fn row(&self, id: &RowId) -> Row {
        self.memory.snapshot().row(&id.to_key()).unwrap().clone()
    }
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(n))
}

fn account(customer_number: u128, n: u128) -> RowId {
    RowId::account(customer(customer_number), account_id(n))
}

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned() }
}

fn tampered<T>(outcome: Result<T, SealedError>, at: &RowId) -> bool {
    matches!(outcome, Err(SealedError::Tampered { row, .. }) if row == *at)
}

#[tokio::test]
async fn a_record_reads_back_with_its_revision() {
    let vault = Vault::new();
    let id = account(ACME, 1);
    assert_eq!(vault.read(&id).await, Ok(None));
    vault.write(&id, 7, "first").await;
    assert_eq!(vault.read(&id).await, Ok(Some(Versioned { id, revision: 7, value: note("first") })));
}

#[tokio::test]
async fn anvil_tamper_a_row_opens_nowhere_but_in_its_own_place() {
    let vault = Vault::new();
    let here = account(ACME, 1);
    vault.write(&here, 1, "here").await;
    for elsewhere in [account(ACME, 2), account(BETA, 1)] {
        vault.write(&elsewhere, 1, "there").await;
        assert_eq!(vault.read(&elsewhere).await.unwrap().unwrap().value, note("there"));
        vault.copy(&here, &elsewhere).await;
        assert!(tampered(vault.read(&elsewhere).await, &elsewhere), "moved to {elsewhere}");
    }
    let other_table = RowId::system(customer(ACME), claviger_api::SystemId::from_uuid(Uuid::from_u128(1)));
    vault.copy(&here, &other_table).await;
    assert!(tampered(vault.sealed.read_bytes(&vault.keyring, &other_table).await, &other_table), "another table");
}

#[tokio::test]
async fn anvil_tamper_a_revision_cannot_be_claimed_and_no_bit_flipped() {
    let vault = Vault::new();
    let id = account(ACME, 1);
    vault.write(&id, 3, "third").await;
    let good = vault.row(&id);
    vault.overwrite(&id, Row { revision: 4, ..good.clone() }).await;
    assert!(tampered(vault.read(&id).await, &id), "an old value under a new revision");
    for byte in 2..good.value.len() {
        let mut value = good.value.to_vec();
        value[byte] ^= 1;
        vault.overwrite(&id, Row { value: value.into(), ..good.clone() }).await;
        assert!(tampered(vault.read(&id).await, &id), "byte {byte} flipped");
    }
    for length in 0..good.value.len() {
        vault.overwrite(&id, Row { value: good.value.slice(..length), ..good.clone() }).await;
        assert!(tampered(vault.read(&id).await, &id), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn an_old_row_put_back_opens_but_changes_the_freshness_term() {
    let vault = Vault::new();
    let id = account(ACME, 1);
    vault.write(&id, 1, "old").await;
    let old = vault.row(&id);
    vault.write(&id, 2, "new").await;
    let new = vault.row(&id);
    vault.overwrite(&id, old.clone()).await;
    assert!(vault.read(&id).await.is_ok(), "sealing alone cannot tell");
    assert_ne!(vault.keyring.freshness_term(&id, &old), vault.keyring.freshness_term(&id, &new));
    let head = RowId::log_head(Scope::Operator);
    assert_eq!(vault.keyring.freshness_term(&head, &old), None, "log heads do not count");
}

#[tokio::test]
async fn a_locked_customers_record_says_so_and_others_stay_readable() {
    let vault = Vault::new();
    let (acme, beta) = (account(ACME, 1), account(BETA, 1));
    vault.write(&acme, 1, "acme's").await;
    vault.write(&beta, 1, "beta's").await;
    vault.keyring.drop_customer(customer(ACME));

    assert_eq!(vault.read(&acme).await, Err(SealedError::Locked(customer(ACME))));
    let put = vault.sealed.put(&vault.keyring, &acme, 2, &note("x"), &vault.random);
    assert_eq!(put, Err(SealedError::Locked(customer(ACME))), "nor is anything sealed");
    assert!(vault.read(&beta).await.is_ok());

    let everyone = Range::table(Table::Accounts);
    let each = vault.sealed.list_each::<Note>(&vault.keyring, &everyone).await.unwrap();
    assert_eq!(each[0], Err(SealedError::Locked(customer(ACME))));
    assert_eq!(each[1].as_ref().unwrap().value, note("beta's"));
    let all = vault.sealed.list::<Note>(&vault.keyring, &everyone).await;
    assert_eq!(all, Err(SealedError::Locked(customer(ACME))));
}

#[tokio::test]
async fn a_locked_customer_is_still_listed_and_its_log_still_proven() {
    let vault = Vault::new();
    vault.keyring.drop_customer(customer(ACME));
    let scope = Scope::Customer(customer(ACME));
    for id in [RowId::customer(customer(ACME)), RowId::log_head(scope), RowId::log_tile(scope, 0, 0)] {
        let put = vault.sealed.put_bytes(&vault.keyring, &id, 1, b"v", &vault.random).unwrap();
        vault.commit(put).await;
        let read = vault.sealed.read_bytes(&vault.keyring, &id).await.unwrap().unwrap();
        assert_eq!(*read.value, b"v", "{id}");
    }
}

#[tokio::test]
async fn lists_keep_order_range_and_ids() {
    let vault = Vault::new();
    for n in [3, 1, 2] {
        vault.write(&account(ACME, n), 1, &n.to_string()).await;
    }
    vault.write(&account(BETA, 9), 1, "beta's").await;
    let own = Range::scope(Table::Accounts, Scope::Customer(customer(ACME)));
    let all = vault.sealed.list::<Note>(&vault.keyring, &own).await.unwrap();
    assert_eq!(all.iter().map(|note| note.value.text.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(all[0].id, account(ACME, 1));
    let rest = own.limit(1).after(&all[0].id.to_key());
    let next = vault.sealed.list::<Note>(&vault.keyring, &rest).await.unwrap();
    assert_eq!(next, all[1..2]);
}

#[tokio::test]
async fn anvil_data_at_rest_the_store_holds_no_clear_text() {
    let vault = Vault::new();
    vault.write(&account(ACME, 1), 1, "clear-canary").await;
    let name = vault.keyring.name(Table::Customers, Scope::Operator, "clear-canary");
    let put = vault.sealed.put_bytes(&vault.keyring, &name, 1, b"clear-canary", &vault.random).unwrap();
    vault.commit(put).await;
    let secret = RowId::secret(customer(ACME), account_id(1), 1);
    let canary = Secret::new("clear-canary".to_owned()).unwrap();
    let put = vault.sealed.put_secret(&vault.keyring, &secret, 1, &canary, &vault.random).unwrap();
    vault.commit(put).await;

    let snapshot = vault.memory.snapshot();
    assert_eq!(snapshot.rows().count(), 3);
    for (key, row) in snapshot.rows() {
        for bytes in [key.as_bytes(), &row.value] {
            assert!(!bytes.windows(12).any(|window| window == b"clear-canary"), "in the row {key}");
        }
    }
}

#[tokio::test]
async fn a_secret_reads_back_and_only_from_its_table() {
    let vault = Vault::new();
    let id = RowId::secret(customer(ACME), account_id(1), 1);
    let secret = Secret::new("pässword \"quoted\"".to_owned()).unwrap();
    let put = vault.sealed.put_secret(&vault.keyring, &id, 1, &secret, &vault.random).unwrap();
    vault.commit(put).await;
    let read = vault.sealed.read_secret(&vault.keyring, &id).await.unwrap().unwrap();
    assert_eq!((read.revision, read.value.expose()), (1, secret.expose()));

    let elsewhere = account(ACME, 1);
    let put = vault.sealed.put_secret(&vault.keyring, &elsewhere, 1, &secret, &vault.random);
    assert_eq!(put, Err(SealedError::OtherTable { row: elsewhere.clone(), table: Table::Secrets }));
    assert!(vault.sealed.read_secret(&vault.keyring, &elsewhere).await.is_err());
}

#[tokio::test]
async fn anvil_tamper_versions_of_a_secret_cannot_be_swapped() {
    let vault = Vault::new();
    let version = |n| RowId::secret(customer(ACME), account_id(1), n);
    for n in [1, 2] {
        let secret = Secret::new(format!("version {n}")).unwrap();
        vault.commit(vault.sealed.put_secret(&vault.keyring, &version(n), 1, &secret, &vault.random).unwrap()).await;
    }
    let (first, second) = (vault.row(&version(1)), vault.row(&version(2)));
    vault.overwrite(&version(1), second).await;
    vault.overwrite(&version(2), first).await;
    for n in [1, 2] {
        assert!(tampered(vault.sealed.read_secret(&vault.keyring, &version(n)).await, &version(n)));
    }
}

#[tokio::test]
async fn newer_formats_are_told_apart_from_tampering() {
    let vault = Vault::new();
    let id = account(ACME, 1);
    let sealer = vault.keyring.sealer(&id).unwrap();
    let as_record = |plaintext: &[u8]| Row { revision: 1, value: sealer.seal(&id, 1, plaintext, &vault.random).into() };

    vault.overwrite(&id, as_record(&[NEWEST + 1, b'{', b'}'])).await;
    assert_eq!(vault.read(&id).await, Err(SealedError::NewerFormat { row: id.clone(), found: NEWEST + 1 }));

    let mut newer_envelope = as_record(br#"x{"text":""}"#);
    let mut bytes = newer_envelope.value.to_vec();
    bytes[0] = 9;
    newer_envelope.value = bytes.into();
    vault.overwrite(&id, newer_envelope).await;
    assert_eq!(vault.read(&id).await, Err(SealedError::NewerFormat { row: id.clone(), found: 9 }));

    for plaintext in [b"".as_slice(), b"\x00{}", b"\x01", b"\x01{\"other\":1}", b"\x02{\"text\":\"x\"}"] {
        vault.overwrite(&id, as_record(plaintext)).await;
        assert_eq!(vault.read(&id).await, Err(SealedError::Malformed(id.clone())), "{plaintext:?}");
    }
}

#[tokio::test]
async fn errors_name_the_row_and_never_its_content() {
    let vault = Vault::new();
    let id = account(ACME, 1);
    let sealer = vault.keyring.sealer(&id).unwrap();
    let value = sealer.seal(&id, 1, b"\x01{\"text\": [\"content-canary\"], \"content-canary\": 1}", &vault.random);
    vault.overwrite(&id, Row { revision: 1, value: value.into() }).await;
    let error = vault.read(&id).await.unwrap_err();
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(shown.contains("Accounts") && shown.contains(&id.to_key().to_string()), "{shown}");
        assert!(!shown.contains("content-canary"), "{shown}");
    }
}

#[tokio::test]
async fn a_record_goes_into_its_own_table_only() {
    let vault = Vault::new();
    let wrong = RowId::customer(customer(ACME));
    let error = SealedError::OtherTable { row: wrong.clone(), table: Table::Accounts };
    assert_eq!(vault.sealed.put(&vault.keyring, &wrong, 1, &note("x"), &vault.random), Err(error.clone()));
    assert_eq!(vault.read(&wrong).await, Err(error));
}

#[tokio::test]
async fn meta_is_plain_and_nothing_else_is() {
    let vault = Vault::new();
    let id = RowId::meta("seal");
    vault.commit(vault.sealed.put_plain(&id, 1, b"shares".to_vec()).unwrap()).await;
    assert_eq!(vault.sealed.read_plain(&id).await.unwrap().unwrap().value, b"shares");
    assert_eq!(vault.sealed.put_bytes(&vault.keyring, &id, 1, b"", &vault.random), Err(SealedError::NotSealed(id)));

    let sealed = account(ACME, 1);
    assert_eq!(vault.sealed.put_plain(&sealed, 1, vec![]), Err(SealedError::NotPlain(sealed.clone())));
    assert_eq!(vault.sealed.read_plain(&sealed).await.err(), Some(SealedError::NotPlain(sealed)));
}

#[tokio::test]
async fn an_engine_that_cannot_read_is_no_missing_row() {
    let vault = Vault::new();
    vault.memory.set_faults(FaultPlan::none().reads_where(|_| true));
    assert!(matches!(vault.read(&account(ACME, 1)).await, Err(SealedError::Read(_))));
}
