//! Credentials that brought no token rest. Refused ones: never more than five refusals in a quarter of an hour, at which
//! Vault and `OpenBao` lock a role out. A token that is refused right after its login is such a refusal, too. After an
//! answer that is neither token nor refusal, and after a token that was good and soon is not, the next login waits a
//! growing time, whoever asks for it. Other credentials may be tried at once.

use rand::Rng;
use tokio::time::{Duration, Instant};

use crate::fault::{Fault, Kind};
use crate::secret::Fingerprint;

/// The first wait after refused credentials; each further one is four times as long.
const FIRST: Duration = Duration::from_secs(10);

/// The longest wait. 10 + 40 + 160 + 400 + 400 s is more than [`WINDOW`].
const LONGEST: Duration = Duration::from_secs(400);

/// The time in which no more than [`MOST`] refusals may lie, whatever succeeded between them.
const WINDOW: Duration = Duration::from_secs(901);

const MOST: usize = 5;

/// A token that is refused within this time of its login has never been good.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// The wait after the first login that brought neither a token nor a refusal; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so many failures the circuit breaker has its say; what it still lets through is [`PAUSE`] apart.
const LEFT_TO_THE_BREAKER: u32 = 3;

/// The failures of one credential set.
#[derive(Clone, Default)]
pub(super) struct Rests {
    held: Option<Held>,
    /// Refusals in a row.
    refusals: u32,
    /// When these credentials were refused, oldest first, [`MOST`] at the most.
    times: Vec<Instant>,
    /// Attempts in a row that brought neither a token nor a refusal.
    faults: u32,
    /// Tokens in a row that were good, and were not any more soon after their login.
    worn: u32,
    /// Until when the last of them held up the next login.
    worn_until: Option<Instant>,
    /// When the last login brought a token, unless that has turned out to be bad.
    accepted: Option<Instant>,
    /// A fresh token has been refused since one proved good.
    is_spoilt: bool,
}

/// Credentials that are not tried again for a while.
#[derive(Clone)]
struct Held {
    print: Fingerprint,
    until: Instant,
    fault: Fault,
}

impl Rests {
    /// Notes that the credentials `print` were refused; gives `fault` with the time they must rest.
    pub(super) fn refuse(&mut self, fault: Fault, print: Fingerprint) -> Fault {
        self.settle();
        let rest = rest(self.refusals).max(self.count());
        self.refusals = self.refusals.saturating_add(1);
        self.hold(fault, print, rest)
    }

    /// Notes that the fresh token of the credentials `print` was refused. The first one may have been revoked by
    /// somebody, and another login is free to follow; gives `fault` where they must rest.
    pub(super) fn spoil(&mut self, fault: Fault, print: Fingerprint) -> Option<Fault> {
        self.accepted = None;
        if std::mem::replace(&mut self.is_spoilt, true) {
            return Some(self.refuse(fault, print));
        }
        let crowded = self.count();
        (!crowded.is_zero()).then(|| self.hold(fault, print, crowded))
    }

    /// Notes that a fresh token of the credentials `print`, which had been good, was refused. Somebody may have revoked
    /// it, and another login is free to follow; gives `fault` where they must rest. Thirty quiet seconds make the next
    /// one the first.
    pub(super) fn wear(&mut self, fault: Fault, print: Fingerprint) -> Option<Fault> {
        self.accepted = None;
        if self.worn_until.is_none_or(|until| until.elapsed() >= FRESH) {
            self.worn = 0;
        }
        let wait = if self.worn == 0 { Duration::ZERO } else { pause(self.worn, &mut rand::rng()) };
        self.worn = self.worn.saturating_add(1);
        self.worn_until = Some(Instant::now() + wait);
        (!wait.is_zero()).then(|| self.hold(fault, print, wait))
    }

    /// Notes an attempt with the credentials `print` that brought neither token nor refusal; gives `fault` with the
    /// time they must rest. What the circuit breaker counts is left to it.
    pub(super) fn fail(&mut self, fault: Fault, print: Fingerprint, is_counted: bool) -> Fault {
        self.faults = self.faults.saturating_add(1);
        match is_counted {
            true if self.faults <= LEFT_TO_THE_BREAKER => fault,
            true => self.hold(fault, print, PAUSE),
            false => self.hold(fault, print, pause(self.faults, &mut rand::rng())),
        }
    }

