//! When a token is renewed, replaced or looked at again. Pure: times and chance come as arguments, so that each rule
//! is tested by itself.

use rand::Rng;
use tokio::time::{Duration, Instant};

/// Between two requests for one token lies at least this, whatever TTL the server gives. A token that lives no longer
/// is not kept: the next read logs in when it is over.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// Between two looks at a static token that ends.
const LOOK_SPACING: Duration = Duration::from_secs(10);

/// The first wait after a refusal: an operator has to change a policy, or renew the token elsewhere.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a token lives, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lease {
    /// A static token whose end the server has not said.
    Unknown { since: Instant },
    /// It does not end.
    Endless,
    /// It ends.
    Until { from: Instant, end: Instant, renewability: Renewability },
}

/// What a renewal would bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Renewability {
    /// A full lease.
    Full,
    /// Less than that: the maximum is near.
    Capped,
    /// Nothing: the token cannot be renewed.
    Never,
}

/// Where a token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenSource {
    /// A login, which can be repeated.
    Login,
    /// The configuration, or something in between: no login makes another one.
    Static,
}

/// What is done for a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenStep {
    /// `lookup-self`.
    LookUp,
    /// `renew-self`.
    Renew,
    /// A new login.
    LogIn,
}

/// A step and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PlannedStep {
    pub(super) step: TokenStep,
    pub(super) at: Instant,
}

/// The steps that failed since one succeeded.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailedSteps {
    /// How many, at least one.
    pub(super) count: u32,
    /// The last one.
    pub(super) last: TokenStep,
    /// Whether the server refused the last one: the same step again is of little use soon.
    pub(super) is_refused: bool,
}

/// The steps of one lease; the chance in it is drawn once.
#[derive(Debug)]
pub(super) struct Schedule {
    first: PlannedStep,
    /// From when on only a login helps.
    late: Option<Instant>,
    end: Option<Instant>,
}

impl Renewability {
    pub(super) fn of(is_renewable: bool) -> Self {
        if is_renewable { Self::Full } else { Self::Never }
    }
}

impl Lease {
    /// The lease of a token that lives for `left` from now on; one without an end when that is zero.
    pub(super) fn lasting(left: Duration, renewability: Renewability) -> Self {
        let from = Instant::now();
        // An end that cannot be counted never comes.
        match from.checked_add(left).filter(|_| !left.is_zero()) {
            Some(end) => Self::Until { from, end, renewability },
            None => Self::Endless,
        }
    }

    /// The same, as one that was `granted` in full some time ago, so that it is renewed when it is old and not when it
    /// has been known for long. For one that cannot be renewed, only what is left matters.
    pub(super) fn begun_earlier(self, granted: Duration) -> Self {
        match self {
            Self::Until { from, end, renewability: Renewability::Full } => {
                let from = end.checked_sub(granted).map_or(from, |begun| begun.min(from));
                Self::Until { from, end, renewability: Renewability::Full }
            }
            other => other,
        }
    }

    /// When it ends; `None` where it does not or where the server has not said.
    pub(super) fn end(&self) -> Option<Instant> {
        match self {
            Self::Until { end, .. } => Some(*end),
            Self::Unknown { .. } | Self::Endless => None,
        }
    }
}

impl Schedule {
    /// The steps for `lease` from `now` on; `None` when there is nothing to do.
    pub(super) fn of(lease: &Lease, source: TokenSource, now: Instant, rng: &mut impl Rng) -> Option<Self> {
        match *lease {
            Lease::Endless => None,
            Lease::Unknown { since } => {
                // Not before the first read, so that what runs once and ends asks nothing besides its secrets.
                let at = since + SPACING.mul_f64(rng.random_range(1.0..1.5));
                Some(Self { first: PlannedStep { step: TokenStep::LookUp, at }, late: None, end: None })
            }
            Lease::Until { from, end, renewability } => {
                // A look at a static token brings no new lease. Counted from the start of an old one, the next look
                // would always be due already: what is left is what matters.
                let is_watched = source == TokenSource::Static && renewability != Renewability::Full;
                let from = if is_watched { from.max(now) } else { from };
                let whole = end.saturating_duration_since(from);
                let early = from + whole.mul_f64(rng.random_range(0.60..0.70)).max(SPACING);
                let late = whole.mul_f64(rng.random_range(0.80..0.90));
                let half = whole.mul_f64(rng.random_range(0.45..0.55));
                let (step, at) = match (source, renewability) {
                    (_, Renewability::Full) => (TokenStep::Renew, early),
                    // So little is left that waiting would meet the end.
                    (TokenSource::Login, Renewability::Capped) if whole < SPACING * 2 => {
                        (TokenStep::LogIn, from)
                    }
                    // What the token has issued ends with it, and what the next one issues has to reach its consumers before.
                    (TokenSource::Login, Renewability::Capped) => {
                        (TokenStep::LogIn, from + half.max(SPACING))
                    }
                    (TokenSource::Login, Renewability::Never) => (TokenStep::LogIn, from + late.max(SPACING)),
                    (TokenSource::Static, Renewability::Capped) => {
                        (TokenStep::Renew, from + late.max(LOOK_SPACING))
                    }
                    // Others may be able to renew it.
                    (TokenSource::Static, Renewability::Never) => {
                        (TokenStep::LookUp, from + late.max(LOOK_SPACING))
                    }
                };
                let late = (source == TokenSource::Login).then_some(from + late.max(SPACING));
                Some(Self { first: PlannedStep { step, at }, late, end: Some(end) })
            }
        }
    }

