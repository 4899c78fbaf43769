//! `claviger system discover | known` and `claviger report discovery`: logins beside the accounts of the vault.

use clap::Args;
use claviger_client::Client;
use claviger_client::api::Part;
use claviger_client::api::wire::{DiscoveredLogin, Discovery, LoginStanding, MarkKnown, MarkUnknown};

use crate::failure::Failure;
use crate::output::{Output, Row, or_dash, seconds, word};
use crate::path::SystemPath;

#[derive(Args)]
pub struct Discover {
    /// customer/system, e.g. acme/db01
    system: SystemPath,
    /// What the last look found, without another one
    #[arg(long)]
    last: bool,
}

#[derive(Args)]
pub struct Known {
    /// customer/system
    system: SystemPath,
    /// The login, as 'system discover' shows it
    login: String,
    /// Why it stays outside of the vault
    #[arg(long, required_unless_present = "remove")]
    reason: Option<String>,
    /// Nobody answers for it any more
    #[arg(long, conflicts_with = "reason")]
    remove: bool,
}

impl Discover {
    pub async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let systems = client.systems(&self.system.customer);
        let found = if self.last {
            systems.discovery(&self.system.system).await?
        } else {
            systems.discover(&self.system.system).await?
        };
        output.whole(&found, &logins(&found))?;
        output.done(&summary(&found))?;
        for advice in advice(&found) {
            output.done(&advice)?;
        }
        match &found.failure {
            Some(why) => {
                Err(Failure::failed(format!("the logins could not be listed: {} ({})", why.detail, word(&why.result))))
            }
            None => Ok(()),
        }
    }
}

impl Known {
    pub async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let systems = client.systems(&self.system.customer);
        let login = self.login.clone();
        let found = match self.reason {
            Some(reason) => systems.mark_known(&self.system.system, &MarkKnown { login, reason }).await?,
            None => systems.mark_unknown(&self.system.system, &MarkUnknown { login }).await?,
        };
        let it: Vec<Line<'_>> = logins(&found).into_iter().filter(|line| line.login.login == self.login).collect();
        output.whole(&found, &it)
    }
}

/// What a report shows: a line a login, an account that is missing, and a look that fails.
pub fn report(found: &[Discovery], output: Output) -> Result<(), Failure> {
    let lines: Vec<Finding> = found.iter().flat_map(findings).collect();
    output.whole(&found, &lines)
}

/// A login in a table.
struct Line<'a> {
    login: &'a DiscoveredLogin,
}

fn logins(found: &Discovery) -> Vec<Line<'_>> {
    found.logins.iter().map(|login| Line { login }).collect()
}

impl Row for Line<'_> {
    const HEADS: &'static [&'static str] = &["login", "standing", "may log in", "power", "notes", "last login"];

    fn cells(&self) -> Vec<String> {
        let DiscoveredLogin { login, standing, account, may_log_in, privileges, notes, last_login_at, .. } = self.login;
        let standing = match account {
            Some(account) => account.to_string(),
            None => word(standing),
        };
        vec![
            login.clone(),
            standing,
            if *may_log_in { "yes" } else { "no" }.to_owned(),
            listed(privileges),
            listed(&all_notes(self.login, notes)),
            or_dash(last_login_at.map(seconds).as_ref()),
        ]
    }
}

/// A line of the report.
struct Finding {
    system: String,
    what: String,
    login: String,
    why: String,
    last_login: String,
}

impl Row for Finding {
    const HEADS: &'static [&'static str] = &["system", "finding", "login", "why", "last login"];

    fn cells(&self) -> Vec<String> {
        [&self.system, &self.what, &self.login, &self.why, &self.last_login].map(Clone::clone).into()
    }
}

