//! Carrying an emergency rotation on: end what is checked out, rotate tier by tier, say that it is done.
//!
//! Within a tier all systems are worked on at once, each a few accounts at a time, all together within one bound. A system
//! that could not be told of several accounts in a row is silent: the rotations of its others are started, for later, so
//! that they cannot be checked out and go on by themselves when it answers again; nobody waits for it.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::RotationCause;
use claviger_api::{AccountId, CustomerId, EmergencyId, RotationId, Scope, SystemId, Timestamp};
use claviger_core::emergency::{
    AT_ONCE, AT_ONCE_PER_SYSTEM, Emergency, Line, LineState, Phase, SILENT_AFTER, Takes, Turn, UnderWay, is_concluded,
    turn_of,
};
use claviger_core::rotation::{Action, Rotation, Step};
use claviger_store::{RowId, Versioned};
use futures::future::join_all;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Semaphore;

use super::{ACTOR, in_words, timer};
use crate::checkout::move_timer;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::records::{
    AccountRecord, CustomerRecord, EmergencyLineRecord, EmergencyRecord, RotationRecord, StateRecord,
};
use crate::rotation::start::{Begin, Later};
use crate::workers::TimerKind;

/// The first try of what waits for a silent system; each further account a second later, so that they do not all come at
/// once when it answers again.
const SILENT_FOR: SignedDuration = SignedDuration::from_secs(60);
/// The least and the most between two looks at what is still under way.
const LOOK_LEAST: SignedDuration = SignedDuration::from_secs(1);
const LOOK_MOST: SignedDuration = SignedDuration::from_secs(15);
/// How often, and how long after each other, a rotation that a worker has in hand is waited for.
const HAND_TRIES: u32 = 100;
const HAND_AFTER: Duration = Duration::from_millis(50);
/// How often a rotation that has to settle first is carried on before its account's turn is given up.
const FIRST_MOST: u32 = 3;

/// What came of an account's turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Its system was told, or said no.
    Yes,
    /// Its system could not be told.
    No,
    /// There was nothing to tell.
    Nothing,
}

/// What was begun.
enum Begun {
    Started(RotationId),
    First(RotationId),
    Nothing,
}

impl Open {
    /// Goes on until it waits or is done.
    pub(crate) async fn emergency_due(&self, customer: CustomerId, id: EmergencyId) -> Result<()> {
        let Some(row) = self.read::<EmergencyRecord>(&RowId::emergency(customer, id)).await? else { return Ok(()) };
        let emergency = row.value.0;
        match emergency.phase {
            Phase::Done { .. } => return Ok(()),
            Phase::Ending => self.end_all(&emergency).await?,
            Phase::Rotating => {}
        }
        self.rotate_lines(&emergency).await?;
        self.conclude_emergency(&emergency).await
    }

    /// Ends whatever is checked out, asked for or waited for at the customer, then says so.
    async fn end_all(&self, emergency: &Emergency) -> Result<()> {
        let customer = emergency.customer;
        let why = format!("emergency rotation {}", emergency.id);
        let ended = self.end_all_at(customer, ACTOR, &why).await?;
        deciding(|| async {
            let row = self.load::<EmergencyRecord>(&RowId::emergency(customer, emergency.id)).await?;
            let rotating = Emergency { phase: Phase::Rotating, ..row.value.0.clone() };
            let event = self
                .emergency_event(Scope::Customer(customer), EventKind::EmergencyCheckoutsEnded, None, emergency)
                .with(FieldName::Detail, format_args!("{ended} checkouts"));
            self.commit(self.change(event).update(&row, &EmergencyRecord(rotating))?).await.map(drop)
        })
        .await
    }

