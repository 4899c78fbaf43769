//! Checkouts as the log tells of them: who held what when, what stood out, and the proof that it was over.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{AuditEvent, ReportCell};
use claviger_api::{Scope, Timestamp};
use claviger_core::upkeep::time_zone;
use claviger_store::RowId;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::{Draft, Of, Row, field};
use crate::error::Result;
use crate::open::Open;
use crate::records::CustomerRecord;

/// The hours of work, on the customer's clocks, Monday to Friday.
const WORK: std::ops::Range<i8> = 7..19;

/// One checkout.
#[derive(Default)]
pub(super) struct Held {
    pub id: String,
    pub account: String,
    principal: String,
    from: Option<Timestamp>,
    due: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    cause: String,
    reveals: u64,
    ticket: Option<String>,
    reason: Option<String>,
    extended: Vec<u64>,
    /// What its end has promised: `pending` is the proof that what was seen is refused.
    promised: Option<String>,
    proven: Option<(Timestamp, u64)>,
    told: Option<Timestamp>,
    still_accepted: u64,
    pub entries: Vec<u64>,
}

impl Held {
    /// Something of it was seen, and nothing says that it is over with that.
    pub fn is_owed(&self) -> bool {
        self.promised.as_deref() == Some("pending") && self.proven.is_none() && self.told.is_none()
    }

    /// How long it could be used.
    pub fn seconds(&self) -> i64 {
        self.from.zip(self.due).map_or(0, |(from, due)| due.duration_since(from).as_secs())
    }

    fn take(&mut self, event: &AuditEvent) {
        let owned = |name| field(event, name).map(str::to_owned);
        self.entries.push(event.index);
        if let Some(account) = owned(FieldName::Account) {
            self.account = account;
        }
        self.ticket = owned(FieldName::Ticket).or(self.ticket.take());
        let due = field(event, FieldName::ExpiresAt).and_then(|time| time.parse().ok());
        let kind = event.kind.parse::<EventKind>().ok();
        if !matches!(kind, Some(EventKind::CheckoutEnded)) {
            self.reason = self.reason.take().or(owned(FieldName::Reason));
        }
        match kind {
            Some(EventKind::CheckoutActivated) => {
                (self.from, self.due) = (Some(event.time), due);
                super::actor(event).clone_into(&mut self.principal);
            }
            Some(EventKind::CheckoutRevealed | EventKind::CheckoutCertificateSigned) => {
                self.reveals += 1;
                self.due = due.or(self.due);
                if self.principal.is_empty() {
                    super::actor(event).clone_into(&mut self.principal);
                }
            }
            Some(EventKind::CheckoutExtended) => {
                self.due = due.or(self.due);
                self.extended.push(event.index);
            }
            Some(EventKind::CheckoutEnded) => {
                self.ended = Some(event.time);
                self.cause = owned(FieldName::Cause).unwrap_or_default();
                self.promised = owned(FieldName::Outcome);
            }
            Some(EventKind::CheckoutRevocationProven) => {
                let lag = field(event, FieldName::LagMilliseconds).and_then(|lag| lag.parse().ok());
                self.proven = Some((event.time, lag.unwrap_or(0)));
            }
            Some(EventKind::CheckoutRevocationTold) => self.told = Some(event.time),
            Some(EventKind::CheckoutOldStillAccepted) => self.still_accepted += 1,
            Some(_) | None => {}
        }
    }

    fn row(&self) -> Row {
        Row::default().text("account", &self.account).text("principal", &self.principal).text("checkout", &self.id)
    }
}

impl Open {
    /// The checkouts of which something was told in that time, the first first.
    pub(super) async fn checkouts_told(&self, of: Of) -> Result<Vec<Held>> {
        let mut all = Vec::new();
        for customer in self.customers_of(of) {
            let scope = Scope::Customer(customer);
            let mut held: BTreeMap<String, Held> = BTreeMap::new();
            let kinds = ["checkout.", EventKind::BreakGlassUnresolvedRevealed.text()];
            for event in self.told_of(scope, &kinds, of.since, of.until).await? {
                let Some(id) = field(&event, FieldName::Checkout) else { continue };
                held.entry(id.to_owned()).or_insert_with(|| Held { id: id.to_owned(), ..Held::default() }).take(&event);
            }
            all.extend(held.into_values());
        }
        all.sort_by_key(|held| held.from);
        Ok(all)
    }

