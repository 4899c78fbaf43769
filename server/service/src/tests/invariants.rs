//! What holds of every store that the vault has left behind, whatever failed on the way: every row is opened and all of
//! them must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_api::audit::complete::Ledger;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::merkle::root_of;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{
    AccountKind, BreakGlassState, CandidateState, PrincipalKind, PrincipalState, RevocationState,
};
use claviger_api::{AccountId, BreakGlassId, CheckoutId, CustomerId, PrincipalId, RotationId, Scope};
use claviger_core::break_glass::BreakGlass;
use claviger_core::checkout::{Checkout, State};
use claviger_core::emergency::{Emergency, Line, LineState, Phase};
use claviger_core::policy::Grant;
use claviger_core::rotation::Step;
use claviger_crypto::{Digest, SubjectKey};
use claviger_store::{Record, Row, RowId, Table, Timer, open_record, other_customer_row};
use uuid::Uuid;

use super::world::World;
use crate::Open;
use crate::audit::archive::ArchiveRecord;
use crate::event::StoredLeaf;
use crate::inventory::account_name;
use crate::journal::LogHead;
use crate::journal::head::{LogTile, leaf_hash};
use crate::records::{
    AccountRecord, BackupRecord, BreakGlassRecord, CeremonyRecord, CeremonyState, CheckoutRecord, CustomerRecord,
    DiscoveryRecord, EmergencyLineRecord, EmergencyRecord, FactorsRecord, FingerprintRecord, FollowUpRecord,
    FormerPrincipalRecord, GrantRecord, IdempotencyRecord, IdentityProviderRecord, IssuerRecord, KitRecord, KitStep,
    LoginCounter, NameRecord, OffboardingRecord, PrincipalRecord, RevealsRecord, ReviewLineRecord, ReviewRecord,
    RevokedCertificatesRecord, RotationRecord, SessionRecord, StateRecord, StreamCursorRecord, SystemRecord,
    TimerRecord, TokenRecord, WatchRecord,
};
use crate::seal::customer_key::KeyRotationRecord;
use crate::workers::TimerKind;

/// Every row of a store, opened.
#[derive(Default)]
struct Found {
    rows: BTreeMap<Scope, Vec<(RowId, Row)>>,
    customers: Vec<CustomerRecord>,
    systems: Vec<(CustomerId, SystemRecord)>,
    accounts: BTreeMap<AccountId, (CustomerId, AccountRecord)>,
    states: BTreeMap<AccountId, StateRecord>,
    checkouts: BTreeMap<CheckoutId, (CustomerId, Checkout)>,
    rotations: BTreeMap<RotationId, (CustomerId, RotationRecord)>,
    secrets: BTreeSet<(AccountId, u64)>,
    principals: Vec<PrincipalRecord>,
    former: BTreeSet<PrincipalId>,
    reviews: BTreeMap<Uuid, ReviewRecord>,
    grants: Vec<Grant>,
    glasses: BTreeMap<BreakGlassId, BreakGlass>,
    emergencies: BTreeMap<Uuid, Emergency>,
    kits: BTreeMap<Uuid, KitRecord>,
    follow_ups: BTreeMap<Uuid, FollowUpRecord>,
    lines: Vec<(Uuid, Line)>,
    fingerprints: BTreeSet<RowId2>,
    issuers: Vec<IssuerRecord>,
    providers: Vec<IdentityProviderRecord>,
    sessions: Vec<SessionRecord>,
    factors: BTreeMap<PrincipalId, FactorsRecord>,
    tokens: BTreeMap<RowId2, TokenRecord>,
    names: BTreeMap<RowId2, Uuid>,
    timers: BTreeMap<(u8, Uuid), Vec<Timer>>,
    key_rotations: BTreeMap<CustomerId, KeyRotationRecord>,
    heads: BTreeMap<Scope, LogHead>,
    leaves: BTreeMap<Scope, u64>,
    /// What each log tells of, added up.
    ledgers: BTreeMap<Scope, Ledger>,
    tiles: BTreeMap<Scope, Vec<LogTile>>,
}

/// A row's identity, in an order.
type RowId2 = String;

