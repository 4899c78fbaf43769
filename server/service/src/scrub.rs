//! The scrub: whether the store holds what its logs say, row by row.
//!
//! Nobody at the disk can alter a row or move one unnoticed: it does not open. But an older row opens as well as ever, and a row
//! that is gone is not read. So each log's head counts its scope's rows (design, "Freshness"), and this adds them up again: all
//! rows of one view of the store, of one moment, so that whatever is written meanwhile is no false alarm. On the way every row
//! is opened, every log is recomputed from its entries, and the operator log's word of each other log is held against it.
//!
//! It runs after every unseal, then once a day, and when somebody asks. What it finds is told in the log of whoever's rows differ,
//! and in the operator's; a quiet run is told only to whoever asked for it. It never waits for a commit, nor one for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Scrub, ScrubFault, ScrubFaultKind, ScrubOutcome, ScrubResult};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::{Permit, SysScrub, SysStatus};
use claviger_store::{Range, Row, StoreKey, View};
use jiff::SignedDuration;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::open::{Caller, Open, deciding};
use crate::vault::Vault;

pub(crate) mod check;
mod log;
mod narrow;

use check::{Checker, Fault, Findings};

/// Who looks.
const ACTOR: &str = "system/scrub";
/// From one scrub to the next.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// After one that could not be done.
const RETRY_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Rows that are read and opened at once: a millisecond or two, and whoever is served comes in between.
const PAGE: usize = 128;
/// So many times as long as a page took, nothing is done.
const REST: u32 = 2;
/// Views that are read, where customers' keys end meanwhile.
const VIEWS_MOST: u32 = 3;
/// Faults that an event names.
const NAMED_MOST: usize = 20;

/// What is known of scrubs since the vault was opened.
#[derive(Default)]
pub(crate) struct Scrubs(Mutex<State>);

#[derive(Default)]
struct State {
    asked: Option<Asked>,
    running_since: Option<Timestamp>,
    last: Option<ScrubResult>,
}

/// Who wants one, since when.
struct Asked {
    at: Timestamp,
    caller: Caller,
}

/// Numbers of the last scrub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// Of which moment it tells.
    pub at: Timestamp,
    /// What is not as it should be.
    pub faults: u64,
    /// Whether the store was read to its end.
    pub whole: bool,
}

impl Open {
    /// Has the whole store checked, beside all else. One that is under way goes on, and another one follows it.
    pub fn ask_for_scrub(&self, caller: &Caller, _permit: Permit<SysScrub>) -> Scrub {
        self.scrubs.0.lock().asked = Some(Asked { at: self.now(), caller: caller.clone() });
        self.ground().wake.notify_waiters();
        self.scrub_view()
    }

    /// What the last one found.
    pub fn scrub(&self, _permit: Permit<SysStatus>) -> Scrub {
        self.scrub_view()
    }

    /// The last one, in numbers.
    pub fn scrubbed(&self) -> Option<Scrubbed> {
        let state = self.scrubs.0.lock();
        let last = state.last.as_ref()?;
        let whole = last.outcome != ScrubOutcome::Failed;
        Some(Scrubbed { at: last.started_at, faults: last.faults.len() as u64 + last.more_faults, whole })
    }

    fn scrub_view(&self) -> Scrub {
        let state = self.scrubs.0.lock();
        Scrub {
            asked_at: state.asked.as_ref().map(|asked| asked.at),
            running_since: state.running_since,
            last: state.last.clone(),
        }
    }

    /// Whether it is time for one.
    pub(crate) fn scrub_is_due(&self) -> bool {
        let state = self.scrubs.0.lock();
        let Some(last) = &state.last else { return true };
        let pause = if last.outcome == ScrubOutcome::Failed { RETRY_AFTER } else { EVERY };
        state.asked.is_some() || self.now().duration_since(last.finished_at) >= pause
    }

