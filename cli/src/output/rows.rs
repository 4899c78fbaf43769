//! The columns of each list.

use claviger_client::api::Timestamp;
use claviger_client::api::wire::{
    AccessLine, Account, AccountSettings, AccountUpkeep, ApprovalRule, AuditEvent, Backup, BreakGlass, Checkout,
    ComparedAccount, Conditions, Customer, Dependent, DependentStep, Emergency, EmergencyLine, EmergencyStep, Exposure,
    Factor, Grant, GrantKind, IdentityProvider, Inactive, Issuer, IssuerKeys, Kit, LogArchive, Offboarding, Principal,
    RecoveredSecret, ReusedSecret, Review, ReviewLine, Role, Rotation, ScrubFault, System, SystemSpec, Task,
    UnusedAccount, WhatIfDecision,
};
use serde::Serialize;

/// A row of a table.
pub trait Row {
    /// The columns.
    const HEADS: &'static [&'static str];

    /// One cell a column.
    fn cells(&self) -> Vec<String>;
}

/// A value of an enum as the API writes it.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

/// A value, or a dash.
pub fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// A time to the second; JSON has the rest.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The conditions of a grant in few words; JSON has their exact form.
pub fn conditions(conditions: &Conditions) -> String {
    let Conditions { actions, approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches } =
        conditions;
    let by = |rule: &ApprovalRule| {
        let by = if rule.by_customer { ", one the customer's" } else { "" };
        let again = if rule.reuse { ", good again" } else { "" };
        format!("{by}{again}")
    };
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let words: Vec<String> = [
        (!actions.is_empty()).then(|| format!("only {}", actions.join(", "))),
        approvals.map(|rule| format!("approvals {}{}", rule.count, by(&rule))),
        fresh_factor.then(|| "fresh factor".to_owned()),
        ticket.as_ref().map(|pattern| format!("ticket {pattern}")),
        (!networks.is_empty()).then(|| format!("from {}", networks.join(", "))),
        hours.as_ref().map(|hours| format!("in {hours}")),
        reveals_per_hour.map(|most| format!("{most} reveals an hour")),
        reaches.map(|reach| format!("reaches {}", word(&reach))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() { "-".to_owned() } else { words.join("; ") }
}

impl Row for Customer {
    const HEADS: &'static [&'static str] = &["customer", "name", "since"];

    fn cells(&self) -> Vec<String> {
        vec![self.slug.to_string(), self.display_name.clone(), seconds(self.created_at)]
    }
}

impl Row for Offboarding {
    const HEADS: &'static [&'static str] = &["customer", "id", "key destroyed", "rows"];

    fn cells(&self) -> Vec<String> {
        vec![self.slug.to_string(), self.customer.to_string(), seconds(self.destroyed_at), self.rows.to_string()]
    }
}

impl Row for Backup {
    const HEADS: &'static [&'static str] = &["backup", "state", "of", "rows", "bytes", "file"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            word(&self.state),
            seconds(self.moment.unwrap_or(self.asked_at)),
            self.rows.to_string(),
            self.bytes.to_string(),
            or_dash(self.file.as_ref().or(self.trouble.as_ref())),
        ]
    }
}

impl Row for ScrubFault {
    const HEADS: &'static [&'static str] = &["customer", "what", "row", "entries", "seen"];

    fn cells(&self) -> Vec<String> {
        let entries = match (self.first_entry, self.last_entry) {
            (Some(first), Some(last)) if first < last => format!("{first} to {last}"),
            (Some(entry), _) | (None, Some(entry)) => entry.to_string(),
            (None, None) => "-".to_owned(),
        };
        vec![
            or_dash(self.customer.as_ref()),
            word(&self.kind),
            or_dash(self.row.as_ref()),
            entries,
            self.detail.clone(),
        ]
    }
}

impl Row for ComparedAccount {
    const HEADS: &'static [&'static str] = &["account", "as stored"];

    fn cells(&self) -> Vec<String> {
        vec![self.account.to_string(), word(&self.outcome)]
    }
}

