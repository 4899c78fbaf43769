//! The record: whole, provable, and readable by whoever may.

use claviger_api::Scope;
use claviger_api::audit::hash::Hash;
use claviger_api::audit::merkle::{root_of, verify_consistency, verify_inclusion};
use claviger_api::audit::note::{Checkpoint, VerifierKey};
use claviger_api::audit::verify::verify_export;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, ProofQuery};
use claviger_core::policy::Resource;

use super::world::{Refused as _, World, may, of};
use crate::journal::head::leaf_hash;
use crate::{Once, Paging};

async fn busy() -> World {
    let world = World::new().await;
    let tess = world.tess().await;
    for _ in 0..30 {
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.step().await;
    }
    world
}

#[tokio::test]
async fn an_export_proves_itself_and_a_changed_one_does_not() {
    let world = busy().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    let file = open.export(scope, 0, &root, may(&open, &root, Resource::Customer(acme))).await.unwrap().concat();
    let lines: Vec<String> = file.lines().map(str::to_owned).collect();
    let response = open.checkpoint(scope, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    let trusted: VerifierKey = response.verifier_key.parse().unwrap();
    let read = |lines: &[String]| verify_export(lines.iter().cloned().map(Ok::<_, std::io::Error>), Some(&trusted));
    let report = read(&lines).unwrap();
    assert!(report.is_whole() && report.withheld_count() == 0, "{report:?}");
    assert!(report.entries > 256, "{} entries: a full tile and more", report.entries);
    let checkpoint = Checkpoint::open(&response.checkpoint, std::slice::from_ref(&trusted)).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (report.entries, report.checkpoint_root));

    let mut hashes = Vec::new();
    for index in 0..checkpoint.size {
        hashes.push(leaf_hash(open.sealed(), open.keyring(), scope, index).await.unwrap());
    }
    assert_eq!(root_of(&hashes), checkpoint.root);
    let changed = |from: &str, to: &str| lines.iter().map(|line| line.replacen(from, to, 1)).collect::<Vec<_>>();
    assert!(read(&changed("checkout.revealed", "checkout.extended")).is_err());
    assert!(read(&lines[..lines.len() - 2]).is_err());
    world.check().await;
}

#[tokio::test]
async fn proofs_hold_for_entries_and_for_growth() {
    let world = busy().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    let prove = async |index, from_size, size| {
        let query = ProofQuery { customer: None, index, from_size, size };
        open.proof(scope, &query, may(&open, &root, Resource::Customer(acme))).await
    };
    let whole = prove(Some(0), None, None).await.unwrap();
    let hash = |text: &String| text.parse::<Hash>().unwrap();
    for index in [0, 1, 255, 256, 257, whole.size - 1] {
        let proof = prove(Some(index), None, None).await.unwrap();
        let leaf = leaf_hash(open.sealed(), open.keyring(), scope, index).await.unwrap();
        let hashes: Vec<Hash> = proof.hashes.iter().map(hash).collect();
        verify_inclusion(&leaf, index, proof.size, &hashes, &hash(&proof.root)).unwrap();
    }
    for from in [1, 255, 256, 257] {
        let earlier = prove(Some(0), None, Some(from)).await.unwrap();
        let proof = prove(None, Some(from), None).await.unwrap();
        let hashes: Vec<Hash> = proof.hashes.iter().map(hash).collect();
        verify_consistency(from, &hash(&earlier.root), proof.size, &hash(&proof.root), &hashes).unwrap();
    }
    assert_eq!(prove(Some(0), None, Some(whole.size + 1)).await.problem(), ProblemType::InvalidValue);
    assert_eq!(prove(None, None, None).await.problem(), ProblemType::InvalidValue);
    assert_eq!(prove(Some(whole.size), None, None).await.problem(), ProblemType::InvalidValue);
}

#[tokio::test]
async fn events_are_listed_newest_first_by_what_is_asked_for() {
    let world = busy().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    let mut cursor: Option<String> = None;
    let mut seen = Vec::new();
    loop {
        let query = AuditQuery { kind: Some("checkout.revealed".to_owned()), ..AuditQuery::default() };
        let paging = Paging::new(Some(7), cursor.as_deref()).unwrap();
        let permit = may(&open, &root, Resource::Customer(acme));
        let page = open.audit_events(scope, &query, &paging, &root, permit).await.unwrap();
        seen.extend(page.items.into_iter().map(|event| event.index));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 30);
    assert!(seen.is_sorted_by(|a, b| a > b));
    let query = AuditQuery { actor: Some("tess".to_owned()), ..AuditQuery::default() };
    let paging = Paging::new(None, None).unwrap();
    let permit = may(&open, &root, Resource::Customer(acme));
    let hers = open.audit_events(scope, &query, &paging, &root, permit).await.unwrap();
    assert_eq!(hers.items.len(), 90, "of hers: a request, a reveal and an end each");
    assert!(hers.items[0].fields.contains_key("actor_name"));
}

/// The customers' heads are in the operator's log, once for each growth.
#[tokio::test]
async fn checkpoints_are_published_when_a_log_has_grown() {
    let world = World::new().await;
    let open = world.open();
    let mut published = std::collections::HashMap::new();
    let size = async || open.head(Scope::Operator).await.unwrap().frontier.size();
    let before = size().await;
    open.publish_checkpoints(&mut published).await.unwrap();
    open.publish_checkpoints(&mut published).await.unwrap();
    assert_eq!(size().await, before + 1);
    world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    open.publish_checkpoints(&mut published).await.unwrap();
    assert_eq!(size().await, before + 2);
    world.check().await;
}
