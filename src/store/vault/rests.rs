//! Refused credentials rest: never more than five refusals in a quarter of an hour, at which Vault and `OpenBao` lock
//! a role out. Other credentials may be tried at once.

use tokio::time::{Duration, Instant};

use crate::fault::Fault;
use crate::secret::Fingerprint;

/// The first wait after refused credentials; each further one is four times as long.
const FIRST: Duration = Duration::from_secs(10);

/// The longest wait. 10 + 40 + 160 + 400 + 400 s is more than [`WINDOW`].
const LONGEST: Duration = Duration::from_secs(400);

/// The time in which no more than [`MOST`] refusals may lie, whatever succeeded between them.
const WINDOW: Duration = Duration::from_secs(901);

const MOST: usize = 5;

/// The refusals of one credential set.
#[derive(Default)]
pub(super) struct Rests {
    held: Option<Held>,
    /// Refusals in a row.
    refusals: u32,
    /// When these credentials were refused, oldest first, [`MOST`] at the most.
    times: Vec<Instant>,
}

/// Refused credentials, which are not tried again for a while.
struct Held {
    print: Fingerprint,
    until: Instant,
    fault: Fault,
}

impl Rests {
    /// Notes that the credentials `print` were refused; gives `fault` with the time they must rest.
    pub(super) fn refuse(&mut self, fault: Fault, print: Fingerprint) -> Fault {
        let now = Instant::now();
        if self.times.len() == MOST {
            self.times.remove(0);
        }
        self.times.push(now);
        let full = self.times.first().filter(|_| self.times.len() == MOST);
        let crowded = full.map_or(Duration::ZERO, |oldest| WINDOW.saturating_sub(now - *oldest));
        let rest = rest(self.refusals).max(crowded);
        self.refusals = self.refusals.saturating_add(1);
        let fault = Fault { retry_after: Some(rest), ..fault };
        self.held = Some(Held { print, until: now + rest, fault: fault.clone() });
        fault
    }

    /// The fault of credentials that were refused and must still rest. Other credentials may be tried at once.
    pub(super) fn still_held(&mut self, print: Fingerprint) -> Option<Fault> {
        let held = self.held.as_ref()?;
        if held.print != print {
            *self = Self::default();
            return None;
        }
        let left = held.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| Fault { retry_after: Some(left), ..held.fault.clone() })
    }

    /// The credentials have proved good. What was refused lately still counts.
    pub(super) fn forgive(&mut self) {
        self.refusals = 0;
    }
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