fn findings(found: &Discovery) -> Vec<Finding> {
    let system = format!("{}/{}", found.customer, found.system);
    let finding = |what: &str, login: String, why: String, last_login: String| Finding {
        system: system.clone(),
        what: what.to_owned(),
        login,
        why,
        last_login,
    };
    let dash = || "-".to_owned();
    let mut findings = Vec::new();
    match (&found.failure, found.looked_at) {
        (Some(why), _) => {
            findings.push(finding("look fails", dash(), format!("{} ({})", why.detail, word(&why.result)), dash()));
        }
        (None, None) => findings.push(finding("never looked at", dash(), dash(), dash())),
        (None, Some(_)) => {}
    }
    for login in &found.logins {
        let what = match login.standing {
            LoginStanding::Unmanaged if login.privileges.is_empty() => "outside",
            LoginStanding::Unmanaged => "outside, with power",
            LoginStanding::Known => "known",
            LoginStanding::InVault => "in the vault",
            LoginStanding::OfCheckout => "of a checkout",
        };
        let why: Vec<String> = login.privileges.iter().cloned().chain(all_notes(login, &login.notes)).collect();
        findings.push(finding(
            what,
            login.login.clone(),
            listed(&why),
            or_dash(login.last_login_at.map(seconds).as_ref()),
        ));
    }
    for missing in &found.missing {
        findings.push(finding(
            "missing there",
            missing.account.to_string(),
            "the system has no such login".to_owned(),
            dash(),
        ));
    }
    findings
}

fn all_notes(login: &DiscoveredLogin, notes: &[String]) -> Vec<String> {
    let unnameable = login.unnameable.then(|| "no account can have this name".to_owned());
    let known = login.known.as_ref().map(|known| {
        let outgrown = if known.outgrown { ", before it got more power" } else { "" };
        format!("known{outgrown}: {} ({})", known.reason, known.by)
    });
    notes.iter().cloned().chain(unnameable).chain(known).collect()
}

fn listed(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join("; ") }
}

fn summary(found: &Discovery) -> String {
    let counts = &found.counts;
    let cut = if found.cut { ", of more that were not listed" } else { "" };
    let unseen =
        if found.unseen.is_empty() { String::new() } else { format!(" Not seen: {}.", found.unseen.join("; ")) };
    let missing: Vec<String> = found.missing.iter().map(ToString::to_string).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" Missing there: {}.", missing.join(", ")) };
    format!(
        "{} logins{cut}: {} in the vault, {} of checkouts, {} known, {} that nobody answers for, {} of them with power.{missing}{unseen}",
        counts.logins,
        counts.in_vault,
        counts.of_checkouts,
        counts.known,
        counts.unmanaged,
        counts.unmanaged_privileged
    )
}

/// The most logins for which a next step is written out.
const ADVICE_MAX: usize = 10;

/// What to do about logins with power that nobody answers for, ready to be run.
fn advice(found: &Discovery) -> Vec<String> {
    let system = format!("{}/{}", found.customer, found.system);
    let alarming = found
        .logins
        .iter()
        .filter(|login| login.standing == LoginStanding::Unmanaged && login.may_log_in && !login.privileges.is_empty());
    let steps = alarming.take(ADVICE_MAX).map(|login| {
        let quoted = quoted(&login.login);
        let known = format!("claviger system known {system} {quoted} --reason …");
        if login.unnameable {
            return format!("To answer for {quoted}: {known}");
        }
        let name = suggested(&login.login);
        format!(
            "To take {quoted} in: claviger account add {system}/{name} --login {quoted} --rotate-by management, and then \
             claviger rotate {system}/{name}; or to leave it outside: {known}"
        )
    });
    steps.collect()
}

/// A name for an account, made of its login.
fn suggested(login: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let name: String = login.split('@').next().unwrap_or_default().chars().map(plain).take(PART_MAX).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    name.parse::<Part>().map_or_else(|_| "NAME".to_owned(), |part| part.to_string())
}

const PART_MAX: usize = 63;

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@/:%".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_step_can_be_run_as_it_stands() {
        assert_eq!(quoted("etl"), "etl");
        assert_eq!(quoted("o'neill; rm"), "'o'\\''neill; rm'");
        assert_eq!(quoted("-x"), "'-x'");
        assert_eq!(suggested("CORP Ops@10.%"), "corp-ops");
        assert_eq!(suggested("_apt"), "apt");
        assert_eq!(suggested("ä"), "NAME");
    }
}
