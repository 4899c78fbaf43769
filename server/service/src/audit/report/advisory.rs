//! The recommendations of the joint advisory AA22-131A ("Protecting Against Cyber Threats to Managed Service Providers and
//! their Customers", May 2022) that a vault can give evidence of: a line for each check, with what was found, how to ask for it
//! again, and the entries that prove it.
//!
//! A check fails for what it finds, and for nothing else. What a vault cannot know (whether devices are patched, what contracts
//! say) is not here.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{AccountKind, GrantKind, PrincipalState, Role};
use claviger_api::{CustomerId, Scope, Timestamp};
use claviger_core::emergency::Phase;
use claviger_store::{Range, RowId, Table};
use jiff::SignedDuration;

use super::accounts::{every_page, most_days};
use super::people::Person;
use super::{Draft, Of, Row, days, field};
use crate::audit::index::Mark;
use crate::audit::search::Search;
use crate::error::Result;
use crate::open::Open;
use crate::page::Paging;
use crate::records::{
    AccountRecord, BreakGlassRecord, EmergencyRecord, FingerprintRecord, PrincipalRecord, ReviewRecord,
};
use claviger_api::wire::{Discovery, LoginStanding, UnusedAccount};

/// Nobody and nothing goes unused for longer; nobody's access goes unreviewed for longer.
const QUARTER_DAYS: u32 = 90;
/// An exercise, and a grant, is good for so long.
const YEAR_DAYS: i64 = 366;
/// Privileges are lent for no longer at once.
const LENT_MOST_SECONDS: i64 = 24 * 60 * 60;
/// What was seen is proven to be refused within this; the checkpoint of a log that has grown is published within this.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// A backup is taken within this.
const BACKED_UP_WITHIN: SignedDuration = SignedDuration::from_hours(48);
/// The most things that one line names.
const NAMED_MOST: usize = 50;

/// One line: a recommendation, what is looked at, and what was found against it.
struct Check {
    id: &'static str,
    recommendation: &'static str,
    what: &'static str,
    query: String,
    found: Vec<String>,
    entries: Vec<u64>,
}

impl Check {
    fn new(id: &'static str, recommendation: &'static str, what: &'static str, query: impl Into<String>) -> Self {
        Self { id, recommendation, what, query: query.into(), found: Vec::new(), entries: Vec::new() }
    }

    fn found(mut self, found: impl IntoIterator<Item = String>) -> Self {
        self.found.extend(found);
        self
    }

    fn with(mut self, entries: impl IntoIterator<Item = u64>) -> Self {
        self.entries.extend(entries);
        self
    }

    fn state(&self) -> &'static str {
        if self.found.is_empty() { "pass" } else { "fail" }
    }

    fn row(self, customer: &str) -> Row {
        let state = self.state();
        let others = self.found.len().saturating_sub(NAMED_MOST);
        let mut found: Vec<String> = self.found.into_iter().take(NAMED_MOST).collect();
        if others > 0 {
            found.push(format!("and {others} more"));
        }
        let row = Row::default().text("check", self.id).text("customer", customer).text("state", state);
        let row = row.text("recommendation", self.recommendation).text("what", self.what);
        row.text("found", found.join("; ")).text("query", self.query).entries(self.entries)
    }
}

const MFA: &str = "Enforce multifactor authentication";
const ACCOUNTS: &str = "Deprecate obsolete accounts and infrastructure";
const SEGREGATION: &str = "Manage internal architecture risks and segregate internal networks";
const PRIVILEGE: &str = "Apply the principle of least privilege";
const LOGS: &str = "Enable or improve monitoring and logging processes";
const ACCESS: &str = "Manage account authentication and authorization";
const INCIDENTS: &str = "Develop and exercise incident response and recovery plans";
const BACKUPS: &str = "Back up systems and data";
const TRANSPARENCY: &str = "Promote transparency";

impl Open {
    pub(super) async fn advisory(&self, of: Of) -> Result<Draft> {
        let columns = &["check", "customer", "state", "recommendation", "what", "found", "query", "entries"];
        let mut draft = Draft::of(columns);
        let mut checks: Vec<(String, Check)> = Vec::new();
        if of.scope == Scope::Operator {
            checks.extend(self.of_the_house(of).await?.into_iter().map(|check| (String::new(), check)));
        }
        for customer in self.customers_of(of) {
            let slug = self.slug_of(customer).await?.to_string();
            let own = Of { scope: Scope::Customer(customer), ..of };
            let found = self.of_a_customer(customer, &slug, own).await?;
            let is_own = of.scope == own.scope;
            // Entries are of the report's own log.
            checks.extend(
                found
                    .into_iter()
                    .map(|check| (slug.clone(), if is_own { check } else { Check { entries: Vec::new(), ..check } })),
            );
        }
        for state in ["pass", "fail"] {
            draft.count(state, checks.iter().filter(|(_, check)| check.state() == state).count());
        }
        draft.rows = checks.into_iter().map(|(slug, check)| check.row(&slug)).collect();
        Ok(draft)
    }

