//! How long what may take, and how often it is tried.

use std::time::Duration;

/// How long this side waits for what. Together they bound every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From dialling to a session that is ready.
    pub connect: Duration,
    /// A statement before COMMIT, and a read with all that it needs. The server itself gives a statement up a fifth
    /// sooner, and a lock in half the time, so that nothing is done when nobody waits any more.
    pub statement: Duration,
    /// The answer to COMMIT: it may wait for a synchronous replica.
    pub commit: Duration,
}

impl Deadlines {
    /// For a database in the same building, or the next town.
    pub const STANDARD: Self =
        Self { connect: Duration::from_secs(5), statement: Duration::from_secs(10), commit: Duration::from_secs(15) };
}

/// Sessions for reads; more reads at once wait for one.
pub const READ_SESSIONS: usize = 4;

/// How often a transaction is tried that PostgreSQL undoes to keep others in order.
pub const ORDER_TRIES: u32 = 5;

/// The lock on the store is tried so often, so far apart: the session that had it may be about to end.
pub const LOCK_TRIES: u32 = 10;
/// See [`LOCK_TRIES`].
pub const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// After a failed connection none is tried for so long, then twice as long ...
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// ... and never longer than this.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A connection on which nothing is heard is asked whether it lives, and given up after three such times.
pub const KEEPALIVE: Duration = Duration::from_secs(5);

/// A node that was not heard of for so long is a member no more.
pub const LEASE: Duration = Duration::from_secs(5);
/// A session in whose turn nothing happens for so long is ended by the server, so that others have theirs.
pub const TURN_MOST: Duration = Duration::from_secs(2);
/// From dialling, or asking, to an answer for whoever says that it lives: a node that waits longer for its database is as
/// good as cut off from it.
pub const HEARING_MOST: Duration = Duration::from_secs(1);
/// What is told of commits is kept so long for whoever was away.
pub const NEWS_KEPT: Duration = Duration::from_mins(10);
/// A member takes away what is too old after so many times that it was heard of.
pub const PRUNE_EVERY: u32 = 64;
/// Commits that are told of at once.
pub const NEWS_AT_ONCE: i64 = 1000;
