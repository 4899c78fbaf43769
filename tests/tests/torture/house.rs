//! A vault behind a line that stays where it is, a customer's PostgreSQL, its accounts, and the programs that use them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use claviger_api::wire::{AccountChange, NewServiceAccount, Role};
use claviger_api::{AccountPath, Secret};
use claviger_client::{Client, Credentials, Retries};
use claviger_tests::inventory::{add_customer, add_ephemeral, add_managed_role, add_postgres, add_role};
use claviger_tests::line::Line;
use claviger_tests::postgres::Postgres;
use claviger_tests::vault::Vault;

/// Programs at work at once.
pub const WORKERS: usize = 12;
/// So many of them try nothing twice: whatever answer is lost to them stays unknown.
const IMPATIENT: usize = 3;
/// Holders of a shared account.
const HOLDERS: u32 = 3;
/// Longer than the longest run.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// What an account is to those who use it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Its holder is alone, and what was revealed opens it for as long as it is held.
    Alone,
    /// Another holder's end replaces what was revealed.
    Shared,
    /// A login of the checkout's own.
    Ephemeral,
}

/// All that is tortured.
pub struct House {
    pub vault: Vault,
    pub postgres: Arc<Postgres>,
    pub accounts: Arc<Vec<(AccountPath, Use)>>,
    /// The names of PostgreSQL's roles before anybody used an account.
    pub roles: Vec<String>,
    line: Line,
    tokens: Vec<Secret>,
}

impl House {
    /// With so many systems, all of them the one PostgreSQL. A kill can hold an account for the half minute for which what was
    /// sent to its system may still be on the way, so there are many.
    pub async fn start(systems: usize) -> Self {
        let postgres = Postgres::start_with(&[("max_connections", "300")]).await;
        let vault = Vault::start().await;
        let accounts = fill(&vault, &postgres, systems).await;
        let mut tokens = Vec::new();
        for number in 0..WORKERS {
            tokens.push(add_program(&vault, &name_of(number)).await);
        }
        let line = Line::to(listens_at(&vault)).await;
        let roles = roles(&postgres).await;
        Self { vault, postgres: Arc::new(postgres), accounts: Arc::new(accounts), roles, line, tokens }
    }

    /// A program's client, over the line.
    pub fn client(&self, number: usize) -> Client {
        let patient =
            Retries { attempts: 1_000, first_wait: Duration::from_millis(10), longest_wait: Duration::from_millis(50) };
        let retries = if number < IMPATIENT { Retries { attempts: 1, ..patient } } else { patient };
        Client::builder()
            .address(format!("http://{}", self.line.address()))
            .credentials(Credentials::Token(self.tokens[number].duplicate()))
            .retries(retries)
            .build()
            .unwrap()
    }

    /// Kills the server, starts it again and unseals it; whoever asks meanwhile hears nothing, and then that the line broke.
    pub async fn kill_and_start_again(&mut self) {
        self.vault.kill().await;
        self.line.cut();
        self.vault.restart().await;
        self.line.lead_to(listens_at(&self.vault));
        self.line.mend();
    }
}

/// What a program is called.
pub fn name_of(number: usize) -> String {
    format!("robot{number}")
}

/// The names of all roles.
pub async fn roles(postgres: &Postgres) -> Vec<String> {
    let admin = postgres.admin_client().await;
    let rows = admin.query("SELECT rolname FROM pg_roles ORDER BY rolname", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn fill(vault: &Vault, postgres: &Postgres, systems: usize) -> Vec<(AccountPath, Use)> {
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    let mut accounts = Vec::new();
    for number in 0..systems {
        let system = format!("db{number}");
        add_postgres(&administrator, "acme", &system, postgres).await;
        let at = |name: &str| format!("acme/{system}/{name}{number}");
        for name in ["first", "second"] {
            accounts.push((add_role(&administrator, postgres, &at(name)).await, Use::Alone));
        }
        accounts.push((add_managed_role(&administrator, postgres, &at("managed")).await, Use::Alone));
        let shared = add_role(&administrator, postgres, &at("shared")).await;
        let change = AccountChange { max_holders: Some(HOLDERS), ..AccountChange::default() };
        administrator.accounts().set(&shared, &change).await.unwrap();
        accounts.push((shared, Use::Shared));
        accounts.push((add_ephemeral(&administrator, &at("once"), &[]).await, Use::Ephemeral));
    }
    accounts
}

async fn add_program(vault: &Vault, name: &str) -> Secret {
    let new = NewServiceAccount::with_token(name.parse().unwrap(), DAY_SECONDS);
    let added = vault.administrator().service_accounts().add(&new).await.unwrap();
    vault.people.administrator.grants_for(vault.address(), &new.name, Role::Automation, "acme", DAY_SECONDS).await;
    added.token.unwrap().into_secret()
}

fn listens_at(vault: &Vault) -> SocketAddr {
    vault.address().trim_start_matches("http://").parse().unwrap()
}
