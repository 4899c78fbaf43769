//! What one connection asks for, as the client library would ask.

use anyhow::{Context as _, Result};
use claviger_client::api::{AccountPath, Secret};

use crate::http::{Connection, request};
use crate::load::Work;

/// `co_` and 32 hex digits.
const CHECKOUT_ID: usize = 35;

/// Sends as somebody, each request under a key of its own.
pub struct Sender {
    authorization: String,
    count: u64,
}

impl Sender {
    pub fn new(bearer: &str) -> Self {
        Self { authorization: format!("Bearer {bearer}"), count: 0 }
    }

    fn post(&mut self, path: &str, body: &str) -> Vec<u8> {
        self.count += 1;
        // Unique among all runs on one directory: the token ends with its signature.
        let tail = self.authorization.get(self.authorization.len().saturating_sub(24)..).unwrap_or_default();
        let key = format!("{tail}-{:08x}", self.count);
        request("POST", path, &[("authorization", &self.authorization), ("idempotency-key", &key)], body)
    }
}

/// The secret of a held account, again and again.
pub struct Reveal {
    sender: Sender,
    path: String,
}

impl Reveal {
    pub fn new(sender: Sender, checkout: &str) -> Self {
        Self { sender, path: format!("/v1/checkouts/{checkout}/reveal") }
    }

    /// Does it once, and says how many bytes the answer has.
    pub async fn bytes(&mut self, connection: &mut Connection) -> Result<usize> {
        let request = self.sender.post(&self.path, "");
        Ok(connection.exchange(&request, 200).await?.len())
    }
}

impl Work for Reveal {
    async fn once(&mut self, connection: &mut Connection) -> Result<()> {
        self.bytes(connection).await.map(drop)
    }
}

/// An account checked out and in.
pub struct Lend {
    sender: Sender,
    body: String,
}

impl Lend {
    pub fn new(sender: Sender, account: &AccountPath) -> Self {
        Self { sender, body: format!(r#"{{"account":"{account}","ttl_seconds":3600,"reason":"bench"}}"#) }
    }

    /// The id of the new checkout.
    pub async fn check_out(&mut self, connection: &mut Connection) -> Result<String> {
        let request = self.sender.post("/v1/checkouts", &self.body);
        let answer = std::str::from_utf8(connection.exchange(&request, 201).await?)?;
        let id = answer.find("co_").and_then(|start| answer.get(start..start + CHECKOUT_ID));
        Ok(id.context("a checkout without an id")?.to_owned())
    }

    pub async fn check_in(&mut self, checkout: &str, connection: &mut Connection) -> Result<()> {
        let request = self.sender.post(&format!("/v1/checkouts/{checkout}/checkin"), "");
        connection.exchange(&request, 200).await?;
        Ok(())
    }
}

impl Work for Lend {
    async fn once(&mut self, connection: &mut Connection) -> Result<()> {
        let checkout = self.check_out(connection).await?;
        self.check_in(&checkout, connection).await
    }
}

/// The login of a program.
pub struct Login(Vec<u8>);

impl Login {
    pub fn new(token: &Secret) -> Self {
        let body = format!(r#"{{"method":"token","token":"{}"}}"#, token.expose());
        Self(request("POST", "/v1/auth/login", &[], &body))
    }
}

impl Work for Login {
    async fn once(&mut self, connection: &mut Connection) -> Result<()> {
        connection.exchange(&self.0, 200).await?;
        Ok(())
    }
}

/// What the bare handler is asked.
pub struct Fetch(Vec<u8>);

impl Fetch {
    pub fn new() -> Self {
        Self(request("GET", "/", &[], ""))
    }
}

impl Work for Fetch {
    async fn once(&mut self, connection: &mut Connection) -> Result<()> {
        connection.exchange(&self.0, 200).await?;
        Ok(())
    }
}