impl Row for RecoveredSecret {
    const HEADS: &'static [&'static str] = &["account", "login", "version", "outcome"];

    fn cells(&self) -> Vec<String> {
        vec![self.account.to_string(), self.login.to_string(), self.version.to_string(), word(&self.outcome)]
    }
}

impl Row for System {
    const HEADS: &'static [&'static str] = &["system", "kind", "address", "known by", "management account", "grace"];

    fn cells(&self) -> Vec<String> {
        let (host, port) = (self.spec.host(), self.spec.port());
        let (address, known_by) = match &self.spec {
            SystemSpec::Postgresql { database, tls, .. } => (format!("{host}:{port}/{database}"), word(tls)),
            SystemSpec::Mysql { tls, .. } | SystemSpec::Http { tls, .. } => (format!("{host}:{port}"), word(tls)),
            SystemSpec::Manual { due_days, .. } => (host.to_owned(), format!("a person, within {due_days} d")),
            SystemSpec::Ldap { tls, base, .. } => (format!("{host}:{port}/{base}"), word(tls)),
            SystemSpec::Linux { host_keys, .. } => (format!("{host}:{port}"), format!("{} host keys", host_keys.len())),
            SystemSpec::ActiveDirectory { tls, domain, .. } => (format!("{host}:{port}/{domain}"), word(tls)),
        };
        vec![
            format!("{}/{}", self.customer, self.name),
            self.spec.kind().to_owned(),
            address,
            known_by,
            or_dash(self.management_account.as_ref()),
            or_dash(self.measured_grace.map(|measured| format!("{} s", measured.seconds)).as_ref()),
        ]
    }
}

impl Row for DependentStep {
    const HEADS: &'static [&'static str] = &["nr", "dependent", "state", "since"];

    fn cells(&self) -> Vec<String> {
        let what = match &self.dependent {
            Dependent::Webhook { url, .. } => format!("webhook {url}"),
            Dependent::File { system, path, owner, group, mode } => {
                format!("file {system}:{path} {owner}:{group} {mode}")
            }
        };
        vec![self.number.to_string(), what, word(&self.state), or_dash(self.at.map(seconds).as_ref())]
    }
}

impl Row for Account {
    const HEADS: &'static [&'static str] = &["account", "login", "kind", "state", "version", "marks"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.to_string(),
            self.login.to_string(),
            word(&self.kind),
            word(&self.state),
            or_dash(self.current_version.as_ref()),
            marks(&self.settings),
        ]
    }
}

/// Sensitive, or its tier.
fn marks(settings: &AccountSettings) -> String {
    let tier = settings.tier.map(|tier| format!("tier {}", u8::from(tier)));
    let words: Vec<String> = tier.into_iter().chain(settings.sensitive.then(|| "sensitive".to_owned())).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

impl Row for Principal {
    const HEADS: &'static [&'static str] = &["name", "kind", "state", "customer", "last login"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_string(),
            word(&self.kind),
            word(&self.state),
            or_dash(self.customer.as_ref()),
            or_dash(self.last_login_at.map(seconds).as_ref()),
        ]
    }
}

impl Row for Issuer {
    const HEADS: &'static [&'static str] = &["issuer", "iss", "aud", "keys"];

    fn cells(&self) -> Vec<String> {
        let keys = match &self.keys {
            IssuerKeys::Document { .. } => "document".to_owned(),
            IssuerKeys::Url { url, .. } => url.to_string(),
            IssuerKeys::Discovery { .. } => "discovery".to_owned(),
        };
        vec![self.name.to_string(), self.issuer.clone(), self.audience.clone(), keys]
    }
}

impl Row for IdentityProvider {
    const HEADS: &'static [&'static str] = &["provider", "iss", "client", "customer", "enabled", "its second factor"];

    fn cells(&self) -> Vec<String> {
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        vec![
            self.name.to_string(),
            self.issuer.to_string(),
            self.client_id.clone(),
            or_dash(self.customer.as_ref()),
            yes(self.enabled),
            if self.trusts_mfa { "counts" } else { "-" }.to_owned(),
        ]
    }
}

