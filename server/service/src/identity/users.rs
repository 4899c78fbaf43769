//! Users: added with a single-use enrolment. How they are enrolled anew is `re_enrol.rs`.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, NewUser, PrincipalKind, PrincipalState};
use claviger_api::{CustomerId, PrincipalId, Scope, UserName};
use claviger_core::policy::{Act, Permit, PrincipalManage, Resource};
use claviger_store::RowId;

use super::Enrolment;
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding_once};
use crate::records::{PrincipalRecord, ProgramRecord};

impl Open {
    /// The permission to do this with a user of this name, of whoever has it everywhere, or at the customer whose own the
    /// user is. Nobody else learns whether there is such a user.
    pub async fn permit_for_user<A: Act>(&self, name: &UserName, caller: &Caller) -> Result<Permit<A>> {
        let refused = match self.permit_untold(caller, &Resource::Operator).await {
            Ok(permit) => return Ok(permit),
            Err(refused) => refused,
        };
        let user = self.principal_of_kind(name, PrincipalKind::User).await;
        self.or_at_home(refused, user.ok().and_then(|row| row.value.customer), caller).await
    }

    /// The same for the users of a customer, or of the MSP.
    pub async fn permit_for_users<A: Act>(&self, customer: Option<CustomerId>, caller: &Caller) -> Result<Permit<A>> {
        match self.permit_untold(caller, &Resource::Operator).await {
            Ok(permit) => Ok(permit),
            Err(refused) => self.or_at_home(refused, customer, caller).await,
        }
    }

    async fn or_at_home<A: Act>(
        &self,
        refused: Error,
        customer: Option<CustomerId>,
        caller: &Caller,
    ) -> Result<Permit<A>> {
        // Whatever is missing at home, it is told as missing in the MSP's own house: the answer does not say either
        // whose the user is, nor whether there is one.
        let at_home = match customer {
            Some(customer) => self.permit_untold(caller, &Resource::Customer(customer)).await,
            None => Err(Error::not_found()),
        };
        match at_home {
            Err(error) if matches!(error.problem, ProblemType::NotFound | ProblemType::Forbidden) => {
                self.tell_refusal(caller, A::ACTION, &Resource::Operator, None, &refused).await;
                Err(refused)
            }
            decided => decided,
        }
    }

    /// Adds a user, who may do nothing but enrol.
    pub async fn add_user(
        &self,
        new: &NewUser,
        once: &Once,
        caller: &Caller,
        permit: Permit<PrincipalManage>,
    ) -> Result<wire::Enrolment> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, "POST /v1/users/{name}/actions/re-enrol").await?;
            self.name_is_free(&new.name).await?;
            let customer = match &new.customer {
                Some(slug) => Some(self.customer_named(slug).await?),
                None => None,
            };
            if permit.customer().is_some() && permit.customer() != customer {
                return Err(Error::new(ProblemType::Forbidden, ""));
            }
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
