//! Carrying a rotation on: ask core what to do, do it, store what came of it, ask again.

use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{CustomerId, RotationId, Secret};
use claviger_connectors::linux::is_private_key;
use claviger_connectors::{Credential, SetOutcome};
use claviger_core::password::{Rules, generate};
use claviger_core::rotation::{Action, By, Rotation, Sent, Step, SystemTraits, Transition};
use claviger_core::secrets::{SecretSet, Version};
use claviger_crypto::ssh;
use claviger_crypto::{Key, SigningKey};
use claviger_store::{RowId, Versioned};
use jiff::SignedDuration;

use super::store::Beside;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::records::{AccountRecord, CheckoutRecord, RotationRecord, StateRecord, SystemRecord};

/// How long failed logins count, where the system does not say.
const LOCKOUT_WINDOW: SignedDuration = SignedDuration::from_mins(30);

/// How often another secret is made where the one that was made is in use: rules that leave so little choice are no rules
/// to wait for.
const ANOTHER_MOST: u32 = 8;

/// What one step reads; the rows are expected to be unchanged when its outcome is stored.
pub(crate) struct Turn {
    pub customer: CustomerId,
    pub row: Versioned<RotationRecord>,
    pub state: Versioned<StateRecord>,
    pub account: AccountRecord,
    pub system: SystemRecord,
}

impl Open {
    /// Carries a rotation on until it waits or is over. Whoever loses a commit leaves it to the winner.
    pub(crate) async fn drive(&self, customer: CustomerId, id: RotationId) -> Result<()> {
        loop {
            let turn = self.turn(customer, id).await?;
            let stepped = match turn.row.value.rotation.next(self.now()) {
                Action::Finished | Action::Wait(_) => return Ok(()),
                Action::Prepare => self.prepare_candidate(&turn).await,
                Action::Ask => self.ask_person(&turn).await,
                Action::Remind => self.remind(&turn).await,
                Action::Recover => self.take_up(&turn).await,
                Action::Probe { version } => self.probe_version(turn, version).await,
                Action::Send { candidate, by } => self.send(turn, candidate, by).await,
            };
            match stepped {
                Err(error) if error.is_conflict() => {}
                stepped => stepped?,
            }
        }
    }

    pub(crate) async fn turn(&self, customer: CustomerId, id: RotationId) -> Result<Turn> {
        let row = self.load::<RotationRecord>(&RowId::rotation(customer, id)).await?;
        let account = self.load::<AccountRecord>(&RowId::account(customer, row.value.rotation.account)).await?.value;
        Ok(Turn {
            customer,
            state: self.load::<StateRecord>(&RowId::account_state(customer, account.id)).await?,
            system: self.load::<SystemRecord>(&RowId::system(customer, account.system)).await?.value,
            row,
            account,
        })
    }

    /// Makes a candidate; its secret and its place among the versions are stored in one commit.
    async fn prepare_candidate(&self, turn: &Turn) -> Result<()> {
        let rules = Rules::parse(&turn.account.settings.password_policy).map_err(Error::internal)?;
        let previous = match turn.state.value.0.secrets.current {
            Some(version) => Some(self.secret(turn.customer, turn.account.id, version).await?),
            None => None,
        };
        let random = self.random();
        let make = || match &previous {
            // A key takes the place of a key; rules are for passwords.
            Some(previous) if is_private_key(previous) => self.new_ssh_key(),
            Some(_) | None => {
                generate(&rules, previous.as_ref(), &mut |bytes| random.fill(bytes)).map_err(Error::internal)
            }
        };
        let mut secret = make()?;
        for _ in 0..ANOTHER_MOST {
            if !self.is_used_elsewhere(&secret, turn.account.id).await? {
                break;
            }
            secret = make()?;
        }
        let rotation = turn.row.value.rotation.clone();
        let (transition, version) = rotation.prepared(turn.state.value.0.secrets.clone());
        let beside = Beside { made: Some((version, &secret)), ..Beside::default() };
        self.store_transition(turn, transition, beside).await.map(drop)
    }

    fn new_ssh_key(&self) -> Result<Secret> {
        let key = SigningKey::from_seed(Key::generate(self.random()));
        let text = ssh::private_text(&key).ok_or_else(|| Error::internal("a key cannot be written"))?;
        Secret::new(text.to_string()).map_err(Error::internal)
    }

    async fn take_up(&self, turn: &Turn) -> Result<()> {
        let transition = turn.row.value.rotation.clone().interrupted(turn.state.value.0.secrets.clone());
        self.store_transition(turn, transition, Beside::default()).await.map(drop)
    }

