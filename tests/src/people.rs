//! Who works with a vault under test: its administrator, and a technician of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its people cannot go on")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_api::wire::{
    Conditions, ConfirmTotp, EnrolRequest, GrantKind, InitRequest, LoginAnswer, LoginRequest, MfaRequest, NewGrant,
    NewServiceAccount, NewTotp, NewUser, Role, SecondFactor, Tokens, UnsealRequest,
};
use claviger_api::{Secret, Timestamp, UserName};
use claviger_client::{Client, Credentials, Retries};

use crate::cli::Cli;
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
    /// The second factor.
    pub app: App,
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
    /// The first login, with a password of one's own and an authenticator app.
    pub async fn enrol(address: &str, name: UserName, enrolment: Secret) -> Self {
        let password = Secret::new(random_text()).unwrap();
        let request = EnrolRequest {
            name: name.clone(),
            enrolment: enrolment.disclose(),
            confirmation: None,
            password: password.duplicate().disclose(),
        };
        let tokens: Tokens = nobody(address).auth().enrol(&request).await.expect("enrolment");
        assert!(tokens.may_only_enrol, "nobody does anything without a second factor");
        let access = tokens.access_token.into_secret();
        let refresh = tokens.refresh_token.expect("a user's session can be refreshed").into_secret();
        let app = App::enrol(&client_of(address, &access, &refresh)).await;
        Self { name, password, app, access, refresh }
    }

    /// Logs in again, by password and code: another session of the same person, with a fresh second factor.
    pub async fn log_in(&self, address: &str) -> Self {
        let nobody = nobody(address);
        let password = self.password.duplicate().disclose();
        let request = LoginRequest::Password { name: self.name.clone(), password };
        let LoginAnswer::SecondFactor(asked) = nobody.auth().login(&request).await.expect("the password is right")
        else {
            panic!("{} has a second factor", self.name)
        };
        let code = self.app.code(asked.server_time).await;
        let request = MfaRequest { challenge: asked.challenge, second_factor: SecondFactor::Totp(code.disclose()) };
        let tokens = nobody.auth().mfa(&request).await.expect("the code is right");
        Self {
            access: tokens.access_token.into_secret(),
            refresh: tokens.refresh_token.expect("a user's session can be refreshed").into_secret(),
            ..self.duplicate()
        }
    }

    /// A terminal at which this person has just logged in, with one of the recovery codes, which waits for no clock.
    pub async fn terminal(&self, address: &str) -> Cli {
        let (cli, code) = (Cli::at(address), self.app.0.lock().unwrap().once.pop().expect("a recovery code is left"));
        let input = format!("{}\n{code}\n", self.password.expose());
        let done = cli.run_with(&["login", self.name.as_str(), "--stdin"], &input).await;
        assert_eq!(done.code, 0, "{done:?}");
        cli
    }

    /// Proves the second factor again, in the session that there is.
    pub async fn step_up(&self, address: &str) {
        let client = self.client(address);
        let now = client.auth().factors().await.expect("factors").server_time;
        let code = self.app.code(now).await;
        client.auth().step_up(&SecondFactor::Totp(code.disclose())).await.expect("the code is right");
    }

    /// As an administrator: adds a user with one role at one place, and lets the user in.
    pub async fn adds_user(&self, address: &str, name: &str, role: Option<(Role, &str)>) -> Self {
        self.adds_user_of(address, name, None, role).await
    }

    /// The same, of a customer's own people.
    pub async fn adds_user_of(
        &self,
        address: &str,
        name: &str,
        customer: Option<&str>,
        role: Option<(Role, &str)>,
    ) -> Self {
        let client = self.client(address);
        let name: UserName = name.parse().unwrap();
        let added = client
            .users()
            .add(&NewUser { name: name.clone(), customer: customer.map(|slug| slug.parse().unwrap()) })
            .await
            .expect("a new user");
        if let Some((role, scope)) = role {
            self.grants(address, &name, role, scope).await;
        }
        Self::enrol(address, name, added.enrolment.into_secret()).await
    }

    /// As an administrator: grants a role at a place.
    pub async fn grants(&self, address: &str, to: &UserName, role: Role, scope: &str) {
        self.grants_for(address, to, role, scope, GRANT_SECONDS).await;
    }

    /// The same, for so long.
    pub async fn grants_for(&self, address: &str, to: &UserName, role: Role, scope: &str, ttl_seconds: u64) {
        let grant = NewGrant {
            spans_customers: scope == "*",
            principal: to.clone(),
            kind: GrantKind::MayUse,
            role,
            scope: scope.parse().unwrap(),
            ttl_seconds,
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
        client_of(address, &self.access, &self.refresh)
    }

    /// The same, which tries again as a program would.
    pub fn patient_client(&self, address: &str) -> Client {
        let session = Credentials::Session { access: self.access.duplicate(), refresh: self.refresh.duplicate() };
        Client::builder().address(address).credentials(session).build().unwrap()
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
            app: self.app.clone(),
            access: self.access.duplicate(),
            refresh: self.refresh.duplicate(),
        }
    }
}

