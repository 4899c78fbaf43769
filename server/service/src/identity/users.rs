//! Users: added with a single-use enrolment. How they are enrolled anew is `re_enrol.rs`.

use claviger_api::audit::kind::EventKind;
use claviger_api::wire::{self, NewUser, PrincipalKind, PrincipalState};
use claviger_api::{PrincipalId, Scope};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_store::RowId;

use super::Enrolment;
use crate::error::Result;
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding_once};
use crate::records::{PrincipalRecord, ProgramRecord};

impl Open {
    /// Adds a user, who may do nothing but enrol.
    pub async fn add_user(
        &self,
        new: &NewUser,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<wire::Enrolment> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, "POST /v1/users/{name}/actions/re-enrol").await?;
            self.name_is_free(&new.name).await?;
            let customer = match &new.customer {
                Some(slug) => Some(self.customer_named(slug).await?),
                None => None,
            };
            let enrolment = Enrolment::new(self.now(), self.random());
            let user = PrincipalRecord {
                id: PrincipalId::from_uuid(self.new_uuid()),
                kind: PrincipalKind::User,
                name: new.name.clone(),
                customer,
                state: PrincipalState::Invited,
                password: None,
                token: Some(enrolment.hash),
                created_at: self.now(),
                last_login_at: None,
                generation: 0,
                program: ProgramRecord::default(),
                has_factors: false,
                confirmation: None,
                re_enrolment: None,
                factors_reset: None,
                sign_ons: Vec::new(),
                invitation: None,
                vouched: false,
            };
            let change = self
                .new_principal(self.principal_event(EventKind::UserAdded, caller, &user), &user)?
                .create(RowId::token(&enrolment.hash), &enrolment.record(user.id))?;
            self.commit(self.remember(change, Scope::Operator, once, caller, user.id.uuid())?).await?;
            self.enrolment_view(&user, enrolment).await
        })
        .await
    }

    pub(super) async fn enrolment_view(&self, user: &PrincipalRecord, enrolment: Enrolment) -> Result<wire::Enrolment> {
        Ok(wire::Enrolment {
            user: self.principal_view(user).await?,
            enrolment: enrolment.secret.disclose(),
            enrolment_expires_at: enrolment.expires_at,
            needs_confirmation: user.re_enrolment.is_some(),
        })
    }
}
