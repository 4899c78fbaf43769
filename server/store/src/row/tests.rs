use proptest::prelude::*;

use super::*;

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(uuid(n))
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

/// The shipped keys, byte by byte. A line is added for a new table; no line ever changes.
#[test]
fn keys_are_frozen() {
    let c = customer(0xc0);
    let account = AccountId::from_uuid(uuid(0xac));
    let principal = PrincipalId::from_uuid(uuid(0xbb));
    let own = Scope::Customer(c);
    let (scope, operator) = (format!("{:032x}", 0xc0), "00".repeat(16));
    let id = |n: u128| format!("{n:032x}");
    let hash = [0x5a; HASH];
    let hex = "5a".repeat(HASH);
    let frozen = [
        (RowId::meta("format"), "01666f726d6174".to_owned()),
        (RowId::key(own, Purpose::Customer, Uuid::nil()), format!("02{scope}05{}", id(0))),
        (RowId::name(Scope::Operator, &hash), format!("03{operator}{hex}")),
        (RowId::customer(c), format!("10{scope}")),
        (RowId::system(c, SystemId::from_uuid(uuid(1))), format!("11{scope}{}", id(1))),
        (RowId::account(c, account), format!("12{scope}{}", id(0xac))),
        (RowId::account_state(c, account), format!("13{scope}{}", id(0xac))),
        (RowId::secret(c, account, 7), format!("14{scope}{}0000000000000007", id(0xac))),
        (RowId::checkout(c, CheckoutId::from_uuid(uuid(2))), format!("15{scope}{}", id(2))),
        (RowId::rotation(c, RotationId::from_uuid(uuid(3))), format!("16{scope}{}", id(3))),
        (RowId::exposure(c, account, 7, principal), format!("17{scope}{}0000000000000007{}", id(0xac), id(0xbb))),
        (RowId::fingerprint(own, &hash, account), format!("18{scope}{hex}{}", id(0xac))),
        (RowId::emergency(c, EmergencyId::from_uuid(uuid(7))), format!("19{scope}{}", id(7))),
        (RowId::emergency_line(c, EmergencyId::from_uuid(uuid(7)), account), format!("1a{scope}{}{}", id(7), id(0xac))),
        (
            RowId::revoked_certificates(c, SystemId::from_uuid(uuid(1)), CheckoutId::from_uuid(uuid(2))),
            format!("1b{scope}{}{}", id(1), id(2)),
        ),
        (RowId::follow_up(c, account), format!("1c{scope}{}", id(0xac))),
        (RowId::watch(c, account), format!("1d{scope}{}", id(0xac))),
        (RowId::discovery(c, SystemId::from_uuid(uuid(6))), format!("1e{scope}{}", id(6))),
        (RowId::principal(principal), format!("20{operator}{}", id(0xbb))),
        (RowId::grant(own, GrantId::from_uuid(uuid(4))), format!("21{scope}{}", id(4))),
        (RowId::session(SessionId::from_uuid(uuid(5))), format!("22{operator}{}", id(5))),
        (RowId::token(&hash), format!("23{operator}{hex}")),
        (RowId::login_counter(&hash), format!("24{operator}{hex}")),
        (RowId::factors(PrincipalId::from_uuid(uuid(4))), format!("25{operator}{}", id(4))),
        (RowId::issuer(IssuerId::from_uuid(uuid(8))), format!("26{operator}{}", id(8))),
        (RowId::reveal_times(GrantId::from_uuid(uuid(4))), format!("27{operator}{}", id(4))),
        (RowId::former_principal(principal), format!("28{operator}{}", id(0xbb))),
        (RowId::review(c, ReviewId::from_uuid(uuid(9))), format!("29{scope}{}", id(9))),
        (
            RowId::review_line(c, ReviewId::from_uuid(uuid(9)), GrantId::from_uuid(uuid(4))),
            format!("2a{scope}{}{}", id(9), id(4)),
        ),
        (RowId::identity_provider(ProviderId::from_uuid(uuid(4))), format!("2b{operator}{}", id(4))),
        (RowId::break_glass(c, BreakGlassId::from_uuid(uuid(9))), format!("2c{scope}{}", id(9))),
        (RowId::stream_cursor(own, &hash), format!("2d{scope}{hex}")),
        (RowId::backup(BackupId::from_uuid(uuid(4))), format!("2e{operator}{}", id(4))),
        (RowId::offboarding(c), format!("2f{operator}{:032x}", 0xc0)),
        (RowId::timer(at(0x1234), own, 9, uuid(6)), format!("300000000000001234{scope}09{}", id(6))),
        (RowId::idempotency(own, &hash), format!("31{scope}{hex}")),
        (RowId::log_head(own), format!("40{scope}")),
        (RowId::log_leaf(own, 0x0102), format!("41{scope}0000000000000102")),
        (RowId::log_tile(own, 1, 2), format!("42{scope}010000000000000002")),
        (RowId::log_index(own, 1, 2, 3), format!("43{scope}01000000000000000203")),
        (RowId::log_archive(own, 2), format!("44{scope}0000000000000002")),
        (RowId::key_rotation(c), format!("45{scope}")),
        (RowId::kit(c, KitId::from_uuid(uuid(9))), format!("46{scope}{}", id(9))),
    ];
    for (row, key) in &frozen {
        assert_eq!(&row.to_key().to_string(), key, "{row:?}");
        assert_eq!(RowId::from_key(&row.to_key()).as_ref(), Ok(row));
    }
    let covered: Vec<Table> = frozen.iter().map(|(row, _)| row.table()).collect();
    assert_eq!(covered, Table::ALL, "each table has its frozen key");
}