/// An authenticator app. The vault takes each step's code once, so the app remembers which it has shown.
#[derive(Clone)]
pub struct App(Arc<Mutex<Shown>>);

struct Shown {
    secret: Vec<u8>,
    step: u64,
    /// What was shown once: the secret in base 32, and the recovery codes.
    once: Vec<String>,
}

impl App {
    /// Enrols one for the client's user, by the code of the step before, so that the present one is still good.
    pub async fn enrol(client: &Client) -> Self {
        let offered = client.auth().offer_totp(&NewTotp { label: "phone".to_owned() }).await.expect("an offer");
        let app = Self::of(offered.secret.secret().expose());
        let code_of = |step| {
            let mut shown = app.0.lock().unwrap();
            shown.step = step;
            shown.code().disclose()
        };
        let before = step_at(offered.server_time) - 1;
        let first = client.auth().confirm_totp(&ConfirmTotp { code: code_of(before) }).await;
        // Meanwhile a step may have ended, and then it is too old.
        let confirmed = match first {
            Err(_) => client.auth().confirm_totp(&ConfirmTotp { code: code_of(before + 1) }).await.expect("a code"),
            Ok(confirmed) => confirmed,
        };
        let codes = confirmed.recovery_codes.into_iter().map(|code| code.secret().expose().to_owned());
        app.0.lock().unwrap().once.extend(codes);
        app
    }

    /// One that has taken this secret, in base 32, and has shown nothing yet.
    pub fn of(base32: &str) -> Self {
        let secret = totp_rs::Secret::try_from_base32(base32).unwrap().as_ref().to_vec();
        Self(Arc::new(Mutex::new(Shown { secret, step: 0, once: vec![base32.to_owned()] })))
    }

    /// The secret in base 32, and the recovery codes.
    pub fn secrets(&self) -> Vec<String> {
        self.0.lock().unwrap().once.clone()
    }

    /// A code that the vault has not seen, at this time of the vault's. Waits for the next one where it must.
    pub async fn code(&self, now: Timestamp) -> Secret {
        let ahead = {
            let mut shown = self.0.lock().unwrap();
            shown.step = step_at(now).max(shown.step + 1);
            shown.step.saturating_sub(step_at(now) + 1)
        };
        tokio::time::sleep(Duration::from_secs(ahead * STEP_SECONDS)).await;
        self.0.lock().unwrap().code()
    }
}

impl Shown {
    fn code(&self) -> Secret {
        let totp = totp_rs::Builder::new().with_secret(self.secret.clone()).build().unwrap();
        Secret::new(totp.generate(self.step * STEP_SECONDS).to_string()).unwrap()
    }
}

const STEP_SECONDS: u64 = 30;

fn step_at(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap() / STEP_SECONDS
}

/// Gives the one share.
pub async fn unseal(address: &str, share: &Secret) {
    let request = UnsealRequest { key: share.duplicate().disclose(), accept_rollback: None };
    nobody(address).sys().unseal(&request).await.expect("unseal");
}

/// A client without a session.
pub fn nobody(address: &str) -> Client {
    builder(address).build().unwrap()
}

fn client_of(address: &str, access: &Secret, refresh: &Secret) -> Client {
    let session = Credentials::Session { access: access.duplicate(), refresh: refresh.duplicate() };
    builder(address).credentials(session).build().unwrap()
}

fn builder(address: &str) -> claviger_client::Builder {
    Client::builder().address(address).retries(Retries { attempts: 1, ..Retries::default() })
}
