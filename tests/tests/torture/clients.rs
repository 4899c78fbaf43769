//! Programs that use accounts without a pause, and what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_api::wire::NewRotation;
use claviger_api::wire::TTL_MIN_SECONDS;
use claviger_api::{AccountPath, CheckoutId, ProblemType, RotationId};
use claviger_client::{Client, Result};
use claviger_tests::inventory::wanted;
use claviger_tests::postgres::Postgres;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::house::{House, Use};

/// How long a checkout lasts that is given back.
const TTL_SECONDS: u64 = 3600;
/// One in so many checkouts is left to expire.
const LEFT: u32 = 30;
/// One in so many times an account is rotated, and not used.
const ROTATED: u32 = 4;
/// The most reveals of one checkout.
const REVEALS_MOST: u32 = 3;
/// Whoever is refused comes again after so long.
const PAUSE: Duration = Duration::from_millis(10);

/// What was acknowledged.
#[derive(Default)]
pub struct Ledger {
    pub taken: BTreeMap<CheckoutId, Taken>,
    pub rotations: BTreeMap<RotationId, AccountPath>,
    /// Answers that came, and say yes.
    pub acknowledged: usize,
    /// Answers that were lost.
    pub unknown: usize,
    /// Why how many requests were refused.
    pub refused: BTreeMap<String, usize>,
}

/// An acknowledged checkout.
pub struct Taken {
    pub account: AccountPath,
    pub seen: Vec<Seen>,
    /// It was acknowledged that it was given back.
    pub given_back: bool,
    /// It is left to expire.
    pub left: bool,
}

/// An acknowledged reveal.
pub struct Seen {
    pub login: String,
    pub secret: String,
    /// Its event, in the customer's log.
    pub event_index: u64,
}

impl Ledger {
    /// In numbers.
    pub fn told(&self) -> String {
        let given_back = self.taken.values().filter(|taken| taken.given_back).count();
        let seen: usize = self.taken.values().map(|taken| taken.seen.len()).sum();
        format!(
            "{} checkouts, {given_back} given back, {seen} reveals, {} rotations; {} answers lost, refused: {:?}",
            self.taken.len(),
            self.rotations.len(),
            self.unknown,
            self.refused
        )
    }

    /// An acknowledged reveal.
    pub fn saw(&mut self, id: CheckoutId, seen: Seen) {
        self.taken.get_mut(&id).unwrap().seen.push(seen);
    }

    /// An acknowledged check-in.
    pub fn gave_back(&mut self, id: CheckoutId) {
        if let Some(taken) = self.taken.get_mut(&id) {
            taken.given_back = true;
        }
    }
}

/// A program.
pub struct Worker {
    client: Client,
    random: StdRng,
    accounts: Arc<Vec<(AccountPath, Use)>>,
    postgres: Arc<Postgres>,
    ledger: Arc<Mutex<Ledger>>,
    over: Arc<AtomicBool>,
}

impl Worker {
    pub fn new(house: &House, number: usize, seed: u64, ledger: &Arc<Mutex<Ledger>>, over: &Arc<AtomicBool>) -> Self {
        Self {
            client: house.client(number),
            random: StdRng::seed_from_u64(seed),
            accounts: house.accounts.clone(),
            postgres: house.postgres.clone(),
            ledger: ledger.clone(),
            over: over.clone(),
        }
    }

    /// Until all is over.
    pub async fn work(mut self) {
        while !self.over.load(Ordering::SeqCst) {
            let (path, usage) = self.accounts[self.random.random_range(0..self.accounts.len())].clone();
            if usage != Use::Ephemeral && self.random.random_ratio(1, ROTATED) {
                self.rotate(path).await;
            } else {
                self.use_and_give_back(&path, usage).await;
            }
        }
    }

    async fn rotate(&mut self, path: AccountPath) {
        let new = NewRotation { account: Some(path.clone()), ..NewRotation::default() };
        let started = self.client.rotations().start(&new).await;
        let Some(started) = self.heard(started).await else { return };
        let mut ledger = self.ledger.lock().unwrap();
        ledger.rotations.extend(started.rotations.iter().map(|rotation| (rotation.id, path.clone())));
    }

    async fn use_and_give_back(&mut self, path: &AccountPath, usage: Use) {
        let left = self.random.random_ratio(1, LEFT);
        let ttl = if left { TTL_MIN_SECONDS } else { TTL_SECONDS };
        let taken = self.client.checkouts().create(&wanted(path, ttl)).await;
        let Some(checkout) = self.heard(taken).await else { return };
        let id = checkout.id;
        let taken = Taken { account: path.clone(), seen: Vec::new(), given_back: false, left };
        self.ledger.lock().unwrap().taken.insert(id, taken);
        for _ in 0..self.random.random_range(0..=REVEALS_MOST) {
            let revealed = self.client.checkouts().reveal(id).await;
            let Some(revealed) = self.heard(revealed).await else { break };
            let (login, secret) = (revealed.login.as_str(), revealed.secret.secret().expose());
            if usage != Use::Shared {
                let opened = self.postgres.client(login, secret, "postgres").await;
                assert!(opened.is_ok(), "{path}, {id}: what was revealed does not open it: {:?}", opened.err());
            }
            let (login, secret) = (login.to_owned(), secret.to_owned());
            let seen = Seen { login, secret, event_index: revealed.event_index };
            self.ledger.lock().unwrap().saw(id, seen);
        }
        if left {
            return;
        }
        let given_back = self.client.checkouts().checkin(id).await;
        if self.heard(given_back).await.is_some() {
            self.ledger.lock().unwrap().gave_back(id);
        }
    }

    /// The answer. What is refused comes again later, and of what was lost nobody knows what came of it.
    async fn heard<T>(&self, answer: Result<T>) -> Option<T> {
        let error = match answer {
            Ok(answer) => {
                self.ledger.lock().unwrap().acknowledged += 1;
                return Some(answer);
            }
            Err(error) => error,
        };
        {
            let mut ledger = self.ledger.lock().unwrap();
            match error.problem_type() {
                None | Some(ProblemType::OutcomeUnknown) => ledger.unknown += 1,
                Some(problem) => *ledger.refused.entry(problem.row().code.to_owned()).or_default() += 1,
            }
        }
        tokio::time::sleep(PAUSE).await;
        None
    }
}
