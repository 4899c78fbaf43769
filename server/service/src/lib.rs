//! Use cases: load, ask core, commit through the journal, act.
