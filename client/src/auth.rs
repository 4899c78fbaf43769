//! `/v1/auth` and `/v1/me`: sessions and a user's own second factors. A program logs in by itself; this is for those
//! who let people log in, and keep their sessions.

use claviger_api::FactorId;
use claviger_api::wire::{
    ChangePassword, ConfirmPasskey, ConfirmTotp, ConfirmedFactor, EnrolRequest, Factors, LoginAnswer, LoginByPasskey,
    LoginRequest, Me, MfaRequest, NewPasskey, NewTotp, PasskeyCeremony, PendingTotp, RecoveryCodes, SecondFactor,
    SteppedUp, Tokens,
};

use crate::client::STEP_UP_BY_PASSKEY;
use crate::{Client, Result};

/// Sessions, and the caller's own password and second factors.
pub struct Auth<'a>(&'a Client);

impl Client {
    /// Sessions.
    pub fn auth(&self) -> Auth<'_> {
        Auth(self)
    }
}

impl Auth<'_> {
    /// Logs somebody in; the client's own session stays as it is. A user's password is answered with a challenge for
    /// [`mfa`](Self::mfa), or, while there is no second factor yet, with a session that may do nothing but enrol one.
    pub async fn login(&self, request: &LoginRequest) -> Result<LoginAnswer> {
        self.0.login(request).await
    }

    /// The second factor of a login. Not repeated: a code is good once.
    pub async fn mfa(&self, request: &MfaRequest) -> Result<Tokens> {
        self.0.post_openly_once("/v1/auth/mfa", request).await
    }

    /// A user's first login: sets the password and uses up the enrolment code. The session may do nothing but enrol a
    /// second factor.
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<Tokens> {
        self.0.post_openly("/v1/auth/enrol", request).await
    }

    /// Proves the second factor again: it is fresh for the next five minutes.
    pub async fn step_up(&self, proof: &SecondFactor) -> Result<SteppedUp> {
        self.0.post_once("/v1/auth/step-up", proof).await
    }

    /// Changes the own password; every other session ends. Not repeated by itself, and safe to repeat by hand: once it
    /// was done, the old password is not right any more.
    pub async fn change_password(&self, request: &ChangePassword) -> Result<()> {
        self.0.post_once_silently("/v1/auth/password", request).await
    }

    /// The own second factors.
    pub async fn factors(&self) -> Result<Factors> {
        self.0.get("/v1/auth/factors").await
    }

    /// A secret for an authenticator app, shown once. It counts when a code of it was [confirmed](Self::confirm_totp).
    pub async fn offer_totp(&self, new: &NewTotp) -> Result<PendingTotp> {
        self.0.post("/v1/auth/totp", new).await
    }

    /// The first code of the app. With the first factor come the recovery codes, shown once.
    pub async fn confirm_totp(&self, request: &ConfirmTotp) -> Result<ConfirmedFactor> {
        self.0.post("/v1/auth/totp/confirm", request).await
    }

    /// A page on which a browser makes a passkey. It counts when the code that the page shows was
    /// [confirmed](Self::confirm_passkey).
    pub async fn offer_passkey(&self, new: &NewPasskey) -> Result<PasskeyCeremony> {
        self.0.post("/v1/auth/passkeys", new).await
    }

    /// The code that the page shows. With the first factor come the recovery codes, shown once.
    pub async fn confirm_passkey(&self, request: &ConfirmPasskey) -> Result<ConfirmedFactor> {
        self.0.post("/v1/auth/passkeys/confirm", request).await
    }

    /// A page on which a browser shows a passkey, as the second factor of a login. What the page shows is the proof,
    /// [`SecondFactor::Passkey`], for [`mfa`](Self::mfa).
    pub async fn passkey_for_login(&self, request: &LoginByPasskey) -> Result<PasskeyCeremony> {
        self.0.post_openly("/v1/auth/passkeys/login", request).await
    }

    /// The same for [`step_up`](Self::step_up).
    pub async fn passkey_for_step_up(&self) -> Result<PasskeyCeremony> {
        self.0.act(STEP_UP_BY_PASSKEY).await
    }

    /// Removes a second factor; never the last.
    pub async fn remove_factor(&self, id: FactorId) -> Result<()> {
        self.0.delete(format!("/v1/auth/factors/{id}")).await
    }

    /// New recovery codes, shown once; those before are good for nothing.
    pub async fn new_recovery_codes(&self) -> Result<RecoveryCodes> {
        self.0.act("/v1/auth/recovery-codes").await
    }

    /// Calls off a re-enrolment of oneself that somebody has asked for and nobody has confirmed yet.
    pub async fn cancel_re_enrolment(&self) -> Result<()> {
        self.0.act_silently("/v1/auth/re-enrolment/cancel").await
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