pub async fn check(world: &World) {
    let open = world.open();
    let found = read(world, &open).await;
    people(&found, &open);
    inventory(&found, &open);
    for id in found.states.keys() {
        account(&found, *id);
    }
    for (id, (_, checkout)) in &found.checkouts {
        self::checkout(&found, *id, checkout);
    }
    for (id, (_, record)) in &found.rotations {
        rotation(&found, *id, record);
    }
    break_glass(&found);
    emergencies(&found);
    kits(&found);
    follow_ups(&found);
    accounted_for(&found);
    timers(&found);
    keys(&found);
    logs(&found, &open).await;
    reveals(&found, &open).await;
    some_secret_opens(world, &found, &open).await;
    fingerprints(&found, &open).await;
}

async fn read(world: &World, open: &Arc<Open>) -> Found {
    let mut found = Found::default();
    for (key, row) in world.store.snapshot().rows() {
        let id = RowId::from_key(key).unwrap();
        sort(&mut found, open, &id, row);
        if id.table() == Table::Secrets {
            let opened = open.sealed().read_secret(open.keyring(), &id).await.unwrap();
            assert!(opened.is_some());
            found.secrets.insert((AccountId::from_uuid(id.uuid().unwrap()), id.number().unwrap()));
        }
        found.rows.entry(id.scope()).or_default().push((id, row.clone()));
    }
    found
}

fn sort(found: &mut Found, open: &Open, id: &RowId, row: &Row) {
    fn opened<T: Record>(open: &Open, id: &RowId, row: &Row) -> T {
        open_record::<T>(open.keyring(), id.clone(), row).unwrap().value
    }
    let uuid = id.uuid().unwrap_or_default();
    let customer = || match id.scope() {
        Scope::Customer(customer) => customer,
        Scope::Operator => panic!("{id} is nobody's"),
    };
    match id.table() {
        Table::Meta | Table::Keys | Table::Secrets | Table::LogIndex => {}
        Table::LogArchives => drop(opened::<ArchiveRecord>(open, id, row)),
        Table::Exposures => panic!("nobody writes {id} yet"),
        Table::Fingerprints => {
            opened::<FingerprintRecord>(open, id, row);
            found.fingerprints.insert(id.to_string());
        }
        Table::RevokedCertificates => drop(opened::<RevokedCertificatesRecord>(open, id, row)),
        Table::Watches => drop(opened::<WatchRecord>(open, id, row)),
        Table::Discoveries => drop(opened::<DiscoveryRecord>(open, id, row)),
        Table::FollowUps => drop(found.follow_ups.insert(uuid, opened(open, id, row))),
        Table::Names => drop(found.names.insert(id.to_string(), opened::<NameRecord>(open, id, row).id)),
        Table::Customers => found.customers.push(opened(open, id, row)),
        Table::Systems => found.systems.push((customer(), opened(open, id, row))),
        Table::Accounts => {
            drop(found.accounts.insert(AccountId::from_uuid(uuid), (customer(), opened(open, id, row))));
        }
        Table::AccountStates => drop(found.states.insert(AccountId::from_uuid(uuid), opened(open, id, row))),
        Table::Checkouts => {
            let checkout = opened::<CheckoutRecord>(open, id, row).0;
            found.checkouts.insert(CheckoutId::from_uuid(uuid), (customer(), checkout));
        }
        Table::Rotations => {
            found.rotations.insert(RotationId::from_uuid(uuid), (customer(), opened(open, id, row)));
        }
        Table::Principals => found.principals.push(opened(open, id, row)),
        Table::FormerPrincipals => {
            opened::<FormerPrincipalRecord>(open, id, row);
            found.former.insert(PrincipalId::from_uuid(uuid));
        }
        Table::Reviews => {
            let review = opened::<ReviewRecord>(open, id, row);
            found.reviews.insert(uuid, review);
        }
        Table::ReviewLines => {
            opened::<ReviewLineRecord>(open, id, row);
            assert!(found.reviews.contains_key(&uuid), "a line of no review");
        }
        Table::Grants => found.grants.push(opened::<GrantRecord>(open, id, row).0),
        Table::BreakGlasses => {
            let glass = opened::<BreakGlassRecord>(open, id, row).0;
            found.glasses.insert(glass.id, glass);
        }
        Table::StreamCursors => drop(opened::<StreamCursorRecord>(open, id, row)),
        Table::Backups => drop(opened::<BackupRecord>(open, id, row)),
        Table::Offboardings => drop(opened::<OffboardingRecord>(open, id, row)),
        Table::Emergencies => {
            found.emergencies.insert(uuid, opened::<EmergencyRecord>(open, id, row).0);
        }
        Table::Kits => drop(found.kits.insert(uuid, opened::<KitRecord>(open, id, row))),
        Table::EmergencyLines => found.lines.push((uuid, opened::<EmergencyLineRecord>(open, id, row).0)),
        Table::Issuers => found.issuers.push(opened(open, id, row)),
        Table::Sessions => found.sessions.push(opened(open, id, row)),
        Table::Tokens => drop(found.tokens.insert(id.to_string(), opened(open, id, row))),
        Table::LoginCounters => drop(opened::<LoginCounter>(open, id, row)),
        Table::IdentityProviders => found.providers.push(opened(open, id, row)),
        Table::RevealTimes => drop(opened::<RevealsRecord>(open, id, row)),
        Table::Factors => drop(found.factors.insert(PrincipalId::from_uuid(uuid), opened(open, id, row))),
        Table::Timers => {
            opened::<TimerRecord>(open, id, row);
            let timer = id.as_timer().unwrap();
            found.timers.entry((timer.kind, timer.id)).or_default().push(timer);
        }
        Table::Idempotency => drop(opened::<IdempotencyRecord>(open, id, row)),
        Table::LogHeads => drop(found.heads.insert(id.scope(), opened(open, id, row))),
        Table::LogLeaves => {
            let leaf = opened::<StoredLeaf>(open, id, row);
            let index = *found.leaves.entry(id.scope()).or_default();
            let entry = leaf.entry(id.scope(), |_| None::<Arc<SubjectKey>>).unwrap();
            found.ledgers.entry(id.scope()).or_default().add(index, &entry);
            found.leaves.insert(id.scope(), index + 1);
        }
        Table::KeyRotations => {
            found.key_rotations.insert(customer(), opened::<KeyRotationRecord>(open, id, row));
        }
        Table::LogTiles => found.tiles.entry(id.scope()).or_default().push(opened(open, id, row)),
    }
}

