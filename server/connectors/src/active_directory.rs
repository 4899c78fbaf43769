//! Active Directory: the accounts of a domain, as its controllers keep them.
//!
//! A login is proven by a simple bind and changed by `unicodePwd`: both over TLS only. A domain may have several
//! controllers: a change is made on one, proven on it, and looked for on the others that the specification names. What it
//! needs, and what it cannot do, stands in `docs/connectors.md`.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};
use ldap3_proto::proto::{
    LdapAddRequest, LdapModifyType, LdapOp, LdapPartialAttribute, LdapResultCode, LdapSearchResultEntry,
};
use tokio::time::timeout;

use self::answers::READING;
use self::domain::Domain;
use self::name::Name;
use crate::directory::{Address, Dn, MARK, Maker, Session, in_doubt, modify, not_ours, part, refused, replace};
use crate::failure::Failure;
use crate::logins::{Logins, not_told};
use crate::{Connector, Credential, Lockout, NewLogin, Probe, Reach, SetOutcome, Traits};

mod answers;
mod domain;
mod logins;
mod name;

/// How long the controllers of a site may take to tell each other of a change; passwords go first.
const REPLICATION: Duration = Duration::from_mins(1);
/// `userAccountControl` of an account that may log in, and of one that may not.
const NORMAL_ACCOUNT: &str = "512";
const DISABLED_ACCOUNT: &str = "514";

/// The connector.
pub struct ActiveDirectory {
    reach: Reach,
}

impl ActiveDirectory {
    /// Reaches its systems so.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for ActiveDirectory {
    fn kind(&self) -> &'static str {
        "active_directory"
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        let (threshold, grace, changes_twice, others) = match system {
            SystemSpec::ActiveDirectory { lockout_threshold, grace_seconds, change_twice, servers, .. } => {
                (*lockout_threshold, Duration::from_secs((*grace_seconds).into()), *change_twice, servers.len())
            }
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => (None, Duration::ZERO, false, 0),
        };
        let propagation = if others == 0 { Duration::ZERO } else { REPLICATION };
        // One look is one login a controller, and they count them together.
        let looks = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        Traits {
            grace: grace.max(propagation),
            changes_twice,
            propagation,
            lockout_threshold: threshold.map(|threshold| threshold / looks),
            ends_sessions: false,
            makes_logins: true,
            ends_logins: true,
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let target = Domain::of(system).and_then(|domain| {
            let name = Name::of(login).map_err(|why| Failure { result: ProbeResult::Refused, detail: why })?;
            Ok((domain, name.to_log_in(domain.name)))
        });
        let (domain, name) = match target {
            Ok(target) => target,
            Err(Failure { result, detail }) => return Probe { result, detail },
        };
        let first = self.look(&domain.address, &name, secret).await;
        if domain.servers.is_empty() || !matches!(first.result, ProbeResult::Accepted | ProbeResult::Refused) {
            return first;
        }
        let others = self.look_elsewhere(&domain, &name, secret, &first);
        match timeout(self.reach.deadlines.login, others).await {
            Ok(told) => told,
            Err(_) => Probe { detail: format!("{}; other controllers do not answer", first.detail), ..first },
        }
    }

    fn tells_lockout(&self) -> bool {
        true
    }

