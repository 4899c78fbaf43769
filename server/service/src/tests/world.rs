//! A vault with one customer, its people, and accounts on a simulated system.

use std::sync::{Arc, LazyLock};

use claviger_api::audit::note::VerifierKey;
use claviger_api::audit::receipt::Receipt;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    self, AccountKind, AccountSettings, Claim, EnrolRequest, GrantKind, GrantScope, InitRequest, LoginAnswer,
    NewAccount, NewCheckout, NewCustomer, NewGrant, NewServiceAccount, NewSystem, NewTotp, NewUser, OnConflict, Role,
    RotateBy, SecondFactor, SystemSpec, TlsMode,
};
use claviger_api::{
    AccountPath, CheckoutId, CustomerId, Login, Part, RequestId, RotationId, Scope, Secret, SystemId, Timestamp,
};
use claviger_connectors::{Connector, Direct, Registry};
use claviger_core::policy::{Act, Circumstances, Mark, NO_LIMITS, Policies, Resource};
use claviger_crypto::passkey::RelyingParty;
use claviger_crypto::{Seeded, totp};
use claviger_store::memory::{FaultPlan, Snapshot};
use claviger_store::{MemoryStore, Table};
use jiff::SignedDuration;
use uuid::Uuid;

use super::invariants;
use super::system::{Machine, SimulatedSystem};
use crate::checkout::FoundCheckout;
use crate::error::{Error, Result};
use crate::journal::head::leaf_hash;
use crate::{Caller, Clock as _, Ground, ManualClock, Once, Open, Origin, Place, Settings, Vault};

pub const START: &str = "2026-11-24T09:00:00Z";
pub const PASSWORD: &str = "brisk walnut under gravel";
pub const FIRST_SECRET: &str = "as it was found";

/// Everything a test owns.
#[derive(Clone)]
pub struct World {
    pub store: MemoryStore,
    pub clock: Arc<ManualClock>,
    pub system: Arc<SimulatedSystem>,
    pub vault: Arc<Vault>,
    pub shares: Arc<Vec<Secret>>,
}

/// A world at one moment, from which others begin.
pub struct Moment {
    pub rows: Snapshot,
    now: Timestamp,
    machine: Machine,
    pub shares: Arc<Vec<Secret>>,
}

pub fn part(text: &str) -> Part {
    text.parse().unwrap()
}