/// While a customer's key is being replaced there are two of them, and a timer by which it goes on.
fn keys(found: &Found) {
    for (scope, rows) in &found.rows {
        let Scope::Customer(customer) = scope else { continue };
        let other = rows.iter().any(|(id, _)| *id == other_customer_row(*customer));
        let due = found.key_rotations.get(customer).and_then(KeyRotationRecord::due);
        let timers = found.timers.get(&(TimerKind::KeyRotationDue as u8, customer.uuid()));
        let at: Vec<_> = timers.into_iter().flatten().map(|timer| timer.due).collect();
        assert_eq!(at, Vec::from_iter(due), "the timer of the key of {customer}");
        assert_eq!(other, due.is_some(), "the other key of {customer}");
    }
}

/// Names, principals, tokens and sessions stand for each other, one to one.
fn people(found: &Found, open: &Open) {
    for person in &found.principals {
        let name = open.keyring().name(Table::Principals, Scope::Operator, person.name.as_str());
        assert_eq!(found.names.get(&name.to_string()), Some(&person.id.uuid()), "the name of {:?}", person.name);
        if let Some(hash) = person.token {
            assert_eq!(found.tokens[&RowId::token(&hash).to_string()].principal, person.id);
        }
    }
    for (person, own) in found.principals.iter().flat_map(|person| person.sign_ons.iter().map(move |own| (person, own)))
    {
        let subject = format!("{}/{}", own.provider, own.subject);
        let link = open.keyring().name(Table::IdentityProviders, Scope::Operator, &subject);
        assert_eq!(found.names.get(&link.to_string()), Some(&person.id.uuid()), "the link of {:?}", person.name);
        let provider = found.providers.iter().find(|provider| provider.id == own.provider);
        assert_eq!(provider.unwrap().customer, person.customer, "whose provider");
    }
    for session in &found.sessions {
        assert!(found.principals.iter().any(|person| person.id == session.principal), "a session of nobody");
        if let Some(hash) = session.refresh {
            assert_eq!(found.tokens[&RowId::token(&hash).to_string()].session, Some(session.id));
        }
    }
    for person in &found.principals {
        let count = |factors: &FactorsRecord| factors.totp.len() + factors.passkeys.len();
        let factors = found.factors.get(&person.id).map_or(0, count);
        assert_eq!(person.has_factors, factors > 0, "second factors of {:?}", person.name);
    }
    for (owner, factors) in &found.factors {
        assert!(found.principals.iter().any(|person| person.id == *owner), "second factors of nobody");
        for challenge in &factors.challenges {
            assert_eq!(found.tokens[&RowId::token(&challenge.hash).to_string()].principal, *owner);
        }
        for ceremony in &factors.ceremonies {
            let named = found.tokens.get(&RowId::token(&ceremony.hash).to_string());
            assert_eq!(named.map(|token| token.principal), waits_for_a_browser(ceremony).then_some(*owner));
        }
    }
    for (row, token) in &found.tokens {
        let waits = |hash: &[u8; 32]| RowId::token(hash).to_string() == *row;
        let of_factors = found.factors.get(&token.principal).is_some_and(|factors| {
            factors.challenges.iter().any(|challenge| waits(&challenge.hash))
                || factors.ceremonies.iter().any(|ceremony| waits(&ceremony.hash))
        });
        if of_factors {
            continue;
        }
        let invites = |person: &PrincipalRecord| person.invitation.is_some_and(|own| waits(&own.hash));
        if found.principals.iter().any(|person| person.id == token.principal && invites(person)) {
            continue;
        }
        let of_session = token.session.is_some_and(|id| found.sessions.iter().any(|session| session.id == id));
        let of_person = found.principals.iter().any(|person| person.id == token.principal && person.token.is_some());
        assert!(of_session || (token.session.is_none() && of_person), "a token that opens nothing");
    }
}

