use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn facts(since: &str) -> Facts {
    Facts { since: at(since), exposed_since: None, spread: 0 }
}

fn every(days: u32) -> RotationPolicy {
    RotationPolicy { every_days: Some(days), ..RotationPolicy::default() }
}

fn heartbeat(hours: u32) -> RotationPolicy {
    RotationPolicy { heartbeat_hours: Some(hours), ..RotationPolicy::default() }
}

#[test]
fn each_value_is_the_innermost_ones_that_says_anything() {
    let account = RotationPolicy { every_days: Some(0), ..RotationPolicy::default() };
    let system = RotationPolicy { every_days: Some(7), at_hour: Some(3), ..RotationPolicy::default() };
    let customer = RotationPolicy { at_hour: Some(1), heartbeat_hours: Some(24), ..RotationPolicy::default() };
    let force = in_force([&account, &system, &customer]);
    assert_eq!((force.every_days, force.at_hour, force.heartbeat_hours), (Some(0), Some(3), Some(24)));
    assert_eq!(due(&force, &TimeZone::UTC, &facts("2026-01-01T00:00:00Z")), None, "0 is never");
}

#[test]
fn nobody_who_says_nothing_is_due() {
    assert_eq!(due(&RotationPolicy::default(), &TimeZone::UTC, &facts("2026-01-01T00:00:00Z")), None);
}