impl Row for Grant {
    const HEADS: &'static [&'static str] = &["grant", "principal", "kind", "role", "scope", "until", "conditions"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.principal.to_string(),
            word(&self.kind),
            role(self),
            self.scope.to_string(),
            seconds(self.expires_at),
            conditions(&self.conditions),
        ]
    }
}

/// The role; of break-glass, whether it sleeps.
fn role(grant: &Grant) -> String {
    match (grant.role, grant.kind, grant.break_glass) {
        (Role::BreakGlass, GrantKind::MayUse, None) => "break_glass (asleep)".to_owned(),
        (Role::BreakGlass, _, Some(_)) => "break_glass (open)".to_owned(),
        (role, _, _) => word(&role),
    }
}

impl Row for AccessLine {
    const HEADS: &'static [&'static str] =
        &["principal", "kind", "state", "role", "scope", "until", "conditions", "grant"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.grant.principal.to_string(),
            word(&self.principal_kind),
            word(&self.principal_state),
            role(&self.grant),
            self.grant.scope.to_string(),
            seconds(self.grant.expires_at),
            conditions(&self.grant.conditions),
            self.grant.id.to_string(),
        ]
    }
}

impl Row for Inactive {
    const HEADS: &'static [&'static str] = &["name", "kind", "state", "unused since", "days", "could reach"];

    fn cells(&self) -> Vec<String> {
        let reach = |grant: &Grant| match grant.kind {
            GrantKind::MayUse => format!("{} at {}", word(&grant.role), grant.scope),
            GrantKind::MayGrant => format!("may grant {} at {}", word(&grant.role), grant.scope),
        };
        let reach: Vec<String> = self.grants.iter().map(reach).collect();
        vec![
            self.principal.name.to_string(),
            word(&self.principal.kind),
            word(&self.principal.state),
            seconds(self.unused_since),
            self.unused_days.to_string(),
            if reach.is_empty() { "-".to_owned() } else { reach.join(", ") },
        ]
    }
}

impl Row for WhatIfDecision {
    const HEADS: &'static [&'static str] =
        &["time", "principal", "action", "scope", "before", "after", "why", "reason", "ticket", "from"];

    fn cells(&self) -> Vec<String> {
        vec![
            seconds(self.time),
            self.principal.to_string(),
            self.action.clone(),
            self.scope.to_string(),
            word(&self.before),
            word(&self.after),
            self.why.clone(),
            or_dash(self.reason.as_ref()),
            or_dash(self.ticket.as_ref()),
            or_dash(self.source.as_ref()),
        ]
    }
}

impl Row for BreakGlass {
    const HEADS: &'static [&'static str] =
        &["break-glass", "scope", "state", "opener", "agreed", "until", "checkouts", "review due", "reason"];

    fn cells(&self) -> Vec<String> {
        let agreed: Vec<&str> = self.agreed.iter().map(|yes| yes.by.as_str()).collect();
        let until = self.closed_at.or(self.ends_at).or(self.agree_until);
        let late = if self.review_overdue { " (late)" } else { "" };
        vec![
            self.id.to_string(),
            self.scope.to_string(),
            word(&self.state),
            self.opener.to_string(),
            if agreed.is_empty() { "-".to_owned() } else { agreed.join(", ") },
            or_dash(until.map(seconds).as_ref()),
            self.checkouts.len().to_string(),
            self.review_due_at.map_or_else(|| "-".to_owned(), |due| seconds(due) + late),
            self.reason.clone(),
        ]
    }
}

impl Row for Review {
    const HEADS: &'static [&'static str] =
        &["review", "customer", "started by", "until", "closed", "lines", "confirmed", "cut", "ended", "undecided"];

    fn cells(&self) -> Vec<String> {
        let counts = &self.counts;
        let mut cells = vec![
            self.id.to_string(),
            self.customer.to_string(),
            self.started_by.to_string(),
            seconds(self.ends_at),
            or_dash(self.closed_at.map(seconds).as_ref()),
        ];
        let numbers = [counts.lines, counts.confirmed, counts.cut, counts.ended, counts.undecided];
        cells.extend(numbers.iter().map(ToString::to_string));
        cells
    }
}

