//! A vault to test: a real server in a process of its own, and its people.

use std::ops::{Deref, DerefMut};

use claviger_client::Client;

use crate::people::{People, unseal};
use crate::server::{Launch, Server};

/// A running server, initialised and unsealed.
pub struct Vault {
    server: Server,
    /// Who works with it.
    pub people: People,
}

impl Vault {
    /// A new vault with its people.
    pub async fn start() -> Self {
        Self::start_with(&Launch::default()).await
    }

    /// A new vault with its people, started like this.
    pub async fn start_with(launch: &Launch) -> Self {
        let server = Server::start(launch).await;
        let people = People::found(server.address()).await;
        Self { server, people }
    }

    /// A new vault with its people, on the embedded engine.
    pub async fn embedded() -> Self {
        let server = Server::embedded(&Launch::default()).await;
        let people = People::found(server.address()).await;
        Self { server, people }
    }

    /// A vault that goes on from a copy of this one's directory, while this one is stopped.
    pub async fn copy(&self, launch: &Launch) -> Self {
        let copy = Self { server: self.server.copy(launch).await, people: self.people.duplicate() };
        unseal(copy.address(), &copy.people.share).await;
        copy
    }

    /// A vault with the same people on a server of its own, which was started already and is sealed.
    #[must_use]
    pub fn on(&self, server: Server) -> Self {
        Self { server, people: self.people.duplicate() }
    }

    /// Starts it again on the same directory, and unseals it. Its address is another one.
    pub async fn restart(&mut self) {
        self.restart_with(&Launch::default()).await;
    }

    /// The same, started like this.
    pub async fn restart_with(&mut self, launch: &Launch) {
        self.server.start_again(launch).await;
        unseal(self.address(), &self.people.share).await;
    }

    /// The administrator's client.
    pub fn administrator(&self) -> Client {
        self.people.administrator.client(self.address())
    }

    /// The technician's client.
    pub fn technician(&self) -> Client {
        self.people.technician.client(self.address())
    }
}

impl Deref for Vault {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Vault {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
