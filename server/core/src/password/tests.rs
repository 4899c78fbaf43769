use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

fn seeded(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut source = StdRng::seed_from_u64(seed);
    move |bytes| source.fill_bytes(bytes)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

fn policy(change: impl FnOnce(&mut PasswordPolicy)) -> PasswordPolicy {
    let mut policy = PasswordPolicy::default();
    change(&mut policy);
    policy
}

fn refused(change: impl FnOnce(&mut PasswordPolicy)) -> BadRules {
    Rules::parse(&policy(change)).unwrap_err()
}

fn count(text: &str, class: &str) -> usize {
    text.chars().filter(|c| class.contains(*c)).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever parses can be met, and is met; what cannot be met does not parse.
    #[test]
    fn every_rule_is_met(
        length in 0_u16..=140,
        minimums in prop::array::uniform4(0_u16..=4),
        exclude in "[ -~]{0,40}",
        min_differences in 0_u16..=140,
        previous in prop::option::of("[!-~é]{1,140}"),
        seed: u64,
    ) {
        let [min_lower, min_upper, min_digits, min_symbols] = minimums;
        let policy = PasswordPolicy { length, min_lower, min_upper, min_digits, min_symbols, exclude, min_differences };
        let Ok(rules) = Rules::parse(&policy) else { return Ok(()) };
        prop_assert!((LENGTH_MIN..=LENGTH_MAX).contains(&length));
        prop_assert!(rules.entropy_bits() >= ENTROPY_MIN_BITS);
        let previous = previous.as_deref().map(secret);
        let made = generate(&rules, previous.as_ref(), &mut seeded(seed)).unwrap();
        let text = made.expose();
        prop_assert_eq!(text.chars().count(), usize::from(length));
        for (class, at_least) in [LOWER, UPPER, DIGITS, SYMBOLS].into_iter().zip(minimums) {
            prop_assert!(count(text, class) >= usize::from(at_least));
        }
        prop_assert!(text.chars().all(|c| !policy.exclude.contains(c)));
        prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || SYMBOLS.contains(c)));
        if let Some(previous) = &previous {
            let old: Vec<char> = previous.expose().chars().collect();
            let same = text.chars().enumerate().filter(|(place, c)| old.get(*place) == Some(c)).count();
            let positions = old.len().max(usize::from(length));
            prop_assert!(positions - same >= usize::from(min_differences));
        }
        let starts_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        prop_assert!(starts_plain || text.chars().all(|c| SYMBOLS.contains(c)));
    }
}

/// The same source would make the same password again; with the first as the previous one it must go on.
#[test]
fn a_password_differs_from_the_one_before() {
    for min_differences in [1, 8, 32] {
        let rules = Rules::parse(&policy(|p| p.min_differences = min_differences)).unwrap();
        let first = generate(&rules, None, &mut seeded(5)).unwrap();
        let second = generate(&rules, Some(&first), &mut seeded(5)).unwrap();
        assert!(differences(second.expose(), &first) >= usize::from(min_differences));
    }
    let indifferent = Rules::parse(&policy(|p| p.min_differences = 0)).unwrap();
    let first = generate(&indifferent, None, &mut seeded(5)).unwrap();
    let second = generate(&indifferent, Some(&first), &mut seeded(5)).unwrap();
    assert_eq!(first.expose(), second.expose(), "the test above shows something");
}

#[test]
fn differences_are_counted_by_position() {
    for (ours, theirs, count) in
        [("abcd", "abcd", 0), ("abcd", "bcda", 4), ("abcd", "ab", 2), ("ab", "abcd", 2), ("abcd", "abéd", 1)]
    {
        assert_eq!(differences(ours, &secret(theirs)), count, "{ours} {theirs}");
    }
}

