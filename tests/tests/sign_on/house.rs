//! A vault, a provider, and people who are linked.

use claviger_api::Secret;
use claviger_api::wire::{
    LoginAnswer, NewIdentityProvider, NewSignOn, NewUser, Role, SIGN_ON_CALLBACK, SignOnEnrol, SignOnLink,
};
use claviger_client::{Client, ProofKey, Result};
use claviger_tests::inventory::{new_provider, part};
use claviger_tests::oidc::{Browser, CLIENT_SECRET, LANDING_PORT, Page, Person, Provider};
use claviger_tests::people::{Person as User, nobody};
use claviger_tests::vault::Vault;

pub struct House {
    pub vault: Vault,
    pub provider: Provider,
}

/// A sign-on that was begun.
pub struct Begun {
    pub key: ProofKey,
    pub address: String,
    pub state: String,
}

impl House {
    /// The provider is `entra`, and nobody is linked.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut NewIdentityProvider)) -> Self {
        let vault = Vault::start().await;
        let provider = Provider::start(&format!("{}{SIGN_ON_CALLBACK}", vault.address())).await;
        let house = Self { vault, provider };
        house.adds("entra", change).await;
        house
    }

    pub async fn adds(&self, name: &str, change: impl FnOnce(&mut NewIdentityProvider)) {
        let mut new = NewIdentityProvider {
            client_secret: Some(Secret::new(CLIENT_SECRET.to_owned()).unwrap().disclose()),
            address: self.vault.address().parse().unwrap(),
            scopes: vec!["email".to_owned()],
            ca_certificate: Some(self.provider.ca.clone()),
            ..new_provider(name, &self.provider.url)
        };
        change(&mut new);
        self.vault.administrator().identity_providers().add(&new).await.unwrap();
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.provider.ca)
    }

    pub fn nobody(&self) -> Client {
        nobody(self.vault.address())
    }

    pub fn begin_at(&self, provider: &str) -> Begun {
        let client = self.nobody();
        let (key, state) = (client.sign_on().proof_key().unwrap(), client.sign_on().state());
        let address = client.sign_on().begin(&part(provider), &key, LANDING_PORT, state).unwrap();
        Begun { key, address, state: state.to_string() }
    }

    pub fn begin(&self) -> Begun {
        self.begin_at("entra")
    }

    /// Signs on, in a browser of its own, and gives what it came back with.
    pub async fn signed_on(&self, person: Person<'_>) -> (Secret, ProofKey) {
        let begun = self.begin();
        let page = self.browser().sign_on(&begun.address, person).await;
        (code_of(&page, &begun.state), begun.key)
    }

    pub async fn log_in(&self, person: Person<'_>) -> Result<LoginAnswer> {
        let (code, key) = self.signed_on(person).await;
        self.nobody().sign_on().login(code, &key).await
    }

    /// A new user who was never enrolled, linked to this subject.
    pub async fn adds_linked(&self, name: &str, subject: &str) {
        let users = self.vault.administrator();
        users.users().add(&NewUser { name: part(name), customer: None }).await.unwrap();
        users.users().link(&part(name), &sign_on("entra", subject)).await.unwrap();
    }

    /// A technician who is enrolled, and links by an invitation.
    pub async fn adds_technician(&self, name: &str, subject: &str) -> User {
        let (administrator, address) = (&self.vault.people.administrator, self.vault.address());
        let user = administrator.adds_user(address, name, Some((Role::Technician, "*"))).await;
        self.links(&user, subject).await.unwrap();
        user
    }

    /// A user links by an invitation.
    pub async fn links(&self, user: &User, subject: &str) -> Result<()> {
        let users = self.vault.administrator();
        let invitation = users.users().invite_sign_on(&user.name, &part("entra")).await.unwrap().invitation;
        let (code, key) = self.signed_on(as_person(subject)).await;
        let request = SignOnLink { invitation, code: code.disclose(), verifier: key.verifier.disclose() };
        user.client(self.vault.address()).sign_on().link(&request).await.map(drop)
    }

    /// A user's first login by a sign-on.
    pub async fn enrols(&self, name: &str, enrolment: Secret, subject: &str) -> Result<()> {
        let (code, key) = self.signed_on(as_person(subject)).await;
        let request = SignOnEnrol {
            name: part(name),
            enrolment: enrolment.disclose(),
            confirmation: None,
            code: code.disclose(),
            verifier: key.verifier.disclose(),
        };
        let tokens = self.nobody().sign_on().enrol(&request).await?;
        assert!(tokens.may_only_enrol, "nobody does anything without a second factor");
        Ok(())
    }
}

pub fn as_person(login: &str) -> Person<'_> {
    Person { login, amr: "pwd", ..Person::default() }
}

pub fn sign_on(provider: &str, subject: &str) -> NewSignOn {
    NewSignOn { provider: part(provider), subject: subject.to_owned() }
}

/// The code that a browser landed with.
pub fn code_of(page: &Page, state: &str) -> Secret {
    assert_eq!(page.parameter("state").as_deref(), Some(state), "{} {}", page.url, page.text);
    let code = page.parameter("code").unwrap_or_else(|| panic!("{:?}", page.parameter("detail")));
    Secret::new(code).unwrap()
}

/// The code and the detail that a browser landed with instead.
pub fn refusal_of(page: &Page) -> (String, String) {
    assert_eq!(page.parameter("code"), None);
    (page.parameter("error").unwrap(), page.parameter("detail").unwrap())
}

/// Whoever was logged in by one answer.
pub fn is_session(answer: &LoginAnswer) -> bool {
    match answer {
        LoginAnswer::Session(_) => true,
        LoginAnswer::SecondFactor(_) => false,
    }
}

/// Code and detail of a refusal.
pub fn refused<T>(result: Result<T>) -> (&'static str, String) {
    let error = result.err().unwrap();
    let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
    (problem.problem_type().unwrap().row().code, problem.detail.clone())
}
