//! A user's first login: the single-use code and a password of their own.

use std::net::IpAddr;

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{EnrolRequest, PrincipalState, Tokens};
use claviger_crypto::{Token, TokenKind};
use claviger_store::RowId;

use super::login::hash_password;
use super::password::check_password;
use super::token_hash;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Open, deciding};
use crate::records::{PrincipalRecord, TokenRecord};

impl Open {
    /// Uses the code up (both codes, where another administrator had to confirm), sets the password, and opens a
    /// session that may do nothing but enrol a second factor.
    pub async fn enrol(&self, request: EnrolRequest, source: Option<IpAddr>) -> Result<Tokens> {
        let EnrolRequest { name, enrolment, confirmation, password } = request;
        let (enrolment, password) = (enrolment.into_secret(), password.into_secret());
        let confirmation = confirmation.map(|code| token_hash(code.secret()));
        let refused = || Error::new(ProblemType::InvalidCredentials, "The enrolment is not right, used up or too old.");
        let hash = Token::parse(TokenKind::Enrolment, &enrolment).map_err(|_| refused())?.to_bytes();
        check_password("password", &password, &name)?;
        let phc = hash_password(self, password).await?;
        deciding(|| async {
            let code = self.read::<TokenRecord>(&RowId::token(&hash)).await?.ok_or_else(refused)?;
            let user = self.load::<PrincipalRecord>(&RowId::principal(code.value.principal)).await?;
            let good = user.value.name == name && user.value.token == Some(hash) && self.now() < code.value.expires_at;
            // Hashes of 256 random bits: how far two of them agree helps nobody.
            let confirmed = user.value.confirmation.is_none_or(|wanted| confirmation == Some(wanted));
            if !good || !confirmed || user.value.state == PrincipalState::Suspended {
                return Err(refused());
            }
            let enrolled = PrincipalRecord {
                state: PrincipalState::Active,
                password: Some(phc.clone()),
                token: None,
                confirmation: None,
                last_login_at: Some(self.now()),
                ..user.value.clone()
            };
            let session = self.new_session(&enrolled);
            let mut event = Event::new(Scope::Operator, EventKind::UserEnrolled, self.now())
                .with(FieldName::Actor, user.value.id)
                .with(FieldName::Session, session.record.id)
                .with_personal(user.value.id, FieldName::ActorName, &user.value.name);
            if let Some(source) = source {
                event = event.with_personal(user.value.id, FieldName::Source, source);
            }
            let change = self.change(event).update(&user, &enrolled)?.remove(&code);
            let change = Self::with_session(change, &session)?;
            self.commit(change).await?;
            self.tokens(session)
        })
        .await
    }
}