    async fn lockout(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> Option<Lockout> {
        let (mut session, _) = self.open(system, by).await.ok()?;
        let reading = async {
            let (root, found) = look_up(&mut session, login).await?;
            let told = match found {
                Some(found) => domain::lockout(&mut session, &root, &Dn(found.dn)).await,
                None => None,
            };
            session.close().await;
            Ok(told)
        };
        self.reach.work(reading).await.ok()?
    }

    fn lists_logins(&self) -> bool {
        true
    }

    async fn logins(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Logins, Probe> {
        let (mut session, _) = self.open(system, by).await.map_err(not_told)?;
        let work = async {
            let logins = logins::all(&mut session).await?;
            session.close().await;
            Ok(logins)
        };
        self.reach.work(work).await.map_err(not_told)
    }

    /// A directory's names know no case.
    fn seen_as(&self, login: &Login) -> String {
        login.as_str().to_lowercase()
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        let (mut session, _) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            let (root, found) = look_up(&mut session, login).await?;
            let entry = found.map(|entry| Dn(entry.dn));
            let entry = entry.ok_or_else(|| refused(format!("the domain has no account {login}")))?;
            let by_itself = login == by.login;
            let set = if by_itself {
                // Whoever changes their own gives the old one with it.
                vec![domain::password(LdapModifyType::Delete, by.secret), domain::password(LdapModifyType::Add, new)]
            } else {
                vec![domain::password(LdapModifyType::Replace, new)]
            };
            match session.change(modify(&entry, set)).await {
                Err(SetOutcome::Refused { by_policy: true, .. })
                    if by_itself && domain::is_too_young(&mut session, &root, &entry).await =>
                {
                    Err(refused("too young: the domain wants more time between two changes of one's own".to_owned()))
                }
                changed => {
                    session.close().await;
                    changed
                }
            }
        };
        self.reach.settle(work).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let (mut session, domain) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            let Ok(Name::Account(name)) = Name::of(new.login) else {
                return Err(refused(format!(
                    "an account for a time has a plain name of at most 20 characters, not {}",
                    new.login
                )));
            };
            let (root, found) = look_up(&mut session, new.login).await?;
            let mut groups = Vec::with_capacity(new.member_of.len());
            for group in new.member_of {
                groups.push(domain::group(&mut session, &root, group).await?);
            }
            // Nobody can log in before the last step: until then it is disabled, or has no password that anybody knows.
            let entry = match found {
                None => {
                    let unit = domain.unit.map_or_else(|| format!("CN=Users,{root}"), str::to_owned);
                    let entry = Dn(format!("CN={},{unit}", new.login.in_a_dn()));
                    session.change(new_entry(&entry, name)).await?;
                    entry
                }
                Some(found) => {
                    let entry = ours(found)?;
                    session.change(replace(&entry, "userAccountControl", Some(DISABLED_ACCOUNT))).await?;
                    entry
                }
            };
            let done = furnish(&mut session, &entry, &groups, new).await;
            if matches!(done, Err(SetOutcome::Refused { .. })) {
                // As a whole, or not at all.
                take_away(&mut session, &entry).await.map_err(in_doubt)?;
            }
            session.close().await;
            done
        };
        self.reach.settle(work).await
    }

    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        let (mut session, _) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            let (_, found) = look_up(&mut session, login).await?;
            let found = found.ok_or_else(|| refused(format!("the domain has no account {login}")))?;
            place_end(&mut session, &ours(found)?, valid_until).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let (mut session, _) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            let (_, found) = look_up(&mut session, login).await?;
            if let Some(found) = found {
                take_away(&mut session, &ours(found)?).await?;
            }
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, _login: &Login) -> SetOutcome {
        match self.open(system, by).await {
            Ok((session, _)) => {
                session.close().await;
                refused("a domain has no way to end somebody's sessions".to_owned())
            }
            Err(not_sent) => not_sent,
        }
    }
}

impl ActiveDirectory {
    /// One login at one controller.
    async fn look(&self, address: &Address<'_>, name: &str, secret: &Secret) -> Probe {
        let opening = async {
            Session::open(&*self.reach.dial, address, name, secret, &READING).await?.close().await;
            Ok("logged in")
        };
        self.reach.probe(opening).await
    }

