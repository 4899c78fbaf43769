//! Who the client acts as.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use claviger_api::wire::{PasskeyCeremony, SecondFactor};
use claviger_api::{Secret, UserName};

/// Who the client acts as.
#[derive(Default)]
pub enum Credentials {
    /// Nobody: enough for `init`, `unseal`, health, login and enrolment.
    #[default]
    Nobody,
    /// A service account, by its token `cvs_…`. It is exchanged for a short access token, which is renewed.
    Token(Secret),
    /// A service account, by the client certificate of [`Builder::identity_pem`](crate::Builder::identity_pem). Its
    /// access token works over connections of this client alone (RFC 8705).
    Certificate {
        /// The service account's name.
        name: UserName,
    },
    /// A service account, by a token of an issuer that vouches for it.
    Jwt {
        /// The service account's name.
        name: UserName,
        /// Gives the token at each login: whoever makes it replaces it now and then. May block for a moment, as a file does.
        jwt: Box<dyn Fn() -> io::Result<Secret> + Send + Sync>,
    },
    /// A user's session of an earlier login ([`Auth::login`](crate::Auth::login), [`Auth::mfa`](crate::Auth::mfa)), known
    /// to this program alone. There are none by password: a person has a second factor.
    Session {
        /// The access token.
        access: Secret,
        /// The refresh token, good once.
        refresh: Secret,
    },
    /// A user's session that outlives the program, shared with other programs: see [`SessionKeeper`].
    Kept(Arc<dyn SessionKeeper>),
}

/// Asks the person at the keyboard for the second factor, when the server wants a fresh one. May block.
pub trait AskSecondFactor: Send + Sync {
    /// What the person gave; `None` where nobody can be asked.
    fn ask(&self) -> Option<Given>;

    /// Shows the person the page on which a browser shows the passkey, and asks for the code that it gives in the end.
    fn code_of(&self, ceremony: &PasskeyCeremony) -> Option<Secret>;
}

/// What somebody who was asked for a second factor gave.
pub enum Given {
    /// A code.
    Proof(SecondFactor),
    /// The wish to show a passkey in a browser.
    Passkey,
}

/// The tokens of a session.
pub struct KeptSession {
    /// The access token.
    pub access: Secret,
    /// The refresh token, good once. A program's session has none, and ends with its access token.
    pub refresh: Option<Secret>,
}

/// Where a user's session lives between runs of a program.
///
/// A refresh token is good once, and its second use ends the session. So two programs must not both refresh:
/// each opens the session, looks whether the other has renewed it already, and only then renews it itself.
pub trait SessionKeeper: Send + Sync {
    /// Opens the session and keeps every other program out of it until the guard is dropped. May block.
    fn open(&self) -> io::Result<Box<dyn OpenSession>>;
}

/// A session that this program alone may read and change for now.
pub trait OpenSession: Send {
    /// The tokens; `None` when nobody is logged in.
    fn load(&mut self) -> io::Result<Option<KeptSession>>;

    /// Replaces the tokens, durably: the ones before are used up.
    fn store(&mut self, session: &KeptSession) -> io::Result<()>;
}

impl KeptSession {
    /// A second owner of the tokens.
    pub(crate) fn duplicate(&self) -> Self {
        Self { access: self.access.duplicate(), refresh: self.refresh.as_ref().map(Secret::duplicate) }
    }
}

/// A session in memory, behind the same face.
pub(crate) struct InMemory(Arc<Mutex<KeptSession>>);

impl InMemory {
    pub(crate) fn new(session: KeptSession) -> Self {
        Self(Arc::new(Mutex::new(session)))
    }
}

impl SessionKeeper for InMemory {
    fn open(&self) -> io::Result<Box<dyn OpenSession>> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl OpenSession for InMemory {
    fn load(&mut self) -> io::Result<Option<KeptSession>> {
        Ok(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).duplicate()))
    }

    fn store(&mut self, session: &KeptSession) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = session.duplicate();
        Ok(())
    }
}