    /// Tells what was found, in each log concerned. A log whose own head is broken takes no entry: the others do.
    async fn tell_scrub(&self, asked: Option<&Asked>, result: &ScrubResult, found: &Findings) {
        let mut concerned: Vec<Scope> = found.faults.iter().map(|fault| fault.scope).collect();
        concerned.extend((!concerned.is_empty()).then_some(Scope::Operator));
        concerned.sort_unstable();
        concerned.dedup();
        for scope in concerned {
            let its: Vec<&ScrubFault> = result
                .faults
                .iter()
                .zip(&found.faults)
                .filter(|(_, fault)| scope == Scope::Operator || fault.scope == scope)
                .map(|(shown, _)| shown)
                .collect();
            let mut said: Vec<String> = its.iter().take(NAMED_MOST).map(|fault| in_words(fault)).collect();
            said.extend(
                its.len().checked_sub(NAMED_MOST).filter(|more| *more > 0).map(|more| format!("and {more} more")),
            );
            let mut event = self.automatic(scope, EventKind::StoreFreshnessBroken, ACTOR);
            if let Some(customer) =
                its.iter().find_map(|fault| fault.customer.as_ref()).filter(|_| scope != Scope::Operator)
            {
                event = event.with(FieldName::Customer, customer);
            }
            let event = event.with(FieldName::Detail, said.join("; "));
            if let Err(error) = deciding(|| self.commit(self.change(event.clone()))).await {
                tracing::error!(?error, "what the scrub found could not be told in a log");
            }
        }
        let Some(asked) = asked else { return };
        let detail = format!(
            "{} rows, {} entries of {} logs, {} faults",
            result.rows,
            result.entries,
            result.logs,
            result.faults.len() as u64 + result.more_faults
        );
        let event = self.event(Scope::Operator, EventKind::StoreFreshnessChecked, &asked.caller);
        let event = event.with(FieldName::Detail, detail);
        if let Err(error) = deciding(|| self.commit(self.change(event.clone()))).await {
            tracing::error!(?error, "that the store was checked could not be told in the log");
        }
    }

    async fn shown_fault(&self, fault: &Fault) -> ScrubFault {
        let customer = match fault.scope {
            Scope::Operator => None,
            Scope::Customer(customer) => {
                Some(self.slug_of(customer).await.map_or_else(|_| customer.to_string(), |slug| slug.to_string()))
            }
        };
        fault.shown(customer)
    }
}

fn in_words(fault: &ScrubFault) -> String {
    let whose = fault.customer.as_deref().unwrap_or("the operator");
    let at = match (&fault.row, fault.first_entry, fault.last_entry) {
        (Some(row), ..) => format!(" at {row}"),
        (None, Some(first), Some(last)) if first == last => format!(" at entry {first}"),
        (None, Some(first), Some(last)) => format!(" at the entries {first} to {last}"),
        (None, ..) => String::new(),
    };
    format!("{} of {whose}{at}: {}", crate::event::snake_case(&fault.kind), fault.detail)
}

/// A scrub under way. It keeps no key: the vault is asked for its own each time, and a vault that was sealed meanwhile ends it.
pub(crate) struct Run<'v> {
    vault: &'v Vault,
    which: std::sync::Weak<Open>,
}

impl<'v> Run<'v> {
    /// One that goes on while the vault stays open as it is.
    pub fn of(vault: &'v Vault, open: &Arc<Open>) -> Self {
        Self { vault, which: Arc::downgrade(open) }
    }

    /// The vault, in whatever state it is.
    pub fn vault(&self) -> &'v Vault {
        self.vault
    }
    /// The vault as it was open at the beginning.
    pub fn open(&self) -> Result<Arc<Open>> {
        let open = self.vault.open()?;
        let same = std::ptr::eq(self.which.as_ptr(), Arc::as_ptr(&open));
        if same { Ok(open) } else { Err(Error::new(ProblemType::Sealed, "")) }
    }
}

/// All rows of a view, a page at a time, with a rest after each.
pub(crate) struct Pages<'v> {
    view: &'v dyn View,
    next: Option<Range>,
    rest: Duration,
}

impl<'v> Pages<'v> {
    pub fn of(view: &'v dyn View) -> Self {
        Self { view, next: Some(Range::everything().limit(PAGE)), rest: Duration::ZERO }
    }

    /// The next rows. What was done with those before counts as work, too.
    pub async fn next(&mut self, run: &Run<'_>) -> Result<Option<Vec<(StoreKey, Row)>>> {
        let Some(range) = self.next.take() else { return Ok(None) };
        tokio::time::sleep(self.rest).await;
        run.open()?;
        let rows = self.view.scan(&range).await?;
        self.next = rows.last().filter(|_| rows.len() == PAGE).map(|(last, _)| range.after(last));
        Ok(Some(rows))
    }
}

