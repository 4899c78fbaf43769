//! LDAP: the entries of a directory, as OpenLDAP keeps them.
//!
//! A login is proven by a simple bind and changed by the password modify operation (RFC 3062): both send the password
//! itself, so the connection is encrypted unless an administrator says `disable`. What it needs, and what it cannot
//! do, stands in `docs/connectors.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::SystemSpec;
use claviger_api::{Login, Secret, Timestamp};
use ldap3_proto::proto::{
    LdapAddRequest, LdapFilter, LdapModifyType, LdapOp, LdapPartialAttribute, LdapResultCode, LdapSearchScope,
};

use self::target::{READING, Target, password_modify};
use crate::directory::{
    Dn, MARK, Maker, Session, anything, in_doubt, modify, not_ours, part, refused, replace, search,
};
use crate::failure::Failure;
use crate::{Connector, Credential, NewLogin, Probe, Reach, SetOutcome, Traits};

mod target;

/// The connector.
pub struct Ldap {
    reach: Reach,
}

impl Ldap {
    /// Reaches its systems so.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for Ldap {
    fn kind(&self) -> &'static str {
        "ldap"
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        let (lockout_threshold, ends_logins) = match system {
            SystemSpec::Ldap { lockout_threshold, password_policy, .. } => (*lockout_threshold, *password_policy),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => (None, false),
        };
        Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::ZERO,
            lockout_threshold,
            ends_sessions: false,
            makes_logins: true,
            ends_logins,
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let opening = async {
            let target = Target::of(system)?;
            self.session(&target, login, secret).await?.close().await;
            Ok("logged in")
        };
        self.reach.probe(opening).await
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        let (mut session, target) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            // A policy may want the old one from whoever changes their own.
            let old = (login == by.login).then_some(by.secret);
            session.change(password_modify(&target.entry(login), old, new)).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let (mut session, target) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let entry = target.entry(new.login);
        let work = async {
            // Nobody can log in before the last step: there is no password until then.
            match maker(&mut session, &entry).await? {
                Maker::Nobody => session.change(new_entry(&target, &entry, new.login)).await?,
                Maker::Vault => session.change(replace(&entry, "userPassword", None)).await?,
                Maker::Another => return Err(not_ours(&entry.0)),
            }
            let done = furnish(&mut session, &target, &entry, new).await;
            if matches!(done, Err(SetOutcome::Refused { .. })) {
                // As a whole, or not at all.
                take_away(&mut session, &target, &entry).await.map_err(in_doubt)?;
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
        let (mut session, target) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let entry = target.entry(login);
        let work = async {
            match maker(&mut session, &entry).await? {
                Maker::Vault => {}
                Maker::Nobody => return Err(refused(format!("there is no entry {}", entry.0))),
                Maker::Another => return Err(not_ours(&entry.0)),
            }
            place_end(&mut session, &target, &entry, valid_until).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let (mut session, target) = match self.open(system, by).await {
            Ok(open) => open,
            Err(not_sent) => return not_sent,
        };
        let entry = target.entry(login);
        let work = async {
            match maker(&mut session, &entry).await? {
                Maker::Nobody => return Ok(()),
                Maker::Another => return Err(not_ours(&entry.0)),
                Maker::Vault => {}
            }
            // First what ends the right, then what tidies up: each step may run twice.
            session.change(replace(&entry, "userPassword", None)).await?;
            take_away(&mut session, &target, &entry).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, _login: &Login) -> SetOutcome {
        match self.open(system, by).await {
            Ok((session, _)) => {
                session.close().await;
                refused("LDAP has no way to end somebody's sessions".to_owned())
            }
            Err(not_sent) => not_sent,
        }
    }
}

impl Ldap {
    /// Opens a session for changes. Where that fails, nothing was sent.
    async fn open<'a, 's>(
        &self,
        system: &'s SystemSpec,
        by: &Credential<'a>,
    ) -> Result<(Session<'a>, Target<'s>), SetOutcome> {
        let opening = async {
            let target = Target::of(system)?;
            Ok((self.session(&target, by.login, by.secret).await?, target))
        };
        self.reach.open(opening).await
    }

    async fn session<'a>(
        &self,
        target: &Target<'_>,
        login: &Login,
        secret: &'a Secret,
    ) -> Result<Session<'a>, Failure> {
        Session::open(&*self.reach.dial, &target.address, &target.entry(login).0, secret, &READING).await
    }
}

async fn maker(session: &mut Session<'_>, entry: &Dn) -> Result<Maker, SetOutcome> {
    let found = session.search(search(&entry.0, LdapSearchScope::Base, anything(), &["description"])).await?;
    Ok(found.unwrap_or_default().first().map_or(Maker::Nobody, Maker::of))
}

/// Groups and an end, and then the password.
async fn furnish(
    session: &mut Session<'_>,
    target: &Target<'_>,
    entry: &Dn,
    new: &NewLogin<'_>,
) -> Result<(), SetOutcome> {
    for group in new.member_of {
        let joins = part(LdapModifyType::Add, "member", Some(entry.0.as_bytes()));
        let so_already = [LdapResultCode::AttributeOrValueExists];
        session.change_unless(modify(&target.group(group), vec![joins]), &so_already).await?;
    }
    place_end(session, target, entry, new.valid_until).await?;
    session.change(password_modify(entry, None, new.secret)).await
}

/// The directory's own end, where it knows one.
async fn place_end(
    session: &mut Session<'_>,
    target: &Target<'_>,
    entry: &Dn,
    at: Timestamp,
) -> Result<(), SetOutcome> {
    if !target.password_policy {
        return Ok(());
    }
    session.change(replace(entry, "pwdEndTime", Some(&at.strftime("%Y%m%d%H%M%SZ").to_string()))).await
}

/// Out of its groups, and away.
async fn take_away(session: &mut Session<'_>, target: &Target<'_>, entry: &Dn) -> Result<(), SetOutcome> {
    let holds = LdapFilter::Equality("member".to_owned(), entry.0.clone());
    let groups = session.search(search(target.groups(), LdapSearchScope::Subtree, holds, &["cn"])).await?;
    for group in groups.unwrap_or_default() {
        let leaves = part(LdapModifyType::Delete, "member", Some(entry.0.as_bytes()));
        session.change_unless(modify(&Dn(group.dn), vec![leaves]), &[LdapResultCode::NoSuchAttribute]).await?;
    }
    session.change_unless(LdapOp::DelRequest(entry.0.clone()), &[LdapResultCode::NoSuchObject]).await
}

fn new_entry(target: &Target<'_>, entry: &Dn, login: &Login) -> LdapOp {
    let name = || vec![login.as_str().as_bytes().to_vec()];
    let mut attributes = BTreeMap::from([
        ("cn".to_owned(), name()),
        ("sn".to_owned(), name()),
        ("description".to_owned(), vec![MARK.as_bytes().to_vec()]),
    ]);
    attributes.insert(target.login_attribute.to_owned(), name());
    attributes.insert(
        "objectClass".to_owned(),
        target.object_classes.iter().map(|class| class.as_bytes().to_vec()).collect(),
    );
    let attributes = attributes.into_iter().map(|(atype, vals)| LdapPartialAttribute { atype, vals }).collect();
    LdapOp::AddRequest(LdapAddRequest { dn: entry.0.clone(), attributes })
}
