//! Wall time as an argument. Schedules use `tokio::time::Instant`, which tests pause; wall time is only shown to
//! people or compared with what a server wrote.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

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
    pub fn from_fn(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
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

/// `time` as RFC 3339 in UTC with milliseconds, as logs and the status file show it.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// `time` as people read it: to the second, in UTC.
pub fn for_people(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}
