//! A user who has lost the way in is enrolled anew.
//!
//! Password, second factors and sign-ons go, so whoever holds the new enrolment becomes that user. Where there is a second factor
//! to lose, the vault's own or one that an identity provider checks, this takes two administrators: one asks and is shown one code, another confirms and is shown a second one,
//! and the user needs both. Neither of the two can be that user alone. Until it is confirmed nothing changes.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, FactorReset, PrincipalKind, PrincipalState, ReEnrolment};
use claviger_api::{Scope, UserName};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_store::{RowId, Versioned};

use super::Enrolment;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{FactorResetRecord, PrincipalRecord, ReEnrolmentRecord, TokenRecord};

const ASK_AGAIN: &str = "POST /v1/users/{name}/actions/re-enrol";

impl Open {
    /// Asks for a re-enrolment, and shows a code. Where the user has a second factor, the code is good for nothing until
    /// another administrator has [confirmed](Self::confirm_re_enrol); else it is at once.
    pub async fn re_enrol(
        &self,
        name: &UserName,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<wire::Enrolment> {
        deciding(|| async {
            let row = self.principal_of_kind(name, PrincipalKind::User).await?;
            if row.value.id == caller.id {
                return Err(Error::new(ProblemType::InUse, "Nobody re-enrols themselves; another administrator can."));
            }
            let enrolment = Enrolment::new(self.now(), self.random());
            if row.value.has_factors || row.value.vouched {
                self.ask(&row, enrolment, caller).await
            } else {
                let event = self.principal_event(EventKind::UserReEnrolled, caller, &row.value);
                let reset = FactorResetRecord { at: self.now(), asked_by: caller.id, confirmed_by: None };
                let (change, user) = self.enrolled_anew(event, &row, enrolment.hash, reset, None).await?;
                let change = change.create(RowId::token(&enrolment.hash), &enrolment.record(user.id))?;
                self.commit(change).await?;
                self.enrolment_view(&user, enrolment).await
            }
        })
        .await
    }

    /// Another administrator's yes: now password, second factors and sessions go. Shows the second code, which the user
    /// needs beside the first.
    pub async fn confirm_re_enrol(
        &self,
        name: &UserName,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<wire::Enrolment> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, ASK_AGAIN).await?;
            let row = self.principal_of_kind(name, PrincipalKind::User).await?;
            let asked = self.asked_for(&row.value).await?;
            if [asked.asked_by, row.value.id].contains(&caller.id) {
                let detail = "Somebody else confirms: neither who asked for it, nor whom it is about.";
                return Err(Error::new(ProblemType::Forbidden, detail));
            }
            let second = Enrolment::new(self.now(), self.random());
            let event = self
                .principal_event(EventKind::UserReEnrolled, caller, &row.value)
                .with(FieldName::Detail, format_args!("asked for by {}", asked.asked_by));
            let reset = FactorResetRecord { at: self.now(), asked_by: asked.asked_by, confirmed_by: Some(caller.id) };
            let (change, user) = self.enrolled_anew(event, &row, asked.enrolment, reset, Some(second.hash)).await?;
            let first = TokenRecord { principal: user.id, session: None, expires_at: second.expires_at };
            let change = change.create(RowId::token(&asked.enrolment), &first)?;
            self.commit(self.remember(change, Scope::Operator, once, caller, user.id.uuid())?).await?;
            self.enrolment_view(&user, second).await
        })
        .await
    }

    /// An administrator calls off what waits for a yes, whoever asked for it. The asker's code is good for nothing then.
    pub async fn cancel_re_enrol(
        &self,
        name: &UserName,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<()> {
        deciding_once(once, || async {
            let row = self.principal_of_kind(name, PrincipalKind::User).await?;
            self.call_off(&row, once, caller).await
        })
        .await
    }

    /// Whom it is about calls it off: somebody wants to become that user.
    pub async fn cancel_own_re_enrol(&self, once: &Once, caller: &Caller) -> Result<()> {
        caller.must_be_a_person()?;
        deciding_once(once, || async {
            let row = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
            self.call_off(&row, once, caller).await
        })
        .await
    }

    async fn call_off(&self, row: &Versioned<PrincipalRecord>, once: &Once, caller: &Caller) -> Result<()> {
        if self.done(Scope::Operator, once, caller).await?.is_some() {
            return Ok(());
        }
        let waits = row.value.re_enrolment.filter(|asked| self.now() < asked.expires_at);
        let asked = waits.ok_or_else(|| Error::new(ProblemType::NotFound, "No re-enrolment waits for a yes."))?;
        let user = PrincipalRecord { re_enrolment: None, ..row.value.clone() };
        let event = self
            .principal_event(EventKind::UserReEnrolmentCancelled, caller, &user)
            .with(FieldName::Detail, format_args!("asked for by {}", asked.asked_by));
        let change = self.change(event).update(row, &user)?;
        self.commit(self.remember(change, Scope::Operator, once, caller, user.id.uuid())?).await.map(drop)
    }

    async fn ask(
        &self,
        row: &Versioned<PrincipalRecord>,
        enrolment: Enrolment,
        caller: &Caller,
    ) -> Result<wire::Enrolment> {
        let asked = ReEnrolmentRecord {
            asked_by: caller.id,
            asked_at: self.now(),
            enrolment: enrolment.hash,
            expires_at: enrolment.expires_at,
        };
        let user = PrincipalRecord { re_enrolment: Some(asked), ..row.value.clone() };
        let event = self.principal_event(EventKind::UserReEnrolmentAsked, caller, &user);
        self.commit(self.change(event).update(row, &user)?).await?;
        self.enrolment_view(&user, enrolment).await
    }

    /// What waits for a yes, asked for by somebody who may still log in.
    async fn asked_for(&self, user: &PrincipalRecord) -> Result<ReEnrolmentRecord> {
        let none =
            || Error::new(ProblemType::NotFound, "Nobody asked for it, or too long ago: ask first, then confirm.");
        let asked = user.re_enrolment.filter(|asked| self.now() < asked.expires_at).ok_or_else(none)?;
        let by = self.read::<PrincipalRecord>(&RowId::principal(asked.asked_by)).await?;
        by.filter(|by| by.value.state == PrincipalState::Active).map(|_| asked).ok_or_else(none)
    }

    /// A change by which password, second factors, sessions and any enrolment from before go.
    async fn enrolled_anew<'a>(
        &'a self,
        event: Event,
        row: &Versioned<PrincipalRecord>,
        enrolment: [u8; 32],
        reset: FactorResetRecord,
        confirmation: Option<[u8; 32]>,
    ) -> Result<(Change<'a>, PrincipalRecord)> {
        let state = match row.value.state {
            PrincipalState::Suspended => PrincipalState::Suspended,
            PrincipalState::Invited | PrincipalState::Active => PrincipalState::Invited,
        };
        let user = PrincipalRecord {
            state,
            password: None,
            token: Some(enrolment),
            confirmation,
            has_factors: false,
            re_enrolment: None,
            factors_reset: Some(reset),
            sign_ons: Vec::new(),
            invitation: None,
            vouched: false,
            ..row.value.clone()
        }
        .without_sessions();
        let mut change = self.change(event).update(row, &user)?;
        if let Some(before) = row.value.token {
            change = change.erase(RowId::token(&before));
        }
        let change = self.without_sign_ons(self.without_factors(change, &row.value).await, &row.value);
        Ok((self.end_sessions_of(change, user.id).await?, user))
    }

    /// What waits for a yes, for those who may see the user.
    pub(super) async fn re_enrolment_view(&self, user: &PrincipalRecord) -> Result<Option<ReEnrolment>> {
        let Some(asked) = user.re_enrolment.filter(|asked| self.now() < asked.expires_at) else { return Ok(None) };
        let asked_by = self.name_of(asked.asked_by).await?;
        Ok(Some(ReEnrolment { asked_by, asked_at: asked.asked_at, expires_at: asked.expires_at }))
    }

    /// When others last took a user's way in away.
    pub(super) async fn factor_reset_view(&self, user: &PrincipalRecord) -> Result<Option<FactorReset>> {
        let Some(reset) = user.factors_reset else { return Ok(None) };
        let confirmed_by = match reset.confirmed_by {
            Some(id) => Some(self.name_of(id).await?),
            None => None,
        };
        Ok(Some(FactorReset { at: reset.at, asked_by: self.name_of(reset.asked_by).await?, confirmed_by }))
    }
}