    /// What is looked at once, whoever's customers are asked about.
    async fn of_the_house(&self, of: Of) -> Result<Vec<Check>> {
        let now = self.now();
        let people = self.people(of).await?;
        let unused = self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await?;
        let unused = unused.into_iter().map(|row| row.value);
        let unused = unused.filter(|one| one.state != PrincipalState::Suspended && is_unused(one.unused_since(), now));
        let no_anchor = self.ground().anchors.is_empty().then(|| "no anchor is configured".to_owned());
        let late = match self.last_backup() {
            Some(last) if now.duration_since(last.at) <= BACKED_UP_WITHIN => None,
            Some(last) => Some(format!("the last is of {}", last.at)),
            None => Some("none was taken".to_owned()),
        };
        let since = now.saturating_sub(BACKED_UP_WITHIN).unwrap_or(Timestamp::MIN);
        let taken = self.told_of(Scope::Operator, &[EventKind::BackupTaken.text()], since, now).await?;
        Ok(vec![
            Check::new("house-mfa", MFA, "Every user has a second factor.", "claviger report mfa --operator")
                .found(without_factor(&people)),
            Check::new(
                "house-unused",
                ACCOUNTS,
                "No user or program has been unused for 90 days.",
                "claviger access inactive",
            )
            .found(unused.map(|one| one.name.to_string())),
            Check::new(
                "house-anchor",
                LOGS,
                "The newest checkpoint is kept outside of the store.",
                "[audit] anchor_files",
            )
            .found(no_anchor),
            Check::new(
                "backups",
                BACKUPS,
                "A backup of the vault, for keys that are not in it, was taken within two days.",
                "claviger operator backup --list",
            )
            .found(late)
            .with(taken.iter().map(|event| event.index)),
        ])
    }

    async fn of_a_customer(&self, customer: CustomerId, slug: &str, of: Of) -> Result<Vec<Check>> {
        let now = self.now();
        let people = self.people(of).await?;
        let mut checks = vec![
            Check::new(
                "mfa",
                MFA,
                "Everybody who reaches the customer has a second factor.",
                format!("claviger report mfa --customer {slug}"),
            )
            .found(without_factor(&people)),
        ];
        checks.extend(self.obsolete(customer, slug, now).await?);
        checks.push(self.segregated(customer).await?);
        checks.extend(self.privileges(customer, slug, of, now).await?);
        checks.extend(self.secrets(customer, slug, of, now).await?);
        checks.extend(self.logged(customer, now).await?);
        checks.extend(self.exercised(customer, slug, now).await?);
        Ok(checks)
    }

    async fn obsolete(&self, customer: CustomerId, slug: &str, now: Timestamp) -> Result<Vec<Check>> {
        let reach = self.who_reaches(customer).await?;
        let mut idle = Vec::new();
        for id in reach {
            let Some(row) = self.read::<PrincipalRecord>(&RowId::principal(id)).await? else { continue };
            if row.value.state != PrincipalState::Suspended && is_unused(row.value.unused_since(), now) {
                idle.push(row.value.name.to_string());
            }
        }
        let unused: Vec<UnusedAccount> = every_page(|paging: Paging| async move {
            self.unused_accounts(Some(customer), Some(QUARTER_DAYS), &paging, |_| true).await
        })
        .await?;
        let outside: Vec<Discovery> =
            every_page(|paging: Paging| async move { self.discoveries(Some(customer), true, &paging, |_| true).await })
                .await?;
        let outside = outside.into_iter().flat_map(|system| {
            let at = system.system.to_string();
            system
                .logins
                .into_iter()
                .filter(|login| login.standing == LoginStanding::Unmanaged && !login.privileges.is_empty())
                .map(move |login| format!("{at} {}", login.login))
        });
        let reviews = self.all::<ReviewRecord>(&Range::scope(Table::Reviews, Scope::Customer(customer))).await?;
        let last = reviews.iter().filter_map(|row| row.value.closed.as_ref()).map(|closed| closed.at).max();
        let late = match last {
            Some(at) if days(at, now) <= u64::from(QUARTER_DAYS) => None,
            Some(at) => Some(format!("last reviewed {at}")),
            None => Some("never reviewed".to_owned()),
        };
        Ok(vec![
            Check::new(
                "unused-principals",
                ACCOUNTS,
                "Nobody who reaches the customer has been unused for 90 days.",
                "claviger access inactive",
            )
            .found(idle),
            Check::new(
                "unused-accounts",
                ACCOUNTS,
                "No account has been unused for 90 days.",
                format!("claviger report unused --customer {slug}"),
            )
            .found(unused.into_iter().map(|one| one.account.to_string())),
            Check::new(
                "outside-logins",
                ACCOUNTS,
                "No login with power over a system is outside of the vault, unless somebody answers for it.",
                format!("claviger report discovery --attention --customer {slug}"),
            )
            .found(outside),
            Check::new(
                "access-review",
                ACCOUNTS,
                "Who reaches the customer was reviewed within 90 days.",
                format!("claviger review list --customer {slug}"),
            )
            .found(late),
        ])
    }