    /// What the other controllers say. A secret that any of them takes works; who has not heard of a change yet is named.
    async fn look_elsewhere(&self, domain: &Domain<'_>, name: &str, secret: &Secret, first: &Probe) -> Probe {
        let mut told = first.clone();
        for host in domain.servers {
            let there = self.look(&Address { host, ..domain.address }, name, secret).await;
            match (first.result == there.result, there.result) {
                (true, _) => {}
                (false, ProbeResult::Accepted) => {
                    told.result = ProbeResult::Accepted;
                    told.detail = format!("{}; {host} still takes it", told.detail);
                }
                (false, ProbeResult::Refused) => {
                    told.detail = format!("{}; {host} does not take it yet", told.detail);
                }
                (
                    false,
                    ProbeResult::LockedOut
                    | ProbeResult::Unreachable
                    | ProbeResult::HostMismatch
                    | ProbeResult::Unknown,
                ) => told.detail = format!("{}; nothing is known of {host}: {}", told.detail, there.detail),
            }
        }
        told
    }

    /// Opens a session for changes. Where that fails, nothing was sent.
    async fn open<'a, 's>(
        &self,
        system: &'s SystemSpec,
        by: &Credential<'a>,
    ) -> Result<(Session<'a>, Domain<'s>), SetOutcome> {
        let opening = async {
            let domain = Domain::of(system)?;
            let name = Name::of(by.login).map_err(|why| Failure { result: ProbeResult::Refused, detail: why })?;
            let name = name.to_log_in(domain.name);
            Ok((Session::open(&*self.reach.dial, &domain.address, &name, by.secret, &READING).await?, domain))
        };
        self.reach.open(opening).await
    }
}

/// The domain's own entry, and that of a login, if there is one.
async fn look_up(
    session: &mut Session<'_>,
    login: &Login,
) -> Result<(String, Option<LdapSearchResultEntry>), SetOutcome> {
    let name = Name::of(login).map_err(refused)?;
    let root = domain::root(session).await?;
    let found = domain::find(session, &root, name).await?;
    Ok((root, found))
}

/// The entry, if the vault made it.
fn ours(found: LdapSearchResultEntry) -> Result<Dn, SetOutcome> {
    match Maker::of(&found) {
        Maker::Vault => Ok(Dn(found.dn)),
        Maker::Another | Maker::Nobody => Err(not_ours(&found.dn)),
    }
}

/// Groups and an end; then the password, and with it the right to log in.
async fn furnish(session: &mut Session<'_>, entry: &Dn, groups: &[Dn], new: &NewLogin<'_>) -> Result<(), SetOutcome> {
    for group in groups {
        let joins = part(LdapModifyType::Add, "member", Some(entry.0.as_bytes()));
        let so_already = [LdapResultCode::AttributeOrValueExists, LdapResultCode::EntryAlreadyExists];
        session.change_unless(modify(group, vec![joins]), &so_already).await?;
    }
    place_end(session, entry, new.valid_until).await?;
    let enabled = part(LdapModifyType::Replace, "userAccountControl", Some(NORMAL_ACCOUNT.as_bytes()));
    let set = domain::password(LdapModifyType::Replace, new.secret);
    session.change(modify(entry, vec![set, enabled])).await
}

async fn place_end(session: &mut Session<'_>, entry: &Dn, at: Timestamp) -> Result<(), SetOutcome> {
    session.change(replace(entry, "accountExpires", Some(&domain::ticks(at).to_string()))).await
}

/// The entry leaves its groups by itself.
async fn take_away(session: &mut Session<'_>, entry: &Dn) -> Result<(), SetOutcome> {
    session.change_unless(LdapOp::DelRequest(entry.0.clone()), &[LdapResultCode::NoSuchObject]).await
}

fn new_entry(entry: &Dn, name: &str) -> LdapOp {
    let attributes = [
        ("objectClass", "user"),
        ("sAMAccountName", name),
        ("description", MARK),
        ("userAccountControl", DISABLED_ACCOUNT),
    ];
    let attributes = attributes
        .map(|(atype, value)| LdapPartialAttribute { atype: atype.to_owned(), vals: vec![value.as_bytes().to_vec()] });
    LdapOp::AddRequest(LdapAddRequest { dn: entry.0.clone(), attributes: attributes.into() })
}
