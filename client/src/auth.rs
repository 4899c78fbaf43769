//! `/v1/auth` and `/v1/me`: sessions. The client logs in by itself; this is for programs that keep a session.

use claviger_api::wire::{EnrolRequest, LoginRequest, Me, Tokens};

use crate::{Client, Result};

/// Sessions.
pub struct Auth<'a>(&'a Client);

impl Client {
    /// Sessions.
    pub fn auth(&self) -> Auth<'_> {
        Auth(self)
    }
}

impl Auth<'_> {
    /// Opens a session and hands out its tokens; the client's own session stays as it is.
    pub async fn login(&self, request: &LoginRequest) -> Result<Tokens> {
        self.0.login(request).await
    }

    /// A user's first login: sets the password and uses up the enrolment code.
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<Tokens> {
        self.0.post_openly("/v1/auth/enrol", request).await
    }

    /// Ends the client's session.
    pub async fn logout(&self) -> Result<()> {
        self.0.act_silently("/v1/auth/logout").await
    }

    /// Who the client acts as, and what it may do.
    pub async fn me(&self) -> Result<Me> {
        self.0.get("/v1/me").await
    }
}
