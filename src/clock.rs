//! Wall time as an argument. Schedules use `tokio::time::Instant`, which tests pause; wall time is only shown to
//! people or compared with what a server wrote.

pub(crate) mod as_rfc3339;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The last second of the year 9999: RFC 3339 has no later years, and a server may grant a lease beyond it.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Where the current wall time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
        Self(Arc::new(SystemTime::now))
    }

    /// A clock for tests: `read` is asked each time.
    #[cfg(test)]
    pub(crate) fn from_fn(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The current wall time.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

tokio::task_local! {
    /// What the work around has spent in [`waiting`].
    static WAITED: Cell<Duration>;
}

/// Does `work` and says how long that took, without what it spent in [`waiting`].
pub(crate) async fn worked<W: Future>(work: W) -> (W::Output, Duration) {
    WAITED
        .scope(Cell::default(), async {
            let started = Instant::now();
            let output = work.await;
            (output, started.elapsed().saturating_sub(WAITED.with(Cell::get)))
        })
        .await
}

/// Waits for a turn that others have before: no part of the work that `worked` measures.
pub async fn waiting<T: Future>(turn: T) -> T::Output {
    let since = Instant::now();
    let output = turn.await;
    // Outside of measured work there is nothing to note.
    let _unmeasured = WAITED.try_with(|waited| waited.set(waited.get() + since.elapsed()));
    output
}

/// `time` as RFC 3339 in UTC with milliseconds, as logs and the status file show it; what lies outside of the years 1970
/// to 9999 is shown as the nearest moment in them.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(within_bounds(time)).to_string()
}

/// `time` as people read it: to the second, in UTC, within the same bounds.
pub(crate) fn for_people(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(within_bounds(time)).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// humantime panics outside of these bounds.
fn within_bounds(time: SystemTime) -> SystemTime {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + since_1970.min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_turn_is_no_work() {
        let second = Duration::from_secs(1);
        let ((), took) = worked(async {
            waiting(tokio::time::sleep(second * 5)).await;
            tokio::time::sleep(second).await;
            waiting(tokio::time::sleep(second * 7)).await;
        })
        .await;
        assert_eq!(took, second);
        waiting(tokio::time::sleep(second)).await;
    }

    #[test]
    fn times_that_rfc_3339_does_not_have_are_shown_as_the_nearest_it_has() {
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(u64::MAX / 4));
        let (early, late) = (SystemTime::UNIX_EPOCH - early, SystemTime::UNIX_EPOCH + late);
        assert_eq!(rfc3339(early), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(late), "9999-12-31T23:59:59.000Z");
        assert_eq!(for_people(early), "1970-01-01 00:00:00 UTC");
        assert_eq!(for_people(late), "9999-12-31 23:59:59 UTC");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01.500Z");
    }
}