impl Row for ReviewLine {
    const HEADS: &'static [&'static str] =
        &["grant", "principal", "kind", "may", "role", "scope", "until", "last used", "decided"];

    fn cells(&self) -> Vec<String> {
        let decided = match (&self.verdict, self.ended) {
            (Some(verdict), _) => word(verdict),
            (None, true) => "ended".to_owned(),
            (None, false) => "-".to_owned(),
        };
        vec![
            self.grant.id.to_string(),
            self.grant.principal.to_string(),
            word(&self.principal_kind),
            word(&self.grant.kind),
            word(&self.grant.role),
            self.grant.scope.to_string(),
            seconds(self.grant.expires_at),
            or_dash(self.last_used_at.map(seconds).as_ref()),
            decided,
        ]
    }
}

impl Row for Checkout {
    const HEADS: &'static [&'static str] = &["checkout", "account", "holder", "state", "until", "revocation", "reason"];

    fn cells(&self) -> Vec<String> {
        let state = match &self.end_cause {
            Some(cause) => format!("{}: {}", word(&self.state), word(cause)),
            None => word(&self.state),
        };
        vec![
            self.id.to_string(),
            self.account.to_string(),
            self.principal.to_string(),
            state,
            or_dash(self.ended_at.or(self.expires_at).map(seconds).as_ref()),
            or_dash(self.revocation.as_ref().map(|revocation| word(&revocation.state)).as_ref()),
            self.reason.clone(),
        ]
    }
}

impl Row for Rotation {
    const HEADS: &'static [&'static str] = &["rotation", "account", "step", "unresolved", "started", "message"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.account.to_string(),
            word(&self.step),
            if self.unresolved { "yes" } else { "no" }.to_owned(),
            seconds(self.started_at),
            self.message.clone(),
        ]
    }
}

impl Row for Task {
    const HEADS: &'static [&'static str] = &["task", "account", "login", "where", "due", "overdue", "seen"];

    fn cells(&self) -> Vec<String> {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        vec![
            self.id.to_string(),
            self.account.to_string(),
            self.login.to_string(),
            self.address.clone(),
            seconds(self.due_at),
            yes(self.overdue),
            yes(self.shown),
        ]
    }
}

impl Row for Emergency {
    const HEADS: &'static [&'static str] =
        &["emergency", "state", "started", "done", "frozen", "accounts", "rotated", "old not refused", "unresolved"];

    fn cells(&self) -> Vec<String> {
        let counts = &self.counts;
        vec![
            self.id.to_string(),
            word(&self.state),
            seconds(self.started_at),
            or_dash(self.finished_at.map(seconds).as_ref()),
            if self.frozen { "yes" } else { "no" }.to_owned(),
            counts.accounts.to_string(),
            counts.rotated.to_string(),
            counts.old_not_refused.to_string(),
            counts.unresolved.to_string(),
        ]
    }
}

impl Row for Kit {
    const HEADS: &'static [&'static str] = &["kit", "state", "of", "accounts", "opened by", "emergency", "file"];

    fn cells(&self) -> Vec<String> {
        let together = self.threshold.map(|threshold| format!("{threshold} of {}", self.recipients.len()));
        vec![
            self.id.to_string(),
            word(&self.state),
            seconds(self.moment.unwrap_or(self.asked_at)),
            self.accounts.to_string(),
            or_dash(together.as_ref()),
            or_dash(self.opened.as_ref().map(|opened| opened.emergency).as_ref()),
            or_dash(self.file.as_ref().or(self.trouble.as_ref())),
        ]
    }
}

impl Row for EmergencyStep {
    const HEADS: &'static [&'static str] = &["account", "tier", "act", "why"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.account.to_string(),
            or_dash(self.tier.map(u8::from).as_ref()),
            word(&self.act),
            or_dash(self.why.as_ref()),
        ]
    }
}

