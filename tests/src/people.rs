//! Who works with a vault under test: its administrator, and a technician of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its people cannot go on")]

use claviger_api::wire::{
    Conditions, EnrolRequest, GrantKind, InitRequest, NewGrant, NewServiceAccount, NewUser, Role, Tokens, UnsealRequest,
};
use claviger_api::{Secret, UserName};
use claviger_client::{Client, Credentials, Retries};

use crate::postgres::random_text;

/// The administrator's name.
pub const ADMINISTRATOR: &str = "ada";
/// The technician's name; `technician` everywhere.
pub const TECHNICIAN: &str = "tina";

/// The life of the grants that tests make.
pub const GRANT_SECONDS: u64 = 3600;

/// A vault's people, and the one share that opens it. Their sessions are stored in the vault, so that they go on after
/// a restart.
pub struct People {
    /// The only Shamir share.
    pub share: Secret,
    /// Runs the vault.
    pub administrator: Person,
    /// Checks out.
    pub technician: Person,
}

/// Somebody with a session.
pub struct Person {
    /// The name.
    pub name: UserName,
    /// The password.
    pub password: Secret,
    access: Secret,
    refresh: Secret,
}

impl People {
    /// Initialises and unseals the vault at this address, and lets its people in.
    pub async fn found(address: &str) -> Self {
        let nobody = nobody(address);
        let administrator: UserName = ADMINISTRATOR.parse().unwrap();
        let request = InitRequest::Shamir { shares: 1, threshold: 1, administrator: administrator.clone() };
        let mut made = nobody.sys().init(&request).await.expect("init");
        let share = made.shares.remove(0).into_secret();
        unseal(address, &share).await;
        let administrator = Person::enrol(address, administrator, made.enrolment.into_secret()).await;
        let technician = administrator.adds_user(address, TECHNICIAN, Some((Role::Technician, "*"))).await;
        Self { share, administrator, technician }
    }

    /// Second owners of the same sessions, for a copy of the vault.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            share: self.share.duplicate(),
            administrator: self.administrator.duplicate(),
            technician: self.technician.duplicate(),
        }
    }
}

impl Person {
    /// The first login, with a password of one's own.
    pub async fn enrol(address: &str, name: UserName, enrolment: Secret) -> Self {
        let password = Secret::new(random_text()).unwrap();
        let request = EnrolRequest {
            name: name.clone(),
            enrolment: enrolment.disclose(),
            password: password.duplicate().disclose(),
        };
        let tokens: Tokens = nobody(address).auth().enrol(&request).await.expect("enrolment");
        Self {
            name,
            password,
            access: tokens.access_token.into_secret(),
            refresh: tokens.refresh_token.expect("a user's session can be refreshed").into_secret(),
        }
    }

    /// As an administrator: adds a user with one role at one place, and lets the user in.
    pub async fn adds_user(&self, address: &str, name: &str, role: Option<(Role, &str)>) -> Self {
        let client = self.client(address);
        let name: UserName = name.parse().unwrap();
        let added = client.users().add(&NewUser { name: name.clone(), customer: None }).await.expect("a new user");
        if let Some((role, scope)) = role {
            self.grants(address, &name, role, scope).await;
        }
        Self::enrol(address, name, added.enrolment.into_secret()).await
    }

    /// As an administrator: grants a role at a place.
    pub async fn grants(&self, address: &str, to: &UserName, role: Role, scope: &str) {
        let grant = NewGrant {
            spans_customers: scope == "*",
            principal: to.clone(),
            kind: GrantKind::MayUse,
            role,
            scope: scope.parse().unwrap(),
            ttl_seconds: GRANT_SECONDS,
            max_checkout_seconds: None,
            conditions: Conditions::default(),
        };
        self.client(address).grants().add(&grant).await.expect("a grant");
    }

    /// As an administrator: adds a service account with one role at one place, and gives its token.
    pub async fn adds_program(&self, address: &str, name: &str, role: Role, scope: &str) -> Secret {
        let new = NewServiceAccount::with_token(name.parse().unwrap(), GRANT_SECONDS);
        let added = self.client(address).service_accounts().add(&new).await.expect("a new service account");
        self.grants(address, &new.name, role, scope).await;
        added.token.expect("its token").into_secret()
    }

    /// This person's client. It tries nothing twice: what fails is the test's to see.
    pub fn client(&self, address: &str) -> Client {
        let session = Credentials::Session { access: self.access.duplicate(), refresh: self.refresh.duplicate() };
        builder(address).credentials(session).build().unwrap()
    }

    /// The bearer token, for requests that no client would send.
    pub fn token(&self) -> &str {
        self.access.expose()
    }

    /// A second owner of the same session.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            name: self.name.clone(),
            password: self.password.duplicate(),
            access: self.access.duplicate(),
            refresh: self.refresh.duplicate(),
        }
    }
}

/// Gives the one share.
pub async fn unseal(address: &str, share: &Secret) {
    let request = UnsealRequest { key: share.duplicate().disclose() };
    nobody(address).sys().unseal(&request).await.expect("unseal");
}

/// A client without a session.
pub fn nobody(address: &str) -> Client {
    builder(address).build().unwrap()
}

fn builder(address: &str) -> claviger_client::Builder {
    Client::builder().address(address).retries(Retries { attempts: 1, ..Retries::default() })
}