/// The parsed bound is a promise: rules near it are met by at least that share of candidates.
#[test]
fn the_chance_is_what_is_counted() {
    let rules = Rules::parse(&policy(|p| {
        (p.length, p.min_digits, p.min_symbols, p.min_differences) = (12, 3, 2, 11);
    }))
    .unwrap();
    let old = secret("Password1234");
    let mut random = seeded(7);
    let mut dice = Dice::new(&mut random);
    let (mut form, mut all) = (0_u32, 0_u32);
    for _ in 0..20_000 {
        let text: String = (0..12).map(|_| char::from(dice.pick(&rules.alphabet).unwrap())).collect();
        form += u32::from(rules.accept(&text, None));
        all += u32::from(rules.accept(&text, Some(&old)));
    }
    let (form, all) = (f64::from(form) / 20_000.0, f64::from(all) / 20_000.0);
    assert!((form - rules.chance_of_form()).abs() < 0.01, "{form} counted, {} computed", rules.chance_of_form());
    let alike = chances::more_than(1, 12, 1.0 / rules.characters());
    assert!(all >= rules.chance_of_form() - alike - 0.01, "{all} counted");
}

/// Pearson's statistic of counts that should be equal. For f degrees of freedom it is f ± √(2f).
fn pearson(counts: &[u32]) -> (f64, f64) {
    let cells = f64::from(u32::try_from(counts.len()).unwrap());
    let expected = counts.iter().copied().map(f64::from).sum::<f64>() / cells;
    let statistic = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
    (statistic, (cells - 1.0) + 5.0 * (2.0 * (cells - 1.0)).sqrt())
}

#[test]
fn every_character_is_as_likely_as_any_other() {
    let rules = Rules::parse(&policy(|p| {
        (p.min_lower, p.min_upper, p.min_digits, p.min_symbols) = (0, 0, 0, 0);
    }))
    .unwrap();
    let mut random = seeded(1);
    let mut counts = BTreeMap::new();
    for _ in 0..5_000 {
        let made = generate(&rules, None, &mut random).unwrap();
        for c in made.expose().chars().skip(1) {
            *counts.entry(c).or_insert(0_u32) += 1;
        }
    }
    assert_eq!(counts.len(), rules.alphabet.len());
    let (statistic, most) = pearson(&counts.into_values().collect::<Vec<_>>());
    assert!(statistic < most, "{statistic} is over {most}");
}

/// A space small enough to count: every password that meets the rules, and no other, equally often.
#[test]
fn every_password_is_as_likely_as_any_other() {
    let tiny = policy(|p| {
        p.exclude = "bcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ23456789._~".to_owned();
        (p.min_lower, p.min_upper, p.min_digits, p.min_symbols) = (1, 0, 1, 1);
    });
    let rules = Rules { length: 4, alphabet: b"aA01-".to_vec(), minimums: minimums(&tiny), min_differences: 2 };
    let old = secret("aA0-");
    let mut meet: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..5_usize.pow(4) {
        let text: String = (0..4).map(|place| char::from(rules.alphabet[number / 5_usize.pow(place) % 5])).collect();
        if rules.accept(&text, Some(&old)) {
            meet.insert(text, 0);
        }
    }
    assert!(meet.len() > 50, "{}", meet.len());
    let mut random = seeded(2);
    for _ in 0..meet.len() * 200 {
        let made = generate(&rules, Some(&old), &mut random).unwrap();
        *meet.get_mut(made.expose()).unwrap() += 1;
    }
    let (statistic, most) = pearson(&meet.into_values().collect::<Vec<_>>());
    assert!(statistic < most, "{statistic} is over {most}");
}

/// Over all 256 bytes, each choice comes up equally often, and the bytes past the last whole multiple not at all.
#[test]
fn no_choice_has_more_bytes_than_another() {
    for choices in 1..=66_u8 {
        let alphabet: Vec<u8> = (0..choices).collect();
        let mut next = 0_u8;
        let mut random = |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        };
        let mut dice = Dice::new(&mut random);
        let each = 256 / usize::from(choices);
        let mut counts = vec![0_usize; usize::from(choices)];
        for _ in 0..each * usize::from(choices) {
            counts[usize::from(dice.pick(&alphabet).unwrap())] += 1;
        }
        assert!(counts.iter().all(|n| *n == each), "{choices}: {counts:?}");
    }
}

