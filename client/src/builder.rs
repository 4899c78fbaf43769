//! How a client is made.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::client::{Client, Random, Sender};
use crate::credentials::AskSecondFactor;
use crate::session::Session;
use crate::transport::{Transport, USER_AGENT};
use crate::{Credentials, Error, Result, Retries};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt at one request may take: longer than a slow customer's system is given by the server.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// How a client is made. Only the address is needed.
#[derive(Default)]
pub struct Builder {
    address: Option<String>,
    ca_certificate_pem: Option<Vec<u8>>,
    identity_pem: Option<Zeroizing<Vec<u8>>>,
    credentials: Credentials,
    asks: Option<Arc<dyn AskSecondFactor>>,
    retries: Retries,
    timeout: Option<Duration>,
    user_agent: Option<String>,
    random: Option<Random>,
}

impl Builder {
    /// The server: `https://host[:port]`; `http://` only for loopback addresses.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The CA certificates to trust, in PEM, and no others. The machine's own are trusted when none are given.
    #[must_use]
    pub fn ca_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate_pem = Some(pem.into());
        self
    }

    /// The client certificate to show, and its private key: both in one PEM text, the certificate's chain after it.
    #[must_use]
    pub fn identity_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.identity_pem = Some(Zeroizing::new(pem.into()));
        self
    }

    /// Who the client acts as; nobody by default.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Who asks the person for the second factor, when the server wants a fresh one; by default nobody, and the request
    /// fails.
    #[must_use]
    pub fn asks_second_factor(mut self, asks: Arc<dyn AskSecondFactor>) -> Self {
        self.asks = Some(asks);
        self
    }

    /// How often and how fast to try again.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// How long one attempt at one request may take; [`ATTEMPT_TIMEOUT`] by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What the program calls itself, put before [`USER_AGENT`].
    #[must_use]
    pub fn user_agent(mut self, program: impl Into<String>) -> Self {
        self.user_agent = Some(program.into());
        self
    }

    /// The source of idempotency keys and jitter: 128 uniform random bits a call. The operating system's by default.
    #[must_use]
    pub fn random(mut self, random: impl Fn() -> u128 + Send + Sync + 'static) -> Self {
        self.random = Some(Box::new(random));
        self
    }

    /// The client. Fails with [`Error::Usage`] on an address or certificate that cannot be used; connects to nothing.
    pub fn build(self) -> Result<Client> {
        let address = Address::parse(&self.address.ok_or_else(|| Error::usage("no server address was given"))?)?;
        let timeout = self.timeout.unwrap_or(ATTEMPT_TIMEOUT);
        let user_agent = match self.user_agent {
            Some(program) => format!("{program} {USER_AGENT}"),
            None => USER_AGENT.to_owned(),
        };
        let mut http = reqwest::Client::builder()
            .user_agent(user_agent)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .read_timeout(timeout)
            .redirect(Policy::none()) // a redirect would carry the token to somebody else
            .no_proxy(); // loopback HTTP is in clear: no environment variable may send it elsewhere
        if let Some(pem) = self.ca_certificate_pem {
            http = http.tls_certs_only(certificates(&pem)?);
        }
        if let Some(pem) = self.identity_pem {
            http = http.identity(identity(&pem)?);
        }
        let http = http.build().map_err(|_| Error::usage("no TLS client can be made with these certificates"))?;
        let sender = Sender {
            transport: Transport { http, address, timeout },
            retries: self.retries,
            random: self.random.unwrap_or_else(|| Box::new(system_random)),
        };
        Ok(Client::new(sender, Session::new(self.credentials), self.asks))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::usage("the CA certificate is not one in PEM (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

fn identity(pem: &[u8]) -> Result<reqwest::Identity> {
    // The library's own message could quote the key.
    reqwest::Identity::from_pem(pem)
        .map_err(|_| Error::usage("the client certificate and its private key are not there in PEM, one of each"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the default of Builder::random, which is where tests put their own source"
)]
fn system_random() -> u128 {
    Uuid::new_v4().as_u128()
}
