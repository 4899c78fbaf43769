use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn hook(name: &str) -> Dependent {
    Dependent::Webhook { url: format!("https://{name}.example/hook").parse().unwrap(), ca_certificate: None }
}

fn news(version: Version) -> News {
    News { id: Uuid::from_u128(u128::from(version)), version, rotation: None, since: at(0) }
}

fn somebody() -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(9))
}

fn names(follow_up: &FollowUp) -> Vec<DependentState> {
    follow_up.steps.iter().map(|step| step.progress.state()).collect()
}

#[test]
fn each_is_brought_up_to_date_once_the_one_before_it_is() {
    let follow_up = FollowUp::of(vec![hook("a"), hook("b")]);
    assert_eq!((follow_up.turn(), follow_up.next_at), (None, None), "there was no new secret");

    let follow_up = follow_up.begun(news(2), at(0));
    assert_eq!((follow_up.turn(), follow_up.next_at), (Some((0, &hook("a"))), Some(at(0))));
    let follow_up = follow_up.failed("down".to_owned(), false, at(1));
    assert_eq!(follow_up.turn(), Some((0, &hook("a"))), "nobody is passed over by itself");
    let follow_up = follow_up.updated(at(9));
    assert_eq!((follow_up.turn(), follow_up.next_at), (Some((1, &hook("b"))), Some(at(9))));
    assert_eq!((follow_up.failures, &follow_up.trouble), (0, &None), "the trouble was another's");
    let follow_up = follow_up.updated(at(10));
    assert_eq!((follow_up.is_behind(), follow_up.next_at), (false, None));
}

#[test]
fn it_is_tried_ever_more_seldom_and_never_given_up() {
    let mut follow_up = FollowUp::of(vec![hook("a")]).begun(news(2), at(0));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        follow_up = follow_up.failed("down".to_owned(), false, at(0));
        pauses.push(follow_up.next_at.unwrap().duration_since(at(0)).as_secs());
    }
    assert_eq!(pauses, [5, 15, 60, 300, 900, 3600, 3600, 3600]);
}

#[test]
fn what_is_in_vain_is_not_tried_again_soon() {
    let follow_up = FollowUp::of(vec![hook("a")]).begun(news(2), at(0));
    assert_eq!(follow_up.failed("wrong password".to_owned(), true, at(0)).next_at, Some(at(3600)));
}

#[test]
fn a_newer_secret_starts_anew_for_all_at_once() {
    let follow_up = FollowUp::of(vec![hook("a"), hook("b")]).begun(news(2), at(0)).updated(at(1));
    let follow_up = follow_up.failed("down".to_owned(), true, at(2)).begun(news(3), at(3));
    assert_eq!(names(&follow_up), [DependentState::Waiting; 2]);
    assert_eq!((follow_up.next_at, follow_up.failures), (Some(at(3)), 0));
    assert_eq!(follow_up.news.map(|news| news.version), Some(3));
}

#[test]
fn a_person_passes_over_only_what_waits() {
    let follow_up = FollowUp::of(vec![hook("a"), hook("b"), hook("c")]).begun(news(2), at(0)).updated(at(1));
    assert_eq!(follow_up.clone().skipped(3, somebody(), at(2)), Err(NotSkipped::Nobody));
    assert_eq!(follow_up.clone().skipped(0, somebody(), at(2)), Err(NotSkipped::NotWaiting));

    let failing = follow_up.failed("down".to_owned(), false, at(2));
    let later = failing.clone().skipped(2, somebody(), at(3)).unwrap();
    assert_eq!((later.next_at, later.failures), (failing.next_at, 1), "it was not the turn of that one");
    let now = failing.skipped(1, somebody(), at(3)).unwrap();
    assert_eq!((now.turn(), now.next_at, now.failures), (Some((2, &hook("c"))), Some(at(3)), 0));
}

#[test]
fn a_list_that_is_changed_keeps_what_is_done() {
    let follow_up = FollowUp::of(vec![hook("a"), hook("b")]).begun(news(2), at(0)).updated(at(1));
    let changed = follow_up.failed("typo".to_owned(), true, at(2)).with(vec![hook("a"), hook("c")], at(3));
    assert_eq!(names(&changed), [DependentState::Updated, DependentState::Waiting]);
    assert_eq!((changed.turn(), changed.next_at), (Some((1, &hook("c"))), Some(at(3))), "mended, and tried at once");
    let none = changed.with(vec![hook("a")], at(4));
    assert_eq!((none.is_behind(), none.next_at), (false, None));
    assert_eq!(names(&none.with(vec![hook("a"), hook("d")], at(5))), [DependentState::Updated, DependentState::Idle]);
}

#[test]
fn hurrying_tries_at_once_and_begins_anew_where_nobody_waits() {
    let follow_up = FollowUp::of(vec![hook("a"), hook("b")]).begun(news(2), at(0)).updated(at(1));
    let failing = follow_up.failed("down".to_owned(), true, at(2));
    let hurried = failing.hurried(news(9), at(3));
    assert_eq!(hurried.news, Some(news(2)), "it is the same news");
    assert_eq!((hurried.turn(), hurried.next_at), (Some((1, &hook("b"))), Some(at(3))));
    let again = hurried.updated(at(4)).hurried(news(9), at(5));
    assert_eq!((names(&again), again.news), (vec![DependentState::Waiting; 2], Some(news(9))));
}