fn waits_for_a_browser(ceremony: &CeremonyRecord) -> bool {
    match ceremony.state {
        CeremonyState::Registering { .. } | CeremonyState::Proving { .. } => true,
        CeremonyState::Registered { .. } | CeremonyState::Proven { .. } => false,
    }
}

fn inventory(found: &Found, open: &Open) {
    let has = |name: RowId, id: Uuid| assert_eq!(found.names.get(&name.to_string()), Some(&id), "{name}");
    for customer in &found.customers {
        has(open.keyring().name(Table::Customers, Scope::Operator, customer.slug.as_str()), customer.id.uuid());
    }
    for (customer, system) in &found.systems {
        assert!(found.customers.iter().any(|other| other.id == *customer), "a system without its customer");
        has(open.keyring().name(Table::Systems, Scope::Customer(*customer), system.name.as_str()), system.id.uuid());
    }
    for (customer, account) in found.accounts.values() {
        let name = account_name(account.system, &account.name);
        has(open.keyring().name(Table::Accounts, Scope::Customer(*customer), &name), account.id.uuid());
        let at = (*customer, account.system);
        assert!(found.systems.iter().any(|(customer, system)| (*customer, system.id) == at), "without its system");
    }
    for issuer in &found.issuers {
        has(open.keyring().name(Table::Issuers, Scope::Operator, issuer.name.as_str()), issuer.id.uuid());
    }
    for provider in &found.providers {
        let name = open.keyring().name(Table::IdentityProviders, Scope::Operator, provider.name.as_str());
        has(name, provider.id.uuid());
    }
    let links: usize = found.principals.iter().map(|person| person.sign_ons.len()).sum();
    let people = found.principals.len() + found.issuers.len() + found.providers.len() + links;
    let places = found.systems.len() + found.accounts.len();
    assert_eq!(found.names.len(), found.customers.len() + people + places, "a name of nothing");
    assert!(found.states.keys().eq(found.accounts.keys()), "an account without its state, or a state without it");
}

