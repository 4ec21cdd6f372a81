//! Times as people say them: "12 s ago", "in 4 min". The page and the `status` command share them.

use std::time::{Duration, SystemTime};

/// What stands where there is nothing to say.
pub(crate) const NOTHING: &str = "–";

/// A span in its largest one or two units.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () if hours < 24 => joined(&format!("{hours} h"), minutes % 60, "min"),
        () => joined(&format!("{days} d"), hours % 24, "h"),
    }
}

/// How long ago `then` was.
pub fn ago(now: SystemTime, then: Option<SystemTime>) -> String {
    then.map_or_else(|| "never".to_owned(), |then| format!("{} ago", since(now, then)))
}

/// The age of what happened at `then`.
pub fn age(now: SystemTime, then: Option<SystemTime>) -> String {
    then.map_or_else(|| NOTHING.to_owned(), |then| since(now, then))
}

/// How long it is until `then`.
pub fn until(now: SystemTime, then: Option<SystemTime>) -> String {
    match then.map(|then| then.duration_since(now)) {
        None => NOTHING.to_owned(),
        Some(Ok(wait)) if wait >= Duration::from_secs(1) => format!("in {}", span(wait)),
        Some(_) => "now".to_owned(),
    }
}

/// A moment in the future is one of a clock that was set back.
fn since(now: SystemTime, then: SystemTime) -> String {
    span(now.duration_since(then).unwrap_or_default())
}

fn joined(large: &str, small: u64, unit: &str) -> String {
    if small == 0 { large.to_owned() } else { format!("{large} {small} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_or_two_units() {
        let words = [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (3660, "1 h 1 min"),
            (86_400, "1 d"),
            (100 * 86_400 + 7200, "100 d 2 h"),
        ];
        for (seconds, expected) in words {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn what_never_was_and_what_never_comes_have_words() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!([ago(now, None), ago(now, at(88)), ago(now, at(101))], ["never", "12 s ago", "0 s ago"]);
        assert_eq!([until(now, None), until(now, at(130)), until(now, at(90))], ["–", "in 30 s", "now"]);
        assert_eq!([age(now, None), age(now, at(40))], ["–", "1 min"]);
    }
}
