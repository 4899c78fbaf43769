//! The login that exists for one checkout: stored before it is made, made before it is revealed, removed and seen
//! refused after the end.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{CheckoutState, ProbeResult, RevocationState};
use claviger_api::{CheckoutId, CustomerId, Login, Scope, Timestamp};
use claviger_connectors::{Credential, NewLogin, SetOutcome};
use claviger_core::account::AccountState;
use claviger_core::checkout::{Checkout, EphemeralLogin, State};
use claviger_core::password::{Rules, generate};
use claviger_store::RowId;
use jiff::SignedDuration;

use super::{Case, is_ephemeral, milliseconds, move_timer, system_failed};
use crate::error::{Error, Result};
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{AccountRecord, CheckoutRecord, StateRecord, SystemRecord};
use crate::workers::TimerKind;

/// Who makes and removes logins.
const ACTOR: &str = "system/ephemeral";
/// Characters of the checkout's id in a login's name: enough to tell 4 billion apart.
pub(crate) const SUFFIX: usize = 8;
/// The wait after the first removal that failed; doubled each time, up to [`REMOVAL_WAIT_MOST`].
const REMOVAL_WAIT_FIRST: SignedDuration = SignedDuration::from_secs(2);
/// The longest wait between two tries of a removal.
const REMOVAL_WAIT_MOST: SignedDuration = SignedDuration::from_mins(15);