/// Seats, queue, versions and rotation of one account.
fn account(found: &Found, id: AccountId) {
    let state = &found.states[&id].0;
    let (_, record) = &found.accounts[&id];
    for seat in &state.seats {
        let (_, held) = &found.checkouts[&seat.checkout];
        assert!(matches!(held.state, State::Approved { .. } | State::Active(_)), "a seat of {:?}", held.state);
        assert_eq!((held.account, held.principal), (id, seat.principal));
    }
    assert!(state.seats.len() <= record.settings.max_holders as usize);
    for waiting in &state.waiting {
        assert!(matches!(found.checkouts[waiting].1.state, State::Requested { .. }), "waits without waiting");
    }
    for ended in &state.to_revoke {
        assert!(matches!(found.checkouts[ended].1.state, State::Ended { .. }));
    }
    if let Some(running) = state.rotation {
        let rotation = &found.rotations[&running.id].1.rotation;
        assert!(!rotation.is_over(), "an account waits for a rotation that is over");
        assert_eq!((running.settled, running.unresolved), (rotation.is_settled(), rotation.unresolved));
    } else if state.seats.is_empty() {
        assert!(state.to_revoke.is_empty(), "nobody revokes {:?}", state.to_revoke);
    }
    let versions: BTreeSet<u64> = state.secrets.versions().collect();
    let proving = state.proving.iter().map(|proof| proof.old);
    let made = found.checkouts.values().filter(|(_, checkout)| checkout.account == id);
    let made = made.filter_map(|(_, c)| c.ephemeral.as_ref().filter(|login| !login.removed).map(|login| login.version));
    let wanted: BTreeSet<u64> = versions.iter().copied().chain(proving).chain(made).collect();
    let stored: BTreeSet<u64> =
        found.secrets.iter().filter(|(account, _)| *account == id).map(|(_, version)| *version).collect();
    assert_eq!(stored, wanted, "the secrets of {}", record.name);
}

/// A checkout that is not over has its place and its end; one that is over has neither, and its credential is dealt with.
fn checkout(found: &Found, id: CheckoutId, checkout: &Checkout) {
    let due = found.timers.get(&(TimerKind::CheckoutDue as u8, id.uuid())).map_or(0, Vec::len);
    let removals = found.timers.get(&(TimerKind::LoginRemoval as u8, id.uuid())).map_or(0, Vec::len);
    let Some(state) = found.states.get(&checkout.account).map(|state| &state.0) else {
        assert!(matches!(checkout.state, State::Ended { .. }), "held, and its account is gone");
        assert_eq!((due, removals), (0, 0));
        return;
    };
    let (seated, waits) = (state.seats.iter().any(|seat| seat.checkout == id), state.waiting.contains(&id));
    let asks = state.asking.iter().any(|asking| asking.checkout == id);
    let wanted = match &checkout.state {
        State::Pending { .. } | State::Scheduled { .. } => (true, false, false, 1),
        State::Requested { .. } => (false, false, true, 1),
        State::Approved { .. } | State::Active(_) => (false, true, false, 1),
        State::Ended { .. } => (false, false, false, 0),
    };
    assert_eq!((asks, seated, waits, due), wanted, "{id} is {:?}", checkout.state);
    let holder = found.principals.iter().find(|person| person.id == checkout.principal);
    let gone = holder.is_none_or(|holder| holder.state == PrincipalState::Suspended);
    if gone && due == 1 {
        let cut = (TimerKind::PrincipalGone as u8, checkout.principal.uuid());
        assert!(found.timers.contains_key(&cut), "nobody ends what {:?} holds", checkout.principal);
    }
    assert!(holder.is_some() || found.former.contains(&checkout.principal), "a holder that history does not know");
    four_eyes(found, checkout);
    if let (Some(end), Some(timers)) = (checkout.due(), found.timers.get(&(TimerKind::CheckoutDue as u8, id.uuid()))) {
        assert_eq!(timers[0].due, RowId::timer(end, timers[0].scope, 1, id.uuid()).as_timer().unwrap().due);
    }
    let has_login = checkout.ephemeral.as_ref().is_some_and(|login| !login.removed);
    let unproven =
        matches!(&checkout.state, State::Ended { revocation, .. } if revocation.state != RevocationState::Proven);
    let unproven = unproven && checkout.certificates.is_some();
    assert_eq!(state.logins.contains(&id), has_login || unproven);
    let proofs = found.timers.get(&(TimerKind::CertificateProof as u8, id.uuid())).map_or(0, Vec::len);
    assert_eq!(proofs, usize::from(unproven), "nobody proves the end of a certificate, or somebody for ever");
    let State::Ended { revocation, .. } = &checkout.state else {
        assert_eq!(removals, 0);
        return;
    };
    assert_eq!(removals, usize::from(has_login), "a login is left, or removed for ever");
    if revocation.state == RevocationState::Pending && checkout.ephemeral.is_none() && checkout.certificates.is_none() {
        let under_way = revocation.rotation.is_some_and(|rotation| {
            let rotation = &found.rotations[&rotation].1.rotation;
            rotation.checkouts.contains(&id) && !rotation.is_over()
        });
        assert!(under_way || state.to_revoke.contains(&id), "nobody revokes what {id} has seen");
    }
}

