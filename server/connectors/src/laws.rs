//! What every connector must do, whatever the system. Each law is a function over a [`Fixture`] that stands for one
//! real system; it panics with what was broken. A new connector passes them all before it is registered.

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};

use crate::{Connector, Credential};

pub mod ephemeral;
pub mod hosts;
pub mod listing;
pub mod probing;
pub mod setting;

/// One real system, and ways to it that do not lead through the connector.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The connector under test, with deadlines of a few seconds.
    fn connector(&self) -> &dyn Connector;
    /// The system, with its identity checked in full.
    fn system(&self) -> SystemSpec;
    /// A system of the same kind at another address, without any check of its identity.
    fn at(&self, host: &str, port: u16) -> SystemSpec;
    /// The same address, but with an identity that is not the one expected there: another CA, another name.
    fn strangers(&self) -> Vec<SystemSpec>;
    /// The system behind a line that loses the reply to the next change, after the system made it.
    async fn losing_reply(&self) -> SystemSpec;
    /// The system behind a line that breaks before the next change reaches it.
    async fn losing_change(&self) -> SystemSpec;

    /// The account that may change the others.
    fn management(&self) -> Credential<'_>;
    /// A secret that was never used.
    fn fresh_secret(&self) -> Secret;
    /// The longest login names that the system tells apart, and names that it would cut.
    fn edge_logins(&self) -> EdgeLogins;
    /// Whether the system can hold a login, or a group, of this name. What it cannot is refused as a whole.
    fn takes_login(&self, _login: &Login) -> bool {
        true
    }
    /// Whether the system can hold this secret exactly. What it cannot is refused as a whole.
    fn takes_secret(&self, _secret: &Secret) -> bool {
        true
    }
    /// The system's clock.
    async fn now(&self) -> Timestamp;

    /// Adds a standing login.
    async fn add_login(&self, login: &Login, secret: &Secret);
    /// Adds a group or role.
    async fn add_group(&self, group: &Login);
    /// Whether a login exists.
    async fn exists(&self, login: &Login) -> bool;
    /// Whether a login is a member of a group.
    async fn is_member(&self, login: &Login, group: &Login) -> bool;
    /// Whether the secret opens the login, tried by other means than the connector.
    async fn opens(&self, login: &Login, secret: &Secret) -> bool;
    /// Logs in and stays.
    async fn stay(&self, login: &Login, secret: &Secret) -> Box<dyn Stay>;
    /// Whether logins own what they make; where not, what they made is nobody's and stays.
    fn has_owners(&self) -> bool {
        true
    }
    /// Makes the login own things, everywhere where it can.
    async fn leave_property(&self, login: &Login, secret: &Secret);
    /// Who owns what [`leave_property`](Self::leave_property) left; it panics where that is gone.
    async fn property_owners(&self) -> Vec<Login>;
}

/// Names at the edge of what a system takes.
pub struct EdgeLogins {
    /// As long as it gets.
    pub longest: Vec<Login>,
    /// Longer: to be refused, never to be cut.
    pub too_long: Vec<Login>,
}

/// An open session.
#[async_trait]
pub trait Stay: Send {
    /// Whether the system still serves it.
    async fn lives(&mut self) -> bool;
}

/// Login names that statements, shells and directories have been broken with.
pub const HOSTILE: [&str; 12] = [
    "\"; DROP ROLE x; --",
    "'; DROP TABLE x; --",
    "a\"b",
    "a\"\"b",
    "o'neill",
    "$$",
    "$(id)`id`",
    "back\\slash",
    "%s%n{}",
    "CORP\\Ädministrätor 💣",
    "current_user",
    "Upper And Lower",
];

/// Passwords that statements, shells and encodings have been broken with; the last are imported, not generated.
pub const HOSTILE_SECRETS: [&str; 8] = [
    "'; DROP ROLE x; --",
    "\"quoted\" and \\escaped\\",
    "$$ $1 ${HOME} $(id)",
    " leading and trailing ",
    "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
    "md5d41d8cd98f00b204e9800998ecf8427e",
    "pässwörd Ⅸ ﬁn\u{ad}al e\u{301}",
    "密码💣\u{a0}x",
];

fn login(text: &str) -> Login {
    match text.parse() {
        Ok(login) => login,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn secret(text: &str) -> Secret {
    match Secret::new(text.to_owned()) {
        Ok(secret) => secret,
        Err(error) => panic!("{error}"),
    }
}

async fn probe(fixture: &dyn Fixture, login: &Login, secret: &Secret) -> ProbeResult {
    fixture.connector().probe(&fixture.system(), login, secret).await.result
}
