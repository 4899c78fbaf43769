//! `/v1/auth/oidc`: single sign-on, for those who let people log in.
//!
//! By a browser (RFC 8252): make a [`ProofKey`], listen on a port of 127.0.0.1, and lead the browser to
//! [`begin`](SignOns::begin). It comes back to that port with a code, which with the key's verifier is good once. By device
//! code (RFC 8628): [`begin_device`](SignOns::begin_device), show the person what to do, and
//! [`poll_device`](SignOns::poll_device) until there is a code. Either ends in [`login`](SignOns::login),
//! [`enrol`](SignOns::enrol) or [`link`](SignOns::link).

use claviger_api::wire::{
    BeginDevice, BeginSignOn, CodeChallenge, DevicePoll, DeviceSignOn, LoginAnswer, PollDevice, Principal, SignOnEnrol,
    SignOnLink, SignOnLogin, Tokens,
};
use claviger_api::{Part, Secret};

use crate::{Client, Result};

/// Single sign-on.
pub struct SignOns<'a>(&'a Client);

/// What proves that whoever ends a sign-on has begun it.
pub struct ProofKey {
    /// Kept until the end.
    pub verifier: Secret,
    /// Given at the beginning.
    pub challenge: CodeChallenge,
}

impl Client {
    /// Single sign-on.
    pub fn sign_on(&self) -> SignOns<'_> {
        SignOns(self)
    }
}

impl SignOns<'_> {
    /// A new key.
    pub fn proof_key(&self) -> Result<ProofKey> {
        let text = self.state().to_string();
        let verifier = Secret::new(text).map_err(|error| crate::Error::usage(error.to_string()))?;
        Ok(ProofKey { challenge: CodeChallenge::of(&verifier), verifier })
    }

    /// 32 random bytes, for the state that comes back to the port.
    pub fn state(&self) -> CodeChallenge {
        let (first, second) = (self.0.random(), self.0.random());
        let mut bytes = [0; 32];
        let (front, back) = bytes.split_at_mut(16);
        front.copy_from_slice(&first.to_be_bytes());
        back.copy_from_slice(&second.to_be_bytes());
        CodeChallenge::from_bytes(bytes)
    }

    /// Where to lead the browser. Nothing in it is a secret.
    pub fn begin(&self, provider: &Part, key: &ProofKey, port: u16, state: CodeChallenge) -> Result<String> {
        let begin = BeginSignOn { provider: provider.clone(), challenge: key.challenge, port, state };
        self.0.address_of("/v1/auth/oidc/begin", &begin)
    }

    /// Begins a sign-on by device code.
    pub async fn begin_device(&self, provider: &Part, key: &ProofKey) -> Result<DeviceSignOn> {
        let begin = BeginDevice { provider: provider.clone(), challenge: key.challenge };
        self.0.post_openly_once("/v1/auth/oidc/device", &begin).await
    }

    /// How far it is. Not to be asked more often than its interval.
    pub async fn poll_device(&self, device: &Secret) -> Result<DevicePoll> {
        let poll = PollDevice { device: device.duplicate().disclose() };
        self.0.post_openly_once("/v1/auth/oidc/device/poll", &poll).await
    }

    /// Logs in by what came of it, or is asked for the second factor: [`Auth::mfa`](crate::Auth::mfa).
    pub async fn login(&self, code: Secret, key: &ProofKey) -> Result<LoginAnswer> {
        let request = SignOnLogin { code: code.disclose(), verifier: key.verifier.duplicate().disclose() };
        self.0.post_openly_once("/v1/auth/oidc/login", &request).await
    }

    /// A user's first login by it, with the enrolment code.
    pub async fn enrol(&self, request: &SignOnEnrol) -> Result<Tokens> {
        self.0.post_openly_once("/v1/auth/oidc/enrol", request).await
    }

    /// Links the client's user to it, by an administrator's invitation.
    pub async fn link(&self, request: &SignOnLink) -> Result<Principal> {
        self.0.post_once("/v1/auth/oidc/link", request).await
    }
}