/// What needs approvals and is further than asking has them: by enough others, for what it is.
fn four_eyes(found: &Found, checkout: &Checkout) {
    let Some(approvals) = &checkout.approvals else { return };
    let by: BTreeSet<_> = approvals.given.iter().map(|yes| yes.by).collect();
    assert_eq!(by.len(), approvals.given.len(), "one person is one yes");
    assert!(!by.contains(&checkout.principal), "nobody approves their own");
    for person in by.iter().filter_map(|by| found.principals.iter().find(|person| person.id == *by)) {
        assert_eq!(person.kind, PrincipalKind::User, "a yes is a person's");
    }
    let further = matches!(
        checkout.state,
        State::Scheduled { .. } | State::Requested { .. } | State::Approved { .. } | State::Active(_)
    );
    if further || checkout.reveals > 0 {
        assert!(checkout.is_approved(|_| true), "without its approvals: {checkout:?}");
    }
}

/// A glass gives something while it is open, and to one alone; what was checked out under it ends with it.
fn break_glass(found: &Found) {
    for (id, glass) in &found.glasses {
        let timers = found.timers.get(&(TimerKind::BreakGlassDue as u8, id.uuid())).map_or(0, Vec::len);
        assert_eq!(timers, usize::from(glass.due().is_some()), "the timers of a glass that is {:?}", glass.state);
        let others = glass.agreed.iter().filter(|yes| yes.by != glass.opener).count();
        assert!(glass.opened().is_none() || others >= usize::from(glass.rule.count), "opened by too few");
        let gives: Vec<&Grant> = found.grants.iter().filter(|grant| grant.break_glass == Some(*id)).collect();
        assert!(gives.is_empty() || glass.state_name() == BreakGlassState::Open, "it gives and is {:?}", glass.state);
        let opened = glass.opened();
        let right = |grant: &&Grant| {
            (grant.principal, Some(grant.id)) == (glass.opener, opened.map(|opened| opened.grant))
                && Some(grant.expires_at) == opened.map(|opened| opened.ends_at)
                && grant.scope == glass.scope
        };
        assert!(gives.len() <= 1 && gives.iter().all(right), "{gives:?}");
        let ended = |checkout: &CheckoutId| matches!(found.checkouts[checkout].1.state, State::Ended { .. });
        match glass.state_name() {
            BreakGlassState::Open | BreakGlassState::Closing => {}
            BreakGlassState::Asked | BreakGlassState::Withdrawn => assert!(glass.checkouts.is_empty()),
            BreakGlassState::InReview | BreakGlassState::Reviewed => assert!(glass.checkouts.iter().all(ended)),
        }
    }
    for (id, (_, checkout)) in &found.checkouts {
        let Some(under) = checkout.under_glass else { continue };
        let glass = &found.glasses[&under.id];
        assert!(glass.checkouts.contains(id), "its glass knows nothing of it");
        if let State::Active(used) = checkout.state {
            assert!(used.expires_at <= under.until && Some(under.until) == glass.opened().map(|opened| opened.ends_at));
        }
    }
    assert!(found.grants.iter().all(|grant| grant.break_glass.is_none_or(|id| found.glasses.contains_key(&id))));
}

/// A kit is made by its timer, once.
fn kits(found: &Found) {
    for (id, kit) in &found.kits {
        let timers = found.timers.get(&(TimerKind::KitDue as u8, *id)).map_or(0, Vec::len);
        assert_eq!(timers, usize::from(kit.state == KitStep::Asked), "the timers of a kit at {:?}", kit.state);
    }
}

