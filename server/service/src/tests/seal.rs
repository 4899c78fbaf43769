//! How the root key comes into memory, and goes.

use claviger_api::Secret;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{EndCause, InitRequest, SealState};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{RowId, Table};

use super::world::{PASSWORD, Refused as _, World, may, of, part, seconds, secret, wire_secret};
use crate::Once;

async fn split(shares: u8, threshold: u8) -> (World, Vec<Secret>) {
    let world = World::bare();
    let request = InitRequest::Shamir { shares, threshold, administrator: part("root") };
    let made = world.vault.init(request).await.unwrap();
    (world, made.shares.into_iter().map(wire_secret).collect())
}

#[tokio::test]
async fn any_k_of_n_shares_open_it_and_fewer_do_not() {
    let (world, shares) = split(5, 3).await;
    assert_eq!(world.vault.seal_status().await.unwrap().seal, SealState::Sealed, "initialised, and not open");
    assert_eq!(world.vault.open().problem(), ProblemType::Sealed);
    for (n, share) in [&shares[4], &shares[0]].into_iter().enumerate() {
        let status = world.vault.unseal(share, None).await.unwrap();
        assert_eq!((status.seal, status.threshold, usize::from(status.provided)), (SealState::Sealed, 3, n + 1));
        assert!(world.vault.open().is_err());
    }
    assert_eq!(world.vault.unseal(&shares[2], None).await.unwrap().seal, SealState::Unsealed);
    assert!(world.vault.open().is_ok());
    assert_eq!(world.vault.unseal(&secret("anything"), None).await.unwrap().seal, SealState::Unsealed, "open already");
}

#[tokio::test]
async fn anvil_shamir_wrong_shares_are_refused_and_good_ones_kept() {
    let (world, shares) = split(3, 2).await;
    let (_, foreign) = {
        let other = World::bare();
        // Another vault of other randomness.
        other.vault.ground().random.fill(&mut [0; 7]);
        let request = InitRequest::Shamir { shares: 2, threshold: 2, administrator: part("root") };
        let made = other.vault.init(request).await.unwrap();
        (other, made.shares.into_iter().map(wire_secret).collect::<Vec<_>>())
    };
    world.vault.unseal(&shares[0], None).await.unwrap();
    let mistyped = {
        let mut text = shares[1].expose().to_owned();
        let last = text.pop().unwrap();
        text.push(if last == '0' { '1' } else { '0' });
        secret(&text)
    };
    for wrong in [&shares[0], &foreign[0], &mistyped, &secret("cvk1-nonsense"), &secret("correct horse battery staple")]
    {
        assert_eq!(world.vault.unseal(wrong, None).await.problem(), ProblemType::WrongShare);
        assert_eq!(world.vault.seal_status().await.unwrap().provided, 1, "the good one is kept");
    }
    assert_eq!(world.vault.unseal(&shares[2], None).await.unwrap().seal, SealState::Unsealed);
    for (n, k) in [(17, 2), (5, 6), (3, 0), (2, 1)] {
        let request = InitRequest::Shamir { shares: n, threshold: k, administrator: part("root") };
        assert_eq!(World::bare().vault.init(request).await.problem(), ProblemType::InvalidValue, "{k} of {n}");
    }
}

#[tokio::test]
async fn a_passphrase_opens_it_and_another_does_not() {
    let init =
        |text: &str| InitRequest::Passphrase { passphrase: secret(text).disclose(), administrator: part("root") };
    assert_eq!(World::bare().vault.init(init("fifteen letters")).await.problem(), ProblemType::InvalidValue);
    let world = World::bare();
    assert_eq!(world.vault.unseal(&secret("x"), None).await.problem(), ProblemType::NotInitialised);
    assert_eq!(world.vault.seal_status().await.unwrap().seal, SealState::NotInitialised);
    assert!(world.vault.init(init("sixteen letters!")).await.unwrap().shares.is_empty());
    assert_eq!(world.vault.unseal(&secret("sixteen letters?"), None).await.problem(), ProblemType::WrongShare);
    assert_eq!(world.vault.unseal(&secret("sixteen letters!"), None).await.unwrap().seal, SealState::Unsealed);
    assert_eq!(world.vault.init(init("sixteen letters!")).await.problem(), ProblemType::AlreadyInitialised);
}

