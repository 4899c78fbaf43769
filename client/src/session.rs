//! The session behind every call: one login at a time, renewed before it ends.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::Secret;
use claviger_api::wire::{LoginRequest, RefreshRequest, Tokens};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::Sender;
use crate::credentials::{Credentials, InMemory, KeptSession, SessionKeeper};
use crate::{Error, Result};

/// Renew when a fifth of the access token's life is left.
const RENEW_AT_PERCENT: u32 = 80;

/// An access token that claims to live longer is renewed as if it did not.
const LIFE_MAX_SECONDS: u64 = 24 * 60 * 60;

/// Logs in when the first call needs it, and again when the access token ends.
pub(crate) struct Session {
    identity: Identity,
    access: Mutex<Option<Access>>,
}

enum Identity {
    Nobody,
    /// Logs in as often as needed.
    Login(Box<dyn Fn() -> Result<LoginRequest> + Send + Sync>),
    /// Refreshes.
    Kept(Arc<dyn SessionKeeper>),
}

/// An access token and when to renew it; a kept one's end is known only after the first refresh.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) token: Arc<Secret>,
    renew_at: Option<Instant>,
}

impl Session {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let identity = match credentials {
            Credentials::Nobody => Identity::Nobody,
            Credentials::Token(token) => {
                Identity::Login(Box::new(move || Ok(LoginRequest::Token { token: token.duplicate().disclose() })))
            }
            Credentials::Certificate { name } => {
                Identity::Login(Box::new(move || Ok(LoginRequest::Certificate { name: name.clone() })))
            }
            Credentials::Jwt { name, jwt } => Identity::Login(Box::new(move || {
                let jwt = jwt().map_err(Error::Session)?.disclose();
                Ok(LoginRequest::Jwt { name: name.clone(), jwt })
            })),
            Credentials::Session { access, refresh } => {
                Identity::Kept(Arc::new(InMemory::new(KeptSession { access, refresh: Some(refresh) })))
            }
            Credentials::Kept(keeper) => Identity::Kept(keeper),
        };
        Self { identity, access: Mutex::new(None) }
    }

    /// An access token that should work. Callers that come together share one login.
    pub(crate) async fn access(&self, sender: &Sender) -> Result<Access> {
        let mut access = self.access.lock().await;
        if let Some(current) = access.as_ref().filter(|current| current.is_fresh()) {
            return Ok(current.clone());
        }
        let renewed = match &self.identity {
            Identity::Nobody => return Err(Error::NotLoggedIn),
            Identity::Login(request) => {
                let why = || "a service account was asked for a second factor".to_owned();
                let tokens = sender.login(&request()?).await?.session();
                Access::of(tokens.ok_or_else(|| Error::BadAnswer { status: 200, why: why() })?)
            }
            Identity::Kept(keeper) => renew(keeper, access.as_ref().map(|old| &*old.token), sender).await?,
        };
        *access = Some(renewed.clone());
        Ok(renewed)
    }

    /// The server no longer takes this token: the next call renews, unless another call has done so already.
    pub(crate) async fn refused(&self, token: &Access) {
        let mut access = self.access.lock().await;
        if let Some(current) = access.as_mut().filter(|current| Arc::ptr_eq(&current.token, &token.token)) {
            current.renew_at = Some(Instant::now());
        }
    }
}

impl Access {
    fn of(tokens: Tokens) -> Self {
        let life = Duration::from_secs(tokens.expires_in_seconds.min(LIFE_MAX_SECONDS));
        Self {
            token: Arc::new(tokens.access_token.into_secret()),
            renew_at: Some(Instant::now() + life * RENEW_AT_PERCENT / 100),
        }
    }

    fn is_fresh(&self) -> bool {
        self.renew_at.is_none_or(|renew_at| Instant::now() < renew_at)
    }
}

/// Takes what another program has renewed already, or refreshes, while no other program can.
async fn renew(keeper: &Arc<dyn SessionKeeper>, old: Option<&Secret>, sender: &Sender) -> Result<Access> {
    let keeper = Arc::clone(keeper);
    let opened = tokio::task::spawn_blocking(move || keeper.open()).await.map_err(std::io::Error::other);
    let mut open = opened.flatten().map_err(Error::Session)?;
    let kept = open.load().map_err(Error::Session)?.ok_or(Error::NotLoggedIn)?;
    if old.is_none_or(|old| old.expose() != kept.access.expose()) {
        return Ok(Access { token: Arc::new(kept.access), renew_at: None });
    }
    let refresh = kept.refresh.ok_or(Error::NotLoggedIn)?;
    let mut tokens = sender.refresh(&RefreshRequest { refresh_token: refresh.disclose() }).await?;
    let refresh = tokens
        .refresh_token
        .take()
        .ok_or_else(|| Error::BadAnswer { status: 200, why: "a refresh without the next refresh token".to_owned() })?;
    let access = Access::of(tokens);
    let next = KeptSession { access: access.token.duplicate(), refresh: Some(refresh.into_secret()) };
    open.store(&next).map_err(Error::Session)?;
    Ok(access)
}
