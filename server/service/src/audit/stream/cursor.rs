//! How far a stream has come in a log: one row, beside the journal.
//!
//! That a reader has read is no change of the vault's state, and an event of it would itself have to be streamed. So a
//! cursor moves by a commit of its own, which expects its revision. That a stream *begins* to tell of a log, or goes
//! elsewhere, is an event like any other, in that log.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{Part, Scope};
use claviger_store::{Batch, Expected, RowId, Table, Versioned};

use super::Stream;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::records::StreamCursorRecord;

/// Who streams.
const ACTOR: &str = "system/streams";

impl Open {
    /// The cursor of a stream in a log. Where there is none, or where the stream led elsewhere before, the log is told.
    pub(super) async fn stream_cursor(&self, stream: &Stream, log: Scope) -> Result<Versioned<StreamCursorRecord>> {
        let id = self.stream_cursor_row(&stream.name, log);
        deciding(|| async {
            let found = self.read::<StreamCursorRecord>(&id).await?;
            if let Some(row) = found.as_ref().filter(|row| row.value.to == stream.to) {
                return Ok(row.clone());
            }
            let next = found.as_ref().map_or(0, |row| row.value.next);
            let begun = self
                .automatic(log, EventKind::LogStreamBegun, ACTOR)
                .with(FieldName::Detail, format_args!("{} to {} in {}", stream.name, stream.to, stream.format.text()));
            let record = StreamCursorRecord { next, to: stream.to.clone() };
            let change = match &found {
                Some(row) => self.change(begun).update(row, &record)?,
                None => self.change(begun).create(id.clone(), &record)?,
            };
            self.commit(change).await?;
            self.load(&id).await
        })
        .await
    }

    /// Whether a stream has begun to tell of a log.
    pub(super) async fn has_stream_cursor(&self, stream: &Stream, log: Scope) -> Result<bool> {
        Ok(self.read::<StreamCursorRecord>(&self.stream_cursor_row(&stream.name, log)).await?.is_some())
    }

    /// Moves cursors on, all of them or none.
    pub(super) async fn move_stream_cursors(
        &self,
        moved: Vec<(Versioned<StreamCursorRecord>, u64)>,
    ) -> Result<Vec<Versioned<StreamCursorRecord>>> {
        let (mut batch, mut rows) = (Batch::default(), Vec::new());
        for (row, next) in moved {
            let (value, revision) = (StreamCursorRecord { next, ..row.value }, row.revision + 1);
            let put = self.sealed().put(self.keyring(), &row.id, revision, &value, self.random())?;
            batch.expect.push((put.key.clone(), Expected::Revision(row.revision)));
            batch.put.push((put.key, put.row));
            rows.push(Versioned { id: row.id, revision, value });
        }
        self.ground().store.commit(batch).await.map_err(Error::from)?;
        Ok(rows)
    }

    pub(super) fn stream_cursor_row(&self, stream: &Part, log: Scope) -> RowId {
        let table = Table::StreamCursors.tag();
        RowId::stream_cursor(log, &self.keyring().lookup().index(table, log, stream.as_str().as_bytes()))
    }
}
