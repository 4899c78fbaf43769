//! The same secret used twice, found without decrypting anyone's: each secret that may open a standing account has a row by
//! its fingerprint, in the operator's scope, written and erased in the commits that bring it and take it out of use.
//!
//! Whoever sets a secret by hand learns nothing of others: nobody else's rows are looked at then. Only an import and a
//! rotation ask whether it is there already, and only the operator's report names who shares one.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{ReusedBy, ReusedSecret};
use claviger_api::{AccountId, CustomerId, PrincipalId, Scope, Secret, Timestamp};
use claviger_core::policy::{AccessView, Permit};
use claviger_core::secrets::{SecretSet, Version};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::journal::Change;
use crate::open::{Caller, Open};
use crate::page::{Page, Paging, cursor_after};
use crate::records::{AccountRecord, FingerprintRecord, StateRecord};

/// Secrets that one principal may set by hand within [`SETS_WITHIN`]: a guess that is set tells nothing, and is not free
/// either.
const SETS_MOST: u32 = 100;
/// See [`SETS_MOST`].
const SETS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// How many secrets each principal has set by hand of late. In memory alone: it is no lockout, but a brake.
#[derive(Default)]
pub(crate) struct Sets(Mutex<BTreeMap<PrincipalId, (Timestamp, u32)>>);

/// Accounts of an older store whose fingerprints are entered in one commit.
const ENTERED_AT_ONCE: usize = 200;

/// A fingerprint of a secret.
type Fingerprint = [u8; 32];

impl Sets {
    /// One more by this principal, if it has one left.
    fn spend(&self, by: PrincipalId, now: Timestamp) -> Result<()> {
        let mut sets = self.0.lock();
        let over = |since: Timestamp| now.duration_since(since) >= SETS_WITHIN;
        sets.retain(|_, (since, _)| !over(*since));
        let (since, count) = sets.entry(by).or_insert((now, 0));
        if *count >= SETS_MOST {
            let wait = (SETS_WITHIN - now.duration_since(*since)).as_secs() + 1;
            let refusal = Error::new(
                ProblemType::TooManyRequests,
                format!("One sets at most {SETS_MOST} secrets by hand in an hour; import many at once."),
            );
            return Err(Error { retry_after_seconds: u64::try_from(wait).ok(), ..refusal });
        }
        *count += 1;
        Ok(())
    }
}

impl Open {
    /// A secret is set by hand.
    pub(crate) fn spend_set(&self, caller: &Caller) -> Result<()> {
        self.sets.spend(caller.id, self.now())
    }