    /// The fault of credentials that must still rest. Other credentials may be tried at once.
    pub(super) fn still_held(&mut self, print: Fingerprint) -> Option<Fault> {
        let held = self.held.as_ref()?;
        if held.print != print {
            *self = Self::default();
            return None;
        }
        let left = held.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| {
            let retry_after = Some(left).filter(|_| !closes_the_store(held.fault.kind));
            Fault { retry_after, ..held.fault.clone() }
        })
    }

    /// A login brought a token, which has yet to prove good.
    pub(super) fn accept(&mut self) {
        self.settle();
        self.accepted = Some(Instant::now());
        self.faults = 0;
    }

    /// The credentials have proved good. What was refused lately still counts.
    pub(super) fn forgive(&mut self) {
        self.refusals = 0;
        self.is_spoilt = false;
    }

    /// A token that has not been found bad for a while was good.
    fn settle(&mut self) {
        if self.accepted.take().is_some_and(|at| at.elapsed() >= FRESH) {
            self.forgive();
        }
    }

    /// Counts a refusal; the rest that keeps [`MOST`] in [`WINDOW`] from becoming one more.
    fn count(&mut self) -> Duration {
        let now = Instant::now();
        if self.times.len() == MOST {
            self.times.remove(0);
        }
        self.times.push(now);
        let full = self.times.first().filter(|_| self.times.len() == MOST);
        full.map_or(Duration::ZERO, |oldest| WINDOW.saturating_sub(now - *oldest))
    }

    fn hold(&mut self, fault: Fault, print: Fingerprint, rest: Duration) -> Fault {
        self.held = Some(Held { print, until: Instant::now() + rest, fault: fault.clone() });
        let retry_after = if closes_the_store(fault.kind) { fault.retry_after } else { Some(rest) };
        Fault { retry_after, ..fault }
    }
}

/// Kinds whose `retry_after` keeps every credential set from the store: only the server itself may set that.
fn closes_the_store(kind: Kind) -> bool {
    matches!(kind, Kind::RateLimited | Kind::Sealed | Kind::ServerError)
}

/// 1 s, then at random up to 2 s, 4 s and so on, and at least half of it.
fn pause(faults: u32, rng: &mut impl Rng) -> Duration {
    let ceiling = PAUSE.saturating_mul(2_u32.saturating_pow(faults.saturating_sub(1))).min(LONGEST_PAUSE);
    ceiling.mul_f64(rng.random_range(0.5..1.0)).max(PAUSE)
}

