//! The hand-over: what opens a customer's systems is the customer's before nobody else can read it any more.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Customer, OffboardCustomer, Offboarding};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::Resource;
use claviger_store::customer_row;
use claviger_store::memory::{CommitFault, FaultPlan};
use serde_json::Value;

use super::kits::{Case, secrets};
use super::world::{FIRST_SECRET, Refused as _, World, may, part};
use crate::error::Result;

/// More commits than an offboarding makes.
const COMMITS: u64 = 20;

impl World {
    async fn hand_over(&self, customer: CustomerId) -> Result<Customer> {
        let (open, root) = (self.open(), self.root().await);
        let offboard = OffboardCustomer {
            reason: "the contract is over".to_owned(),
            confirm: part("acme"),
            without_hand_over: false,
        };
        open.offboard_customer(customer, &offboard, &root, may(&open, &root, Resource::Customer(customer))).await
    }

    async fn offboarding(&self, customer: CustomerId) -> Offboarding {
        let (open, root) = (self.open(), self.root().await);
        open.offboarding(customer, may(&open, &root, Resource::Operator)).await.unwrap()
    }

    /// Whether the customer's key is in the store.
    fn has_key(&self, customer: CustomerId) -> bool {
        let rows = self.store.snapshot();
        rows.rows().any(|(key, _)| *key == customer_row(customer).to_key())
    }
}

impl Case {
    /// A customer that has said whose its secrets are, has no people of its own in the vault any more, and is locked.
    async fn leaving() -> (Self, CustomerId) {
        let case = Self::new(3).await;
        case.limit(Some(case.rule(2))).await.unwrap();
        let acme = case.world.acme().await;
        case.without_cara().await;
        case.world.lock(acme, false).await.unwrap();
        case.world.step().await;
        (case, acme)
    }

    /// What each of the customer's recipients reads in a hand-over.
    fn handed(&self, file: &[u8]) -> Value {
        let texts: Vec<String> = self.own.iter().map(|holder| holder.read(file).unwrap()).collect();
        assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "each of them opens it alone");
        assert!(self.msp.read(file).is_none(), "and nobody of the MSP");
        serde_json::from_str(&texts[0]).unwrap()
    }
}

#[tokio::test]
async fn the_customer_has_its_secrets_before_its_key_goes_whatever_crash_comes_between() {
    for fault in [CommitFault::Refused, CommitFault::UnknownApplied] {
        for n in 1..=COMMITS {
            let (mut case, acme) = Case::leaving().await;
            case.world.hand_over(acme).await.unwrap();
            case.world.store.set_faults(FaultPlan::nth_commit(n, fault));
            let failed = case.world.step().await;
            assert!(!case.world.open().keyring().holds(Scope::Customer(acme)), "the key is not held at commit {n}");
            if !case.world.has_key(acme) {
                let [file] = case.names().try_into().unwrap();
                assert_eq!(secrets(&case.handed(&case.file(&file)), "app")[0].1, FIRST_SECRET);
            }
            case.world.crash(n).await;
            case.configure(vec![case.msp.recipient.clone()], 3).await;
            case.world.step().await;

            let done = case.world.offboarding(acme).await;
            let handed = done.hand_over.clone().unwrap();
            assert_eq!(case.names(), std::slice::from_ref(&handed.file), "what a crash has left is gone at commit {n}");
            assert_eq!((handed.accounts, handed.secrets, handed.bytes), (4, 3, case.file(&handed.file).len() as u64));
            assert!(done.receipt.contains(&handed.file) && done.receipt.contains(&handed.sha256), "{}", done.receipt);
            let body = case.handed(&case.file(&handed.file));
            assert_eq!((body["format"].as_str(), body.get("kit")), (Some("claviger-kit/1"), None));
            for account in ["app", "dba", "shared"] {
                let [(is, secret)] = secrets(&body, account).try_into().unwrap();
                assert!(is == "current" && case.world.system.opens(account, &secret), "{account}");
            }
            assert!(!case.world.has_key(acme));
            let told = case.world.told(Scope::Operator, EventKind::CustomerHandedOver).await;
            assert!(told.len() == 1 && told[0].fields["detail"].contains(&handed.sha256), "{told:?}");

            // It is to be had when there is no key any more, and nobody gets one that was altered.
            let (open, root) = (case.world.open(), case.world.root().await);
            let permit = || may(&open, &root, Resource::Operator);
            assert_eq!(open.hand_over_file(acme, &root, permit()).await.unwrap(), case.file(&handed.file));
            assert_eq!(case.world.told(Scope::Operator, EventKind::KitDownloaded).await.len(), 1);
            case.shelf.files.lock().get_mut(&handed.file).unwrap()[300] ^= 1;
            assert_eq!(open.hand_over_file(acme, &root, permit()).await.problem(), ProblemType::KitUnavailable);
            let found = crate::scrub::findings(&case.world.vault).await.unwrap();
            assert!(found.faults.is_empty(), "{:?}", found.faults);
            if failed.is_empty() && n > 8 {
                break;
            }
        }
    }
}

/// The disk is full: the key stays, and it goes on when there is room.
#[tokio::test]
async fn no_key_goes_while_nothing_can_be_handed_over() {
    let (case, acme) = Case::leaving().await;
    case.world.hand_over(acme).await.unwrap();
    *case.shelf.full.lock() = true;
    for _ in 0..3 {
        assert_eq!(case.world.step().await.len(), 1);
        assert!(case.world.has_key(acme) && case.names().is_empty());
        assert!(!case.world.open().keyring().holds(Scope::Customer(acme)), "it is locked all the same");
    }
    *case.shelf.full.lock() = false;
    assert!(case.world.step().await.is_empty() && !case.world.has_key(acme));
    let file = case.world.offboarding(acme).await.hand_over.unwrap().file;
    assert_eq!(secrets(&case.handed(&case.file(&file)), "app")[0].1, FIRST_SECRET);
}

#[tokio::test]
async fn nobody_is_offboarded_without_its_secrets_unless_somebody_says_so() {
    let case = Case::new(3).await;
    let acme = case.world.acme().await;
    case.without_cara().await;
    case.world.lock(acme, false).await.unwrap();
    case.world.step().await;
    let refused = case.world.hand_over(acme).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::KitsOff);
    assert!(
        refused.detail.contains("--kit-recipient") && refused.detail.contains("without_hand_over"),
        "{}",
        refused.detail
    );
    case.world.offboard(acme, "acme").await.unwrap();
    case.world.step().await;
    assert!(case.names().is_empty());
    let told = case.world.told(Scope::Operator, EventKind::CustomerOffboarding).await;
    assert_eq!(told[0].fields["detail"], "nothing is handed over");
    let (open, root) = (case.world.open(), case.world.root().await);
    let permit = may(&open, &root, Resource::Operator);
    assert_eq!(open.hand_over_file(acme, &root, permit).await.problem(), ProblemType::KitUnavailable);

    // Nor where there is no place for it.
    let world = World::new().await;
    let acme = world.acme().await;
    world.lock(acme, false).await.unwrap();
    world.step().await;
    let refused = world.hand_over(acme).await.err().unwrap();
    assert!(refused.problem == ProblemType::KitsOff && refused.detail.contains("[kits]"), "{}", refused.detail);
}
