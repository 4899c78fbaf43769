//! Identity providers: who may sign people in. Trusting one is as much as giving it the password of everybody linked to
//! it; whether its second factor counts too is a flag of its own.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    CLAIM_MAX, ChangeIdentityProvider, DEMANDS_MAX, IdentityProvider, NewIdentityProvider, PrincipalKind,
};
use claviger_api::{Part, ProviderId, Scope};
use claviger_core::policy::{Permit, PrincipalManage, PrincipalView};
use claviger_store::{Range, RowId, Table, Versioned};

use super::issuers::{CA_MAX, check_text, discovery_url};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::inventory::removed;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{IdentityProviderRecord, NameRecord, PrincipalRecord, SealedText};

impl Open {
    /// Adds an identity provider. Nobody is linked to it yet.
    pub async fn add_identity_provider(
        &self,
        new: &NewIdentityProvider,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<IdentityProvider> {
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                let row = RowId::identity_provider(ProviderId::from_uuid(done));
                return self.provider_view(&self.load::<IdentityProviderRecord>(&row).await?.value).await;
            }
            let name = self.keyring().name(Table::IdentityProviders, Scope::Operator, new.name.as_str());
            if self.read::<NameRecord>(&name).await?.is_some() {
                return Err(Error::new(ProblemType::NameTaken, ""));
            }
            let customer = match &new.customer {
                Some(slug) => Some(self.customer_named(slug).await?),
                None => None,
            };
            let provider = IdentityProviderRecord {
                id: ProviderId::from_uuid(self.new_uuid()),
                name: new.name.clone(),
                customer,
                enabled: true,
                issuer: new.issuer.clone(),
                client_id: new.client_id.clone(),
                client_secret: new.client_secret.as_ref().map(|secret| SealedText::of(secret.secret())),
                address: new.address.clone(),
                scopes: new.scopes.clone(),
                acr: new.acr.clone(),
                amr: new.amr.clone(),
                trusts_mfa: new.trusts_mfa,
                device_code: new.device_code,
                ca_certificate: new.ca_certificate.clone(),
                created_at: self.now(),
            };
            check(&provider)?;
            let mut change = self
                .change(self.provider_event(EventKind::IdentityProviderAdded, caller, &provider))
                .create(name, &NameRecord { id: provider.id.uuid() })?
                .create(RowId::identity_provider(provider.id), &provider)?;
            if let Some(customer) = customer {
                // Whoever removes the customer meanwhile wins.
                let row = self.load::<crate::records::CustomerRecord>(&RowId::customer(customer)).await?;
                change = change.expect(&row);
            }
            self.commit(self.remember(change, Scope::Operator, once, caller, provider.id.uuid())?).await?;
            self.provider_view(&provider).await
        })
        .await
    }

    /// All identity providers, in the order in which they were added.
    pub async fn identity_providers(
        &self,
        paging: &Paging,
        _permit: Permit<PrincipalView>,
    ) -> Result<Page<IdentityProvider>> {
        let range = Range::scope(Table::IdentityProviders, Scope::Operator);
        let rows = self.page::<IdentityProviderRecord>(range, paging, |_| true).await?;
        rows.try_map(async |row| self.provider_view(&row.value).await).await
    }

    /// One identity provider.
    pub async fn identity_provider(&self, name: &Part, _permit: Permit<PrincipalView>) -> Result<IdentityProvider> {
        self.provider_view(&self.provider_named(name).await?.value).await
    }

    /// Changes what was said. Where it may no longer sign people in, every session of everybody linked to it ends.
    pub async fn change_identity_provider(
        &self,
        name: &Part,
        change: &ChangeIdentityProvider,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<IdentityProvider> {
        deciding(|| async {
            let row = self.provider_named(name).await?;
            let changed = changed(row.value.clone(), change);
            check(&changed)?;
            let event = self.provider_event(EventKind::IdentityProviderChanged, caller, &changed);
            let mut commit = self.change(event).update(&row, &changed)?;
            if row.value.enabled && !changed.enabled {
                for user in self.linked_to(row.value.id).await? {
                    commit = commit.update(&user, &user.value.clone().without_sessions())?;
                    commit = self.end_sessions_of(commit, user.value.id).await?;
                }
            }
            self.commit(commit).await?;
            self.provider_view(&changed).await
        })
        .await
    }

    /// Removes an identity provider. First nobody may be linked to it.
    pub async fn remove_identity_provider(
        &self,
        name: &Part,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<()> {
        deciding(|| async {
            let row = self.provider_named(name).await?;
            if let Some(user) = self.linked_to(row.value.id).await?.first() {
                let name = &user.value.name;
                let detail = format!("The user {name} is linked to it; unlink that first, or disable the provider.");
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let name = self.keyring().name(Table::IdentityProviders, Scope::Operator, name.as_str());
            let event = self.provider_event(EventKind::IdentityProviderRemoved, caller, &row.value);
            self.commit(self.change(event).remove(&row).erase(name)).await.map(drop)
        })
        .await
    }

    /// The identity provider of this name.
    pub(super) async fn provider_named(&self, name: &Part) -> Result<Versioned<IdentityProviderRecord>> {
        let row = self.keyring().name(Table::IdentityProviders, Scope::Operator, name.as_str());
        let id = self.load::<NameRecord>(&row).await?.value.id;
        self.load(&RowId::identity_provider(ProviderId::from_uuid(id))).await
    }

    /// What an identity provider is called; what was removed keeps its id.
    pub(super) async fn provider_name(&self, id: ProviderId) -> Result<Part> {
        let found = self.read::<IdentityProviderRecord>(&RowId::identity_provider(id)).await?;
        found.map_or_else(removed, |row| Ok(row.value.name))
    }

    async fn linked_to(&self, provider: ProviderId) -> Result<Vec<Versioned<PrincipalRecord>>> {
        let all = self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await?;
        let linked = |user: &PrincipalRecord| {
            user.kind == PrincipalKind::User && user.sign_ons.iter().any(|own| own.provider == provider)
        };
        Ok(all.into_iter().filter(|row| linked(&row.value)).collect())
    }

    fn provider_event(&self, kind: EventKind, caller: &Caller, provider: &IdentityProviderRecord) -> Event {
        let IdentityProviderRecord { name, enabled, issuer, client_id, acr, amr, trusts_mfa, device_code, .. } =
            provider;
        let whose = provider.customer.map_or_else(|| "the MSP".to_owned(), |customer| customer.to_string());
        let detail = format!(
            "{name} of {whose}: iss {issuer}, client {client_id}, enabled {enabled}, acr [{}], amr [{}], trusts its second \
             factor {trusts_mfa}, device code {device_code}",
            acr.join(" "),
            amr.join(" "),
        );
        self.event(Scope::Operator, kind, caller).with(FieldName::Detail, detail)
    }

    async fn provider_view(&self, provider: &IdentityProviderRecord) -> Result<IdentityProvider> {
        let customer = match provider.customer {
            Some(customer) => Some(self.slug_or_removed(customer).await?),
            None => None,
        };
        Ok(IdentityProvider {
            name: provider.name.clone(),
            customer,
            enabled: provider.enabled,
            issuer: provider.issuer.clone(),
            client_id: provider.client_id.clone(),
            has_client_secret: provider.client_secret.is_some(),
            redirect_uri: provider.address.redirect_uri(),
            scopes: provider.scopes.clone(),
            acr: provider.acr.clone(),
            amr: provider.amr.clone(),
            trusts_mfa: provider.trusts_mfa,
            device_code: provider.device_code,
            ca_certificate: provider.ca_certificate.clone(),
            created_at: provider.created_at,
        })
    }
}

fn changed(before: IdentityProviderRecord, change: &ChangeIdentityProvider) -> IdentityProviderRecord {
    let secret = change.client_secret.as_ref().map(|secret| SealedText::of(secret.secret()));
    IdentityProviderRecord {
        enabled: change.enabled.unwrap_or(before.enabled),
        client_id: change.client_id.clone().unwrap_or(before.client_id),
        client_secret: secret.or(before.client_secret),
        address: change.address.clone().unwrap_or(before.address),
        scopes: change.scopes.clone().unwrap_or(before.scopes),
        acr: change.acr.clone().unwrap_or(before.acr),
        amr: change.amr.clone().unwrap_or(before.amr),
        trusts_mfa: change.trusts_mfa.unwrap_or(before.trusts_mfa),
        device_code: change.device_code.unwrap_or(before.device_code),
        ca_certificate: change.ca_certificate.clone().or(before.ca_certificate),
        ..before
    }
}

fn check(provider: &IdentityProviderRecord) -> Result<()> {
    let IdentityProviderRecord { issuer, client_id, scopes, acr, amr, ca_certificate, .. } = provider;
    discovery_url(issuer.as_str())
        .ok_or_else(|| Error::value("issuer", "an issuer has room for its description's path"))?;
    check_text("client_id", client_id)?;
    for (field, values) in [("scopes", scopes), ("acr", acr), ("amr", amr)] {
        if values.len() > DEMANDS_MAX {
            return Err(Error::value(field, "at most 20 values"));
        }
        // RFC 6749 §3.3: what is listed with blanks between has none inside.
        let word = |text: &String| {
            !text.is_empty()
                && text.len() <= CLAIM_MAX
                && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        if !values.iter().all(word) {
            return Err(Error::value(field, "each value is 1 to 512 visible ASCII characters, without '\"' and '\\'"));
        }
    }
    if ca_certificate.as_ref().is_some_and(|pem| pem.len() > CA_MAX) {
        return Err(Error::value("ca_certificate", "a CA certificate is at most 65536 bytes of PEM"));
    }
    let roots = claviger_connectors::trust::roots(ca_certificate.as_deref());
    roots.map(drop).map_err(|bad| Error::value("ca_certificate", bad.to_string()))
}
