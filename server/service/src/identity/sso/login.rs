//! What comes of a sign-on: a session, or first the second factor that a password would be asked for too.

use std::net::IpAddr;

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{LoginAnswer, PrincipalState, SignOnEnrol, SignOnLogin, Tokens};
use claviger_crypto::{Token, TokenKind};
use claviger_store::{RowId, Versioned};

use super::super::token_hash;
use super::{SignedOn, must_sign_in};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Open, deciding};
use crate::records::{IdentityProviderRecord, PrincipalRecord, TokenRecord};

impl Open {
    /// Logs in whoever is linked to what the provider said. The second factor is the vault's own, unless the provider is
    /// trusted to have checked one just now.
    pub async fn login_by_sign_on(&self, request: &SignOnLogin, source: Option<IpAddr>) -> Result<LoginAnswer> {
        let signed_on = self.redeem(request.code.secret(), request.verifier.secret())?;
        deciding(|| self.login_once(&signed_on, source)).await
    }

    async fn login_once(&self, signed_on: &SignedOn, source: Option<IpAddr>) -> Result<LoginAnswer> {
        let provider = self.trusted(signed_on).await?;
        let user = self.linked_user(signed_on, &provider.value).await?;
        let may = |user: &Versioned<PrincipalRecord>| match user.value.state {
            PrincipalState::Active => true,
            // An administrator linked a user who was never enrolled; who is enrolled anew has a code for that.
            PrincipalState::Invited => user.value.factors_reset.is_none(),
            PrincipalState::Suspended => false,
        };
        let Some(user) = user.filter(may) else {
            return Err(self.not_linked(signed_on, &provider.value, source).await);
        };
        let by = format!("by {}", provider.value.name);
        let trusted = signed_on.second_factor_at.filter(|_| provider.value.trusts_mfa);
        if user.value.has_factors && trusted.is_none() {
            let event = self.login_event(EventKind::LoginSignedOn, source, Some(&user.value));
            let challenge = self.challenge(&user, &user.value, event.with(FieldName::Detail, by)).await?;
            return Ok(LoginAnswer::SecondFactor(challenge));
        }
        let session = self.new_session(&user.value);
        let session = match trusted {
            Some(at) => session.with_second_factor(at),
            None => session,
        };
        let event = self
            .login_event(EventKind::LoginSucceeded, source, Some(&user.value))
            .with(FieldName::Session, session.record.id)
            .with(FieldName::Cause, if trusted.is_some() { "provider_second_factor" } else { "sign_on" })
            .with(FieldName::Detail, by);
        let mut change = Self::with_session(self.change(event), &session)?.expect(&provider);
        let first = user.value.state == PrincipalState::Invited;
        let vouched = user.value.vouched || trusted.is_some();
        let counted = self.counted(&user.value.name, source).await?;
        if first || vouched != user.value.vouched {
            if let Some(hash) = user.value.token {
                change = change.erase(RowId::token(&hash));
            }
            change = self.came_in(change, counted)?;
            let known = PrincipalRecord {
                state: PrincipalState::Active,
                token: None,
                vouched,
                last_login_at: Some(self.now()),
                ..user.value.clone()
            };
            change = change.update(&user, &known)?;
        } else {
            change = self.with_login(change, &user, user.value.clone(), counted)?;
        }
        self.commit(change).await?;
        self.tokens(session).map(LoginAnswer::Session)
    }

    /// A user's first login by a sign-on instead of a password: uses the code up (both codes, where another administrator
    /// had to confirm), links the two, and opens a session that may do nothing but enrol a second factor.
    pub async fn enrol_by_sign_on(&self, request: &SignOnEnrol, source: Option<IpAddr>) -> Result<Tokens> {
        let SignOnEnrol { name, enrolment, confirmation, code, verifier } = request;
        let confirmation = confirmation.as_ref().map(|code| token_hash(code.secret()));
        let refused = || Error::new(ProblemType::InvalidCredentials, "The enrolment is not right, used up or too old.");
        let hash = Token::parse(TokenKind::Enrolment, enrolment.secret()).map_err(|_| refused())?.to_bytes();
        let signed_on = self.redeem(code.secret(), verifier.secret())?;
        deciding(|| async {
            let code = self.read::<TokenRecord>(&RowId::token(&hash)).await?.ok_or_else(refused)?;
            let user = self.load::<PrincipalRecord>(&RowId::principal(code.value.principal)).await?;
            let good = user.value.name == *name && user.value.token == Some(hash) && self.now() < code.value.expires_at;
            // Hashes of 256 random bits: how far two of them agree helps nobody.
            let confirmed = user.value.confirmation.is_none_or(|wanted| confirmation == Some(wanted));
            if !good || !confirmed || user.value.state == PrincipalState::Suspended {
                return Err(refused());
            }
            let provider = self.trusted(&signed_on).await?;
            let linked = self.linked(&user.value, &provider.value, &signed_on.subject).await?;
            let enrolled = PrincipalRecord {
                state: PrincipalState::Active,
                token: None,
                confirmation: None,
                last_login_at: Some(self.now()),
                ..linked
            };
            let session = self.new_session(&enrolled);
            let mut event = Event::new(Scope::Operator, EventKind::UserEnrolled, self.now())
                .with(FieldName::Actor, user.value.id)
                .with(FieldName::Session, session.record.id)
                .with(FieldName::Detail, format_args!("by {}", provider.value.name))
                .with_personal(user.value.id, FieldName::ActorName, &user.value.name)
                .with_personal(user.value.id, FieldName::Subject, &signed_on.subject);
            if let Some(source) = source {
                event = event.with_personal(user.value.id, FieldName::Source, source);
            }
            let change = Self::with_session(self.change(event).remove(&code), &session)?;
            self.commit(self.with_link(change, &user, &enrolled, &provider)?).await?;
            self.tokens(session)
        })
        .await
    }

    /// The provider that said it, if it still may.
    async fn trusted(&self, signed_on: &SignedOn) -> Result<Versioned<IdentityProviderRecord>> {
        let provider = self.load::<IdentityProviderRecord>(&RowId::identity_provider(signed_on.provider)).await?;
        must_sign_in(&provider.value)?;
        Ok(provider)
    }

    /// Nobody who may log in is linked to it: told alike, whether nobody is, or a user who is suspended or another
    /// customer's. An event says which.
    async fn not_linked(
        &self,
        signed_on: &SignedOn,
        provider: &IdentityProviderRecord,
        source: Option<IpAddr>,
    ) -> Error {
        let user = match self.linked_user(signed_on, provider).await {
            Ok(user) => user,
            Err(error) => return error,
        };
        let cause = if user.is_some() { "may_not_log_in" } else { "not_linked" };
        let event = self.login_event(EventKind::LoginFailed, source, user.as_ref().map(|user| &user.value));
        let event = event.with(FieldName::Cause, cause);
        // A detail may say from where an unknown one came.
        let event =
            if user.is_some() { event.with(FieldName::Detail, format_args!("by {}", provider.name)) } else { event };
        if let Err(error) = self.commit(self.change(event)).await {
            return error;
        }
        let (name, subject) = (&provider.name, &signed_on.subject);
        let detail = format!(
            "No user who may log in is linked to the subject {subject} of the identity provider {name}. Give both to an \
             administrator, who runs 'claviger user link' or 'claviger user invite-sign-on'."
        );
        Error::new(ProblemType::SignOnNotLinked, detail)
    }
}