pub fn path(text: &str) -> AccountPath {
    text.parse().unwrap()
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

pub fn key(text: &str) -> Once {
    Once::new(text, &[text.as_bytes()]).unwrap()
}

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub fn spec() -> SystemSpec {
    SystemSpec::Postgresql {
        host: "db1.acme.example".to_owned(),
        port: 5432,
        database: "postgres".to_owned(),
        tls: TlsMode::VerifyFull,
        ca_certificate: None,
    }
}

/// Who was refused, and as what.
pub trait Refused {
    fn problem(self) -> ProblemType;
}

impl<T> Refused for Result<T> {
    fn problem(self) -> ProblemType {
        self.err().expect("it was not refused").problem
    }
}

/// Read once: it takes longer than anything else here.
static POLICIES: LazyLock<Arc<Policies>> = LazyLock::new(|| Arc::new(Policies::built_in().unwrap()));

/// Where passkeys are taken.
static SITE: LazyLock<Arc<RelyingParty>> =
    LazyLock::new(|| Arc::new(RelyingParty::new("https://vault.msp.example", "Claviger").unwrap()));

fn ground(store: &MemoryStore, clock: &Arc<ManualClock>, system: &Arc<SimulatedSystem>, seed: u64) -> Ground {
    let connector: Arc<dyn Connector> = system.clone();
    let registry = Registry::standard(Arc::new(Direct::new(vec![]))).wrapped(move |_| connector.clone());
    Ground {
        store: Arc::new(store.clone()),
        clock: clock.clone(),
        random: Arc::new(Seeded::new(seed)),
        connectors: Arc::new(registry),
        dial: Arc::new(Direct::new(vec![])),
        policies: POLICIES.clone(),
        wake: Arc::default(),
        anchors: Vec::new(),
        archives: None,
        streams: Vec::new(),
        witnesses: Vec::new(),
        backups: None,
        kits: None,
        escrow: None,
        hsm: None,
        settings: Settings { site: Some(SITE.clone()), ..Settings::named("vault.msp.example") },
    }
}

impl World {
    /// A sealed vault that was never initialised.
    pub fn bare() -> Self {
        let store = MemoryStore::new();
        let clock = Arc::new(ManualClock::at(START.parse().unwrap()));
        let system = Arc::new(SimulatedSystem::new(clock.clone()));
        let vault = Arc::new(Vault::new(ground(&store, &clock, &system, 1)));
        Self { store, clock, system, vault, shares: Arc::default() }
    }

    /// An open vault: customer `acme`, system `acme/db1` with its management account `dba`, the standing account `app`,
    /// the shared one `shared` (2 holders), the ephemeral one `temp`; technicians `tess` and `tom`, the program `bot`.
    pub async fn new() -> Self {
        let mut world = Self::bare();
        world.initialise().await;
        for (login, password) in [("dba", "of the dba"), ("app", FIRST_SECRET), ("shared", "of all")] {
            world.system.add(login, password);
        }
        world.fill().await;
        world
    }

    /// A world that begins at another's moment, with randomness of its own.
    pub async fn at(moment: &Moment, seed: u64) -> Self {
        let store = MemoryStore::new();
        store.restore(moment.rows.clone());
        let clock = Arc::new(ManualClock::at(moment.now));
        let system = Arc::new(SimulatedSystem::like(clock.clone(), moment.machine.clone()));
        let vault = Arc::new(Vault::new(ground(&store, &clock, &system, 1000 + seed)));
        let world = Self { store, clock, system, vault, shares: moment.shares.clone() };
        world.unseal().await;
        world
    }

    pub fn moment(&self) -> Moment {
        Moment {
            rows: self.store.snapshot(),
            now: self.clock.now(),
            machine: self.system.machine().clone(),
            shares: self.shares.clone(),
        }
    }

    async fn initialise(&mut self) {
        let request = InitRequest::Shamir { shares: 1, threshold: 1, administrator: part("root") };
        let made = self.vault.init(request).await.unwrap();
        self.shares = Arc::new(made.shares.into_iter().map(wire_secret).collect());
        self.unseal().await;
        self.enrol("root", made.enrolment.secret()).await;
    }

    async fn fill(&mut self) {
        let open = self.open();
        let root = self.root().await;
        let acme = NewCustomer { slug: part("acme"), display_name: "Acme".to_owned() };
        open.add_customer(&acme, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
        self.add_system("acme", "db1").await;
        for account in [
            standing("dba", "of the dba"),
            standing("app", FIRST_SECRET),
            NewAccount { settings: shared(), ..standing("shared", "of all") },
            ephemeral("temp"),
        ] {
            self.add_account("acme", "db1", account).await.unwrap();
        }
        for (name, role) in [("tess", Role::Technician), ("tom", Role::Technician)] {
            self.enrolled(name).await;
            self.grant(name, role, GrantScope::Customer(part("acme"))).await.unwrap();
        }
        let bot = NewServiceAccount::with_token(part("bot"), 86_400);
        let permit = may(&open, &root, Resource::Operator);
        open.add_service_account(&bot, &Once::none(), &root, permit).await.unwrap();
        self.grant("bot", Role::Automation, GrantScope::Customer(part("acme"))).await.unwrap();
    }

    /// A user who has enrolled.
    pub async fn enrolled(&self, name: &str) -> wire::Tokens {
        self.enrolled_of(name, None).await
    }

    /// The same, of the MSP or of a customer.
    pub async fn enrolled_of(&self, name: &str, customer: Option<&str>) -> wire::Tokens {
        let (open, root) = (self.open(), self.root().await);
        let new = NewUser { name: part(name), customer: customer.map(part) };
        let made = open.add_user(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
        self.enrol(name, made.enrolment.secret()).await
    }

    /// A first login: a password, and an authenticator app.
    pub async fn enrol(&self, name: &str, enrolment: &Secret) -> wire::Tokens {
        let tokens = self.open().enrol(enrolling(name, enrolment, PASSWORD), None).await.unwrap();
        self.add_app(&self.caller(&tokens).await.unwrap()).await;
        tokens
    }

    /// An authenticator app, by the code that was shown just before, so that the present one is still good.
    pub async fn add_app(&self, caller: &Caller) -> wire::ConfirmedFactor {
        let offered = self.open().offer_totp(&NewTotp { label: "phone".to_owned() }, caller).await.unwrap();
        let code = code_of(offered.secret.secret(), totp::step(self.now()) - 1);
        self.open().confirm_totp(&code, &Once::none(), caller).await.unwrap()
    }

    /// The next code of this user's first app that counts. Waits for it, as a person does.
    pub async fn code(&self, name: &str) -> Secret {
        let open = self.open();
        let user = open.principal_named(&part(name)).await.unwrap().value;
        let factors = open.factors_of(&user).await.unwrap().value;
        let app = factors.totp.first().unwrap();
        let step = (app.last_step + 1).max(totp::step(self.now()) - 1);
        while step > totp::step(self.now()) + 1 {
            self.clock.advance(seconds(30));
        }
        secret(&totp::code(&app.secret, step).unwrap())
    }

    /// What the right password gives.
    pub async fn challenge(&self, name: &str) -> wire::Challenge {
        match self.open().login_user(&part(name), &secret(PASSWORD), None).await.unwrap() {
            LoginAnswer::SecondFactor(challenge) => challenge,
            LoginAnswer::Session(_) => panic!("{name} has no second factor"),
        }
    }

    /// A whole login: the password, and then a code.
    pub async fn log_in(&self, name: &str, password: &str) -> Result<wire::Tokens> {
        match self.open().login_user(&part(name), &secret(password), None).await? {
            LoginAnswer::Session(tokens) => Ok(tokens),
            LoginAnswer::SecondFactor(asked) => {
                let proof = SecondFactor::Totp(self.code(name).await.disclose());
                self.open().login_second_factor(asked.challenge.secret(), &proof, None).await
            }
        }
    }

    pub async fn grant(&self, to: &str, role: Role, scope: GrantScope) -> Result<wire::Grant> {
        let root = self.root().await;
        self.open().make_grant(&new_grant(to, role, scope), &Once::none(), &root).await
    }

    pub async fn add_system(&self, customer: &str, name: &str) -> SystemId {
        let (open, root) = (self.open(), self.root().await);
        let customer = open.customer_named(&part(customer)).await.unwrap();
        let new = NewSystem { name: part(name), spec: spec(), management_account: Some(part("dba")) };
        let permit = may(&open, &root, Resource::Customer(customer));
        open.add_system(customer, &new, &Once::none(), &root, permit).await.unwrap().id
    }

    pub async fn add_account(&self, customer: &str, system: &str, new: NewAccount) -> Result<wire::Account> {
        let (open, root) = (self.open(), self.root().await);
        let customer = open.customer_named(&part(customer)).await?;
        let system = open.system_named(customer, &part(system)).await?;
        let permit = may(&open, &root, Resource::System(customer, system));
        open.add_account(customer, system, new, &Once::none(), &root, permit).await
    }

    pub async fn unseal(&self) {
        self.vault.unseal(self.shares.first().unwrap(), None).await.unwrap();
    }

    /// What a crash leaves: nothing in memory. Calls under way are gone.
    pub async fn crash(&mut self, seed: u64) {
        self.vault = Vault::new(ground(&self.store, &self.clock, &self.system, 2000 + seed)).into();
        self.store.set_faults(FaultPlan::none());
        self.unseal().await;
    }

    /// Starts again where passkeys are taken at another address, or not at all.
    pub async fn move_to(&mut self, site: Option<&str>) {
        let site = site.map(|site| Arc::new(RelyingParty::new(site, "Claviger").unwrap()));
        let mut ground = ground(&self.store, &self.clock, &self.system, 3000);
        ground.settings.site = site;
        self.vault = Vault::new(ground).into();
        self.unseal().await;
    }

    /// A sealed vault on another store, with the same world around it.
    pub fn beside(&self, store: MemoryStore) -> Self {
        let vault = Vault::new(ground(&store, &self.clock, &self.system, 4000)).into();
        Self { store, vault, clock: self.clock.clone(), system: self.system.clone(), shares: self.shares.clone() }
    }

    pub fn open(&self) -> Arc<Open> {
        self.vault.open().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who sends this access token.
    pub async fn caller(&self, tokens: &wire::Tokens) -> Result<Caller> {
        self.caller_from(tokens, &Origin::default()).await
    }

    /// Who sends this access token from there.
    pub async fn caller_from(&self, tokens: &wire::Tokens, origin: &Origin) -> Result<Caller> {
        let request = RequestId::from_uuid(Uuid::from_u128(1));
        self.open().authenticate(tokens.access_token.secret().expose(), origin, request).await
    }

    pub async fn root(&self) -> Caller {
        self.open().acting("root").await
    }

    pub async fn tess(&self) -> Caller {
        self.open().acting("tess").await
    }

    pub async fn tom(&self) -> Caller {
        self.open().acting("tom").await
    }

    pub async fn bot(&self) -> Caller {
        self.open().acting("bot").await
    }

    pub async fn acme(&self) -> CustomerId {
        self.open().customer_named(&part("acme")).await.unwrap()
    }

    pub async fn place(&self, account: &str) -> Place {
        self.open().place(&path(&format!("acme/db1/{account}"))).await.unwrap()
    }

    // What people do, as the HTTP layer does it: find, decide, act.

    pub async fn check_out(&self, caller: &Caller, new: &NewCheckout, once: &Once) -> Result<wire::Checkout> {
        let open = self.open();
        let place = open.place(&new.account).await?;
        let permit = open.permit(caller, &place.resource()).await?;
        open.check_out(place, new, once, caller, permit).await
    }

    pub async fn found<A: Act>(
        &self,
        caller: &Caller,
        id: CheckoutId,
    ) -> Result<(FoundCheckout, claviger_core::policy::Permit<A>)> {
        let open = self.open();
        let found = open.find_checkout(id).await?;
        let permit = open.permit(caller, &found.resource()).await?;
        Ok((found, permit))
    }

    pub async fn reveal(&self, caller: &Caller, id: CheckoutId) -> Result<wire::Revealed> {
        let (found, permit) = self.found(caller, id).await?;
        let revealed = self.open().reveal(&found, caller, permit).await?;
        self.holds(revealed.receipt.as_ref(), found.customer, revealed.event_index).await;
        Ok(revealed)
    }

    /// A receipt proves the entry that the log has there, to whoever has the log's key.
    pub async fn holds(&self, receipt: Option<&wire::LogReceipt>, customer: CustomerId, index: u64) {
        let (open, scope) = (self.open(), Scope::Customer(customer));
        let receipt = receipt.expect("whoever is shown something gets a receipt");
        let (parsed, key): (Receipt, VerifierKey) =
            (receipt.proof.parse().unwrap(), receipt.verifier_key.parse().unwrap());
        let checkpoint = parsed.verify(&key).unwrap();
        assert_eq!(checkpoint.origin, claviger_api::audit::note::origin(&open.ground().settings.name, scope));
        let logged = leaf_hash(open.sealed(), open.keyring(), scope, index).await.unwrap();
        assert_eq!((parsed.index, parsed.leaf), (index, logged));
    }

    pub async fn check_in(&self, caller: &Caller, id: CheckoutId) -> Result<wire::Checkout> {
        let (found, permit) = self.found(caller, id).await?;
        self.open().check_in(&found, &Once::none(), caller, permit).await
    }

    pub async fn extend(&self, caller: &Caller, id: CheckoutId, ttl_seconds: u64) -> Result<wire::Checkout> {
        let (found, permit) = self.found(caller, id).await?;
        self.open().extend(&found, ttl_seconds, caller, permit).await
    }

    pub async fn revoke(&self, caller: &Caller, id: CheckoutId) -> Result<wire::Checkout> {
        let (found, permit) = self.found(caller, id).await?;
        self.open().revoke(&found, "an incident", &Once::none(), caller, permit).await
    }

    pub async fn take_over(&self, caller: &Caller, id: CheckoutId) -> Result<wire::Checkout> {
        let (found, permit) = self.found(caller, id).await?;
        self.open().take_over(&found, "it is urgent", &Once::none(), caller, permit).await
    }

    pub async fn rotate(&self, caller: &Caller, account: &str) -> Result<wire::Rotation> {
        let open = self.open();
        let place = self.place(account).await;
        let permit = open.permit(caller, &place.resource()).await?;
        open.rotate(place, None, &Once::none(), caller, permit).await
    }

    pub async fn view(&self, id: CheckoutId) -> wire::Checkout {
        self.open().checkout_view(self.acme().await, id).await.unwrap()
    }

    pub async fn rotation(&self, id: RotationId) -> wire::Rotation {
        self.open().rotation_view(self.acme().await, id).await.unwrap()
    }

    pub async fn account(&self, name: &str) -> wire::Account {
        let place = self.place(name).await;
        self.open().account_view(place.customer, place.account).await.unwrap()
    }

    // Time and work.

    /// Does all that is due now, until nothing is. What fails is left due.
    pub async fn step(&self) -> Vec<Error> {
        let open = self.open();
        let mut failed = Vec::new();
        for _ in 0..100 {
            let due = open.due().await.unwrap();
            let before = failed.len();
            let many = due.len();
            for timer in due {
                failed.extend(Box::pin(open.act(timer)).await.err());
            }
            if failed.len() - before == many {
                return failed;
            }
        }
        panic!("the workers never come to rest");
    }

    /// Lets time pass from one timer to the next, doing what is due, for as long as this.
    pub async fn pass(&self, time: SignedDuration) {
        let end = self.now() + time;
        loop {
            self.step().await;
            let next = self.next_timer().filter(|next| *next <= end).unwrap_or(end);
            let by = next.duration_since(self.now());
            self.clock.advance(by.max(SignedDuration::from_millis(1)));
            if self.now() >= end {
                self.step().await;
                return;
            }
        }
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let rows = self.store.snapshot();
        let timers = rows.rows().filter_map(|(key, _)| claviger_store::RowId::from_key(key).ok()?.as_timer());
        timers.map(|timer| timer.due).filter(|due| *due > self.now()).min()
    }

    pub async fn check(&self) {
        invariants::check(self).await;
    }

    /// How many rows each table holds, in every scope together. Logs, keys and what only remembers are left out.
    pub fn census(&self) -> Vec<(Table, usize)> {
        let rows = self.store.snapshot();
        let tables: Vec<Table> =
            rows.rows().map(|(key, _)| claviger_store::RowId::from_key(key).unwrap().table()).collect();
        let beside =
            [Table::Keys, Table::LogHeads, Table::LogLeaves, Table::LogTiles, Table::LogIndex, Table::Idempotency];
        let counted = Table::ALL.into_iter().filter(|table| !beside.contains(table));
        counted.map(|table| (table, tables.iter().filter(|other| **other == table).count())).collect()
    }
}

/// The request of a first login.
pub fn enrolling(name: &str, enrolment: &Secret, password: &str) -> EnrolRequest {
    let enrolment = enrolment.duplicate().disclose();
    EnrolRequest { name: part(name), enrolment, confirmation: None, password: secret(password).disclose() }
}

/// The code that an app shows at a step.
pub fn code_of(base32: &Secret, step: u64) -> Secret {
    secret(&totp::code(&totp::from_base32(base32).unwrap(), step).unwrap())
}

/// A permit that must be given: as if a second factor had just been proven, where no account is marked and no customer
/// has limits.
pub fn may<A: Act>(open: &Open, caller: &Caller, resource: Resource) -> claviger_core::policy::Permit<A> {
    let (second_factor_at, limits) = (caller.second_factor_at.map(|_| open.now()), Some(&NO_LIMITS));
    let around = Circumstances { mark: Mark::Usual, second_factor_at, limits, ..caller.circumstances(open.now()) };
    open.decide(caller, &resource, &around).unwrap()
}

pub fn wire_secret(disclosed: claviger_api::secret::Disclosed) -> Secret {
    disclosed.into_secret()
}

pub fn standing(name: &str, password: &str) -> NewAccount {
    NewAccount::standing(part(name), Some(secret(password)))
}

pub fn ephemeral(name: &str) -> NewAccount {
    let member_of: Vec<Login> = vec!["readers".parse().unwrap()];
    NewAccount { kind: AccountKind::Ephemeral, member_of, secret: None, ..standing(name, "x") }
}

pub fn shared() -> AccountSettings {
    AccountSettings { max_holders: 2, ..AccountSettings::default() }
}

pub fn by_management() -> AccountSettings {
    AccountSettings { rotate_by: RotateBy::Management, ..AccountSettings::default() }
}

pub fn new_grant(to: &str, role: Role, scope: GrantScope) -> NewGrant {
    NewGrant {
        spans_customers: false,
        principal: part(to),
        kind: GrantKind::MayUse,
        role,
        scope,
        ttl_seconds: 30 * 86_400,
        max_checkout_seconds: Some(4 * 3600),
        conditions: wire::Conditions::default(),
    }
}

/// A check-out for an hour.
pub fn of(account: &str) -> NewCheckout {
    NewCheckout {
        account: path(&format!("acme/db1/{account}")),
        ttl_seconds: Some(3600),
        reason: "a look at the disks".to_owned(),
        ticket: Some("T-1".to_owned()),
        claim: Claim::Now,
        on_conflict: OnConflict::Fail,
        not_before: None,
    }
}

pub fn waiting(account: &str) -> NewCheckout {
    NewCheckout { on_conflict: OnConflict::Wait, ..of(account) }
}
