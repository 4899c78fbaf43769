//! SSH certificates: what leaves, and the end of what has left.

use claviger_api::CheckoutId;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AccountKind, EndCause, NewAccount, NewSystem, RevocationState, SignKey, Signed, SystemSpec};
use claviger_core::policy::{CheckoutReveal, Resource};
use claviger_crypto::ssh::public_text;
use claviger_store::Table;
use claviger_store::memory::{CommitFault, FaultPlan};
use ssh_key::Certificate;

use super::world::{Refused as _, World, may, of, part, seconds, standing};
use crate::open::Caller;
use crate::{Once, Result};

/// A host beside the others, with an account that is opened by certificates.
pub(super) async fn world() -> World {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let acme = world.acme().await;
    let host_keys = vec![public_text(&[7; 32]).parse().unwrap()];
    let spec =
        SystemSpec::Linux { host: "web01.acme.example".to_owned(), port: 22, host_keys, lockout_threshold: None };
    let new = NewSystem { name: part("web01"), spec, management_account: None };
    let permit = may(&open, &root, Resource::Customer(acme));
    open.add_system(acme, &new, &Once::none(), &root, permit).await.unwrap();
    let root = NewAccount { kind: AccountKind::Certificate, secret: None, ..standing("root", "unused") };
    world.add_account("acme", "web01", root).await.unwrap();
    world
}

pub(super) async fn sign(world: &World, caller: &Caller, id: CheckoutId) -> Result<Signed> {
    let (found, permit) = world.found::<CheckoutReveal>(caller, id).await?;
    let wanted = SignKey { public_key: public_text(&[9; 32]) };
    let signed = world.open().sign_certificate(&found, &wanted, caller, permit).await?;
    world.holds(signed.receipt.as_ref(), found.customer, signed.event_index).await;
    Ok(signed)
}

pub(super) fn held(account: &str) -> claviger_api::wire::NewCheckout {
    let mut new = of(account);
    new.account = format!("acme/web01/{account}").parse().unwrap();
    new
}

fn revoked(world: &World) -> usize {
    world.census().into_iter().find(|(table, _)| *table == Table::RevokedCertificates).map_or(0, |(_, rows)| rows)
}

#[tokio::test]
async fn a_certificate_ends_with_its_checkout_and_the_vault_sees_it_refused() {
    let world = world().await;
    let tess = world.tess().await;
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(10));
    let signed = sign(&world, &tess, checkout.id).await.unwrap();
    let certificate = Certificate::from_openssh(&signed.certificate).unwrap();
    let expires_at = checkout.expires_at.unwrap();
    assert_eq!(
        i64::try_from(certificate.valid_before()).unwrap(),
        expires_at.as_second(),
        "no later than the checkout"
    );
    assert_eq!(certificate.serial().to_string(), signed.serial);
    assert!(certificate.key_id().contains(&checkout.id.to_string()) && certificate.key_id().contains("tess"));
    let again = sign(&world, &tess, checkout.id).await.unwrap();
    assert_ne!(again.serial, signed.serial, "each has a number of its own");
    world.check().await;

    world.clock.advance(expires_at.duration_since(world.now()));
    assert_eq!(sign(&world, &tess, checkout.id).await.problem(), ProblemType::CheckoutEnded);
    world.step().await;
    let ended = world.view(checkout.id).await;
    let revocation = ended.revocation.unwrap();
    assert_eq!((ended.end_cause, revocation.state), (Some(EndCause::Expired), RevocationState::Proven));
    assert_eq!(revocation.revocation_lag_milliseconds, Some(0));
    assert!(revocation.sessions_may_remain, "sshd ends none");
    assert_eq!(revoked(&world), 0, "it needs no list");
    world.check().await;
}

#[tokio::test]
async fn what_was_given_back_early_is_listed_tried_and_proven() {
    let world = world().await;
    let tess = world.tess().await;
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    let signed = sign(&world, &tess, checkout.id).await.unwrap();
    world.clock.advance(seconds(60));
    world.check_in(&tess, checkout.id).await.unwrap();
    world.step().await;
    assert_eq!(world.view(checkout.id).await.revocation.unwrap().state, RevocationState::StillAccepted);
    assert_eq!(revoked(&world), 1);
    world.check().await;

    // The host has the list: the vault's own certificate has the number of the holder's.
    world.system.machine().revoked.insert(signed.serial.parse().unwrap());
    world.pass(seconds(2)).await;
    let revocation = world.view(checkout.id).await.revocation.unwrap();
    assert_eq!(revocation.state, RevocationState::Proven);
    assert_eq!(revocation.revocation_lag_milliseconds, Some(2000), "from the check-in");
    assert_eq!(revoked(&world), 1, "it stays on the list while it has time");
    world.check().await;
    world.pass(seconds(3 * 24 * 3600)).await;
    assert_eq!(revoked(&world), 0, "and goes when it has none");
    world.check().await;
}

#[tokio::test]
async fn without_a_list_the_proof_waits_for_the_certificates_own_end() {
    let world = world().await;
    let tess = world.tess().await;
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    let signed = sign(&world, &tess, checkout.id).await.unwrap();
    world.check_in(&tess, checkout.id).await.unwrap();
    world.pass(signed.valid_before.duration_since(world.now()) - seconds(1)).await;
    assert_eq!(world.view(checkout.id).await.revocation.unwrap().state, RevocationState::StillAccepted);
    world.open().look_after_secrets().await.unwrap();
    let owed = world.open().seen_in_upkeep().unwrap().owed;
    assert_eq!(owed.unproven, 1);
    assert!(owed.unproven_since.unwrap() > world.now(), "it is not late before the certificate's own end");
    world.pass(seconds(3)).await;
    assert_eq!(world.view(checkout.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_proves_nothing() {
    let world = world().await;
    let tess = world.tess().await;
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    sign(&world, &tess, checkout.id).await.unwrap();
    world.system.machine().unreachable = true;
    world.pass(seconds(3700)).await;
    let revocation = world.view(checkout.id).await.revocation.unwrap();
    assert_eq!((revocation.state, revocation.refused_at), (RevocationState::Unresolved, None));
    world.check().await;
    world.system.machine().unreachable = false;
    world.pass(seconds(900)).await;
    assert_eq!(world.view(checkout.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

/// No change without its event: a certificate whose event could not be stored does not leave.
#[tokio::test]
async fn no_certificate_leaves_before_its_event_is_durable() {
    let world = world().await;
    let tess = world.tess().await;
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    assert_eq!(sign(&world, &tess, checkout.id).await.problem(), ProblemType::Unavailable);
    world.store.set_faults(FaultPlan::none());
    world.check().await;
}

#[tokio::test]
async fn what_was_never_signed_needs_no_proof_and_nobody_else_signs() {
    let world = world().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let checkout = world.check_out(&tess, &held("root"), &Once::none()).await.unwrap();
    assert_eq!(sign(&world, &tom, checkout.id).await.problem(), ProblemType::Forbidden);
    assert_eq!(world.reveal(&tess, checkout.id).await.problem(), ProblemType::WrongAccountKind);
    let refused = world.check_out(&tom, &held("root"), &Once::none()).await;
    assert_eq!(refused.problem(), ProblemType::AccountHeld, "exclusive, like any other");
    world.check_in(&tess, checkout.id).await.unwrap();
    world.step().await;
    assert_eq!(world.view(checkout.id).await.revocation.unwrap().state, RevocationState::NotNeeded);
    let app = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert_eq!(sign(&world, &tess, app.id).await.problem(), ProblemType::WrongAccountKind);
    world.check().await;
}
