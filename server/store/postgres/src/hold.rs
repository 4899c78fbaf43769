//! Who may commit: any number of nodes, one after the other, and how it is known.
//!
//! - A **turn**: the row of `claviger_node` counts the commits. Whoever commits has it, and its table, locked from before
//!   the first look at the store until COMMIT is over. So no two transactions of nodes overlap: what one has seen is so until
//!   it has committed, and nobody is undone for the sake of others. On PostgreSQL the lock is that of the table, which is
//!   handed on in the order in which it was asked for, and before a transaction has seen anything; elsewhere it is that of
//!   the row. A node that stops in the midst of its turn loses its session after [`TURN_MOST`].
//! - A **membership**: one row a node, with the time at which the node was heard of last, by the database's clock. A node's
//!   commit reads it in its own transaction: one that was silent for [`LEASE`] is refused, for ever. What such a node had
//!   claimed is taken from it in a turn too, so that no commit of it comes after.
//! - The **news**: each commit notes which keys it wrote, numbered without a gap.
//!
//! A version before this one knew one node at a time: it holds an advisory lock of its session, which we share among us, and
//! its name in the row of `claviger_node`, where ours stands now. Neither starts while the other runs, and either is refused
//! should it come to both.

use tokio::time::sleep;
use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::limits::{LOCK_PAUSE, LOCK_TRIES};
use crate::session::Session;

/// Shares the lock of the nodes of this version, or takes it alone, for the life of the session; false while somebody else has it
/// otherwise.
pub(crate) async fn lock(session: &Session, alone: bool) -> Result<bool, Failure> {
    let statement = if alone { "SELECT pg_try_advisory_lock($1)" } else { "SELECT pg_try_advisory_lock_shared($1)" };
    for attempt in 0..LOCK_TRIES {
        if attempt > 0 {
            sleep(LOCK_PAUSE).await;
        }
        let answer = session.query(statement, &[(&LOCK, Type::INT8)]).await?;
        if answer.first().map(|row| row.try_get(0)).transpose()? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the tables that are missing. Where an administrator has made them, no right to create any is needed. Several nodes
/// may do so at once: whoever is second finds that there is one.
pub(crate) async fn make_tables(session: &Session) -> Result<(), Failure> {
    for (name, columns) in TABLES {
        if is_there(session, name).await? {
            continue;
        }
        let made = session.run(&format!("CREATE TABLE {name} ({columns})")).await;
        if made.is_err() && !is_there(session, name).await? {
            return made;
        }
    }
    Ok(())
}

/// Begins to count commits in the nodes' own name, whoever had the store.
pub(crate) async fn take(session: &Session) -> Result<(), Failure> {
    session.run(TAKE).await
}

async fn is_there(session: &Session, table: &str) -> Result<bool, Failure> {
    let there = session.query("SELECT to_regclass($1) IS NOT NULL", &[(&table, Type::TEXT)]).await?;
    Ok(there.first().map(|row| row.try_get(0)).transpose()? == Some(true))
}

/// "claviger" in ASCII. Such locks are per database.
const LOCK: i64 = 0x636c_6176_6967_6572;

const TABLES: [(&str, &str); 5] = [
    ("claviger_rows", "key bytea PRIMARY KEY, revision bigint NOT NULL, value bytea NOT NULL"),
    ("claviger_node", "id bigint PRIMARY KEY, holder text NOT NULL, epoch bigint NOT NULL"),
    ("claviger_members", "id text PRIMARY KEY, heard_at timestamptz NOT NULL"),
    ("claviger_claims", "work text PRIMARY KEY, member text NOT NULL"),
    (
        "claviger_news",
        "epoch bigint PRIMARY KEY, member text NOT NULL, keys bytea NOT NULL, \
         at timestamptz NOT NULL DEFAULT clock_timestamp()",
    ),
];

/// A transaction that has seen nothing yet, in which nobody else commits.
pub(crate) const BEGIN_TURN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE claviger_node IN EXCLUSIVE MODE";
/// The same where such locks are not known, and transactions wait for each other's rows instead of being undone.
pub(crate) const BEGIN_TURN_BY_ROW: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/// The number of the last commit.
pub(crate) const EPOCH: &str = "SELECT epoch FROM claviger_node WHERE id = 1 AND holder = 'members' FOR UPDATE";
pub(crate) const COUNT: &str = "UPDATE claviger_node SET epoch = $1 WHERE id = 1";
pub(crate) const TELL: &str = "INSERT INTO claviger_news (epoch, member, keys) VALUES ($1, $2, $3)";
/// Whether a member was heard of within so many milliseconds.
pub(crate) const IS_MEMBER: &str = "SELECT 1 FROM claviger_members WHERE id = $1 \
                                    AND heard_at > clock_timestamp() - $2 * interval '1 millisecond'";
/// What was committed since. Of its own a member knows.
pub(crate) const NEWS: &str = "SELECT epoch, CASE WHEN member = $2 THEN ''::bytea ELSE keys END FROM claviger_news \
                               WHERE epoch > $1 ORDER BY epoch LIMIT $3";

const TAKE: &str = "INSERT INTO claviger_node (id, holder, epoch) VALUES (1, 'members', 1) \
                    ON CONFLICT (id) DO UPDATE SET holder = 'members', epoch = claviger_node.epoch + 1 \
                    WHERE claviger_node.holder <> 'members'";