    async fn rotate_lines(&self, emergency: &Emergency) -> Result<()> {
        let lines = self.emergency_lines(emergency.customer, emergency.id).await?;
        let at_once = Semaphore::new(AT_ONCE);
        for tier in lines.chunk_by(|one, next| one.value.0.tier == next.value.0.tier) {
            let mut systems: BTreeMap<SystemId, Vec<Line>> = BTreeMap::new();
            for line in tier {
                systems.entry(line.value.0.system).or_default().push(line.value.0.clone());
            }
            let work = systems.into_values().map(|lines| self.rotate_on_system(emergency, lines, &at_once));
            join_all(work).await.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// One account until the system has answered, then several at once; once it is silent, none.
    async fn rotate_on_system(&self, emergency: &Emergency, lines: Vec<Line>, at_once: &Semaphore) -> Result<()> {
        let (mut answers, mut silent, mut rest) = (false, 0, lines.as_slice());
        while !rest.is_empty() {
            if silent >= SILENT_AFTER {
                return self.put_off(emergency, rest).await;
            }
            let window = if answers { AT_ONCE_PER_SYSTEM } else { 1 };
            let (now, later) = rest.split_at(window.min(rest.len()));
            let turns = now.iter().map(|line| async {
                let _turn = at_once.acquire().await.map_err(Error::internal)?;
                Box::pin(self.rotate_line(emergency, line)).await
            });
            for told in join_all(turns).await {
                match told? {
                    Told::Yes => (answers, silent) = (true, 0),
                    Told::No => silent += 1,
                    Told::Nothing => {}
                }
            }
            rest = later;
        }
        Ok(())
    }

    /// Starts the rotations of a silent system's accounts for later.
    async fn put_off(&self, emergency: &Emergency, lines: &[Line]) -> Result<()> {
        for (line, number) in lines.iter().zip(0_i64..) {
            let later = self.now().saturating_add(SILENT_FOR + SignedDuration::from_secs(number));
            let later = Some(later.unwrap_or(Timestamp::MAX));
            self.begin_line(emergency, line.account, RotationId::from_uuid(self.new_uuid()), later, false).await?;
        }
        Ok(())
    }

    /// Rotates one account as far as it goes without waiting.
    async fn rotate_line(&self, emergency: &Emergency, line: &Line) -> Result<Told> {
        let customer = emergency.customer;
        let fresh = RotationId::from_uuid(self.new_uuid());
        // Held from before it is there: no worker takes it up beside this one.
        let hand = self.hold(TimerKind::RotationDue, fresh.uuid()).await;
        for tries in 0..=FIRST_MOST {
            match self.begin_line(emergency, line.account, fresh, None, tries == FIRST_MOST).await? {
                Begun::Nothing => return Ok(Told::Nothing),
                Begun::First(before) => drop(Box::pin(self.carry_on(customer, before)).await?),
                Begun::Started(rotation) if rotation == fresh => {
                    self.drive(customer, fresh).await?;
                    drop(hand);
                    return self.told(customer, fresh).await;
                }
                Begun::Started(rotation) => return Box::pin(self.carry_on(customer, rotation)).await,
            }
        }
        Ok(Told::Nothing)
    }

    /// Carries a rotation on that was there before; one that a worker has in hand is waited for a while.
    async fn carry_on(&self, customer: CustomerId, id: RotationId) -> Result<Told> {
        for _ in 0..HAND_TRIES {
            if let Some(_hand) = self.hold(TimerKind::RotationDue, id.uuid()).await {
                self.drive(customer, id).await?;
                break;
            }
            tokio::time::sleep(HAND_AFTER).await;
        }
        self.told(customer, id).await
    }

    async fn told(&self, customer: CustomerId, id: RotationId) -> Result<Told> {
        let row = self.read::<RotationRecord>(&RowId::rotation(customer, id)).await?;
        let silent = |rotation: &Rotation| rotation.unresolved && matches!(rotation.step, Step::Ready { .. });
        Ok(row.map_or(Told::Nothing, |row| if silent(&row.value.rotation) { Told::No } else { Told::Yes }))
    }

    /// Begins an account's turn, once: the rotation and the line that notes it are one commit. `adopts` settles for the one
    /// that is under way, whatever it revokes.
    async fn begin_line(
        &self,
        emergency: &Emergency,
        account: AccountId,
        fresh: RotationId,
        later: Option<Timestamp>,
        adopts: bool,
    ) -> Result<Begun> {
        let customer = emergency.customer;
        let frozen = self.standing_of(customer).await?.emergency == Some(UnderWay { id: emergency.id, frozen: true });
        if frozen {
            self.end_stragglers(emergency, account).await?;
        }
        deciding(|| async {
            let row = self.load::<EmergencyLineRecord>(&RowId::emergency_line(customer, emergency.id, account)).await?;
            match &row.value.0.state {
                LineState::Waiting => {}
                LineState::Started { rotation } => return Ok(Begun::Started(*rotation)),
                LineState::Skipped { .. } => return Ok(Begun::Nothing),
            }
            let Some(record) = self.read::<AccountRecord>(&RowId::account(customer, account)).await? else {
                return self.skip_line(emergency, &row, "it was removed meanwhile").await;
            };
            let state = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
            if !state.value.0.seats.is_empty() {
                return self
                    .skip_line(emergency, &row, "it was checked out again after the thaw; its end rotates it")
                    .await;
            }
            let last = self.rotated_since(emergency, state.value.0.last_rotation).await?;
            let turn = turn_of(record.value.settings.rotate_by, &state.value.0, last.as_ref(), emergency.takes());
            let started =
                |rotation| EmergencyLineRecord(Line { state: LineState::Started { rotation }, ..row.value.0.clone() });
            match turn {
                Turn::Skip(why) => self.skip_line(emergency, &row, why).await,
                Turn::First(rotation) if !adopts => Ok(Begun::First(rotation)),
                // Its turn comes again when that is settled, however long it takes.
                Turn::First(_) if emergency.takes() == Takes::None => Ok(Begun::Nothing),
                Turn::Adopt(rotation) | Turn::First(rotation) => {
                    let event = self.emergency_event(
                        Scope::Customer(customer),
                        EventKind::EmergencyProgressed,
                        None,
                        emergency,
                    );
                    let event = self.of_rotation(event, customer, &record.value, rotation).await?;
                    let event = event.with(FieldName::Detail, "a rotation that is there counts");
                    self.commit(self.change(event).expect(&state).update(&row, &started(rotation))?).await?;
                    Ok(Begun::Started(rotation))
                }
                Turn::Rotate => {
                    let event =
                        self.emergency_event(Scope::Customer(customer), EventKind::RotationStarted, None, emergency);
                    let event = self.of_rotation(event, customer, &record.value, fresh).await?;
                    let mut next = state.value.0.clone();
                    let begin = Begin {
                        id: fresh,
                        cause: RotationCause::Emergency,
                        in_hand: None,
                        later: later.map(|until| Later { until, why: "its system did not answer for other accounts" }),
                    };
                    let change = self.change(event).expect(&record).update(&row, &started(fresh))?;
                    let change = self.begin_rotation(change, customer, &record.value, &mut next, begin).await?;
                    self.commit(change.update(&state, &StateRecord(next))?).await?;
                    Ok(Begun::Started(fresh))
                }
            }
        })
        .await
    }

    /// The account's last rotation, if it was started since the emergency rotation was.
    async fn rotated_since(&self, emergency: &Emergency, last: Option<RotationId>) -> Result<Option<Rotation>> {
        let Some(id) = last else { return Ok(None) };
        let row = self.read::<RotationRecord>(&RowId::rotation(emergency.customer, id)).await?;
        let since = emergency.started_at;
        Ok(row.map(|row| row.value.rotation).filter(|rotation| match emergency.takes() {
            Takes::Unseen => rotation.started_at >= since,
            // Of the same moment it may have been there before.
            Takes::None => rotation.started_at > since,
        }))
    }

    /// Whoever came in by a decision that was made just before the freeze.
    async fn end_stragglers(&self, emergency: &Emergency, account: AccountId) -> Result<()> {
        let row = self.read::<StateRecord>(&RowId::account_state(emergency.customer, account)).await?;
        for seat in row.into_iter().flat_map(|row| row.value.0.seats) {
            let why = format!("emergency rotation {}", emergency.id);
            self.end_one(emergency.customer, seat.checkout, ACTOR, &why).await?;
        }
        Ok(())
    }

    async fn skip_line(&self, emergency: &Emergency, row: &Versioned<EmergencyLineRecord>, why: &str) -> Result<Begun> {
        let line = &row.value.0;
        let customer = emergency.customer;
        let path = self.path_or_removed(customer, line.system, line.account).await?;
        let event = self
            .emergency_event(Scope::Customer(customer), EventKind::EmergencyProgressed, None, emergency)
            .with(FieldName::Account, path)
            .with(FieldName::Detail, format_args!("passed over: {why}"));
        let skipped = Line { state: LineState::Skipped { why: why.to_owned() }, ..line.clone() };
        self.commit(self.change(event).update(row, &EmergencyLineRecord(skipped))?).await?;
        Ok(Begun::Nothing)
    }

    /// Done once each line is; else there is another look.
    async fn conclude_emergency(&self, emergency: &Emergency) -> Result<()> {
        let customer = emergency.customer;
        let (mut counts, mut all, mut next) = (claviger_api::wire::EmergencyCounts::default(), true, None);
        for row in self.emergency_lines(customer, emergency.id).await? {
            let rotation = self.rotation_of(customer, &row.value.0).await?;
            let result = row.value.0.result(rotation.as_ref());
            counts.add(result);
            if !is_concluded(result) {
                all = false;
                let until = rotation.map(|rotation| rotation.next(self.now())).and_then(|action| match action {
                    Action::Wait(until) => Some(until),
                    Action::Prepare
                    | Action::Ask
                    | Action::Remind
                    | Action::Send { .. }
                    | Action::Recover
                    | Action::Probe { .. }
                    | Action::Finished => None,
                });
                next = next.max(until);
            }
        }
        deciding(|| async {
            let row = self.load::<EmergencyRecord>(&RowId::emergency(customer, emergency.id)).await?;
            let before = row.value.0.clone();
            let now = self.now();
            let look = |by: SignedDuration| now.saturating_add(by).unwrap_or(Timestamp::MAX);
            let due = (!all).then(|| next.unwrap_or(now).clamp(look(LOOK_LEAST), look(LOOK_MOST)));
            let phase = if all { Phase::Done { at: now } } else { Phase::Rotating };
            let after = Emergency { phase, timer: due, ..before.clone() };
            let kind = if all { EventKind::EmergencyFinished } else { EventKind::EmergencyProgressed };
            let told = |scope| {
                let event = self.emergency_event(scope, kind, None, emergency);
                event.with(FieldName::Detail, in_words(&counts))
            };
            let mut change = self.change(told(Scope::Customer(customer)));
            change =
                move_timer(change, before.timer.map(|due| timer(&before, due)), due.map(|due| timer(&after, due)))?;
            change = change.update(&row, &EmergencyRecord(after))?;
            if all {
                change = change.and(told(Scope::Operator));
                let serves = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
                if serves.value.emergency.is_some_and(|under_way| under_way.id == emergency.id) {
                    change = change.update(&serves, &CustomerRecord { emergency: None, ..serves.value.clone() })?;
                }
            }
            self.commit(change).await.map(drop)
        })
        .await
    }
}