/// Checks the whole store, and keeps and tells what it found. One at a time.
pub(crate) async fn scrub(vault: &Vault) -> Result<()> {
    let open = vault.open()?;
    let asked = {
        let mut state = open.scrubs.0.lock();
        state.running_since = Some(open.now());
        state.asked.take()
    };
    let run = Run::of(vault, &open);
    drop(open);
    let read = read(&run).await;
    let open = run.open()?;
    let (started_at, found, trouble) = match read {
        Ok((started_at, found)) => (started_at, found, None),
        Err(error) => {
            tracing::error!(?error, "the store could not be checked; it is tried again");
            let trouble = if error.detail.is_empty() { error.problem.row().advice.to_owned() } else { error.detail };
            (open.now(), Findings::default(), Some(trouble))
        }
    };
    let mut faults = Vec::with_capacity(found.faults.len());
    for fault in &found.faults {
        faults.push(open.shown_fault(fault).await);
    }
    let outcome = match (&trouble, faults.is_empty()) {
        (Some(_), _) => ScrubOutcome::Failed,
        (None, true) => ScrubOutcome::Clean,
        (None, false) => ScrubOutcome::Differs,
    };
    let result = ScrubResult {
        started_at,
        finished_at: open.now(),
        outcome,
        trouble,
        rows: found.rows,
        locked_rows: found.locked_rows,
        entries: found.entries,
        logs: found.logs,
        faults,
        more_faults: found.more_faults,
    };
    if outcome == ScrubOutcome::Differs {
        tracing::error!(
            faults = result.faults.len(),
            "the store is not what its logs say: see claviger operator scrub --last"
        );
    }
    open.tell_scrub(asked.as_ref(), &result, &found).await;
    let mut state = open.scrubs.0.lock();
    state.running_since = None;
    state.last = Some(result);
    Ok(())
}

/// The check alone: nothing is kept or told.
#[cfg(test)]
pub(crate) async fn findings(vault: &Vault) -> Result<Findings> {
    let view = vault.open()?.ground().store.view().await?;
    findings_in(vault, view.as_ref()).await
}

/// The same, of a view that was taken before.
#[cfg(test)]
pub(crate) async fn findings_in(vault: &Vault, view: &dyn View) -> Result<Findings> {
    let run = Run::of(vault, &vault.open()?);
    read_view(&run, view).await
}

/// The view is of one moment, and a customer's old key may end before all of it is read: then what it has sealed there opens no more,
/// and the next view has none of it.
async fn read(run: &Run<'_>) -> Result<(Timestamp, Findings)> {
    let mut views = 0;
    loop {
        let open = run.open()?;
        let keys = open.keyring().customer_revisions();
        let (started_at, view) = (open.now(), open.ground().store.view().await?);
        drop(open);
        let found = read_view(run, view.as_ref()).await?;
        views += 1;
        let now = run.open()?.keyring().customer_revisions();
        let replaced = |fault: &Fault| match fault.scope {
            Scope::Operator => false,
            Scope::Customer(customer) => keys.get(&customer) != now.get(&customer),
        };
        if views == VIEWS_MOST || !found.faults.iter().any(replaced) {
            return Ok((started_at, found));
        }
    }
}

async fn read_view(run: &Run<'_>, view: &dyn View) -> Result<Findings> {
    let mut checker = Checker::new(&run.open()?.ground().settings.name);
    let mut pages = Pages::of(view);
    while let Some(rows) = pages.next(run).await? {
        let begun = Instant::now();
        let open = run.open()?;
        for (key, row) in rows {
            checker.row(open.keyring(), &key, &row);
        }
        pages.rest = begun.elapsed() * REST;
    }
    let mut outcome = checker.finish();
    let archives = std::mem::take(&mut outcome.archives);
    let mut found = narrow::narrow(run, view, outcome).await?;
    narrow::wrapped_again(run, &mut found).await?;
    for (scope, record) in archives {
        if !run.open()?.has_archive(&record).await {
            let detail = format!("the archive {} is not in its place", record.file);
            found.add(Fault::of(scope, ScrubFaultKind::ArchiveMissing, detail));
        }
    }
    Ok(found)
}
