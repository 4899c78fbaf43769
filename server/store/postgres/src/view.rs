//! The store as it was at one moment: one transaction that only reads, on a session of its own. It ends with the session,
//! which ends with the view.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_store::{Range, ReadError, Row, StoreKey, View};

use crate::read::{scan, unreadable};
use crate::session::{Purpose, Session, Target};

struct Seen(Session);

/// A view of the present moment.
pub(crate) async fn of(target: &Arc<Target>) -> Result<Box<dyn View>, ReadError> {
    let session = Session::open(target, Purpose::Viewing).await.map_err(unreadable)?;
    // The moment is that of the first statement after BEGIN.
    session.run(BEGIN).await.map_err(unreadable)?;
    session.query("SELECT 1", &[]).await.map_err(unreadable)?;
    Ok(Box::new(Seen(session)))
}

#[async_trait]
impl View for Seen {
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        scan(&self.0, range).await
    }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
