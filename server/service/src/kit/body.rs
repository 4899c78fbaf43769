//! What a kit says, inside of its encryption (`docs/formats.md`, "Emergency kit"): each system of the customer, how it is reached,
//! each account, and each secret that may open it, in words for people in an outage.
//!
//! It is read from a view of the store, so that it is of one moment: a rotation is in it as far as it was. It goes from here into the
//! encryption and nowhere else.

use std::collections::BTreeMap;
use std::io::{self, Write};

use claviger_api::secret::Disclosed;
use claviger_api::wire::{AccountKind, CandidateState, SystemSpec, Tier};
use claviger_api::{AccountId, AccountPath, CustomerId, KitId, Login, Part, Scope, Secret, SystemId, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::secrets::Version;
use claviger_store::{Keyring, Range, Record, Row, RowId, Table, View, open_record, open_secret};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::records::{AccountRecord, CustomerRecord, StateRecord, SystemRecord};

/// The form of what is written.
const FORMAT: &str = "claviger-kit/1";
/// What it is, in words.
const OF_A_KIT: &str =
    "What opens this customer's systems, for an outage. When the vault is back, tell it: claviger kit opened";
const OF_A_HAND_OVER: &str =
    "What opens this customer's systems, handed over to the customer, whose they are from now on";

/// All that opens a customer's systems, as of one moment.
#[derive(Serialize)]
pub(crate) struct Body {
    format: &'static str,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kit: Option<KitId>,
    vault: String,
    customer: Whose,
    moment: Timestamp,
    program: &'static str,
    systems: Vec<OneSystem>,
}

#[derive(Serialize)]
struct Whose {
    id: CustomerId,
    slug: Part,
    name: String,
}

#[derive(Serialize)]
struct OneSystem {
    name: Part,
    reached_by: SystemSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    management_account: Option<Part>,
    accounts: Vec<OneAccount>,
}

#[derive(Serialize)]
struct OneAccount {
    path: AccountPath,
    kind: AccountKind,
    login: Login,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    note: &'static str,
    /// The one to try first comes first.
    secrets: Vec<OneSecret>,
}

#[derive(Serialize)]
struct OneSecret {
    version: Version,
    is: Is,
    note: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    secret: Disclosed,
}

/// What the vault knows of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    /// It was seen to open the account.
    Current,
    /// It was sent to the system, and what came of that is not known, or not verified.
    Sent,
    /// The system said no to it, which may be untrue of a retry.
    Refused,
    /// It was replaced.
    Previous,
}

impl Is {
    const fn note(self) -> &'static str {
        match self {
            Self::Current => "the last one that was seen to open the account",
            Self::Sent => {
                "it was being set when this was written, and may be the one: try it if the others are refused"
            }
            Self::Refused => "the system refused to take it: try it last",
            Self::Previous => "it was replaced, and was not seen refused yet",
        }
    }
}

/// How much there is in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub accounts: u64,
    pub secrets: u64,
}

/// Of what a body is made.
pub(crate) struct Of<'a> {
    /// What opens the customer's rows.
    pub keyring: &'a Keyring,
    /// The store, as of the moment.
    pub view: &'a dyn View,
    /// The vault's name.
    pub vault: &'a str,
    /// The customer.
    pub customer: &'a CustomerRecord,
    /// The kit; nothing for a hand-over.
    pub kit: Option<KitId>,
    /// The moment.
    pub moment: Timestamp,
}

