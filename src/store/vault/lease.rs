//! When a token is renewed, replaced or looked at again. Pure: times and chance come as arguments, so that each rule
//! is tested by itself.

use rand::Rng;
use tokio::time::{Duration, Instant};

/// Between two requests for one token lies at least this, whatever TTL the server tells. A token that lives no longer
/// is not kept: who reads logs in when it is over.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// Between two looks at a given token that ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a token lives, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lease {
    /// A given token that nobody has looked up.
    Unknown { since: Instant },
    /// It does not end.
    Endless,
    /// It ends.
    Until { from: Instant, end: Instant, prospect: Prospect },
}

/// What a renewal would bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Prospect {
    /// A full lease.
    Full,
    /// Less than that: the maximum is near.
    Capped,
    /// Nothing: the token cannot be renewed.
    Nothing,
}

/// Where a token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A login, which can be repeated.
    Login,
    /// The configuration: nobody can make another one of it.
    Given,
}

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// `lookup-self`.
    LookUp,
    /// `renew-self`.
    Renew,
    /// A new login.
    LogIn,
}

/// A step and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) step: Step,
    pub(super) at: Instant,
}

/// The steps of one lease; the chance in it is drawn once.
#[derive(Debug)]
pub(super) struct Schedule {
    first: Plan,
    /// From when on only a login helps.
    late: Option<Instant>,
    end: Option<Instant>,
}

impl Lease {
    /// The lease of a token that lives for `left` from now on; one without an end when that is zero.
    pub(super) fn lasting(left: Duration, prospect: Prospect) -> Self {
        let from = Instant::now();
        // An end that cannot be counted never comes.
        match from.checked_add(left).filter(|_| !left.is_zero()) {
            Some(end) => Self::Until { from, end, prospect },
            None => Self::Endless,
        }
    }

    /// The same, as one that was `granted` in full some time ago, so that it is renewed when it is old and not when it
    /// has been known for long. For one that cannot be renewed, only what is left matters.
    pub(super) fn begun_earlier(self, granted: Duration) -> Self {
        match self {
            Self::Until { from, end, prospect: Prospect::Full } => {
                let from = end.checked_sub(granted).map_or(from, |begun| begun.min(from));
                Self::Until { from, end, prospect: Prospect::Full }
            }
            other => other,
        }
    }

    /// When it ends; `None` where it does not or where nobody knows.
    pub(super) fn end(&self) -> Option<Instant> {
        match self {
            Self::Until { end, .. } => Some(*end),
            Self::Unknown { .. } | Self::Endless => None,
        }
    }
}

impl Schedule {
    /// The steps for `lease` from `now` on; `None` when there is nothing to do.
    pub(super) fn of(lease: &Lease, origin: Origin, now: Instant, rng: &mut impl Rng) -> Option<Self> {
        match *lease {
            Lease::Endless => None,
            Lease::Unknown { since } => {
                // Not before the first read, so that what runs once and ends asks nothing besides its secrets.
                let at = since + SPACING.mul_f64(rng.random_range(1.0..1.5));
                Some(Self { first: Plan { step: Step::LookUp, at }, late: None, end: None })
            }
            Lease::Until { from, end, prospect } => {
                // A look at a given token brings no new lease. Counted from the start of an old one, the next look
                // would always be due already: what is left is what matters.
                let is_watched = origin == Origin::Given && prospect != Prospect::Full;
                let from = if is_watched { from.max(now) } else { from };
                let whole = end.saturating_duration_since(from);
                let early = from + whole.mul_f64(rng.random_range(0.60..0.70)).max(SPACING);
                let late = whole.mul_f64(rng.random_range(0.80..0.90));
                let (step, at) = match (origin, prospect) {
                    (_, Prospect::Full) => (Step::Renew, early),
                    // So little is left that waiting would meet the end.
                    (Origin::Login, Prospect::Capped) if whole < SPACING * 2 => (Step::LogIn, from),
                    (Origin::Login, _) => (Step::LogIn, from + late.max(SPACING)),
                    (Origin::Given, Prospect::Capped) => (Step::Renew, from + late.max(PATIENCE)),
                    // Others may be able to renew it.
                    (Origin::Given, Prospect::Nothing) => (Step::LookUp, from + late.max(PATIENCE)),
                };
                let late = (origin == Origin::Login).then_some(from + late.max(SPACING));
                Some(Self { first: Plan { step, at }, late, end: Some(end) })
            }
        }
    }

    /// What is next after `failures` in a row; `None` when the token is over before that.
    pub(super) fn next(&self, failures: u32, now: Instant, rng: &mut impl Rng) -> Option<Plan> {
        let plan = if failures == 0 { self.first } else { self.again(now, now + delay(failures, rng)) };
        let is_over = self.end.is_some_and(|end| end <= plan.at) && !self.is_at_once(plan);
        (!is_over).then_some(plan)
    }