impl Open {
    /// Adds a login's name and secret to the change that creates its checkout: durable before any system is told.
    pub(super) fn with_new_login<'a>(
        &self,
        change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        state: &mut AccountState,
        checkout: &mut Checkout,
    ) -> Result<Change<'a>> {
        self.must_act()?;
        state.secrets.last_version += 1;
        let version = state.secrets.last_version;
        let random = self.random();
        let rules = Rules::parse(&account.settings.password_policy).map_err(Error::internal)?;
        let secret = generate(&rules, None, &mut |bytes| random.fill(bytes)).map_err(Error::internal)?;
        let id = checkout.id.uuid().as_simple().to_string();
        let suffix = id.get(id.len().saturating_sub(SUFFIX)..).unwrap_or_default();
        let login = suffixed(account.login.as_str(), suffix).parse().map_err(Error::internal)?;
        state.logins.push(checkout.id);
        let change = self.with_secret(change, customer, (account, &login), version, &secret)?;
        checkout.ephemeral = Some(EphemeralLogin { login, version, made: false, removed: false, removal_failures: 0 });
        Ok(change)
    }

    /// The same for a checkout that waited for approvals or its start, and has only now a seat or a place in the queue.
    pub(super) fn with_login_for_a_place<'a>(
        &self,
        change: Change<'a>,
        case: &Case,
        state: &mut AccountState,
        checkout: &mut Checkout,
    ) -> Result<Change<'a>> {
        let has_place = matches!(checkout.state, State::Approved { .. } | State::Requested { .. });
        if !has_place || !is_ephemeral(&case.account) {
            return Ok(change);
        }
        self.with_new_login(change, case.customer, &case.account, state, checkout)
    }

    /// Makes the checkout's login on the system, if it has one that is not made. What cannot be made ends the checkout.
    pub(super) async fn make_login(&self, customer: CustomerId, id: CheckoutId) -> Result<()> {
        let case = self.case(customer, id).await?;
        let checkout = &case.checkout.value.0;
        let Some(login) = checkout.ephemeral.as_ref().filter(|login| !login.made) else { return Ok(()) };
        let seated = matches!(checkout.state_name(), CheckoutState::Approved | CheckoutState::Active);
        if !seated || checkout.overdue(self.now()).is_some() {
            return Ok(());
        }
        let system = self.load::<SystemRecord>(&RowId::system(customer, checkout.system)).await?.value;
        let outcome = match self.management(customer, &system).await? {
            None => SetOutcome::Refused {
                detail: "its system has no management account with a stored secret; name one".to_owned(),
                by_policy: false,
            },
            Some((by, by_secret)) => {
                let secret = self.secret(customer, checkout.account, login.version).await?;
                let new = NewLogin {
                    login: &login.login,
                    secret: &secret,
                    member_of: &case.account.member_of,
                    sudo_rules: &case.account.settings.sudo_rules,
                    valid_until: longest(checkout),
                };
                let by = Credential { login: &by, secret: &by_secret };
                self.ground().connectors.connector(&system.spec).create_login(&system.spec, &by, &new).await
            }
        };
        match failure(&outcome) {
            None => self.login_made(customer, id).await,
            Some(detail) => {
                self.give_up(customer, id, detail).await?;
                Err(system_failed("The login could not be made", detail))
            }
        }
    }

    /// When an ended checkout's login is removed: at once, or, where a call that makes it may still be on its way, when
    /// none can be at work any more.
    pub(super) async fn removal_due(&self, case: &Case, made: bool) -> Result<Timestamp> {
        if made {
            return Ok(self.now());
        }
        let system = self.load::<SystemRecord>(&RowId::system(case.customer, case.account.system)).await?.value;
        let deadline = self.ground().connectors.connector(&system.spec).traits(&system.spec).deadline;
        let deadline = SignedDuration::try_from(deadline).unwrap_or(SignedDuration::MAX);
        Ok(self.now().saturating_add(deadline).unwrap_or(Timestamp::MAX))
    }

    async fn login_made(&self, customer: CustomerId, id: CheckoutId) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let mut checkout = case.checkout.value.0.clone();
            let Some(login) = &mut checkout.ephemeral else { return Ok(()) };
            login.made = true;
            let event = self
                .automatic(Scope::Customer(customer), EventKind::EphemeralCreated, ACTOR)
                .with(FieldName::Detail, &login.login)
                .with(FieldName::Version, login.version);
            let event = self.about(event, customer, &checkout, &case.account).await?;
            let change = self.change(event).update(&case.checkout, &CheckoutRecord(checkout))?;
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// Moves the login's own end on the system.
    pub(super) async fn extend_made_login(&self, case: &Case, until: Timestamp) -> Result<()> {
        let Some(login) = case.checkout.value.0.ephemeral.as_ref().filter(|login| login.made) else { return Ok(()) };
        let (system, by) = self.system_and_management(case).await?;
        let (by, by_secret) =
            by.ok_or_else(|| system_failed("The login could not be extended", "no management account"))?;
        let by = Credential { login: &by, secret: &by_secret };
        let outcome =
            self.ground().connectors.connector(&system.spec).extend_login(&system.spec, &by, &login.login, until).await;
        match failure(&outcome) {
            None => Ok(()),
            Some(detail) => Err(system_failed("The login could not be extended", detail)),
        }
    }

    /// Removes an ended checkout's login, and tries it: only a refusal proves the end. `due` is the timer that fired.
    pub(crate) async fn remove_login(&self, customer: CustomerId, id: CheckoutId, due: Timestamp) -> Result<()> {
        let case = self.case(customer, id).await?;
        let checkout = case.checkout.value.0.clone();
        let Some(login) = checkout.ephemeral.clone() else { return Ok(()) };
        let (system, by) = self.system_and_management(&case).await?;
        let connector = self.ground().connectors.connector(&system.spec);
        let failed = match by {
            None => Some("its system has no management account with a stored secret".to_owned()),
            Some((by, by_secret)) => {
                let by = Credential { login: &by, secret: &by_secret };
                failure(&connector.remove_login(&system.spec, &by, &login.login).await).map(str::to_owned)
            }
        };
        let secret = self.secret(customer, checkout.account, login.version).await?;
        let probe = match failed {
            Some(failed) => Err(failed),
            None => Ok(connector.probe(&system.spec, &login.login, &secret).await),
        };
        match probe {
            Ok(probe) if probe.result == ProbeResult::Refused => {
                let sessions_may_remain = !connector.traits(&system.spec).ends_sessions;
                self.login_removed(customer, id, due, sessions_may_remain).await
            }
            Ok(probe) => self.login_remains(customer, id, due, &probe.detail).await,
            Err(failed) => self.login_remains(customer, id, due, &failed).await,
        }
    }

    async fn login_removed(
        &self,
        customer: CustomerId,
        id: CheckoutId,
        due: Timestamp,
        sessions_may_remain: bool,
    ) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let mut checkout = case.checkout.value.0.clone();
            let now = self.now();
            let State::Ended { at, revocation, .. } = &mut checkout.state else { return Ok(()) };
            revocation.state = RevocationState::Proven;
            revocation.refused_at = Some(now);
            revocation.sessions_may_remain = sessions_may_remain;
            let lag = milliseconds(*at, now);
            let Some(login) = &mut checkout.ephemeral else { return Ok(()) };
            login.removed = true;
            let (name, version) = (login.login.clone(), login.version);
            let mut state = case.state.value.0.clone();
            state.logins.retain(|made_for| *made_for != id);
            let scope = Scope::Customer(customer);
            let removed = self.automatic(scope, EventKind::EphemeralRemoved, ACTOR).with(FieldName::Detail, &name);
            let proven = self
                .automatic(scope, EventKind::CheckoutRevocationProven, ACTOR)
                .with(FieldName::LagMilliseconds, lag)
                .with(FieldName::Version, version);
            let change = self
                .change(self.about(removed, customer, &checkout, &case.account).await?)
                .and(self.about(proven, customer, &checkout, &case.account).await?)
                .erase(TimerKind::LoginRemoval.row(due, customer, id.uuid()))
                .erase(RowId::secret(customer, checkout.account, version))
                .update(&case.state, &StateRecord(state))?
                .update(&case.checkout, &CheckoutRecord(checkout))?;
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// The login may still be there: the vault tries again, and says so.
    async fn login_remains(&self, customer: CustomerId, id: CheckoutId, due: Timestamp, why: &str) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let mut checkout = case.checkout.value.0.clone();
            let Some(login) = &mut checkout.ephemeral else { return Ok(()) };
            let doubled =
                REMOVAL_WAIT_FIRST.saturating_mul(1_i32.checked_shl(login.removal_failures.min(16)).unwrap_or(1));
            login.removal_failures = login.removal_failures.saturating_add(1);
            let next = self.now().saturating_add(doubled.min(REMOVAL_WAIT_MOST)).unwrap_or(Timestamp::MAX);
            if let State::Ended { revocation, .. } = &mut checkout.state {
                revocation.state = RevocationState::Unresolved;
            }
            let event = self
                .automatic(Scope::Customer(customer), EventKind::EphemeralRemoved, ACTOR)
                .with(FieldName::Outcome, "failed")
                .with(FieldName::Detail, why);
            let change = self.change(self.about(event, customer, &checkout, &case.account).await?);
            let row = |due| Some(TimerKind::LoginRemoval.row(due, customer, id.uuid()));
            let change = move_timer(change, row(due), row(next))?.update(&case.checkout, &CheckoutRecord(checkout))?;
            self.commit(change).await.map(drop)
        })
        .await
    }

    async fn system_and_management(
        &self,
        case: &Case,
    ) -> Result<(SystemRecord, Option<(Login, claviger_api::Secret)>)> {
        let row = RowId::system(case.customer, case.checkout.value.0.system);
        let system = self.load::<SystemRecord>(&row).await?.value;
        let by = self.management(case.customer, &system).await?;
        Ok((system, by))
    }
}

