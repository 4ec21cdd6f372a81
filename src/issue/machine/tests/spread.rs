//! What was issued together does not stay in step.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Duration;

use super::super::LeaseStep;
use super::rows::{Bench, HOUR, MINUTE, ONE, SECOND};
use crate::config::provider::vault::dynamic::{LeaseTerms, Share};

#[test]
fn a_fleet_that_was_started_together_does_not_issue_together_again() {
    let mut per_second = BTreeMap::<u64, usize>::new();
    for seed in 0..1000 {
        let mut one = Bench::new(false, &["a"]);
        one.rng = SmallRng::seed_from_u64(seed);
        one.issue(Some(HOUR), None);
        let Some((LeaseStep::Issue, wait)) = one.next() else { panic!("{:?}", one.next()) };
        *per_second.entry(wait).or_default() += 1;
    }
    let worst = per_second.values().max().unwrap();
    assert!(*worst <= 16, "of 1,000 in a second: {worst}");
}

/// When a lease of `life` is renewed, and its successor issued, under `terms`.
fn planned(seed: u64, life: Duration, terms: LeaseTerms) -> (Duration, Option<Duration>) {
    let mut one = Bench::new(true, &["a"]);
    one.rng = SmallRng::seed_from_u64(seed);
    one.machine.use_terms(terms, one.now, &mut one.rng);
    one.issue(Some(life), None);
    let renewal = one.machine.credential(ONE).unwrap().renewal().unwrap() - one.now;
    (renewal, one.machine.issue_at().map(|at| at - one.now))
}

#[test]
fn renewals_are_spread_and_lie_before_the_end_whatever_is_configured() {
    let renewals: Vec<_> = (0..100).map(|seed| planned(seed, HOUR, LeaseTerms::default()).0).collect();
    let (first, last) = (renewals.iter().min().unwrap(), renewals.iter().max().unwrap());
    assert!(*last >= *first + MINUTE * 3, "{first:?} to {last:?}");
    let late = Share::new(0.999);
    let late = LeaseTerms { renew_at: late.unwrap(), reissue_at: late.unwrap(), ..LeaseTerms::default() };
    assert!((0..100).all(|seed| planned(seed, HOUR, late).0 <= MINUTE * 57));
    assert!((0..100).all(|seed| planned(seed, SECOND, late).0 >= SECOND), "no loop for a life that short");
    // Ten seconds are left for the move, where the life is that long.
    let short = LeaseTerms { confirm_timeout: SECOND, max_age: Some(SECOND * 40), ..late };
    let latest = (0..100).filter_map(|seed| planned(seed, SECOND * 40, short).1).max().unwrap();
    assert!(latest <= SECOND * 30, "{latest:?}");
}
