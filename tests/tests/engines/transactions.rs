//! A batch among other transactions: what several nodes will do to each other, done by hand.

use claviger_postgres::PostgresStore;
use claviger_store::{Batch, CommitError, Expected, Store as _};

use super::{admin, key, next, open, put, refused, revision, server, settings, short, waits_for_a_lock};

/// The other transaction comes first, and this one waits for it: then the conflict is certain, and named.
#[tokio::test]
async fn a_row_that_another_changes_meanwhile_is_a_conflict() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    store.commit(put("a", 1)).await.unwrap();
    let mut other = admin(&postgres).await;
    let change = other.transaction().await.unwrap();
    change.batch_execute("UPDATE claviger_rows SET revision = 2").await.unwrap();
    let (outcome, ()) = tokio::join!(store.commit(next("a", 2)), async {
        waits_for_a_lock(&postgres).await;
        change.commit().await.unwrap();
    });
    assert_eq!(outcome, Err(CommitError::Conflict(key("a"))));
    assert_eq!(revision(&store, "a").await, Some(2));
}

/// Two that both make the same row: one is first, and the other one's conflict is named.
#[tokio::test]
async fn a_row_that_another_makes_meanwhile_is_a_conflict() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    let mut other = admin(&postgres).await;
    let change = other.transaction().await.unwrap();
    change.batch_execute("INSERT INTO claviger_rows VALUES ('a', 7, '')").await.unwrap();
    let (outcome, ()) = tokio::join!(store.commit(next("a", 1)), async {
        waits_for_a_lock(&postgres).await;
        change.commit().await.unwrap();
    });
    assert_eq!(outcome, Err(CommitError::Conflict(key("a"))));
    assert_eq!(revision(&store, "a").await, Some(7));
}

/// Nothing is written to the row that must be absent, so that no lock keeps another from making it: of two
/// transactions that each rest on what the other one writes, one is undone.
#[tokio::test]
async fn an_absence_that_is_only_expected_holds_too() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    let mut other = admin(&postgres).await;
    let begin = other.build_transaction().isolation_level(tokio_postgres::IsolationLevel::Serializable);
    let change = begin.start().await.unwrap();
    let found = change.query("SELECT 1 FROM claviger_rows WHERE key = 'written'", &[]).await.unwrap();
    assert!(found.is_empty());
    change.batch_execute("INSERT INTO claviger_rows VALUES ('absent', 1, '')").await.unwrap();

    store.commit(Batch { expect: vec![(key("absent"), Expected::Absent)], ..put("written", 1) }).await.unwrap();
    let error = change.commit().await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "40001");
    assert_eq!(revision(&store, "absent").await, None);
}

/// The same, but the other one is first: the batch is undone, tried again, and then sees why.
#[tokio::test]
async fn an_absence_that_is_gone_meanwhile_is_a_conflict() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    store.commit(put("locked", 1)).await.unwrap();
    let (mut blocker, mut other) = (admin(&postgres).await, admin(&postgres).await);
    let block = blocker.transaction().await.unwrap();
    block.batch_execute("SELECT * FROM claviger_rows WHERE key = 'locked' FOR UPDATE").await.unwrap();

    let begin = other.build_transaction().isolation_level(tokio_postgres::IsolationLevel::Serializable);
    let change = begin.start().await.unwrap();
    change.query("SELECT 1 FROM claviger_rows WHERE key = 'written'", &[]).await.unwrap();
    let batch = Batch {
        expect: vec![(key("absent"), Expected::Absent)],
        put: [put("written", 1).put, put("locked", 2).put].concat(),
        delete: vec![],
    };
    let (outcome, ()) = tokio::join!(store.commit(batch), async {
        // The batch has read that the row is absent, and waits for the lock of the one it writes.
        waits_for_a_lock(&postgres).await;
        change.batch_execute("INSERT INTO claviger_rows VALUES ('absent', 1, '')").await.unwrap();
        change.commit().await.unwrap();
        block.commit().await.unwrap();
    });
    assert_eq!(outcome, Err(CommitError::Conflict(key("absent"))));
    assert_eq!((revision(&store, "written").await, revision(&store, "locked").await), (None, Some(1)));
}

