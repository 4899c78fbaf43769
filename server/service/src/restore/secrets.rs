//! Secrets that a restored vault does not have: those of the escrow stream that came after its backup.
//!
//! Nobody knows which of them opens its account by now. So each is added as one that may have been sent, and the account's rotation
//! finds out: it tries them, the newest first, once the vault is resumed. Where only a person can try them, the newest is taken for
//! the one that opens it, and those before it are kept.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{
    AccountKind, RECOVERED_AT_ONCE, RecoverSecret, RecoverSecrets, Recovered, RecoveredAs, RecoveredSecret,
    RotationCause, SystemSpec,
};
use claviger_api::{RotationId, Scope};
use claviger_core::policy::{Permit, SysRestore};
use claviger_store::{RowId, Versioned};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::accounts::of_account;
use crate::open::{Caller, Open, deciding};
use crate::records::{AccountRecord, StateRecord, SystemRecord};
use crate::rotation::start::Begin;

/// Who has the account find out.
const ACTOR: &str = "system/restore";

impl Open {
    /// Adds secrets that came after the backup. One that is there already stays as it is, so a request may be repeated.
    ///
    /// # Errors
    ///
    /// The vault is not paused, or there are too many at once.
    pub async fn recover_secrets(
        &self,
        request: &RecoverSecrets,
        caller: &Caller,
        _permit: Permit<SysRestore>,
    ) -> Result<Recovered> {
        self.pause_row()?;
        if request.secrets.is_empty() || request.secrets.len() > RECOVERED_AT_ONCE {
            return Err(Error::value("secrets", format!("give 1 to {RECOVERED_AT_ONCE} at once")));
        }
        let mut secrets = Vec::new();
        for given in &request.secrets {
            let outcome = self.recover(given, caller).await?;
            let (account, login, version) = (given.path.clone(), given.login.clone(), given.version);
            secrets.push(RecoveredSecret { account, login, version, outcome });
        }
        Ok(Recovered { secrets })
    }

    async fn recover(&self, given: &RecoverSecret, caller: &Caller) -> Result<RecoveredAs> {
        let customer = given.customer;
        if !self.keyring().holds(Scope::Customer(customer)) {
            return Ok(RecoveredAs::NoAccount);
        }
        let Some(account) = self.read::<AccountRecord>(&RowId::account(customer, given.account)).await? else {
            return Ok(RecoveredAs::NoAccount);
        };
        let account = account.value;
        match account.kind {
            AccountKind::Standing => {}
            // A login of its own for each checkout.
            AccountKind::Ephemeral | AccountKind::Certificate => return Ok(RecoveredAs::Lent),
        }
        deciding(|| async {
            let state = self.load::<StateRecord>(&RowId::account_state(customer, account.id)).await?;
            if self.is_kept(given, &state.value).await? {
                return Ok(RecoveredAs::Known);
            }
            let system = self.load::<SystemRecord>(&RowId::system(customer, account.system)).await?.value;
            match system.spec {
                SystemSpec::Manual { .. } => self.adopt_recovered(given, &account, &state, caller).await?,
                SystemSpec::Postgresql { .. }
                | SystemSpec::Mysql { .. }
                | SystemSpec::Ldap { .. }
                | SystemSpec::Linux { .. }
                | SystemSpec::ActiveDirectory { .. }
                | SystemSpec::Http { .. } => {
                    let rotation = self.recovering_rotation(given, &account, &state).await?;
                    let event = self.recovered_event(given, caller);
                    self.add_found((customer, rotation), given.secret.secret(), event).await?;
                }
            }
            Ok(RecoveredAs::Added)
        })
        .await
    }

    /// Whether the account has this secret already.
    async fn is_kept(&self, given: &RecoverSecret, state: &StateRecord) -> Result<bool> {
        let fingerprints = self.keyring().fingerprint();
        let wanted = fingerprints.of(given.secret.secret());
        for version in state.0.secrets.versions() {
            if fingerprints.of(&self.secret(given.customer, given.account, version).await?) == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rotation that will find out: the one under way, or a new one.
    async fn recovering_rotation(
        &self,
        given: &RecoverSecret,
        account: &AccountRecord,
        row: &Versioned<StateRecord>,
    ) -> Result<RotationId> {
        if let Some(running) = row.value.0.rotation.filter(|running| !running.settled) {
            return Ok(running.id);
        }
        let customer = given.customer;
        let mut state = row.value.0.clone();
        let id = RotationId::from_uuid(self.new_uuid());
        let event = self.automatic(Scope::Customer(customer), EventKind::RotationStarted, ACTOR);
        let event = self.of_rotation(event, customer, account, id).await?;
        let change = self.change(event.with(FieldName::Detail, "a secret came after the backup"));
        let begin = Begin { id, cause: RotationCause::Recovery, in_hand: None, later: None };
        let change = self.begin_rotation(change, customer, account, &mut state, begin).await?;
        self.commit(change.update(row, &StateRecord(state))?).await?;
        Ok(id)
    }

    /// Only a person can try it: the newest that is known is taken for the one that opens it.
    async fn adopt_recovered(
        &self,
        given: &RecoverSecret,
        account: &AccountRecord,
        row: &Versioned<StateRecord>,
        caller: &Caller,
    ) -> Result<()> {
        let (customer, secret) = (given.customer, given.secret.secret());
        let mut state = row.value.0.clone();
        let version = state.secrets.adopt();
        let event = of_account(self.recovered_event(given, caller), &self.path_of(customer, account).await?);
        let change = self.change(event.with(FieldName::Version, version)).update(row, &StateRecord(state.clone()))?;
        let change = self.with_secret(change, customer, (account, &account.login), version, secret)?;
        let (before, at) = (&row.value.0.secrets, (customer, account.id));
        let change = self.with_fingerprints(change, at, before, &state.secrets, Some((version, secret))).await?;
        self.commit(change).await.map(drop)
    }

    fn recovered_event(&self, given: &RecoverSecret, caller: &Caller) -> Event {
        let event = self.event(Scope::Customer(given.customer), EventKind::AccountSecretRecovered, caller);
        event.with(FieldName::Detail, format!("version {} of {}", given.version, given.at))
    }
}