/// The name of one checkout's login. What follows an `@` is a host or a domain, and stays the end: `app_5f60@10.%`.
pub(crate) fn suffixed(login: &str, suffix: &str) -> String {
    match login.rsplit_once('@') {
        Some((name, place)) => format!("{name}_{suffix}@{place}"),
        None => format!("{login}_{suffix}"),
    }
}

/// Until when the system itself may let the login in: the latest end that the checkout can have without an extension.
fn longest(checkout: &Checkout) -> Timestamp {
    let ttl = SignedDuration::from_secs(i64::try_from(checkout.ttl_seconds).unwrap_or(i64::MAX));
    match &checkout.state {
        State::Pending { until }
        | State::Scheduled { starts_at: until }
        | State::Requested { until }
        | State::Approved { claim_until: until } => until.saturating_add(ttl).unwrap_or(Timestamp::MAX),
        State::Active(used) => used.expires_at,
        State::Ended { at, .. } => *at,
    }
}

fn failure(outcome: &SetOutcome) -> Option<&str> {
    match outcome {
        SetOutcome::Applied => None,
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => {
            Some(detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::suffixed;

    #[test]
    fn a_logins_suffix_leaves_its_host_or_domain_at_the_end() {
        assert_eq!(suffixed("dba", "5f60"), "dba_5f60");
        assert_eq!(suffixed("dba@10.%", "5f60"), "dba_5f60@10.%");
        assert_eq!(suffixed("anna@example.com@%", "5f60"), "anna@example.com_5f60@%");
    }
}
