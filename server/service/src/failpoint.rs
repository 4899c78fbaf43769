//! Crashes on demand, for the crash tests. Compiled in with the feature `failpoints` alone; no release has it.
//!
//! `CLAVIGER_CRASH=before:rotation.sent` aborts the process just before the batch that holds such an event is stored,
//! `after:…` just after it is durable and before anybody is told. Since every durable step has an event, these are all
//! the places where a crash can fall between two of them.

use std::sync::OnceLock;

use claviger_api::audit::record::FieldName;

use crate::journal::Prepared;

/// The side of a commit on which to crash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It is not stored.
    Before,
    /// It is durable, and nobody was told.
    After,
}

/// The kinds of the events in a group of changes.
#[derive(Default)]
pub struct Kinds(Vec<String>);

impl Kinds {
    /// Adds a change's.
    pub fn note(&mut self, change: &Prepared) {
        let kinds = change.leaves().filter_map(|leaf| leaf.value(FieldName::Kind));
        self.0.extend(kinds.map(str::to_owned));
    }

    /// Crashes here, if that is what was asked for.
    pub fn hit(&self, side: Side) {
        if let Some((wanted, kind)) = plan()
            && *wanted == side
            && self.0.contains(kind)
        {
            std::process::abort();
        }
    }
}

fn plan() -> Option<&'static (Side, String)> {
    static PLAN: OnceLock<Option<(Side, String)>> = OnceLock::new();
    PLAN.get_or_init(|| {
        // Cargo unites the features of a workspace: not even a release that was built beside the tests crashes on demand.
        if !cfg!(debug_assertions) {
            return None;
        }
        let text = std::env::var("CLAVIGER_CRASH").ok()?;
        let (side, kind) = text.split_once(':')?;
        let side = if side == "before" { Side::Before } else { Side::After };
        Some((side, kind.to_owned()))
    })
    .as_ref()
}
