//! Exact probabilities of what a random string holds. The numbers are small: at most 128 characters in 4 classes.

/// That among `length` characters, drawn evenly from all classes together, each class of `(size, at_least)` has its least.
///
/// Class by class: of r positions still open, the class takes c with the probability Binomial(r, size / sizes left)(c).
pub fn all_minimums(length: u16, classes: &[(u16, u16)]) -> f64 {
    let mut open = vec![0.0; usize::from(length)];
    open.push(1.0);
    let mut sizes: f64 = classes.iter().map(|(size, _)| f64::from(*size)).sum();
    for &(size, at_least) in classes {
        let share = if sizes > 0.0 { f64::from(size) / sizes } else { 0.0 };
        open = take(&open, share, at_least);
        sizes -= f64::from(size);
    }
    open.first().copied().unwrap_or(0.0)
}

/// That more than `most` of `length` independent trials succeed, each with the probability `chance`.
pub fn more_than(most: u16, length: u16, chance: f64) -> f64 {
    binomial(length, chance).skip(usize::from(most) + 1).sum()
}

/// From how likely it is that r positions are open to how likely it is once a class has taken at least its least.
fn take(open: &[f64], share: f64, at_least: u16) -> Vec<f64> {
    let mut after = vec![0.0; open.len()];
    for (positions, likely) in (0_u16..).zip(open).filter(|(_, likely)| **likely > 0.0) {
        let still_open = after.iter_mut().take(usize::from(positions) + 1).rev();
        for (after, taken) in still_open.zip(binomial(positions, share)).skip(usize::from(at_least)) {
            *after += likely * taken;
        }
    }
    after
}

/// Binomial(trials, chance) of 0, 1, … successes.
fn binomial(trials: u16, chance: f64) -> impl Iterator<Item = f64> {
    let mut ways = 1.0;
    (0..=trials).map(move |successes| {
        let failures = trials - successes;
        let likely = ways * chance.powi(i32::from(successes)) * (1.0 - chance).powi(i32::from(failures));
        ways *= f64::from(failures) / f64::from(successes + 1);
        likely
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-9, "{ours} is not {theirs}");
    }

    #[test]
    fn minimums_agree_with_counting() {
        // Two of a, one of b, length 2: of 9 strings, 4 have both classes; 8 have an a; 1 has two b.
        near(all_minimums(2, &[(2, 1), (1, 1)]), 4.0 / 9.0);
        near(all_minimums(2, &[(2, 1), (1, 0)]), 8.0 / 9.0);
        near(all_minimums(2, &[(2, 0), (1, 2)]), 1.0 / 9.0);
        near(all_minimums(2, &[(2, 2), (1, 1)]), 0.0);
        near(all_minimums(128, &[(26, 0), (26, 0), (10, 0), (4, 0)]), 1.0);
        near(all_minimums(128, &[(0, 0), (0, 0), (10, 128), (0, 0)]), 1.0);
        // 8 of 4 equal classes, two each: 8! / 2!⁴ / 4⁸.
        near(all_minimums(8, &[(5, 2), (5, 2), (5, 2), (5, 2)]), 2520.0 / 65536.0);
    }

    #[test]
    fn tails_agree_with_counting() {
        near(more_than(1, 2, 0.5), 0.25);
        near(more_than(0, 3, 0.5), 7.0 / 8.0);
        near(more_than(3, 3, 0.5), 0.0);
    }
}
