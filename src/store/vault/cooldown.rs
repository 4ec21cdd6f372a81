//! How long credentials cool down after a failure: one table for all causes. Other credentials are free immediately,
//! but for the budget of refused logins: Vault and `OpenBao` lock an identity with the fifth in 15 minutes.

use std::collections::HashMap;

use rand::Rng;
use tokio::time::{Duration, Instant};

use crate::fault::{Fault, Kind};
use crate::secret::Fingerprint;
use crate::store::limit::speaks_for_the_server;

/// The time that [`MOST_REFUSALS`] and [`MOST_OF_THE_SAME`] are counted in.
const WINDOW: Duration = Duration::from_secs(901);

/// Refused logins of one identity in [`WINDOW`], whatever succeeded between them.
const MOST_REFUSALS: usize = 4;

/// Of these with the same credentials: the last one is left for credentials that are corrected.
const MOST_OF_THE_SAME: usize = 3;

/// A cause that has not come back for this long after its cool-down starts from the beginning.
const QUIET: Duration = Duration::from_secs(30);

/// What went wrong with credentials, or with a token that they brought.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum AuthFailure {
    /// The server looked at them and said no.
    Refused,
    /// The login succeeds, and its token is refused before it was good for anything.
    Unusable,
    /// A token was good, and was refused soon after its login.
    Revoked,
    /// An answer that is neither a token nor a refusal.
    Malformed,
    /// No answer, or that of a server in trouble, which the circuit breaker counts.
    Unavailable,
    /// They can never bring a token.
    Spent,
}

/// One row of the table.
struct CoolDownRule {
    /// So many in a row have no cool-down.
    free: u32,
    start: Duration,
    factor: u32,
    cap: Duration,
    /// Whether it uses up the budget of refused logins. Other waits are drawn from their upper half, so that daemons do
    /// not come back together.
    is_refusal: bool,
}

impl AuthFailure {
    /// `None`: until there are other credentials.
    fn rule(self) -> Option<CoolDownRule> {
        let refusal = |free| CoolDownRule {
            free,
            start: Duration::from_secs(10),
            factor: 4,
            cap: Duration::from_secs(400),
            is_refusal: true,
        };
        let fault = |free, factor| CoolDownRule {
            free,
            start: Duration::from_secs(1),
            factor,
            cap: Duration::from_secs(60),
            is_refusal: false,
        };
        match self {
            Self::Refused => Some(refusal(0)),
            // Somebody may have revoked the first token.
            Self::Unusable => Some(refusal(1)),
            Self::Revoked => Some(fault(1, 2)),
            Self::Malformed => Some(fault(0, 2)),
            // Three are what the breaker needs to open. Later ones are its probes.
            Self::Unavailable => Some(fault(3, 1)),
            Self::Spent => None,
        }
    }
}

impl CoolDownRule {
    /// The wait after failure number `count` in a row.
    fn wait(&self, count: u32) -> Duration {
        let Some(growth) = count.checked_sub(self.free + 1) else { return Duration::ZERO };
        let wait = self.start.saturating_mul(self.factor.saturating_pow(growth)).min(self.cap);
        if self.is_refusal { wait } else { wait.mul_f64(rand::rng().random_range(0.5..1.0)).max(self.start) }
    }
}

/// Who logs in with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tried {
    pub(super) credentials: Fingerprint,
    /// What the server locks: the role id, for one. A static token is its own: nobody is locked for it.
    pub(super) identity: Fingerprint,
}

/// Refused logins of all credential sets of a store, oldest first.
#[derive(Default)]
pub(super) struct LoginBudget(Vec<(Tried, Instant)>);

impl LoginBudget {
    fn note(&mut self, tried: Tried) {
        self.0.retain(|(_, at)| at.elapsed() < WINDOW);
        self.0.push((tried, Instant::now()));
    }

