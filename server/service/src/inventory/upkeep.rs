//! Rotation policies and time zones as people set them.

use claviger_api::problem::ValueError;
use claviger_api::wire::RotationPolicy;
use claviger_core::upkeep::{check, time_zone};

use crate::error::{Error, Result};

/// The policy, if its values can be.
pub(crate) fn checked_policy(at: &str, policy: &RotationPolicy) -> Result<RotationPolicy> {
    let bad = check(policy).into_iter();
    let errors: Vec<_> = bad.map(|(name, message)| ValueError { at: format!("{at}.{name}"), message }).collect();
    if errors.is_empty() { Ok(policy.clone()) } else { Err(Error::values(errors)) }
}

/// The name of a time zone that is known.
pub(crate) fn checked_zone(name: &str) -> Result<String> {
    match time_zone(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err(Error::value("time_zone", "a name of the IANA time zone database, e.g. Europe/Vienna")),
    }
}

/// A policy that was set, as its event tells it; nothing where none was.
pub(crate) fn policy_text(policy: Option<&RotationPolicy>) -> Result<String> {
    policy.map_or(Ok(String::new()), |policy| serde_json::to_string(policy).map_err(Error::internal))
}