#[test]
fn a_secret_is_never_older_than_its_policy_says_and_equals_are_spread() {
    let first = due(&every(30), &TimeZone::UTC, &facts("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(first, Due { at: at("2026-01-31T00:00:00Z"), cause: RotationCause::Scheduled });
    let mut seen = std::collections::BTreeSet::new();
    for spread in (0..1_000_000).step_by(9_973) {
        let facts = Facts { spread, ..facts("2026-01-01T00:00:00Z") };
        let due = due(&every(30), &TimeZone::UTC, &facts).unwrap().at;
        assert!(due <= first.at && due > at("2026-01-30T00:00:00Z"), "{due}");
        seen.insert(due);
    }
    assert!(seen.len() > 90, "{}", seen.len());
}

#[test]
fn what_was_seen_is_due_so_long_after_it_and_the_earlier_cause_wins() {
    let policy = RotationPolicy { after_exposure_hours: Some(8), ..every(30) };
    let seen = Facts { exposed_since: Some(at("2026-01-02T10:00:00Z")), ..facts("2026-01-01T00:00:00Z") };
    let by_exposure = Due { at: at("2026-01-02T18:00:00Z"), cause: RotationCause::Exposure };
    assert_eq!(due(&policy, &TimeZone::UTC, &seen), Some(by_exposure));
    let late = Facts { exposed_since: Some(at("2026-01-30T20:00:00Z")), ..seen };
    assert_eq!(due(&policy, &TimeZone::UTC, &late).unwrap().cause, RotationCause::Scheduled);
    assert_eq!(due(&every(30), &TimeZone::UTC, &seen).unwrap().cause, RotationCause::Scheduled, "not asked for");
}

#[test]
fn the_hour_is_the_customers_and_follows_its_clocks() {
    let vienna = time_zone("Europe/Vienna").unwrap();
    let policy = RotationPolicy { at_hour: Some(2), ..every(30) };
    // Winter: 2 o'clock is 1 o'clock UTC; summer: midnight.
    assert_eq!(due(&policy, &vienna, &facts("2026-01-01T12:00:00Z")).unwrap().at, at("2026-01-31T01:00:00Z"));
    assert_eq!(due(&policy, &vienna, &facts("2026-06-01T12:00:00Z")).unwrap().at, at("2026-07-01T00:00:00Z"));
    // On 29 March 2026 there is no 2 o'clock: it begins at 3, when the clocks were put forward.
    assert_eq!(due(&policy, &vienna, &facts("2026-02-27T12:00:00Z")).unwrap().at, at("2026-03-29T01:00:00Z"));
}

#[test]
fn the_hour_is_the_last_before_the_end_but_never_before_the_secret_came() {
    let policy = RotationPolicy { at_hour: Some(2), ..every(1) };
    for (since, expected) in [
        ("2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"),
        ("2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"),
        ("2026-01-01T02:30:00Z", "2026-01-02T02:00:00Z"),
        ("2026-01-01T23:00:00Z", "2026-01-02T02:00:00Z"),
    ] {
        assert_eq!(due(&policy, &TimeZone::UTC, &facts(since)).unwrap().at, at(expected), "{since}");
    }
    // Seen at 1, replaced 4 hours later at the earliest hour there is.
    let seen = RotationPolicy { at_hour: Some(2), after_exposure_hours: Some(4), ..RotationPolicy::default() };
    let facts = Facts { exposed_since: Some(at("2026-01-01T01:00:00Z")), ..facts("2026-01-01T00:30:00Z") };
    assert_eq!(due(&seen, &TimeZone::UTC, &facts).unwrap().at, at("2026-01-01T02:00:00Z"));
}

#[test]
fn within_the_hour_each_has_its_own_minute() {
    let policy = RotationPolicy { at_hour: Some(2), ..every(30) };
    let own = |spread| due(&policy, &TimeZone::UTC, &Facts { spread, ..facts("2026-01-01T12:00:00Z") }).unwrap().at;
    assert_eq!(own(1_800), at("2026-01-31T02:30:00Z") - SignedDuration::from_hours(0));
    for spread in 0..10_000 {
        let local = own(spread).to_zoned_datetime(TimeZone::UTC);
        assert_eq!(local.hour(), 2, "{local}");
    }
}

#[test]
fn a_secret_is_tried_every_so_often_and_one_that_was_refused_never_again() {
    let now = at("2026-01-01T00:00:00Z");
    let due = |watch: Option<&Watch>, current, after: i64| {
        heartbeat_is_due(&heartbeat(24), watch, current, Some(5), 0, now + SignedDuration::from_hours(after))
    };
    assert!(due(None, 1, 0), "never tried");
    let good = Watch::trying(None, 1, now).tried(ProbeResult::Accepted, now);
    assert!(!due(Some(&good), 1, 23) && due(Some(&good), 1, 24));
    let refused = Watch::trying(Some(&good), 1, now).tried(ProbeResult::Refused, now);
    assert_eq!((refused.drifted(Some(1)), refused.verified_at), (Some(now), Some(now)));
    assert!(!due(Some(&refused), 1, 10_000), "one failure a version");
    assert!(due(Some(&refused), 2, 24), "another version is another question");
    assert_eq!(refused.drifted(Some(2)), None);
    let forgotten = Watch::trying(None, 1, now);
    assert!(!due(Some(&forgotten), 1, 23), "an attempt whose answer is lost was one");
}

#[test]
fn what_says_nothing_of_the_secret_begins_no_drift_and_ends_none() {
    let now = at("2026-01-01T00:00:00Z");
    let refused = Watch::trying(None, 1, now).tried(ProbeResult::Refused, now);
    for result in [ProbeResult::LockedOut, ProbeResult::Unreachable, ProbeResult::HostMismatch, ProbeResult::Unknown] {
        assert_eq!(Watch::trying(None, 1, now).tried(result, now).drifted_since, None, "{result:?}");
        assert_eq!(Watch::trying(Some(&refused), 1, now).tried(result, now).drifted_since, Some(now), "{result:?}");
    }
    assert_eq!(Watch::trying(Some(&refused), 1, now).tried(ProbeResult::Accepted, now).drifted_since, None);
}

#[test]
fn a_system_that_locks_at_once_is_left_to_people() {
    let now = at("2026-01-01T00:00:00Z");
    for (threshold, tried) in [(None, true), (Some(3), true), (Some(2), false), (Some(1), false)] {
        assert_eq!(heartbeat_is_due(&heartbeat(1), None, 1, threshold, 0, now), tried, "{threshold:?}");
    }
}

#[test]
fn every_value_has_its_bounds() {
    let wrong = RotationPolicy {
        every_days: Some(ROTATE_EVERY_DAYS_MAX + 1),
        after_exposure_hours: Some(POLICY_HOURS_MAX + 1),
        at_hour: Some(24),
        heartbeat_hours: Some(POLICY_HOURS_MAX + 1),
        on_drift: None,
    };
    let names: Vec<&str> = check(&wrong).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["every_days", "after_exposure_hours", "heartbeat_hours", "at_hour"]);
    assert!(check(&RotationPolicy { at_hour: Some(23), ..every(ROTATE_EVERY_DAYS_MAX) }).is_empty());
    assert!(time_zone("Europe/Vienna").is_some() && time_zone("Europe/Nowhere").is_none());
}
