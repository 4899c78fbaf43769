//! A directory as its specification describes it, and what OpenLDAP means by its answers.

use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret};
use ldap3_proto::proto::{LdapOp, LdapPasswordModifyRequest, LdapResultCode as Code};

use crate::directory::{Address, Answer, Dn, PolicyError, Reading};
use crate::failure::Failure;

/// What OpenLDAP's answers mean.
pub(super) const READING: Reading = Reading {
    bind: told_by_bind,
    by_policy: is_about_the_secret,
    explain: |answer| answer.policy.map(PolicyError::words),
};

fn told_by_bind(answer: &Answer) -> ProbeResult {
    match (&answer.result.code, answer.policy) {
        (Code::InvalidCredentials, Some(PolicyError::AccountLocked)) => ProbeResult::LockedOut,
        // It looked at the password first.
        (Code::InvalidCredentials, Some(PolicyError::PasswordExpired)) => ProbeResult::Accepted,
        (
            Code::InvalidCredentials | Code::NoSuchObject | Code::InvalidDNSyntax | Code::InappropriateAuthentication,
            _,
        ) => ProbeResult::Refused,
        (Code::Busy | Code::Unavailable, _) => ProbeResult::Unreachable,
        (_, _) => ProbeResult::Unknown,
    }
}

fn is_about_the_secret(answer: &Answer) -> bool {
    answer.result.code == Code::ConstraintViolation && answer.policy != Some(PolicyError::ChangeNotAllowed)
}

/// The parts of a directory's specification.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) address: Address<'a>,
    base: &'a str,
    pub(super) login_attribute: &'a str,
    pub(super) object_classes: &'a [String],
    group_base: Option<&'a str>,
    pub(super) password_policy: bool,
}

impl<'a> Target<'a> {
    pub(super) fn of(system: &'a SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::Ldap {
                host,
                port,
                tls,
                start_tls,
                ca_certificate,
                base,
                login_attribute,
                object_classes,
                group_base,
                password_policy,
                lockout_threshold: _,
            } => Ok(Self {
                address: Address {
                    host,
                    port: *port,
                    tls: *tls,
                    start_tls: *start_tls,
                    ca_certificate: ca_certificate.as_deref(),
                },
                base,
                login_attribute,
                object_classes,
                group_base: group_base.as_deref(),
                password_policy: *password_policy,
            }),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }

    /// The entry of a login: right below the base, or where it says itself.
    pub(super) fn entry(&self, login: &Login) -> Dn {
        match login.as_str().strip_prefix("dn:") {
            Some(dn) => Dn(dn.to_owned()),
            None => Dn(format!("{}={},{}", self.login_attribute, login.in_a_dn(), self.base)),
        }
    }

    /// The entry of a group.
    pub(super) fn group(&self, group: &Login) -> Dn {
        match group.as_str().strip_prefix("dn:") {
            Some(dn) => Dn(dn.to_owned()),
            None => Dn(format!("cn={},{}", group.in_a_dn(), self.groups())),
        }
    }

    /// Below which all groups are.
    pub(super) fn groups(&self) -> &'a str {
        self.group_base.unwrap_or(self.base)
    }
}

/// The request of RFC 3062.
pub(super) fn password_modify(entry: &Dn, old: Option<&Secret>, new: &Secret) -> LdapOp {
    let request = LdapPasswordModifyRequest {
        user_identity: Some(entry.0.clone()),
        old_password: old.map(|old| old.expose().to_owned()),
        new_password: Some(new.expose().to_owned()),
    };
    LdapOp::ExtendedRequest(request.into())
}