    /// How long `tried` has to wait until one more refusal would not be one too many.
    fn wait(&self, tried: Tried) -> Duration {
        let left = |most: usize, is_it: &dyn Fn(&Tried) -> bool| {
            let times = self.0.iter().filter(|(other, _)| is_it(other)).map(|(_, at)| *at);
            let nth_last = times.rev().nth(most - 1);
            nth_last.map_or(Duration::ZERO, |at| WINDOW.saturating_sub(at.elapsed()))
        };
        let of_identity = left(MOST_REFUSALS, &|other| other.identity == tried.identity);
        of_identity.max(left(MOST_OF_THE_SAME, &|other| other == &tried))
    }
}

/// The cool-downs of one credential set.
#[derive(Clone, Default)]
pub(super) struct CoolDown {
    blocked: Option<Blocked>,
    streaks: HashMap<AuthFailure, Streak>,
}

#[derive(Clone)]
struct Blocked {
    tried: Tried,
    /// `None`: until there are other credentials.
    until: Option<Instant>,
    fault: Fault,
}

/// The same failure in a row.
#[derive(Clone, Copy)]
struct Streak {
    count: u32,
    until: Instant,
}

impl CoolDown {
    /// Notes a failure of the credentials `tried`; gives `fault` with the time they must cool down.
    pub(super) fn note(
        &mut self,
        failure: AuthFailure,
        fault: Fault,
        tried: Tried,
        budget: &mut LoginBudget,
    ) -> Fault {
        let Some(rule) = failure.rule() else {
            self.blocked = Some(Blocked { tried, until: None, fault: fault.clone() });
            return fault;
        };
        let now = Instant::now();
        let streak = self.streaks.entry(failure).or_insert(Streak { count: 0, until: now });
        let is_over = failure == AuthFailure::Revoked && streak.until.elapsed() >= QUIET;
        streak.count = if is_over { 1 } else { streak.count.saturating_add(1) };
        let mut wait = rule.wait(streak.count);
        if rule.is_refusal && tried.identity != tried.credentials {
            budget.note(tried);
            wait = wait.max(budget.wait(tried));
        }
        streak.until = now + wait;
        if wait.is_zero() {
            return fault;
        }
        self.blocked = Some(Blocked { tried, until: Some(now + wait), fault: fault.clone() });
        let retry_after = if speaks_for_the_server(fault.kind) { fault.retry_after } else { Some(wait) };
        Fault { retry_after, ..fault }
    }