    /// The step after those that `failed`; `None` when the token is over before that.
    pub(super) fn next(
        &self,
        failed: Option<FailedSteps>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<PlannedStep> {
        let plan = match failed {
            None => self.first,
            Some(failed) if failed.is_refused => self.after_refusal(failed, now, rng),
            Some(failed) => self.again(failed, now, now + delay(SPACING, failed.count, rng)),
        };
        let is_over = self.end.is_some_and(|end| end <= plan.at) && !self.is_immediate(plan);
        (!is_over).then_some(plan)
    }

    /// A login that cannot wait is made even if the token is over by then: it was in use until now.
    fn is_immediate(&self, plan: PlannedStep) -> bool {
        plan == self.first && plan.step == TokenStep::LogIn && self.late.is_some_and(|late| plan.at < late)
    }

    /// Slower than after a failure, but several times before the end. The other way to keep or to know the token may
    /// be open: a login for a renewal and the reverse, and a renewal tells the end as a look-up does.
    fn after_refusal(&self, failed: FailedSteps, now: Instant, rng: &mut impl Rng) -> PlannedStep {
        let wait = delay(AFTER_REFUSAL, failed.count, rng);
        let left = self.end.map(|end| end.saturating_duration_since(now) / 4);
        let wait = left.map_or(wait, |left| wait.min(left).max(SPACING));
        let step = match (self.first.step, failed.last, self.late) {
            (TokenStep::Renew, TokenStep::Renew, Some(_)) => TokenStep::LogIn,
            (TokenStep::LookUp, TokenStep::LookUp, _) if self.end.is_none() => TokenStep::Renew,
            (first, _, _) => first,
        };
        PlannedStep { step, at: now + wait }
    }

    fn again(&self, failed: FailedSteps, now: Instant, retry: Instant) -> PlannedStep {
        match (self.first.step, self.late) {
            (TokenStep::Renew, Some(late)) if now < late && failed.last == TokenStep::Renew => {
                let login = late.max(now + SPACING);
                if retry < login {
                    PlannedStep { step: TokenStep::Renew, at: retry }
                } else {
                    PlannedStep { step: TokenStep::LogIn, at: login }
                }
            }
            (TokenStep::Renew, Some(_)) => PlannedStep { step: TokenStep::LogIn, at: retry },
            (step, _) => PlannedStep { step, at: retry },
        }
    }
}

/// `first`, twice that, four times that and so on, and up to half as much again.
fn delay(first: Duration, failures: u32, rng: &mut impl Rng) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(rng.random_range(1.0..1.5))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn until(from: Instant, ttl: Duration, renewability: Renewability) -> Lease {
        Lease::Until { from, end: from + ttl, renewability }
    }

    /// When the steps of a lease happen, as seconds after its start, if each of them fails.
    fn failing(lease: &Lease, source: TokenSource, seed: u64) -> Vec<(TokenStep, f64)> {
        failing_by(lease, source, seed, false)
    }

