//! What a login attempt tells.

use claviger_api::wire::ProbeResult;

use super::{Fixture, login, probe};

/// The right secret is accepted, a wrong one and an absent login are refused.
pub async fn right_wrong_and_absent(fixture: &dyn Fixture) {
    let (there, right, wrong) = (login("probed"), fixture.fresh_secret(), fixture.fresh_secret());
    fixture.add_login(&there, &right).await;
    assert_eq!(probe(fixture, &there, &right).await, ProbeResult::Accepted);
    assert_eq!(probe(fixture, &there, &wrong).await, ProbeResult::Refused);
    assert_eq!(probe(fixture, &login("absent"), &right).await, ProbeResult::Refused);
}

/// A probe changes nothing and shows no secret.
pub async fn a_probe_is_silent(fixture: &dyn Fixture) {
    let (there, right, wrong) = (login("silent"), fixture.fresh_secret(), fixture.fresh_secret());
    fixture.add_login(&there, &right).await;
    for tried in [&right, &wrong] {
        let told = fixture.connector().probe(&fixture.system(), &there, tried).await;
        assert!(!told.detail.contains(tried.expose()), "a secret in: {}", told.detail);
        assert!(!told.detail.is_empty());
    }
    assert!(fixture.opens(&there, &right).await);
}
