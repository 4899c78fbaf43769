//! The holes seen in the field: our engine has none of them on any kind of system, and the harness finds each in an
//! engine that has it.

use super::harness::{Broken, Hole, Kind, explore};

const PLAIN: Kind = Kind { history: false, truncates: false, lags: false, locks: false };
const HISTORY: Kind = Kind { history: true, ..PLAIN };
const LAGS: Kind = Kind { lags: true, ..PLAIN };
const LOCKS: Kind = Kind { locks: true, ..PLAIN };

/// States of all sixteen kinds of systems together, with one fault and with two (docs/adr/0026).
const STATES: usize = 793_115;
const STATES_OF_TWO_FAULTS: usize = 6_270_187;

fn states(faults: u8) -> usize {
    let states = |kind| explore(kind, None, faults).unwrap_or_else(|broken| panic!("{broken:?} on {kind:?}"));
    Kind::all().map(states).sum()
}

#[test]
fn every_law_holds_in_every_state_of_every_kind_of_system() {
    assert_eq!(states(1), STATES);
}

#[test]
#[ignore = "a minute: cargo nextest run -p claviger-core --run-ignored only"]
fn every_law_holds_with_a_second_fault() {
    assert_eq!(states(2), STATES_OF_TWO_FAULTS);
}

#[track_caller]
fn finds(hole: Hole, kind: Kind, broken: Broken) {
    let found = explore(kind, Some(hole), 1).expect_err("the harness must find the hole");
    assert!(found.contains(&broken), "{found:?}");
}

#[test]
fn anvil_lost_ack_is_found() {
    finds(Hole::LostAck, HISTORY, Broken::Lost);
}

#[test]
fn anvil_cancel_erases_is_found() {
    finds(Hole::CancelErases, PLAIN, Broken::Lost);
}

#[test]
fn anvil_unreachable_is_not_wrong_is_found() {
    finds(Hole::UnreachableIsWrong, PLAIN, Broken::Lost);
}

#[test]
fn anvil_endless_refusal_is_found() {
    finds(Hole::EndlessRefusal, HISTORY, Broken::Pestered);
}

#[test]
fn anvil_verify_lag_is_found() {
    finds(Hole::VerifyLag, LAGS, Broken::Lost);
}

#[test]
fn anvil_lockout_spent_is_found() {
    finds(Hole::LockoutSpent, LOCKS, Broken::LockedOut);
    finds(Hole::CountedAfter, LOCKS, Broken::LockedOut);
}

#[test]
fn anvil_partial_set_is_found() {
    finds(Hole::StoredAfter, PLAIN, Broken::Lost);
}

#[test]
fn anvil_restart_rotates_is_found() {
    finds(Hole::RestartBeginsAnew, PLAIN, Broken::Lost);
}

#[test]
fn anvil_failover_stops_is_found() {
    finds(Hole::FailoverStops, PLAIN, Broken::Stuck);
}

#[test]
fn anvil_late_writer_is_found() {
    finds(Hole::LateWriterForgotten, PLAIN, Broken::Lost);
}
