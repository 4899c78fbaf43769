//! What the record tells of a person who is gone: erased, and every proof as it was.

use claviger_api::audit::note::VerifierKey;
use claviger_api::audit::verify::verify_export;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, Erasure, NewErasure, PrincipalKind};
use claviger_api::{PrincipalId, Scope};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};

use super::world::{Refused as _, World, key, may, of, part};
use crate::error::Result;
use crate::{Once, Paging};

async fn erase(world: &World, whom: &str, once: &Once) -> Result<Erasure> {
    let (open, root) = (world.open(), world.root().await);
    let new = NewErasure { principal: whom.to_owned(), reason: "asked for by herself".to_owned() };
    open.erase_principal(&new, once, &root, may(&open, &root, Resource::Operator)).await
}

async fn found(world: &World, query: AuditQuery) -> Vec<u64> {
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let permit = may(&open, &root, Resource::Customer(acme));
    let paging = Paging::new(Some(1000), None).unwrap();
    let page = open.audit_events(Scope::Customer(acme), &query, &paging, &root, permit).await.unwrap();
    page.items.into_iter().map(|event| event.index).collect()
}

fn about(text: &str) -> AuditQuery {
    AuditQuery { text: Some(text.to_owned()), ..AuditQuery::default() }
}

/// tess has worked, and is gone.
async fn gone() -> (World, PrincipalId) {
    let world = World::new().await;
    let tess = world.tess().await;
    for _ in 0..12 {
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.step().await;
    }
    while world.open().index_a_block().await.unwrap() {}
    let (open, root) = (world.open(), world.root().await);
    open.remove_principal(&part("tess"), PrincipalKind::User, &root, may(&open, &root, Resource::Operator))
        .await
        .unwrap();
    world.step().await;
    (world, tess.id)
}

#[tokio::test]
async fn an_erased_person_is_an_id_and_every_proof_is_as_it_was() {
    let (world, tess) = gone().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let scope = Scope::Customer(acme);
    let before = found(&world, about("tess")).await;
    assert!(before.len() > 30, "{before:?}");
    assert!(open.has_indexed(scope, "tess").await && open.has_indexed(scope, "disks").await);
    let head = open.head(scope).await.unwrap().frontier;
    assert_eq!(erase(&world, "tess", &Once::none()).await.unwrap().principal, tess);

    // Neither by what the index had of her, nor by reading, nor in a file.
    for word in ["tess", "disks"] {
        assert_eq!(found(&world, about(word)).await, [0; 0], "{word}");
    }
    let by_id = AuditQuery { principal: Some(tess.to_string()), ..AuditQuery::default() };
    // One more tells that it was done.
    assert_eq!(found(&world, by_id.clone()).await.len(), before.len() + 1, "what she did stays, under her id");
    while open.index_a_block().await.unwrap() {}
    assert!(
        !open.has_indexed(scope, "tess").await && !open.has_indexed(scope, "disks").await,
        "not even a page has it"
    );
    assert!(open.has_indexed(scope, "db1").await, "it is indexed again");
    assert_eq!(found(&world, by_id).await.len(), before.len() + 1);
    let file = open.export(scope, 0, &root, may(&open, &root, Resource::Customer(acme))).await.unwrap().concat();
    assert!(!file.contains("\"tess\"") && !file.contains("a look at the disks"));
    let key: VerifierKey = open
        .checkpoint(scope, may(&open, &root, Resource::Customer(acme)))
        .await
        .unwrap()
        .verifier_key
        .parse()
        .unwrap();
    let report = verify_export(file.lines().map(|line| Ok::<_, std::io::Error>(line.to_owned())), Some(&key)).unwrap();
    assert!(report.is_whole() && report.withheld_count() > 40, "{report:?}");
    assert!(report.completeness.unwrap().faults.is_empty());
    let proof = open.leaves(scope, head.size()).await.unwrap();
    assert_eq!(
        claviger_api::audit::merkle::root_at(&proof, head.size()).unwrap(),
        head.root(),
        "the history is the same"
    );

    let paging = Paging::new(None, None).unwrap();
    let all = open.checkouts(acme, None, &paging, |_| true).await.unwrap().items;
    assert!(all.iter().all(|checkout| checkout.principal_id != tess || checkout.reason == "erased"));
    assert!(all.iter().all(|checkout| checkout.principal.as_str() == "erased"), "{all:?}");
    world.check().await;
}

#[tokio::test]
async fn only_who_was_removed_is_erased_and_once_is_enough() {
    let (world, tess) = gone().await;
    assert_eq!(erase(&world, "tom", &Once::none()).await.problem(), ProblemType::InUse, "he is still here");
    let tom = world.tom().await.id.to_string();
    assert_eq!(erase(&world, &tom, &Once::none()).await.problem(), ProblemType::InUse);
    for nobody in ["nobody", "no name", "pr_0197a3c2e1f07b1a8c3d4e5f60718293"] {
        assert_eq!(erase(&world, nobody, &Once::none()).await.problem(), ProblemType::NotFound, "{nobody}");
    }
    let once = key("e");
    for _ in 0..2 {
        assert_eq!(
            erase(&world, &tess.to_string(), &once).await.unwrap().principal,
            tess,
            "a repeat is answered alike"
        );
    }
    assert_eq!(erase(&world, "tess", &Once::none()).await.problem(), ProblemType::NotFound, "the name is gone");
    assert_eq!(erase(&world, &tess.to_string(), &Once::none()).await.unwrap().principal, tess, "there is nothing left");
    // Two who bore the same name are told apart by their ids.
    for _ in 0..2 {
        world.enrolled("nora").await;
        let (open, root) = (world.open(), world.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.remove_principal(&part("nora"), PrincipalKind::User, &root, permit).await.unwrap();
    }
    assert_eq!(erase(&world, "nora", &Once::none()).await.problem(), ProblemType::InvalidValue);
}

/// All of it, or nothing.
#[tokio::test]
async fn an_erasure_that_fails_has_erased_nothing() {
    let (world, _) = gone().await;
    let moment = world.moment();
    for (seed, fault) in [CommitFault::Refused, CommitFault::UnknownNotApplied].into_iter().enumerate() {
        let world = World::at(&moment, seed as u64).await;
        let before = found(&world, about("tess")).await.len();
        world.store.set_faults(FaultPlan::every_commit(fault));
        assert!(erase(&world, "tess", &Once::none()).await.is_err());
        world.store.set_faults(FaultPlan::none());
        assert_eq!(found(&world, about("tess")).await.len(), before);
        erase(&world, "tess", &Once::none()).await.unwrap();
        assert_eq!(found(&world, about("tess")).await, [0; 0]);
        world.check().await;
    }
}