/// A customer is frozen by the one that is under way, which has its timer; each of its lines is an account's, and what it
/// notes is that account's rotation.
fn emergencies(found: &Found) {
    for (id, emergency) in &found.emergencies {
        let done = matches!(emergency.phase, Phase::Done { .. });
        let timers = found.timers.get(&(TimerKind::EmergencyDue as u8, *id)).map_or(0, Vec::len);
        assert_eq!(timers, usize::from(!done), "the timers of an emergency rotation at {:?}", emergency.phase);
        let customer = found.customers.iter().find(|customer| customer.id == emergency.customer).unwrap();
        let under_way = customer.emergency.filter(|under_way| under_way.id == emergency.id);
        assert_eq!(under_way.is_some(), !done, "a customer's row and its emergency rotation disagree");
    }
    for (id, line) in &found.lines {
        assert!(found.emergencies.contains_key(id), "a line of no emergency rotation");
        if let LineState::Started { rotation } = line.state {
            assert_eq!(found.rotations[&rotation].1.rotation.account, line.account, "another account's rotation");
        }
    }
}

fn rotation(found: &Found, id: RotationId, record: &RotationRecord) {
    let timers = found.timers.get(&(TimerKind::RotationDue as u8, id.uuid())).map_or(0, Vec::len);
    assert_eq!(
        timers,
        usize::from(!record.rotation.is_over()),
        "the timers of a rotation at {:?}",
        record.rotation.step
    );
    assert_eq!(record.timer.is_some(), !record.rotation.is_over());
    if record.rotation.is_over() {
        return;
    }
    let state = &found.states[&record.rotation.account].0;
    if let Step::ProvingOld { old, .. } = record.rotation.step {
        assert!(state.proving.iter().any(|proof| proof.rotation == id && proof.old == old));
    } else {
        assert_eq!(state.rotation.map(|running| running.id), Some(id), "a rotation that its account knows nothing of");
    }
}

/// Whoever waits for a secret has a timer, and waits for the present one.
fn follow_ups(found: &Found) {
    for (account, FollowUpRecord(follow_up)) in &found.follow_ups {
        let timers = found.timers.get(&(TimerKind::FollowUpDue as u8, *account)).map_or(0, Vec::len);
        assert_eq!(timers, usize::from(follow_up.is_behind()), "a dependent that waits for ever: {follow_up:?}");
        let state = &found.states[&AccountId::from_uuid(*account)].0;
        if follow_up.is_behind() {
            assert_eq!(follow_up.news.map(|news| news.version), state.secrets.current, "news of an old secret");
        }
    }
}

/// Every log accounts for its own checkouts and rotations.
fn accounted_for(found: &Found) {
    for (scope, ledger) in &found.ledgers {
        let sum = ledger.clone().close();
        assert_eq!(sum.faults, [], "the log of {scope:?}");
    }
}

/// No timer is anybody's who is not there: it would be due for ever.
fn timers(found: &Found) {
    let daily = found.timers.get(&(TimerKind::DailyLook as u8, Uuid::nil())).map_or(0, Vec::len);
    assert_eq!(daily, 1, "one look a day, and one only");
    for (id, review) in &found.reviews {
        let due = found.timers.get(&(TimerKind::ReviewDue as u8, *id)).map_or(0, Vec::len);
        assert_eq!(due, usize::from(review.closed.is_none()), "a review is open for ever, or closed twice");
    }
    for (kind, id) in found.timers.keys() {
        let known = found.checkouts.contains_key(&CheckoutId::from_uuid(*id))
            || found.rotations.contains_key(&RotationId::from_uuid(*id))
            || found.reviews.contains_key(id)
            || found.glasses.contains_key(&BreakGlassId::from_uuid(*id))
            || found.emergencies.contains_key(id)
            || found.kits.contains_key(id)
            || found.follow_ups.contains_key(id)
            || found.key_rotations.contains_key(&CustomerId::from_uuid(*id))
            || [TimerKind::PrincipalGone as u8, TimerKind::DailyLook as u8].contains(kind);
        assert!(known, "a timer of kind {kind} for nothing");
    }
}