impl Row for EmergencyLine {
    const HEADS: &'static [&'static str] = &["account", "tier", "result", "verified", "old refused", "why"];

    fn cells(&self) -> Vec<String> {
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        vec![
            self.account.to_string(),
            or_dash(self.tier.map(u8::from).as_ref()),
            word(&self.result),
            yes(self.verified),
            yes(self.old_refused),
            or_dash(self.why.as_ref()),
        ]
    }
}

impl Row for ReusedSecret {
    const HEADS: &'static [&'static str] = &["accounts that share a secret", "the latest since"];

    fn cells(&self) -> Vec<String> {
        let accounts: Vec<String> = self.accounts.iter().map(|one| one.account.to_string()).collect();
        let latest = self.accounts.iter().map(|one| one.since).max();
        vec![accounts.join(", "), or_dash(latest.map(seconds).as_ref())]
    }
}

impl Row for UnusedAccount {
    const HEADS: &'static [&'static str] = &["account", "kind", "last used", "unused for"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.account.to_string(),
            word(&self.kind),
            or_dash(self.last_used_at.map(seconds).as_ref()),
            format!("{} days", self.unused_days),
        ]
    }
}

impl Row for AccountUpkeep {
    const HEADS: &'static [&'static str] = &["account", "secret since", "due", "overdue", "verified", "drifted since"];

    fn cells(&self) -> Vec<String> {
        let overdue = match (&self.waits_for, self.overdue) {
            (Some(why), true) => format!("yes: {}", word(why)),
            (None, true) => "yes".to_owned(),
            (_, false) => "no".to_owned(),
        };
        vec![
            self.account.to_string(),
            seconds(self.secret_since),
            or_dash(self.due_at.map(seconds).as_ref()),
            overdue,
            or_dash(self.verified_at.map(seconds).as_ref()),
            or_dash(self.drifted_since.map(seconds).as_ref()),
        ]
    }
}

impl Row for Exposure {
    const HEADS: &'static [&'static str] = &["account", "seen by", "rotation"];

    fn cells(&self) -> Vec<String> {
        let seen = self.seen_by.iter().map(|seen| {
            let holds = if seen.holds { ", holds it" } else { "" };
            format!("{} v{} {} {}{holds}", seen.principal, seen.version, word(&seen.how), seconds(seen.since))
        });
        let seen: Vec<String> = seen.collect();
        vec![self.account.to_string(), seen.join("; "), or_dash(self.rotation.as_ref())]
    }
}

impl Row for AuditEvent {
    const HEADS: &'static [&'static str] = &["index", "time", "kind", "actor", "account", "more"];

    fn cells(&self) -> Vec<String> {
        let field = |name: &str| or_dash(self.fields.get(name));
        let more = self.fields.iter().filter(|(name, _)| !["actor", "actor_name", "account"].contains(&name.as_str()));
        vec![
            self.index.to_string(),
            seconds(self.time),
            self.kind.clone(),
            or_dash(self.fields.get("actor_name").or_else(|| self.fields.get("actor"))),
            field("account"),
            more.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
        ]
    }
}

impl Row for LogArchive {
    const HEADS: &'static [&'static str] = &["from", "to", "first", "last", "file", "bytes", "state"];

    fn cells(&self) -> Vec<String> {
        let at = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), seconds);
        vec![
            self.from.to_string(),
            self.to.to_string(),
            at(self.first_time),
            at(self.last_time),
            self.file.clone(),
            self.bytes.to_string(),
            if self.present { "present".to_owned() } else { "MISSING".to_owned() },
        ]
    }
}

impl Row for Factor {
    const HEADS: &'static [&'static str] = &["factor", "kind", "label", "since", "last used"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            word(&self.kind),
            self.label.clone(),
            seconds(self.created_at),
            self.last_used_at.map_or_else(|| "-".to_owned(), seconds),
        ]
    }
}
