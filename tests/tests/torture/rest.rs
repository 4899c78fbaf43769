//! Until nothing goes on any more.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use claviger_api::ProblemType;
use claviger_api::wire::{CheckoutQuery, CheckoutState, RevocationState, RotationQuery};
use claviger_client::Client;

use crate::clients::Ledger;
use crate::house::{House, WORKERS, name_of};

/// Longer than what was sent before the last kill may be on the way, some tries, and the life of a checkout that was left.
const WITHIN: Duration = Duration::from_mins(5);
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Whoever waits for it.
pub struct Rest {
    pub administrator: Client,
}

impl Rest {
    /// With a session of its own: the first one may be over.
    pub async fn of(house: &House) -> Self {
        let administrator = house.vault.people.administrator.log_in(house.vault.address()).await;
        Self { administrator: administrator.client(house.vault.address()) }
    }

    /// Gives back whatever is held, and waits until each end is proven and each rotation over.
    pub async fn come(&self, house: &House, ledger: &Mutex<Ledger>) {
        let start = Instant::now();
        let clients: Vec<(String, Client)> =
            (0..WORKERS).map(|number| (name_of(number), house.client(number))).collect();
        for checkout in self.checkouts(Some(CheckoutState::Active)).await {
            let holder = clients.iter().find(|(name, _)| checkout.principal.as_str() == name);
            let holder = &holder.unwrap_or_else(|| panic!("{} is held by nobody", checkout.id)).1;
            match holder.checkouts().checkin(checkout.id).await {
                Ok(_) => ledger.lock().unwrap().gave_back(checkout.id),
                // Its time was over first; whether it should have ended so, the judge says.
                Err(ended) if ended.problem_type() == Some(ProblemType::CheckoutEnded) => {}
                Err(why) => panic!("{} cannot be given back: {why}", checkout.id),
            }
        }
        loop {
            let going_on = self.going_on().await;
            if going_on.is_empty() {
                println!("at rest after {} s", start.elapsed().as_secs());
                return;
            }
            assert!(start.elapsed() < WITHIN, "there is no rest from {going_on:#?}");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// What goes on, in words.
    async fn going_on(&self) -> Vec<String> {
        let query = RotationQuery { customer: "acme".to_owned(), unfinished: true, ..RotationQuery::default() };
        let rotations = self.administrator.rotations().list(query).all().await.unwrap();
        let mut going_on: Vec<String> = rotations
            .iter()
            .map(|rotation| format!("{}: {:?}, {}", rotation.id, rotation.step, rotation.message))
            .collect();
        if going_on.is_empty() {
            let checkouts = self.checkouts(None).await;
            let over = |state| matches!(state, RevocationState::Proven | RevocationState::NotNeeded);
            let open = checkouts.iter().filter(|checkout| {
                let revocation = checkout.revocation.as_ref();
                checkout.state != CheckoutState::Ended || !revocation.is_some_and(|revocation| over(revocation.state))
            });
            going_on.extend(open.map(|checkout| {
                let revocation = checkout.revocation.as_ref().map(|revocation| revocation.state);
                format!("{}: {:?}, {revocation:?}", checkout.id, checkout.state)
            }));
        }
        going_on
    }

    async fn checkouts(&self, state: Option<CheckoutState>) -> Vec<claviger_api::wire::Checkout> {
        let query = CheckoutQuery { customer: "acme".to_owned(), state, ..CheckoutQuery::default() };
        self.administrator.checkouts().list(query).all().await.unwrap()
    }
}