/// Each log proves its entries, and its freshness digest every other row.
async fn logs(found: &Found, open: &Open) {
    for (scope, head) in &found.heads {
        let size = head.frontier.size();
        assert_eq!(found.leaves.get(scope).copied().unwrap_or(0), size, "entries that the head does not count");
        let mut hashes = Vec::new();
        for index in 0..size {
            hashes.push(leaf_hash(open.sealed(), open.keyring(), *scope, index).await.unwrap());
        }
        assert_eq!(head.frontier.root(), root_of(&hashes));
        let tiles: Vec<_> = found.tiles.get(scope).into_iter().flatten().flat_map(|tile| tile.hashes.clone()).collect();
        assert_eq!(tiles.len() as u64, size / 256 * 256);
        assert_eq!(tiles[..], hashes[..tiles.len()]);
        assert!(open.leaves(*scope, size).await.is_ok());
        assert_eq!(head.digest, digest(open, &found.rows[scope]), "the freshness of {scope:?}");
    }
    assert!(found.rows.keys().all(|scope| found.heads.contains_key(scope)), "rows without a log");
}

pub fn digest(open: &Open, rows: &[(RowId, Row)]) -> Digest {
    let terms = rows.iter().filter_map(|(id, row)| open.keyring().freshness_term(id, row));
    terms.fold(Digest::ZERO, Digest::add)
}

/// Each reveal is an event with its number.
async fn reveals(found: &Found, open: &Open) {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (scope, size) in &found.leaves {
        for index in 0..*size {
            let leaf = open.load::<StoredLeaf>(&RowId::log_leaf(*scope, index)).await.unwrap().value;
            let kind = leaf.value(FieldName::Kind);
            // What break-glass shows is told in the operator's log, too.
            let of_glass = kind == Some(EventKind::BreakGlassUnresolvedRevealed.text()) && *scope != Scope::Operator;
            let shown = [EventKind::CheckoutRevealed.text(), EventKind::CheckoutCertificateSigned.text()];
            if of_glass || kind.is_some_and(|kind| shown.contains(&kind)) {
                let id = leaf.value(FieldName::Checkout).unwrap().to_owned();
                told.entry(id).or_default().push(leaf.value(FieldName::RevealNumber).unwrap().to_owned());
            }
        }
    }
    for (id, (_, checkout)) in &found.checkouts {
        let numbers: Vec<String> = (1..=checkout.reveals).map(|number| number.to_string()).collect();
        assert_eq!(told.remove(&id.to_string()).unwrap_or_default(), numbers, "the reveals of {id}");
    }
    assert!(told.is_empty());
}

/// Each secret that may open a standing account has its fingerprint, and nothing else has.
async fn fingerprints(found: &Found, open: &Open) {
    let mut wanted = BTreeSet::new();
    for (id, state) in &found.states {
        let (customer, _) = found.accounts[id];
        for version in state.0.secrets.in_use() {
            let secret = open.secret(customer, *id, version).await.unwrap();
            let fingerprint = open.keyring().fingerprint().of(&secret);
            wanted.insert(RowId::fingerprint(Scope::Operator, &fingerprint, *id).to_string());
        }
    }
    assert_eq!(found.fingerprints, wanted, "the fingerprints of the secrets in use");
}

/// No password is ever lost: a stored version opens each standing account that is on the system.
async fn some_secret_opens(world: &World, found: &Found, open: &Open) {
    for (id, state) in &found.states {
        let (customer, record) = &found.accounts[id];
        let Some(password) = world.system.password(record.login.as_str()) else { continue };
        if record.kind == AccountKind::Ephemeral || state.0.secrets.current.is_none() {
            continue;
        }
        let mut opening = Vec::new();
        for version in state.0.secrets.versions() {
            if open.secret(*customer, *id, version).await.unwrap().expose() == password {
                opening.push(version);
            }
        }
        assert!(!opening.is_empty(), "no stored secret opens {}", record.name);
        let untold = |version: &u64| {
            let mut candidates = state.0.secrets.candidates.iter();
            candidates.any(|c| c.version == *version && c.state == CandidateState::NeverSent)
        };
        assert!(!opening.iter().all(untold), "the system was told of what is stored as never sent");
    }
}
