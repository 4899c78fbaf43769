//! Issuers: who may vouch for programs. Trusting one is as much as adding every program that it can name.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CLAIM_MAX, ChangeIssuer, HttpsUrl, Issuer, IssuerKeys, NewIssuer};
use claviger_api::{IssuerId, Part, Scope};
use claviger_core::policy::{Permit, PrincipalManage, PrincipalView};
use claviger_store::{Range, RowId, Table, Versioned};

use super::workload::token::Keys;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::inventory::removed;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{IssuerRecord, NameRecord, PrincipalRecord};

/// What an issuer's name is followed by, for its description (OpenID Connect Discovery 1.0 §4).
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The most bytes of a CA certificate, with whatever chain stands in the text.
pub(super) const CA_MAX: usize = 64 * 1024;

impl Open {
    /// Trusts an issuer. No service account is bound to it yet.
    pub async fn add_issuer(
        &self,
        new: &NewIssuer,
        once: &Once,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Issuer> {
        check_text("issuer", &new.issuer)?;
        check_text("audience", &new.audience)?;
        check_keys(&new.issuer, &new.keys)?;
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                return Ok(self.load::<IssuerRecord>(&RowId::issuer(IssuerId::from_uuid(done))).await?.value.view());
            }
            let name = self.keyring().name(Table::Issuers, Scope::Operator, new.name.as_str());
            if self.read::<NameRecord>(&name).await?.is_some() {
                return Err(Error::new(ProblemType::NameTaken, ""));
            }
            let issuer = IssuerRecord {
                id: IssuerId::from_uuid(self.new_uuid()),
                name: new.name.clone(),
                issuer: new.issuer.clone(),
                audience: new.audience.clone(),
                keys: new.keys.clone(),
                created_at: self.now(),
            };
            let change = self
                .change(self.issuer_event(EventKind::IssuerAdded, caller, &issuer))
                .create(name, &NameRecord { id: issuer.id.uuid() })?
                .create(RowId::issuer(issuer.id), &issuer)?;
            self.commit(self.remember(change, Scope::Operator, once, caller, issuer.id.uuid())?).await?;
            Ok(issuer.view())
        })
        .await
    }

    /// All issuers, in the order in which they were added.
    pub async fn issuers(&self, paging: &Paging, _permit: Permit<PrincipalView>) -> Result<Page<Issuer>> {
        let rows = self.page::<IssuerRecord>(Range::scope(Table::Issuers, Scope::Operator), paging, |_| true).await?;
        rows.try_map(async |row| Ok(row.value.view())).await
    }

    /// One issuer.
    pub async fn issuer(&self, name: &Part, _permit: Permit<PrincipalView>) -> Result<Issuer> {
        Ok(self.issuer_named(name).await?.value.view())
    }

    /// Takes its keys from elsewhere from now on.
    pub async fn change_issuer(
        &self,
        name: &Part,
        change: &ChangeIssuer,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Issuer> {
        deciding(|| async {
            let row = self.issuer_named(name).await?;
            check_keys(&row.value.issuer, &change.keys)?;
            let changed = IssuerRecord { keys: change.keys.clone(), ..row.value.clone() };
            let event = self.issuer_event(EventKind::IssuerChanged, caller, &changed);
            self.commit(self.change(event).update(&row, &changed)?).await?;
            Ok(changed.view())
        })
        .await
    }

    /// Trusts it no more. First no service account may be bound to it.
    pub async fn remove_issuer(&self, name: &Part, caller: &Caller, _permit: Permit<PrincipalManage>) -> Result<()> {
        deciding(|| async {
            let row = self.issuer_named(name).await?;
            for principal in self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await? {
                if principal.value.program.workloads.iter().any(|workload| workload.issuer == row.value.id) {
                    let name = &principal.value.name;
                    return Err(Error::new(
                        ProblemType::InUse,
                        format!("The service account {name} logs in by it; change or remove that first."),
                    ));
                }
            }
            let name = self.keyring().name(Table::Issuers, Scope::Operator, name.as_str());
            let event = self.issuer_event(EventKind::IssuerRemoved, caller, &row.value);
            self.commit(self.change(event).remove(&row).erase(name)).await.map(drop)
        })
        .await
    }

    /// The issuer of this name.
    pub(super) async fn issuer_named(&self, name: &Part) -> Result<Versioned<IssuerRecord>> {
        let row = self.keyring().name(Table::Issuers, Scope::Operator, name.as_str());
        let id = self.load::<NameRecord>(&row).await?.value.id;
        self.load(&RowId::issuer(IssuerId::from_uuid(id))).await
    }

    /// What an issuer is called; what was removed keeps its id.
    pub(super) async fn issuer_name(&self, id: IssuerId) -> Result<Part> {
        let found = self.read::<IssuerRecord>(&RowId::issuer(id)).await?;
        found.map_or_else(removed, |row| Ok(row.value.name))
    }

    fn issuer_event(&self, kind: EventKind, caller: &Caller, issuer: &IssuerRecord) -> Event {
        let keys = match &issuer.keys {
            IssuerKeys::Document { .. } => "a document".to_owned(),
            IssuerKeys::Url { url, .. } => url.to_string(),
            IssuerKeys::Discovery { .. } => "discovery".to_owned(),
        };
        let IssuerRecord { name, issuer, audience, .. } = issuer;
        let detail = format!("{name}: iss {issuer}, aud {audience}, keys from {keys}");
        self.event(Scope::Operator, kind, caller).with(FieldName::Detail, detail)
    }
}

impl IssuerRecord {
    fn view(&self) -> Issuer {
        Issuer {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            keys: self.keys.clone(),
            created_at: self.created_at,
        }
    }
}

/// A claim that is compared whole: visible, so that two that look alike are alike.
pub(super) fn check_text(field: &str, text: &str) -> Result<()> {
    let visible = text.chars().all(|c| !c.is_control() && c != '\u{feff}');
    if !text.is_empty() && text.trim() == text && text.chars().count() <= CLAIM_MAX && visible {
        Ok(())
    } else {
        Err(Error::value(
            field,
            "a claim is 1 to 512 characters, without control characters and without blanks around it",
        ))
    }
}

fn check_keys(issuer: &str, keys: &IssuerKeys) -> Result<()> {
    let ca = match keys {
        IssuerKeys::Document { jwks } => {
            let text = serde_json::to_vec(jwks).map_err(Error::internal)?;
            Keys::parse(&text).map_err(|bad| Error::value("keys.jwks", bad.to_string()))?;
            None
        }
        IssuerKeys::Url { ca_certificate, .. } => ca_certificate.as_deref(),
        IssuerKeys::Discovery { ca_certificate } => {
            let found = discovery_url(issuer);
            found.ok_or_else(|| {
                Error::value("issuer", "keys are found by discovery where the issuer is an https address")
            })?;
            ca_certificate.as_deref()
        }
    };
    if ca.is_some_and(|pem| pem.len() > CA_MAX) {
        return Err(Error::value("keys.ca_certificate", "a CA certificate is at most 65536 bytes of PEM"));
    }
    claviger_connectors::trust::roots(ca).map(drop).map_err(|bad| Error::value("keys.ca_certificate", bad.to_string()))
}

/// Where an issuer describes itself.
pub(super) fn discovery_url(issuer: &str) -> Option<HttpsUrl> {
    format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer)).parse().ok()
}
