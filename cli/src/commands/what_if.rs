//! `claviger access what-if`: a change put to the decisions of the last days, before it is made.

use clap::{ArgGroup, Args};
use claviger_client::Client;
use claviger_client::api::wire::{
    self, CustomerLimits, GrantKind, GrantScope, NewGrant, WHAT_IF_DAYS_MAX, WhatIfAnswer,
};
use claviger_client::api::{GrantId, Part, UserName};

use crate::cli::Format;
use crate::commands::grant::{Circumstances, RoleWord};
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::note;

/// One grant added, given other terms or none, or other limits of the customer; and grants ended besides.
#[derive(Args)]
#[command(group = ArgGroup::new("log").required(true))]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["add", "terms_of", "limits", "end"]))]
pub struct WhatIf {
    /// Put it to the decisions at this customer
    #[arg(long, group = "log")]
    customer: Option<Part>,
    /// Put it to the decisions in the MSP's own house
    #[arg(long, group = "log")]
    operator: bool,
    /// Decisions of so many days back
    #[arg(long, value_name = "DAYS", default_value_t = WHAT_IF_DAYS_MAX, value_parser = clap::value_parser!(u32).range(1..=i64::from(WHAT_IF_DAYS_MAX)))]
    days: u32,
    /// If this grant were ended; repeat for more
    #[arg(long, value_name = "GRANT")]
    end: Vec<GrantId>,
    /// If this user or service account had one more grant, of --role at --scope
    #[arg(long, value_name = "NAME", requires_all = ["role", "scope"], conflicts_with_all = ["terms_of", "limits"])]
    add: Option<UserName>,
    /// The role of the grant to be added
    #[arg(long, value_enum, requires = "add")]
    role: Option<RoleWord>,
    /// Where it would be: '*' (everywhere), a customer, customer/system or customer/system/account
    #[arg(long, requires = "add")]
    scope: Option<GrantScope>,
    /// If this grant were ended and made anew with the conditions that follow, and no others
    #[arg(long, value_name = "GRANT", conflicts_with = "limits")]
    terms_of: Option<GrantId>,
    /// If the customer wanted of everybody what follows, in place of what it wants now
    #[arg(long, requires = "customer")]
    limits: bool,
    /// The longest checkout
    #[arg(long, value_name = "DURATION")]
    max_checkout: Option<Seconds>,
    #[command(flatten)]
    conditions: Circumstances,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: usize,
}

/// Long enough to be in force all the time: a change is put to what was, not to what will be.
const LIFE_SECONDS: u64 = 24 * 60 * 60;

impl WhatIf {
    pub async fn run(self, client: &Client, output: Output) -> Result<(), Failure> {
        let most = self.limit;
        let answer = client.access().what_if_first(&self.asked(client).await?, most).await?;
        match output.format {
            Format::Json => output.one(&answer),
            Format::Csv | Format::Table => {
                note(&told(&answer));
                output.many(&answer.items)
            }
        }
    }

    async fn asked(self, client: &Client) -> Result<wire::WhatIf, Failure> {
        let (mut end, max_checkout_seconds) = (self.end, self.max_checkout.map(Seconds::get));
        let conditions = self.conditions.wire();
        let mut asked = wire::WhatIf { customer: self.customer, days: Some(self.days), ..wire::WhatIf::default() };
        if let (Some(principal), Some(role), Some(scope)) = (self.add, self.role, self.scope) {
            asked.add.push(NewGrant {
                principal,
                kind: GrantKind::MayUse,
                role: role.wire(),
                scope,
                ttl_seconds: LIFE_SECONDS,
                max_checkout_seconds,
                conditions,
                spans_customers: true,
            });
        } else if let Some(id) = self.terms_of {
            let grant = client.grants().show(id).await?;
            end.push(id);
            asked.add.push(NewGrant {
                principal: grant.principal,
                kind: grant.kind,
                role: grant.role,
                scope: grant.scope,
                ttl_seconds: LIFE_SECONDS,
                max_checkout_seconds: max_checkout_seconds.or(Some(grant.max_checkout_seconds)),
                conditions,
                spans_customers: true,
            });
        } else if self.limits {
            asked.limits = Some(CustomerLimits { max_checkout_seconds, conditions, kit: None });
        } else if max_checkout_seconds.is_some() || !conditions.is_empty() {
            return Err(Failure::usage(
                "conditions of what?",
                "name --add, --terms-of or --limits, whose conditions they are",
            ));
        }
        asked.end = end;
        Ok(asked)
    }
}

/// What was looked at, in words.
fn told(answer: &WhatIfAnswer) -> String {
    let WhatIfAnswer { items, replayed, unlike_then, unknown, since, next_cursor } = answer;
    let (day, many) = (since.strftime("%Y-%m-%d"), items.len());
    let said = [
        Some(format!(
            "Of {replayed} decisions since {day} of those whom it is about, {many} would come out differently."
        )),
        (*unlike_then > 0).then(|| format!("{unlike_then} come out differently today already, and are left out.")),
        (*unknown > 0).then(|| format!("{unknown} cannot be made again: somebody or something was removed since.")),
        next_cursor.is_some().then(|| "There are more: name a larger --limit.".to_owned()),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