    /// No administrator's secret opens two customers.
    async fn segregated(&self, customer: CustomerId) -> Result<Check> {
        let mut by_fingerprint: std::collections::BTreeMap<Vec<u8>, Vec<(CustomerId, claviger_api::AccountId)>> =
            std::collections::BTreeMap::new();
        for row in self.all::<FingerprintRecord>(&Range::scope(Table::Fingerprints, Scope::Operator)).await? {
            if let Some((fingerprint, account)) = crate::reuse::read_id(&row.id) {
                by_fingerprint.entry(fingerprint.to_vec()).or_default().push((row.value.customer, account));
            }
        }
        let mut shared = Vec::new();
        for those in by_fingerprint.into_values() {
            if those.iter().any(|(of, _)| *of != customer) {
                for (_, account) in those.iter().filter(|(of, _)| *of == customer) {
                    if let Some(row) = self.read::<AccountRecord>(&RowId::account(customer, *account)).await? {
                        shared.push(self.path_of(customer, &row.value).await?.to_string());
                    }
                }
            }
        }
        let what = "No secret of the customer opens an account of another customer.";
        Ok(Check::new("one-secret-two-customers", SEGREGATION, what, "claviger report reuse").found(shared))
    }

    async fn privileges(&self, customer: CustomerId, slug: &str, of: Of, now: Timestamp) -> Result<Vec<Check>> {
        let end = now.saturating_add(SignedDuration::from_hours(24 * YEAR_DAYS)).unwrap_or(Timestamp::MAX);
        let names = self.names().await?;
        let long = self.grants_that_reach(customer).await?.into_iter();
        let long = long
            .filter(|grant| grant.kind == GrantKind::MayUse && comes_to_secrets(grant.role) && grant.expires_at > end);
        let long =
            long.map(|grant| format!("{} ({})", grant.id, names.get(&grant.principal).cloned().unwrap_or_default()));
        let lent: Vec<_> =
            self.checkouts_told(of).await?.into_iter().filter(|held| held.seconds() > LENT_MOST_SECONDS).collect();
        let entries = lent.iter().flat_map(|held| held.entries.clone()).collect::<Vec<_>>();
        Ok(vec![
            Check::new(
                "grants-end",
                PRIVILEGE,
                "Every grant by which somebody comes to a secret of the customer ends within a year.",
                "claviger grant list",
            )
            .found(long),
            Check::new(
                "lent-for-a-day",
                PRIVILEGE,
                "An account was lent for a day at most.",
                format!("claviger report timeline --customer {slug}"),
            )
            .found(lent.iter().map(|held| format!("{} {}", held.account, held.id)))
            .with(entries),
        ])
    }

    async fn secrets(&self, customer: CustomerId, slug: &str, of: Of, now: Timestamp) -> Result<Vec<Check>> {
        let upkeep = self.upkeep_of(customer).await?;
        let exposed = self.exposed_since(customer).await?;
        let (mut old, mut known) = (Vec::new(), Vec::new());
        for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await? {
            let account = row.value;
            let path = self.path_of(customer, &account).await?.to_string();
            if exposed.contains_key(&account.id) {
                known.push(path.clone());
            }
            let kept = upkeep.get(&account.id);
            let has_age = kept.and_then(most_days).is_some();
            if account.kind == AccountKind::Standing && !has_age {
                old.push(format!("{path} has no policy of age"));
            } else if kept.is_some_and(|kept| kept.overdue) {
                old.push(format!("{path} is overdue"));
            }
        }
        let held = self.checkouts_told(of).await?;
        let owed: Vec<_> = held
            .iter()
            .filter(|held| held.is_owed() && held.ended.is_some_and(|at| now.duration_since(at) > DAY))
            .collect();
        let refused = self.refused_logins(of).await?;
        let locked = refused.iter().filter(|event| event.kind != EventKind::LoginFailed.text());
        let locked = locked.map(|event| format!("{} {} {}", event.time, event.kind, super::actor(event)));
        Ok(vec![
            Check::new(
                "secrets-rotated",
                ACCESS,
                "Every standing secret has a policy of age, and none is overdue.",
                format!("claviger report accounts --customer {slug}"),
            )
            .found(old),
            Check::new(
                "secrets-known",
                ACCESS,
                "Nobody knows a secret of an account that they do not hold.",
                format!("claviger exposure list --customer {slug}"),
            )
            .found(known),
            Check::new(
                "revocations-proven",
                ACCESS,
                "What was seen was proven to be refused within a day of its end.",
                format!("claviger report revocations --customer {slug}"),
            )
            .found(owed.iter().map(|held| format!("{} {}", held.account, held.id)))
            .with(owed.iter().flat_map(|held| held.entries.clone())),
            Check::new(
                "logins-locked-out",
                ACCESS,
                "Nobody who reaches the customer was locked out, or showed a stolen session.",
                format!("claviger report logins --customer {slug}"),
            )
            .found(locked),
        ])
    }