#[test]
fn a_broken_source_ends_in_an_error() {
    let rules = Rules::parse(&PasswordPolicy::default()).unwrap();
    for byte in [0, 255] {
        let mut asked = 0;
        let mut stuck = |bytes: &mut [u8]| {
            asked += bytes.len();
            bytes.fill(byte);
        };
        assert_eq!(generate(&rules, None, &mut stuck).err(), Some(PasswordError::Exhausted));
        assert_eq!(asked, RANDOM_MAX_BYTES);
    }
}

#[test]
fn hostile_policies_are_refused_with_what_to_do() {
    assert_eq!(refused(|p| p.length = 7), BadRules::Length);
    assert_eq!(refused(|p| p.length = 129), BadRules::Length);
    assert_eq!(refused(|p| p.length = u16::MAX), BadRules::Length);
    let sum = u32::from(u16::MAX) * 4;
    let huge = refused(|p| {
        (p.min_lower, p.min_upper, p.min_digits, p.min_symbols) = (u16::MAX, u16::MAX, u16::MAX, u16::MAX);
    });
    assert_eq!(huge, BadRules::Minimums { sum, length: 32 }, "no overflow");
    assert_eq!(refused(|p| p.min_digits = 30), BadRules::Minimums { sum: 33, length: 32 });
    assert_eq!(refused(|p| p.min_differences = 33), BadRules::Differences { length: 32 });
    assert_eq!(refused(|p| p.exclude = "x".repeat(EXCLUDE_MAX + 1)), BadRules::Exclude);
    let digits = refused(|p| p.exclude = DIGITS.to_owned());
    assert_eq!(digits, BadRules::ClassExcluded { class: "digits", field: "min_digits" });
    assert!(digits.to_string().contains("set min_digits to 0"));
    assert_eq!(refused(|p| p.min_digits = 29), BadRules::Unlikely);
    assert!(matches!(refused(|p| p.length = 7 + 1), BadRules::Weak { bits } if bits < 48.0));
}

#[test]
fn what_is_left_to_draw_from_must_be_enough() {
    let nothing = refused(|p| {
        p.exclude = [LOWER, UPPER, DIGITS, SYMBOLS].concat();
        (p.min_lower, p.min_upper, p.min_digits, p.min_symbols) = (0, 0, 0, 0);
    });
    assert_eq!(nothing, BadRules::Weak { bits: 0.0 });
    let digits_only = |length| {
        Rules::parse(&policy(|p| {
            p.exclude = [LOWER, UPPER, SYMBOLS].concat();
            (p.min_lower, p.min_upper, p.min_symbols, p.length) = (0, 0, 0, length);
        }))
    };
    assert!(matches!(digits_only(14), Err(BadRules::Weak { .. })), "46.5 bits");
    assert!(digits_only(15).is_ok(), "49.8 bits");
    let symbols_only = policy(|p| {
        p.exclude = [LOWER, UPPER, DIGITS].concat();
        (p.min_lower, p.min_upper, p.min_digits) = (0, 0, 0);
    });
    let made = generate(&Rules::parse(&symbols_only).unwrap(), None, &mut seeded(3)).unwrap();
    assert_eq!(count(made.expose(), SYMBOLS), 32);
}

#[test]
fn the_default_policy_is_strong_and_quick() {
    let rules = Rules::parse(&PasswordPolicy::default()).unwrap();
    assert!(rules.entropy_bits() > 190.0, "{}", rules.entropy_bits());
    assert!(rules.chance_of_form() > 0.7, "{}", rules.chance_of_form());
}
