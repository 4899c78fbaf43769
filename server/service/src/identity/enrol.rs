//! A user's first login: the single-use code and a password of their own.

use std::net::IpAddr;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{PrincipalState, Tokens};
use claviger_api::{Scope, Secret, UserName};
use claviger_crypto::{Token, TokenKind};
use claviger_store::RowId;

use super::login::hash_password;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Open, deciding};
use crate::records::{PrincipalRecord, TokenRecord};

/// The fewest characters in a user's password (NIST SP 800-63B asks for at least 8; the vault guards more than one).
pub const PASSWORD_MIN: usize = 12;

impl Open {
    /// Uses the code up, sets the password, and opens a session.
    pub async fn enrol(
        &self,
        name: &UserName,
        enrolment: &Secret,
        password: Secret,
        source: Option<IpAddr>,
    ) -> Result<Tokens> {
        let refused = || Error::new(ProblemType::InvalidCredentials, "The enrolment is not right, used up or too old.");
        if password.expose().chars().count() < PASSWORD_MIN {
            return Err(Error::value("password", "a password has at least 12 characters"));
        }
        let hash = Token::parse(TokenKind::Enrolment, enrolment).map_err(|_| refused())?.to_bytes();
        let phc = hash_password(self, password).await?;
        deciding(|| async {
            let code = self.read::<TokenRecord>(&RowId::token(&hash)).await?.ok_or_else(refused)?;
            let user = self.load::<PrincipalRecord>(&RowId::principal(code.value.principal)).await?;
            let good = user.value.name == *name && user.value.token == Some(hash) && self.now() < code.value.expires_at;
            if !good || user.value.state == PrincipalState::Suspended {
                return Err(refused());
            }
            let enrolled = PrincipalRecord {
                state: PrincipalState::Active,
                password: Some(phc.clone()),
                token: None,
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
