//! The end of certificates, proven: after a checkout's end the vault tries a certificate of its own, of the same
//! authority, serial number, principals and end, on a key that it has just made. A host that refuses it refuses the
//! holder's too, whether for its time or for the revocation list.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{ProbeResult, RevocationState, RevokedCertificates};
use claviger_api::{CheckoutId, CustomerId, Scope, Secret, SystemId, Timestamp};
use claviger_connectors::{CertifiedKey, Probe};
use claviger_core::checkout::{CERTIFICATES_BEGIN_BEFORE, Certificates, Checkout, State};
use claviger_core::policy::{Permit, SystemView};
use claviger_crypto::ssh::{self, UserCertificate};
use claviger_crypto::{Key, SigningKey};
use claviger_store::{Range, RowId, Table};

use super::sign::unix;
use super::{milliseconds, move_timer};
use crate::error::{Error, Result};
use crate::event::snake_case;
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{
    AccountRecord, CheckoutRecord, RevokedCertificatesRecord, StateRecord, SystemRecord, TimerRecord,
};
use crate::workers::TimerKind;

/// Who tries.
const ACTOR: &str = "system/certificates";

impl Open {
    /// Adds to the change that ends a checkout what the end of its certificates needs: the proof's timer, and a place on
    /// the revocation list while they still have time.
    pub(super) fn revoke_certificates<'a>(
        &self,
        change: Change<'a>,
        customer: CustomerId,
        checkout: &Checkout,
    ) -> Result<Change<'a>> {
        let Some(signed) = &checkout.certificates else { return Ok(change) };
        let now = self.now();
        let change =
            change.create(TimerKind::CertificateProof.row(now, customer, checkout.id.uuid()), &TimerRecord {})?;
        if signed.valid_before <= now {
            return Ok(change);
        }
        let revoked = RevokedCertificatesRecord {
            first_serial: signed.first_serial,
            last_serial: signed.last_serial(),
            valid_before: signed.valid_before,
        };
        change.create(RowId::revoked_certificates(customer, checkout.system, checkout.id), &revoked)
    }

    /// A system's certificates that still have time, though their checkouts have ended, as OpenSSH reads it.
    pub async fn revoked_certificates(
        &self,
        customer: CustomerId,
        system: SystemId,
        _permit: Permit<SystemView>,
    ) -> Result<RevokedCertificates> {
        let authority = self.load::<SystemRecord>(&RowId::system(customer, system)).await?.value.certificate_authority;
        let scope = Scope::Customer(customer);
        let range = Range::prefix(Table::RevokedCertificates, scope, system.uuid().as_bytes());
        let revoked = self.all::<RevokedCertificatesRecord>(&range).await?;
        let mut serials: Vec<(u64, u64)> =
            revoked.iter().map(|row| (row.value.first_serial, row.value.last_serial)).collect();
        serials.sort_unstable();
        let now = self.now();
        let list = ssh::revocation_list(&authority.unwrap_or_default(), &serials, unix(now));
        let krl = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, list);
        Ok(RevokedCertificates { krl, checkouts: u32::try_from(serials.len()).unwrap_or(u32::MAX), made_at: now })
    }

    /// Tries a certificate of the vault's own on the system of an ended checkout: only a refusal proves the end. `due` is
    /// the timer that fired.
    pub(crate) async fn prove_certificates(&self, customer: CustomerId, id: CheckoutId, due: Timestamp) -> Result<()> {
        let case = self.case(customer, id).await?;
        let checkout = case.checkout.value.0.clone();
        let (State::Ended { used, .. }, Some(signed)) = (&checkout.state, &checkout.certificates) else {
            return Ok(());
        };
        let from = used.map_or(checkout.created_at, |used| used.started_at);
        let probe = self.try_canary(customer, &checkout, &case.account, signed, from).await?;
        match probe.result {
            ProbeResult::Refused => self.certificates_refused(customer, id, due).await,
            ProbeResult::Accepted
            | ProbeResult::LockedOut
            | ProbeResult::Unreachable
            | ProbeResult::HostMismatch
            | ProbeResult::Unknown => self.certificates_remain(customer, id, due, &probe).await,
        }
    }

    async fn try_canary(
        &self,
        customer: CustomerId,
        checkout: &Checkout,
        account: &AccountRecord,
        signed: &Certificates,
        from: Timestamp,
    ) -> Result<Probe> {
        let system = self.load::<SystemRecord>(&RowId::system(customer, checkout.system)).await?.value;
        let authority = self.keyring().authority(self.ground().store.as_ref(), customer, checkout.system).await?;
        let key = SigningKey::from_seed(Key::generate(self.random()));
        let certificate = UserCertificate {
            key: &ssh::public_blob(&key.public_key()),
            serial: signed.last_serial(),
            key_id: &format!("claviger {} proof of the end", checkout.id),
            principals: &signed.principals,
            valid_after: unix(from.saturating_sub(CERTIFICATES_BEGIN_BEFORE).unwrap_or(from)),
            valid_before: unix(signed.valid_before),
            // Nothing by which the host could refuse it but its time and its number; and it lets nobody do anything.
            critical_options: &[("force-command", "/bin/false".to_owned())],
            extensions: &[],
        };
        let certificate = ssh::sign(&authority, &certificate, self.random()).map_err(Error::internal)?;
        let private = ssh::private_text(&key).ok_or_else(|| Error::internal("a key cannot be written"))?;
        let private = Secret::new(private.to_string()).map_err(Error::internal)?;
        let canary = CertifiedKey { private_key: &private, certificate: &certificate };
        let connector = self.ground().connectors.connector(&system.spec);
        Ok(connector.probe_certificate(&system.spec, &account.login, &canary).await)
    }

    async fn certificates_refused(&self, customer: CustomerId, id: CheckoutId, due: Timestamp) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let mut checkout = case.checkout.value.0.clone();
            let now = self.now();
            let State::Ended { at, revocation, .. } = &mut checkout.state else { return Ok(()) };
            revocation.state = RevocationState::Proven;
            revocation.refused_at = Some(now);
            let lag = milliseconds(*at, now);
            let mut state = case.state.value.0.clone();
            state.logins.retain(|ended| *ended != id);
            let proven = self
                .automatic(Scope::Customer(customer), EventKind::CheckoutRevocationProven, ACTOR)
                .with(FieldName::LagMilliseconds, lag);
            let change = self
                .change(self.about(proven, customer, &checkout, &case.account).await?)
                .erase(TimerKind::CertificateProof.row(due, customer, id.uuid()))
                .update(&case.state, &StateRecord(state))?
                .update(&case.checkout, &CheckoutRecord(checkout))?;
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// The holder's certificate may still open the account: the vault tries again, and says so.
    async fn certificates_remain(
        &self,
        customer: CustomerId,
        id: CheckoutId,
        due: Timestamp,
        probe: &Probe,
    ) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let mut checkout = case.checkout.value.0.clone();
            let Some(signed) = &mut checkout.certificates else { return Ok(()) };
            let next = signed.next_try(self.now());
            signed.tries = signed.tries.saturating_add(1);
            if let State::Ended { revocation, .. } = &mut checkout.state {
                revocation.state = match probe.result {
                    ProbeResult::Accepted => RevocationState::StillAccepted,
                    ProbeResult::Refused
                    | ProbeResult::LockedOut
                    | ProbeResult::Unreachable
                    | ProbeResult::HostMismatch
                    | ProbeResult::Unknown => RevocationState::Unresolved,
                };
            }
            let event = self
                .automatic(Scope::Customer(customer), EventKind::CheckoutCertificateTried, ACTOR)
                .with(FieldName::Outcome, snake_case(&probe.result))
                .with(FieldName::Detail, &probe.detail);
            let change = self.change(self.about(event, customer, &checkout, &case.account).await?);
            let row = |due| Some(TimerKind::CertificateProof.row(due, customer, id.uuid()));
            let change = move_timer(change, row(due), row(next))?.update(&case.checkout, &CheckoutRecord(checkout))?;
            self.commit(change).await.map(drop)
        })
        .await
    }
}