    /// A login that cannot wait is made even if the token is over by then: it was in use until now.
    fn is_at_once(&self, plan: Plan) -> bool {
        plan == self.first && plan.step == Step::LogIn && self.late.is_some_and(|late| plan.at < late)
    }

    fn again(&self, now: Instant, retry: Instant) -> Plan {
        match (self.first.step, self.late) {
            (Step::Renew, Some(late)) if now < late => {
                let login = late.max(now + SPACING);
                if retry < login {
                    Plan { step: Step::Renew, at: retry }
                } else {
                    Plan { step: Step::LogIn, at: login }
                }
            }
            (Step::Renew, Some(_)) => Plan { step: Step::LogIn, at: retry },
            (step, _) => Plan { step, at: retry },
        }
    }
}

/// 1 s, 2 s, 4 s and so on, and up to half as much again.
fn delay(failures: u32, rng: &mut impl Rng) -> Duration {
    let doubled = SPACING.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(rng.random_range(1.0..1.5))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn until(from: Instant, ttl: Duration, prospect: Prospect) -> Lease {
        Lease::Until { from, end: from + ttl, prospect }
    }

    /// When the steps of a lease happen, as seconds after its start, if each of them fails.
    fn failing(lease: &Lease, origin: Origin, seed: u64) -> Vec<(Step, f64)> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let Lease::Until { from, .. } = *lease else { panic!("a lease that ends") };
        let schedule = Schedule::of(lease, origin, from, &mut rng).unwrap();
        let (mut now, mut steps) = (from, Vec::new());
        for failures in 0..10_000 {
            let Some(plan) = schedule.next(failures, now, &mut rng) else { return steps };
            now = now.max(plan.at);
            steps.push((plan.step, now.duration_since(from).as_secs_f64()));
        }
        panic!("it never ends: {steps:?}");
    }

    proptest! {
        #[test]
        fn a_full_lease_is_renewed_at_two_thirds(seed: u64, seconds in 2_u64..10_000_000, given: bool) {
            let (from, ttl) = (Instant::now(), Duration::from_secs(seconds));
            let mut rng = SmallRng::seed_from_u64(seed);
            let origin = if given { Origin::Given } else { Origin::Login };
            let schedule = Schedule::of(&until(from, ttl, Prospect::Full), origin, from, &mut rng).unwrap();
            let plan = schedule.next(0, from, &mut rng).unwrap();
            let share = (plan.at - from).as_secs_f64() / ttl.as_secs_f64();
            prop_assert_eq!(plan.step, Step::Renew);
            prop_assert!((0.60..0.70).contains(&share), "{}", share);
        }

        #[test]
        fn what_cannot_be_renewed_is_replaced_before_its_end(seed: u64, seconds in 3_u64..10_000_000, capped: bool) {
            let (from, ttl) = (Instant::now(), Duration::from_secs(seconds));
            let mut rng = SmallRng::seed_from_u64(seed);
            let prospect = if capped { Prospect::Capped } else { Prospect::Nothing };
            let schedule = Schedule::of(&until(from, ttl, prospect), Origin::Login, from, &mut rng).unwrap();
            let plan = schedule.next(0, from, &mut rng).unwrap();
            let share = (plan.at - from).as_secs_f64() / ttl.as_secs_f64();
            prop_assert_eq!(plan.step, Step::LogIn);
            prop_assert!((0.80..0.90).contains(&share), "{}", share);
        }

        #[test]
        fn renewals_that_fail_come_ever_slower_and_turn_into_a_login_before_the_end(seed: u64, seconds in 10_u64..5_000_000) {
            let ttl = Duration::from_secs(seconds);
            let steps = failing(&until(Instant::now(), ttl, Prospect::Full), Origin::Login, seed);
            let close = steps.windows(2).find(|two| two[1].1 - two[0].1 < SPACING.as_secs_f64() - 1e-6);
            prop_assert!(close.is_none(), "{:?}", steps);
            let first = steps.iter().find(|(step, _)| *step == Step::LogIn).unwrap();
            prop_assert!(first.1 < 0.9 * ttl.as_secs_f64() + 1.1, "{:?}", steps);
            let logins = steps.iter().skip_while(|(step, _)| *step == Step::Renew);
            prop_assert!(logins.clone().all(|(step, _)| *step == Step::LogIn), "{:?}", steps);
            prop_assert!(steps.iter().all(|(_, at)| *at < ttl.as_secs_f64()), "{:?}", steps);
            // 9 doublings, and then at least 5 minutes between two.
            prop_assert!(steps.len() as u64 <= 20 + seconds / 300, "{}", steps.len());
        }

        #[test]
        fn no_ttl_makes_a_loop(seed: u64, milliseconds in 0_u64..3_000, kind in 0_u8..6) {
            let origin = if kind % 2 == 0 { Origin::Login } else { Origin::Given };
            let prospect = [Prospect::Full, Prospect::Capped, Prospect::Nothing][usize::from(kind / 2)];
            let lease = until(Instant::now(), Duration::from_millis(milliseconds), prospect);
            let steps = failing(&lease, origin, seed);
            prop_assert!(steps.len() <= 3, "{:?}", steps);
            let early = steps.iter().filter(|(_, at)| *at < 0.999).count();
            let may_be_at_once = origin == Origin::Login && prospect == Prospect::Capped;
            prop_assert_eq!(early, usize::from(may_be_at_once && milliseconds < 2_000), "{:?}", steps);
        }

        /// The test fails by overflowing.
        #[test]
        fn every_ttl_can_be_reckoned_with(seed: u64, ttl: u64, granted: u64, near in 0_u64..3, given: bool) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let origin = if given { Origin::Given } else { Origin::Login };
            for seconds in [ttl, u64::MAX - near, (1 << 63) - 1 - near, (1 << 63) - 4096 * (near + 1), near] {
                for prospect in [Prospect::Full, Prospect::Capped, Prospect::Nothing] {
                    let (left, granted) = (Duration::from_secs(seconds), Duration::from_secs(granted));
                    let lease = Lease::lasting(left, prospect).begun_earlier(granted);
                    let now = Instant::now();
                    let Some(schedule) = Schedule::of(&lease, origin, now, &mut rng) else { continue };
                    for failures in [0, 1, 40, u32::MAX] {
                        let plan = schedule.next(failures, now, &mut rng);
                        prop_assert!(plan.is_none_or(|plan| lease.end().is_none_or(|end| plan.at <= end.max(now + SPACING))));
                    }
                }
            }
        }

        #[test]
        fn looks_that_bring_the_same_old_lease_again_and_again_are_few(
            seed: u64,
            age in 0_u64..10_000_000,
            left in 1_u64..10_000_000,
            capped: bool,
        ) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let prospect = if capped { Prospect::Capped } else { Prospect::Nothing };
            let from = Instant::now();
            let begun = from + Duration::from_secs(age);
            let lease = until(from, Duration::from_secs(age + left), prospect);
            let (mut now, mut looks) = (begun, Vec::new());
            while let Some(schedule) = Schedule::of(&lease, Origin::Given, now, &mut rng)
                && let Some(plan) = schedule.next(0, now, &mut rng)
            {
                prop_assert!(plan.at >= now + PATIENCE, "{:?}", looks);
                now = plan.at;
                looks.push((now - begun).as_secs_f64());
                prop_assert!(looks.len() <= 10, "{:?}", looks);
            }
        }

        #[test]
        fn a_lookup_that_fails_for_a_day_is_asked_for_ever_slower(seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let begun = Instant::now();
            let schedule = Schedule::of(&Lease::Unknown { since: begun }, Origin::Given, begun, &mut rng).unwrap();
            let (mut now, mut failures) = (begun, 0);
            while now - begun < DAY {
                let plan = schedule.next(failures, now, &mut rng).unwrap();
                prop_assert!(plan.step == Step::LookUp && plan.at >= now + SPACING, "{:?}", plan);
                (now, failures) = (plan.at, failures + 1);
            }
            prop_assert!(failures < 300, "{}", failures);
        }
    }

    #[test]
    fn a_given_token_that_ends_is_looked_at_now_and_then_and_never_logged_in() {
        for prospect in [Prospect::Capped, Prospect::Nothing] {
            let steps = failing(&until(Instant::now(), DAY, prospect), Origin::Given, 1);
            assert!(steps.iter().all(|(step, _)| *step != Step::LogIn), "{steps:?}");
            assert!(steps[0].1 > 0.8 * DAY.as_secs_f64(), "{steps:?}");
        }
        let short = until(Instant::now(), Duration::from_secs(9), Prospect::Nothing);
        assert_eq!(failing(&short, Origin::Given, 1), []);
    }

    #[test]
    fn a_given_token_that_is_old_already_is_renewed_at_once() {
        let mut rng = SmallRng::seed_from_u64(1);
        // A clock may have begun to count not long ago.
        let now = Instant::now() + DAY;
        let lease =
            Lease::Until { from: now, end: now + DAY / 4, prospect: Prospect::Full }.begun_earlier(DAY);
        let plan =
            Schedule::of(&lease, Origin::Given, now, &mut rng).unwrap().next(0, now, &mut rng).unwrap();
        assert!(plan.step == Step::Renew && plan.at < now, "{plan:?}");
        let later = Lease::Until { from: now, end: now + DAY, prospect: Prospect::Full };
        assert_eq!(later.begun_earlier(DAY / 4), later);
    }

    #[test]
    fn a_token_without_an_end_needs_nothing() {
        let mut rng = SmallRng::seed_from_u64(1);
        for left in [Duration::ZERO, Duration::MAX] {
            let lease = Lease::lasting(left, Prospect::Full);
            assert!(
                lease == Lease::Endless
                    && Schedule::of(&lease, Origin::Login, Instant::now(), &mut rng).is_none()
            );
        }
    }
}