    /// The fault of credentials that must not be tried (again yet).
    pub(super) fn blocked(&mut self, tried: Tried, budget: &LoginBudget) -> Option<Fault> {
        if self.blocked.as_ref().is_some_and(|blocked| blocked.tried.credentials != tried.credentials) {
            *self = Self::default();
        }
        if let Some(Blocked { until, fault, .. }) = &self.blocked {
            let Some(until) = until else { return Some(fault.clone()) };
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let retry_after = Some(left).filter(|_| !speaks_for_the_server(fault.kind));
                return Some(Fault { retry_after, ..fault.clone() });
            }
        }
        let left = budget.wait(tried);
        (!left.is_zero()).then(|| {
            let message = format!("no login yet: {MOST_REFUSALS} were refused within 15 minutes");
            let remedy = "wait: the server locks the role or user out at one more refused login";
            Fault { retry_after: Some(left), ..Fault::new(Kind::Login, message, remedy) }
        })
    }

    /// A login brought a token, which has yet to prove good.
    pub(super) fn logged_in(&mut self) {
        self.streaks.remove(&AuthFailure::Malformed);
        self.streaks.remove(&AuthFailure::Unavailable);
    }

    /// The token has proved good. That is no reason to log in with refused credentials any sooner.
    pub(super) fn reset(&mut self) {
        // Revoked tokens were good, too.
        self.streaks.retain(|failure, _| *failure == AuthFailure::Revoked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::FingerprintKey;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn refused() -> Fault {
        Fault::new(Kind::Login, "m", "r")
    }

    fn tried(key: &FingerprintKey, credentials: &str, identity: &str) -> Tried {
        Tried { credentials: key.of(credentials.as_bytes()), identity: key.of(identity.as_bytes()) }
    }

    /// One credential set that is tried once a second.
    struct Trial {
        key: FingerprintKey,
        cool_down: CoolDown,
        budget: LoginBudget,
        times: Vec<Instant>,
    }

    impl Trial {
        fn new() -> Self {
            let key = FingerprintKey::random().unwrap();
            Self { key, cool_down: CoolDown::default(), budget: LoginBudget::default(), times: Vec::new() }
        }

        fn note(&mut self, failure: AuthFailure, kind: Kind) -> Fault {
            let id = tried(&self.key, "id", "role");
            self.cool_down.note(failure, Fault::new(kind, "m", "r"), id, &mut self.budget)
        }

        fn blocked(&mut self) -> Option<Fault> {
            self.cool_down.blocked(tried(&self.key, "id", "role"), &self.budget)
        }

        /// Tries for `time`; `outcome` says what comes of each attempt.
        async fn run(mut self, time: Duration, mut outcome: impl FnMut(&mut Self)) -> Vec<Instant> {
            let begun = Instant::now();
            while begun.elapsed() < time {
                if self.blocked().is_none() {
                    self.times.push(Instant::now());
                    outcome(&mut self);
                }
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            self.times
        }
    }

    fn seconds(times: &[Instant]) -> Vec<u64> {
        times.iter().map(|at| (*at - times[0]).as_secs()).collect()
    }

    fn never_five_in_fifteen_minutes(times: &[Instant]) -> bool {
        times.windows(5).all(|five| five[4] - five[0] > Duration::from_secs(900))
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_cool_down_and_others_are_tried_immediately() {
        let key = FingerprintKey::random().unwrap();
        let (old, new) = (tried(&key, "old", "role"), tried(&key, "new", "role"));
        let (mut cool_down, mut budget) = (CoolDown::default(), LoginBudget::default());
        let refuse = |cool_down: &mut CoolDown, budget: &mut LoginBudget| {
            cool_down.note(AuthFailure::Refused, refused(), old, budget).retry_after.unwrap().as_secs()
        };
        assert_eq!(refuse(&mut cool_down, &mut budget), 10);
        assert!(cool_down.blocked(old, &budget).is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(cool_down.blocked(old, &budget), None);
        assert_eq!(refuse(&mut cool_down, &mut budget), 40);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(refuse(&mut cool_down, &mut budget), 851, "one is left for corrected credentials");
        assert_eq!(cool_down.blocked(new, &budget), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_static_token_has_no_identity_to_lock() {
        let key = FingerprintKey::random().unwrap();
        let token = tried(&key, "token", "token");
        let (mut cool_down, mut budget) = (CoolDown::default(), LoginBudget::default());
        let waits: Vec<_> = (0..5)
            .map(|_| cool_down.note(AuthFailure::Refused, refused(), token, &mut budget).retry_after.unwrap())
            .collect();
        assert_eq!(waits, [10, 40, 160, 400, 400].map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_of_refusals_never_holds_five_in_fifteen_minutes_even_with_successes_between_them() {
        let times = Trial::new()
            .run(DAY, |trial| {
                trial.note(AuthFailure::Refused, Kind::Login);
                // A renewer's login, an operator's, a server that changes its mind.
                trial.cool_down.reset();
            })
            .await;
        assert!(never_five_in_fifteen_minutes(&times), "{:?}", seconds(&times));
        assert!(times.len() > 200, "it does not give up: {}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_of_changing_credentials_never_holds_five_refusals_of_one_identity() {
        let key = FingerprintKey::random().unwrap();
        let (mut cool_down, mut budget) = (CoolDown::default(), LoginBudget::default());
        let (mut times, begun, mut number) = (Vec::new(), Instant::now(), 0);
        while begun.elapsed() < DAY {
            number += 1;
            let id = tried(&key, &format!("secret id {number}"), "role");
            if cool_down.blocked(id, &budget).is_none() {
                times.push(Instant::now());
                cool_down.note(AuthFailure::Refused, refused(), id, &mut budget);
            }
            let other = tried(&key, &format!("secret id {number}"), &format!("role {number}"));
            assert_eq!(CoolDown::default().blocked(other, &budget), None, "another role is free");
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert!(never_five_in_fifteen_minutes(&times), "{:?}", seconds(&times));
        assert_eq!(seconds(&times[..4]), [0, 2, 4, 6]);
        assert!(times.len() > 300, "it does not give up: {}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_without_an_answer_is_tried_ever_slower_and_resets_with_a_token() {
        for (failure, kind) in [
            (AuthFailure::Malformed, Kind::BadAnswer),
            (AuthFailure::Malformed, Kind::ServerError),
            (AuthFailure::Malformed, Kind::BadRequest),
        ] {
            let times = Trial::new()
                .run(Duration::from_secs(3600), |trial| {
                    let noted = trial.note(failure, kind);
                    let blocked = trial.blocked().unwrap();
                    let may_tell = kind != Kind::ServerError;
                    assert_eq!(noted.retry_after.is_some(), may_tell, "{kind}");
                    assert_eq!(blocked.retry_after.is_some(), may_tell, "{kind}");
                })
                .await;
            assert!((60..=130).contains(&times.len()), "{}", times.len());
            let minute = times.iter().filter(|at| **at - times[0] < Duration::from_secs(60)).count();
            assert!(minute <= 9, "{minute}");
        }
        let mut trial = Trial::new();
        for _ in 0..10 {
            trial.note(AuthFailure::Malformed, Kind::BadAnswer);
        }
        trial.cool_down.logged_in();
        let wait = trial.note(AuthFailure::Malformed, Kind::BadAnswer).retry_after;
        assert_eq!(wait, Some(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_the_server_are_left_to_the_breaker_and_then_a_second_apart() {
        let mut trial = Trial::new();
        let wait = |trial: &mut Trial| trial.note(AuthFailure::Unavailable, Kind::Unreachable).retry_after;
        let waits: Vec<_> = (0..20).map(|_| wait(&mut trial)).collect();
        let second = Some(Duration::from_secs(1));
        assert_eq!((waits[2], waits[3], waits[19]), (None, second, second));
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_tokens_that_are_refused_are_refusals_and_the_first_is_free() {
        let times = Trial::new()
            .run(DAY, |trial| {
                trial.cool_down.logged_in();
                trial.note(AuthFailure::Unusable, Kind::Login);
            })
            .await;
        assert_eq!(seconds(&times[..4]), [0, 1, 11, 901]);
        assert!(never_five_in_fifteen_minutes(&times), "{:?}", seconds(&times));
        let mut trial = Trial::new();
        trial.note(AuthFailure::Unusable, Kind::Login);
        trial.note(AuthFailure::Unusable, Kind::Login);
        trial.cool_down.reset();
        assert_eq!(trial.note(AuthFailure::Unusable, Kind::Login).retry_after, Some(WINDOW));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_end_soon_are_replaced_ever_slower_and_the_first_immediately() {
        let revoke = |trial: &mut Trial| {
            trial.cool_down.logged_in();
            trial.cool_down.reset();
            trial.note(AuthFailure::Revoked, Kind::Login)
        };
        let times = Trial::new().run(Duration::from_secs(3600), |trial| drop(revoke(trial))).await;
        assert_eq!((times[1] - times[0]).as_secs(), 1, "the first is free");
        assert!((60..=130).contains(&times.len()), "{}", times.len());

        let mut trial = Trial::new();
        (0..20).for_each(|_| drop(revoke(&mut trial)));
        tokio::time::advance(Duration::from_secs(60) + QUIET).await;
        assert_eq!(revoke(&mut trial).retry_after, None, "a quiet time ends it");
    }

    #[tokio::test(start_paused = true)]
    async fn spent_credentials_are_never_tried_again_and_others_are() {
        let mut trial = Trial::new();
        trial.note(AuthFailure::Spent, Kind::Spent);
        trial.cool_down.reset();
        tokio::time::advance(DAY).await;
        assert_eq!(trial.blocked().unwrap().kind, Kind::Spent);
        let other = tried(&trial.key, "other", "role");
        assert_eq!(trial.cool_down.blocked(other, &trial.budget), None);
    }
}
