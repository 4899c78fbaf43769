//! Service accounts: programs, by a token of which only the hash is stored.

use claviger_api::audit::kind::EventKind;
use claviger_api::wire::{GRANT_TTL_MAX_SECONDS, NewServiceAccount, PrincipalKind, PrincipalState, ServiceToken};
use claviger_api::{PrincipalId, Scope, Secret, Timestamp, UserName};
use claviger_core::policy::{Permit, PrincipalManage};
use claviger_crypto::{Token, TokenKind};
use claviger_store::RowId;

use super::session::after;
use super::token_hash;
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{PrincipalRecord, TokenRecord};

/// The shortest life of a service account's token.
const TOKEN_TTL_MIN_SECONDS: u64 = 60;

impl Open {
    /// Adds a service account and shows its token, once.
    pub async fn add_service_account(
        &self,
        new: &NewServiceAccount,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<ServiceToken> {
        let expires_at = self.token_end(new.token_ttl_seconds)?;
        deciding_once(once, || async {
            let again = "POST /v1/service-accounts/{name}/actions/replace-token";
            self.shown_once(Scope::Operator, once, caller, again).await?;
            self.name_is_free(&new.name).await?;
            let token = Token::generate(TokenKind::ServiceAccount, self.random());
            let account = PrincipalRecord {
                id: PrincipalId::from_uuid(self.new_uuid()),
                kind: PrincipalKind::ServiceAccount,
                name: new.name.clone(),
                customer: None,
                state: PrincipalState::Active,
                password: None,
                token: Some(token_hash(&token)),
                created_at: self.now(),
                last_login_at: None,
                generation: 0,
            };
            let change = self
                .new_principal(self.principal_event(EventKind::ServiceAccountAdded, caller, &account), &account)?
                .create(
                    RowId::token(&token_hash(&token)),
                    &TokenRecord { principal: account.id, session: None, expires_at },
                )?;
            self.commit(self.remember(change, Scope::Operator, once, caller, account.id.uuid())?).await?;
            self.token_view(&account, token, expires_at).await
        })
        .await
    }

    /// Gives a new token. The old one stops at once, and so do the sessions it opened.
    pub async fn replace_token(
        &self,
        name: &UserName,
        token_ttl_seconds: u64,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<ServiceToken> {
        let expires_at = self.token_end(token_ttl_seconds)?;
        deciding(|| async {
            let row = self.principal_of_kind(name, PrincipalKind::ServiceAccount).await?;
            let token = Token::generate(TokenKind::ServiceAccount, self.random());
            let account = PrincipalRecord { token: Some(token_hash(&token)), ..row.value.clone() }.without_sessions();
            let event = self.principal_event(EventKind::ServiceAccountTokenReplaced, caller, &account);
            let mut change = self.change(event).update(&row, &account)?.create(
                RowId::token(&token_hash(&token)),
                &TokenRecord { principal: account.id, session: None, expires_at },
            )?;
            if let Some(before) = row.value.token {
                change = change.erase(RowId::token(&before));
            }
            self.commit(self.end_sessions_of(change, account.id).await?).await?;
            self.token_view(&account, token, expires_at).await
        })
        .await
    }

    fn token_end(&self, ttl_seconds: u64) -> Result<Timestamp> {
        if (TOKEN_TTL_MIN_SECONDS..=GRANT_TTL_MAX_SECONDS).contains(&ttl_seconds) {
            Ok(after(self.now(), ttl_seconds))
        } else {
            Err(Error::value("token_ttl_seconds", "a token lives 60 to 34560000 seconds (400 days)"))
        }
    }

    async fn token_view(
        &self,
        account: &PrincipalRecord,
        token: Secret,
        expires_at: Timestamp,
    ) -> Result<ServiceToken> {
        Ok(ServiceToken {
            service_account: self.principal_view(account).await?,
            token: token.disclose(),
            token_expires_at: expires_at,
        })
    }
}