impl Body {
    /// Reads all of it.
    pub async fn read(of: Of<'_>) -> Result<Self> {
        let Of { keyring, view, vault, customer, kit, moment } = of;
        let rows = Rows { keyring, view, scope: Scope::Customer(customer.id) };
        let states = rows.all::<StateRecord>(Table::AccountStates).await?;
        let states: BTreeMap<AccountId, AccountState> =
            states.into_iter().filter_map(|(id, state)| Some((AccountId::from_uuid(id.uuid()?), state.0))).collect();
        let mut secrets = rows.secrets(&states).await?;
        let mut accounts: BTreeMap<SystemId, Vec<OneAccount>> = BTreeMap::new();
        let systems = rows.all::<SystemRecord>(Table::Systems).await?;
        let names: BTreeMap<SystemId, Part> =
            systems.iter().map(|(_, system)| (system.id, system.name.clone())).collect();
        for (_, account) in rows.all::<AccountRecord>(Table::Accounts).await? {
            let Some(system) = names.get(&account.system).cloned() else { continue };
            let path = AccountPath { customer: customer.slug.clone(), system, account: account.name.clone() };
            let found = states.get(&account.id).map_or_else(Vec::new, |state| {
                wanted(state)
                    .into_iter()
                    .filter_map(|(version, is)| {
                        let secret = secrets.remove(&(account.id, version))?.disclose();
                        let since = (is == Is::Current).then(|| state.secret_since(account.created_at));
                        Some(OneSecret { version, is, note: is.note(), since, secret })
                    })
                    .collect()
            });
            let one = OneAccount {
                path,
                kind: account.kind,
                note: note(account.kind, found.len()),
                login: account.login,
                tier: account.settings.tier,
                owner: account.settings.owner,
                secrets: found,
            };
            accounts.entry(account.system).or_default().push(one);
        }
        let systems = systems.into_iter().map(|(_, system)| {
            let mut accounts = accounts.remove(&system.id).unwrap_or_default();
            accounts.sort_by(|one, other| one.path.account.cmp(&other.path.account));
            let SystemRecord { name, spec, management_account, .. } = system;
            OneSystem { name, reached_by: spec, management_account, accounts }
        });
        let mut systems: Vec<OneSystem> = systems.collect();
        systems.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self {
            format: FORMAT,
            what: match kit {
                Some(_) => OF_A_KIT,
                None => OF_A_HAND_OVER,
            },
            kit,
            vault: vault.to_owned(),
            customer: Whose { id: customer.id, slug: customer.slug.clone(), name: customer.display_name.clone() },
            moment,
            program: env!("CARGO_PKG_VERSION"),
            systems,
        })
    }

    /// Writes it as JSON, with line ends and indents.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut to, self)?;
        to.write_all(b"\n")
    }

    /// How much there is in it.
    pub fn counts(&self) -> Counts {
        let accounts = || self.systems.iter().flat_map(|system| &system.accounts);
        let secrets = accounts().map(|account| account.secrets.len() as u64).sum();
        Counts { accounts: accounts().count() as u64, secrets }
    }
}

/// The versions that may open an account, the one to try first before the others. What was replaced is there while a rotation is not
/// settled, or was not seen refused; what no system was told of is not.
fn wanted(state: &AccountState) -> Vec<(Version, Is)> {
    let secrets = &state.secrets;
    let sent = secrets.candidates.iter().rev().filter_map(|candidate| match candidate.state {
        CandidateState::SentUnknown | CandidateState::Acknowledged => Some((candidate.version, Is::Sent)),
        CandidateState::NeverSent | CandidateState::Refused => None,
    });
    let refused = secrets.candidates.iter().rev().filter_map(|candidate| match candidate.state {
        CandidateState::Refused => Some((candidate.version, Is::Refused)),
        CandidateState::NeverSent | CandidateState::SentUnknown | CandidateState::Acknowledged => None,
    });
    let unsettled = state.rotation.is_some_and(|running| !running.settled);
    let previous = secrets.previous.iter().filter(|version| unsettled || state.still_works(**version));
    let previous = previous.map(|version| (*version, Is::Previous));
    let current = secrets.current.map(|version| (version, Is::Current));
    current.into_iter().chain(sent).chain(previous).chain(refused).collect()
}

fn note(kind: AccountKind, secrets: usize) -> &'static str {
    match (kind, secrets) {
        (AccountKind::Ephemeral, _) => "a login is made for each checkout: nothing is stored, and nothing is here",
        (AccountKind::Certificate, _) => {
            "a certificate is signed for each checkout: nothing is stored, and nothing is here"
        }
        (AccountKind::Standing, 0) => "no secret of it is stored",
        (AccountKind::Standing, 1) => "one secret is known",
        (AccountKind::Standing, _) => "it was being changed: try these in their order",
    }
}