#[tokio::test]
async fn a_lock_that_is_not_given_up_is_a_refusal() {
    let postgres = server().await;
    let store = PostgresStore::open_with(settings(&postgres), short()).await.unwrap();
    store.commit(put("a", 1)).await.unwrap();
    let mut other = admin(&postgres).await;
    let block = other.transaction().await.unwrap();
    block.batch_execute("UPDATE claviger_rows SET value = 'x'").await.unwrap();
    let why = refused(store.commit(next("a", 2)).await);
    assert!(why.contains("55P03"), "{why}");
    block.rollback().await.unwrap();
    store.commit(next("a", 2)).await.unwrap();
}

/// A no is definite, also one that answers COMMIT itself; and the next commit is taken. The error is that of a full
/// disk, raised by the real server from a trigger.
#[tokio::test]
async fn anvil_disk_full_a_no_of_the_server_is_a_refusal_before_and_at_commit() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    let admin = admin(&postgres).await;
    let full = "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$";
    admin.batch_execute(full).await.unwrap();
    for trigger in [
        "CREATE TRIGGER full_disk BEFORE INSERT ON claviger_rows FOR EACH ROW EXECUTE FUNCTION full()",
        "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON claviger_rows DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION full()",
    ] {
        admin.batch_execute(trigger).await.unwrap();
        let why = refused(store.commit(next("a", 1)).await);
        assert!(why.contains("No space left on device (53100)"), "{why}");
        assert_eq!(revision(&store, "a").await, None);
        admin.batch_execute("DROP TRIGGER full_disk ON claviger_rows").await.unwrap();
    }
    store.commit(next("a", 1)).await.unwrap();
}

/// A caller that goes away in the midst of a commit leaves nothing behind that the next one would commit.
#[tokio::test]
async fn a_commit_that_is_broken_off_is_not_completed_by_the_next() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    store.commit(put("locked", 1)).await.unwrap();
    let mut other = admin(&postgres).await;
    let block = other.transaction().await.unwrap();
    block.batch_execute("SELECT * FROM claviger_rows WHERE key = 'locked' FOR UPDATE").await.unwrap();
    let batch = Batch { put: [put("half", 1).put, put("locked", 2).put].concat(), ..Batch::default() };
    tokio::select! {
        outcome = store.commit(batch) => panic!("it ends: {outcome:?}"),
        () = waits_for_a_lock(&postgres) => {}
    }
    block.commit().await.unwrap();
    store.commit(next("whole", 1)).await.unwrap();
    assert_eq!((revision(&store, "half").await, revision(&store, "locked").await), (None, Some(1)));
}

/// Every commit waits for the disk, whatever the database's or the role's settings say.
#[tokio::test]
async fn a_commit_is_synchronous_whatever_the_default() {
    let postgres = server().await;
    postgres.run_sql("ALTER ROLE vault SET synchronous_commit = off").await;
    let store = open(&postgres).await.unwrap();
    let seen = "CREATE TABLE seen (setting text); GRANT INSERT ON seen TO vault; \
                CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                INSERT INTO seen VALUES (current_setting('synchronous_commit')), (current_setting('transaction_isolation')); \
                RETURN NEW; END $$; \
                CREATE TRIGGER note BEFORE INSERT ON claviger_rows FOR EACH ROW EXECUTE FUNCTION note()";
    let admin = admin(&postgres).await;
    admin.batch_execute(seen).await.unwrap();
    store.commit(put("a", 1)).await.unwrap();
    let found = admin.query("SELECT setting FROM seen", &[]).await.unwrap();
    let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, ["on", "serializable"]);
}