/// How long credentials rest after `refusals` earlier ones and one more.
fn rest(refusals: u32) -> Duration {
    FIRST.saturating_mul(4_u32.saturating_pow(refusals)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;
    use crate::secret::FingerprintKey;

    fn refused() -> Fault {
        Fault::new(Kind::Login, "m", "r")
    }

    #[test]
    fn refused_credentials_are_never_tried_six_times_in_fifteen_minutes() {
        let rests: Vec<Duration> = (0..20).map(rest).collect();
        for five in rests.windows(5) {
            assert!(five.iter().sum::<Duration>() > Duration::from_secs(900), "{five:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_rest_and_others_are_tried_at_once() {
        let key = FingerprintKey::random().unwrap();
        let (old, new) = (key.of(b"old"), key.of(b"new"));
        let mut rests = Rests::default();
        rests.refuse(refused(), old);
        assert_eq!(rests.still_held(old).unwrap().retry_after, Some(FIRST));
        tokio::time::advance(FIRST).await;
        assert_eq!(rests.still_held(old), None);
        rests.refuse(refused(), old);
        assert_eq!(rests.still_held(old).unwrap().retry_after, Some(FIRST * 4));
        assert_eq!(rests.still_held(new), None);
    }

    /// Tries once a second for `time`; `outcome` says what comes of an attempt. Gives when there was one.
    async fn tries(time: Duration, mut outcome: impl FnMut(&mut Rests, Fingerprint)) -> Vec<Instant> {
        let print = FingerprintKey::random().unwrap().of(b"id");
        let (mut rests, mut tries) = (Rests::default(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < time {
            if rests.still_held(print).is_none() {
                tries.push(Instant::now());
                outcome(&mut rests, print);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tries
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_login_is_waited_for_ever_longer_and_by_that_set_alone() {
        for kind in [Kind::BadAnswer, Kind::ServerError, Kind::BadRequest] {
            let hour = Duration::from_secs(3600);
            let fault = || Fault::new(kind, "m", "r");
            let tries = tries(hour, |rests, print| drop(rests.fail(fault(), print, false))).await;
            assert!((60..=130).contains(&tries.len()), "{}", tries.len());
            let minute = tries.iter().filter(|at| **at - tries[0] < Duration::from_secs(60)).count();
            assert!(minute <= 9, "{minute}");
            let print = FingerprintKey::random().unwrap().of(b"id");
            let mut rests = Rests::default();
            let told = [Some(rests.fail(fault(), print, false)), rests.still_held(print)];
            let may_tell = kind != Kind::ServerError;
            assert!(
                told.into_iter().flatten().all(|fault| fault.retry_after.is_some() == may_tell),
                "{kind}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_ends_the_growing_wait_and_the_breakers_faults_are_a_second_apart() {
        let print = FingerprintKey::random().unwrap().of(b"id");
        let mut rests = Rests::default();
        let broken = || Fault::new(Kind::BadAnswer, "m", "r");
        for _ in 0..10 {
            rests.fail(broken(), print, false);
        }
        rests.accept();
        assert_eq!(rests.fail(broken(), print, false).retry_after, Some(PAUSE));

        let mut rests = Rests::default();
        let lost = || Fault::new(Kind::Unreachable, "m", "r");
        let waits: Vec<_> = (0..20).map(|_| rests.fail(lost(), print, true).retry_after).collect();
        assert_eq!((waits[2], waits[3], waits[19]), (None, Some(PAUSE), Some(PAUSE)));
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_tokens_that_are_refused_are_refusals_and_one_alone_is_free() {
        let day = Duration::from_secs(24 * 3600);
        let tries = tries(day, |rests, print| {
            rests.accept();
            drop(rests.spoil(refused(), print));
        })
        .await;
        let first: Vec<_> = tries.iter().take(5).map(|at| (*at - tries[0]).as_secs()).collect();
        assert_eq!(first, [0, 1, 11, 51, 211]);
        assert!(tries.windows(6).all(|six| six[5] - six[0] > Duration::from_secs(900)), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_end_soon_are_replaced_ever_slower_and_the_first_at_once() {
        let wear = |rests: &mut Rests, print| {
            rests.accept();
            drop(rests.wear(refused(), print));
        };
        let tries = tries(Duration::from_secs(3600), wear).await;
        assert_eq!((tries[1] - tries[0]).as_secs(), 1, "one alone is free");
        assert!((60..=130).contains(&tries.len()), "{}", tries.len());

        let print = FingerprintKey::random().unwrap().of(b"id");
        let mut rests = Rests::default();
        (0..20).for_each(|_| wear(&mut rests, print));
        tokio::time::advance(LONGEST_PAUSE + FRESH).await;
        assert_eq!(
            rests.wear(refused(), print),
            None,
            "a quiet time ends it, however many logins there were"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_has_served_makes_the_next_refusal_the_first() {
        let print = FingerprintKey::random().unwrap().of(b"id");
        let mut rests = Rests::default();
        for _ in 0..3 {
            rests.accept();
            drop(rests.spoil(refused(), print));
        }
        rests.accept();
        tokio::time::advance(FRESH).await;
        rests.accept();
        assert_eq!(rests.spoil(refused(), print), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_of_refusals_never_holds_six_in_fifteen_minutes_even_with_successes_between_them() {
        let key = FingerprintKey::random().unwrap();
        let print = key.of(b"id");
        let (mut rests, mut tries) = (Rests::default(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(24 * 3600) {
            if rests.still_held(print).is_none() {
                tries.push(Instant::now());
                rests.refuse(refused(), print);
                // A keeper's login, an operator's, a server that changes its mind.
                rests.forgive();
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(tries.windows(6).all(|six| six[5] - six[0] > Duration::from_secs(900)), "{tries:?}");
        assert!(tries.len() > 200, "it does not give up: {}", tries.len());
    }
}