#[tokio::test]
async fn a_vault_is_initialised_once_whatever_fails() {
    let init = || InitRequest::Shamir { shares: 1, threshold: 1, administrator: part("root") };
    let faults = [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied];
    for (first, second) in faults.into_iter().flat_map(|first| faults.map(|second| (first, second))) {
        let mut world = World::bare();
        let mut made = false;
        for fault in [Some(first), Some(second), None] {
            world.store.set_faults(fault.map_or_else(FaultPlan::none, |fault| FaultPlan::nth_commit(1, fault)));
            let answer = world.vault.init(init()).await;
            let stored = fault.is_none_or(|fault| fault == CommitFault::UnknownApplied);
            assert_eq!(answer.is_ok(), stored && !made, "{first:?} {second:?} {fault:?}");
            match answer {
                Ok(answer) => {
                    made = true;
                    world.shares = std::sync::Arc::new(answer.shares.into_iter().map(wire_secret).collect());
                }
                Err(error) if made => assert_eq!(error.problem, ProblemType::AlreadyInitialised),
                Err(error) => assert_eq!(error.problem, ProblemType::Unavailable),
            }
        }
        world.store.set_faults(FaultPlan::none());
        world.unseal().await;
        world.check().await;
    }
    let world = World::bare();
    let (a, b) = tokio::join!(world.vault.init(init()), world.vault.init(init()));
    assert!(a.is_ok() != b.is_ok());
}

#[tokio::test]
async fn a_sealed_vault_refuses_everything_and_opens_again_as_it_was() {
    let world = World::new().await;
    let (tess, root) = (world.tess().await, world.root().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let open = world.open();
    let status = world.vault.seal(&open, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(status.seal, SealState::Sealed);
    assert_eq!(world.vault.open().problem(), ProblemType::Sealed);
    assert!(!world.vault.health().await.writable);
    drop(open);
    world.unseal().await;
    assert!(world.reveal(&tess, held.id).await.is_ok());
    assert!(world.open().login_user(&part("tom"), &secret(PASSWORD), None).await.is_ok());
    world.check().await;
}

/// Ends that fell due while it was sealed are no later than they were, and come first.
#[tokio::test]
async fn what_fell_due_while_sealed_is_done_first() {
    let mut world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let later = world.check_out(&tom, &of("shared"), &Once::none()).await.unwrap();
    world.extend(&tom, later.id, 7200).await.unwrap();
    world.clock.advance(seconds(10_000));
    world.crash(1).await;
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded, "before any worker ran");
    let due = world.open().due().await.unwrap();
    assert!(due.is_sorted_by_key(|timer| timer.due));
    assert_eq!(due.first().map(|timer| timer.id), Some(held.id.uuid()));
    world.step().await;
    for (id, ended_at) in [(held.id, held.expires_at), (later.id, held.expires_at.map(|end| end + seconds(3600)))] {
        let ended = world.view(id).await;
        assert_eq!((ended.end_cause, ended.ended_at), (Some(EndCause::Expired), ended_at));
    }
    assert_eq!(world.view(held.id).await.revocation.unwrap().revocation_lag_milliseconds, Some(6_400_000));
    world.check().await;
}

/// It does not serve before the event that says so is durable.
#[tokio::test]
async fn an_unseal_that_cannot_be_told_is_none() {
    let world = World::new().await;
    let open = world.open();
    let root = world.root().await;
    world.vault.seal(&open, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    drop(open);
    for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied] {
        world.store.set_faults(FaultPlan::every_commit(fault));
        assert!(world.vault.unseal(&world.shares[0], None).await.is_err());
        assert!(world.vault.open().is_err(), "{fault:?}");
    }
    world.store.set_faults(FaultPlan::nth_commit(1, CommitFault::UnknownApplied));
    world.unseal().await;
    world.check().await;
}

#[tokio::test]
async fn health_says_whether_it_can_write() {
    let world = World::new().await;
    assert!(world.vault.health().await.writable);
    assert!(world.vault.health().await.writable);
    world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    assert!(!world.vault.health().await.writable);
    world.store.set_faults(FaultPlan::none());
    assert!(world.vault.health().await.writable);
    assert!(world.store.snapshot().rows().any(|(key, _)| RowId::from_key(key).unwrap().table() == Table::Meta));
    world.check().await;
}
