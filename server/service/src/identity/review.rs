//! Access review: a list of the grants that reach a customer, which reviewers confirm or cut line by line.
//!
//! The lines are those of the start, each a row, so that a review goes on where it was left, by whoever may. Nobody
//! confirms a line of their own. It is closed once every line is decided; when its time is over it closes by itself and
//! says what was not decided.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    self, REVIEW_LINES_MAX, REVIEW_TTL_DEFAULT_SECONDS, REVIEW_TTL_MAX_SECONDS, REVIEW_TTL_MIN_SECONDS, ReviewCounts,
    ReviewLine, ReviewVerdict,
};
use claviger_api::{CustomerId, GrantId, PrincipalId, ReviewId, Scope};
use claviger_core::policy::{AccessView, Grant, GrantRevoke, Permit};
use claviger_store::{Range, RowId, Table, Versioned};

use super::session::after;
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{
    CustomerRecord, GrantRecord, PrincipalRecord, ReviewClose, ReviewDecision, ReviewLineRecord, ReviewRecord,
    TimerRecord,
};
use crate::workers::TimerKind;

/// Who closes a review whose time is over.
const ACTOR: &str = "system/review";

impl Open {
    /// Starts a review of whoever reaches a customer now. One at a time.
    pub async fn start_review(
        &self,
        customer: CustomerId,
        ttl_seconds: Option<u64>,
        once: &Once,
        caller: &Caller,
        _permit: Permit<GrantRevoke>,
    ) -> Result<wire::Review> {
        let ttl_seconds = ttl_seconds.unwrap_or(REVIEW_TTL_DEFAULT_SECONDS);
        if !(REVIEW_TTL_MIN_SECONDS..=REVIEW_TTL_MAX_SECONDS).contains(&ttl_seconds) {
            return Err(Error::value("ttl_seconds", "a review takes 3600 to 7776000 seconds (90 days)"));
        }
        let scope = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return Ok(ReviewId::from_uuid(done));
            }
            // Written again, so that of two that are started at once the second one sees the first.
            let serves = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
            let others = self.all::<ReviewRecord>(&Range::scope(Table::Reviews, scope)).await?;
            if let Some(other) = others.iter().find(|other| other.value.closed.is_none()) {
                let detail = format!("The review {} of this customer is open; close it first.", other.value.id);
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let lines = self.lines_now(customer).await?;
            let now = self.now();
            let review = ReviewRecord {
                id: ReviewId::from_uuid(self.new_uuid()),
                customer,
                started_by: caller.id,
                started_at: now,
                ends_at: after(now, ttl_seconds),
                closed: None,
            };
            let event = self
                .review_event(EventKind::ReviewStarted, Some(caller), &review)
                .with(FieldName::ExpiresAt, review.ends_at)
                .with(FieldName::Detail, format_args!("{} lines", lines.len()));
            let mut change = self
                .change(event)
                .rewrite(&serves)?
                .create(RowId::review(customer, review.id), &review)?
                .create(timer(&review), &TimerRecord {})?;
            for line in lines {
                change = change.create(RowId::review_line(customer, review.id, line.grant.id), &line)?;
            }
            self.commit(self.remember(change, scope, once, caller, review.id.uuid())?).await?;
            Ok(review.id)
        })
        .await?;
        self.review_view(&self.load::<ReviewRecord>(&RowId::review(customer, id)).await?.value).await
    }

    /// Reviews, those that are open or all: of one customer, or of every one for which `visible` holds.
    pub async fn reviews(
        &self,
        customer: Option<CustomerId>,
        closed: bool,
        paging: &Paging,
        visible: impl Fn(CustomerId) -> bool,
    ) -> Result<Page<wire::Review>> {
        let range = match customer {
            Some(customer) => Range::scope(Table::Reviews, Scope::Customer(customer)),
            None => Range::table(Table::Reviews),
        };
        let wanted = |row: &ReviewRecord| (closed || row.closed.is_none()) && visible(row.customer);
        let rows = self.page::<ReviewRecord>(range, paging, wanted).await?;
        rows.try_map(async |row| self.review_view(&row.value).await).await
    }

    /// One review.
    pub async fn review(
        &self,
        customer: CustomerId,
        id: ReviewId,
        _permit: Permit<AccessView>,
    ) -> Result<wire::Review> {
        self.review_view(&self.load::<ReviewRecord>(&RowId::review(customer, id)).await?.value).await
    }

    /// Its lines, the oldest grant first.
    pub async fn review_lines(
        &self,
        customer: CustomerId,
        id: ReviewId,
        paging: &Paging,
        _permit: Permit<AccessView>,
    ) -> Result<Page<ReviewLine>> {
        self.load::<ReviewRecord>(&RowId::review(customer, id)).await?;
        let rows = self.page::<ReviewLineRecord>(range_of(customer, id), paging, |_| true).await?;
        rows.try_map(async |row| self.line_view(&row.value).await).await
    }

    /// The grant of a line is right, and stays.
    pub async fn confirm_line(
        &self,
        customer: CustomerId,
        id: ReviewId,
        grant: GrantId,
        caller: &Caller,
        _permit: Permit<GrantRevoke>,
    ) -> Result<ReviewLine> {
        deciding(|| async {
            let (review, line) = self.open_line(customer, id, grant).await?;
            if line.value.grant.principal == caller.id {
                return Err(Error::new(
                    ProblemType::Forbidden,
                    "Nobody confirms what they have; another reviewer can.",
                ));
            }
            if line.value.decision.is_some() {
                return self.line_view(&line.value).await;
            }
            let held = self.live_grant(grant).await?;
            let decided = self.decided_line(&line.value, ReviewVerdict::Confirmed, caller);
            let event = self.line_event(EventKind::ReviewLineConfirmed, caller, &review.value, &line.value.grant);
            self.commit(self.change(event).expect(&review).expect(&held).update(&line, &decided)?).await?;
            self.line_view(&decided).await
        })
        .await
    }

    /// The grant of a line goes at once. The caller must be allowed to end it where it is: what reaches every customer is
    /// not cut by those of one.
    pub async fn cut_line(
        &self,
        customer: CustomerId,
        id: ReviewId,
        grant: GrantId,
        reason: &str,
        caller: &Caller,
        _permit: Permit<GrantRevoke>,
    ) -> Result<ReviewLine> {
        short_text("reason", reason)?;
        deciding(|| async {
            let (review, line) = self.open_line(customer, id, grant).await?;
            if line.value.decision.is_some_and(|decision| decision.verdict == ReviewVerdict::Cut) {
                return self.line_view(&line.value).await;
            }
            let held = self.live_grant(grant).await?;
            let _allowed = self.permit::<GrantRevoke>(caller, &held.value.0.scope.into()).await?;
            let principal = self.load::<PrincipalRecord>(&RowId::principal(held.value.0.principal)).await?.value;
            let decided = self.decided_line(&line.value, ReviewVerdict::Cut, caller);
            let event = self.line_event(EventKind::ReviewLineCut, caller, &review.value, &held.value.0).with_personal(
                caller.id,
                FieldName::Reason,
                reason,
            );
            let revoked = |scope| self.grant_event(scope, EventKind::GrantRevoked, caller, &held.value.0, &principal);
            let mut change = self.change(event).and(revoked(Scope::Operator));
            if let Some(customer) = held.value.0.scope.customer() {
                change = change.and(revoked(Scope::Customer(customer)));
            }
            let change = change.expect(&review).update(&line, &decided)?.remove(&held);
            let change = change.erase(RowId::reveal_times(grant)).touches(RowId::principal(principal.id));
            self.commit(change).await?;
            self.line_view(&decided).await
        })
        .await
    }

    /// Closes a review of which every line is decided, or has ended by itself.
    pub async fn close_review(
        &self,
        customer: CustomerId,
        id: ReviewId,
        caller: &Caller,
        _permit: Permit<GrantRevoke>,
    ) -> Result<wire::Review> {
        deciding(|| async {
            let review = self.load::<ReviewRecord>(&RowId::review(customer, id)).await?;
            if review.value.closed.is_some() {
                return self.review_view(&review.value).await;
            }
            let counts = self.counts(&review.value).await?;
            if counts.undecided > 0 {
                let detail = format!("{} lines are not decided; confirm or cut each first.", counts.undecided);
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let closed = self.store_close(&review, Some(caller), counts).await?;
            self.review_view(&closed).await
        })
        .await
    }

    /// The time of a review is over.
    pub(crate) async fn review_due(&self, customer: CustomerId, id: ReviewId) -> Result<()> {
        deciding(|| async {
            let Some(review) = self.read::<ReviewRecord>(&RowId::review(customer, id)).await? else { return Ok(()) };
            if review.value.closed.is_some() || self.now() < review.value.ends_at {
                return Ok(());
            }
            let counts = self.counts(&review.value).await?;
            self.store_close(&review, None, counts).await.map(drop)
        })
        .await
    }

    async fn store_close(
        &self,
        review: &Versioned<ReviewRecord>,
        by: Option<&Caller>,
        counts: ReviewCounts,
    ) -> Result<ReviewRecord> {
        let closed = ReviewClose { at: self.now(), by: by.map(|by| by.id), counts };
        let ReviewCounts { lines, confirmed, cut, ended, undecided } = counts;
        let event = self
            .review_event(EventKind::ReviewClosed, by, &review.value)
            .with(FieldName::Outcome, if undecided > 0 { "lapsed" } else { "done" })
            .with(
                FieldName::Detail,
                format_args!(
                    "{lines} lines: {confirmed} confirmed, {cut} cut, {ended} ended without it, {undecided} undecided"
                ),
            );
        let record = ReviewRecord { closed: Some(closed), ..review.value.clone() };
        self.commit(self.change(event).update(review, &record)?.erase(timer(&review.value))).await?;
        Ok(record)
    }

    /// The grants that reach a customer now, as lines.
    async fn lines_now(&self, customer: CustomerId) -> Result<Vec<ReviewLineRecord>> {
        let now = self.now();
        let mut lines = Vec::new();
        for (principal, grants) in self.grants_by_principal(now).await? {
            let here = |grant: &Grant| grant.scope.customer().is_none_or(|of| of == customer);
            let grants: Vec<Grant> = grants.into_iter().map(|row| row.value.0).filter(here).collect();
            if grants.is_empty() {
                continue;
            }
            let Some(person) = self.read::<PrincipalRecord>(&RowId::principal(principal)).await? else { continue };
            // Another customer's own people reach nothing here, whatever was granted to them.
            if person.value.customer.is_some_and(|own| own != customer) {
                continue;
            }
            lines.extend(grants.into_iter().map(|grant| ReviewLineRecord {
                grant,
                kind: person.value.kind,
                decision: None,
            }));
        }
        if lines.len() > REVIEW_LINES_MAX {
            let detail = format!("{} grants reach this customer, a review has 5000 lines at most.", lines.len());
            return Err(Error::new(ProblemType::InUse, detail));
        }
        Ok(lines)
    }

    /// A line of a review that is open.
    async fn open_line(
        &self,
        customer: CustomerId,
        id: ReviewId,
        grant: GrantId,
    ) -> Result<(Versioned<ReviewRecord>, Versioned<ReviewLineRecord>)> {
        let review = self.load::<ReviewRecord>(&RowId::review(customer, id)).await?;
        let line = self.load::<ReviewLineRecord>(&RowId::review_line(customer, id, grant)).await?;
        if review.value.closed.is_some() || review.value.ends_at <= self.now() {
            return Err(Error::new(ProblemType::Conflict, "The review is closed; start another one."));
        }
        Ok((review, line))
    }

    async fn live_grant(&self, id: GrantId) -> Result<Versioned<GrantRecord>> {
        let found = self.read::<GrantRecord>(&RowId::grant(Scope::Operator, id)).await?;
        let live = found.filter(|row| row.value.0.is_live(self.now()));
        live.ok_or_else(|| Error::new(ProblemType::NotFound, "The grant has ended; there is nothing to decide."))
    }

    fn decided_line(&self, line: &ReviewLineRecord, verdict: ReviewVerdict, caller: &Caller) -> ReviewLineRecord {
        let decision = ReviewDecision { verdict, by: caller.id, at: self.now() };
        ReviewLineRecord { decision: Some(decision), ..line.clone() }
    }

    async fn counts(&self, review: &ReviewRecord) -> Result<ReviewCounts> {
        let mut counts = ReviewCounts::default();
        for line in self.all::<ReviewLineRecord>(&range_of(review.customer, review.id)).await? {
            counts.lines += 1;
            match line.value.decision.map(|decision| decision.verdict) {
                Some(ReviewVerdict::Confirmed) => counts.confirmed += 1,
                Some(ReviewVerdict::Cut) => counts.cut += 1,
                None if self.grant_now(&line.value).await?.is_some() => counts.undecided += 1,
                None => counts.ended += 1,
            }
        }
        Ok(counts)
    }

    /// The line's grant as it is now, if it has not ended.
    async fn grant_now(&self, line: &ReviewLineRecord) -> Result<Option<Grant>> {
        let row = self.read::<GrantRecord>(&RowId::grant(Scope::Operator, line.grant.id)).await?;
        Ok(row.map(|row| row.value.0).filter(|grant| grant.is_live(self.now())))
    }

    async fn review_view(&self, review: &ReviewRecord) -> Result<wire::Review> {
        let (closed_by, counts) = match review.closed {
            Some(closed) => (closed.by, closed.counts),
            None => (None, self.counts(review).await?),
        };
        let closed_by = match closed_by {
            Some(by) => Some(self.name_of(by).await?),
            None => None,
        };
        Ok(wire::Review {
            id: review.id,
            customer: self.slug_or_removed(review.customer).await?,
            started_by: self.name_of(review.started_by).await?,
            started_at: review.started_at,
            ends_at: review.ends_at,
            closed_at: review.closed.map(|closed| closed.at),
            closed_by,
            counts,
        })
    }

    async fn line_view(&self, line: &ReviewLineRecord) -> Result<ReviewLine> {
        let now = self.grant_now(line).await?;
        let person = self.read::<PrincipalRecord>(&RowId::principal(line.grant.principal)).await?;
        let decided_by = match line.decision {
            Some(decision) => Some(self.name_of(decision.by).await?),
            None => None,
        };
        Ok(ReviewLine {
            grant: self.grant_view(now.as_ref().unwrap_or(&line.grant)).await?,
            principal_kind: line.kind,
            principal_state: person.as_ref().map(|person| person.value.state),
            last_used_at: person.and_then(|person| person.value.last_login_at),
            ended: now.is_none(),
            verdict: line.decision.map(|decision| decision.verdict),
            decided_by,
            decided_at: line.decision.map(|decision| decision.at),
        })
    }

    fn review_event(&self, kind: EventKind, by: Option<&Caller>, review: &ReviewRecord) -> Event {
        let scope = Scope::Customer(review.customer);
        let event = match by {
            Some(caller) => self.event(scope, kind, caller),
            None => self.automatic(scope, kind, ACTOR),
        };
        event.with(FieldName::Review, review.id)
    }

    fn line_event(&self, kind: EventKind, caller: &Caller, review: &ReviewRecord, grant: &Grant) -> Event {
        let principal: PrincipalId = grant.principal;
        self.review_event(kind, Some(caller), review)
            .with(FieldName::Grant, grant.id)
            .with(FieldName::Principal, principal)
            .with(FieldName::Role, snake_case(&grant.role))
            .with(FieldName::ExpiresAt, grant.expires_at)
    }
}

fn range_of(customer: CustomerId, id: ReviewId) -> Range {
    Range::prefix(Table::ReviewLines, Scope::Customer(customer), id.uuid().as_bytes())
}

fn timer(review: &ReviewRecord) -> RowId {
    TimerKind::ReviewDue.row(review.ends_at, review.customer, review.id.uuid())
}
