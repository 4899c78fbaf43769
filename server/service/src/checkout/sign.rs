//! The signing of a holder's key: what a reveal is for accounts whose right is a certificate. The certificate leaves only
//! after the event that says so is durable.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountKind, AccountSettings, BadSshKey, CheckoutState, SignKey, Signed, SshExtension, SshKey, SshPrincipal,
    fingerprint_text,
};
use claviger_api::{AccountPath, CustomerId, Login, Scope, Timestamp};
use claviger_core::checkout::{CERTIFICATES_BEGIN_BEFORE, Certificates, Refusal};
use claviger_core::policy::{CheckoutReveal, Permit};
use claviger_crypto::ssh::{self, UserCertificate};
use claviger_store::{Range, RowId, Table};

use super::FoundCheckout;
use super::reveal::ended_with_glass;
use crate::break_glass::Glass;
use crate::error::{Error, Result};
use crate::inventory::accounts::of_account;
use crate::open::{Caller, Open};
use crate::records::{CheckoutRecord, SystemRecord};

impl Open {
    /// Signs the holder's public key. The first time starts the time of use, as a reveal does.
    pub async fn sign_certificate(
        &self,
        found: &FoundCheckout,
        wanted: &SignKey,
        caller: &Caller,
        permit: Permit<CheckoutReveal>,
    ) -> Result<Signed> {
        let key: SshKey =
            wanted.public_key.parse().map_err(|bad: BadSshKey| Error::value("public_key", bad.to_string()))?;
        self.refuse_authority(found.customer, &key).await?;
        let once = async |permit: &Permit<CheckoutReveal>| self.sign_once(found, &key, caller, permit).await;
        self.by_some_grant(found, caller, permit, once).await
    }

    async fn sign_once(
        &self,
        found: &FoundCheckout,
        key: &SshKey,
        caller: &Caller,
        permit: &Permit<CheckoutReveal>,
    ) -> Result<Signed> {
        let customer = found.customer;
        let case = self.case(customer, found.id).await?;
        let before = case.checkout.value.0.clone();
        if before.state_name() == CheckoutState::Ended || before.overdue(self.now()).is_some() {
            return Err(Refusal::Ended.into());
        }
        if case.account.kind != AccountKind::Certificate {
            let detail = "It has a secret, and no certificates: reveal it (POST /v1/checkouts/{id}/reveal).";
            return Err(Error::new(ProblemType::WrongAccountKind, detail));
        }
        let glass = self.glass(customer, before.under_glass.map(|under| under.id)).await.map_err(ended_with_glass)?;
        let principals = principals_of(&case.account.settings, &case.account.login)?;
        let still = self.still_approvers(&case).await?;
        let names: Vec<String> = principals.iter().map(ToString::to_string).collect();
        let now = self.now();
        let (checkout, valid_before) =
            before.clone().certify(names.clone(), self.new_serial(), |by| still.contains(&by), now)?;
        let serial = checkout.certificates.as_ref().map_or(0, Certificates::last_serial);
        let system = self.load::<SystemRecord>(&RowId::system(customer, checkout.system)).await?.value;
        let path = AccountPath {
            customer: self.slug_of(customer).await?,
            system: system.name.clone(),
            account: case.account.name.clone(),
        };
        let key_id = format!("claviger {} {} {path}", checkout.id, caller.name);
        let authority = self.keyring().authority(self.ground().store.as_ref(), customer, checkout.system).await?;
        let certificate = UserCertificate {
            key: key.blob(),
            serial,
            key_id: &key_id,
            principals: &names,
            valid_after: unix(now.saturating_sub(CERTIFICATES_BEGIN_BEFORE).unwrap_or(now)),
            valid_before: unix(valid_before),
            critical_options: &critical_options(&case.account.settings),
            extensions: &extensions(&case.account.settings),
        };
        let certificate = ssh::sign(&authority, &certificate, self.random());
        let certificate = certificate.map_err(|why| Error::value("public_key", why.to_string()))?;
        let fingerprint = fingerprint_text(&key.fingerprint());
        let event =
            of_account(self.event(Scope::Customer(customer), EventKind::CheckoutCertificateSigned, caller), &path)
                .with(FieldName::Checkout, checkout.id)
                .with(FieldName::BreakGlass, super::glass_of(&checkout))
                .with(FieldName::Detail, format_args!("serial {serial}, key {fingerprint}, for {}", names.join(", ")))
                .with(FieldName::RevealNumber, checkout.reveals)
                .with(FieldName::ExpiresAt, valid_before);
        let change = Glass::expected(glass.as_ref(), self.change(event));
        let change = change.expect(&case.state).update(&case.checkout, &CheckoutRecord(checkout.clone()))?;
        let change = Self::retimed(change, customer, checkout.id, before.due(), checkout.due())?;
        let change = self.spending(change, permit).await?;
        let committed = self.commit(change).await?;
        Ok(Signed {
            checkout: self.view_at(path, customer, checkout).await?,
            login: case.account.login.clone(),
            certificate,
            serial: serial.to_string(),
            principals,
            valid_before,
            system: system.spec,
            event_index: committed.index(),
            receipt: Some(self.receipt(&committed)?),
        })
    }

    /// An authority's own key is never certified: whoever holds it holds more than a certificate gives.
    async fn refuse_authority(&self, customer: CustomerId, key: &SshKey) -> Result<()> {
        let systems = Range::scope(Table::Systems, Scope::Customer(customer));
        let authorities = self.all::<SystemRecord>(&systems).await?;
        let mut authorities = authorities.iter().filter_map(|row| row.value.certificate_authority);
        if authorities.any(|authority| ssh::public_blob(&authority) == key.blob()) {
            return Err(Error::value("public_key", "that is the key of a certificate authority"));
        }
        Ok(())
    }

    /// A serial number that was never used: 63 random bits, and room above them.
    fn new_serial(&self) -> u64 {
        let mut bytes = [0; 8];
        self.random().fill_public(&mut bytes);
        (u64::from_be_bytes(bytes) >> 1) | 1
    }
}

/// Whom the account's certificates are good for: never nobody, which would be everybody.
pub(crate) fn principals_of(settings: &AccountSettings, login: &Login) -> Result<Vec<SshPrincipal>> {
    match &settings.certificate.principals {
        Some(principals) => Ok(principals.clone()),
        None => login.as_str().parse().map(|own| vec![own]).map_err(Error::internal),
    }
}

fn critical_options(settings: &AccountSettings) -> Vec<(&'static str, String)> {
    let certificate = &settings.certificate;
    let networks: Vec<String> = certificate.source_networks.iter().map(ToString::to_string).collect();
    let from = (!networks.is_empty()).then(|| ("source-address", networks.join(",")));
    let command = certificate.force_command.clone().map(|command| ("force-command", command));
    command.into_iter().chain(from).collect()
}

fn extensions(settings: &AccountSettings) -> Vec<&'static str> {
    let mut extensions = settings.certificate.extensions.clone();
    extensions.sort_unstable();
    extensions.dedup();
    extensions.into_iter().map(SshExtension::openssh_name).collect()
}

pub(super) fn unix(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}