    /// Where failed logins lock accounts, the attempt is counted durably before it is made.
    #[tracing::instrument(target = "traces", name = "system.probe", skip_all)]
    async fn probe_version(&self, turn: Turn, version: Version) -> Result<()> {
        let traits = self.traits_asked(&turn).await?;
        let secrets = turn.state.value.0.secrets.clone();
        let counted = turn.row.value.rotation.clone().trying(secrets, version, &traits, self.now());
        let turn = match counted {
            None => turn,
            Some(counted) => {
                let (customer, id, revision) = (turn.customer, counted.rotation.id, turn.row.revision + 1);
                self.store_transition(&turn, counted, Beside::default()).await?;
                let turn = self.turn(customer, id).await?;
                let goes_on = turn.row.value.rotation.next(self.now()) == Action::Probe { version };
                if turn.row.revision != revision || !goes_on {
                    return Ok(());
                }
                turn
            }
        };
        let turn = &turn;
        let secret = self.secret(turn.customer, turn.account.id, version).await?;
        let spec = &turn.system.spec;
        let probe = self.ground().connectors.connector(spec).probe(spec, &turn.account.login, &secret).await;
        let proving = matches!(turn.row.value.rotation.step, Step::ProvingOld { .. });
        let replaces = !proving && turn.state.value.0.secrets.current != Some(version);
        let ended = replaces && probe.result == ProbeResult::Accepted && self.end_old_sessions(turn, &secret).await?;
        let (traits, now) = (self.traits(turn), self.now());
        let told = |rotation: Rotation, secrets| rotation.probed(secrets, probe.result, &traits, now);
        self.store_outcome(turn, turn.row.revision, told, &probe.detail, ended).await
    }

    /// Ends what was opened with the old secret, where the connector can: by the account's own right, with its new one.
    /// It is done before the account is offered again, so that no next holder's session is cut. Another holder's sessions
    /// cannot be told from those of whoever has left, and are let be.
    async fn end_old_sessions(&self, turn: &Turn, secret: &Secret) -> Result<bool> {
        let spec = &turn.system.spec;
        let connector = self.ground().connectors.connector(spec);
        let revokes = !turn.row.value.rotation.checkouts.is_empty();
        if !revokes || !connector.traits(spec).ends_sessions || self.somebody_is_in(turn).await? {
            return Ok(false);
        }
        let by = Credential { login: &turn.account.login, secret };
        Ok(connector.end_sessions(spec, &by, &turn.account.login).await == SetOutcome::Applied)
    }