    async fn logged(&self, customer: CustomerId, now: Timestamp) -> Result<Vec<Check>> {
        let mut readers = false;
        for grant in self.grants_that_reach(customer).await? {
            let reads = matches!(grant.role, Role::CustomerAuditor | Role::CustomerAdministrator);
            let who = self.read::<PrincipalRecord>(&RowId::principal(grant.principal)).await?;
            readers |= reads && who.is_some_and(|who| who.value.customer == Some(customer));
        }
        let origin = claviger_api::audit::note::origin(&self.ground().settings.name, Scope::Customer(customer));
        let by_log = Search::of(vec![vec![Mark::field(FieldName::Log, &origin)]], None, None, "");
        let size = self.head(Scope::Operator).await?.frontier.size();
        let published = self.search(Scope::Operator, &by_log, size, 1).await?.items;
        let late = match published.first() {
            None => Some("never published".to_owned()),
            Some(event) if now.duration_since(event.time) > DAY => {
                // A log that has not grown since needs none.
                let then: u64 = field(event, FieldName::LogSize).and_then(|size| size.parse().ok()).unwrap_or(0);
                let newest = self.head(Scope::Customer(customer)).await?.frontier.size();
                (then < newest).then(|| format!("last published {}, of {then} entries; it has {newest}", event.time))
            }
            Some(_) => None,
        };
        Ok(vec![
            Check::new(
                "log-published",
                LOGS,
                "The customer's log has its checkpoint in the operator's log within a day.",
                "claviger audit log --operator --kind log.checkpoint",
            )
            .found(late),
            Check::new(
                "log-readable",
                TRANSPARENCY,
                "Somebody of the customer can read and export its record.",
                "claviger grant list",
            )
            .found((!readers).then(|| "nobody of the customer has the role customer-auditor".to_owned())),
        ])
    }

    async fn exercised(&self, customer: CustomerId, slug: &str, now: Timestamp) -> Result<Vec<Check>> {
        let scope = Scope::Customer(customer);
        let year_ago = now.saturating_sub(SignedDuration::from_hours(24 * YEAR_DAYS)).unwrap_or(Timestamp::MIN);
        let emergencies = self.all::<EmergencyRecord>(&Range::scope(Table::Emergencies, scope)).await?;
        let exercised = emergencies
            .iter()
            .any(|row| matches!(row.value.0.phase, Phase::Done { .. }) && row.value.0.started_at > year_ago);
        let told = self.told_of(scope, &[EventKind::EmergencyFinished.text()], year_ago, now).await?;
        let glasses = self.all::<BreakGlassRecord>(&Range::scope(Table::BreakGlasses, scope)).await?;
        let late = glasses.iter().filter(|row| row.value.0.is_overdue(now));
        Ok(vec![
            Check::new(
                "emergency-exercised",
                INCIDENTS,
                "Every secret of the customer was replaced at once within a year, if only as an exercise.",
                format!("claviger emergency list {slug}"),
            )
            .found((!exercised).then(|| "no emergency rotation was finished".to_owned()))
            .with(told.iter().map(|event| event.index)),
            Check::new(
                "break-glass-reviewed",
                INCIDENTS,
                "Every emergency access was reviewed in time.",
                format!("claviger break-glass list --customer {slug}"),
            )
            .found(late.map(|row| row.value.0.id.to_string())),
        ])
    }
}

fn without_factor(people: &[Person]) -> impl Iterator<Item = String> + '_ {
    people.iter().filter(|person| !person.has_second_factor()).map(|person| person.record.name.to_string())
}

/// Whether a role lets its bearer see secrets, at once or when others agree.
const fn comes_to_secrets(role: Role) -> bool {
    match role {
        Role::Technician | Role::Automation | Role::BreakGlass => true,
        Role::Administrator | Role::Auditor | Role::CustomerAuditor | Role::Approver | Role::CustomerAdministrator => {
            false
        }
    }
}

fn is_unused(since: Timestamp, now: Timestamp) -> bool {
    days(since, now) >= u64::from(QUARTER_DAYS)
}
