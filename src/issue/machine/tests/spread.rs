//! What was issued together does not stay in step.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::super::LeaseStep;
use super::rows::{Bench, HOUR};

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