#[test]
fn what_is_no_key_is_refused_by_its_bytes() {
    let good = RowId::account(customer(1), AccountId::from_uuid(uuid(2))).to_key();
    let long = StoreKey::from_stored([good.as_bytes(), &[0]].concat());
    let short = StoreKey::from_stored(&good.as_bytes()[..20]);
    let unknown = StoreKey::from_stored(vec![0xee; 33]);
    let not_utf8 = StoreKey::from_stored(vec![Table::Meta.tag(), 0xff]);
    let endless_due = StoreKey::from_stored([vec![Table::Timers.tag()], vec![0xff; 41]].concat());
    for bad in [long, short, unknown, not_utf8, endless_due, StoreKey::from_stored(vec![])] {
        assert_eq!(RowId::from_key(&bad), Err(BadKey(bad.clone())));
    }
}

#[test]
fn a_timer_never_fires_early_and_fires_within_its_millisecond() {
    let due = Timestamp::from_nanosecond(1_000_000_001).unwrap();
    let key = RowId::timer(due, Scope::Operator, 1, uuid(1)).to_key();
    let fires = |until: Timestamp| {
        let range = Range::timers_due(until);
        range.start <= key && key < range.end
    };
    assert!(!fires(at(1000)), "1 ns before it is due");
    assert!(!fires(Timestamp::from_nanosecond(1_000_000_000).unwrap()));
    assert!(fires(at(1001)));
}

#[test]
fn times_before_1970_are_due_at_once() {
    let key = RowId::timer(at(-5), Scope::Operator, 1, uuid(1)).to_key();
    assert!(key < Range::timers_due(at(0)).end);
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Operator), (1u128..).prop_map(|n| Scope::Customer(customer(n)))]
}

/// A row of any table, of any bytes.
fn any_row() -> impl Strategy<Value = RowId> {
    let tables = proptest::sample::select(Table::ALL.to_vec());
    (tables, any_scope(), proptest::collection::vec(any::<u8>(), 96), 0i64..253_402_207_200_000, "[a-z-]{1,20}")
        .prop_map(|(table, scope, bytes, due, name)| match table.layout() {
            Layout::Name => RowId::meta(&name),
            Layout::Scoped(length) => RowId::new(table, scope, &[&bytes[..length]]),
            Layout::Due => RowId::timer(at(due), scope, bytes[0], Uuid::from_slice(&bytes[..16]).unwrap()),
        })
}

proptest! {
    #[test]
    fn a_row_reads_back_from_its_key(row in any_row()) {
        prop_assert_eq!(RowId::from_key(&row.to_key()), Ok(row));
    }

    #[test]
    fn two_rows_never_share_a_key(a in any_row(), b in any_row()) {
        prop_assert_eq!(a == b, a.to_key() == b.to_key());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let key = StoreKey::from_stored(bytes);
        if let Ok(row) = RowId::from_key(&key) {
            prop_assert_eq!(row.to_key(), key);
        }
    }

    #[test]
    fn ranges_hold_their_rows_and_no_other(row in any_row(), table in proptest::sample::select(Table::ALL.to_vec()), scope in any_scope()) {
        let key = row.to_key();
        let within = |range: &Range| range.start <= key && key < range.end;
        prop_assert_eq!(within(&Range::table(table)), row.table() == table);
        if matches!(row.table().layout(), Layout::Scoped(_)) {
            prop_assert!(within(&Range::scope(row.table(), row.scope())));
            prop_assert!(within(&Range::prefix(row.table(), row.scope(), row.id())));
            prop_assert_eq!(within(&Range::scope(row.table(), scope)), row.scope() == scope);
        }
    }

    #[test]
    fn timers_sort_by_due_time_whoever_they_belong_to(a in 0i64..1_000_000, b in 0i64..1_000_000, x in any_scope(), y in any_scope()) {
        let (first, second) = (RowId::timer(at(a), x, 0, uuid(1)).to_key(), RowId::timer(at(b), y, 0, uuid(1)).to_key());
        if a != b {
            prop_assert_eq!(first < second, a < b);
        }
        prop_assert_eq!(first < Range::timers_due(at(b)).end, a <= b);
    }

    /// A cursor is the caller's: one from another range never widens this one.
    #[test]
    fn the_next_page_leaves_out_what_was_seen_and_stays_in_its_range(
        row in any_row(),
        table in proptest::sample::select(Table::ALL.to_vec()),
        reverse in any::<bool>(),
    ) {
        let key = row.to_key();
        for range in [Range::table(row.table()), Range::table(table)] {
            let range = if reverse { range.reversed() } else { range };
            let next = range.clone().after(&key);
            prop_assert!(!(next.start <= key && key < next.end));
            prop_assert!(next.start >= range.start && next.end <= range.end);
        }
    }
}

#[test]
fn a_prefix_of_ff_bytes_ends_below_the_next_table() {
    let all_ff = Range::prefix(Table::Accounts, Scope::Customer(CustomerId::from_uuid(Uuid::max())), &[0xff; 3]);
    assert_eq!(all_ff.end.as_bytes(), [Table::AccountStates.tag()]);
}