    fn failing_by(lease: &Lease, source: TokenSource, seed: u64, is_refused: bool) -> Vec<(TokenStep, f64)> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let Lease::Until { from, .. } = *lease else { panic!("a lease that ends") };
        let schedule = Schedule::of(lease, source, from, &mut rng).unwrap();
        let (mut now, mut steps) = (from, Vec::new());
        let mut failed: Option<FailedSteps> = None;
        for count in 1..10_000 {
            let Some(plan) = schedule.next(failed, now, &mut rng) else { return steps };
            now = now.max(plan.at);
            failed = Some(FailedSteps { count, last: plan.step, is_refused });
            steps.push((plan.step, now.duration_since(from).as_secs_f64()));
        }
        panic!("it never ends: {steps:?}");
    }

    proptest! {
        #[test]
        fn a_full_lease_is_renewed_at_two_thirds(seed: u64, seconds in 2_u64..10_000_000, given: bool) {
            let (from, ttl) = (Instant::now(), Duration::from_secs(seconds));
            let mut rng = SmallRng::seed_from_u64(seed);
            let source = if given { TokenSource::Static } else { TokenSource::Login };
            let schedule = Schedule::of(&until(from, ttl, Renewability::Full), source, from, &mut rng).unwrap();
            let plan = schedule.next(None, from, &mut rng).unwrap();
            let share = (plan.at - from).as_secs_f64() / ttl.as_secs_f64();
            prop_assert_eq!(plan.step, TokenStep::Renew);
            prop_assert!((0.60..0.70).contains(&share), "{}", share);
        }

        #[test]
        fn what_cannot_be_renewed_is_replaced_before_its_end(seed: u64, seconds in 3_u64..10_000_000, capped: bool) {
            let (from, ttl) = (Instant::now(), Duration::from_secs(seconds));
            let mut rng = SmallRng::seed_from_u64(seed);
            let renewability = if capped { Renewability::Capped } else { Renewability::Never };
            let schedule = Schedule::of(&until(from, ttl, renewability), TokenSource::Login, from, &mut rng).unwrap();
            let plan = schedule.next(None, from, &mut rng).unwrap();
            let share = (plan.at - from).as_secs_f64() / ttl.as_secs_f64();
            prop_assert_eq!(plan.step, TokenStep::LogIn);
            let expected = if capped { 0.45..0.55 } else { 0.80..0.90 };
            prop_assert!(expected.contains(&share), "{}", share);
        }

        #[test]
        fn renewals_that_fail_come_ever_slower_and_turn_into_a_login_before_the_end(seed: u64, seconds in 10_u64..5_000_000) {
            let ttl = Duration::from_secs(seconds);
            let steps = failing(&until(Instant::now(), ttl, Renewability::Full), TokenSource::Login, seed);
            let close = steps.windows(2).find(|two| two[1].1 - two[0].1 < SPACING.as_secs_f64() - 1e-6);
            prop_assert!(close.is_none(), "{:?}", steps);
            let first = steps.iter().find(|(step, _)| *step == TokenStep::LogIn).unwrap();
            prop_assert!(first.1 < 0.9 * ttl.as_secs_f64() + 1.1, "{:?}", steps);
            let logins = steps.iter().skip_while(|(step, _)| *step == TokenStep::Renew);
            prop_assert!(logins.clone().all(|(step, _)| *step == TokenStep::LogIn), "{:?}", steps);
            prop_assert!(steps.iter().all(|(_, at)| *at < ttl.as_secs_f64()), "{:?}", steps);
            // 9 doublings, and then at least 5 minutes between two.
            prop_assert!(steps.len() as u64 <= 20 + seconds / 300, "{}", steps.len());
        }

        #[test]
        fn no_ttl_makes_a_loop(seed: u64, milliseconds in 0_u64..3_000, kind in 0_u8..6) {
            let source = if kind % 2 == 0 { TokenSource::Login } else { TokenSource::Static };
            let renewability = [Renewability::Full, Renewability::Capped, Renewability::Never][usize::from(kind / 2)];
            let lease = until(Instant::now(), Duration::from_millis(milliseconds), renewability);
            let steps = failing(&lease, source, seed);
            prop_assert!(steps.len() <= 3, "{:?}", steps);
            let early = steps.iter().filter(|(_, at)| *at < 0.999).count();
            let may_be_at_once = source == TokenSource::Login && renewability == Renewability::Capped;
            prop_assert_eq!(early, usize::from(may_be_at_once && milliseconds < 2_000), "{:?}", steps);
        }

        /// The test fails by overflowing.
        #[test]
        fn every_ttl_can_be_reckoned_with(seed: u64, ttl: u64, granted: u64, near in 0_u64..3, given: bool) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let source = if given { TokenSource::Static } else { TokenSource::Login };
            for seconds in [ttl, u64::MAX - near, (1 << 63) - 1 - near, (1 << 63) - 4096 * (near + 1), near] {
                for renewability in [Renewability::Full, Renewability::Capped, Renewability::Never] {
                    let (left, granted) = (Duration::from_secs(seconds), Duration::from_secs(granted));
                    let lease = Lease::lasting(left, renewability).begun_earlier(granted);
                    let now = Instant::now();
                    let Some(schedule) = Schedule::of(&lease, source, now, &mut rng) else { continue };
                    for (count, is_refused) in [(1, false), (40, true), (u32::MAX, false), (u32::MAX, true)] {
                        let failed = FailedSteps { count, last: TokenStep::Renew, is_refused };
                        let plan = schedule.next(Some(failed).filter(|_| count > 1), now, &mut rng);
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
            let renewability = if capped { Renewability::Capped } else { Renewability::Never };
            let from = Instant::now();
            let begun = from + Duration::from_secs(age);
            let lease = until(from, Duration::from_secs(age + left), renewability);
            let (mut now, mut looks) = (begun, Vec::new());
            while let Some(schedule) = Schedule::of(&lease, TokenSource::Static, now, &mut rng)
                && let Some(plan) = schedule.next(None, now, &mut rng)
            {
                prop_assert!(plan.at >= now + LOOK_SPACING, "{:?}", looks);
                now = plan.at;
                looks.push((now - begun).as_secs_f64());
                prop_assert!(looks.len() <= 10, "{:?}", looks);
            }
        }

        #[test]
        fn a_lookup_that_fails_for_a_day_is_asked_for_ever_slower(seed: u64) {
            let mut rng = SmallRng::seed_from_u64(seed);
            let begun = Instant::now();
            let schedule = Schedule::of(&Lease::Unknown { since: begun }, TokenSource::Static, begun, &mut rng).unwrap();
            for is_refused in [false, true] {
                let (mut now, mut failures, mut failed) = (begun, 0, None);
                while now - begun < DAY {
                    let plan = schedule.next(failed, now, &mut rng).unwrap();
                    let expected = if is_refused && failures % 2 == 1 { TokenStep::Renew } else { TokenStep::LookUp };
                    prop_assert!(plan.step == expected && plan.at >= now + SPACING, "{:?}", plan);
                    (now, failures) = (plan.at, failures + 1);
                    failed = Some(FailedSteps { count: failures, last: plan.step, is_refused });
                }
                prop_assert!((200..320).contains(&failures), "{}", failures);
            }
        }
    }

    proptest! {
        #[test]
        fn a_token_whose_renewal_is_refused_is_asked_for_until_its_end_and_slower(
            seed: u64,
            seconds in 30_u64..5_000_000,
            given: bool,
        ) {
            let source = if given { TokenSource::Static } else { TokenSource::Login };
            let (ttl, from) = (Duration::from_secs(seconds), Instant::now());
            let steps = failing_by(&until(from, ttl, Renewability::Full), source, seed, true);
            let renewals = steps.iter().filter(|(step, _)| *step == TokenStep::Renew).count();
            prop_assert!(renewals >= 3, "{:?}", steps);
            prop_assert!(steps.len() as u64 <= 40 + seconds / 300, "{}", steps.len());
            prop_assert!(steps.last().unwrap().1 > 0.85 * ttl.as_secs_f64(), "{:?}", steps);
            let logins = steps.iter().filter(|(step, _)| *step == TokenStep::LogIn).count();
            prop_assert_eq!(logins == 0, given, "{:?}", steps);
            let close = steps.windows(2).find(|two| two[1].1 - two[0].1 < SPACING.as_secs_f64() - 1e-6);
            prop_assert!(close.is_none(), "{:?}", steps);
        }
    }

    #[test]
    fn a_given_token_that_ends_is_looked_at_now_and_then_and_never_logged_in() {
        for renewability in [Renewability::Capped, Renewability::Never] {
            let steps = failing(&until(Instant::now(), DAY, renewability), TokenSource::Static, 1);
            assert!(steps.iter().all(|(step, _)| *step != TokenStep::LogIn), "{steps:?}");
            assert!(steps[0].1 > 0.8 * DAY.as_secs_f64(), "{steps:?}");
        }
        let short = until(Instant::now(), Duration::from_secs(9), Renewability::Never);
        assert_eq!(failing(&short, TokenSource::Static, 1), []);
    }

    #[test]
    fn a_given_token_that_is_old_already_is_renewed_at_once() {
        let mut rng = SmallRng::seed_from_u64(1);
        // A clock may have begun to count not long ago.
        let now = Instant::now() + DAY;
        let lease = Lease::Until { from: now, end: now + DAY / 4, renewability: Renewability::Full }
            .begun_earlier(DAY);
        let plan = Schedule::of(&lease, TokenSource::Static, now, &mut rng)
            .unwrap()
            .next(None, now, &mut rng)
            .unwrap();
        assert!(plan.step == TokenStep::Renew && plan.at < now, "{plan:?}");
        let later = Lease::Until { from: now, end: now + DAY, renewability: Renewability::Full };
        assert_eq!(later.begun_earlier(DAY / 4), later);
    }

    #[test]
    fn a_token_without_an_end_needs_nothing() {
        let mut rng = SmallRng::seed_from_u64(1);
        for left in [Duration::ZERO, Duration::MAX] {
            let lease = Lease::lasting(left, Renewability::Full);
            assert!(
                lease == Lease::Endless
                    && Schedule::of(&lease, TokenSource::Login, Instant::now(), &mut rng).is_none()
            );
        }
    }
}