/// The rows of one customer, of one moment.
struct Rows<'a> {
    keyring: &'a Keyring,
    view: &'a dyn View,
    scope: Scope,
}

impl Rows<'_> {
    async fn each(&self, table: Table, mut see: impl FnMut(RowId, &Row) -> Result<()>) -> Result<()> {
        let mut range = Range::scope(table, self.scope);
        loop {
            let rows = self.view.scan(&range).await?;
            for (key, row) in &rows {
                see(RowId::from_key(key).map_err(Error::internal)?, row)?;
            }
            match rows.last() {
                Some((last, _)) if rows.len() == range.limit => range = range.after(last),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn all<T: Record>(&self, table: Table) -> Result<Vec<(RowId, T)>> {
        let mut all = Vec::new();
        self.each(table, |id, row| {
            let opened = open_record::<T>(self.keyring, id, row)?;
            all.push((opened.id, opened.value));
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// The secrets that are wanted.
    async fn secrets(
        &self,
        states: &BTreeMap<AccountId, AccountState>,
    ) -> Result<BTreeMap<(AccountId, Version), Secret>> {
        let mut secrets = BTreeMap::new();
        self.each(Table::Secrets, |id, row| {
            let (Some(account), Some(version)) = (id.uuid().map(AccountId::from_uuid), id.number()) else {
                return Ok(());
            };
            let state = states.get(&account);
            if state.is_some_and(|state| wanted(state).iter().any(|(one, _)| *one == version)) {
                secrets.insert((account, version), open_secret(self.keyring, &id, row)?);
            }
            Ok(())
        })
        .await?;
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::wire::TlsMode;
    use uuid::Uuid;

    use super::*;

    const FORMATS: &str = include_str!("../../../../docs/formats.md");

    #[test]
    fn the_form_is_frozen() {
        let customer = CustomerId::from_uuid(Uuid::from_u128(1));
        let moment = Timestamp::from_second(1_795_000_000).unwrap();
        let one = |version, is: Is, since, secret: &str| {
            let secret = Secret::new(secret.to_owned()).unwrap().disclose();
            OneSecret { version, is, note: is.note(), since, secret }
        };
        let account = OneAccount {
            path: "acme/db01/postgres".parse().unwrap(),
            kind: AccountKind::Standing,
            login: "postgres".parse().unwrap(),
            tier: Some(Tier::One),
            owner: Some("the database team".to_owned()),
            note: note(AccountKind::Standing, 2),
            secrets: vec![one(7, Is::Current, Some(moment), "hunter2"), one(8, Is::Sent, None, "hunter3")],
        };
        let system = OneSystem {
            name: "db01".parse().unwrap(),
            reached_by: SystemSpec::Postgresql {
                host: "db01.acme.example".to_owned(),
                port: 5432,
                database: "postgres".to_owned(),
                tls: TlsMode::VerifyFull,
                ca_certificate: None,
            },
            management_account: Some("postgres".parse().unwrap()),
            accounts: vec![account],
        };
        let body = Body {
            format: FORMAT,
            what: OF_A_KIT,
            kit: Some(KitId::from_uuid(Uuid::from_u128(2))),
            vault: "vault.msp.example".to_owned(),
            customer: Whose { id: customer, slug: "acme".parse().unwrap(), name: "Acme".to_owned() },
            moment,
            program: "0.1.0",
            systems: vec![system],
        };
        let mut text = Vec::new();
        body.write(&mut text).unwrap();
        let text = format!("```json\n{}```\n", String::from_utf8(text).unwrap());
        assert!(FORMATS.contains(&text), "docs/formats.md does not show\n{text}");
        assert_eq!(body.counts(), Counts { accounts: 1, secrets: 2 });
    }
}