    pub(super) async fn timeline(&self, of: Of) -> Result<Draft> {
        let columns =
            &["account", "principal", "from", "to", "ended_by", "reveals", "ticket", "reason", "checkout", "entries"];
        let mut draft = Draft::of(columns);
        let (held, now) = (self.checkouts_told(of).await?, self.now());
        let used: Vec<Held> = held.into_iter().filter(|held| held.from.is_some() || held.reveals > 0).collect();
        draft.count("checkouts", used.len());
        draft.count("reveals", used.iter().map(|held| usize::try_from(held.reveals).unwrap_or(0)).sum());
        let running = |held: &&Held| held.ended.is_none() && held.due.is_some_and(|due| now < due);
        draft.count("held now", used.iter().filter(running).count());
        draft.rows = used
            .into_iter()
            .map(|held| {
                let row = held.row().maybe("from", held.from).maybe("to", held.ended.or(held.due));
                let row = row.text("ended_by", &held.cause).number("reveals", held.reveals);
                row.maybe("ticket", held.ticket).maybe("reason", held.reason).entries(held.entries)
            })
            .collect();
        Ok(draft)
    }

    pub(super) async fn irregular(&self, of: Of) -> Result<Draft> {
        let columns = &["what", "account", "principal", "at", "detail", "checkout", "entries"];
        let mut draft = Draft::of(columns);
        let zones = self.zones(of).await?;
        let mut counts: BTreeMap<&str, usize> = ["without a ticket", "out of hours", "not given back", "extended"]
            .into_iter()
            .map(|what| (what, 0))
            .collect();
        for held in self.checkouts_told(of).await? {
            let Some(from) = held.from else { continue };
            let customer = held.account.split('/').next().unwrap_or_default();
            let zone = zones.get(customer).cloned().unwrap_or(TimeZone::UTC);
            let local = from.to_zoned_datetime(zone);
            let at_work =
                !matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday) && WORK.contains(&local.hour());
            let found = [
                ("without a ticket", held.ticket.is_none(), String::new()),
                ("out of hours", !at_work, local.strftime("%a %H:%M %Z").to_string()),
                ("not given back", held.reveals > 0 && held.cause == "expired", "it ended by its time".to_owned()),
                ("extended", !held.extended.is_empty(), format!("{} times", held.extended.len())),
            ];
            for (what, _, detail) in found.into_iter().filter(|(_, is_so, _)| *is_so) {
                *counts.entry(what).or_default() += 1;
                let row = held.row().text("what", what).text("at", from).text("detail", detail);
                draft.rows.push(row.entries(held.entries.clone()));
            }
        }
        for (what, count) in counts {
            draft.count(what, count);
        }
        Ok(draft)
    }

    pub(super) async fn revocations(&self, of: Of) -> Result<Draft> {
        let columns = &[
            "account",
            "principal",
            "ended",
            "state",
            "proven",
            "lag_milliseconds",
            "still_accepted",
            "checkout",
            "entries",
        ];
        let mut draft = Draft::of(columns);
        let mut lags = Vec::new();
        let mut counts = [("proven", 0), ("told by hand", 0), ("pending", 0)];
        for held in self.checkouts_told(of).await? {
            let (Some(ended), Some("pending")) = (held.ended, held.promised.as_deref()) else { continue };
            let (place, state) = match (held.proven, held.told) {
                (Some(_), _) => (0, "proven"),
                (None, Some(_)) => (1, "told"),
                (None, None) => (2, "pending"),
            };
            if let Some((_, count)) = counts.get_mut(place) {
                *count += 1;
            }
            lags.extend(held.proven.map(|(_, lag)| lag));
            let row = held.row().text("ended", ended).text("state", state);
            let row = row.maybe("proven", held.proven.map(|(at, _)| at));
            let row = match held.proven {
                Some((_, lag)) => row.number("lag_milliseconds", lag),
                None => row,
            };
            draft.rows.push(row.number("still_accepted", held.still_accepted).entries(held.entries));
        }
        lags.sort_unstable();
        for (name, count) in counts {
            draft.count(name, count);
        }
        for (name, share) in [("p50 milliseconds", 50), ("p95 milliseconds", 95), ("most milliseconds", 100)] {
            if let Some(lag) = percentile(&lags, share) {
                draft.figure(name, ReportCell::Number(lag));
            }
        }
        Ok(draft)
    }

    /// Where customers' clocks are, by their slugs.
    async fn zones(&self, of: Of) -> Result<BTreeMap<String, TimeZone>> {
        let mut zones = BTreeMap::new();
        for customer in self.customers_of(of) {
            let record = self.load::<CustomerRecord>(&RowId::customer(customer)).await?.value;
            let zone = record.time_zone.as_deref().and_then(time_zone).unwrap_or(TimeZone::UTC);
            zones.insert(record.slug.to_string(), zone);
        }
        Ok(zones)
    }
}

/// The nearest rank: the least value that so many of a hundred do not pass.
fn percentile(sorted: &[u64], share: usize) -> Option<u64> {
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let sorted: Vec<u64> = (1..=20).collect();
        assert_eq!([50, 95, 100].map(|share| percentile(&sorted, share)), [Some(10), Some(19), Some(20)]);
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[], 50), None);
    }
}