    /// Adds to a change of an account's versions what it means for the fingerprints: a row for each version that may open
    /// the account now, none for one that does no more. `brought` is the secret that comes in the same change.
    pub(crate) async fn with_fingerprints<'a>(
        &'a self,
        mut change: Change<'a>,
        (customer, account): (CustomerId, AccountId),
        before: &SecretSet,
        after: &SecretSet,
        brought: Option<(Version, &Secret)>,
    ) -> Result<Change<'a>> {
        let (was, is): (BTreeSet<Version>, BTreeSet<Version>) = (before.in_use().collect(), after.in_use().collect());
        let of = async |version: Version| -> Result<Fingerprint> {
            match brought {
                Some((new, secret)) if new == version => Ok(self.keyring().fingerprint().of(secret)),
                Some(_) | None => {
                    let secret = self.secret(customer, account, version).await?;
                    Ok(self.keyring().fingerprint().of(&secret))
                }
            }
        };
        let mut written = BTreeSet::new();
        for version in is.difference(&was) {
            let fingerprint = of(*version).await?;
            if !written.insert(fingerprint) {
                continue;
            }
            let id = RowId::fingerprint(Scope::Operator, &fingerprint, account);
            let record = FingerprintRecord { customer, since: self.now() };
            change = match self.read::<FingerprintRecord>(&id).await? {
                Some(row) => change.update(&row, &record)?,
                None => change.create(id, &record)?,
            };
        }
        let gone: Vec<Version> = was.difference(&is).copied().collect();
        if gone.is_empty() {
            return Ok(change);
        }
        // The same secret may have been set again: then it is in use all the same.
        for version in is.intersection(&was) {
            written.insert(of(*version).await?);
        }
        for version in gone {
            let fingerprint = of(version).await?;
            if !written.contains(&fingerprint) {
                change = change.erase(RowId::fingerprint(Scope::Operator, &fingerprint, account));
            }
        }
        Ok(change)
    }

    /// Enters what is not entered yet: the secrets of a store from before there were fingerprints. How many accounts it were.
    pub(crate) async fn enter_fingerprints(&self) -> Result<usize> {
        let rows = self.all::<FingerprintRecord>(&Range::scope(Table::Fingerprints, Scope::Operator)).await?;
        let there: BTreeSet<AccountId> = rows.iter().filter_map(|row| Some(read_id(&row.id)?.1)).collect();
        let mut entered = 0;
        for customer in self.keyring().customers() {
            let range = Range::scope(Table::AccountStates, Scope::Customer(customer));
            let missing = |row: &Versioned<StateRecord>| {
                let account = row.id.uuid().map(AccountId::from_uuid);
                account.filter(|account| !there.contains(account) && row.value.0.secrets.in_use().next().is_some())
            };
            let rows = self.all::<StateRecord>(&range).await?;
            let those: Vec<_> = rows.iter().filter_map(|row| Some((missing(row)?, row))).collect();
            for some in those.chunks(ENTERED_AT_ONCE) {
                let event = self
                    .automatic(Scope::Operator, EventKind::VaultLookedAfter, "system/reuse")
                    .with(FieldName::Detail, format_args!("entered the fingerprints of {} accounts", some.len()));
                let mut change = self.change(event);
                for (account, row) in some {
                    let (none, now) = (SecretSet::default(), &row.value.0.secrets);
                    change = change.expect(row);
                    change = self.with_fingerprints(change, (customer, *account), &none, now, None).await?;
                }
                match self.commit(change).await {
                    Ok(_) => entered += some.len(),
                    // One of them has moved on; tomorrow again.
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(entered)
    }

    /// Whether another account, of whatever customer, uses this secret.
    pub(crate) async fn is_used_elsewhere(&self, secret: &Secret, but: AccountId) -> Result<bool> {
        let fingerprint = self.keyring().fingerprint().of(secret);
        let range = Range::prefix(Table::Fingerprints, Scope::Operator, &fingerprint).limit(2);
        let rows = self.ground().store.scan(&range).await?;
        let own = RowId::fingerprint(Scope::Operator, &fingerprint, but).to_key();
        Ok(rows.iter().any(|(key, _)| *key != own))
    }

    /// The secrets that more than one account uses, with those accounts, whosever they are.
    pub async fn reused(&self, paging: &Paging, _permit: Permit<AccessView>) -> Result<Page<ReusedSecret>> {
        let all = Range::scope(Table::Fingerprints, Scope::Operator);
        let mut groups: BTreeMap<Fingerprint, Vec<(AccountId, FingerprintRecord)>> = BTreeMap::new();
        for row in self.all::<FingerprintRecord>(&all).await? {
            if let Some((fingerprint, account)) = read_id(&row.id) {
                groups.entry(fingerprint).or_default().push((account, row.value));
            }
        }
        groups.retain(|_, accounts| accounts.len() > 1);
        let range = paging.within(all)?;
        let within = |id: &RowId| (&range.start..&range.end).contains(&&id.to_key());
        let mut rows = groups.iter().filter_map(|(fingerprint, accounts)| {
            let id = RowId::fingerprint(Scope::Operator, fingerprint, accounts.first()?.0);
            within(&id).then_some((id, accounts))
        });
        let (mut items, mut last) = (Vec::new(), None);
        for (id, accounts) in rows.by_ref().take(paging.limit()) {
            items.push(self.reused_view(accounts).await?);
            last = Some(id);
        }
        let next_cursor = last.filter(|_| rows.next().is_some()).map(|id| cursor_after(&id));
        Ok(Page { items, next_cursor })
    }

    async fn reused_view(&self, those: &[(AccountId, FingerprintRecord)]) -> Result<ReusedSecret> {
        let mut accounts = Vec::with_capacity(those.len());
        for (account, record) in those {
            let row = self.read::<AccountRecord>(&RowId::account(record.customer, *account)).await?;
            let Some(row) = row else { continue };
            let account = self.path_of(record.customer, &row.value).await?;
            accounts.push(ReusedBy { account, since: record.since });
        }
        Ok(ReusedSecret { accounts })
    }
}

pub(crate) fn read_id(id: &RowId) -> Option<(Fingerprint, AccountId)> {
    let (fingerprint, rest) = id.id().split_first_chunk()?;
    let account = uuid::Uuid::from_slice(rest).ok()?;
    Some((*fingerprint, AccountId::from_uuid(account)))
}
