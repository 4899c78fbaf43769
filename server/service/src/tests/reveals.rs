//! Every way by which something leaves the vault, with a store that fails at any of its commits, on either side: what was shown
//! was told, and what was not told was not shown.

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_store::memory::{CommitFault, FaultPlan};

use super::world::{World, of};
use super::{break_glass, by_hand, certificates};
use crate::Once;
use crate::error::Result;

/// The ways out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Standing,
    Ephemeral,
    Certificate,
    Unresolved,
    Task,
}

const WAYS: [Way; 5] = [Way::Standing, Way::Ephemeral, Way::Certificate, Way::Unresolved, Way::Task];
/// The most commits that one of them makes: a login is made before it is shown.
const COMMITS: u64 = 6;

impl Way {
    const fn told_by(self) -> EventKind {
        match self {
            Self::Standing | Self::Ephemeral => EventKind::CheckoutRevealed,
            Self::Certificate => EventKind::CheckoutCertificateSigned,
            Self::Unresolved => EventKind::BreakGlassUnresolvedRevealed,
            Self::Task => EventKind::RotationShown,
        }
    }

    /// A world in which it is about to be taken.
    async fn world(self) -> World {
        match self {
            Self::Standing | Self::Ephemeral => World::new().await,
            Self::Certificate => certificates::world().await,
            Self::Unresolved => {
                let world = break_glass::world().await;
                Box::pin(break_glass::unresolved(&world)).await;
                break_glass::open_at(&world, "acme").await;
                world
            }
            Self::Task => Box::pin(by_hand::given_back()).await.0,
        }
    }

    /// Takes it; the store fails from then on, when the checkout is there.
    async fn take(self, world: &World, faults: FaultPlan) -> Result<()> {
        let tess = world.tess().await;
        let held = match self {
            Self::Standing => Some(of("app")),
            Self::Ephemeral => Some(of("temp")),
            Self::Certificate => Some(certificates::held("root")),
            Self::Unresolved | Self::Task => None,
        };
        let held = match held {
            Some(new) => Some(world.check_out(&tess, &new, &Once::none()).await.unwrap().id),
            None => None,
        };
        world.store.set_faults(faults);
        match (self, held) {
            (Self::Standing | Self::Ephemeral, Some(id)) => world.reveal(&tess, id).await.map(drop),
            (Self::Certificate, Some(id)) => certificates::sign(world, &tess, id).await.map(drop),
            (Self::Unresolved, _) => break_glass::reveal_unresolved(world, "gil", "app").await.map(drop),
            (Self::Task, _) => by_hand::show(world).await.map(drop),
            (Self::Standing | Self::Ephemeral | Self::Certificate, None) => unreachable!("nothing is held"),
        }
    }
}

#[tokio::test]
async fn no_plaintext_leaves_without_its_event_by_any_way() {
    for way in WAYS {
        let moment = Box::pin(way.world()).await.moment();
        let mut shown_in_the_end = false;
        for (seed, commit) in (0..).zip(1..=COMMITS) {
            for (side, fault) in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied]
                .into_iter()
                .enumerate()
            {
                let world = World::at(&moment, seed * 10 + side as u64).await;
                let scope = Scope::Customer(world.acme().await);
                let before = world.told(scope, way.told_by()).await.len();
                let answer = way.take(&world, FaultPlan::nth_commit(commit, fault)).await;
                let reached = world.store.commits() >= commit;
                world.store.set_faults(FaultPlan::none());
                let told = world.told(scope, way.told_by()).await.len() - before;
                assert_eq!(
                    told,
                    usize::from(answer.is_ok()),
                    "{way:?}, commit {commit}, side {side}: {:?}",
                    answer.err()
                );
                shown_in_the_end |= !reached && told == 1;
                world.check().await;
            }
        }
        assert!(shown_in_the_end, "{way:?}: every commit of it was failed");
    }
}

#[tokio::test]
async fn no_plaintext_leaves_a_store_that_takes_nothing() {
    for way in WAYS {
        let world = Box::pin(way.world()).await;
        let scope = Scope::Customer(world.acme().await);
        let before = world.told(scope, way.told_by()).await.len();
        for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied] {
            let world = World::at(&world.moment(), 7).await;
            let answer = way.take(&world, FaultPlan::every_commit(fault)).await;
            world.store.set_faults(FaultPlan::none());
            assert!(answer.is_err(), "{way:?}");
            assert_eq!(world.told(scope, way.told_by()).await.len(), before);
        }
    }
}
