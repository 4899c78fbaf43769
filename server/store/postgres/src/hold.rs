//! Who may commit: one node at a time, and how it is known.
//!
//! Two guards, since each has a hole that the other closes:
//!
//! - An **advisory lock** of the session that commits. It makes a second node's start fail with a clear message, and it
//!   is free again only when the session before is over, with its last transaction. It is void where sessions are
//!   shared by a pooler, and where a database only pretends to have it, as CockroachDB does.
//! - A **tenure**: one row that names the node which holds the store, and counts how often it took it. Each commit reads
//!   it under a lock (`FOR SHARE`) in its own transaction. So a commit of a node that was replaced is refused, also one
//!   that was under way; and a node that lost its session takes the store again only if nobody else had it meanwhile.
//!   Otherwise what it remembers of the store may be wrong, and it stays closed until it is started anew.

use tokio::time::sleep;
use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::limits::{LOCK_PAUSE, LOCK_TRIES};
use crate::session::{Session, Value};

/// That this node holds the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// Drawn by the database for each opening of the store.
    holder: String,
    /// How often the store was taken, by anybody.
    epoch: i64,
}

/// Takes the lock for the life of the session; false while another session has it.
pub(crate) async fn lock(session: &Session) -> Result<bool, Failure> {
    for attempt in 0..LOCK_TRIES {
        if attempt > 0 {
            sleep(LOCK_PAUSE).await;
        }
        let answer = session.query("SELECT pg_try_advisory_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        if answer.first().map(|row| row.try_get(0)).transpose()? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the tables that are missing. Where an administrator has made them, no right to create any is needed.
pub(crate) async fn make_tables(session: &Session) -> Result<(), Failure> {
    for (name, columns) in TABLES {
        let there = session.query("SELECT to_regclass($1) IS NOT NULL", &[(&name, Type::TEXT)]).await?;
        if there.first().map(|row| row.try_get(0)).transpose()? != Some(true) {
            session.run(&format!("CREATE TABLE {name} ({columns})")).await?;
        }
    }
    Ok(())
}

/// Takes the store, whoever had it.
pub(crate) async fn take(session: &Session) -> Result<Tenure, Failure> {
    let taken = session.query(TAKE, &[]).await?;
    let taken = taken.first().ok_or_else(|| Failure::Lost("the store was not taken".to_owned()))?;
    Ok(Tenure { holder: taken.try_get(0)?, epoch: taken.try_get(1)? })
}

/// Takes it again; `None` where another node has had it since.
pub(crate) async fn take_again(session: &Session, before: &Tenure) -> Result<Option<Tenure>, Failure> {
    let taken = session.query(TAKE_AGAIN, &[(&before.holder, Type::TEXT)]).await?;
    let Some(taken) = taken.first() else { return Ok(None) };
    Ok(Some(Tenure { holder: before.holder.clone(), epoch: taken.try_get(0)? }))
}

/// Whether this node holds the store, until the transaction that asks is over.
pub(crate) async fn holds(session: &Session, tenure: &Tenure) -> Result<bool, Failure> {
    let values: [Value<'_>; 2] = [(&tenure.holder, Type::TEXT), (&tenure.epoch, Type::INT8)];
    Ok(!session.query(HOLDS, &values).await?.is_empty())
}

/// "claviger" in ASCII. Such locks are per database.
const LOCK: i64 = 0x636c_6176_6967_6572;

const TABLES: [(&str, &str); 2] = [
    ("claviger_rows", "key bytea PRIMARY KEY, revision bigint NOT NULL, value bytea NOT NULL"),
    ("claviger_node", "id bigint PRIMARY KEY, holder text NOT NULL, epoch bigint NOT NULL"),
];

const TAKE: &str = "INSERT INTO claviger_node (id, holder, epoch) VALUES (1, gen_random_uuid()::text, 1) \
                    ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, epoch = claviger_node.epoch + 1 \
                    RETURNING holder, epoch";
const TAKE_AGAIN: &str = "UPDATE claviger_node SET epoch = epoch + 1 WHERE id = 1 AND holder = $1 RETURNING epoch";
const HOLDS: &str = "SELECT 1 FROM claviger_node WHERE id = 1 AND holder = $1 AND epoch = $2 FOR SHARE";