    /// Whether a holder has seen a secret of the account, and so may be logged in.
    async fn somebody_is_in(&self, turn: &Turn) -> Result<bool> {
        for seat in &turn.state.value.0.seats {
            let row = RowId::checkout(turn.customer, seat.checkout);
            let holder = self.load::<CheckoutRecord>(&row).await?.value.0;
            if !holder.seen.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Intent first: `sent_unknown` is durable before the system is told. Then the one send, and what came of it.
    #[tracing::instrument(target = "traces", name = "system.set", skip_all)]
    async fn send(&self, turn: Turn, candidate: Version, by: By) -> Result<()> {
        let Some(asking) = self.asking(&turn, by).await? else {
            let said = "the account that should change it has no stored secret";
            return self.not_even_tried(turn, said).await;
        };
        let traits = self.traits(&turn);
        let rotation = turn.row.value.rotation.clone();
        let sending = rotation.sending(turn.state.value.0.secrets.clone(), &traits, self.now());
        let waits = !matches!(sending.rotation.step, Step::Sending { .. });
        self.store_transition(&turn, sending, Beside::default()).await?;
        if waits {
            return Ok(());
        }

        let secret = self.secret(turn.customer, turn.account.id, candidate).await?;
        let (login, by_secret) = &asking;
        let by = Credential { login, secret: by_secret };
        let spec: &SystemSpec = &turn.system.spec;
        let connector = self.ground().connectors.connector(spec);
        let outcome = connector.set(spec, &by, &turn.account.login, &secret).await;

        let (sent, said) = in_words_of_core(outcome);
        let now = self.now();
        let told = |rotation: Rotation, secrets| rotation.sent(secrets, sent, &said, &traits, now);
        self.store_outcome(&turn, turn.row.revision + 1, told, &said, false).await
    }

    /// Stores what a system told. The account may have moved on meanwhile (somebody queued up), the rotation may not:
    /// `revision` is the one under which the system was asked. What a latecomer was told is dropped.
    async fn store_outcome(
        &self,
        asked: &Turn,
        revision: u64,
        told: impl Fn(Rotation, SecretSet) -> Transition,
        said: &str,
        sessions_ended: bool,
    ) -> Result<()> {
        deciding(|| async {
            let turn = self.turn(asked.customer, asked.row.value.rotation.id).await?;
            if turn.row.revision != revision {
                return Ok(());
            }
            let transition = told(turn.row.value.rotation.clone(), turn.state.value.0.secrets.clone());
            self.store_transition(&turn, transition, Beside { said, sessions_ended, ..Beside::default() })
                .await
                .map(drop)
        })
        .await
    }

    /// There is nobody who could tell the system: as if it could not be reached.
    async fn not_even_tried(&self, turn: Turn, said: &str) -> Result<()> {
        let traits = self.traits(&turn);
        let sending = turn.row.value.rotation.clone().sending(turn.state.value.0.secrets.clone(), &traits, self.now());
        let sent = Sent::NotSent(ProbeResult::Unreachable);
        let transition = sending.rotation.sent(sending.secrets, sent, said, &traits, self.now());
        self.store_transition(&turn, transition, Beside { said, ..Beside::default() }).await.map(drop)
    }

    async fn asking(&self, turn: &Turn, by: By) -> Result<Option<(claviger_api::Login, Secret)>> {
        match by {
            // Nobody but the person.
            By::Person => Ok(None),
            By::Management => self.management(turn.customer, &turn.system).await,
            By::Itself => match turn.state.value.0.secrets.current {
                Some(version) => {
                    let secret = self.secret(turn.customer, turn.account.id, version).await?;
                    Ok(Some((turn.account.login.clone(), secret)))
                }
                None => Ok(None),
            },
        }
    }

    /// What is known of the system, and, where several versions are to be tried one after the other, what it says itself of
    /// failed logins, if it tells the management account.
    async fn traits_asked(&self, turn: &Turn) -> Result<SystemTraits> {
        let (mut traits, spec) = (self.traits(turn), &turn.system.spec);
        let connector = self.ground().connectors.connector(spec);
        let recovering = matches!(turn.row.value.rotation.step, Step::Recovering { .. });
        if !recovering || !connector.tells_lockout() || !traits.has_management {
            return Ok(traits);
        }
        let Some((login, secret)) = self.management(turn.customer, &turn.system).await? else { return Ok(traits) };
        let by = Credential { login: &login, secret: &secret };
        if let Some(told) = connector.lockout(spec, &by, &turn.account.login).await {
            traits.lockout_threshold = [traits.lockout_threshold, told.threshold].into_iter().flatten().min();
            traits.lockout_window = SignedDuration::try_from(told.window).unwrap_or(LOCKOUT_WINDOW);
            traits.failed_logins = told.failed;
        }
        Ok(traits)
    }

    pub(super) fn traits(&self, turn: &Turn) -> SystemTraits {
        let known = self.ground().connectors.connector(&turn.system.spec).traits(&turn.system.spec);
        let duration = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        SystemTraits {
            propagation: duration(known.propagation),
            grace: duration(known.grace),
            measured_grace: turn.system.measured_grace.map(|it| SignedDuration::from_secs(it.seconds.cast_signed())),
            lockout_threshold: known.lockout_threshold,
            lockout_window: LOCKOUT_WINDOW,
            failed_logins: 0,
            deadline: duration(known.deadline),
            has_management: turn.system.management_account.as_ref().is_some_and(|name| *name != turn.account.name),
        }
    }
}

fn in_words_of_core(outcome: SetOutcome) -> (Sent, String) {
    match outcome {
        SetOutcome::Applied => (Sent::Applied, String::new()),
        SetOutcome::Refused { detail, by_policy } => (Sent::Refused { by_policy }, detail),
        SetOutcome::NotSent { result, detail } => (Sent::NotSent(result), detail),
        SetOutcome::Unknown(detail) => (Sent::Unknown, detail),
    }
}

#[cfg(test)]
impl Open {
    /// What a sender does that was paused before it stored the answer: `asked` is what it had read.
    pub(crate) async fn late_answer(&self, asked: &Turn) -> Result<()> {
        let (traits, now) = (self.traits(asked), self.now());
        let told = |rotation: Rotation, secrets| rotation.sent(secrets, Sent::Applied, "", &traits, now);
        self.store_outcome(asked, asked.row.revision, told, "", false).await
    }
}
